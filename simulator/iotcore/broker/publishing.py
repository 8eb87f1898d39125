"""Inbound PUBLISH and PUBACK.

The path every telemetry message takes, so nothing is done twice that can be remembered: see
`routes`. A denied or invalid PUBLISH is answered in the PUBACK at QoS 1 and with DISCONNECT at
QoS 0; in MQTT 3.1.1, where neither can say it, the connection closes. Packet ids are acknowledged
at once, so a repeated id is a new message and never "in use".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.authorization import ALLOWED, NOT_AUTHORIZED
from simulator.iotcore.broker.counters import Breach, Cause, Effect
from simulator.iotcore.broker.handshake import properties_fault
from simulator.iotcore.broker.lifecycle import DisconnectReason
from simulator.iotcore.broker.lifetimes import Why
from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.routes import ROUTES_MAX, PlainPublish, Route
from simulator.iotcore.broker.topics import broken_size, is_reserved
from simulator.iotcore.broker.wire import MQTT_5, MalformedPacket

if TYPE_CHECKING:
    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.broker.parts import Parts
    from simulator.iotcore.broker.session import Session

_QOS_2 = mqtt5.QoS.EXACTLY_ONCE
_SMALL_HEADER_BYTES = 128
"""Topic and properties that take less together break none of the limits on length."""
_TOPIC_CHARACTERS_SHOWN = 100


class Publishing:
    """Handles PUBLISH and PUBACK packets."""

    def __init__(self, parts: Parts) -> None:
        self._registry = parts.registry
        self._subscriptions = parts.subscriptions
        self._limits = parts.limits
        self._choices = parts.choices
        self._quotas = parts.quotas
        self._lifetimes = parts.lifetimes
        self._router = parts.router
        self._distributor = parts.distributor
        self._outputs = parts.outputs
        self._counters = parts.counters

    def publish(self, connection: Connection, wire: bytes, now_s: float) -> None:
        """Take a PUBLISH."""
        plain = connection.dialect.plain_publish(wire)
        if plain is not None:
            route = connection.routes.get(plain[0])
            session = connection.session
            if (
                route is not None
                and session is not None
                and route.registry_revision == self._registry.revision
                and route.subscriptions_version == self._subscriptions.version
            ):
                self._publish_plainly(connection, session, wire, plain, route, now_s)
                return
        packet = connection.dialect.decode(wire)
        session = connection.session
        authorizer = connection.authorizer
        if not isinstance(packet, mqtt5.PublishPacket) or session is None or authorizer is None:
            raise MalformedPacket("not a PUBLISH")
        self._counters.publishes_in += 1
        connection.publishes_in += 1
        qos = packet.qos
        if qos == _QOS_2:
            self._lifetimes.violate(
                connection, Why.QOS_NOT_SUPPORTED, "QoS 2 is not supported", now_s
            )
            return
        topic = packet.topic
        if packet.topic_alias is not None:
            topic = self._resolve_alias(connection, topic, packet.topic_alias, now_s)
            if not topic:
                return
        retain = packet.retain
        code = authorizer.retain_publish(topic) if retain else authorizer.publish(topic)
        if code != ALLOWED:
            self._refuse(connection, packet, topic, code, now_s)
            return
        if self._breaks_limits(connection, packet, wire, now_s):
            return
        if retain:
            has_place = not packet.payload or self._router.can_retain(topic, now_s)
            breach = self._quotas.retain(session.meter, topic, has_place, now_s)
        else:
            breach = self._quotas.publish(session.meter, now_s)
        if breach is not None and self._is_throttled(connection, breach, packet.packet_id, now_s):
            return
        if retain or self._router.is_wanted(topic):
            expiry_s = self._limits.message_expiry_s(packet.message_expiry_interval)
            message = Message.from_publish(packet, topic, now_s, expiry_s, wire, session.level)
            self._router.route(message, session, now_s)
        if packet.packet_id is not None:
            self._acknowledge(connection, packet.packet_id, now_s)
        if plain is not None and not is_reserved(topic):
            self._learn(connection, plain[0], topic)

    def _publish_plainly(
        self,
        connection: Connection,
        session: Session,
        wire: bytes,
        plain: PlainPublish,
        route: Route,
        now_s: float,
    ) -> None:
        """Take a PUBLISH whose route is known."""
        _, packet_id, payload_start = plain
        if packet_id == 0:
            raise MalformedPacket("packet id 0 (MQTT-2.2.1-3)")
        self._counters.publishes_in += 1
        connection.publishes_in += 1
        breach = self._quotas.publish(session.meter, now_s)
        if breach is not None and self._is_throttled(connection, breach, packet_id, now_s):
            return
        match = route.match
        if packet_id is None:
            if match is not None:
                self._distributor.pass_on(route.topic, wire, payload_start, match, session, now_s)
            return
        if match is not None:
            message = Message(route.topic, wire[payload_start:], 1, now_s)
            self._distributor.distribute(message, match, session, now_s)
        self._acknowledge(connection, packet_id, now_s)

    def _learn(self, connection: Connection, topic_bytes: bytes, topic: str) -> None:
        routes = connection.routes
        if len(routes) >= ROUTES_MAX:
            routes.clear()
        routes[topic_bytes] = Route(
            topic,
            self._registry.revision,
            self._subscriptions.version,
            self._subscriptions.match(topic) or None,
        )

    def acknowledged(self, connection: Connection, wire: bytes, now_s: float) -> None:
        """Take a PUBACK. One for an unknown packet id is ignored: its delivery was given up."""
        packet = connection.dialect.decode(wire)
        session = connection.session
        if not isinstance(packet, mqtt5.PubAckPacket) or session is None:
            raise MalformedPacket("not a PUBACK")
        session.acknowledge(packet.packet_id)
        if session.queued or session.shared:
            self._distributor.send_queued(session, now_s)

    def _resolve_alias(self, connection: Connection, topic: str, alias: int, now_s: float) -> str:
        """The topic of a PUBLISH with an alias; empty when the connection had to be closed."""
        if alias > self._limits.topic_alias_maximum:
            self._counters.refuse(Cause.QUOTA_TOPIC_ALIASES, connection.client_id)
            text = f"topic alias above {self._limits.topic_alias_maximum}"
            self._lifetimes.violate(connection, Why.TOPIC_ALIAS_INVALID, text, now_s)
            return ""
        if topic:
            connection.aliases[alias] = topic
            return topic
        known = connection.aliases.get(alias, "")
        if not known:
            self._lifetimes.protocol_error(connection, "topic alias without a topic", now_s)
        return known

    def _refuse(
        self,
        connection: Connection,
        packet: mqtt5.PublishPacket,
        topic: str,
        code: int,
        now_s: float,
    ) -> None:
        is_denied = code == NOT_AUTHORIZED
        cause: Cause | None = Cause.PUBLISH_DENIED
        if not is_denied:
            cause = broken_size(topic, self._limits.topic_bytes, self._limits.topic_slashes)
            if cause is not None:
                code = self._choices.oversized_topic_code
        self._counters.refuse(cause or Cause.PUBLISH_TOPIC_INVALID, connection.client_id)
        if not self._says_no(connection, packet.packet_id, code, now_s):
            self._lifetimes.end(
                connection,
                DisconnectReason.FORBIDDEN_ACCESS if is_denied else DisconnectReason.CLIENT_ERROR,
                now_s,
                code=Why(code),
                text=f"PUBLISH to {topic[:_TOPIC_CHARACTERS_SHOWN]!r} is refused",
            )

    def _says_no(
        self, connection: Connection, packet_id: int | None, code: int, now_s: float
    ) -> bool:
        """Refuse a PUBLISH in its PUBACK; False when there is none that could say so."""
        if packet_id is None:
            return False
        answer = connection.dialect.publish_refused(packet_id, code)
        if answer:
            self._send_acknowledgement(connection, answer, now_s)
        return bool(answer)

    def _is_throttled(
        self, connection: Connection, breach: Breach, packet_id: int | None, now_s: float
    ) -> bool:
        """Count a breach and answer as it says; False when the publish goes on."""
        is_enforced = self._counters.breached(breach, connection.client_id)
        if breach.effect is Effect.REFUSE:
            # Where a PUBACK cannot say it, the publish is discarded.
            self._says_no(connection, packet_id, int(Why.QUOTA_EXCEEDED), now_s)
        return is_enforced

    def _breaks_limits(
        self, connection: Connection, packet: mqtt5.PublishPacket, wire: bytes, now_s: float
    ) -> bool:
        payload_bytes = len(packet.payload)
        if payload_bytes > self._limits.payload_bytes:
            self._counters.refuse(Cause.QUOTA_PAYLOAD_BYTES, connection.client_id)
            text = f"payload longer than {self._limits.payload_bytes} bytes"
            self._lifetimes.violate(connection, Why(self._choices.payload_code), text, now_s)
            return True
        if connection.dialect.level != MQTT_5:
            return False
        if (
            len(wire) - payload_bytes <= _SMALL_HEADER_BYTES
            and packet.response_topic is None
            and not packet.subscription_ids
        ):
            return False
        fault = properties_fault(packet, self._limits)
        if fault is None:
            return False
        if fault is Cause.PROTOCOL_ERROR:
            text = "a property that a PUBLISH may not have"
            self._lifetimes.protocol_error(connection, text, now_s)
            return True
        self._counters.refuse(fault, connection.client_id)
        code = Why.QUOTA_EXCEEDED
        if not self._says_no(connection, packet.packet_id, int(code), now_s):
            self._lifetimes.violate(connection, code, "properties longer than allowed", now_s)
        return True

    def _acknowledge(self, connection: Connection, packet_id: int, now_s: float) -> None:
        # Without a reason code the PUBACK is the same in both versions.
        answer = b"\x40\x02%b" % packet_id.to_bytes(2, "big")
        if connection.is_full:
            self._send_acknowledgement(connection, answer, now_s)
        else:
            self._outputs.send(connection, answer)

    def _send_acknowledgement(self, connection: Connection, answer: bytes, now_s: float) -> None:
        """Send PUBACK; a client that never reads them is held to the Receive Maximum.

        One of MQTT 3.1.1 has not heard of a maximum; it is not read any more until it reads.
        """
        if connection.is_full:
            connection.acknowledgements_unsent += 1
            if connection.acknowledgements_unsent > self._limits.receive_maximum:
                if connection.dialect.level == MQTT_5:
                    self._counters.refuse(Cause.QUOTA_UNACKNOWLEDGED_IN, connection.client_id)
                    text = "more QoS 1 in flight than the Receive Maximum"
                    self._lifetimes.violate(connection, Why.RECEIVE_MAX_EXCEEDED, text, now_s)
                    return
                if not connection.is_behind:
                    self._counters.refuse(Cause.QUOTA_UNACKNOWLEDGED_IN, connection.client_id)
                    self._outputs.stop_reading(connection)
        self._outputs.send(connection, answer)
