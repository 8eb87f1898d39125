"""Commands from the moment a message arrives to the last datagram and the last answer.

Joins parser, ledger, executor and arbiter, and nothing else may call those. Sans-I/O but for the
ledger's file: messages, ego statuses and time come in; effects come out, to be carried out in
order. The rhythm of its caller is always the same: call, carry out the effects, and call `poll`
again at `next_deadline_s`.

A request takes two steps. On arrival it is checked and written down; at the next `poll` it is
checked for expiry again, because writing may have taken long, and then started. Commands that stop
the car take a shorter way: their datagram is returned at once, and they are written down at the
next call, or when the disk has room again. If the agent is killed in between, a redelivery stops
the car once more, which is harmless.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from agent.cloud.topics import CommandProtocol, is_execution_id
from agent.commands.arbiter import Arbiter, ArbiterSettings
from agent.commands.backlog import Backlog, Unwritten
from agent.commands.counters import CommandCounters
from agent.commands.drive_stream import DriveStream
from agent.commands.executor import Executor, ExecutorSettings, Update
from agent.commands.ledger import ExecutionKey, Full, InFlight, New, Replay
from agent.commands.outputs import ControlEncoder, ControlOutput
from agent.commands.protocol import (
    ExecutionStatus,
    Outcome,
    ReasonCode,
    encode_outcome,
)
from agent.commands.requests import (
    COMMANDS,
    Drive,
    LoadScenario,
    Refusal,
    Resume,
    SetControlMode,
    parse_request,
)
from agent.commands.safety import Limits
from certs.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from agent.commands.control_states import State
    from agent.commands.ledger import Ledger
    from agent.commands.requests import Command, Request
    from agent.commands.transitions import Transition
    from agent.morai import Dialect
    from agent.vehicle.state import EgoState

__all__ = [
    "MAX_WAITING",
    "CommandCounters",
    "CommandService",
    "Effect",
    "Respond",
    "Send",
    "ServiceSettings",
]

# Requests that were written down and not yet started. The caller polls right after each arrival,
# so more than a few means that something is wrong.
MAX_WAITING: Final = 16

# The same payload is refused for these at any time, so there is nothing to remember.
_REFUSED_FOR_EVER: Final = frozenset(
    {
        ReasonCode.TOO_LARGE,
        ReasonCode.MALFORMED_JSON,
        ReasonCode.INVALID_REQUEST,
        ReasonCode.UNKNOWN_COMMAND,
        ReasonCode.INVALID_PARAMETER,
        ReasonCode.NOT_ALLOWED,
    }
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a datagram to the simulator.

    Attributes:
        output: What, on which channel, and with what delay.
    """

    output: ControlOutput


@dataclass(frozen=True, slots=True)
class Respond:
    """Publish a status of an execution, at QoS 1.

    Attributes:
        execution_id: The execution.
        protocol: The transport whose response topic it goes to.
        document: The payload.
    """

    execution_id: str
    protocol: CommandProtocol
    document: bytes


