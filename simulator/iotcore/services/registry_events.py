"""Events of the registry: things that come, change and go, and their memberships in groups.

Publishes `$aws/events/thing/...` and `$aws/events/thingGroupMembership/...` while they are switched
on, whoever changed the registry: the API, provisioning, or a certificate that connects for the
first time. Source: AWS IoT Core developer guide, "Registry events". They follow the change when the
broker's clock moves on, at most a second later. At most 10,000 wait; beyond, the newest is dropped
and counted. What waits is lost in a restart. Events of thing types, groups and certificates are not
published.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry, Thing, ThingGroup

WAITING_MAX: Final = 10_000


class RegistryEvents:
    """The service. Nobody asks it anything over MQTT.

    Args:
        registry: Whose changes are published; it says which events are on.
        account: Account number and ARNs.
        new_id: Makes event ids.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        account: Account,
        new_id: Callable[[], str],
        unix_s_at_zero: float,
    ) -> None:
        self._registry = registry
        self._account = account
        self._new_id = new_id
        self._unix_s_at_zero = unix_s_at_zero
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._published = 0
        self._dropped = 0
        registry.watcher = self

    # What the registry tells

    def thing_changed(self, thing: Thing, operation: str) -> None:
        """A thing was CREATED, UPDATED or DELETED."""
        if self._registry.events.enabled.get("THING", False):
            self._add(
                f"$aws/events/thing/{thing.name}/{operation.lower()}",
                {
                    "eventType": "THING_EVENT",
                    "operation": operation,
                    "accountId": self._account.account_id,
                    "thingId": thing.thing_id,
                    "thingName": thing.name,
                    "versionNumber": thing.version,
                    "thingTypeName": thing.type_name,
                    "attributes": dict(thing.attributes),
                },
            )

    def membership_changed(self, thing: Thing, group: ThingGroup, operation: str) -> None:
        """A thing was ADDED to a group or REMOVED from it."""
        if self._registry.events.enabled.get("THING_GROUP_MEMBERSHIP", False):
            prefix = self._account.arn_prefix
            self._add(
                f"$aws/events/thingGroupMembership/thingGroup/{group.name}/thing/{thing.name}/"
                f"{operation.lower()}",
                {
                    "eventType": "THING_GROUP_MEMBERSHIP_EVENT",
                    "operation": operation,
                    "accountId": self._account.account_id,
                    "groupArn": f"{prefix}thinggroup/{group.name}",
                    "groupId": group.group_id,
                    "thingArn": f"{prefix}thing/{thing.name}",
                    "thingId": thing.thing_id,
                    "membershipId": _membership_id(thing, group),
                },
            )

    def _add(self, topic: str, document: dict[str, Any]) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append((topic, document))

    # As a service

    def claims(self, _topic: str, /) -> bool:
        """Never: there is nothing to ask."""
        return False

    def handle(
        self, _message: Message, _client_id: str | None, _now_s: float, /
    ) -> Sequence[Answer]:
        """Nothing to serve."""
        return ()

    def throttled(
        self, _message: Message, _client_id: str | None, _now_s: float, /
    ) -> Sequence[Answer]:
        """Nothing to refuse."""
        return ()

    def advance(self, now_s: float, /) -> Sequence[Answer]:
        """Publish what waits, in order."""
        timestamp_ms = int((self._unix_s_at_zero + now_s) * 1000)
        answers = []
        while self._waiting:
            topic, document = self._waiting.popleft()
            document |= {"eventId": self._new_id(), "timestamp": timestamp_ms}
            answers.append(Answer(Message(topic, msgspec.json.encode(document), 1, now_s)))
        self._published += len(answers)
        return answers

    @property
    def next_deadline_s(self) -> float | None:
        """At once when something waits."""
        return 0.0 if self._waiting else None

    def dump(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}

    def load(self, document: dict[str, Any], /) -> None:
        """Nothing is taken over."""

    def status(self) -> dict[str, Any]:
        """Events published, and dropped because too many waited."""
        return {"published": self._published, "dropped": self._dropped}


def _membership_id(thing: Thing, group: ThingGroup) -> str:
    """In the form of a UUID; the same thing in the same group always has the same one."""
    digest = hashlib.sha256(f"{group.group_id}/{thing.thing_id}".encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
