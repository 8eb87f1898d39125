"""A car's side of commands: what it answers, when, and what the command does to its motion.

Requests are read by the agent's own parser and answered in the agent's own documents, so refusals
and reason codes are the real ones. How long a command takes and how it ends is drawn from the seed
and its execution id alone: it does not depend on which worker has the car, nor on what came before.
Owns the memory that makes a command take effect once however often it is delivered. Pure; times
are seconds of the run. It must not know MQTT or the motion; it has no arbitration between commands
that overlap: a later one simply takes effect after an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from agent.cloud.topics import CommandProtocol
from agent.commands.protocol import ExecutionStatus, Outcome, ReasonCode, encode_outcome
from agent.commands.requests import (
    Command,
    Drive,
    EmergencyStop,
    Refusal,
    Resume,
    SetControlMode,
    Stop,
    parse_request,
)
from simulator.scenario.answer_time import AnswerTime

if TYPE_CHECKING:
    from simulator.scenario.schema import CommandHandling

__all__ = ["MAX_REMEMBERED", "Answerer", "Effect", "Reply"]

MAX_REMEMBERED: Final = 50_000
"""Executions that a group of cars remembers, some 20 MB. Beyond it the oldest is forgotten, and
would take effect again if it were delivered again after so many others."""

_DRAW_BITS: Final = 53

# What is wrong with a request at any time is answered and not remembered, as the agent does.
_NOT_REMEMBERED: Final = frozenset(
    {
        ReasonCode.TOO_LARGE,
        ReasonCode.MALFORMED_JSON,
        ReasonCode.INVALID_REQUEST,
        ReasonCode.UNKNOWN_COMMAND,
        ReasonCode.INVALID_PARAMETER,
    }
)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a command does to the motion of its car.

    Attributes:
        speed_mps: Drive at most this; 0 stops, None sets the car free.
        hold_s: After this long the car is free again; None is until the next command.
    """

    speed_mps: float | None
    hold_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A status document that the car publishes.

    Attributes:
        due_s: When.
        payload: The document.
        is_final: Whether it ends the execution.
        effect: What happens to the car at that moment, if anything.
    """

    due_s: float
    payload: bytes
    is_final: bool
    effect: Effect | None = None


@dataclass(frozen=True, slots=True)
class _Execution:
    """What is remembered of an execution: enough to answer it again."""

    request: int
    final_due_s: float
    progress: bytes | None
    final: bytes | None


class Answerer:
    """The command handling of the cars of one group.

    Args:
        handling: How they handle commands.
        seed: Seed of the scenario.
        unix_s_at_zero: Unix time at 0 of the run's clock.
        run: What execution ids of this run begin with; left out of random draws, so that two runs
            of one seed fail the same commands.
        max_remembered: See `MAX_REMEMBERED`.

    Attributes:
        protocol: The transport they listen to and answer on.
        accepted: Executions that were started.
        refused: Executions that were refused.
        failed: Executions that ended in FAILED.
        silent: Executions that were never answered, as the scenario asks.
        redelivered: Requests that were delivered again.
    """

    def __init__(
        self,
        handling: CommandHandling,
        *,
        seed: int,
        unix_s_at_zero: float,
        run: str = "",
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self.protocol = CommandProtocol(handling.protocol)
        self._handling = handling
        self._answer_time = AnswerTime.of(handling)
        self._key = seed.to_bytes(8, "big", signed=False)
        self._zero_s = unix_s_at_zero
        self._run = run
        self._max_remembered = max_remembered
        self._executions: dict[tuple[int, str], _Execution] = {}
        self._latched: set[int] = set()
        self.accepted = 0
        self.refused = 0
        self.failed = 0
        self.silent = 0
        self.redelivered = 0

    def request(
        self,
        car: int,
        execution_id: str,
        payload: bytes,
        now_s: float,
        expiry_s: float | None = None,
        *,
        skew_s: float = 0.0,
    ) -> list[Reply]:
        """Take in one request; what the car answers, in order of time.

        A request that is delivered again while its command runs is answered with the progress, and
        afterwards with the recorded outcome; it takes effect once.

        Args:
            car: Number of the car.
            execution_id: The execution that the topic names.
            payload: The request, any bytes.
            now_s: When it arrived.
            expiry_s: What is left of its MQTT 5 Message Expiry Interval, if it has one.
            skew_s: Error of the car's clock.
        """
        known = self._executions.get((car, execution_id))
        if known is not None:
            self.redelivered += 1
            if known.request != hash(payload):
                return [_refusal(now_s, ReasonCode.DUPLICATE_ID, "another command had this id")]
            return _again(known, now_s)
        parsed = parse_request(
            payload, message_expiry_s=expiry_s, now_s=self._zero_s + now_s + skew_s
        )
        if isinstance(parsed, Refusal):
            return self._refuse(car, execution_id, payload, now_s, parsed)
        outcome_draw, time_draw = self._draws(execution_id)
        if outcome_draw < self._handling.silent:
            self.silent += 1
            self._remember(car, execution_id, _Execution(hash(payload), now_s, None, None))
            return []
        command = parsed.command
        if car in self._latched and isinstance(command, Drive | SetControlMode):
            latched = Refusal(
                ReasonCode.EMERGENCY_LATCHED, "an emergency stop is latched: send resume first"
            )
            return self._refuse(car, execution_id, payload, now_s, latched)
        takes_s = self._answer_time.at(time_draw)
        is_failure = outcome_draw < self._handling.silent + self._handling.fails
        replies = [
            Reply(
                now_s,
                encode_outcome(_progress(command)),
                is_final=False,
                effect=None if is_failure else self._effect(car, command),
            ),
            Reply(now_s + takes_s, encode_outcome(_final(command, is_failure)), is_final=True),
        ]
        self.accepted += 1
        self.failed += is_failure
        self._remember(
            car,
            execution_id,
            _Execution(hash(payload), replies[1].due_s, replies[0].payload, replies[1].payload),
        )
        return replies

    def _draws(self, execution_id: str) -> tuple[float, float]:
        """Two numbers above 0 and below 1 that belong to an execution for ever."""
        lasting = execution_id.removeprefix(self._run)
        digest = blake2b(lasting.encode("utf-8", "replace"), digest_size=16, key=self._key)
        raw = digest.digest()
        first, second = (
            (int.from_bytes(half, "big") >> (64 - _DRAW_BITS)) + 0.5 for half in (raw[:8], raw[8:])
        )
        scale = 2.0**-_DRAW_BITS
        # The half step rounds up to 1 at the very top.
        return min(first * scale, 1 - scale), min(second * scale, 1 - scale)

    def _refuse(
        self, car: int, execution_id: str, payload: bytes, now_s: float, refusal: Refusal
    ) -> list[Reply]:
        self.refused += 1
        reply = _refusal(now_s, refusal.reason, refusal.description)
        if refusal.reason not in _NOT_REMEMBERED:
            self._remember(car, execution_id, _Execution(hash(payload), now_s, None, reply.payload))
        return [reply]

    def _remember(self, car: int, execution_id: str, execution: _Execution) -> None:
        self._executions[car, execution_id] = execution
        if len(self._executions) > self._max_remembered:
            del self._executions[next(iter(self._executions))]

    def _effect(self, car: int, command: Command) -> Effect | None:
        if isinstance(command, EmergencyStop):
            self._latched.add(car)
            return Effect(0.0)
        if isinstance(command, Resume):
            if car not in self._latched:
                return None
            self._latched.discard(car)
            return Effect(None)
        if isinstance(command, Stop):
            return Effect(0.0)
        if isinstance(command, Drive) and command.target_speed_mps is not None:
            return Effect(command.target_speed_mps, command.duration_s)
        return None


def _again(known: _Execution, now_s: float) -> list[Reply]:
    if known.final is None:
        return []
    if known.progress is not None and now_s < known.final_due_s:
        return [Reply(now_s, known.progress, is_final=False)]
    return [Reply(now_s, known.final, is_final=True)]


def _refusal(now_s: float, reason: ReasonCode, description: str) -> Reply:
    outcome = Outcome(ExecutionStatus.REJECTED, reason, description)
    return Reply(now_s, encode_outcome(outcome), is_final=True)


def _progress(command: Command) -> Outcome:
    if isinstance(command, Drive):
        return Outcome(ExecutionStatus.IN_PROGRESS, ReasonCode.DRIVING)
    if isinstance(command, Stop | EmergencyStop):
        return Outcome(ExecutionStatus.IN_PROGRESS, ReasonCode.STOPPING)
    if isinstance(command, SetControlMode):
        return Outcome(ExecutionStatus.IN_PROGRESS, ReasonCode.CHANGING_MODE)
    return Outcome(ExecutionStatus.IN_PROGRESS)


def _final(command: Command, is_failure: bool) -> Outcome:
    if is_failure:
        return Outcome(
            ExecutionStatus.FAILED, ReasonCode.SIMULATOR_SILENT, "the scenario lets it fail"
        )
    if isinstance(command, Drive) and command.target_speed_mps is not None:
        speed = f"{command.target_speed_mps:.2f}"
        return Outcome(ExecutionStatus.SUCCEEDED, result={"speed_mps": speed})
    return Outcome(ExecutionStatus.SUCCEEDED)
