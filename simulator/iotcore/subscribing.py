"""SUBSCRIBE and UNSUBSCRIBE.

Each filter of a SUBSCRIBE is judged on its own. Where AWS names no mapping, the choice is stated
here: too many filters in one packet are each answered 0x97, a Subscription Identifier ends the
connection with 0xA1 as MQTT 5.0 section 3.2.2.3.12 says, and an UNSUBSCRIBE of an unknown filter is
a success because AWS lists no 0x11 for UNSUBACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.authorization import (
    ALLOWED,
    NOT_AUTHORIZED,
    TOPIC_FILTER_INVALID,
    Authorizer,
)
from simulator.iotcore.counters import Cause, Counters
from simulator.iotcore.lifetimes import Lifetimes, Why
from simulator.iotcore.subscriptions import Subscription, Subscriptions
from simulator.iotcore.topics import SHARE, broken_size, split_shared
from simulator.iotcore.wire import Decoder, MalformedPacket

if TYPE_CHECKING:
    from simulator.iotcore.connection import Connection
    from simulator.iotcore.joints import Quotas
    from simulator.iotcore.lifecycle import LifecycleEvents
    from simulator.iotcore.limits import Limits
    from simulator.iotcore.outputs import Outputs
    from simulator.iotcore.routing import Router
    from simulator.iotcore.session import Session

Code = mqtt5.SubAckReasonCode

_HIGHEST_GRANT = 1
"""SUBACK codes up to this grant a QoS; the codec's enumerations have no order and no identity."""


