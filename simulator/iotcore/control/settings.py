"""What the account says of itself: its endpoints and which events it publishes.

Sources: AWS IoT API reference, DescribeEndpoint and UpdateEventConfigurations; developer guide,
"Event messages". Every event is off until it is switched on. Of these, events of jobs, job
executions, things and memberships are published here; the switches of the others are kept and
shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from simulator.iotcore.control.failures import invalid
from simulator.iotcore.control.reading import ControlMembers
from simulator.iotcore.registry import EventType
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result

EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)
DATA: Final = "iot:Data"


class Settings:
    """The operations on endpoints and event configurations.

    Args:
        resources: What keeps the event configurations.
        endpoints: Address by endpoint type. `iot:Data` is that of `iot:Data-ATS` unless named.
        events_changed: Called with every event type and whether it is on.
    """

    def __init__(
        self,
        resources: Resources,
        endpoints: Mapping[str, str],
        events_changed: Callable[[Mapping[str, bool]], None],
    ) -> None:
        self._registry = resources.registry
        self._unix_s = resources.unix_s
        self._endpoints = endpoints
        self._events_changed = events_changed

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "DescribeEndpoint": self.describe_endpoint,
            "DescribeEventConfigurations": self.describe_event_configurations,
            "UpdateEventConfigurations": self.update_event_configurations,
        }

    def describe_endpoint(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeEndpoint."""
        kind = ControlMembers(request).text("endpointType", longest=128) or DATA
        address = self._endpoints.get(kind)
        if address is None and kind == DATA:
            address = self._endpoints.get("iot:Data-ATS")
        if address is None:
            raise invalid(f"Endpoint type {kind} is not supported")
        return {"endpointAddress": address}, []

    def describe_event_configurations(
        self, _request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """DescribeEventConfigurations."""
        kept = self._registry.events
        shown = {kind: {"Enabled": on} for kind, on in self.events().items()}
        return without_nulls(
            {
                "eventConfigurations": shown,
                "creationDate": kept.created_s or None,
                "lastModifiedDate": kept.modified_s or None,
            }
        ), []

    def update_event_configurations(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """UpdateEventConfigurations. Events that are not named stay as they are."""
        given = ControlMembers(request).inside("eventConfigurations")
        unknown = given.names() - set(EVENT_TYPES)
        if unknown:
            raise invalid(f"Event type {min(unknown)[:64]} is not known")
        changes = {
            kind: given.inside(kind).flag("Enabled") is True
            for kind in EVENT_TYPES
            if kind in given
        }
        self._registry.set_events(changes, self._unix_s(now_s))
        self.apply_events()
        return {}, []

    def events(self) -> dict[str, bool]:
        """Every event type and whether it is on."""
        enabled = self._registry.events.enabled
        return {kind: enabled.get(kind, False) for kind in EVENT_TYPES}

    def apply_events(self) -> None:
        """Tell the services which events are on."""
        self._events_changed(self.events())
