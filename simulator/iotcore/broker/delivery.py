"""From one message to every session that gets it.

Owns the choice of subscribers, the effective QoS, the policy check per delivery (`iot:Receive`),
the send window and what happens when there is no room. Knows nothing about inbound packets or
timers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.broker.counters import Cause, Counters
from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.session import Delivery, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.broker.joints import Quotas
    from simulator.iotcore.broker.lifetimes import Lifetimes
    from simulator.iotcore.broker.outputs import Outputs
    from simulator.iotcore.broker.subscriptions import Match, SharedGroup, Subscription


class Distributor:
    """Delivers messages to sessions.

    Args:
        outputs: Where bytes go.
        counters: What is delivered and dropped.
        quotas: Whether a client may get one more now, and how fast it gets stored ones.
        choose: Picks a number below its argument, for shared subscriptions.
    """

    __slots__ = ("_choose", "_counters", "_lifetimes", "_may_overtake", "_outputs", "_quotas")

    def __init__(
        self, outputs: Outputs, counters: Counters, quotas: Quotas, choose: Callable[[int], int]
    ) -> None:
        self._outputs = outputs
        self._counters = counters
        self._quotas = quotas
        self._may_overtake = quotas.mixes_replay
        self._choose = choose

    def join(self, lifetimes: Lifetimes) -> None:
        """Name who waits for a connection that is ahead, or for the next stored message."""
        self._lifetimes = lifetimes

    def distribute(
        self, message: Message, match: Match[Session], publisher: Session | None, now_s: float
    ) -> None:
        """Deliver to every matching session but, with No Local, not to the publisher's own."""
        for subscription in match.direct:
            session = subscription.subscriber
            if session is publisher and subscription.no_local:
                continue
            qos = 1 if message.qos and subscription.qos else 0
            retain = message.retain and subscription.retain_as_published
            if qos:
                self._deliver_qos1(session, Delivery(message, retain=retain), now_s)
            elif session.connection is not None:
                self._deliver_qos0(session, session.connection, message, retain, now_s)
        for group in match.groups:
            self._distribute_shared(message, group, now_s)

    def pass_on(
        self,
        topic: str,
        wire: bytes,
        payload_start: int,
        match: Match[Session],
        publisher: Session,
        now_s: float,
    ) -> None:
        """Deliver a plain PUBLISH at QoS 0 as it came in; see `distribute`.

        Args:
            topic: Its topic.
            wire: Its bytes, which go to clients of the publisher's version as they are.
            payload_start: Where the payload begins in them.
            match: Who gets it.
            publisher: Whose it is.
            now_s: The time now.
        """
        level = publisher.level
        other: Message | None = None
        receivers = match.direct
        if match.groups:
            members = (self._member_for(group, now_s) for group in match.groups)
            receivers += tuple(member for member in members if member is not None)
        for subscription in receivers:
            session = subscription.subscriber
            connection = session.connection
            if connection is None or (subscription.no_local and session is publisher):
                continue
            data = wire
            if session.level != level:
                if other is None:
                    other = Message(topic, wire[payload_start:], 0, now_s)
                data = other.qos0(session.level, now_s)
            self._send_qos0(session, connection, topic, data, now_s)

    def deliver(
        self,
        session: Session,
        message: Message,
        qos: int,
        *,
        retain: bool,
        now_s: float,
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Deliver to one session, for retained messages and direct ones.

        Args:
            session: Whose.
            message: What.
            qos: At which QoS.
            retain: Whether RETAIN is set.
            now_s: The time now.
            acknowledged: Called when the client acknowledges a delivery at QoS 1.
        """
        if qos:
            delivery = Delivery(message, retain=retain, acknowledged=acknowledged)
            self._deliver_qos1(session, delivery, now_s)
        elif session.connection is not None:
            self._deliver_qos0(session, session.connection, message, retain, now_s)

    def send_queued(self, session: Session, now_s: float) -> None:
        """Send what waits, as far as the send window and the pace of stored messages allow."""
        connection = session.connection
        if connection is None:
            return
        while len(session.in_flight) < connection.send_window and not connection.is_held:
            stored = self._next_stored(session, now_s) or self._next_of_groups(session, now_s)
            delivery = stored or session.take()
            if delivery is None:
                return
            self._transmit(connection, session, delivery, now_s, is_paid=stored is not None)

    def drain(self, group: SharedGroup[Session], now_s: float) -> None:
        """Send what waits for a shared group to the members that may get it now."""
        for member in tuple(group.members.values()):
            if not group.waiting:
                return
            session = member.subscriber
            if session.connection is not None and now_s >= session.shared_replay_at_s:
                self.send_queued(session, now_s)

    def _next_stored(self, session: Session, now_s: float) -> Delivery | None:
        """The oldest stored delivery if it may go now; otherwise there is a timer, or none."""
        if not session.stored or now_s < session.replay_at_s:
            return None
        message = session.stored[0].message
        wait_s = self._replay_wait_s(session, message, is_shared=False, now_s=now_s)
        if wait_s > 0.0:
            self._lifetimes.replay_at(session, now_s + wait_s)
            return None
        return session.take_stored()

    def _next_of_groups(self, session: Session, now_s: float) -> Delivery | None:
        """The same for the oldest message that waits in any of the session's shared groups."""
        if not session.shared or now_s < session.shared_replay_at_s:
            return None
        found = [
            (each, each.group.queue) for each in session.shared if each.group and each.group.queue
        ]
        if not found:
            return None
        subscription, queue = min(found, key=lambda pair: pair[1].messages[0].received_at_s)
        wait_s = self._replay_wait_s(session, queue.messages[0], is_shared=True, now_s=now_s)
        if wait_s > 0.0:
            self._lifetimes.shared_replay_at(session, now_s + wait_s)
            return None
        message = queue.take()
        retain = message.retain and subscription.retain_as_published
        return Delivery(message, retain=retain, group=subscription.group)

    def _replay_wait_s(
        self, session: Session, message: Message, *, is_shared: bool, now_s: float
    ) -> float:
        """Seconds until a stored message may be sent, or dropped because it expired."""
        if message.is_expired(now_s):
            return 0.0
        return self._quotas.replay(session.meter, is_shared, now_s)

    def _distribute_shared(
        self, message: Message, group: SharedGroup[Session], now_s: float
    ) -> None:
        """To one member that is online and has room, else store it, else to any that is online."""
        chosen = self._member_for(group, now_s)
        if (
            chosen is None or self._quotas.is_saturated(chosen.subscriber.meter, now_s)
        ) and self._store_shared(message, group, now_s):
            return
        if chosen is None:
            return
        session = chosen.subscriber
        retain = message.retain and chosen.retain_as_published
        if message.qos and chosen.qos:
            self._deliver_qos1(session, Delivery(message, retain=retain, group=group), now_s)
        elif session.connection is not None:
            self._deliver_qos0(session, session.connection, message, retain, now_s)

    def _member_for(
        self, group: SharedGroup[Session], now_s: float
    ) -> Subscription[Session] | None:
        """A random member that is online, if possible one that may get another message now."""
        online = [m for m in group.members.values() if m.subscriber.connection is not None]
        if not online:
            return None
        chosen = online[self._choose(len(online))]
        is_saturated = self._quotas.is_saturated
        if is_saturated(chosen.subscriber.meter, now_s):
            ready = [m for m in online if not is_saturated(m.subscriber.meter, now_s)]
            if ready:
                return ready[self._choose(len(ready))]
        return chosen

    def _store_shared(self, message: Message, group: SharedGroup[Session], now_s: float) -> bool:
        """Store a message for whichever member of a group is ready first.

        Returns:
            False when no member has a session, or the message is not of QoS 1.
        """
        members = group.members.values()
        storing = next((m.subscriber for m in members if m.qos and m.subscriber.expiry_s), None)
        if storing is None or not message.qos:
            return False
        breach = self._quotas.queue_shared(group.waiting, now_s)
        if breach is None or not self._counters.breached(breach, storing.client_id):
            if self._lifetimes.queue_of(group).put(message):
                self._counters.messages_queued += 1
            else:
                self._counters.count(Cause.DROPPED_QUEUE_FULL)
            self.drain(group, now_s)
        return True

    def _deliver_qos0(
        self,
        session: Session,
        connection: Connection,
        message: Message,
        retain: bool,
        now_s: float,
    ) -> None:
        level = session.level
        data = message.retained(level, 0, None, now_s) if retain else message.qos0(level, now_s)
        self._send_qos0(session, connection, message.topic, data, now_s)

    def _send_qos0(
        self, session: Session, connection: Connection, topic: str, data: bytes, now_s: float
    ) -> None:
        counters = self._counters
        authorizer = connection.authorizer
        if authorizer is None or not authorizer.may_receive(topic):
            counters.count(Cause.RECEIVE_DENIED)
        elif not self._outputs.has_room(connection):
            counters.count(Cause.DROPPED_SLOW_READER)
        elif len(data) > connection.client_packet_bytes_max:
            counters.count(Cause.DROPPED_TOO_LARGE)
        else:
            breach = self._quotas.deliver(session.meter, now_s)
            if breach is None or not counters.breached(breach, session.client_id):
                self._send(session, connection, data, now_s)

    def _send(self, session: Session, connection: Connection, data: bytes, now_s: float) -> None:
        self._counters.publishes_out += 1
        connection.publishes_out += 1
        self._outputs.send(connection, data)
        delay = self._quotas.throughput(session.meter, len(data), now_s)
        if delay is not None:
            self._lifetimes.hold(connection, delay, now_s)

    def _deliver_qos1(self, session: Session, delivery: Delivery, now_s: float) -> None:
        connection = session.connection
        if connection is None:
            breach = self._quotas.queue(session.meter, now_s)
            if breach is None or not self._counters.breached(breach, session.client_id):
                self._put(session, delivery, is_stored=True)
        elif connection.is_held or not session.has_room_in_flight(
            connection.send_window, may_overtake=self._may_overtake
        ):
            self._put(session, delivery, is_stored=False)
        else:
            self._transmit(connection, session, delivery, now_s)

    def _put(self, session: Session, delivery: Delivery, *, is_stored: bool) -> None:
        if session.put(delivery, is_stored=is_stored):
            self._counters.messages_queued += 1
        else:
            self._counters.count(Cause.DROPPED_QUEUE_FULL)

    def _transmit(
        self,
        connection: Connection,
        session: Session,
        delivery: Delivery,
        now_s: float,
        *,
        is_paid: bool = False,
    ) -> None:
        """Send a QoS 1 delivery, or drop it when it may not go out.

        Args:
            connection: Where it goes.
            session: Whose it is.
            delivery: What it is.
            now_s: The time now.
            is_paid: Whether the quotas have counted it.
        """
        message = delivery.message
        counters = self._counters
        authorizer = connection.authorizer
        if message.is_expired(now_s):
            counters.count(Cause.DROPPED_EXPIRED)
            return
        if authorizer is None or not authorizer.may_receive(message.topic):
            counters.count(Cause.RECEIVE_DENIED)
            return
        if not is_paid:
            breach = self._quotas.deliver(session.meter, now_s)
            if breach is not None and counters.breached(breach, session.client_id):
                return
        packet_id = session.start(delivery, now_s)
        if delivery.retain:
            data = message.retained(session.level, 1, packet_id, now_s)
        else:
            data = message.qos1(session.level, packet_id, now_s)
        if len(data) > connection.client_packet_bytes_max:
            # MQTT-3.1.2-25: too large for the client counts as delivered.
            session.acknowledge(packet_id)
            counters.count(Cause.DROPPED_TOO_LARGE)
            return
        self._send(session, connection, data, now_s)
