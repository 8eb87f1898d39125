"""Decides at every instant who moves the car, and sends accordingly.

Owns the time side of the state tables in `control_states`: timers, the dead-man, the human who
takes over, the rate at which datagrams go out, and which control mode each of them asserts. It has
no clock and no socket: monotonic time comes in, `ControlOutput`s come out. It knows nothing of
executions, ledgers or MQTT.

The simulator keeps obeying the last command for ever (it has no watchdog), and UDP loses datagrams.
Two rules follow. Whoever drives is repeated at the control rate. A stop is sent at the control rate
until the car reports that it stands, and at least `min_stop_datagrams` times.

Control mode: `EXTERNAL` re-selects external control with each packet and would undo a person's key
press, so it is sent while engaging and with stops only; driving sends `KEEP`. `KEEP` has been
observed on some builds and is not documented; `assert_mode_every_packet` does without it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from agent.commands.control_states import (
    BRAKING,
    CHANGING_MODE,
    DRIVING,
    IN_CONTROL,
    LATCHED,
    OBSERVATIONS,
    REQUESTS,
    Observation,
    State,
    Wish,
)
from agent.commands.motion import FULL_BRAKE, Longitudinal, Motion, TargetAcceleration
from agent.commands.protocol import ReasonCode
from agent.morai import CommandMode
from agent.vehicle.state import DriveMode
from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.commands.drive_stream import SetPoint
    from agent.commands.outputs import ControlEncoder, ControlOutput
    from agent.commands.safety import Limits
    from agent.vehicle.state import EgoState

# MORAI SIM polls its command ports about every 16.7 ms; more often is wasted.
MAX_CONTROL_RATE_HZ: Final = 60.0
# Below this a comfortable stop ends with the brake: a held deceleration could roll backwards.
_CREEP_MPS: Final = 0.5
# A pause between two commands does not buy a larger jump of the wheels than this much time does.
_MAX_SLEW_TIME_S: Final = 0.1
_MAX_TRANSITIONS: Final = 64

Cause: TypeAlias = Wish | Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbiterSettings:
    """Times and thresholds of the arbiter.

    Attributes:
        control_rate_hz: How often a command is repeated, 1 to 60.
        dead_man_s: The car is stopped when no set point came for this long, at most 5.
        simulator_silent_s: The simulator counts as silent after this long without an ego status.
        mode_timeout_s: How long the car may take to report the mode asked for.
        min_stop_datagrams: Stop datagrams sent at least, however early the car stands; 1 or more.
        standstill_mps: At or below this speed the car stands.
        rolling_mps: Above this speed a car that should stand is stopped again; more than
            `standstill_mps`.
        assert_mode_every_packet: Send `EXTERNAL` in every driving packet instead of `KEEP`.

    Raises:
        ConfigurationError: A value is out of range.
    """

    control_rate_hz: float = 20.0
    dead_man_s: float = 0.5
    simulator_silent_s: float = 1.0
    mode_timeout_s: float = 5.0
    min_stop_datagrams: int = 5
    standstill_mps: float = 0.1
    rolling_mps: float = 0.5
    assert_mode_every_packet: bool = False

    def __post_init__(self) -> None:
        in_range = {
            "control_rate_hz": 1 <= self.control_rate_hz <= MAX_CONTROL_RATE_HZ,
            "dead_man_s": 0 < self.dead_man_s <= 5,  # noqa: PLR2004 - longer is no dead-man
            "simulator_silent_s": 0 < self.simulator_silent_s < math.inf,
            "mode_timeout_s": 0 < self.mode_timeout_s < math.inf,
            "min_stop_datagrams": self.min_stop_datagrams >= 1,
            "standstill_mps": 0 < self.standstill_mps < math.inf,
            "rolling_mps": self.standstill_mps < self.rolling_mps < math.inf,
        }
        for name, good in in_range.items():
            if not good:
                raise ConfigurationError(
                    f"commands.{name} is {getattr(self, name)!r}, which is out of range",
                    "give a value in the range that ArbiterSettings documents",
                )


class Transition(msgspec.Struct, frozen=True):
    """One change of state.

    Attributes:
        mono_s: When.
        before: State left.
        cause: What led out of it.
        after: State entered.
    """

    mono_s: float
    before: State
    cause: Cause
    after: State


@dataclass(frozen=True, slots=True)
class Denied:
    """A wish that the present state refuses.

    Attributes:
        reason: Stable code.
        description: The same for a person.
    """

    reason: ReasonCode
    description: str


class Arbiter:
    """The one place that may move the car.

    Call `observe` with every ego status, `set_link` when the broker connection changes, a wish when
    somebody wants something, and `step` after each of them and at `deadline_s`. Time never goes
    backwards; a caller that is late makes timers fire late, before anything else is looked at.

    Invariants:
        In a state of `BRAKING` or `CHANGING_MODE` only stops are sent, but for the deceleration of
        a comfortable stop. From a `LATCHED` state no wish but `RESUME` leads to driving. In
        `RELEASED`, `YIELDED`, `EMERGENCY_YIELDED` and `CLOSED` nothing is sent.

    Args:
        limits: The safety envelope.
        encoder: Makes the wire messages.
        settings: Times and thresholds.

    Attributes:
        state: Who controls the car.
        transitions: Changes of state since they were last taken, the latest 64.
        clamped: Set points that were brought inside the limits.
    """

    def __init__(
        self, limits: Limits, encoder: ControlEncoder, settings: ArbiterSettings | None = None
    ) -> None:
        self._limits = limits
        self._encoder = encoder
        self._settings = settings or ArbiterSettings()
        self._period_s = 1.0 / self._settings.control_rate_hz
        self.state = State.RELEASED
        self.transitions: deque[Transition] = deque(maxlen=_MAX_TRANSITIONS)
        self.clamped = 0

        self._link_up = False
        self._ego: EgoState | None = None
        self._ego_mono_s = -math.inf

        self._motion = Motion(FULL_BRAKE)
        self._steer_rad = 0.0
        self._deceleration_mps2: float | None = None
        self._sent_mono_s = -math.inf
        self._due_mono_s = math.inf
        self._stops_sent = 0
        # Latched and standing: the brake is on and nothing has to be sent.
        self._at_rest = False

        self._mode_confirmed = False
        self._seized = False
        self._stream_muted = False
        self._set_point_mono_s = -math.inf
        # When the present state ends by itself: mode timeout, dead-man or end of the command.
        self._until_mono_s = math.inf

    # -- what happens -----------------------------------------------------------------------

    def observe(self, ego: EgoState, mono_s: float) -> None:
        """Take a new ego status.

        Args:
            ego: What the simulator reported.
            mono_s: Monotonic time of its receipt, seconds.
        """
        self._advance(mono_s)
        self._ego, self._ego_mono_s = ego, mono_s
        if ego.drive_mode is DriveMode.EXTERNAL:
            self._mode_confirmed = True
            self._notice(Observation.MODE_EXTERNAL, mono_s)
        elif ego.drive_mode is not None:
            if self._mode_confirmed:
                self._notice(Observation.MODE_LOST, mono_s)
            if ego.drive_mode is DriveMode.KEYBOARD:
                self._notice(Observation.MODE_KEYBOARD, mono_s)
        self._observe_motion(abs(ego.speed_mps), mono_s)

    def set_link(self, up: bool, mono_s: float) -> None:
        """Note whether the connection to the broker stands."""
        self._advance(mono_s)
        self._link_up = up
        if not up:
            self._notice(Observation.LINK_LOST, mono_s)

    # -- what is wished ---------------------------------------------------------------------

    def engage(self, mono_s: float) -> Denied | None:
        """Take the car over. It is braked to a standstill first, whoever drove it."""
        return self._ask(Wish.ENGAGE, mono_s)

    def release(self, mono_s: float) -> Denied | None:
        """Hand the car to the keyboard."""
        return self._ask(Wish.RELEASE, mono_s)

    def drive(self, motion: Motion, duration_s: float, mono_s: float) -> Denied | None:
        """Let a drive command move the car for a while.

        Args:
            motion: What to do; refused when it is outside the limits.
            duration_s: For how long; then the car is stopped.
            mono_s: Monotonic time, seconds.
        """
        excess = self._limits.refusal(motion)
        if excess is not None:
            return Denied(ReasonCode.LIMIT_EXCEEDED, excess)
        denied = self._ask(Wish.DRIVE, mono_s)
        if denied is None:
            self._motion = motion
            self._until_mono_s = mono_s + duration_s
            self._due_mono_s = mono_s
        return denied

    def set_point(self, point: SetPoint, mono_s: float) -> Denied | None:
        """Let the drive stream move the car until the dead-man time is over.

        Args:
            point: The newest set point; brought inside the limits.
            mono_s: Monotonic time of its receipt, seconds.
        """
        self._advance(mono_s)
        if mono_s - self._set_point_mono_s >= self._settings.dead_man_s:
            self._stream_muted = False
        self._set_point_mono_s = mono_s
        if self._stream_muted and REQUESTS[self.state][Wish.SET_POINT] is State.STREAM:
            return Denied(
                ReasonCode.MODE_CONFLICT,
                "the car was told to stop: pause the drive stream before driving on",
            )
        denied = self._ask(Wish.SET_POINT, mono_s)
        if denied is None:
            self._motion, changed = self._limits.clamp(point.motion)
            self.clamped += changed
            valid_s = self._settings.dead_man_s
            if point.valid_for_s is not None:
                valid_s = min(valid_s, point.valid_for_s)
            self._until_mono_s = mono_s + valid_s
            self._due_mono_s = max(mono_s, self._sent_mono_s + 1.0 / MAX_CONTROL_RATE_HZ)
        return denied

    def stop(self, deceleration_mps2: float | None, mono_s: float) -> Denied | None:
        """Bring the car to a standstill.

        Args:
            deceleration_mps2: Comfortable deceleration, or `None` for the full brake.
            mono_s: Monotonic time, seconds.
        """
        denied = self._ask(Wish.STOP, mono_s)
        if denied is None:
            self._stream_muted = True
            if self.state is State.STOPPING_ON_COMMAND:
                self._deceleration_mps2 = deceleration_mps2
                self._begin_braking(mono_s)
        return denied

    def emergency_stop(self, mono_s: float) -> Denied | None:
        """Full brake and latch, in any control mode."""
        denied = self._ask(Wish.EMERGENCY_STOP, mono_s)
        if denied is None:
            self._stream_muted = True
            self._begin_braking(mono_s)
        return denied

    def resume(self, mono_s: float) -> Denied | None:
        """Clear the latch, or take the car back from a person who took it over."""
        seized = self.state is State.EMERGENCY and self._seized
        return self._ask(Wish.RESUME_RELEASED if seized else Wish.RESUME, mono_s)

    # -- what is sent -----------------------------------------------------------------------

    def step(self, mono_s: float) -> list[ControlOutput]:
        """Let time pass and return what is to be sent now.

        Args:
            mono_s: Monotonic time, seconds.

        Returns:
            At most one control command.
        """
        self._advance(mono_s)
        if not self._is_sending or mono_s < self._due_mono_s:
            return []
        output = self._output(mono_s)
        self._sent_mono_s = mono_s
        # Keep the beat, but never catch up with a burst after a stall.
        following_s = self._due_mono_s + self._period_s
        self._due_mono_s = following_s if following_s > mono_s else mono_s + self._period_s
        return [output]

    def shutdown(self, mono_s: float) -> list[ControlOutput]:
        """Stop the car for the last time.

        A caller that can wait goes on calling `observe` and `step` until `state` is `CLOSED`; one
        that cannot sends the burst and ends.

        Returns:
            `min_stop_datagrams` stops with delays of one control period each, or nothing when the
            agent does not control the car.
        """
        self._advance(mono_s)
        self._notice(Observation.SHUTDOWN, mono_s)
        if self.state is not State.CLOSING:
            return []
        self._begin_braking(mono_s)
        count = self._settings.min_stop_datagrams
        burst = [
            msgspec.structs.replace(self._output(mono_s), delay_s=index * self._period_s)
            for index in range(count)
        ]
        self._due_mono_s = mono_s + count * self._period_s
        return burst

    @property
    def deadline_s(self) -> float:
        """Monotonic time at which `step` has something to do; infinity when it never will."""
        deadline_s = self._until_mono_s
        if self._is_sending:
            deadline_s = min(deadline_s, self._due_mono_s)
        if self.state in DRIVING:
            deadline_s = min(deadline_s, self._ego_mono_s + self._settings.simulator_silent_s)
        return deadline_s

    @property
    def ego(self) -> EgoState | None:
        """The latest ego status, however old."""
        return self._ego

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be sent any more."""
        return self.state is State.CLOSED

    @property
    def is_at_rest(self) -> bool:
        """Whether the arbiter has brought the car to a standstill and holds it."""
        return self.state is State.HOLDING or (self.state is State.EMERGENCY and self._at_rest)

    def simulator_is_silent(self, mono_s: float) -> bool:
        """Whether no ego status came for `simulator_silent_s`."""
        # The same sum as in `deadline_s`, so that rounding cannot tell the two apart.
        return mono_s >= self._ego_mono_s + self._settings.simulator_silent_s

    # -- transitions ------------------------------------------------------------------------

    def _ask(self, wish: Wish, mono_s: float) -> Denied | None:
        self._advance(mono_s)
        answer = REQUESTS[self.state][wish]
        if isinstance(answer, ReasonCode):
            return Denied(answer, _REFUSED_IN[self.state])
        if answer in DRIVING or (answer in CHANGING_MODE and wish is not Wish.RELEASE):
            if not self._link_up:
                return Denied(ReasonCode.LINK_LOST, "there is no connection to the broker")
            if self.simulator_is_silent(mono_s):
                return Denied(ReasonCode.SIMULATOR_SILENT, "no ego status from the simulator")
        self._go(answer, wish, mono_s)
        return None

    def _notice(self, observation: Observation, mono_s: float) -> None:
        after = OBSERVATIONS[self.state].get(observation)
        if after is not None:
            self._go(after, observation, mono_s)

    def _advance(self, mono_s: float) -> None:
        if self.state in DRIVING and self.simulator_is_silent(mono_s):
            self._notice(Observation.SIMULATOR_SILENT, mono_s)
        if mono_s >= self._until_mono_s:
            self._notice(_TIME_IS_UP[self.state], mono_s)

    def _observe_motion(self, speed_mps: float, mono_s: float) -> None:
        settings = self._settings
        if speed_mps > settings.rolling_mps:
            if self.state is State.EMERGENCY and self._at_rest:
                self._begin_braking(mono_s)
            self._notice(Observation.ROLLING, mono_s)
        elif (
            speed_mps <= settings.standstill_mps
            and self.state in BRAKING
            and self._mode_confirmed
            and self._stops_sent >= settings.min_stop_datagrams
        ):
            self._at_rest = True
            self._notice(Observation.STANDSTILL, mono_s)

    def _go(self, after: State, cause: Cause, mono_s: float) -> None:
        before = self.state
        if after is before:
            return
        self.state = after
        self._until_mono_s = math.inf
        self.transitions.append(Transition(mono_s, before, cause, after))
        if after in LATCHED and before not in LATCHED:
            self._seized = before in {State.RELEASED, State.RELEASING, State.YIELDED}
        if after not in IN_CONTROL and before not in IN_CONTROL | BRAKING:
            self._mode_confirmed = False
        if after in CHANGING_MODE:
            self._until_mono_s = mono_s + self._settings.mode_timeout_s
            self._due_mono_s = mono_s
            if before not in LATCHED:
                self._steer_rad = 0.0
        elif after in BRAKING:
            self._deceleration_mps2 = None
            self._begin_braking(mono_s)

    def _begin_braking(self, mono_s: float) -> None:
        self._stops_sent = 0
        self._at_rest = False
        self._due_mono_s = mono_s

    # -- one datagram -----------------------------------------------------------------------

    @property
    def _is_sending(self) -> bool:
        if self.state is State.EMERGENCY:
            return not self._at_rest
        return self.state in BRAKING or self.state in DRIVING or self.state in CHANGING_MODE

    def _output(self, mono_s: float) -> ControlOutput:
        if self.state in DRIVING:
            elapsed_s = min(mono_s - self._sent_mono_s, _MAX_SLEW_TIME_S)
            self._steer_rad = self._limits.slew(self._steer_rad, self._motion.steer_rad, elapsed_s)
            speed_mps = 0.0 if self._ego is None else self._ego.speed_mps
            longitudinal = self._limits.restrain(self._motion.longitudinal, speed_mps)
            keep = not self._settings.assert_mode_every_packet
            mode = CommandMode.KEEP if keep else CommandMode.EXTERNAL
        elif self.state is State.RELEASING:
            longitudinal, mode = FULL_BRAKE, CommandMode.KEYBOARD
        else:
            longitudinal, mode = self._braking(mono_s), CommandMode.EXTERNAL
            self._stops_sent += longitudinal is FULL_BRAKE
        # A stop keeps the wheels where they were: straightening them in a bend leaves the lane.
        return self._encoder.control(longitudinal, self._steer_rad, mode)

    def _braking(self, mono_s: float) -> Longitudinal:
        comfortable = (
            self.state is State.STOPPING_ON_COMMAND
            and self._deceleration_mps2 is not None
            and self._ego is not None
            and self._ego.speed_mps > _CREEP_MPS
            and not self.simulator_is_silent(mono_s)
        )
        if comfortable and self._deceleration_mps2 is not None:
            return TargetAcceleration(-self._deceleration_mps2)
        return FULL_BRAKE


_TIME_IS_UP: Final = {
    State.ENGAGING: Observation.MODE_TIMEOUT,
    State.RELEASING: Observation.MODE_TIMEOUT,
    State.STREAM: Observation.STREAM_SILENT,
    State.COMMAND: Observation.DURATION_OVER,
}

_REFUSED_IN: Final = {
    State.RELEASED: "the agent does not control the car: send set_control_mode external first",
    State.ENGAGING: "external control is not confirmed yet",
    State.STREAM: "the drive stream has the car",
    State.STOPPING_ON_COMMAND: "the car is being stopped by a command",
    State.EMERGENCY: "an emergency stop is latched: send resume first",
    State.EMERGENCY_YIELDED: "an emergency stop is latched and a person has the car",
    State.YIELDED: "a person took the car over: send resume to take it back",
    State.RELEASING: "the car is being handed to the keyboard",
    State.CLOSING: "the agent is shutting down",
    State.CLOSED: "the agent has shut down",
}
