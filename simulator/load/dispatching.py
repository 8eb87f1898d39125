"""Applications that command: the connections of one group of commanders on one worker.

Owns the join between the pure schedule of commands and the connections that carry them: which
filters bring the answers, the counts and the latencies. What becomes of a command is
counted for the group of its car; what the connections themselves do, under the name of the
commanders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.commands.protocol import ExecutionStatus
from simulator.load.applications import Application
from simulator.load.connection.client import Pending
from simulator.load.connection.reason_codes import FAILURE
from simulator.load.driving import UNMEASURED
from simulator.load.traffic.commanding import CommandedCar, Commander

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mqtt5

    from simulator.load.connection.client import Client
    from simulator.load.target.identities import KeyPair
    from simulator.load.traffic.commanding import Unanswered
    from simulator.load.workspace import WorkSpace
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Commanders, Scenario

_SETTLE_S: Final = 1.0


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


class Dispatch(Application):
    """The connections of one group of commanders on one worker.

    Args:
        commanders: What the scenario says about them.
        names: Client ids of its connections on this worker.
        places: Place of each among all connections of the group.
        pairs: Identity of each connection, or None.
        scenario: The scenario.
        roster: The cars.
        work: What all parts of a worker share.
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
        super().__init__(
            commanders.name, commanders.qos, names, pairs, seed=scenario.seed, work=work
        )
        self._commanders = commanders
        self._roster = roster
        self._scenario = scenario
        self._places = places
        self._cars = commanded_cars(commanders, roster)
        self._posts: list[Commander] = []
        self._filters = _filters(self._cars, scenario.fleet)

    def _filters_of(self, _index: int) -> Sequence[str]:
        return self._filters

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

    def flush(self) -> None:
        """Count the commands that were given up because too many were waiting."""
        for post in self._posts:
            for unanswered in post.take_given_up():
                self._count_unanswered(unanswered)

    def end(self) -> None:
        """Count what was never answered, and disconnect."""
        for post in self._posts:
            for unanswered in post.close():
                self._count_unanswered(unanswered)
        super().end()

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
