"""Runs commands that take time, and tells their senders how they stand.

Owns the executions in progress: how many there may be, when each is judged, how often it reports,
and the repetition of datagrams that the simulator does not acknowledge. What a command does to the
car is the arbiter's; what success means is in `goals`. It knows neither ledger nor MQTT.

Lamps and scenario loading have no acknowledgement on the wire. They succeed when they were sent as
often as the settings say: lamps several times, because UDP loses datagrams and repeating is
harmless; a scenario once, because each copy would load it again.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from agent.commands.control_states import DRIVING, State
from agent.commands.goals import MotionCommand, Tolerance, View, ended_by, progress
from agent.commands.outputs import LAMPS, ControlOutput, scenario_load
from agent.commands.protocol import ExecutionStatus, Outcome, ReasonCode
from agent.commands.requests import (
    Drive,
    EmergencyStop,
    Lamps,
    LoadScenario,
    Resume,
    SetControlMode,
    Stop,
)
from agent.morai import LampControl, TurnSignal

if TYPE_CHECKING:
    from agent.commands.arbiter import Arbiter
    from agent.commands.ledger import ExecutionKey
    from agent.commands.requests import Command
    from agent.commands.transitions import Denied, Transition

_MAX_HISTORY: Final = 64
_TURN_SIGNALS: Final = {
    "none": TurnSignal.NONE,
    "left": TurnSignal.LEFT,
    "right": TurnSignal.RIGHT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSettings:
    """Bounds and patience of the executor.

    Attributes:
        max_running: Executions at once; a further one is refused as `BUSY`. A stop is never
            refused: it takes the place of the oldest stop, or comes on top as the only one.
        progress_interval_s: Shortest time between two `IN_PROGRESS` of one execution.
        stop_timeout_s: How long a stop may take before it is reported `TIMED_OUT`. The arbiter
            goes on stopping.
        lamp_repeats: How often a lamp datagram is sent.
        scenario_repeats: How often a scenario datagram is sent.
        repeat_interval_s: Time between two of them.
        tolerance: When a target speed counts as reached.
    """

    max_running: int = 16
    progress_interval_s: float = 1.0
    stop_timeout_s: float = 30.0
    lamp_repeats: int = 3
    scenario_repeats: int = 1
    repeat_interval_s: float = 0.1
    tolerance: Tolerance = field(default_factory=Tolerance)


@dataclass(frozen=True, slots=True)
class Update:
    """A new status of an execution.

    Attributes:
        key: The execution.
        outcome: Its status; nothing follows a final one.
    """

    key: ExecutionKey
    outcome: Outcome


@dataclass(slots=True)
class _Moving:
    key: ExecutionKey
    command: MotionCommand
    until_mono_s: float
    reported_mono_s: float = -math.inf


@dataclass(slots=True)
class _Repeating:
    key: ExecutionKey
    command: Lamps | LoadScenario
    output: ControlOutput
    left: int
    due_mono_s: float
    sent: int = 0


_Running: TypeAlias = _Moving | _Repeating


class Executor:
    """The executions in progress.

    Invariants: at most `max_running` executions run, and one stop more; each gets exactly one final
    update; no update follows it.

    Args:
        arbiter: Moves the car.
        settings: Bounds and patience.

    Attributes:
        history: Changes of control that were followed, the latest 64, for whoever logs them.
    """

    def __init__(self, arbiter: Arbiter, settings: ExecutorSettings | None = None) -> None:
        self._arbiter = arbiter
        self._settings = settings or ExecutorSettings()
        self.history: deque[Transition] = deque(maxlen=_MAX_HISTORY)
        self._running: dict[ExecutionKey, _Running] = {}
        self._updates: list[Update] = []
        self._outputs: list[ControlOutput] = []
        self._lamps = LampControl()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, key: ExecutionKey, command: Command, mono_s: float) -> None:
        """Let a command take effect, or refuse it with the final update `REJECTED`.

        Args:
            key: The execution; must not be running.
            command: What to do.
            mono_s: Monotonic time, seconds.
        """
        full = len(self._running) >= self._settings.max_running
        if full and command.STOPS:
            self._make_room_for_a_stop()
        if full and not command.STOPS:
            text = f"{len(self._running)} executions are running already"
            self._end(key, Outcome(ExecutionStatus.REJECTED, ReasonCode.BUSY, text))
        elif isinstance(command, (Lamps, LoadScenario)):
            self._start_repeating(key, command, mono_s)
        else:
            self._start_moving(key, command, mono_s)
        self.poll(mono_s)

    def refuse(self, key: ExecutionKey, reason: ReasonCode, text: str) -> None:
        """End an execution that was never started."""
        self._end(key, Outcome(ExecutionStatus.REJECTED, reason, text))

    def poll(self, mono_s: float) -> None:
        """Judge every execution; call after anything that the arbiter was told."""
        self._follow_transitions()
        if not self._running:
            return
        view = self._view(mono_s)
        for running in list(self._running.values()):
            if isinstance(running, _Moving):
                self._judge(running, view, mono_s)
            else:
                self._repeat(running, mono_s)

    def take(self) -> tuple[list[ControlOutput], list[Update]]:
        """Hand out what is to be sent and reported since the last call."""
        outputs, self._outputs = self._outputs, []
        updates, self._updates = self._updates, []
        return outputs, updates

    def interrupt(self) -> None:
        """End everything that still runs because the agent ends."""
        self._follow_transitions()
        for key in list(self._running):
            self._end(
                key,
                Outcome(
                    ExecutionStatus.FAILED, ReasonCode.INTERRUPTED, "the agent is shutting down"
                ),
            )

    @property
    def deadline_s(self) -> float:
        """Monotonic time at which `poll` has something to do; infinity when it never will."""
        return min((self._deadline_of(item) for item in self._running.values()), default=math.inf)

    # -- motion -----------------------------------------------------------------------------

    def _start_moving(self, key: ExecutionKey, command: MotionCommand, mono_s: float) -> None:
        denied = self._apply(command, mono_s)
        # Whatever this wish ended must be settled before its own execution is on the list.
        self._follow_transitions()
        if denied is not None:
            self._end(key, Outcome(ExecutionStatus.REJECTED, denied.reason, denied.description))
            return
        if isinstance(command, Drive):
            # One drive command after another is no change of state.
            self._supersede(Drive)
        patience_s = math.inf
        if isinstance(command, (Stop, EmergencyStop)):
            patience_s = self._settings.stop_timeout_s
        self._running[key] = _Moving(key, command, mono_s + patience_s)

    def _apply(self, command: MotionCommand, mono_s: float) -> Denied | None:
        match command:
            case SetControlMode(mode="external"):
                return self._arbiter.engage(mono_s)
            case SetControlMode():
                return self._arbiter.release(mono_s)
            case Drive():
                return self._arbiter.drive(command.motion(), command.duration_s, mono_s)
            case Stop():
                return self._arbiter.stop(command.deceleration_mps2, mono_s)
            case EmergencyStop():
                return self._arbiter.emergency_stop(mono_s)
            case Resume():
                return self._arbiter.resume(mono_s)

    def _judge(self, running: _Moving, view: View, mono_s: float) -> None:
        outcome = progress(running.command, view, self._settings.tolerance)
        if outcome.status.is_final:
            self._end(running.key, outcome)
        elif mono_s >= running.until_mono_s:
            self._end(
                running.key,
                Outcome(
                    ExecutionStatus.TIMED_OUT,
                    ReasonCode.STANDSTILL_NOT_REACHED,
                    f"{outcome.description}; the car is still being stopped",
                ),
            )
        elif mono_s >= running.reported_mono_s + self._settings.progress_interval_s:
            running.reported_mono_s = mono_s
            self._updates.append(Update(running.key, outcome))

    def _view(self, mono_s: float) -> View:
        arbiter = self._arbiter
        ego = None if arbiter.simulator_is_silent(mono_s) else arbiter.ego
        return View(arbiter.state, arbiter.is_at_rest, ego)

    def _follow_transitions(self) -> None:
        transitions = self._arbiter.transitions
        while transitions:
            transition = transitions.popleft()
            self.history.append(transition)
            for running in list(self._running.values()):
                if isinstance(running, _Moving):
                    outcome = ended_by(running.command, transition)
                    if outcome is not None:
                        self._end(running.key, outcome)

    # -- repetition -------------------------------------------------------------------------

    def _start_repeating(
        self, key: ExecutionKey, command: Lamps | LoadScenario, mono_s: float
    ) -> None:
        conflict = self._conflict(command)
        if conflict is not None:
            self._end(key, conflict)
            return
        self._supersede(type(command))
        if isinstance(command, Lamps):
            self._lamps = _changed(self._lamps, command)
            output, repeats = ControlOutput(LAMPS, self._lamps), self._settings.lamp_repeats
        else:
            output, repeats = scenario_load(command), self._settings.scenario_repeats
        self._running[key] = _Repeating(key, command, output, repeats, mono_s)

    def _conflict(self, command: Lamps | LoadScenario) -> Outcome | None:
        state = self._arbiter.state
        if state in {State.CLOSING, State.CLOSED}:
            return Outcome(
                ExecutionStatus.REJECTED, ReasonCode.SHUTTING_DOWN, "the agent is shutting down"
            )
        if isinstance(command, LoadScenario) and state in DRIVING:
            return Outcome(
                ExecutionStatus.REJECTED,
                ReasonCode.MODE_CONFLICT,
                "the car is being driven: stop it before loading a scenario",
            )
        return None

    def _repeat(self, running: _Repeating, mono_s: float) -> None:
        if mono_s < running.due_mono_s:
            return
        self._outputs.append(running.output)
        running.sent += 1
        running.left -= 1
        running.due_mono_s = mono_s + self._settings.repeat_interval_s
        if running.left <= 0:
            result = {"datagrams_sent": str(running.sent)}
            self._end(running.key, Outcome(ExecutionStatus.SUCCEEDED, result=result))

    # -- bookkeeping ------------------------------------------------------------------------

    def _supersede(self, kind: type[Command]) -> None:
        for running in list(self._running.values()):
            if isinstance(running.command, kind):
                text = f"a newer {kind.NAME} took its place"
                outcome = Outcome(ExecutionStatus.FAILED, ReasonCode.SUPERSEDED, text)
                self._end(running.key, outcome)

    def _make_room_for_a_stop(self) -> None:
        for running in self._running.values():
            if running.command.STOPS:
                text = "too many stops at once: this one acts, but is no longer followed"
                self._end(running.key, Outcome(ExecutionStatus.FAILED, ReasonCode.SUPERSEDED, text))
                return

    def _end(self, key: ExecutionKey, outcome: Outcome) -> None:
        self._running.pop(key, None)
        self._updates.append(Update(key, outcome))

    def _deadline_of(self, running: _Running) -> float:
        if isinstance(running, _Repeating):
            return running.due_mono_s
        next_report_s = running.reported_mono_s + self._settings.progress_interval_s
        return min(running.until_mono_s, next_report_s)


def _changed(lamps: LampControl, command: Lamps) -> LampControl:
    signal = lamps.turn_signal
    if command.turn_signal is not None:
        signal = _TURN_SIGNALS[command.turn_signal]
    hazard = lamps.emergency if command.hazard is None else command.hazard
    return LampControl(turn_signal=signal, emergency=hazard)
