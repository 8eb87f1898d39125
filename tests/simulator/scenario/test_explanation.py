from __future__ import annotations

import pytest

from simulator.scenario.checks import Check
from simulator.scenario.explanation import bytes_text, check_text, estimated_bytes, explain, plan
from simulator.scenario.roster import Roster
from simulator.scenario.schema import Stream
from tests.simulator.scenario.documents import SMALLEST, scenario, small

RICH = """\
name: rich
description: Everything once.
seed: 7
target: {kind: broker, host: broker.example, port: 1883, tls: false}
identities: {kind: none}
vehicles:
  - name: vans
    count: 20
    motion: {kind: parked, spread_m: 2000}
    streams: {state: {rate_hz: 2, encoding: bytes, payload_bytes: 100}}
    commands: {takes: 1s, takes_max: 5s, fails: 0.1}
    reconnect: {policy: immediate}
  - name: taxis
    count: 10
    motion: {kind: city, blocks: 5, speed_limit: 36 km/h}
    streams: {gnss: {rate_hz: 0.5, qos: 1, encoding: bytes, payload_bytes: 50}}
    session: persistent
    reconnect: {policy: none}
arrival: {kind: rate, per_s: 3}
phases:
  - {name: quiet, duration: 10s, rate: 0}
  - {name: busy, duration: 20s, rate: 1, rate_to: 3}
faults:
  - {kind: silence, at: 12s, share: 0.5, group: vans, duration: 4s}
  - {kind: drop, per_s: 0.5, begin: 10s, end: 20s}
applications:
  observers: [{share: 0.5, count: 2, streams: [state]}]
  commanders: [{rate_hz: 0.5, answer_within: 3s}]
checks:
  - connected_share >= 99.5 %
  - command_ms.p99.9 < 2s during busy of vans
"""


def test_the_explanation_says_everything() -> None:
    """Who, where, when, how much, what goes wrong, who reads and commands, what must hold."""
    found = scenario(RICH)

    text = "\n".join(explain(found, Roster(found)))

    for words in (
        "30 cars connect to the broker at broker.example port 1883 over plain TCP",
        "They show no certificates",
        "The seed is 7",
        "vans: 20 cars, parked, within 2 km",
        "state 2 times a second (QoS 0, about 100 bytes)",
        "after 1 s, 95 % of them within 2 s and all within 5 s; 10 % fail",
        "reconnects at once",
        "taxis: 10 cars, on random routes through a city of 5 by 5 blocks, at up to 36 km/h",
        "gnss every 2 s (QoS 1, about 50 bytes)",
        "stays away",
        "the last one 9.667 s after the start; up to 3 connect in one second",
        "The run lasts 30 s in 2 phases",
        "quiet, 0 s to 10 s, at 0 times the usual rates",
        "busy, 10 s to 30 s, going from 1 to 3 times the usual rates",
        "at 12 s 10 of 20 cars of vans neither read nor write for 4 s",
        "from 10 s to 20 s, every 2 s: a car is hit 5 times in all",
        "2 applications read state of 10 of 20 cars",
        "1 application sends a command every 2 s",
        "to 20 cars and expects each answer within 3 s",
        "connected_share is at least 99.5 %",
        "the 99.9th percentile of command_ms during busy of vans is below 2 s",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("", "It counts what quotas of AWS IoT Core would refuse (the default ones)"),
        (
            "target: {kind: stand-in, quotas: low, quota_mode: enforce}",
            "It enforces quotas of AWS IoT Core (the low ones)",
        ),
        ("target: {kind: stand-in, quotas: a.toml}", "would refuse (a.toml)"),
        ("target: {kind: stand-in, quotas: off}", "its own topics only, without quotas."),
        (
            "probes: [{name: edges, quotas: [payload-bytes, topic-bytes], begin: 3s}]",
            "edges: clients of their own go just below and just above 2 quotas from 3 s on",
        ),
        (
            "checks: [quota_refusals == 0 of payload-bytes]",
            "quota_refusals of payload-bytes is exactly 0",
        ),
    ],
)
def test_quotas_are_explained(part: str, words: str) -> None:
    """Which are in force, whether they refuse anything, and what probes do."""
    found = scenario(f"{SMALLEST}{part}\n")

    assert words in "\n".join(explain(found, Roster(found)))


def test_the_plan_counts_cars_and_messages() -> None:
    """By hand: nothing at factor 0, then 20 s at a mean factor of 2 for all 30 cars."""
    found = scenario(RICH)

    quiet, busy = plan(found, Roster(found))

    assert (quiet.connects, quiet.cars, quiet.messages, quiet.rate_hz) == (30, 30, 0, 0)
    # 20 vans at 2 Hz and 10 taxis at 0.5 Hz are 45 messages for each second of factor 1.
    assert (busy.connects, busy.messages) == (0, 45 * 40)
    assert busy.rate_hz == pytest.approx(45 * 3)
    assert busy.bytes_per_s == pytest.approx(3 * (40 * 100 + 5 * 50))


def test_cars_publish_only_once_they_are_there() -> None:
    """Ten cars, one a second, two messages a second each: 2 x (10 + 9 + ... + 1) in 10 s."""
    found = small(arrival={"kind": "rate", "per_s": 1})

    (steady,) = plan(found, Roster(found))

    assert steady.messages == 110


def test_sizes_come_from_the_caller() -> None:
    """Whoever knows the encoders says how large a message is."""
    found = small()

    (steady,) = plan(
        found, Roster(found), lambda name, stream, thing: len(name + thing) + stream.qos
    )

    # state, load-cars-0001, and QoS 1
    assert steady.bytes_per_s == pytest.approx(20 * (5 + 14 + 1))


@pytest.mark.parametrize(
    ("stream", "least", "most"),
    [
        ({"encoding": "bytes", "payload_bytes": 700}, 700, 700),
        ({}, 200, 300),
        ({"payload_bytes": 2000}, 2000, 2000),
        ({"encoding": "batch", "samples": 10}, 1000, 2000),
    ],
)
def test_sizes_are_estimated(stream: dict[str, object], least: int, most: int) -> None:
    """Opaque and padded payloads are exact, the others near."""
    found = Stream.model_validate({"rate_hz": 1, **stream})

    assert least <= estimated_bytes("state", found, "load-cars-0001") <= most


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("lost == 0", "lost is exactly 0"),
        ("publish_ack_ms.max <= 800ms", "the maximum of publish_ack_ms is at most 800 ms"),
        ("connect_ms.mean < 1.5s", "the mean connect_ms is below 1.5 s"),
        ("connect_ms.count > 12345", "the number of connect_ms is above 12,345"),
        ("connect_ms.p51 < 1s", "the 51st percentile of connect_ms is below 1 s"),
        ("connected_share > 0.5", "connected_share is above 50 %"),
        ("resent != 3", "resent is anything but 3"),
    ],
)
def test_checks_are_put_into_words(check: str, words: str) -> None:
    """Every operator, statistic and unit."""
    assert check_text(Check.parse(check)) == words


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (12_500, "12.5 kB"), (3.1e6, "3.1 MB")]
)
def test_bytes_have_units(number: float, text: str) -> None:
    """Decimal multiples, three digits."""
    assert bytes_text(number) == text
