"""How connections and sessions begin and end, and everything that hangs on their ends.

Owns the tables of connections and sessions, takeover by client id, wills and their delay, session
expiry, keep-alive and the other timers, and the lifecycle events that report all this. Knows
nothing about publishing or subscribing packets.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import count
from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.connection import Connection, State
from simulator.iotcore.broker.counters import Cause, Counters
from simulator.iotcore.broker.group_queue import GroupQueue
from simulator.iotcore.broker.lifecycle import DisconnectReason, LifecycleEvents
from simulator.iotcore.broker.session import QueueBudget, Session
from simulator.iotcore.deadlines import Deadlines

if TYPE_CHECKING:
    from simulator.iotcore.broker.connectivity import RecentEnds
    from simulator.iotcore.broker.delivery import Distributor
    from simulator.iotcore.broker.handshake import Terms
    from simulator.iotcore.broker.joints import Delay, Quotas
    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.broker.outputs import Outputs
    from simulator.iotcore.broker.peer import Peer
    from simulator.iotcore.broker.routing import Router
    from simulator.iotcore.broker.session import Will
    from simulator.iotcore.broker.subscriptions import SharedGroup, Subscription, Subscriptions
    from simulator.iotcore.registry import Registry

Why = mqtt5.DisconnectReasonCode

_SWEEP_INTERVAL_S = 30.0
_KEEP_ALIVE_FACTOR = 1.5


class Timer(Enum):
    """What a deadline is for."""

    CONNECT = auto()
    KEEP_ALIVE = auto()
    LAPSE = auto()
    WILL = auto()
    SESSION = auto()
    PRESENCE = auto()
    SWEEP = auto()
    HOLD = auto()
    REPLAY = auto()
    SHARED_REPLAY = auto()


class Lifetimes:
    """All connections and sessions of a broker.

    Args:
        limits: Bounds.
        quotas: When a connection that was held may go on.
        registry: Which certificates are active.
        events: Builds lifecycle events.
        subscriptions: Cleared of a session's filters when it ends.
        outputs: Where DISCONNECT packets and closes go.
        counters: Ends by cause.
        ends: Remembers how connections ended.

    Attributes:
        connections: Open connections by id.
        sessions: Online and stored sessions by client id.
    """

    def __init__(
        self,
        limits: Limits,
        quotas: Quotas,
        registry: Registry,
        events: LifecycleEvents,
        subscriptions: Subscriptions[Session],
        outputs: Outputs,
        counters: Counters,
        ends: RecentEnds,
    ) -> None:
        self._ends = ends
        self._limits = limits
        self._quotas = quotas
        self._registry = registry
        self._events = events
        self._subscriptions = subscriptions
        self._outputs = outputs
        self._counters = counters
        self._budget = QueueBudget(limits.queued_bytes_total)
        self._connection_ids = count(1)
        self._deadlines: Deadlines[tuple[Timer, int | str]] = Deadlines()
        self._seen_revision = registry.revision
        self.connections: dict[int, Connection] = {}
        self.sessions: dict[str, Session] = {}

    def join(self, router: Router, distributor: Distributor) -> None:
        """Name the way out for wills and events; they need the sessions made here first."""
        self._router = router
        self._distributor = distributor
        distributor.join(self)

    @property
    def connected(self) -> int:
        """Connections past CONNACK."""
        return self._counters.connects - self._counters.disconnects

    # Beginnings

    def open(self, peer: Peer, now_s: float) -> Connection:
        """A connection that has a while to send CONNECT."""
        connection = Connection(next(self._connection_ids), peer, self._limits.packet_bytes, now_s)
        self.connections[connection.connection_id] = connection
        self._deadlines.set(
            (Timer.CONNECT, connection.connection_id), now_s + self._limits.connect_timeout_s
        )
        return connection

    def begin(self, connection: Connection, terms: Terms, now_s: float) -> tuple[Session, bool]:
        """Join a connection to its session, taking it over from an older connection.

        Returns:
            The session, and whether it existed before (Session Present).
        """
        session, is_resumed = self._claim_session(terms, now_s)
        connection.state = State.CONNECTED
        connection.session = session
        connection.keep_alive_s = terms.keep_alive_s
        connection.will = terms.will
        connection.connected_at_s = now_s
        connection.version_number = self._events.next_version(terms.client_id)
        session.connection = connection
        session.expiry_s = terms.session_expiry_s
        self._counters.connects += 1
        deadlines = self._deadlines
        deadlines.cancel((Timer.CONNECT, connection.connection_id))
        deadlines.cancel((Timer.PRESENCE, terms.client_id))
        deadlines.set(
            (Timer.KEEP_ALIVE, connection.connection_id),
            now_s + _KEEP_ALIVE_FACTOR * terms.keep_alive_s,
        )
        lapse = connection.peer.lapse
        if lapse is not None:
            deadlines.set((Timer.LAPSE, connection.connection_id), now_s + lapse.after_s)
        if len(self.sessions) == 1:
            deadlines.set((Timer.SWEEP, 0), now_s + _SWEEP_INTERVAL_S)
        return session, is_resumed

    def _claim_session(self, terms: Terms, now_s: float) -> tuple[Session, bool]:
        client_id = terms.client_id
        session = self.sessions.get(client_id)
        if session is not None and session.connection is not None:
            self._counters.count(Cause.TAKEN_OVER)
            self.end(
                session.connection,
                DisconnectReason.DUPLICATE_CLIENTID,
                now_s,
                code=Why.SESSION_TAKEN_OVER,
            )
            session = self.sessions.get(client_id)
        if session is not None and (terms.clean_start or session.level != terms.level):
            # A session of the other version cannot be resumed, so it makes way for a new one.
            self._end_session(session, now_s)
            session = None
        if session is not None:
            # MQTT 5.0 section 3.1.3.2.2: coming back in time cancels a delayed will.
            session.pending_will = None
            self._deadlines.cancel((Timer.WILL, client_id))
            self._deadlines.cancel((Timer.SESSION, client_id))
            return session, True
        return self._new_session(client_id, terms.level), False

    def _new_session(self, client_id: str, level: int) -> Session:
        session = self.sessions[client_id] = Session(
            client_id,
            self._limits.queued_messages,
            self._limits.queued_bytes,
            self._budget,
            self._quotas.meter(),
            level,
        )
        return session

    def queue_of(self, group: SharedGroup[Session]) -> GroupQueue:
        """The queue of a shared group, made when it has none."""
        if group.queue is None:
            group.queue = GroupQueue(
                self._limits.queued_messages_of_group, self._limits.queued_bytes, self._budget
            )
        return group.queue

    # Keeping sessions over a restart

    def timers_of(self, client_id: str) -> tuple[float | None, float | None]:
        """When the session of a client runs out and when its will is due; None while connected."""
        at_s = self._deadlines.at_s
        return at_s((Timer.SESSION, client_id)), at_s((Timer.WILL, client_id))

    def restore(
        self,
        client_id: str,
        *,
        level: int,
        expiry_s: int,
        ends_at_s: float,
        will: Will | None,
        will_at_s: float,
        now_s: float,
    ) -> Session:
        """Take over the session of a client of an earlier process, which is not connected now.

        What should have happened meanwhile happens at the next `advance`.

        Args:
            client_id: Whose; it has no session here.
            level: Protocol level it was opened with.
            expiry_s: Session Expiry Interval.
            ends_at_s: When it runs out.
            will: What is to be published unless the client comes back.
            will_at_s: When.
            now_s: The time now.
        """
        session = self._new_session(client_id, level)
        session.expiry_s = expiry_s
        session.pending_will = will
        if will is not None:
            self._deadlines.set((Timer.WILL, client_id), will_at_s)
        self._deadlines.set((Timer.SESSION, client_id), ends_at_s)
        if len(self.sessions) == 1:
            self._deadlines.set((Timer.SWEEP, 0), now_s + _SWEEP_INTERVAL_S)
        return session

    def resubscribe(self, pattern: str, subscription: Subscription[Session]) -> None:
        """Give a restored session a subscription back.

        Args:
            pattern: The filter as the client wrote it.
            subscription: What it was granted.
        """
        subscription.subscriber.subscribe(pattern, subscription)
        self._subscriptions.add(subscription)

    # Ends

    def refuse(
        self, connection: Connection, cause: Cause, now_s: float, answer: bytes = b""
    ) -> None:
        """Close a connection that is not to become one, after sending an answer if there is one."""
        self._counters.refuse(cause, connection.client_id)
        if answer:
            self._outputs.send(connection, answer)
        self.end(connection, DisconnectReason.AUTH_ERROR, now_s)

    def violate(
        self, connection: Connection, code: mqtt5.DisconnectReasonCode, text: str, now_s: float
    ) -> None:
        """The client broke a rule: DISCONNECT with the code, then close."""
        self.end(connection, DisconnectReason.CLIENT_ERROR, now_s, code=code, text=text)

    def protocol_error(self, connection: Connection, text: str, now_s: float) -> None:
        """The client broke the protocol: DISCONNECT 0x82."""
        self._counters.count(Cause.PROTOCOL_ERROR)
        self.violate(connection, Why.PROTOCOL_ERROR, text, now_s)

    def malformed(self, connection: Connection, text: str, now_s: float) -> None:
        """The client sent what is no packet: DISCONNECT 0x81."""
        self._counters.count(Cause.MALFORMED)
        self.violate(connection, Why.MALFORMED_PACKET, text, now_s)

    def end(
        self,
        connection: Connection,
        reason: DisconnectReason,
        now_s: float,
        *,
        code: mqtt5.DisconnectReasonCode | None = None,
        text: str = "",
    ) -> None:
        """End a connection, once, whatever the cause. Its will goes out unless it was discarded.

        Args:
            connection: Which one; ending it again does nothing.
            reason: For the lifecycle event.
            now_s: The time now.
            code: Sent in a DISCONNECT, if the connection got as far as CONNACK and its version has
                such a packet.
            text: Reason String of that DISCONNECT.
        """
        if connection.state is State.CLOSED:
            return
        was_connected = connection.state is State.CONNECTED
        connection.state = State.CLOSED
        if was_connected and code is not None:
            farewell = connection.dialect.disconnect(int(code), text)
            if farewell:
                self._outputs.send(connection, farewell)
        self._outputs.end(connection)
        self.connections.pop(connection.connection_id, None)
        self._deadlines.cancel((Timer.CONNECT, connection.connection_id))
        session = connection.session
        if not was_connected or session is None:
            return
        self._counters.disconnects += 1
        self._deadlines.cancel((Timer.KEEP_ALIVE, connection.connection_id))
        self._deadlines.cancel((Timer.HOLD, connection.connection_id))
        if connection.peer.lapse is not None:
            self._deadlines.cancel((Timer.LAPSE, connection.connection_id))
        self._deadlines.cancel((Timer.REPLAY, session.client_id))
        self._deadlines.cancel((Timer.SHARED_REPLAY, session.client_id))
        session.connection = None
        returned = session.store_all()
        self._ends.ended(connection, reason, now_s)
        self._router.announce(self._events.disconnected(connection, reason, now_s), now_s)
        self._deadlines.set(
            (Timer.PRESENCE, session.client_id), now_s + self._limits.presence_memory_s
        )
        self._release_will(connection, session, now_s)
        if session.expiry_s:
            self._deadlines.set((Timer.SESSION, session.client_id), now_s + session.expiry_s)
        else:
            self._end_session(session, now_s)
        for group, messages in returned:
            if group.members:
                self.queue_of(group).put_back(messages)
                self._distributor.drain(group, now_s)

    def discard_session(self, client_id: str, now_s: float) -> bool:
        """Forget the stored session of a client that is not connected; False when it has none."""
        session = self.sessions.get(client_id)
        if session is None or session.connection is not None:
            return False
        self._end_session(session, now_s)
        return True

    def close_overflowing(self, now_s: float) -> None:
        """Close readers that are too slow. Their wills may make others overflow, hence the loop."""
        overflowing = self._outputs.overflowing
        while overflowing:
            connection = overflowing.pop()
            if connection.state is not State.CLOSED:
                self._counters.count(Cause.SLOW_READER_CLOSED)
                self.end(connection, DisconnectReason.SERVER_INITIATED_DISCONNECT, now_s)

    def _release_will(self, connection: Connection, session: Session, now_s: float) -> None:
        """Publish the will now, or hold it for its delay (MQTT 5.0 section 3.1.3.2.2)."""
        will = connection.will
        connection.will = None
        if will is None:
            return
        session.pending_will = will
        if will.delay_s and session.expiry_s:
            self._deadlines.set((Timer.WILL, session.client_id), now_s + will.delay_s)
        else:
            self._publish_will(session, now_s)

    def _publish_will(self, session: Session, now_s: float) -> None:
        will = session.pending_will
        session.pending_will = None
        self._deadlines.cancel((Timer.WILL, session.client_id))
        if will is not None:
            will.message.received_at_s = now_s
            self._router.route_will(will.message, session, now_s)

    def _end_session(self, session: Session, now_s: float) -> None:
        self._publish_will(session, now_s)
        self._deadlines.cancel((Timer.SESSION, session.client_id))
        for subscription in session.subscriptions.values():
            self._subscriptions.remove(subscription)
        session.subscriptions.clear()
        session.clear()
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]

    # Time

    def hold(self, connection: Connection, delay: Delay, now_s: float) -> None:
        """Stop reading from and writing to a connection until its throughput allows it again."""
        if connection.state is not State.CONNECTED or connection.is_held:
            return
        self._counters.refuse(delay.cause, connection.client_id)
        if delay.seconds:
            self._outputs.hold(connection)
            key = (Timer.HOLD, connection.connection_id)
            self._deadlines.set(key, now_s + delay.seconds)

    def replay_at(self, session: Session, at_s: float) -> None:
        """Send stored messages of a session not before this time, and then."""
        session.replay_at_s = at_s
        self._deadlines.set((Timer.REPLAY, session.client_id), at_s)

    def shared_replay_at(self, session: Session, at_s: float) -> None:
        """Send what waits in shared groups not before this time, and then."""
        session.shared_replay_at_s = at_s
        self._deadlines.set((Timer.SHARED_REPLAY, session.client_id), at_s)

    @property
    def next_deadline_s(self) -> float | None:
        """The earliest deadline, or None."""
        return self._deadlines.next_s()

    def advance(self, now_s: float) -> None:
        """Do what is due."""
        if self._registry.revision != self._seen_revision:
            self._seen_revision = self._registry.revision
            self._end_inactive_certificates(now_s)
        for timer, key in self._deadlines.due(now_s):
            if timer is Timer.SWEEP:
                self._sweep(now_s)
            elif isinstance(key, int):
                connection = self.connections.get(key)
                if connection is not None:
                    self._on_connection_timer(timer, connection, now_s)
            else:
                self._on_session_timer(timer, key, now_s)

    def _on_connection_timer(self, timer: Timer, connection: Connection, now_s: float) -> None:
        if timer is Timer.CONNECT:
            self.refuse(connection, Cause.CONNECT_TIMEOUT, now_s)
            return
        if timer is Timer.HOLD:
            self._release(connection, now_s)
            return
        if timer is Timer.LAPSE:
            if connection.peer.lapse is not None:
                self.end(connection, connection.peer.lapse.reason, now_s)
            return
        if connection.is_held:
            # What it sends is not read, so its silence means nothing.
            connection.last_packet_s = now_s
        due_s = connection.last_packet_s + _KEEP_ALIVE_FACTOR * connection.keep_alive_s
        if now_s < due_s:
            self._deadlines.set((Timer.KEEP_ALIVE, connection.connection_id), due_s)
            return
        self._counters.count(Cause.KEEP_ALIVE)
        self.end(
            connection,
            DisconnectReason.MQTT_KEEP_ALIVE_TIMEOUT,
            now_s,
            code=Why.KEEP_ALIVE_TIMEOUT,
        )

    def _release(self, connection: Connection, now_s: float) -> None:
        """Let a held connection go on, unless what was written meanwhile was too much again."""
        session = connection.session
        if session is None:
            return
        delay = self._quotas.throughput(session.meter, 0, now_s)
        if delay is not None and delay.seconds:
            key = (Timer.HOLD, connection.connection_id)
            self._deadlines.set(key, now_s + delay.seconds)
            return
        connection.last_packet_s = now_s
        self._outputs.release(connection)
        self._distributor.send_queued(session, now_s)

    def _on_session_timer(self, timer: Timer, client_id: str, now_s: float) -> None:
        session = self.sessions.get(client_id)
        if timer is Timer.PRESENCE:
            self._events.forget(client_id)
        elif session is not None and timer is Timer.WILL:
            self._publish_will(session, now_s)
        elif session is not None and timer in {Timer.REPLAY, Timer.SHARED_REPLAY}:
            self._distributor.send_queued(session, now_s)
        elif session is not None and timer is Timer.SESSION and session.connection is None:
            self._end_session(session, now_s)

    def _sweep(self, now_s: float) -> None:
        """Give up QoS 1 deliveries never acknowledged, and make room for queued ones."""
        limits = self._limits
        for session in list(self.sessions.values()):
            if not session.in_flight:
                continue
            dropped = session.give_up_older_than(now_s - limits.retry_s(session.level))
            for _ in range(dropped):
                self._counters.count(Cause.DROPPED_UNACKNOWLEDGED)
            if dropped:
                self._distributor.send_queued(session, now_s)
        if self.sessions:
            self._deadlines.set((Timer.SWEEP, 0), now_s + _SWEEP_INTERVAL_S)

    def _end_inactive_certificates(self, now_s: float) -> None:
        for connection in list(self.connections.values()):
            principal = connection.peer.principal
            if (
                connection.state is State.CONNECTED
                and principal is not None
                and not principal.is_admitted(self._registry)
            ):
                self._counters.count(Cause.CERTIFICATE_NOT_ACTIVE)
                self.end(connection, DisconnectReason.AUTH_ERROR, now_s, code=Why.NOT_AUTHORIZED)