Effect: TypeAlias = Send | Respond


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What is accepted, and every room's own settings.

    Attributes:
        allowed: Names of the commands this agent accepts. Stops cannot be switched off.
        limits: The safety envelope.
        arbiter: Times and thresholds of control.
        executor: Bounds and patience of executions.

    Raises:
        ConfigurationError: `allowed` names an unknown command.
    """

    allowed: frozenset[str] = frozenset(COMMANDS)
    limits: Limits = field(default_factory=Limits)
    arbiter: ArbiterSettings = field(default_factory=ArbiterSettings)
    executor: ExecutorSettings = field(default_factory=ExecutorSettings)

    def __post_init__(self) -> None:
        unknown = sorted(self.allowed - COMMANDS.keys())
        if unknown:
            raise ConfigurationError(
                f"commands.allowed names {', '.join(unknown)}",
                f"the commands are {', '.join(COMMANDS)}",
            )


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: ExecutionKey
    command: Command
    start_by_mono_s: float


class CommandService:
    """Everything the agent does with commands.

    Guarantees: a command takes effect at most once for as long as the ledger remembers its id; a
    redelivered request is answered with the recorded outcome, also while the disk is full; an
    outcome that cannot be sent because the link is down is sent when it is up again; a car that the
    agent, or one killed before it, left with a drive command in force is braked when it obeys that
    command again; nothing that arrives raises.

    All methods that return effects may be called at any time in any order, from one thread.
    `mono_s` is always monotonic time in seconds, `now_s` the wall clock in Unix seconds.

    Args:
        ledger: The open ledger; the caller closes it.
        dialect: Conventions of the simulator.
        settings: What is accepted.

    Raises:
        ConfigurationError: The dialect cannot be driven with.
    """

    def __init__(
        self, ledger: Ledger, dialect: Dialect, settings: ServiceSettings | None = None
    ) -> None:
        settings = settings or ServiceSettings()
        self._ledger = ledger
        self._allowed = settings.allowed
        self._arbiter = Arbiter(
            settings.limits,
            ControlEncoder(dialect),
            settings.arbiter,
            held_before=ledger.control_is_held,
        )
        self._executor = Executor(self._arbiter, settings.executor)
        self._stream = DriveStream(
            restart_after_s=settings.arbiter.dead_man_s, stale_after_s=settings.arbiter.dead_man_s
        )
        self._waiting: deque[_Waiting] = deque()
        self._backlog = Backlog(ledger)
        self._latest: dict[ExecutionKey, bytes] = {}
        self._link_up = False
        self._storage_failures = 0
        self._counters = CommandCounters(set_points_dropped=self._stream.dropped)

    # -- what arrives -----------------------------------------------------------------------

    def on_request(
        self,
        execution_id: str,
        payload: bytes,
        *,
        message_expiry_s: float | None,
        now_s: float,
        mono_s: float,
        protocol: CommandProtocol = CommandProtocol.AWS,
    ) -> list[Effect]:
        """Take a discrete command. Acknowledge its delivery only after this returned.

        Args:
            execution_id: From the topic.
            payload: Body of the message.
            message_expiry_s: Remaining lifetime the broker announced, or `None`.
            now_s: Wall clock.
            mono_s: Monotonic time.
            protocol: The transport it came through.

        Returns:
            What to do now: an answer, if there is one already, or the first stop datagram. Any
            other command starts at the next `poll`.
        """
        self._counters.requests += 1
        if not is_execution_id(execution_id):
            self._counters.bad_execution_ids += 1
            return []
        key = ExecutionKey(protocol.value, execution_id)
        digest = hashlib.sha256(payload).digest()
        # What waits to be written is newer than what was.
        known = self._backlog.look_up(key, digest) or self._look_up(key, digest)
        if known is not None:
            return self._repeat(key, known)
        request = self._judge_arrival(payload, message_expiry_s, now_s)
        if isinstance(request, Refusal):
            return self._refuse(key, digest, request, now_s)
        if request.command.STOPS:
            return self._start_at_once(key, digest, request.command, now_s, mono_s)
        return self._start_later(key, digest, request, now_s, mono_s)

    def on_set_point(self, payload: bytes, mono_s: float) -> list[Effect]:
        """Take one message of the drive stream."""
        point = self._stream.receive(payload, mono_s)
        if point is not None:
            denied = self._arbiter.set_point(point, mono_s)
            if denied is None:
                self._counters.set_points += 1
            else:
                self._stream.drop(denied.reason.value.lower())
        return self._effects(mono_s)

    def on_ego(self, ego: EgoState, mono_s: float) -> list[Effect]:
        """Take an ego status."""
        self._arbiter.observe(ego, mono_s)
        return self._effects(mono_s)

    def on_link(self, up: bool, mono_s: float) -> list[Effect]:
        """Take a change of the broker connection. Losing it stops a car that is driven.

        When it comes up, outcomes that could not be sent before are among the effects, also those
        of an earlier process.
        """
        self._link_up = up
        self._arbiter.set_link(up, mono_s)
        return [*self._effects(mono_s), *(self._owed() if up else [])]

    def on_unanswered(self, oldest_publish_mono_s: float | None, mono_s: float) -> list[Effect]:
        """Note since when the broker owes an acknowledgement; a drive command ends without it.

        Args:
            oldest_publish_mono_s: When the oldest QoS 1 message that is not acknowledged was
                written to the present connection, or `None` when all are acknowledged. Messages
                that wait to be written do not count. `on_link` sets it back to `None`.
            mono_s: Monotonic time.
        """
        self._arbiter.set_unanswered(oldest_publish_mono_s, mono_s)
        return self._effects(mono_s)

    def poll(self, mono_s: float) -> list[Effect]:
        """Let time pass: start what waits, send what is due, report what ended."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if mono_s >= waiting.start_by_mono_s:
                late_s = mono_s - waiting.start_by_mono_s
                self._reject(
                    waiting.key,
                    ReasonCode.EXPIRED,
                    f"it could not start in time, {late_s:.1f} s late",
                )
            else:
                self._start(waiting.key, waiting.command, mono_s)
        return self._effects(mono_s)

    def shutdown(self, mono_s: float) -> list[Effect]:
        """Stop the car, end every execution as `FAILED INTERRUPTED`, accept nothing any more.

        The stops carry delays. A caller with time goes on with `on_ego` and `poll` until
        `is_closed`; it waits a few seconds at most, because the simulator may be gone.
        """
        outputs = self._arbiter.shutdown(mono_s)
        self._executor.poll(mono_s)
        self._executor.interrupt()
        while self._waiting:
            self._reject(
                self._waiting.popleft().key, ReasonCode.SHUTTING_DOWN, "the agent is shutting down"
            )
        effects = [*(Send(output) for output in outputs), *self._effects(mono_s)]
        self._backlog.write(mono_s, at_once=True)
        return effects

    # -- what the caller asks ---------------------------------------------------------------

    @property
    def next_deadline_s(self) -> float:
        """Monotonic time at which `poll` is due: infinity for never, minus infinity for now."""
        if self._waiting:
            return -math.inf
        return min(self._arbiter.deadline_s, self._executor.deadline_s, self._backlog.deadline_s)

    @property
    def state(self) -> State:
        """Who controls the car."""
        return self._arbiter.state

    @property
    def is_closed(self) -> bool:
        """Whether the agent has nothing left to send after `shutdown`."""
        return self._arbiter.is_closed

    def take_transitions(self) -> list[Transition]:
        """Changes of control since the last call, the latest 64, for the log and the health."""
        history = self._executor.history
        taken = list(history)
        history.clear()
        return taken

    @property
    def counters(self) -> CommandCounters:
        """What happened so far."""
        self._counters.set_points_clamped = self._arbiter.clamped
        self._counters.storage_failures = self._storage_failures + self._backlog.failures
        return self._counters

    # -- requests ---------------------------------------------------------------------------

    def _judge_arrival(
        self, payload: bytes, message_expiry_s: float | None, now_s: float
    ) -> Request | Refusal:
        request = parse_request(payload, message_expiry_s=message_expiry_s, now_s=now_s)
        if isinstance(request, Refusal):
            return request
        command = request.command
        if command.NAME not in self._allowed and not command.STOPS:
            return Refusal(ReasonCode.NOT_ALLOWED, f"{command.NAME} is switched off on this car")
        if len(self._waiting) >= MAX_WAITING and not command.STOPS:
            return Refusal(ReasonCode.BUSY, "too many commands are waiting")
        return request

    def _repeat(self, key: ExecutionKey, known: Replay | InFlight) -> list[Effect]:
        if isinstance(known, InFlight):
            self._counters.repeated_in_flight += 1
            self._counters.id_reused += not known.same_request
            latest = self._latest.get(key)
            return [] if latest is None else [_respond(key, latest)]
        if known.same_request:
            self._counters.replayed += 1
            return [_respond(key, known.outcome)]
        self._counters.id_reused += 1
        self._count_refusal(ReasonCode.DUPLICATE_ID)
        return [
            _respond(
                key,
                encode_outcome(
                    Outcome(
                        ExecutionStatus.REJECTED,
                        ReasonCode.DUPLICATE_ID,
                        "another command was executed under this id; its outcome stands",
                    )
                ),
            )
        ]

    def _refuse(
        self, key: ExecutionKey, digest: bytes, refusal: Refusal, now_s: float
    ) -> list[Effect]:
        document = encode_outcome(
            Outcome(ExecutionStatus.REJECTED, refusal.reason, refusal.description)
        )
        self._count_refusal(refusal.reason)
        if refusal.reason in _REFUSED_FOR_EVER:
            return [_respond(key, document)]
        # Written down, so that a redelivery is refused again even when its reason has passed.
        try:
            self._ledger.begin(key, digest, now_s, document, refused=True)
        except StorageError:
            self._storage_failures += 1
            self._remember_refusal(key, digest, now_s, document)
            return [_respond(key, document)]
        return self._answer(key, document)

    def _start_later(
        self, key: ExecutionKey, digest: bytes, request: Request, now_s: float, mono_s: float
    ) -> list[Effect]:
        try:
            begun = self._ledger.begin(key, digest, now_s)
        except StorageError as error:
            self._storage_failures += 1
            text = error.what
        else:
            if isinstance(begun, New):
                remaining_s = math.inf if request.remaining_s is None else request.remaining_s
                self._waiting.append(_Waiting(key, request.command, mono_s + remaining_s))
                return []
            if not isinstance(begun, Full):
                return self._repeat(key, begun)
            text = "the command ledger is full"
        # Without a record it could take effect twice; so it does not take effect at all.
        self._count_refusal(ReasonCode.STORAGE_FAILED)
        outcome = Outcome(ExecutionStatus.REJECTED, ReasonCode.STORAGE_FAILED, text)
        document = encode_outcome(outcome)
        self._remember_refusal(key, digest, now_s, document)
        return [_respond(key, document)]

    def _remember_refusal(
        self, key: ExecutionKey, digest: bytes, now_s: float, document: bytes
    ) -> None:
        # The answer is final: with room on the disk the same request must not be executed.
        refused = Unwritten(digest, now_s, outcome=document, refused=True, answered=True)
        self._backlog.add(key, refused)

    def _start_at_once(
        self, key: ExecutionKey, digest: bytes, command: Command, now_s: float, mono_s: float
    ) -> list[Effect]:
        # What was asked before the stop must not move the car after it.
        self._drop_waiting_motion()
        self._backlog.add(key, Unwritten(digest, now_s))
        self._start(key, command, mono_s)
        return [Send(output) for output in self._arbiter.step(mono_s)]

    def _look_up(self, key: ExecutionKey, digest: bytes) -> Replay | InFlight | None:
        try:
            return self._ledger.look_up(key, digest)
        except StorageError:
            self._storage_failures += 1
            return None

    def _start(self, key: ExecutionKey, command: Command, mono_s: float) -> None:
        self._counters.started[command.NAME] = self._counters.started.get(command.NAME, 0) + 1
        self._executor.start(key, command, mono_s)

    def _drop_waiting_motion(self) -> None:
        kept = []
        for waiting in self._waiting:
            if isinstance(waiting.command, (Drive, Resume, SetControlMode, LoadScenario)):
                self._reject(waiting.key, ReasonCode.SUPERSEDED, "a stop came before it started")
            else:
                kept.append(waiting)
        self._waiting = deque(kept)

    def _reject(self, key: ExecutionKey, reason: ReasonCode, text: str) -> None:
        self._executor.refuse(key, reason, text)

    def _count_refusal(self, reason: ReasonCode) -> None:
        self._counters.refused[reason.value] = self._counters.refused.get(reason.value, 0) + 1

    # -- effects ----------------------------------------------------------------------------

    def _effects(self, mono_s: float) -> list[Effect]:
        self._backlog.write(mono_s)
        self._executor.poll(mono_s)
        effects: list[Effect] = [Send(output) for output in self._arbiter.step(mono_s)]
        # Time may have ended something in `step`.
        self._executor.poll(mono_s)
        outputs, updates = self._executor.take()
        effects.extend(Send(output) for output in outputs)
        for update in updates:
            effects.extend(self._report(update))
        # Before the first datagram leaves: what follows may not be survived.
        self._backlog.hold_control(self._arbiter.is_held)
        self._backlog.write(mono_s)
        return effects

    def _report(self, update: Update) -> list[Effect]:
        key, document = update.key, encode_outcome(update.outcome)
        status = update.outcome.status
        if not status.is_final:
            self._latest[key] = document
            return [_respond(key, document)] if self._link_up else []
        self._latest.pop(key, None)
        self._counters.finished[status.value] = self._counters.finished.get(status.value, 0) + 1
        if status is ExecutionStatus.REJECTED and update.outcome.reason is not None:
            self._count_refusal(update.outcome.reason)
        refused = status is ExecutionStatus.REJECTED
        self._backlog.finish(key, document, refused=refused, answered=self._link_up)
        return [_respond(key, document)] if self._link_up else []

    def _answer(self, key: ExecutionKey, document: bytes) -> list[Effect]:
        if not self._link_up:
            return []
        self._ledger.mark_answered(key)
        return [_respond(key, document)]

    def _owed(self) -> list[Effect]:
        owed = self._backlog.unanswered()
        try:
            written = self._ledger.unanswered()
        except StorageError:
            self._storage_failures += 1
            written = []
        for key, _ in written:
            self._ledger.mark_answered(key)
        return [_respond(key, document) for key, document in [*owed, *written]]


def _respond(key: ExecutionKey, document: bytes) -> Respond:
    return Respond(key.execution_id, CommandProtocol(key.origin), document)
