"""Who is told of changes of things and memberships, whoever makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from simulator.iotcore.registry.records import Thing, ThingGroup


class Watcher(Protocol):
    """Is called after each change, with the records as they are then, or were last."""

    def thing_changed(self, thing: Thing, operation: str) -> None:
        """A thing was CREATED, UPDATED or DELETED."""
        ...

    def membership_changed(self, thing: Thing, group: ThingGroup, operation: str) -> None:
        """A thing was ADDED to a group or REMOVED from it."""
        ...
