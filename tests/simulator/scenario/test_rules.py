from __future__ import annotations

import pytest

from tests.simulator.scenario.documents import SMALLEST, problems, warnings

AWS = "target: {kind: aws, endpoint: a.iot.eu-west-1.amazonaws.com}"
TWO_GROUPS = """\
name: two
description: Two groups, one that reads nothing and one on the SDK.
vehicles:
  - {name: vans, count: 60, streams: {state: {rate_hz: 1}, gnss: {rate_hz: 1}}}
  - {name: real, count: 5, client: sdk, commands: {}}
phases:
  - {name: one, duration: 10s}
  - {name: two, duration: 20s}
"""


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("identities: {kind: none}", "identities.kind: the stand-in asks for certificates"),
        ("target: {kind: broker, host: b}", "target: only the stand-in knows certificates"),
        (
            AWS,
            (
                "target: only the stand-in knows certificates made for the run; write identities: "
                "with kind: store"
            ),
        ),
        (
            f"{AWS}\nidentities: {{kind: none}}",
            "identities.kind: AWS IoT Core asks for certificates",
        ),
        (
            "target: {kind: broker, host: b, tls: false}\nidentities: {kind: store, path: x}",
            "identities.kind: certificates need TLS",
        ),
        (
            (
                "target: {kind: broker, host: b, tls: false}\nidentities: {kind: none}\n"
                "faults: [{kind: wrong-certificate, at: 1}]"
            ),
            "faults[0].kind: wrong-certificate needs TLS",
        ),
        (
            (
                "target: {kind: broker, host: b}\nidentities: {kind: none}\n"
                "faults: [{kind: wrong-certificate, at: 1, group: vans}]"
            ),
            "faults[0].kind: wrong-certificate needs cars that have certificates",
        ),
        ("faults: [{kind: drop, at: 30s}]", "faults[0].at: 30 s is not before the end"),
        (
            "target: {kind: stand-in, quotas: off}\nprobes: [{}]",
            "probes: they probe quotas of the stand-in; the target has none",
        ),
        ("probes: [{begin: 30s}]", "probes[0].begin: 30 s is not before the end of the run of"),
        (
            "probes: [{of: clients, quotas: [connects-per-account]}]",
            "probes[0].quotas: none of them is a quota of clients",
        ),
        ("probes: [{name: vans}]", "probes[0].name: vans is the name of a group of cars already"),
        ("probes: [{}, {}]", "probes[1].name: probes is the name of probes already listed"),
        (
            "checks: [quota_refusals == 0 of publishes-per-conection]",
            (
                "checks[0]: quota_refusals == 0 of publishes-per-conection: there is no quota "
                "publishes-per-conection; did you mean publishes-per-connection?"
            ),
        ),
        (
            "target: {kind: stand-in, quotas: off}\nchecks: [quota_refusals == 0]",
            "it needs the stand-in as target, with quotas",
        ),
        ("checks: [probes_failed == 0]", "nothing to measure; it needs probes"),
        ("faults: [{kind: disconnect, per_s: 1, begin: 31s}]", "faults[0].begin: 31 s is not"),
        (
            "faults: [{kind: disconnect, at: 1, group: cars}]",
            "faults[0].group: there is no group cars",
        ),
        ("faults: [{kind: drop, at: 1}]", "faults[0].kind: drop works on the socket itself"),
        ("faults: [{kind: silence, at: 1, group: real}]", "faults[0].group: silence works on"),
        ("faults: [{kind: slow-reader, at: 1, group: vans}]", "faults[0].group: slow-reader needs"),
        ("faults: [{kind: clock-skew, at: 1, group: real}]", "faults[0].group: clock-skew needs"),
        (
            "faults: [{kind: disconnect, at: 1, duration: 5s}]",
            "faults[0].duration: disconnect happens in an instant",
        ),
        ("faults: [{kind: disconnect, at: 1, skew_s: 5}]", "faults[0].skew_s: disconnect has no"),
        ("faults: [{kind: disconnect, at: 1, end: 5}]", "faults[0].end: end goes with per_s"),
        (
            "applications: {observers: [{group: van}]}",
            "applications.observers[0].group: there is no group van; did you mean vans?",
        ),
        (
            "applications: {observers: [{streams: [gnns]}]}",
            "applications.observers[0].streams[0]: no car has a stream gnns; did you mean gnss?",
        ),
        (
            "applications: {observers: [{group: real}]}",
            "applications.observers[0]: there is nothing to read",
        ),
        (
            "applications: {observers: [{filters: each}]}",
            (
                "applications.observers[0]: each would hold 60 subscriptions and a connection may "
                "hold 50; write count: 2"
            ),
        ),
        (
            "applications: {commanders: [{group: vans}]}",
            "applications.commanders[0]: no car takes commands; give vans a commands part",
        ),
        (
            "applications: {observers: [{}], commanders: [{name: observers}]}",
            "applications.commanders[0].name: observers is the name of observers already",
        ),
        (
            "applications: {observers: [{name: vans}]}",
            "applications.observers[0].name: vans is the name of a group of cars already",
        ),
        (
            "checks: [connected > 1 of trucks]",
            "checks[0]: connected > 1 of trucks: there is no group",
        ),
        (
            "checks: [connects > 1 during three]",
            "checks[0]: connects > 1 during three: there is no",
        ),
        ("checks: [lost == 0]", "checks[0]: lost == 0: nothing to measure; it needs observers"),
        (
            "checks: [commands_sent > 1]",
            "checks[0]: commands_sent > 1: nothing to measure; it needs c",
        ),
        (
            "checks: [publish_ack_ms.p99 < 1]",
            "checks[0]: publish_ack_ms.p99 < 1: nothing to measure",
        ),
        ("arrival: {kind: at-once, after: 30s}", "arrival.after: no car connects within the run"),
        (
            "applications: {commanders: [{count: 6}]}",
            "applications.commanders[0].count: 6 connections share 5 cars that take commands",
        ),
        (
            "applications: {commanders: [{}]}\nchecks: [commands_late == 0 of commanders]",
            "checks[0]: commands_late == 0 of commanders: commands_late is never measured for comm",
        ),
        (
            "applications: {commanders: [{}]}\nchecks: [commands_sent > 1 of vans]",
            "commands_sent is never measured for vans; it is of real",
        ),
        (
            "applications: {observers: [{}]}\nchecks: [received > 1 of observers]",
            "received is never measured for observers; it is of vans",
        ),
        (
            "applications: {observers: [{}]}\nchecks: [end_to_end_ms.max < 1 of real]",
            "end_to_end_ms is never measured for real; it is of vans",
        ),
        (
            "applications: {observers: [{}]}\nchecks: [connect_failures == 0 of observers]",
            "connect_failures is never measured for observers; it is of vans, real",
        ),
        ("checks: [lateness_ms.p99 < 9 of real]", "lateness_ms is never measured for real"),
        ("checks: [tls_ms.p99 < 9 of real]", "tls_ms is never measured for real; it is of vans"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(part: str, problem: str) -> None:
    """Each rule between parts has a sentence, at the part that has to change."""
    found = problems(f"{TWO_GROUPS}{part}\n")

    assert any(problem in text.split(":", 1)[1] for text in found), found


@pytest.mark.parametrize(
    "part",
    [
        "target: {kind: broker, host: b}\nidentities: {kind: none}",
        "target: {kind: broker, host: b, tls: false}\nidentities: {kind: none}",
        "faults: [{kind: drop, at: 1, group: vans}, {kind: disconnect, at: 1}]",
        "faults: [{kind: clock-skew, at: 1, group: vans, skew_s: 5, duration: 5s}]",
        "applications: {observers: [{filters: each, count: 2}]}",
        "applications: {observers: [{group: vans, streams: [state], share: 0.5}]}",
        "applications: {observers: [{}], commanders: [{}]}\nchecks: [lost == 0, commands_sent > 1]",
        "applications: {commanders: [{}]}\nchecks: [commands_sent > 1 of real]",
        "checks: [connects > 1 during drain, connects > 1 of real]",
        "applications: {commanders: [{count: 5}]}",
        "applications: {commanders: [{}]}\nchecks: [not_sent == 0 of commanders]",
        "applications: {observers: [{}]}\nchecks: [lost == 0 of observers, received > 1 of vans]",
        "faults: [{kind: drop, per_s: 1000, group: vans}]",
        "probes: [{}, {name: more, of: account}]\nchecks: [probes_failed == 0]",
        "target: {kind: stand-in, quotas: low, quota_mode: enforce}",
        "checks: [quota_refusals == 0, quota_refusals < 5 of throughput-per-connection]",
    ],
)
def test_parts_that_fit_together_are_taken(part: str) -> None:
    """The rules refuse nothing that can be run."""
    assert problems(f"{TWO_GROUPS}{part}\n") == []


def test_names_are_unique() -> None:
    """Two groups or two phases of one name could not be told apart in checks."""
    text = TWO_GROUPS.replace("name: real", "name: vans").replace(
        "name: two, dur", "name: one, dur"
    )

    assert problems(text) == [
        "x:5: vehicles[1].name: vans is the name of vehicles[0]",
        "x:8: phases[1].name: one is the name of phases[0]",
    ]


def test_drain_is_no_name_of_a_phase() -> None:
    """It is the name of the time after the last phase."""
    assert (
        "drain is what the time"
        in problems(TWO_GROUPS.replace("name: two, dur", "name: drain, dur"))[0]
    )


def test_a_fault_strikes_a_bounded_number_of_times() -> None:
    """A thousand a second for 480 h are refused; as many as a million are not."""
    text = TWO_GROUPS.replace("duration: 20s", "duration: 480h")
    often = "faults: [{kind: disconnect, per_s: 1000"

    [found] = problems(f"{text}{often}}}]\n")
    assert "faults[0].per_s: it would strike 1,728,010,000 times, at most 1,000,000" in found
    assert problems(f"{text}{often}, end: 1000s}}]\n") == []


def test_a_skew_that_no_payload_shows_is_a_warning() -> None:
    """Opaque bytes carry no time of the car; the streams that do not change are named."""
    fault = "faults: [{kind: clock-skew, at: 1, duration: 1s, group: vans}]\n"
    text = TWO_GROUPS.replace(
        "gnss: {rate_hz: 1}", "raw: {rate_hz: 1, encoding: bytes, payload_bytes: 99}"
    )

    assert any(
        "faults[0]" in found and "it does nothing to raw of vans" in found
        for found in warnings(text + fault)
    )
    assert not any("it does nothing" in found for found in warnings(TWO_GROUPS + fault))


def test_the_whole_fleet_is_bounded() -> None:
    """Groups within their bound may be too many cars together."""
    text = TWO_GROUPS.replace("count: 60", "count: 150000").replace("count: 5,", "count: 60000,")

    assert any("210,000 cars in all groups; at most 200,000" in found for found in problems(text))


@pytest.mark.parametrize(
    ("part", "warning"),
    [
        ("arrival: {kind: rate, per_s: 0.5}", "5 of the 10 cars of cars would connect only after"),
        ("faults: [{kind: silence, at: 8s, duration: 5s}]", "lasts until 13 s, beyond the end"),
        ("checks: [connects > 1]", "none asks whether the cars connected"),
        ("drain: 1s", "there are none, so every run passes"),
    ],
)
def test_what_is_hardly_meant_is_a_warning(part: str, warning: str) -> None:
    """It is told with its place, and the scenario is taken."""
    assert problems(f"{SMALLEST}{part}\n") == []
    assert any(warning in text for text in warnings(f"{SMALLEST}{part}\n"))


def test_cars_that_are_late_by_themselves_are_a_warning() -> None:
    """No late answer is promised while the cars' own times make some: unless they have an end."""
    text = SMALLEST.replace("    count", "    commands: {takes: 300ms, takes_p95: 1s}\n    count")
    text += "applications: {commanders: [{name: boss, rate_hz: 9, answer_within: 3s}]}\n"
    text += "checks: [connected_share == 100 %, commands_late == 0]\n"

    # ln(10) / (ln(1 / 0.3) / 1.64485) is 3.1458 standard deviations: 0.000828 of a normal curve.
    [found] = warnings(text)
    assert "cars of cars alone take longer than the 3 s of boss for about 1 in 1,20" in found
    assert warnings(text.replace("takes_p95: 1s", "takes_p95: 1s, takes_max: 2s")) == []
    assert warnings(text.replace("commands_late == 0", "commands_late < 5")) == []


def test_cars_that_stay_away_are_a_warning() -> None:
    """A fault that ends connections of cars that do not reconnect is pointed out."""
    text = SMALLEST.replace("    count", "    reconnect: {policy: none}\n    count")

    assert any("stay away" in found for found in warnings(f"{text}faults: [{{kind: drop, at: 1}}]"))


def test_an_arrival_that_nobody_uses_is_a_warning() -> None:
    """When every group has its own, that of the scenario says nothing."""
    text = SMALLEST.replace("    count", "    arrival: {kind: at-once}\n    count")

    assert any(
        "no group uses it" in found for found in warnings(f"{text}arrival: {{kind: at-once}}")
    )
    assert not any("no group uses it" in found for found in warnings(text))
