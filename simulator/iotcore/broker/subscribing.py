"""SUBSCRIBE and UNSUBSCRIBE.

Each filter of a SUBSCRIBE is judged on its own. A client of MQTT 3.1.1 is disconnected for a filter
that it may not have, before any filter of that SUBSCRIBE has an effect. An UNSUBSCRIBE of an
unknown filter is a success because AWS lists no 0x11 for UNSUBACK. Where else AWS names no mapping,
see `choices`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.authorization import ALLOWED, NOT_AUTHORIZED, Authorizer
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.lifecycle import DisconnectReason
from simulator.iotcore.broker.lifetimes import Why
from simulator.iotcore.broker.subscriptions import Subscription
from simulator.iotcore.broker.topics import SHARE, broken_size, is_reserved, split_shared
from simulator.iotcore.broker.wire import MalformedPacket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.broker.parts import Parts
    from simulator.iotcore.broker.session import Session

_QUOTA_EXCEEDED = 0x97
_SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1
_QOS_2 = mqtt5.QoS.EXACTLY_ONCE
_HIGHEST_GRANT = 1
"""SUBACK codes up to this grant a QoS."""


class Subscribing:
    """Handles SUBSCRIBE and UNSUBSCRIBE packets."""

    def __init__(self, parts: Parts) -> None:
        self._limits = parts.limits
        self._choices = parts.choices
        self._distributor = parts.distributor
        self._quotas = parts.quotas
        self._events = parts.events
        self._subscriptions = parts.subscriptions
        self._lifetimes = parts.lifetimes
        self._router = parts.router
        self._outputs = parts.outputs
        self._counters = parts.counters

    def subscribe(self, connection: Connection, wire: bytes, now_s: float) -> None:
        """Take a SUBSCRIBE: SUBACK first, then the messages it asks for."""
        packet = connection.dialect.decode(wire)
        session = connection.session
        authorizer = connection.authorizer
        if not isinstance(packet, mqtt5.SubscribePacket) or session is None or authorizer is None:
            raise MalformedPacket("not a SUBSCRIBE")
        self._counters.subscribes += 1
        filters = packet.topic_filters
        if self._breaks_rules(connection, packet, now_s):
            return
        if not connection.dialect.refuses_filters and self._ends_on(
            connection, authorizer, filters, now_s
        ):
            return
        was_known = [entry.pattern in session.subscriptions for entry in filters]
        codes = [self._subscribe_one(session, authorizer, entry, now_s) for entry in filters]
        self._answer(connection, packet, codes)
        granted = [
            (entry, known)
            for entry, code, known in zip(filters, codes, was_known, strict=True)
            if code <= _HIGHEST_GRANT
        ]
        if granted:
            names = [entry.pattern for entry, _ in granted]
            self._router.announce(self._events.subscribed(connection, names, now_s), now_s)
        for entry, known in granted:
            if _wants_retained(entry, is_known=known):
                max_qos = min(int(entry.max_qos), 1)
                self._router.send_retained(session, entry.pattern, max_qos, now_s)
        if session.shared:
            self._distributor.send_queued(session, now_s)

    def unsubscribe(self, connection: Connection, wire: bytes, now_s: float) -> None:
        """Take an UNSUBSCRIBE."""
        packet = connection.dialect.decode(wire)
        session = connection.session
        if not isinstance(packet, mqtt5.UnsubscribePacket) or session is None:
            raise MalformedPacket("not an UNSUBSCRIBE")
        removed: list[str] = []
        for pattern in packet.patterns:
            subscription = session.unsubscribe(pattern)
            if subscription is not None:
                self._subscriptions.remove(subscription)
                if subscription.share_name is not None:
                    self._quotas.leave_group(pattern.removeprefix(SHARE), now_s)
                removed.append(pattern)
        answer = connection.dialect.unsubscribed(packet.packet_id, len(packet.patterns))
        self._outputs.send(connection, answer)
        if removed:
            self._router.announce(self._events.unsubscribed(connection, removed, now_s), now_s)

    def _answer(
        self, connection: Connection, packet: mqtt5.SubscribePacket, codes: Sequence[int]
    ) -> None:
        self._outputs.send(connection, connection.dialect.subscribed(packet.packet_id, codes))

    def _breaks_rules(
        self, connection: Connection, packet: mqtt5.SubscribePacket, now_s: float
    ) -> bool:
        """Answer a SUBSCRIBE that is wrong as a whole; False when it is not."""
        filters, choices = packet.topic_filters, self._choices
        if packet.subscription_id is not None:
            if choices.does_subscription_identifier_end:
                text = "Subscription Identifiers are not supported"
                self._lifetimes.violate(connection, Why.SUBSCRIPTION_IDS_NOT_SUPPORTED, text, now_s)
            else:
                self._answer(connection, packet, [_SUBSCRIPTION_IDS_NOT_SUPPORTED] * len(filters))
            return True
        if any(entry.no_local and entry.pattern.startswith(SHARE) for entry in filters):
            # MQTT-3.8.3-4.
            self._lifetimes.protocol_error(connection, "No Local on a shared subscription", now_s)
            return True
        if choices.does_qos_2_subscription_end and any(e.max_qos == _QOS_2 for e in filters):
            text = "QoS 2 is not supported"
            self._lifetimes.violate(connection, Why.QOS_NOT_SUPPORTED, text, now_s)
            return True
        if len(filters) > self._limits.filters_per_subscribe:
            self._counters.refuse(Cause.QUOTA_FILTERS, connection.client_id)
            if choices.do_too_many_filters_end:
                text = f"more than {self._limits.filters_per_subscribe} filters"
                self._lifetimes.violate(connection, Why.QUOTA_EXCEEDED, text, now_s)
            else:
                self._answer(connection, packet, [_QUOTA_EXCEEDED] * len(filters))
            return True
        return False

    def _ends_on(
        self,
        connection: Connection,
        authorizer: Authorizer,
        filters: Sequence[mqtt5.TopicFilter],
        now_s: float,
    ) -> bool:
        """Disconnect for a filter that this version of MQTT has no answer for, if there is one."""
        for entry in filters:
            code = authorizer.subscribe(entry.pattern)
            if code == ALLOWED:
                continue
            is_denied = code == NOT_AUTHORIZED
            if not is_denied and not self._is_forbidden(entry.pattern):
                continue
            self._count_refusal(connection.client_id, entry.pattern, code)
            reason = (
                DisconnectReason.FORBIDDEN_ACCESS if is_denied else DisconnectReason.CLIENT_ERROR
            )
            self._lifetimes.end(connection, reason, now_s)
            return True
        return False

    def _is_forbidden(self, pattern: str) -> bool:
        """Whether an invalid filter ends the connection; those of reserved topics always do."""
        shared = split_shared(pattern)
        if self._choices.do_invalid_filters_end or shared is None:
            return self._choices.do_invalid_filters_end
        return is_reserved(shared.topic_filter)

    def _count_refusal(self, client_id: str, pattern: str, code: int) -> Cause | None:
        """Count a filter that is denied or invalid; gives the quota it breaks, if it is one."""
        size: Cause | None = None
        if code == NOT_AUTHORIZED:
            self._counters.refuse(Cause.SUBSCRIBE_DENIED, client_id)
            return None
        size = broken_size(pattern, self._limits.topic_bytes, self._limits.topic_slashes)
        self._counters.refuse(size or Cause.SUBSCRIBE_FILTER_INVALID, client_id)
        return size

    def _subscribe_one(
        self, session: Session, authorizer: Authorizer, entry: mqtt5.TopicFilter, now_s: float
    ) -> int:
        pattern = entry.pattern
        is_new = pattern not in session.subscriptions
        breach = self._quotas.subscribe(len(self._subscriptions) if is_new else None, now_s)
        if breach is not None and self._counters.breached(breach, session.client_id):
            return _QUOTA_EXCEEDED
        code = authorizer.subscribe(pattern)
        shared = split_shared(pattern)
        if code != ALLOWED or shared is None:
            is_oversized = self._count_refusal(session.client_id, pattern, code) is not None
            return self._choices.oversized_filter_code if is_oversized else code
        is_full = len(session.subscriptions) >= self._limits.subscriptions_per_connection
        if is_full and is_new:
            self._counters.refuse(Cause.QUOTA_SUBSCRIPTIONS_OF_CONNECTION, session.client_id)
            return _QUOTA_EXCEEDED
        if shared.share_name is not None and not self._may_join(
            session, shared.share_name, shared.topic_filter, is_new=is_new, now_s=now_s
        ):
            return _QUOTA_EXCEEDED
        # QoS 2, where it does not end the connection, is granted as QoS 1.
        qos = min(int(entry.max_qos), 1)
        subscription = Subscription(
            session,
            shared.topic_filter,
            share_name=shared.share_name,
            qos=qos,
            no_local=entry.no_local,
            retain_as_published=entry.retain_as_published,
        )
        session.subscribe(pattern, subscription)
        self._subscriptions.add(subscription)
        return qos

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
