"""The cars of one group on one worker, whatever client they connect with.

Owns the join between motion, timetable, encoder and connections: what is due is published or
counted as not sent with its cause, commands are answered, and nothing waits for anything. Which
client carries the messages is up to the classes that derive from `DrivenCars`; this module must not
know sockets or SDKs. Faults act on cars through `simulator.load.faults`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from agent.cloud.topics import CommandProtocol, TopicKind, TopicSpace
from simulator.load.connection.client import Pending
from simulator.load.connection.reconnecting import delay_s
from simulator.load.traffic.payloads import shadow_report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.fleet import Cars
    from simulator.load.target.identities import KeyPair
    from simulator.load.traffic.answering import Answerer, Effect, Reply
    from simulator.load.traffic.pacing import Lane, Slice
    from simulator.load.traffic.payloads import StreamEncoder
    from simulator.load.workspace import WorkSpace
    from simulator.scenario.schema import VehicleGroup

_QOS_1: Final = 1


class Unmeasured(list[float]):
    """A sink for latencies that nobody asked for."""

    def append(self, _: float, /) -> None:
        """Forget it."""


UNMEASURED: Final = Unmeasured()


class StreamLane:
    """One stream of the group: its timetable, its encoder and its numbering.

    Args:
        name: The stream.
        qos: QoS of its publishes.
        lane: When what is due.
        encoder: Payloads.
        topics: Topic of each car.

    Attributes:
        sequences: Number of the next message of each car.
        unwritten: Car to how many of its numbers were given to messages that were not written.
    """

    def __init__(
        self, name: str, qos: int, lane: Lane, encoder: StreamEncoder, topics: list[str]
    ) -> None:
        self.name = name
        self.qos = qos
        self.lane = lane
        self.encoder = encoder
        self.topics = topics
        self.sequences = [0] * len(topics)
        self.unwritten: dict[int, int] = {}

    def written(self) -> list[int]:
        """How many messages each car wrote."""
        counts = list(self.sequences)
        for index, number in self.unwritten.items():
            counts[index] -= number
        return counts


@dataclass(frozen=True, slots=True)
class CarsPlan:
    """Which cars of a group a worker drives, and with what.

    Attributes:
        group: The group.
        first: Number of its first car on this worker.
        start: Number of the group's first car of all, element 0 of the arrays.
        things: Thing names of the cars on this worker.
        pairs: Their identities, or None.
        cars: The whole group in motion.
        lanes: The streams.
        shadow_lane: When shadow reports are due, if the group makes any.
        answerer: How commands are answered, if at all.
        fleet: Fleet level of the topics.
        boot: Identity of the run, in payloads.
        seed: Seed of the scenario.
    """

    group: VehicleGroup
    first: int
    start: int
    things: Sequence[str]
    pairs: Sequence[KeyPair] | None
    cars: Cars
    lanes: list[StreamLane]
    shadow_lane: Lane | None
    answerer: Answerer | None
    fleet: str
    boot: str
    seed: int


class CarClient(Protocol):
    """What every client of a car can do.

    Attributes:
        index: Number of the car on this worker.
        client_id: Its client id, the thing name.
        attempts: Consecutive attempts to connect that failed.
        started_s: When the attempt under way, or the last one, began.
        is_connected: Between CONNACK and the end of a connection.
    """

    index: int
    client_id: str
    attempts: int
    started_s: float
    is_connected: bool

    @property
    def is_window_full(self) -> bool:
        """Whether a further QoS 1 publish would have to be given up."""

    def publish(self, pending: Pending, now_s: float, /) -> int:
        """Publish at QoS 1, or let it wait for room in the window; the bytes written."""

    def never_written(self) -> list[Pending]:
        """The publishes that waited for room and were not written on any connection."""

    def subscribe(self, filters: list[tuple[str, int]], now_s: float, /) -> None:
        """Subscribe to filters, each with its QoS."""

    def disconnect(self) -> None:
        """End the connection in order."""


C = TypeVar("C", bound=CarClient)


class DrivenCars(ABC, Generic[C]):
    """The cars of one group that one worker drives.

    Args:
        plan: Which cars, and with what.
        work: What all parts of a worker share.

    Attributes:
        clients: Their clients, in the order of the things.
        bytes_in: Bytes read since the worker last asked.
        bytes_out: Bytes written since then.
        online: Cars that are connected now.
        skew_s: Car to the error of its clock.
        was_connected: 1 for each car that was connected at least once.
    """

    clients: list[C]

    def __init__(self, plan: CarsPlan, work: WorkSpace) -> None:
        things = plan.things
        self.group = plan.group
        self.name = plan.group.name
        self.first = plan.first
        self.start = plan.start
        self.fleet = plan.fleet
        self.things = things
        self.lanes = plan.lanes
        self.work = work
        self.meter = work.meter
        self.bytes_in = 0
        self.bytes_out = 0
        self.online = 0
        self.skew_s: dict[int, float] = {}
        self.was_connected = bytearray(len(things))
        self.is_over = False
        self._pairs = plan.pairs
        self._seed = plan.seed
        self._timetable = work.timetable
        self._cars = plan.cars
        self._element = plan.first - plan.start
        self._boot = plan.boot
        self._shadow_lane = plan.shadow_lane
        self._shadow_numbers = [0] * len(things) if plan.shadow_lane is not None else []
        self._answerer = plan.answerer
        commands = plan.group.commands
        self._protocol = (
            CommandProtocol.AWS
            if commands is not None and commands.protocol == "aws"
            else CommandProtocol.PLAIN
        )
        self._losses = bytearray(len(things))
        self._orders: dict[int, int] = {}
        self._replies_due = 0

    def identity(self, index: int) -> KeyPair | None:
        """The certificate of a car, if it has one."""
        return self._pairs[index] if self._pairs else None

    # Connecting

    @abstractmethod
    def connect(self, index: int, _now_s: float = 0.0) -> None:
        """Let a car connect now, unless it is connected or the run is over."""

    @abstractmethod
    def disconnect(self, index: int, now_s: float) -> None:
        """Let a car end its connection in order, and come back as the scenario says."""

    def return_after_s(self, index: int) -> float | None:
        """How long a car stays away that just lost its connection; None is for ever."""
        nth = self._losses[index]
        self._losses[index] = (nth + 1) % 256
        attempts = self.clients[index].attempts
        return delay_s(self.group.reconnect, attempts, self._seed, self.first + index, nth)

    def lost_connection(self) -> None:
        """A connection was ended on purpose; count it."""
        self.online -= 1
        self.meter.count("disconnects", self.name)

    def client_connected(self, client: C, now_s: float, /) -> None:
        """CONNACK came."""
        meter, name = self.meter, self.name
        phase = self._timetable.phase_at(client.started_s)
        meter.sink("connect_ms", name, phase).append(now_s - client.started_s)
        meter.count("connects", name)
        self.online += 1
        self.was_connected[client.index] = 1

    def client_ended(self, client: C, cause: str, /, *, was_connected: bool) -> None:
        """A connection ended by itself, or never came to be."""
        if was_connected:
            self.online -= 1
        if self.is_over:
            return
        self.meter.count("disconnects" if was_connected else "connect_failures", self.name)
        self.meter.reason(cause)
        self._left_alone(client)

    @abstractmethod
    def _left_alone(self, client: C) -> None:
        """See to it that a car whose connection ended comes back, or does not."""

    def client_subscribed(self, _client: C, reasons: list[int], /) -> None:
        """A SUBACK came."""
        self.meter.subscribed(reasons)

    def _subscribe(self, client: C, now_s: float) -> None:
        """Let a car listen to its commands, if it takes any."""
        if self._answerer is not None:
            filters = TopicSpace(self.fleet, client.client_id).request_filter(self._protocol)
            client.subscribe([(filters, _QOS_1)], now_s)

    # Publishing

    def publish_due(self, now_s: float) -> None:
        """Publish everything that became due."""
        for stream in self.lanes:
            while True:
                due = stream.lane.due(now_s)
                if not due.cars:
                    break
                self._publish(stream, due)
        if self._shadow_lane is not None:
            while True:
                due = self._shadow_lane.due(now_s)
                if not due.cars:
                    break
                for index, due_s in zip(*due, strict=True):
                    self._report_shadow(index, due_s, now_s)

    def _publish(self, stream: StreamLane, due: Slice) -> None:
        phase = self._timetable.phase_at(due.due_s[0])
        if phase != self._timetable.phase_at(due.due_s[-1]):
            # Rare, and then the messages are few: each one is measured in its own phase.
            for car, due_s in zip(*due, strict=True):
                self._write(stream, [car], [due_s], self._timetable.phase_at(due_s))
            return
        self._write(stream, due.cars, due.due_s, phase)

    def _write(self, stream: StreamLane, cars: list[int], due_s: list[float], phase: str) -> None:
        cars, due_s, sequences = self._numbered(stream, cars, due_s, phase)
        if not cars:
            return
        payloads = stream.encoder.encode(
            cars, sequences, due_s, self.skew_s, period_s=self._period_s(stream, due_s[0])
        )
        lateness = self.meter.sink("lateness_ms", self.name, phase)
        if not stream.qos:
            stalled = self._write_unacknowledged(stream.topics, cars, payloads, due_s, lateness)
            for index in stalled:
                stream.unwritten[index] = stream.unwritten.get(index, 0) + 1
            self.meter.count("not_sent_backpressure", self.name, len(stalled), phase=phase)
            self.meter.count("published", self.name, len(cars) - len(stalled), phase=phase)
            return
        clients, topics, clock = self.clients, stream.topics, self.work.clock
        sink = self.meter.sink("publish_ack_ms", self.name, phase)
        written_bytes = 0
        rows = zip(cars, payloads, due_s, sequences, strict=True)
        for index, payload, due, number in rows:
            now_s = clock()
            pending = Pending(due, sink, topics[index], payload, stream, number)
            written_bytes += clients[index].publish(pending, now_s)
            lateness.append(now_s - due)
        self.bytes_out += written_bytes
        self.meter.count("published", self.name, len(cars), phase=phase)

    def _period_s(self, stream: StreamLane, due_s: float) -> float | None:
        """Time between two messages of a car now, when that matters and is not the nominal one."""
        if stream.encoder.stream.samples == 1:
            return None
        factor = self._timetable.rate_at(due_s)
        return 1.0 / (stream.encoder.stream.rate_hz * factor) if factor > 0 else None

    @abstractmethod
    def _write_unacknowledged(
        self,
        topics: Sequence[str],
        cars: list[int],
        payloads: list[bytes],
        due_s: list[float],
        lateness: list[float],
    ) -> list[int]:
        """Publish messages at QoS 0 and append how late each was written.

        Returns:
            The cars whose socket is too far behind to take theirs.
        """

    def _numbered(
        self, stream: StreamLane, cars: list[int], due_s: list[float], phase: str
    ) -> tuple[list[int], list[float], list[int]]:
        """The messages whose cars can send now, numbered; the others are counted by cause."""
        clients, sequences, qos = self.clients, stream.sequences, stream.qos
        numbers: list[int] = []
        if not qos and self.online == len(clients):
            for index in cars:
                number = sequences[index]
                sequences[index] = number + 1
                numbers.append(number)
            return cars, due_s, numbers
        able: list[int] = []
        times: list[float] = []
        offline = full = 0
        for index, due in zip(cars, due_s, strict=True):
            client = clients[index]
            if not client.is_connected:
                # A car that has never been there yet is missed by `connected`, not here.
                offline += self.was_connected[index]
            elif qos and client.is_window_full:
                full += 1
            else:
                number = sequences[index]
                sequences[index] = number + 1
                able.append(index)
                times.append(due)
                numbers.append(number)
        if offline or full:
            self.meter.count("not_sent_offline", self.name, offline, phase=phase)
            self.meter.count("not_sent_window", self.name, full, phase=phase)
        return able, times, numbers

    def _report_shadow(self, index: int, due_s: float, now_s: float) -> None:
        client, shadow = self.clients[index], self.group.shadow
        phase = self._timetable.phase_at(due_s)
        if not client.is_connected or shadow is None:
            missed = self.was_connected[index]
            self.meter.count("not_sent_offline", self.name, missed, phase=phase)
            return
        if client.is_window_full:
            self.meter.count("not_sent_window", self.name, phase=phase)
            return
        number = self._shadow_numbers[index]
        self._shadow_numbers[index] = number + 1
        topic, payload = shadow_report(
            self.things[index],
            shadow.name,
            cars=self._cars,
            element=self._element + index,
            number=number,
            boot=self._boot,
        )
        sink = self.meter.sink("publish_ack_ms", self.name, phase)
        self.bytes_out += client.publish(Pending(due_s, sink, topic, payload, None), now_s)
        self.meter.count("published", self.name, phase=phase)

    def client_acknowledged(self, _client: C, _pending: Pending, reason: int, /) -> None:
        """A PUBACK came."""
        self.meter.acknowledged(self.name, reason)

    def client_resent(self, _client: C, count: int, /) -> None:
        """Publishes were sent again after a reconnect."""
        self.meter.count("resent", self.name, count)

    # Commands

    def _take_message(
        self, client: C, topic: str, payload: bytes, expiry_s: float | None = None
    ) -> None:
        """A message for a car: a command, or nothing it knows."""
        answerer = self._answerer
        if answerer is None:
            return
        topics = TopicSpace(self.fleet, client.client_id)
        parsed = topics.parse(topic)
        if parsed.kind is not TopicKind.REQUEST or parsed.execution_id is None:
            return
        now_s = self.work.clock()
        index = client.index
        replies = answerer.request(
            self.first + index,
            parsed.execution_id,
            payload,
            now_s,
            expiry_s,
            skew_s=self.skew_s.get(index, 0.0),
        )
        response = topics.response(self._protocol, parsed.execution_id)
        self._replies_due += len(replies)
        for reply in replies:
            self.work.agenda.at(reply.due_s, partial(self._reply, index, response, reply))

    def _reply(self, index: int, topic: str, reply: Reply, now_s: float) -> None:
        self._replies_due -= 1
        if reply.effect is not None:
            self._obey(index, reply.effect, now_s)
        client = self.clients[index]
        if not client.is_connected:
            self.meter.count("not_sent_offline", self.name)
        elif client.is_window_full:
            self.meter.count("not_sent_window", self.name)
        else:
            pending = Pending(reply.due_s, UNMEASURED, topic, reply.payload, None)
            self.bytes_out += client.publish(pending, now_s)
            self.meter.count("published", self.name)

    def _obey(self, index: int, effect: Effect, now_s: float) -> None:
        self._cars.set_speed(self._element + index, effect.speed_mps)
        order = self._orders[index] = self._orders.get(index, 0) + 1
        if effect.hold_s is not None:
            release = partial(self._release, index, order)
            self.work.agenda.at(now_s + effect.hold_s, release)

    def _release(self, index: int, order: int, _now_s: float) -> None:
        # A later command has the car otherwise.
        if self._orders.get(index) == order:
            self._cars.set_speed(self._element + index, None)

    # Ending

    @abstractmethod
    def look_after(self, now_s: float, part: int, parts: int) -> None:
        """Look after one part of the cars' connections."""

    @property
    def is_settled(self) -> bool:
        """Whether no publish waits for an acknowledgement, and no answer to a command is due."""
        return not self._replies_due and not any(
            any(True for _ in self._open_of(client)) for client in self.clients
        )

    def give_up_waiting(self) -> None:
        """At the end, count as not sent what was never written for want of room."""
        for client in self.clients:
            for pending in client.never_written():
                phase = self._timetable.phase_at(pending.due_s)
                self.meter.count("published", self.name, -1, phase=phase)
                self.meter.count("not_sent_window", self.name, phase=phase)
                if isinstance(pending.lane, StreamLane):
                    unwritten = pending.lane.unwritten
                    unwritten[client.index] = unwritten.get(client.index, 0) + 1

    @property
    @abstractmethod
    def unacknowledged(self) -> int:
        """QoS 1 publishes that were written and have no PUBACK."""

    @abstractmethod
    def _open_of(self, client: C) -> Iterable[Pending]:
        """The QoS 1 publishes of a car that were accepted and have no PUBACK."""

    def on_their_way(self, stream: StreamLane) -> dict[int, list[int]]:
        """Numbers of the publishes of a stream that may still arrive, by number of the car."""
        found: dict[int, list[int]] = {}
        for client in self.clients:
            unsent = {id(each) for each in client.never_written()}
            numbers = [
                each.number
                for each in self._open_of(client)
                if each.lane is stream and id(each) not in unsent
            ]
            if numbers:
                found[self.first + client.index] = numbers
        return found

    def end(self) -> None:
        """The run is over: disconnect every car, and let none come back."""
        self.is_over = True
        for client in self.clients:
            client.disconnect()
        self.online = 0

    async def gone(self, _patience_s: float) -> bool:
        """Wait, after `end`, until the clients have left; whether they did in that time."""
        return True
