"""What is allowed in a scenario and yet hardly meant: warnings.

Owns their conditions and sentences. Pure; knows nothing about YAML, lines or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.scenario.answer_time import AnswerTime
from simulator.scenario.measuring import commanded_groups
from simulator.scenario.roster import Roster
from simulator.scenario.rules import watched
from simulator.scenario.schema import LASTING_FAULTS
from simulator.scenario.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.scenario.rules import Finding, Rule
    from simulator.scenario.schema import Fault, Scenario

_ASK_WHO_CONNECTED: Final = frozenset({"connected", "connected_share", "online_at_end"})
_SDK_COMFORT: Final = 500
_HARDLY_EVER: Final = 0.01
"""Late answers to expect of the cars themselves in a run, below which a check is left in peace."""


def warnings(scenario: Scenario) -> list[Finding]:
    """Everything that is allowed and yet hardly meant."""
    return [finding for rule in _WARNINGS for finding in rule(scenario)]


def _arrivals_end(scenario: Scenario) -> Iterator[Finding]:
    roster = Roster(scenario)
    arrivals_s = roster.arrivals_s()
    for index, within in enumerate(roster.groups):
        late = int((arrivals_s[within.start : within.stop] >= scenario.duration_s).sum())
        if late:
            yield (
                ("vehicles", index),
                (
                    f"{late:,} of the {within.group.count:,} cars of {within.group.name} would "
                    f"connect only after the end of the run of {duration_text(scenario.duration_s)}"
                ),
            )


def _arrival_is_used(scenario: Scenario) -> Iterator[Finding]:
    if "arrival" in scenario.model_fields_set and all(
        group.arrival is not None for group in scenario.vehicles
    ):
        yield ("arrival",), "no group uses it, because each has an arrival of its own"


def _faults_end(scenario: Scenario) -> Iterator[Finding]:
    for index, fault in enumerate(scenario.faults):
        last_s = _last_moment_s(fault)
        if last_s is not None and last_s > scenario.duration_s:
            yield (
                ("faults", index),
                (
                    f"lasts until {duration_text(last_s)}, beyond the end of the run of "
                    f"{duration_text(scenario.duration_s)}"
                ),
            )


def _last_moment_s(fault: Fault) -> float | None:
    start_s = fault.at if fault.at is not None else fault.end
    if start_s is None:
        return None
    return start_s + (fault.duration if fault.kind in LASTING_FAULTS else 0.0)


def _cars_come_back(scenario: Scenario) -> Iterator[Finding]:
    for index, fault in enumerate(scenario.faults):
        stay = [
            group.name
            for group in watched(scenario, fault.group)
            if group.reconnect.policy == "none"
        ]
        if stay and fault.kind in {"disconnect", "drop", "duplicate-client-id"}:
            yield (
                ("faults", index),
                f"cars of {', '.join(stay)} stay away after it: their reconnect policy is none",
            )


def _skewed_clocks_show(scenario: Scenario) -> Iterator[Finding]:
    for index, fault in enumerate(scenario.faults):
        if fault.kind != "clock-skew":
            continue
        without = [
            f"{name} of {group.name}"
            for group in watched(scenario, fault.group)
            for name, stream in group.streams.items()
            if stream.encoding == "bytes"
        ]
        if without:
            yield (
                ("faults", index),
                (
                    f"it does nothing to {', '.join(without)}: payloads of encoding: bytes carry "
                    "no time of the car's clock"
                ),
            )


def _something_is_judged(scenario: Scenario) -> Iterator[Finding]:
    if not scenario.checks:
        yield ("checks",), "there are none, so every run passes"
    elif not any(check.metric.name in _ASK_WHO_CONNECTED for check in scenario.parsed_checks):
        yield ("checks",), "none asks whether the cars connected; add connected_share == 100 %"


def _late_answers_are_allowed(scenario: Scenario) -> Iterator[Finding]:
    for place, check in enumerate(scenario.parsed_checks):
        if check.metric.name != "commands_late":
            continue
        for commanders in scenario.applications.commanders:
            groups = commanded_groups(scenario, commanders)
            cars = sum(group.count for group in groups)
            commands = commanders.rate_hz * scenario.duration_s
            for group in groups:
                if group.commands is None or check.group not in {None, group.name}:
                    continue
                share = AnswerTime.of(group.commands).share_beyond(commanders.answer_within)
                late = commands * share * group.count / cars
                if late > _HARDLY_EVER and check.holds(0) and not check.holds(late):
                    yield (
                        ("checks", place),
                        (
                            f"cars of {group.name} alone take longer than the "
                            f"{duration_text(commanders.answer_within)} of {commanders.name} for "
                            f"about 1 in {round(1 / share):,} commands; give them a takes_max of "
                            "less, or allow for it here"
                        ),
                    )


def _sdk_groups_are_small(scenario: Scenario) -> Iterator[Finding]:
    for index, group in enumerate(scenario.vehicles):
        if group.client == "sdk" and group.count > _SDK_COMFORT:
            yield (
                ("vehicles", index, "client"),
                (
                    f"{group.count:,} clients of the SDK need several times the CPU of the engine; "
                    f"up to {_SDK_COMFORT} is sensible on one machine"
                ),
            )


_WARNINGS: Final[tuple[Rule, ...]] = (
    _arrivals_end,
    _arrival_is_used,
    _faults_end,
    _cars_come_back,
    _skewed_clocks_show,
    _something_is_judged,
    _late_answers_are_allowed,
    _sdk_groups_are_small,
)
