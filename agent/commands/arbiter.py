"""Decides at every instant who moves the car, and sends accordingly.

Owns the time side of the state tables in `control_states`: timers, the dead-man, the human who
takes over, the rate at which datagrams go out, and which control mode each of them asserts. It has
no clock and no socket: monotonic time comes in, `ControlOutput`s come out. It knows nothing of
executions, ledgers or MQTT.

The simulator keeps obeying the last command for ever (it has no watchdog), and UDP loses datagrams.
Two rules follow. Whoever drives is repeated at the control rate. A stop is sent at the control rate
until the car reports that it stands, and at least `min_stop_datagrams` times.

For the same reason a car that leaves external control, or whose agent dies, still has its last
drive command waiting in the simulator, and takes it up when it comes back to external control. The
arbiter therefore knows whether that latch holds a brake (the car was seen standing with the brake
on) and, as long as it does not, brakes a car that comes back unasked.

Control mode: `EXTERNAL` re-selects external control with each packet and would undo a person's key
press, so it is sent while engaging and with stops that somebody or something asked for; driving,
and braking a car that came back unasked, send `KEEP`. `KEEP` has been observed on some builds and
is not documented; `assert_mode_every_packet` does without it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from agent.commands.arbiter_settings import MAX_CONTROL_RATE_HZ, ArbiterSettings
from agent.commands.control_states import (
    BRAKING,
    CHANGING_MODE,
    DRIVING,
    HANDS_OFF,
    IN_CONTROL,
    LATCHED,
    OBSERVATIONS,
    REFUSED_IN,
    REQUESTS,
    Observation,
    State,
    Wish,
)
from agent.commands.motion import (
    FULL_BRAKE,
    Longitudinal,
    Motion,
    TargetAcceleration,
    asks_for_standstill,
)
from agent.commands.protocol import ReasonCode
from agent.commands.transitions import Cause, Denied, Transition
from agent.morai import CommandMode
from agent.vehicle.state import DriveMode

if TYPE_CHECKING:
    from agent.commands.drive_stream import SetPoint
    from agent.commands.outputs import ControlEncoder, ControlOutput
    from agent.commands.safety import Limits
    from agent.vehicle.state import EgoState

__all__ = ["MAX_CONTROL_RATE_HZ", "Arbiter", "ArbiterSettings", "Cause", "Denied", "Transition"]

# Below this a comfortable stop ends with the brake: a held deceleration could roll backwards.
_CREEP_MPS: Final = 0.5
# A pause between two commands does not buy a larger jump of the wheels than this much time does.
_MAX_SLEW_TIME_S: Final = 0.1
_MAX_TRANSITIONS: Final = 64


class Arbiter:
    """The one place that may move the car.

    Call `observe` with every ego status, `set_link` when the broker connection changes, a wish when
    somebody wants something, and `step` after each of them and at `deadline_s`. Time never goes
    backwards; a caller that is late makes timers fire late, before anything else is looked at.

    Invariants:
        In a state of `BRAKING` or `CHANGING_MODE` only stops are sent, but for the deceleration of
        a comfortable stop. From a `LATCHED` state no wish but `RESUME` leads to driving. In a
        state of `HANDS_OFF` nothing is sent. After a `stop` a stream that was heard before does not
        move the car until there was a sign of intent: a set point that asks for standstill, or
        `drive`, `engage` or `resume`.

    Args:
        limits: The safety envelope.
        encoder: Makes the wire messages.
        settings: Times and thresholds.
        held_before: Whether an agent that ended before this one may have left a drive command in
            force at the simulator.

    Attributes:
        state: Who controls the car.
        transitions: Changes of state since they were last taken, the latest 64.
        clamped: Set points that were brought inside the limits.
    """

    def __init__(
        self,
        limits: Limits,
        encoder: ControlEncoder,
        settings: ArbiterSettings | None = None,
        *,
        held_before: bool = False,
    ) -> None:
        self._limits = limits
        self._encoder = encoder
        self._settings = settings or ArbiterSettings()
        self._period_s = 1.0 / self._settings.control_rate_hz
        self.state = State.RELEASED
        self.transitions: deque[Transition] = deque(maxlen=_MAX_TRANSITIONS)
        self.clamped = 0

        self._link_up = False
        self._unanswered_mono_s = math.inf
        self._ego: EgoState | None = None
        self._ego_mono_s = -math.inf

        self._motion = Motion(FULL_BRAKE)
        self._steer_rad = 0.0
        self._deceleration_mps2: float | None = None
        self._sent_mono_s = -math.inf
        # When the last set point, and not a mere repetition, was sent; and whether one waits.
        self._steered_mono_s = -math.inf
        self._is_steered = False
        self._due_mono_s = math.inf
        self._stops_sent = 0
        # Latched and standing: the brake is on and nothing has to be sent.
        self._at_rest = False

        self._mode_confirmed = False
        self._seized = False
        # Whether the last command in force at the simulator is known to be a brake.
        self._latch_is_safe = not held_before
        # Whether the car is braked although nobody asked for it: then a person wins.
        self._unasked = False
        self._stream_heard = False
        self._stream_muted = False
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
            self._notice(Observation.MODE_EXTERNAL, mono_s)
            self._mode_confirmed = True
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
        self._unanswered_mono_s = math.inf
        if not up:
            self._notice(Observation.LINK_LOST, mono_s)

    def set_unanswered(self, oldest_mono_s: float | None, mono_s: float) -> None:
        """Note since when the broker owes an acknowledgement.

        A drive command ends with `LINK_LOST` when that is longer than `link_silent_s`: a link that
        is dead in silence would otherwise be noticed by the keep-alive only.

        Args:
            oldest_mono_s: When the oldest unacknowledged message was written to the present
                connection, or `None` when there is none.
            mono_s: Monotonic time, seconds.
        """
        self._unanswered_mono_s = math.inf if oldest_mono_s is None else oldest_mono_s
        self._advance(mono_s)

    # -- what is wished ---------------------------------------------------------------------

    def engage(self, mono_s: float) -> Denied | None:
        """Take the car over. It is braked to a standstill first, whoever drove it."""
        return self._ask_with_intent(Wish.ENGAGE, mono_s)

    def release(self, mono_s: float) -> Denied | None:
        """Hand the car to the keyboard. One that the agent controls is stopped first."""
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
        denied = self._ask_with_intent(Wish.DRIVE, mono_s)
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
        self._stream_heard = True
        if asks_for_standstill(point.motion):
            self._stream_muted = False
        if self._stream_muted and REQUESTS[self.state][Wish.SET_POINT] is State.STREAM:
            return Denied(
                ReasonCode.MODE_CONFLICT,
                "the car was stopped: let the drive stream ask for standstill before it drives on",
            )
        denied = self._ask(Wish.SET_POINT, mono_s)
        if denied is None:
            self._motion, changed = self._limits.clamp(point.motion)
            self.clamped += changed
            valid_s = self._settings.dead_man_s
            if point.valid_for_s is not None:
                valid_s = min(valid_s, point.valid_for_s)
            self._until_mono_s = mono_s + valid_s
            # Measured between set points only: a repetition that was just sent must not hold
            # back the fresh one.
            self._due_mono_s = max(mono_s, self._steered_mono_s + 1.0 / MAX_CONTROL_RATE_HZ)
            self._is_steered = True
        return denied

    def stop(self, deceleration_mps2: float | None, mono_s: float) -> Denied | None:
        """Bring the car to a standstill.

        Args:
            deceleration_mps2: Comfortable deceleration, or `None` for the full brake.
            mono_s: Monotonic time, seconds.
        """
        denied = self._ask(Wish.STOP_EXTERNAL if self._is_loose else Wish.STOP, mono_s)
        if denied is None:
            # A stream that begins after the stop is a sign of intent itself.
            self._stream_muted |= self._stream_heard
            self._unasked = False
            if self.state is State.STOPPING_ON_COMMAND:
                self._deceleration_mps2 = deceleration_mps2
                self._begin_braking(mono_s)
        return denied

    def emergency_stop(self, mono_s: float) -> Denied | None:
        """Full brake and latch, in any control mode."""
        denied = self._ask(Wish.EMERGENCY_STOP, mono_s)
        if denied is None:
            self._stream_muted |= self._stream_heard
            self._unasked = False
            self._begin_braking(mono_s)
        return denied

    def resume(self, mono_s: float) -> Denied | None:
        """Clear the latch, or take the car back from a person who took it over."""
        seized = self.state is State.EMERGENCY and self._seized
        return self._ask_with_intent(Wish.RESUME_RELEASED if seized else Wish.RESUME, mono_s)

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
        if self._is_steered:
            self._steered_mono_s, self._is_steered = mono_s, False
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
        given_up = self.state in HANDS_OFF or self.state is State.RELEASING
        may_roll = given_up and self._is_loose and not self._latch_is_safe
        self._notice(Observation.SHUTDOWN_EXTERNAL if may_roll else Observation.SHUTDOWN, mono_s)
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
        if self.state is State.COMMAND:
            deadline_s = min(deadline_s, self._unanswered_mono_s + self._settings.link_silent_s)
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
    def is_held(self) -> bool:
        """Whether the agent answers for what the car does.

        It does while it is in control, and after that for as long as the simulator may still have a
        drive command of the agent in force.
        """
        return self.state not in HANDS_OFF or not self._latch_is_safe

    @property
    def is_at_rest(self) -> bool:
        """Whether the arbiter has brought the car to a standstill and holds it."""
        return self.state is State.HOLDING or (self.state is State.EMERGENCY and self._at_rest)

    def simulator_is_silent(self, mono_s: float) -> bool:
        """Whether no ego status came for `simulator_silent_s`."""
        # The same sum as in `deadline_s`, so that rounding cannot tell the two apart.
        return mono_s >= self._ego_mono_s + self._settings.simulator_silent_s

    @property
    def _is_loose(self) -> bool:
        """Whether the car may be obeying external commands, as far as it can be known."""
        if self._ego is None:
            return False
        if self._ego.drive_mode is None:
            return abs(self._ego.speed_mps) > self._settings.rolling_mps
        return self._reports_external

    @property
    def _reports_external(self) -> bool:
        return self._ego is not None and self._ego.drive_mode is DriveMode.EXTERNAL

    def _link_is_silent(self, mono_s: float) -> bool:
        return mono_s >= self._unanswered_mono_s + self._settings.link_silent_s

    # -- transitions ------------------------------------------------------------------------

    def _ask_with_intent(self, wish: Wish, mono_s: float) -> Denied | None:
        denied = self._ask(wish, mono_s)
        if denied is None:
            self._stream_muted = False
        return denied

    def _ask(self, wish: Wish, mono_s: float) -> Denied | None:
        self._advance(mono_s)
        answer = REQUESTS[self.state][wish]
        if isinstance(answer, ReasonCode):
            return Denied(answer, REFUSED_IN[self.state])
        if wish is Wish.DRIVE and self._link_is_silent(mono_s):
            return Denied(ReasonCode.LINK_LOST, "the broker does not answer")
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
        if self.state is State.COMMAND and self._link_is_silent(mono_s):
            self._notice(Observation.LINK_LOST, mono_s)
        if mono_s >= self._until_mono_s:
            self._notice(_TIME_IS_UP[self.state], mono_s)

    def _observe_motion(self, speed_mps: float, mono_s: float) -> None:
        settings = self._settings
        if speed_mps > settings.rolling_mps:
            if self.state is State.EMERGENCY and self._at_rest:
                self._begin_braking(mono_s)
            self._notice(Observation.ROLLING, mono_s)
            if self._reports_external and not self._latch_is_safe:
                self._notice(Observation.RUNAWAY, mono_s)
        elif (
            speed_mps <= settings.standstill_mps
            and self.state in BRAKING
            and self._mode_confirmed
            and self._stops_sent >= settings.min_stop_datagrams
        ):
            self._at_rest = True
            self._latch_is_safe = True
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
        if before not in IN_CONTROL | BRAKING and after not in IN_CONTROL:
            self._mode_confirmed = False
        if before is State.RELEASING and isinstance(cause, Wish):
            # The keyboard control that is being asked for may still be reported.
            self._mode_confirmed = False
        if isinstance(cause, Wish):
            self._unasked = False
        elif before in HANDS_OFF:
            self._unasked = self._stream_muted = True
        if after is State.STOPPING_TO_RELEASE:
            self._until_mono_s = mono_s + self._settings.release_timeout_s
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
            mode = self._undemanding_mode
            self._latch_is_safe = False
        elif self.state is State.RELEASING:
            longitudinal, mode = FULL_BRAKE, CommandMode.KEYBOARD
        else:
            longitudinal = self._braking(mono_s)
            mode = self._undemanding_mode if self._unasked else CommandMode.EXTERNAL
            self._stops_sent += longitudinal is FULL_BRAKE
        # A stop keeps the wheels where they were: straightening them in a bend leaves the lane.
        return self._encoder.control(longitudinal, self._steer_rad, mode)

    @property
    def _undemanding_mode(self) -> CommandMode:
        keep = not self._settings.assert_mode_every_packet
        return CommandMode.KEEP if keep else CommandMode.EXTERNAL

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
    State.STOPPING_TO_RELEASE: Observation.RELEASE_TIMEOUT,
    State.STREAM: Observation.STREAM_SILENT,
    State.COMMAND: Observation.DURATION_OVER,
}
