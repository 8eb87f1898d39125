"""CONNECT: from the first packet of a transport connection to CONNACK, or to a close.

The order of the checks is the order of the service: certificate, protocol level, packet, limits,
quotas, policy for the client id, policy for the will. The protocol level gives the connection its
dialect. MQTT 3.1 is refused with CONNACK return code 1, "unacceptable protocol version" (MQTT 3.1.1
section 3.2.2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker import handshake
from simulator.iotcore.broker.authorization import ALLOWED, Authorizer
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.dialect.mqtt_311 import UNACCEPTABLE_VERSION
from simulator.iotcore.broker.wire import MQTT_5, MalformedPacket, connect_level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.broker.dialect.dialect import Dialect
    from simulator.iotcore.broker.joints import Newcomers
    from simulator.iotcore.broker.parts import Parts
    from simulator.iotcore.permissions.identity import Principal

_MQTT_5_REFUSAL = mqtt5.ConnAckPacket(
    reason_code=mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION
).write()


class Connecting:
    """Handles CONNECT packets."""

    def __init__(
        self,
        parts: Parts,
        dialects: Mapping[int, Dialect],
        new_id: Callable[[], str],
        newcomers: Newcomers | None,
    ) -> None:
        self._registry = parts.registry
        self._account = parts.account
        self._limits = parts.limits
        self._quotas = parts.quotas
        self._reserved = parts.reserved
        self._events = parts.events
        self._lifetimes = parts.lifetimes
        self._router = parts.router
        self._distributor = parts.distributor
        self._outputs = parts.outputs
        self._counters = parts.counters
        self._dialects = dialects
        self._choices = parts.choices
        self._new_id = new_id
        self._newcomers = newcomers

    def connect(self, connection: Connection, wire: bytes, now_s: float) -> None:
        """Take the first packet of a connection."""
        principal = connection.peer.principal
        if principal is None or not principal.is_admitted(self._registry):
            self._turn_away(connection, now_s)
            return
        level = connect_level(wire)
        dialect = self._dialects.get(level or 0)
        if dialect is None:
            self._refuse_level(connection, level, now_s)
            return
        connection.dialect = dialect
        try:
            requested = dialect.decode(wire)
        except MalformedPacket:
            # AWS lists no CONNACK code for this, so the connection closes without one.
            self._lifetimes.refuse(connection, Cause.MALFORMED, now_s)
            return
        if not isinstance(requested, mqtt5.ConnectPacket):
            raise MalformedPacket("not a CONNECT")
        terms = handshake.judge(
            requested, dialect.level, self._limits, self._choices, self._new_id(), now_s
        )
        if isinstance(terms, handshake.Refusal):
            connection.client_id = requested.client_id[: self._limits.client_id_bytes]
            self._refuse(connection, terms, now_s)
            return
        authorizer = self._identify(connection, principal, terms)
        refusal = self._fault(authorizer, terms, now_s)
        if refusal is not None:
            self._refuse(connection, refusal, now_s)
            return
        self._accept(connection, terms, now_s)

    def _turn_away(self, connection: Connection, now_s: float) -> None:
        """Close without CONNACK, as observed on the service after TLS had completed.

        A certificate of a registered CA may register itself by this (JITR, JITP).
        """
        certificate = connection.peer.certificate
        if certificate is not None and self._newcomers is not None:
            source_ip = connection.peer.source_ip
            answers = self._newcomers.first_connect(certificate.der, source_ip, now_s)
            if answers:
                self._router.answer(answers, now_s)
        self._lifetimes.refuse(connection, Cause.CERTIFICATE_NOT_ACTIVE, now_s)

    def _identify(
        self, connection: Connection, principal: Principal, terms: handshake.Terms
    ) -> Authorizer:
        authorizer = Authorizer(
            self._registry,
            self._account,
            self._reserved,
            self._limits,
            principal=principal,
            client_id=terms.client_id,
            source_ip=connection.peer.source_ip,
            connect_attributes=terms.connect_attributes,
            will_topic=None if terms.will is None else terms.will.message.topic,
        )
        connection.client_id = terms.client_id
        connection.session_identifier = self._new_id()
        connection.authorizer = authorizer
        thing = principal.exclusive_thing(self._registry)
        connection.exclusive_thing = thing.name if thing is not None else None
        return authorizer

    def _fault(
        self, authorizer: Authorizer, terms: handshake.Terms, now_s: float
    ) -> handshake.Refusal | None:
        reason = handshake.Reason
        sessions = self._lifetimes.sessions
        session = sessions.get(terms.client_id)
        is_connected = session is not None and session.connection is not None
        others = self._lifetimes.connected - is_connected
        breach = self._quotas.connect(terms.client_id, others, now_s)
        if breach is not None:
            if breach.is_enforced:
                text = f"above the quota {breach.cause.quota}"
                return handshake.Refusal(reason.QUOTA_EXCEEDED, text, breach.cause)
            self._counters.refuse(breach.cause, terms.client_id)
        if not authorizer.may_connect():
            text = "no policy allows iot:Connect with this client id"
            return handshake.Refusal(reason.NOT_AUTHORIZED, text, Cause.CONNECT_DENIED)
        if terms.will is not None:
            topic, retain = terms.will.message.topic, terms.will.message.retain
            code = authorizer.retain_publish(topic) if retain else authorizer.publish(topic)
            if code != ALLOWED:
                text = "the will could not be published to its topic"
                return handshake.Refusal(reason(code), text, Cause.CONNECT_DENIED)
        if terms.client_id not in sessions and len(sessions) >= self._limits.sessions:
            text = "more sessions than the limit"
            return handshake.Refusal(reason.QUOTA_EXCEEDED, text, Cause.SESSIONS_FULL)
        return None

    def _accept(self, connection: Connection, terms: handshake.Terms, now_s: float) -> None:
        connection.send_window = terms.send_window
        connection.client_packet_bytes_max = terms.client_packet_bytes_max
        session, is_resumed = self._lifetimes.begin(connection, terms, now_s)
        self._outputs.send(
            connection,
            connection.dialect.accepted(terms, session_present=is_resumed),
        )
        self._router.announce(self._events.connected(connection, now_s), now_s)
        self._distributor.send_queued(session, now_s)

    def _refuse(self, connection: Connection, refusal: handshake.Refusal, now_s: float) -> None:
        if refusal.cause is Cause.CONNECT_DENIED:
            self._router.announce(self._events.connect_failed(connection, now_s), now_s)
        answer = connection.dialect.refused(refusal)
        self._lifetimes.refuse(connection, refusal.cause, now_s, answer)

    def _refuse_level(self, connection: Connection, level: int | None, now_s: float) -> None:
        if level is None:
            self._lifetimes.refuse(connection, Cause.NOT_MQTT, now_s)
            return
        answer = UNACCEPTABLE_VERSION if level < MQTT_5 else _MQTT_5_REFUSAL
        self._lifetimes.refuse(connection, Cause.PROTOCOL_VERSION, now_s, answer)
