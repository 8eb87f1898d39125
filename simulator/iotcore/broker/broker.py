"""The broker: bytes and the time in, bytes and closes out.

Joins the parts of this package into the behaviour of the AWS IoT Core message broker. No sockets,
no clock, no randomness of its own, no logging: the shell calls `open`, `receive`, `lost`,
`set_writable` and `advance`, and does what `take_outputs` says. Every method takes the time as
`now_s`, seconds that never run backwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5

from simulator.iotcore.broker.choices import Choices
from simulator.iotcore.broker.connecting import Connecting
from simulator.iotcore.broker.connection import ADMITTED, Connection, Output, State, Step
from simulator.iotcore.broker.connectivity import RecentEnds
from simulator.iotcore.broker.counters import Cause, Counters
from simulator.iotcore.broker.delivery import Distributor
from simulator.iotcore.broker.dialect.mqtt_5 import Mqtt5
from simulator.iotcore.broker.dialect.mqtt_311 import Mqtt311
from simulator.iotcore.broker.framing import FramingFault
from simulator.iotcore.broker.joints import DocumentedTopics, Unlimited
from simulator.iotcore.broker.lifecycle import DisconnectReason, LifecycleEvents
from simulator.iotcore.broker.lifetimes import Lifetimes, Why
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.broker.outputs import Outputs
from simulator.iotcore.broker.parts import Parts
from simulator.iotcore.broker.publish_requests import PublishRequests
from simulator.iotcore.broker.publishing import Publishing
from simulator.iotcore.broker.retained import RetainedMessages
from simulator.iotcore.broker.routing import Router
from simulator.iotcore.broker.subscribing import Subscribing
from simulator.iotcore.broker.subscriptions import Subscriptions
from simulator.iotcore.broker.summaries import ClientSummary, summary_of
from simulator.iotcore.broker.wire import MQTT_3_1_1, MQTT_5, MalformedPacket
from simulator.iotcore.permissions.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.iotcore.broker.connectivity import Connectivity
    from simulator.iotcore.broker.dialect.dialect import Dialect
    from simulator.iotcore.broker.joints import Answer, Claim, Newcomers, Quotas, ReservedTopics
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.broker.peer import Peer
    from simulator.iotcore.broker.session import Session
    from simulator.iotcore.registry import Registry

_CLOSED = State.CLOSED
_PINGRESP = mqtt5.PingRespPacket().write()


class Broker:
    """The sans-I/O message broker of one account in one Region.

    Args:
        registry: Certificates, policies and things.
        new_id: Makes unique ids, for assigned client ids and session identifiers.
        choose: Picks a number below its argument, for shared subscriptions.
        unix_s_at_zero: Unix time at the moment `now_s` was 0, for time stamps in events.
        account: Region and account number in ARNs.
        limits: Bounds.
        quotas: Rates and counts of the account; none by default.
        reserved: The services behind `$` topics; none by default.
        newcomers: Just-in-time registration; none by default.
        choices: Answers that AWS leaves open.

    Attributes:
        counters: Totals by cause.
        retained: The retained messages.
        publish_requests: Publishes that are no MQTT packets.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        new_id: Callable[[], str],
        choose: Callable[[int], int],
        unix_s_at_zero: float,
        account: Account | None = None,
        limits: Limits | None = None,
        quotas: Quotas | None = None,
        reserved: ReservedTopics | None = None,
        newcomers: Newcomers | None = None,
        choices: Choices | None = None,
    ) -> None:
        account = account or Account()
        limits = limits or Limits()
        quotas = quotas or Unlimited()
        reserved = reserved or DocumentedTopics()
        choices = choices or Choices()
        self.counters = counters = Counters()
        self._limits = limits
        self._choices = choices
        self._quotas = quotas
        self._outputs = outputs = Outputs(
            limits.outgoing_soft_bytes, limits.outgoing_hard_bytes, counters
        )
        subscriptions: Subscriptions[Session] = Subscriptions()
        self._reserved = reserved
        self._ends = RecentEnds(unix_s_at_zero)
        events = LifecycleEvents(unix_s_at_zero)
        distributor = Distributor(outputs, counters, quotas, choose)
        self._lifetimes = lifetimes = Lifetimes(
            limits, quotas, registry, events, subscriptions, outputs, counters, self._ends
        )
        self.retained = RetainedMessages(limits.retained_messages, limits.retained_bytes)
        self._router = router = Router(
            subscriptions,
            self.retained,
            reserved,
            distributor,
            lifetimes.sessions,
            quotas,
            counters,
        )
        lifetimes.join(router, distributor)
        reserved.join(self.admit, counters.refuse)
        parts = Parts(
            registry=registry,
            account=account,
            limits=limits,
            choices=choices,
            quotas=quotas,
            reserved=reserved,
            events=events,
            subscriptions=subscriptions,
            lifetimes=lifetimes,
            router=router,
            distributor=distributor,
            outputs=outputs,
            counters=counters,
        )
        self.publish_requests = PublishRequests(parts)
        dialects: dict[int, Dialect] = {
            MQTT_5: Mqtt5(limits, choices),
            MQTT_3_1_1: Mqtt311(choices),
        }
        connecting = Connecting(parts, dialects, new_id, newcomers)
        publishing, subscribing = Publishing(parts), Subscribing(parts)
        steps: dict[Step, Callable[[Connection, bytes, float], None]] = {
            Step.CONNECT: connecting.connect,
            Step.PUBLISH: publishing.publish,
            Step.ACKNOWLEDGE: publishing.acknowledged,
            Step.SUBSCRIBE: subscribing.subscribe,
            Step.UNSUBSCRIBE: subscribing.unsubscribe,
            Step.PING: self._ping,
            Step.DISCONNECT: self._disconnect,
        }
        # The table with the steps filled in, by state and packet type.
        self._handlers = tuple(
            {int(kind): steps[step] for kind, step in ADMITTED[state].items()} for state in State
        )

    # What the shell calls

    def open(self, peer: Peer, now_s: float) -> Connection:
        """A transport connection was made; TLS is complete.

        Returns:
            The handle for the other methods.
        """
        return self._lifetimes.open(peer, now_s)

    def receive(self, connection: Connection, data: bytes, now_s: float) -> None:
        """Bytes arrived. Never raises because of what they are."""
        self.counters.bytes_in += len(data)
        framer = connection.framer
        state = connection.state
        if state is _CLOSED:
            return
        packets = framer.feed(data)
        for packet in packets:
            handler = self._handlers[state].get(packet[0] >> 4)
            try:
                if handler is None:
                    self._unexpected(connection, packet, now_s)
                else:
                    handler(connection, packet, now_s)
            except MalformedPacket as error:
                self._lifetimes.malformed(connection, str(error), now_s)
            if connection.state is not state:
                # Closed, or just connected: then nothing may follow, since a client has to wait
                # for CONNACK before it sends anything else (developer guide, "MQTT").
                if len(packets) > 1 or not framer.is_between_packets:
                    text = "bytes after CONNECT before CONNACK"
                    self._protocol_error(connection, text, now_s)
                break
        if packets:
            connection.last_packet_s = now_s
        session = connection.session
        if session is not None:
            delay = self._quotas.throughput(session.meter, len(data), now_s)
            if delay is not None:
                self._lifetimes.hold(connection, delay, now_s)
        if framer.fault is not None:
            self._unframeable(connection, framer.fault, now_s)
        if self._outputs.overflowing:
            self._lifetimes.close_overflowing(now_s)

    def lost(self, connection: Connection, now_s: float) -> None:
        """The transport is gone. Harmless after the broker itself closed it."""
        self._outputs.fill(connection)
        self._lifetimes.end(connection, DisconnectReason.CONNECTION_LOST, now_s)
        self._lifetimes.close_overflowing(now_s)

    def end(self, connection: Connection, reason: DisconnectReason, now_s: float) -> None:
        """End a connection for a reason outside MQTT, without a packet.

        With CLIENT_INITIATED_DISCONNECT the client said goodbye below MQTT, as with the close frame
        of a WebSocket, and leaves no will.
        """
        if reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT:
            connection.will = None
        self._lifetimes.end(connection, reason, now_s)
        self._lifetimes.close_overflowing(now_s)

    def set_writable(self, connection: Connection, is_writable: bool) -> None:
        """The transport became full, or has room again."""
        if is_writable:
            self._outputs.drain(connection)
        else:
            self._outputs.fill(connection)

    def advance(self, now_s: float) -> None:
        """Do what is due: keep-alive, expiry, delayed wills, time-outs of services and so on.

        Call it at `next_deadline_s` and at least once a second.
        """
        self._lifetimes.advance(now_s)
        deadline_s = self._reserved.next_deadline_s
        if deadline_s is not None and deadline_s <= now_s:
            self._router.answer(self._reserved.advance(now_s), now_s)
        self._lifetimes.close_overflowing(now_s)

    @property
    def next_deadline_s(self) -> float | None:
        """When `advance` has something to do, if nothing else happens before."""
        first_s, second_s = self._lifetimes.next_deadline_s, self._reserved.next_deadline_s
        if first_s is None or second_s is None:
            return second_s if first_s is None else first_s
        return min(first_s, second_s)

    @property
    def has_outputs(self) -> bool:
        """Whether `take_outputs` would give something."""
        return bool(self._outputs.listed)

    def take_outputs(self) -> list[Output]:
        """What is to be written and closed now, one entry per connection."""
        return self._outputs.take()

    # What services and operators call

    def publish(self, message: Message, now_s: float) -> None:
        """Publish a message of the process itself; policies do not apply."""
        self._router.route(message, None, now_s)
        self._lifetimes.close_overflowing(now_s)

    def answer(self, answers: Sequence[Answer], now_s: float) -> None:
        """Send what a service had to say to a request that came by another way than MQTT."""
        self._router.answer(answers, now_s)
        self._lifetimes.close_overflowing(now_s)

    def admit(self, claims: Sequence[Claim], client_id: str, now_s: float) -> bool:
        """Whether the quotas let a request of a service or of the HTTP API pass.

        Args:
            claims: The quotas it counts against; it passes all of them or counts against none.
            client_id: Who is counted when it is refused; for HTTP whatever names the caller.
            now_s: The time now.

        Returns:
            False when it is to be answered as throttled (HTTP 429).
        """
        breach = self._quotas.request(claims, now_s)
        return breach is None or not self.counters.breached(breach, client_id)

    def quota_report(self) -> dict[str, dict[str, Any]]:
        """What quotas refused, or would have, and to whom; see `Counters.quota_report`."""
        return self.counters.quota_report()

    def send_direct(
        self,
        client_id: str,
        message: Message,
        now_s: float,
        acknowledged: Callable[[], None] | None = None,
    ) -> bool:
        """Deliver to one connected client, subscribed or not; False when it is not connected.

        The SendDirectMessage API asks `admit` for `Cause.QUOTA_DIRECT_MESSAGES` and `may_receive`
        before.

        Args:
            client_id: Whom.
            message: What.
            now_s: The time now.
            acknowledged: Called when the client acknowledges a message at QoS 1. Such a message is
                for the open connection only.
        """
        is_sent = self._router.send_direct(client_id, message, now_s, acknowledged)
        self._lifetimes.close_overflowing(now_s)
        return is_sent

    def may_receive(self, client_id: str, topic: str) -> bool:
        """Whether the policies of a connected client allow it to receive from a topic."""
        connection = self.connection_of(client_id)
        authorizer = connection.authorizer if connection is not None else None
        return authorizer is not None and authorizer.may_receive(topic)

    def disconnect(
        self,
        client_id: str,
        now_s: float,
        *,
        clean_session: bool = False,
        prevent_will: bool = False,
    ) -> bool:
        """End a client's connection as the DeleteConnection API does.

        Args:
            client_id: Whose.
            now_s: The time now.
            clean_session: Whether its session ends as well, also that of an offline client.
            prevent_will: Whether its will is discarded.

        Returns:
            False when it has no connection, and no session that was to be ended.
        """
        connection = self.connection_of(client_id)
        if connection is not None:
            if prevent_will:
                connection.will = None
            self._lifetimes.end(
                connection,
                DisconnectReason.API_INITIATED_DISCONNECT,
                now_s,
                code=Why.ADMINISTRATIVE_ACTION,
            )
        is_ended = clean_session and self._lifetimes.discard_session(client_id, now_s)
        self._lifetimes.close_overflowing(now_s)
        return connection is not None or is_ended

    def connectivity(self, client_id: str, now_s: float) -> Connectivity | None:
        """What is known of a client's connection, until half an hour after it ended."""
        connection = self.connection_of(client_id)
        if connection is not None:
            return self._ends.is_open(connection)
        return self._ends.of(client_id, now_s)

    def subscriptions_of(self, client_id: str) -> list[tuple[str, int]] | None:
        """Filters and QoS of a client's session; None when it has none."""
        session = self._lifetimes.sessions.get(client_id)
        if session is None:
            return None
        return [(pattern, each.qos) for pattern, each in session.subscriptions.items()]

    def close(self, now_s: float) -> None:
        """Disconnect everybody with 0x8B, "server shutting down"."""
        for connection in list(self._lifetimes.connections.values()):
            self._lifetimes.end(
                connection,
                DisconnectReason.SERVER_INITIATED_DISCONNECT,
                now_s,
                code=Why.SERVER_SHUTTING_DOWN,
            )

    def abandon(self, connection: Connection, now_s: float) -> None:
        """Close a connection whose packet uncovered a defect of the broker."""
        self.counters.count(Cause.DEFECT)
        self._lifetimes.end(
            connection, DisconnectReason.SERVER_ERROR, now_s, code=Why.UNSPECIFIED_ERROR
        )

    def connection_of(self, client_id: str) -> Connection | None:
        """The open connection of a client id."""
        session = self._lifetimes.sessions.get(client_id)
        return session.connection if session is not None else None

    @property
    def lifetimes(self) -> Lifetimes:
        """All connections and sessions, for whoever keeps them over a restart."""
        return self._lifetimes

    @property
    def connections(self) -> int:
        """Open transport connections, including those that have not sent CONNECT yet."""
        return len(self._lifetimes.connections)

    def clients(self) -> list[ClientSummary]:
        """All sessions, online and stored."""
        return [summary_of(session) for session in self._lifetimes.sessions.values()]

    def client(self, client_id: str) -> ClientSummary | None:
        """One session, online or stored."""
        session = self._lifetimes.sessions.get(client_id)
        return summary_of(session) if session is not None else None

    @property
    def sessions(self) -> int:
        """Sessions, online and stored."""
        return len(self._lifetimes.sessions)

    def traffic(self) -> dict[str, tuple[int, int]]:
        """PUBLISH packets from and to every connected client since it connected."""
        return {
            connection.client_id: (connection.publishes_in, connection.publishes_out)
            for connection in self._lifetimes.connections.values()
            if connection.session is not None
        }

    # Packets that concern the connection alone

    def _ping(self, connection: Connection, wire: bytes, _now_s: float) -> None:
        connection.dialect.decode(wire)
        self._outputs.send(connection, _PINGRESP)

    def _disconnect(self, connection: Connection, wire: bytes, now_s: float) -> None:
        packet = connection.dialect.decode(wire)
        session = connection.session
        if not isinstance(packet, mqtt5.DisconnectPacket) or session is None:
            raise MalformedPacket("not a DISCONNECT")
        if packet.session_expiry_interval is not None:
            if session.expiry_s == 0 and packet.session_expiry_interval:
                # MQTT 5.0 section 3.14.2.2.2.
                text = "a session expiry after CONNECT had none"
                self._protocol_error(connection, text, now_s)
                return
            session.expiry_s = min(
                packet.session_expiry_interval, self._limits.session_expiry_max_s
            )
        if packet.reason_code == Why.NORMAL_DISCONNECTION:
            connection.will = None
        self._lifetimes.end(connection, DisconnectReason.CLIENT_INITIATED_DISCONNECT, now_s)

    def _unexpected(self, connection: Connection, packet: bytes, now_s: float) -> None:
        if connection.state is State.AWAITING_CONNECT:
            self._lifetimes.refuse(connection, Cause.NOT_MQTT, now_s)
        else:
            self._protocol_error(connection, f"packet type {packet[0] >> 4}", now_s)

    def _unframeable(self, connection: Connection, fault: FramingFault, now_s: float) -> None:
        if connection.state is State.CLOSED:
            return
        if fault is FramingFault.TOO_LARGE:
            self.counters.refuse(Cause.QUOTA_PACKET_BYTES, connection.client_id)
            text = f"packet longer than {self._limits.packet_bytes} bytes"
            self._lifetimes.violate(connection, Why(self._choices.packet_code), text, now_s)
        else:
            self._lifetimes.malformed(connection, "Remaining Length", now_s)

    def _protocol_error(self, connection: Connection, text: str, now_s: float) -> None:
        if connection.state is not State.CLOSED:
            self._lifetimes.protocol_error(connection, text, now_s)
