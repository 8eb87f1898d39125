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
    from simulator.iotcore.message import Message
    from simulator.iotcore.outputs import Outputs
    from simulator.iotcore.subscriptions import Match, SharedGroup, Subscription


class Distributor:
    """Delivers messages to sessions.

    Args:
        outputs: Where bytes go.
        counters: What is delivered and dropped.
        quotas: Whether a client may get one more now.
        choose: Picks a number below its argument, for shared subscriptions.
    """

    __slots__ = ("_choose", "_counters", "_outputs", "_quotas")

    def __init__(
        self, outputs: Outputs, counters: Counters, quotas: Quotas, choose: Callable[[int], int]
    ) -> None:
        self._outputs = outputs
        self._counters = counters
        self._quotas = quotas
        self._choose = choose

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
                self._deliver_qos0(session.connection, message, retain=retain, now_s=now_s)
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
            connection = session.connection
            if connection is not None and not (subscription.no_local and session is publisher):
                self._send_qos0(connection, topic, wire, now_s)
        for group in match.groups:
            online = [
                member.subscriber.connection
                for member in group.members.values()
                if member.subscriber.connection is not None
            ]
            if online:
                self._send_qos0(online[self._choose(len(online))], topic, wire, now_s)

    def deliver(
        self, session: Session, message: Message, qos: int, *, retain: bool, now_s: float
    ) -> None:
        """Deliver to one session, for retained messages and direct answers."""
        if qos:
            self._deliver_qos1(session, message, retain=retain, now_s=now_s)
        elif session.connection is not None:
            self._deliver_qos0(session.connection, message, retain=retain, now_s=now_s)

    def send_queued(self, session: Session, now_s: float) -> None:
        """Send what waits, as far as the send window allows."""
        connection = session.connection
        if connection is None:
            return
        while session.queued and len(session.in_flight) < connection.send_window:
            delivery = session.take()
            if delivery is not None:
                self._transmit(connection, session, delivery, now_s)

    def _distribute_shared(
        self, message: Message, group: SharedGroup[Session], now_s: float
    ) -> None:
        """One random member that is online, else one that has a session to queue for."""
        members = list(group.members.values())
        online = [m for m in members if m.subscriber.connection is not None]
        chosen: Subscription[Session]
        if online:
            chosen = online[self._choose(len(online))]
        else:
            storing = [m for m in members if m.qos and message.qos]
            if not storing:
                return
            chosen = storing[self._choose(len(storing))]
        retain = message.retain and chosen.retain_as_published
        qos = 1 if message.qos and chosen.qos else 0
        self.deliver(chosen.subscriber, message, qos, retain=retain, now_s=now_s)

    def _deliver_qos0(
        self, connection: Connection, message: Message, *, retain: bool, now_s: float
    ) -> None:
        data = message.encode(0, None, retain=True, now_s=now_s) if retain else message.qos0(now_s)
        self._send_qos0(connection, message.topic, data, now_s)

    def _send_qos0(self, connection: Connection, topic: str, data: bytes, now_s: float) -> None:
        counters = self._counters
        authorizer = connection.authorizer
        if authorizer is None or not authorizer.may_receive(topic):
            counters.count(Cause.RECEIVE_DENIED)
        elif not self._outputs.has_room(connection):
            counters.count(Cause.DROPPED_SLOW_READER)
        elif len(data) > connection.client_packet_bytes_max:
            counters.count(Cause.DROPPED_TOO_LARGE)
        elif not self._quotas.deliver(connection.client_id, len(data), now_s):
            counters.count(Cause.DROPPED_THROTTLED)
        else:
            counters.publishes_out += 1
            self._outputs.send(connection, data)

    def _deliver_qos1(
        self, session: Session, message: Message, *, retain: bool, now_s: float
    ) -> None:
        delivery = Delivery(message, retain=retain)
        connection = session.connection
        if connection is not None and session.has_room_in_flight(connection.send_window):
            self._transmit(connection, session, delivery, now_s)
        elif session.put(delivery):
            self._counters.messages_queued += 1
        else:
            self._counters.count(Cause.DROPPED_QUEUE_FULL)

    def _transmit(
        self, connection: Connection, session: Session, delivery: Delivery, now_s: float
    ) -> None:
        """Send a QoS 1 delivery, or drop it for good when this client can never take it."""
        message = delivery.message
        counters = self._counters
        authorizer = connection.authorizer
        if message.is_expired(now_s):
            counters.count(Cause.DROPPED_EXPIRED)
            return
        if authorizer is None or not authorizer.may_receive(message.topic):
            counters.count(Cause.RECEIVE_DENIED)
            return
        if not self._quotas.deliver(connection.client_id, len(message.payload), now_s):
            counters.count(Cause.DROPPED_THROTTLED)
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
        counters.publishes_out += 1
        self._outputs.send(connection, data)
