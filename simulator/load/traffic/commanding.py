"""An application that commands cars: which command goes to which car when, and what came back.

Owns the open-loop schedule of one commander connection, its request documents, and the table of
executions that wait for an answer. Commands are due by the clock alone: a car or a broker that is
slow to answer does not slow the commander down, and latency counts from the intended time. Pure;
times are seconds of the run. It must not know MQTT or what a car does with a command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
import numpy as np

from agent.cloud.topics import CommandProtocol, TopicSpace, is_execution_id
from agent.commands.protocol import ExecutionStatus, ResponseError, decode_outcome
from agent.commands.requests import MAX_TIMEOUT_S, Drive, Lamps, Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_PENDING",
    "Answered",
    "Command",
    "CommandKind",
    "CommandedCar",
    "Commander",
    "Unanswered",
]

CommandKind: TypeAlias = Literal["set_speed", "stop", "set_lamps", "mix"]

MAX_PENDING: Final = 65_536
"""Executions that wait for an answer. When there are more the oldest is given up as unanswered; an
answer that comes after all is counted as unknown."""

_MAX_AT_ONCE: Final = 1000
_MAX_TRIES: Final = 64
_MAX_ANSWERED: Final = 16_384
# Answered executions that are remembered, to tell a duplicate answer from an unknown one; beyond
# them the oldest is forgotten.
_COMMANDING: Final = 2
"""Purpose of the random draws, so that two purposes never share a sequence of one seed."""

# Of a mix: most set a speed, so that the cars keep moving.
_SET_SPEED_SHARE: Final = 0.6
_STOP_SHARE: Final = 0.15
_SPEEDS_MPS: Final = (3.0, 14.0)
_LAMPS: Final[tuple[dict[str, Any], ...]] = (
    {"turn_signal": "left"},
    {"turn_signal": "right"},
    {"turn_signal": "none"},
    {"hazard": True},
    {"hazard": False},
)

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class CommandedCar:
    """A car that takes commands.

    Attributes:
        car: Its number.
        thing: Its thing name.
        group: Its group.
        protocol: The transport it listens to, that of the group's command handling.
    """

    car: int
    thing: str
    group: str
    protocol: Literal["plain", "aws"] = "plain"


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is due.

    Attributes:
        topic: Where it is published.
        payload: The request document.
        answer_topic: Where its answers arrive.
        execution_id: Its execution.
        due_s: Intended time.
        car: Number of the car.
        group: Group of the car.
        expiry_s: Whole seconds for the MQTT 5 Message Expiry Interval.
    """

    topic: str
    payload: bytes
    answer_topic: str
    execution_id: str
    due_s: float
    car: int
    group: str
    expiry_s: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The final answer to a command.

    Attributes:
        latency_s: From the intended time of the command to the answer.
        in_time: Whether it came within the time allowed.
        status: What the car says became of it.
        reason: Its reason code, or an empty text.
        due_s: Intended time of the command.
        car: Number of the car.
        group: Group of the car.
    """

    latency_s: float
    in_time: bool
    status: ExecutionStatus
    reason: str
    due_s: float
    car: int
    group: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A command that never got a final answer."""

    due_s: float
    car: int
    group: str


@dataclass(slots=True)
class _Target:
    space: TopicSpace
    protocol: CommandProtocol
    car: int
    group: str
    busy_with: str | None = None
    busy_until_s: float = 0.0


class _Pending:
    __slots__ = ("due_s", "target")

    def __init__(self, due_s: float, target: _Target) -> None:
        self.due_s = due_s
        self.target = target


