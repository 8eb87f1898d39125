"""Where a message goes: the retained store, a service behind a reserved topic, the subscribers.

Owns the order of those three. Knows nothing about packets, policies of the publisher, or timers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.broker.counters import Cause, Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.iotcore.broker.delivery import Distributor
    from simulator.iotcore.broker.joints import Answer, Quotas, ReservedTopics
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.broker.retained import RetainedMessages
    from simulator.iotcore.broker.session import Session
    from simulator.iotcore.broker.subscriptions import Subscriptions


class Router:
    """Routes messages that are allowed.

    Args:
        subscriptions: Who subscribed.
        retained: The store of retained messages.
        reserved: The services behind `$` topics.
        distributor: Delivers to sessions.
        sessions: By client id, for direct answers.
        quotas: What answers of services count against.
        counters: What is dropped.
    """

    __slots__ = (
        "_counters",
        "_distributor",
        "_quotas",
        "_reserved",
        "_retained",
        "_sessions",
        "_subscriptions",
    )

    def __init__(
        self,
        subscriptions: Subscriptions[Session],
        retained: RetainedMessages,
        reserved: ReservedTopics,
        distributor: Distributor,
        sessions: Mapping[str, Session],
        quotas: Quotas,
        counters: Counters,
    ) -> None:
        self._subscriptions = subscriptions
        self._retained = retained
        self._reserved = reserved
        self._distributor = distributor
        self._sessions = sessions
        self._quotas = quotas
        self._counters = counters

    def is_wanted(self, topic: str) -> bool:
        """Whether `route` would do anything with a message that is not retained."""
        return topic[0] == "$" or bool(self._subscriptions.match(topic))

    def can_retain(self, topic: str, now_s: float) -> bool:
        """Whether the store of retained messages has room for one more on this topic."""
        return self._retained.has_place(topic, now_s)

    def route(self, message: Message, publisher: Session | None, now_s: float) -> None:
        """Route a message; without a publisher it is one of the process itself."""
        if message.retain and not self._retained.put(message):
            self._counters.count(Cause.RETAINED_FULL)
        if message.topic[0] == "$":
            client_id = publisher.client_id if publisher is not None else None
            answers = self._reserved.handle(message, client_id, now_s)
            if answers is not None:
                if self._reserved.is_seen(message.topic):
                    self._distribute(message, publisher, now_s)
                self.answer(answers, now_s)
                return
        self._distribute(message, publisher, now_s)

    def route_will(self, message: Message, publisher: Session, now_s: float) -> None:
        """Route a will. It is no request: the Device Shadow service ignores wills.

        Developer guide, "Device Shadow MQTT topics"; that other services do so too is an
        assumption.
        """
        if message.retain and not self._retained.put(message):
            self._counters.count(Cause.RETAINED_FULL)
        self._distribute(message, publisher, now_s)

    def _distribute(self, message: Message, publisher: Session | None, now_s: float) -> None:
        match = self._subscriptions.match(message.topic)
        self._distributor.distribute(message, match, publisher, now_s)

    def announce(self, event: Message | None, now_s: float) -> None:
        """Give a message to its subscribers and nobody else: events, answers of services."""
        if event is not None:
            # Topics of events and answers carry ids and hardly repeat, so they are not remembered.
            match = self._subscriptions.find(event.topic)
            self._distributor.distribute(event, match, None, now_s)

    def answer(self, answers: Sequence[Answer], now_s: float) -> None:
        """Send what services say, which counts as inbound publishes of the account."""
        self._quotas.answer(len(answers), now_s)
        for message, client_id in answers:
            if client_id is None:
                self.announce(message, now_s)
            else:
                self.send_direct(client_id, message, now_s)

    def send_direct(
        self,
        client_id: str,
        message: Message,
        now_s: float,
        acknowledged: Callable[[], None] | None = None,
    ) -> bool:
        """Deliver to one connected client, subscribed or not; False when it is not connected.

        Args:
            client_id: Whom.
            message: What.
            now_s: The time now.
            acknowledged: Called when the client acknowledges it.
        """
        session = self._sessions.get(client_id)
        if session is None or session.connection is None:
            return False
        self._distributor.deliver(
            session, message, message.qos, retain=False, now_s=now_s, acknowledged=acknowledged
        )
        return True

    def send_retained(self, session: Session, topic: str, max_qos: int, now_s: float) -> None:
        """Deliver the retained message of exactly this topic, if there is one.

        The store knows topic names only, so wildcard and shared filters find nothing.
        """
        message = self._retained.get(topic, now_s)
        if message is not None:
            qos = min(message.qos, max_qos)
            self._distributor.deliver(session, message, qos, retain=True, now_s=now_s)
