"""The desk at which every request on a reserved topic arrives, and is given to its service.

Owns the order of services, the quotas on their requests, what becomes of a request nobody serves,
and the time-outs of all of them as one. Knows nothing about what any service does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.iotcore.broker.joints import DocumentedTopics
from simulator.iotcore.services.demands import demands

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.iotcore.broker.counters import Cause
    from simulator.iotcore.broker.joints import Admit, Answer, Breached
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.services.service import Service

_SHADOW: Final = "/shadow/"


class ServiceDesk(DocumentedTopics):
    """Services behind `$` topics, as one.

    A request to a shadow is also an ordinary message, which subscribers and rules may see
    (developer guide, "Device Shadow MQTT topics"); the requests of the other services are consumed.

    Args:
        services: By name; the first that claims a topic serves it.
    """

    __slots__ = ("_admit", "_breached", "_requests", "_services", "_throttled")

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = dict(services)
        self._requests = dict.fromkeys(services, 0)
        self._throttled = dict.fromkeys(services, 0)
        self._admit: Admit | None = None
        self._breached: Breached | None = None

    def join(self, admit: Admit, breached: Breached, /) -> None:
        """Ask the broker's quotas before a request is served, and tell it what others refused."""
        self._admit = admit
        self._breached = breached

    def breached(self, cause: Cause, client_id: str) -> None:
        """A service refused a request because of a quota that it knows itself."""
        if self._breached is not None:
            self._breached(cause, client_id)

    def handle(
        self, message: Message, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer] | None:
        """Give a request to its service, or have the service refuse it when a quota says so."""
        topic = message.topic
        for name, service in self._services.items():
            if service.claims(topic):
                self._requests[name] += 1
                if self._may_pass(topic, client_id, now_s):
                    return service.handle(message, client_id, now_s)
                self._throttled[name] += 1
                return service.throttled(message, client_id, now_s)
        return super().handle(message, client_id, now_s)

    def _may_pass(self, topic: str, client_id: str | None, now_s: float) -> bool:
        if self._admit is None or client_id is None:
            return True
        claims = demands(topic)
        return not claims or self._admit(claims, client_id, now_s)

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
        return min((each_s for each_s in deadlines if each_s is not None), default=None)

    def status(self) -> dict[str, dict[str, Any]]:
        """Of every service: requests over MQTT, those refused by a quota, and what it says."""
        return {
            name: {
                "requests": self._requests[name],
                "throttled": self._throttled[name],
                **service.status(),
            }
            for name, service in self._services.items()
        }
