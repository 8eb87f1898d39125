"""For whom each metric is measured: which groups of cars, and which applications by their name.

Owns the answer to `of GROUP` before a run: a check of something that is never counted there would
hold or fail whatever happens. Must be kept to what the load engine counts. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.scenario.watching import groups_read

if TYPE_CHECKING:
    from simulator.scenario.schema import Commanders, Scenario, VehicleGroup

_BOOKS: Final = frozenset({"lost", "lost_share", "repeated", "out_of_order", "undecodable"})
NEEDS_OBSERVERS: Final = frozenset({"end_to_end_ms", "received"}) | _BOOKS
NEEDS_COMMANDERS: Final = frozenset(
    {
        "command_ms",
        "commands_sent",
        "commands_answered",
        "commands_late",
        "commands_unanswered",
        "commands_failed",
    }
)
NEEDS_PROBES: Final = frozenset({"probes_held", "probes_failed"})
NEEDS_QOS_1: Final = frozenset(
    {"publish_ack_ms", "acknowledged", "publish_refused", "resent", "unacknowledged"}
)
_NEEDS_STREAMS: Final = frozenset({"lateness_ms", "not_sent_backpressure"})
_NEEDS_PUBLISHES: Final = frozenset(
    {"published", "publish_rate_hz", "not_sent", "not_sent_offline", "not_sent_window"}
)
_OF_COMMANDERS_TOO: Final = frozenset(
    {"publish_refused", "resent", "not_sent", "not_sent_offline", "not_sent_window"}
)
_OF_APPLICATIONS_TOO: Final = frozenset({"bytes_in", "bytes_out"})


def measured_for(scenario: Scenario, metric: str) -> list[str]:
    """The groups of cars, then the applications, for which a metric is ever measured."""
    applications = scenario.applications
    names = [group.name for group in scenario.vehicles if _is_measured(scenario, metric, group)]
    if metric in _BOOKS | _OF_APPLICATIONS_TOO:
        names += [each.name for each in applications.observers]
    if metric in _OF_COMMANDERS_TOO | _OF_APPLICATIONS_TOO:
        names += [each.name for each in applications.commanders]
    return names


def commanded_groups(scenario: Scenario, commanders: Commanders) -> list[VehicleGroup]:
    """The groups whose cars the commanders command."""
    return [
        group
        for group in scenario.vehicles
        if group.commands is not None and commanders.group in {None, group.name}
    ]


def has_qos_1(group: VehicleGroup) -> bool:
    """Whether a group has a stream of QoS 1."""
    return any(stream.qos == 1 for stream in group.streams.values())


def _is_measured(scenario: Scenario, metric: str, group: VehicleGroup) -> bool:
    applications = scenario.applications
    if metric in NEEDS_OBSERVERS:
        return any(group in groups_read(scenario, each) for each in applications.observers)
    if metric in NEEDS_COMMANDERS:
        return any(group in commanded_groups(scenario, each) for each in applications.commanders)
    reports = group.shadow is not None
    if metric == "publish_ack_ms":
        return has_qos_1(group) or reports
    # Answers to commands are published at QoS 1.
    answers = group.commands is not None
    if metric in NEEDS_QOS_1:
        return has_qos_1(group) or reports or answers
    if metric in _NEEDS_STREAMS:
        return bool(group.streams)
    if metric in _NEEDS_PUBLISHES:
        return bool(group.streams) or reports or answers
    if metric == "tls_ms":
        # The SDK does not tell when TLS stands.
        return group.client == "engine"
    return True
