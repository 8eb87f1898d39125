"""When a command is done: the judgement of each command against what the car does.

Owns what success, failure and progress mean for every command that moves the car or changes who
does. Pure functions of the command, the arbiter's transitions and the latest ego status; they keep
nothing and start nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from agent.commands.control_states import BRAKING, IN_CONTROL, Observation, State
from agent.commands.protocol import ExecutionStatus, Outcome, ReasonCode
from agent.commands.requests import Drive, EmergencyStop, Resume, SetControlMode, Stop

if TYPE_CHECKING:
    from agent.commands.transitions import Cause, Transition
    from agent.vehicle.state import EgoState

MotionCommand: TypeAlias = SetControlMode | Drive | Stop | EmergencyStop | Resume


@dataclass(frozen=True, slots=True)
class View:
    """What a judgement looks at.

    Attributes:
        state: Who controls the car.
        at_rest: Whether the arbiter has stopped the car and holds it.
        ego: Latest ego status, or `None` when there is none or it is too old.
    """

    state: State
    at_rest: bool
    ego: EgoState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How near a target speed counts as reached: whichever of the two is larger.

    Attributes:
        speed_mps: Absolute.
        speed_ratio: Relative to the target.
    """

    speed_mps: float = 0.3
    speed_ratio: float = 0.05

    def holds(self, target_mps: float, speed_mps: float) -> bool:
        """Whether `speed_mps` is as good as `target_mps`."""
        return abs(speed_mps - target_mps) <= max(self.speed_mps, self.speed_ratio * target_mps)


def ended_by(command: MotionCommand, transition: Transition) -> Outcome | None:
    """The outcome of a running command that a transition ends, or `None` when it goes on.

    Success by arriving in a state is left to `progress`.
    """
    cause = transition.cause
    if cause is Observation.MODE_TIMEOUT:
        return Outcome(
            ExecutionStatus.TIMED_OUT,
            ReasonCode.MODE_NOT_CONFIRMED,
            "the car did not report the control mode in time",
        )
    if transition.after in _lives_in(command):
        return None
    if isinstance(command, Drive) and cause is Observation.DURATION_OVER:
        return _drive_is_over(command)
    reason, text = _ENDINGS.get(cause, (ReasonCode.SUPERSEDED, "something newer took its place"))
    return Outcome(ExecutionStatus.FAILED, reason, text)


def progress(command: MotionCommand, view: View, tolerance: Tolerance) -> Outcome:
    """Where a running command stands: `SUCCEEDED`, or `IN_PROGRESS` in words."""
    match command:
        case SetControlMode(mode=mode):
            wanted = {State.RELEASED} if mode == "keyboard" else IN_CONTROL
            if view.state in wanted:
                return Outcome(ExecutionStatus.SUCCEEDED, result={"control_mode": mode})
            return _in_progress(ReasonCode.CHANGING_MODE, f"waiting for {mode} control")
        case Drive():
            return _drive_progress(command, view, tolerance)
        case Stop() | EmergencyStop():
            latched = view.state is State.EMERGENCY
            if view.at_rest:
                return Outcome(ExecutionStatus.SUCCEEDED, result={"latched": latched})
            return _in_progress(ReasonCode.STOPPING, f"speed {_speed(view.ego)}")
        case Resume():
            if view.state in IN_CONTROL:
                return Outcome(ExecutionStatus.SUCCEEDED, result={"control_mode": "external"})
            if view.state is State.RELEASED:
                return Outcome(ExecutionStatus.SUCCEEDED, result={"control_mode": "keyboard"})
            return _in_progress(ReasonCode.CHANGING_MODE, "waiting for the control mode")


def _drive_progress(command: Drive, view: View, tolerance: Tolerance) -> Outcome:
    target_mps = command.target_speed_mps
    if target_mps is None:
        return _in_progress(ReasonCode.DRIVING, f"speed {_speed(view.ego)}")
    if view.ego is not None and tolerance.holds(target_mps, view.ego.speed_mps):
        speed = f"{view.ego.speed_mps:.2f}"
        return Outcome(ExecutionStatus.SUCCEEDED, result={"speed_mps": speed})
    return _in_progress(ReasonCode.DRIVING, f"speed {_speed(view.ego)} of {target_mps:.1f} m/s")


def _drive_is_over(command: Drive) -> Outcome:
    if command.target_speed_mps is None:
        return Outcome(ExecutionStatus.SUCCEEDED, result={"duration_s": f"{command.duration_s:g}"})
    return Outcome(
        ExecutionStatus.TIMED_OUT,
        ReasonCode.TARGET_NOT_REACHED,
        f"{command.target_speed_mps:.1f} m/s were not reached in {command.duration_s:g} s;"
        " the car is being stopped",
    )


def _lives_in(command: MotionCommand) -> frozenset[State]:
    if isinstance(command, SetControlMode):
        return _ENGAGED if command.mode == "external" else _HANDED_OVER
    return _LIVES_IN[type(command)]


def _in_progress(reason: ReasonCode, text: str) -> Outcome:
    return Outcome(ExecutionStatus.IN_PROGRESS, reason, text)


def _speed(ego: EgoState | None) -> str:
    return "unknown" if ego is None else f"{ego.speed_mps:.1f} m/s"


_ENGAGED: Final = frozenset({State.ENGAGING} | IN_CONTROL)
_HANDED_OVER: Final = frozenset({State.STOPPING_TO_RELEASE, State.RELEASING, State.RELEASED})
_LIVES_IN: Final[dict[type[MotionCommand], frozenset[State]]] = {
    Drive: frozenset({State.COMMAND}),
    Stop: frozenset({State.ENGAGING, State.HOLDING} | BRAKING)
    - {State.CLOSING, State.STOPPING_TO_RELEASE},
    EmergencyStop: frozenset({State.EMERGENCY}),
    Resume: _ENGAGED | _HANDED_OVER,
}
_ENDINGS: Final[dict[Cause, tuple[ReasonCode, str]]] = {
    Observation.LINK_LOST: (
        ReasonCode.LINK_LOST,
        "the connection to the broker was lost; the car was stopped",
    ),
    Observation.SIMULATOR_SILENT: (
        ReasonCode.SIMULATOR_SILENT,
        "no ego status from the simulator; the car was told to stop",
    ),
    Observation.MODE_LOST: (
        ReasonCode.HUMAN_TAKEOVER,
        "the car left external control at the simulator",
    ),
    Observation.SHUTDOWN: (ReasonCode.INTERRUPTED, "the agent is shutting down"),
    Observation.SHUTDOWN_EXTERNAL: (ReasonCode.INTERRUPTED, "the agent is shutting down"),
}
