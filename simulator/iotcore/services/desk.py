"""The desk at which every request on a reserved topic arrives, and is given to its service.

Owns the order of services, what becomes of a request nobody serves, and the time-outs of all of
them as one. Knows nothing about what any service does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from simulator.iotcore.joints import DocumentedTopics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.iotcore.joints import Answer
    from simulator.iotcore.message import Message
    from simulator.iotcore.services.service import Service

_SHADOW: Final = "/shadow/"


class ServiceDesk(DocumentedTopics):
    """Services behind `$` topics, as one.

    A request to a shadow is also an ordinary message, which subscribers and rules may see
    (developer guide, "Device Shadow MQTT topics"); the requests of the other services are consumed.

    Args:
        services: By name; the first that claims a topic serves it.
        thing_of: Finds the thing that a client's connection stands for.
    """

    __slots__ = ("_services", "_thing_of")

    def __init__(
        self, services: Mapping[str, Service], thing_of: Callable[[str], str | None]
    ) -> None:
        self._services = dict(services)
        self._thing_of = thing_of

    def handle(
        self, message: Message, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer] | None:
        """Give a request to its service."""
        topic = message.topic
        for service in self._services.values():
            if service.claims(topic):
                thing = None if client_id is None else self._thing_of(client_id)
                return service.handle(message, client_id, thing, now_s)
        return super().handle(message, client_id, now_s)

    def is_seen(self, topic: str, /) -> bool:
        """Whether subscribers get the request itself, besides its answers."""
        return _SHADOW in topic

    def advance(self, now_s: float, /) -> list[Answer]:
        """Let every service do what became due."""
        answers: list[Answer] = []
        for service in self._services.values():
            deadline_s = service.next_deadline_s
            if deadline_s is not None and deadline_s <= now_s:
                answers += service.advance(now_s)
        return answers

    @property
    def next_deadline_s(self) -> float | None:
        """When `advance` has something to do next."""
        deadlines = (service.next_deadline_s for service in self._services.values())
        soonest = min((each for each in deadlines if each is not None), default=math.inf)
        return None if soonest == math.inf else soonest

    def dump(self) -> dict[str, Any]:
        """What every service remembers, as a JSON document."""
        return {name: service.dump() for name, service in self._services.items()}

    def load(self, document: Mapping[str, Any]) -> None:
        """Take over what `dump` gave; services it does not name start empty.

        Raises:
            ValueError: The document is damaged.
        """
        for name, service in self._services.items():
            if name in document:
                service.load(document[name])