class Subscribing:
    """Handles SUBSCRIBE and UNSUBSCRIBE packets."""

    def __init__(
        self,
        limits: Limits,
        quotas: Quotas,
        events: LifecycleEvents,
        subscriptions: Subscriptions[Session],
        lifetimes: Lifetimes,
        router: Router,
        outputs: Outputs,
        counters: Counters,
        decoder: Decoder,
    ) -> None:
        self._limits = limits
        self._quotas = quotas
        self._events = events
        self._subscriptions = subscriptions
        self._lifetimes = lifetimes
        self._router = router
        self._outputs = outputs
        self._counters = counters
        self._decoder = decoder

    def subscribe(self, connection: Connection, wire: bytes, now_s: float) -> None:
        """Take a SUBSCRIBE: SUBACK first, then the retained messages it asks for."""
        packet = self._decoder.decode(wire)
        session = connection.session
        authorizer = connection.authorizer
        if not isinstance(packet, mqtt5.SubscribePacket) or session is None or authorizer is None:
            raise MalformedPacket("not a SUBSCRIBE")
        self._counters.subscribes += 1
        filters = packet.topic_filters
        if self._breaks_rules(connection, packet, now_s):
            return
        if len(filters) > self._limits.filters_per_subscribe:
            self._counters.refuse(Cause.QUOTA_FILTERS, connection.client_id)
            codes = [Code.QUOTA_EXCEEDED] * len(filters)
            self._outputs.send(connection, mqtt5.SubAckPacket(packet.packet_id, codes).write())
            return
        was_known = [entry.pattern in session.subscriptions for entry in filters]
        codes = [self._subscribe_one(session, authorizer, entry, now_s) for entry in filters]
        self._outputs.send(connection, mqtt5.SubAckPacket(packet.packet_id, codes).write())
        granted = [
            (entry, known)
            for entry, code, known in zip(filters, codes, was_known, strict=True)
            if int(code) <= _HIGHEST_GRANT
        ]
        if granted:
            names = [entry.pattern for entry, _ in granted]
            self._router.announce(self._events.subscribed(connection, names, now_s), now_s)
        for entry, known in granted:
            if _wants_retained(entry, is_known=known):
                max_qos = min(int(entry.max_qos), 1)
                self._router.send_retained(session, entry.pattern, max_qos, now_s)

    def unsubscribe(self, connection: Connection, wire: bytes, now_s: float) -> None:
        """Take an UNSUBSCRIBE."""
        packet = self._decoder.decode(wire)
        session = connection.session
        if not isinstance(packet, mqtt5.UnsubscribePacket) or session is None:
            raise MalformedPacket("not an UNSUBSCRIBE")
        removed: list[str] = []
        for pattern in packet.patterns:
            subscription = session.subscriptions.pop(pattern, None)
            if subscription is not None:
                self._subscriptions.remove(subscription)
                if subscription.share_name is not None:
                    self._quotas.leave_group(pattern.removeprefix(SHARE), now_s)
                removed.append(pattern)
        codes = [mqtt5.UnsubAckReasonCode.SUCCESS] * len(packet.patterns)
        self._outputs.send(connection, mqtt5.UnsubAckPacket(packet.packet_id, codes).write())
        if removed:
            self._router.announce(self._events.unsubscribed(connection, removed, now_s), now_s)

    def _breaks_rules(
        self, connection: Connection, packet: mqtt5.SubscribePacket, now_s: float
    ) -> bool:
        if packet.subscription_id is not None:
            text = "Subscription Identifiers are not supported"
            self._lifetimes.violate(connection, Why.SUBSCRIPTION_IDS_NOT_SUPPORTED, text, now_s)
            return True
        if any(
            entry.no_local and entry.pattern.startswith(SHARE) for entry in packet.topic_filters
        ):
            # MQTT-3.8.3-4.
            self._lifetimes.protocol_error(connection, "No Local on a shared subscription", now_s)
            return True
        return False

    def _subscribe_one(
        self, session: Session, authorizer: Authorizer, entry: mqtt5.TopicFilter, now_s: float
    ) -> mqtt5.SubAckReasonCode:
        pattern = entry.pattern
        is_new = pattern not in session.subscriptions
        breach = self._quotas.subscribe(len(self._subscriptions) if is_new else None, now_s)
        if breach is not None and self._counters.breached(breach, session.client_id):
            return Code.QUOTA_EXCEEDED
        code = authorizer.subscribe(pattern)
        shared = split_shared(pattern)
        if code != ALLOWED or shared is None:
            cause: Cause | None = Cause.SUBSCRIBE_DENIED
            if code != NOT_AUTHORIZED:
                cause = broken_size(pattern, self._limits.topic_bytes, self._limits.topic_slashes)
            self._counters.refuse(cause or Cause.SUBSCRIBE_FILTER_INVALID, session.client_id)
            return Code(code or TOPIC_FILTER_INVALID)
        is_full = len(session.subscriptions) >= self._limits.subscriptions_per_connection
        if is_full and is_new:
            self._counters.refuse(Cause.QUOTA_SUBSCRIPTIONS_OF_CONNECTION, session.client_id)
            return Code.QUOTA_EXCEEDED
        if shared.share_name is not None and not self._may_join(
            session, shared.share_name, shared.topic_filter, is_new=is_new, now_s=now_s
        ):
            return Code.QUOTA_EXCEEDED
        # QoS 2 is granted as QoS 1, the highest there is.
        qos = min(int(entry.max_qos), 1)
        subscription = Subscription(
            session,
            shared.topic_filter,
            share_name=shared.share_name,
            qos=qos,
            no_local=entry.no_local,
            retain_as_published=entry.retain_as_published,
        )
        session.subscriptions[pattern] = subscription
        self._subscriptions.add(subscription)
        return Code(qos)

    def _may_join(
        self, session: Session, share_name: str, topic_filter: str, *, is_new: bool, now_s: float
    ) -> bool:
        group = self._subscriptions.group(share_name, topic_filter)
        breach = self._quotas.join_group(
            f"{share_name}/{topic_filter}",
            self._subscriptions.groups if group is None else None,
            len(group.members) if group is not None and is_new else None,
            now_s,
        )
        return breach is None or not self._counters.breached(breach, session.client_id)


def _wants_retained(entry: mqtt5.TopicFilter, *, is_known: bool) -> bool:
    """MQTT 5.0 section 3.8.3.1, Retain Handling."""
    handling = entry.retain_handling
    if handling == mqtt5.RetainHandling.SEND_NEVER:
        return False
    return not (is_known and handling == mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS)