class Commander:
    """One commander connection.

    Several connections with the same `seed` and `count` share the cars and the rate: connection
    `index` has every `count`-th car of one random order, and its commands lie between those of the
    others in time. Cars are taken in turn, so a car is not commanded again before all others were;
    one whose last command is neither answered nor overdue is passed over.

    Args:
        cars: All cars that the commanders of the scenario entry command.
        fleet: Fleet level of the topics.
        kind: Which commands: `set_speed` is the agent's `drive` with a target speed, `stop` its
            `stop`, `set_lamps` its `lamps`; `mix` draws among them.
        rate_hz: Commands per second of all connections together.
        answer_within_s: An answer after this is late. It is also the time limit in the request, so
            a car refuses a command that reaches it later.
        seed: Seed of the scenario.
        run: Identity of the run; begins every execution id, because cars keep ids for a day.
        unix_s_at_zero: Unix time at 0 of the run's clock.
        start_s: Begin of the schedule.
        end_s: End of the schedule; nothing is due from then on.
        index: Number of this connection, from 0.
        count: How many connections share the cars.
        max_pending: See `MAX_PENDING`.

    Raises:
        ValueError: There are no cars for this connection, or `run` cannot begin an execution id.
        ConfigurationError: A name does not fit into a topic.

    Attributes:
        withheld: Due commands that were not made because every car, or each of the next 64 in turn,
            was busy.
        in_progress: Answers that were not final.
        duplicates: Further answers to what was answered already; the last 16,384 are known.
        unknown: Messages that answer nothing this commander asked.
        undecodable: Messages on an awaited topic that are no answer.
    """

    def __init__(
        self,
        cars: Sequence[CommandedCar],
        *,
        fleet: str,
        kind: CommandKind,
        rate_hz: float,
        answer_within_s: float,
        seed: int,
        run: str,
        unix_s_at_zero: float,
        start_s: float = 0.0,
        end_s: float = float("inf"),
        index: int = 0,
        count: int = 1,
        max_pending: int = MAX_PENDING,
    ) -> None:
        order = np.random.default_rng([seed, _COMMANDING]).permutation(len(cars))[index::count]
        if not len(order):
            raise ValueError(f"{len(cars)} cars are too few for {count} commanders")
        self._prefix = f"{run}-{index}-"
        # A number of twelve digits outlasts any run.
        if not is_execution_id(self._prefix + "9" * 12):
            raise ValueError(f"{run!r:.80} cannot begin an execution id")
        self._targets = [
            _Target(
                TopicSpace(fleet, cars[at].thing),
                CommandProtocol(cars[at].protocol),
                cars[at].car,
                cars[at].group,
            )
            for at in order.tolist()
        ]
        self._kind = kind
        self._answer_within_s = answer_within_s
        self._timeout_s = min(answer_within_s, MAX_TIMEOUT_S)
        self._zero_s = unix_s_at_zero
        self._first_s = start_s + (index + 0.5) / rate_hz
        self._spacing_s = count / rate_hz
        self._end_s = end_s
        self._random = np.random.default_rng([seed, _COMMANDING, 1 + index])
        self._max_pending = max_pending
        self._number = 0
        self._turn = 0
        # By the topic of the answer, which says all there is to check about where it came from.
        self._pending: dict[str, _Pending] = {}
        self._answered: dict[str, None] = {}
        self._given_up: list[Unanswered] = []
        self.withheld = 0
        self.in_progress = 0
        self.duplicates = 0
        self.unknown = 0
        self.undecodable = 0

    @property
    def filters(self) -> list[str]:
        """One subscription a car that brings its answers, in the order of the cars' turns."""
        return [target.space.response_filter(target.protocol) for target in self._targets]

    @property
    def pending(self) -> int:
        """Commands that wait for a final answer."""
        return len(self._pending)

    @property
    def next_due_s(self) -> float | None:
        """When `due` has something to give next; None when the schedule is over."""
        due_s = self._first_s + self._number * self._spacing_s
        return due_s if due_s < self._end_s else None

    def due(self, now_s: float) -> list[Command]:
        """The commands whose time has come, at most 1,000; they count as sent.

        What they are and when depends on the seed alone, not on when this is called.
        """
        commands: list[Command] = []
        while len(commands) < _MAX_AT_ONCE:
            due_s = self.next_due_s
            if due_s is None or due_s > now_s:
                break
            name, parameters = self._draw()
            number = self._number
            self._number += 1
            target = self._free_target(due_s)
            if target is None:
                self.withheld += 1
                continue
            commands.append(self._command(target, name, parameters, number, due_s))
        return commands

    def withdraw(self, command: Command) -> None:
        """Take back a command of `due` that could not be written."""
        pending = self._pending.pop(command.answer_topic, None)
        if pending is not None and pending.target.busy_with == command.answer_topic:
            pending.target.busy_with = None

    def answer(self, topic: str, payload: bytes, now_s: float) -> Answered | None:
        """Take in a message; the command it finishes, or None.

        Args:
            topic: Its topic, any text.
            payload: Its payload, any bytes.
            now_s: When it arrived.
        """
        pending = self._pending.get(topic)
        if pending is None:
            if topic in self._answered:
                self.duplicates += 1
            else:
                self.unknown += 1
            return None
        try:
            outcome = decode_outcome(payload)
        except ResponseError:
            self.undecodable += 1
            return None
        if not outcome.status.is_final:
            self.in_progress += 1
            return None
        del self._pending[topic]
        self._answered[topic] = None
        if len(self._answered) > _MAX_ANSWERED:
            del self._answered[next(iter(self._answered))]
        target = pending.target
        if target.busy_with == topic:
            target.busy_with = None
        latency_s = now_s - pending.due_s
        return Answered(
            latency_s,
            latency_s <= self._answer_within_s,
            outcome.status,
            "" if outcome.reason is None else outcome.reason.value,
            pending.due_s,
            target.car,
            target.group,
        )

    def take_given_up(self) -> list[Unanswered]:
        """The commands given up since the last call because too many were waiting."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def close(self) -> list[Unanswered]:
        """End of the run: every command without a final answer, those given up included."""
        waiting = [_unanswered(pending) for pending in self._pending.values()]
        self._pending.clear()
        return self.take_given_up() + waiting

    def _draw(self) -> tuple[str, dict[str, Any]]:
        # Always the same number of draws, so that one command does not depend on another.
        which, how = self._random.random(2).tolist()
        kind = self._kind
        if kind == "mix":
            kind = (
                "set_speed"
                if which < _SET_SPEED_SHARE
                else "stop"
                if which < _SET_SPEED_SHARE + _STOP_SHARE
                else "set_lamps"
            )
        if kind == "set_speed":
            low, high = _SPEEDS_MPS
            return Drive.NAME, {"target_speed_mps": round(low + how * (high - low), 1)}
        if kind == "stop":
            return Stop.NAME, {"deceleration_mps2": 2.0}
        return Lamps.NAME, _LAMPS[int(how * len(_LAMPS))]

    def _free_target(self, due_s: float) -> _Target | None:
        for _ in range(min(_MAX_TRIES, len(self._targets))):
            target = self._targets[self._turn]
            self._turn = (self._turn + 1) % len(self._targets)
            if target.busy_with is None or target.busy_until_s <= due_s:
                return target
        return None

    def _command(
        self, target: _Target, name: str, parameters: dict[str, Any], number: int, due_s: float
    ) -> Command:
        execution_id = f"{self._prefix}{number}"
        awaited = target.space.response(target.protocol, execution_id)
        target.busy_with, target.busy_until_s = awaited, due_s + self._answer_within_s
        self._pending[awaited] = _Pending(due_s, target)
        if len(self._pending) > self._max_pending:
            self._given_up.append(_unanswered(self._pending.pop(next(iter(self._pending)))))
        request = {
            "command": name,
            "parameters": parameters,
            "issued_at": round(self._zero_s + due_s, 3),
            "timeout_s": self._timeout_s,
        }
        return Command(
            target.space.request(target.protocol, execution_id),
            _encode(request),
            awaited,
            execution_id,
            due_s,
            target.car,
            target.group,
            max(1, round(self._timeout_s)),
        )


def _unanswered(pending: _Pending) -> Unanswered:
    return Unanswered(pending.due_s, pending.target.car, pending.target.group)
