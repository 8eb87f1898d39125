"""Applications that command: the connections of one group of commanders on one worker.

Owns the join between the pure schedule of commands and the connections that carry them: the
subscriptions that bring the answers, the counts and the latencies. What becomes of a command is
counted for the group of its car; what the connections themselves do, under the name of the
commanders.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from agent.commands.protocol import ExecutionStatus
from simulator.load.connection.client import Client, Pending, Settings
from simulator.load.connection.reason_codes import FAILURE
from simulator.load.connection.reconnecting import delay_s
from simulator.load.driving import UNMEASURED
from simulator.load.observing import FILTERS_PER_SUBSCRIBE
from simulator.load.traffic.commanding import CommandedCar, Commander
from simulator.scenario.schema import Reconnect

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mqtt5

    from simulator.load.target.identities import KeyPair
    from simulator.load.traffic.commanding import Unanswered
    from simulator.load.workspace import WorkSpace
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Commanders, Scenario

_KEEP_ALIVE_S: Final = 60
_SETTLE_S: Final = 1.0
_RECONNECT: Final = Reconnect(policy="backoff", first=0.5, longest=5.0)


def commanded_cars(commanders: Commanders, roster: Roster) -> list[CommandedCar]:
    """The cars of the group that take commands."""
    start, stop = roster.range_of(commanders.group)
    return [
        CommandedCar(
            number, roster.thing(number), within.group.name, within.group.commands.protocol
        )
        for within in roster.groups
        if within.group.commands is not None
        for number in range(max(start, within.start), min(stop, within.stop))
    ]


def first_command_s(commanders: Commanders, roster: Roster) -> float:
    """When the schedule of commands begins: as the scenario says, or when all cars can be there."""
    if commanders.begin is not None:
        return commanders.begin
    start, stop = roster.range_of(commanders.group)
    return float(roster.arrivals_s()[start:stop].max()) + _SETTLE_S


class Dispatch:
    """The connections of one group of commanders on one worker.

    Args:
        commanders: What the scenario says about them.
        names: Client ids of its connections on this worker.
        places: Place of each among all connections of the group.
        pairs: Identity of each connection, or None.
        scenario: The scenario.
        roster: The cars.
        work: What all parts of a worker share.

    Attributes:
        bytes_in: Bytes read.
        bytes_out: Bytes written.
    """

    def __init__(
        self,
        commanders: Commanders,
        names: Sequence[str],
        places: Sequence[int],
        pairs: Sequence[KeyPair | None],
        *,
        scenario: Scenario,
        roster: Roster,
        work: WorkSpace,
    ) -> None:
        self.name = commanders.name
        self.bytes_in = 0
        self.bytes_out = 0
        self._commanders = commanders
        self._roster = roster
        self._scenario = scenario
        self._places = places
        self._work = work
        self._cars = commanded_cars(commanders, roster)
        self._posts: list[Commander] = []
        self._is_over = False
        self._losses = [0] * len(names)
        self._unanswered = [0] * len(names)
        self._ready = [False] * len(names)
        self._filters = _filters(self._cars, scenario.fleet)
        settings = Settings(keep_alive_s=_KEEP_ALIVE_S)
        self.clients = [
            Client(self, index, name, settings, work.loop, work.clock, pairs[index])
            for index, name in enumerate(names)
        ]

    # Connecting

    @property
    def is_ready(self) -> bool:
        """Whether every connection has its subscriptions."""
        return all(self._ready)

    def connect(self) -> None:
        """Let every connection connect and subscribe."""
        for client in self.clients:
            client.connect(self._work.endpoint)

    def _connect(self, index: int, _now_s: float) -> None:
        if not self._is_over:
            self.clients[index].connect(self._work.endpoint)

    def client_linked(self, client: Client, now_s: float, /) -> None:
        """TLS stands; only cars are timed."""

    def client_connected(self, client: Client, now_s: float, /) -> None:
        """Subscribe to the answers."""
        self._unanswered[client.index] = 0
        for start in range(0, len(self._filters), FILTERS_PER_SUBSCRIBE):
            chunk = self._filters[start : start + FILTERS_PER_SUBSCRIBE]
            client.subscribe([(name, self._commanders.qos) for name in chunk], now_s)
            self._unanswered[client.index] += 1

    def client_subscribed(self, client: Client, reasons: list[int], /) -> None:
        """A SUBACK came. One that refuses a filter leaves the connection without all it needs."""
        self._work.meter.subscribed(reasons)
        if all(reason < FAILURE for reason in reasons):
            self._unanswered[client.index] -= 1
        if self._unanswered[client.index] == 0:
            self._ready[client.index] = True

    def client_ended(self, client: Client, cause: str, /, *, was_connected: bool) -> None:  # noqa: ARG002 - of the protocol
        """The connection ended; come back."""
        if self._is_over:
            return
        work, index = self._work, client.index
        work.meter.reason(f"{cause} ({self.name})")
        self._losses[index] += 1
        wait_s = delay_s(
            _RECONNECT, client.attempts, self._scenario.seed, -1 - index, self._losses[index]
        )
        if wait_s is not None:
            work.agenda.at(work.clock() + wait_s, partial(self._connect, index))

    # Commanding

    def start(self, run: str, unix_s_at_zero: float) -> None:
        """Make the schedule of every connection.

        Args:
            run: Identity of the run.
            unix_s_at_zero: Unix time at 0 of the run's clock.
        """
        commanders = self._commanders
        self._posts = [
            Commander(
                self._cars,
                fleet=self._scenario.fleet,
                kind=commanders.command,
                rate_hz=commanders.rate_hz,
                answer_within_s=commanders.answer_within,
                seed=self._scenario.seed,
                run=run,
                unix_s_at_zero=unix_s_at_zero,
                start_s=first_command_s(commanders, self._roster),
                end_s=self._work.timetable.end_s,
                index=place,
                count=commanders.count,
            )
            for place in self._places
        ]

    def command_due(self, now_s: float) -> None:
        """Send every command that became due."""
        for post, client in zip(self._posts, self.clients, strict=True):
            next_s = post.next_due_s
            if next_s is None or next_s > now_s:
                continue
            withheld = post.withheld
            commands = post.due(now_s)
            # Every car in reach still owes an answer; the command was due all the same.
            self._work.meter.count("not_sent_window", self.name, post.withheld - withheld)
            for command in commands:
                phase = self._work.timetable.phase_at(command.due_s)
                if not client.is_connected or client.is_window_full:
                    post.withdraw(command)
                    self._work.meter.count("not_sent_offline", self.name, phase=phase)
                    continue
                pending = Pending(
                    command.due_s,
                    UNMEASURED,
                    command.topic,
                    command.payload,
                    expiry_s=command.expiry_s,
                )
                self.bytes_out += client.publish(pending, now_s)
                self._work.meter.count("commands_sent", command.group, phase=phase)

    def client_message(self, client: Client, packet: mqtt5.PublishPacket, /) -> None:
        """An answer, perhaps."""
        if not self._posts:
            return
        answered = self._posts[client.index].answer(
            packet.topic, packet.payload, self._work.clock()
        )
        if answered is None:
            return
        meter = self._work.meter
        phase = self._work.timetable.phase_at(answered.due_s)
        meter.sink("command_ms", answered.group, phase).append(answered.latency_s)
        outcome = "commands_answered" if answered.in_time else "commands_late"
        meter.count(outcome, answered.group, phase=phase)
        if answered.status is not ExecutionStatus.SUCCEEDED:
            meter.count("commands_failed", answered.group, phase=phase)
            meter.reason(f"command {answered.status.value} {answered.reason}".rstrip())

    def client_acknowledged(self, _client: Client, _pending: Pending, reason: int, /) -> None:
        """A command reached the broker, or was refused by it."""
        if reason >= FAILURE:
            self._work.meter.acknowledged(self.name, reason)

    def client_resent(self, _client: Client, count: int, /) -> None:
        """Commands were sent again; cars know them by their execution id."""
        self._work.meter.count("resent", self.name, count)

    # Ending

    @property
    def is_settled(self) -> bool:
        """Whether no command waits for its answer."""
        return not any(post.pending for post in self._posts)

    def look_after(self, now_s: float) -> None:
        """Look after the connections: pings, time-outs."""
        for client in self.clients:
            if client.link is not None:
                client.look_after(now_s)

    def flush(self) -> None:
        """Count the commands that were given up because too many were waiting."""
        for post in self._posts:
            for unanswered in post.take_given_up():
                self._count_unanswered(unanswered)

    def end(self) -> None:
        """Count what was never answered, and disconnect."""
        self._is_over = True
        for post in self._posts:
            for unanswered in post.close():
                self._count_unanswered(unanswered)
        for client in self.clients:
            client.disconnect()

    def _count_unanswered(self, unanswered: Unanswered) -> None:
        phase = self._work.timetable.phase_at(unanswered.due_s)
        self._work.meter.count("commands_unanswered", unanswered.group, phase=phase)


def _filters(cars: Sequence[CommandedCar], fleet: str) -> list[str]:
    """The subscriptions that bring the answers of all commanded cars, one for each protocol.

    One for each car would soon exceed what a connection may have.
    """
    every = {
        "plain": f"cmd/morai/{fleet}/+/res/+",
        "aws": "$aws/commands/things/+/executions/+/response/json",
    }
    return [every[protocol] for protocol in sorted({car.protocol for car in cars})]
