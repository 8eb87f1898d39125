"""From one message to every session that gets it.

Owns the choice of subscribers, the effective QoS, the policy check per delivery (`iot:Receive`),
the send window and what happens when there is no room. Knows nothing about inbound packets or
timers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.counters import Cause, Counters
from simulator.iotcore.session import Delivery, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.connection import Connection
    from simulator.iotcore.joints import Quotas
    from simulator.iotcore.lifetimes import Lifetimes
    from simulator.iotcore.message import Message
    from simulator.iotcore.outputs import Outputs
    from simulator.iotcore.subscriptions import Match, SharedGroup, Subscription


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
                self._deliver_qos1(session, message, retain=retain, now_s=now_s)
            elif session.connection is not None:
                self._deliver_qos0(session, session.connection, message, retain, now_s)
        for group in match.groups:
            self._distribute_shared(message, group, now_s)

    def pass_on(
        self,
        topic: str,
        wire: bytes,
        match: Match[Session],
        publisher: Session | None,
        now_s: float,
    ) -> None:
        """Deliver a plain PUBLISH at QoS 0 as it came in; see `distribute`."""
        for subscription in match.direct:
            session = subscription.subscriber
            if session.connection is not None and not (
                subscription.no_local and session is publisher
            ):
                self._send_qos0(session, session.connection, topic, wire, now_s)
        for group in match.groups:
            member = self._member_for(group, now_s)
            if member is not None and member.subscriber.connection is not None:
                session = member.subscriber
                self._send_qos0(session, member.subscriber.connection, topic, wire, now_s)

    def deliver(
        self, session: Session, message: Message, qos: int, *, retain: bool, now_s: float
    ) -> None:
        """Deliver to one session, for retained messages and direct answers."""
        if qos:
            self._deliver_qos1(session, message, retain=retain, now_s=now_s)
        elif session.connection is not None:
            self._deliver_qos0(session, session.connection, message, retain, now_s)

    def send_queued(self, session: Session, now_s: float) -> None:
        """Send what waits, as far as the send window and the pace of stored messages allow."""
        connection = session.connection
        if connection is None:
            return
        while len(session.in_flight) < connection.send_window and not connection.is_held:
            if session.stored and now_s >= session.replay_at_s:
                wait_s = self._replay_wait_s(session, now_s)
                if wait_s <= 0.0:
                    delivery = session.take_stored()
                    self._transmit(connection, session, delivery, now_s, is_paid=True)
                    continue
                self._lifetimes.replay_at(session, now_s + wait_s)
            waiting = session.take()
            if waiting is None:
                return
            self._transmit(connection, session, waiting, now_s)

    def _replay_wait_s(self, session: Session, now_s: float) -> float:
        """Seconds until the oldest stored delivery may be sent, or dropped because it expired."""
        oldest = session.stored[0]
        if oldest.message.is_expired(now_s):
            return 0.0
        return self._quotas.replay(session.meter, oldest.group is not None, now_s)

    def _distribute_shared(
        self, message: Message, group: SharedGroup[Session], now_s: float
    ) -> None:
        """To one member that is online and has room, else store it, else to any that is online."""
        chosen = self._member_for(group, now_s)
        if (
            chosen is None or self._quotas.is_saturated(chosen.subscriber.meter, now_s)
        ) and self._store_shared(message, group, now_s):
            return
        if chosen is not None:
            retain = message.retain and chosen.retain_as_published
            qos = 1 if message.qos and chosen.qos else 0
            self.deliver(chosen.subscriber, message, qos, retain=retain, now_s=now_s)

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
        """Store a message for a group with one member that has a session.

        Returns:
            False when there is none, or the message is not of QoS 1.
        """
        storing = [m for m in group.members.values() if m.qos and m.subscriber.expiry_s]
        if not storing or not message.qos:
            return False
        chosen = storing[self._choose(len(storing))]
        session = chosen.subscriber
        breach = self._quotas.queue_shared(group.waiting, now_s)
        if breach is None or not self._counters.breached(breach, session.client_id):
            retain = message.retain and chosen.retain_as_published
            self._put(session, Delivery(message, retain=retain, group=group), is_stored=True)
            self.send_queued(session, now_s)
        return True

    def _deliver_qos0(
        self,
        session: Session,
        connection: Connection,
        message: Message,
        retain: bool,
        now_s: float,
    ) -> None:
        data = message.encode(0, None, retain=True, now_s=now_s) if retain else message.qos0(now_s)
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
        self._outputs.send(connection, data)
        delay = self._quotas.throughput(session.meter, len(data), now_s)
        if delay is not None:
            self._lifetimes.hold(connection, delay, now_s)

    def _deliver_qos1(
        self, session: Session, message: Message, *, retain: bool, now_s: float
    ) -> None:
        delivery = Delivery(message, retain=retain)
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
            data = message.encode(1, packet_id, retain=True, now_s=now_s)
        else:
            data = message.qos1(packet_id, now_s)
        if len(data) > connection.client_packet_bytes_max:
            # MQTT-3.1.2-25: too large for the client counts as delivered.
            session.acknowledge(packet_id)
            counters.count(Cause.DROPPED_TOO_LARGE)
            return
        self._send(session, connection, data, now_s)
