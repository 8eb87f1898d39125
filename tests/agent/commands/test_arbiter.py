from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from agent.commands.arbiter import Arbiter, ArbiterSettings
from agent.commands.control_states import State
from agent.commands.drive_stream import SetPoint
from agent.commands.motion import Motion, Pedals, TargetAcceleration, TargetSpeed
from agent.commands.safety import Limits
from agent.morai import CommandMode, EgoControl, LongitudinalType
from agent.vehicle.state import DriveMode
from certs.errors import ConfigurationError
from tests.agent.commands.rig import FULL_BRAKE, PERIOD_S, controls, ego, encoder, longitudinal

if TYPE_CHECKING:
    from collections.abc import Callable

CRUISE = Motion(TargetSpeed(10.0), 0.1)


def _arbiter(
    settings: ArbiterSettings | None = None,
    limits: Limits | None = None,
    *,
    held_before: bool = False,
) -> Arbiter:
    arbiter = Arbiter(limits or Limits(), encoder(), settings, held_before=held_before)
    arbiter.set_link(up=True, mono_s=0.0)
    arbiter.observe(ego(mode=DriveMode.KEYBOARD), 0.0)
    return arbiter


def _run(
    arbiter: Arbiter,
    from_s: float,
    to_s: float,
    speed_mps: float | None = 0.0,
    mode: DriveMode = DriveMode.EXTERNAL,
) -> list[EgoControl]:
    """Step every 10 ms, with an ego status each time unless the speed is None."""
    sent = []
    for index in range(round((to_s - from_s) / 0.01)):
        # A microsecond late, so that rounding does not decide about multiples of the period.
        mono_s = from_s + (index + 1) * 0.01 + 1e-6
        if speed_mps is not None:
            arbiter.observe(ego(speed_mps, mode), mono_s)
        sent += controls(arbiter.step(mono_s))
    return sent


def _engaged(settings: ArbiterSettings | None = None, limits: Limits | None = None) -> Arbiter:
    """An arbiter that holds the car at second 1."""
    arbiter = _arbiter(settings, limits)
    assert arbiter.engage(0.0) is None
    _run(arbiter, 0.0, 1.0)
    assert _state(arbiter) is State.HOLDING
    return arbiter


def _state(arbiter: Arbiter) -> State:
    """The state, read anew: a type checker believes that it cannot have changed."""
    return arbiter.state


def _point(seq: int = 1, motion: Motion = CRUISE, valid_for_s: float | None = None) -> SetPoint:
    return SetPoint(seq, motion, None, valid_for_s)


def test_nothing_is_sent_before_anybody_engages() -> None:
    """A started agent leaves the car alone and refuses to drive it."""
    arbiter = _arbiter()

    assert _run(arbiter, 0.0, 1.0, mode=DriveMode.KEYBOARD) == []
    assert arbiter.deadline_s == math.inf
    denied = arbiter.drive(CRUISE, 10.0, 1.0)
    assert denied is not None
    assert denied.reason == "MODE_CONFLICT"


def test_engaging_asserts_external_mode_with_the_brake_on() -> None:
    """Until the car reports external control every packet asks for it and brakes."""
    arbiter = _arbiter()
    arbiter.engage(0.0)

    sent = controls(arbiter.step(0.0)) + _run(arbiter, 0.0, 0.5, mode=DriveMode.KEYBOARD)

    assert len(sent) == 11  # at 0.00, 0.05 ... 0.50
    assert {message.control_mode for message in sent} == {CommandMode.EXTERNAL}
    assert {longitudinal(message) for message in sent} == {FULL_BRAKE}
    assert _state(arbiter) is State.ENGAGING


def test_engaging_gives_up() -> None:
    """A car that does not report external control in time is left alone."""
    arbiter = _arbiter(ArbiterSettings(mode_timeout_s=2.0))
    arbiter.engage(0.0)

    sent = _run(arbiter, 0.0, 3.0, mode=DriveMode.KEYBOARD)

    assert _state(arbiter) is State.RELEASED
    assert len(sent) == 40  # 2 s at 20 Hz


def test_engaging_needs_a_simulator_that_speaks() -> None:
    """Without an ego status nobody would see whether the car obeys."""
    arbiter = Arbiter(Limits(), encoder())
    arbiter.set_link(up=True, mono_s=0.0)

    denied = arbiter.engage(0.0)

    assert denied is not None
    assert denied.reason == "SIMULATOR_SILENT"


def test_a_drive_command_is_repeated_and_leaves_the_mode_alone() -> None:
    """While driving the same command goes out 20 times a second with mode KEEP."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 10.0, 1.0)

    sent = controls(arbiter.step(1.0)) + _run(arbiter, 1.0, 2.0, speed_mps=3.0)

    assert len(sent) == 21
    assert {message.control_mode for message in sent} == {CommandMode.KEEP}
    assert {longitudinal(message) for message in sent} == {
        (LongitudinalType.VELOCITY, 36.0, 0.0, 0.0, 0.0)
    }
    # -(0.1 rad) / 36.25 degrees
    assert sent[-1].steer_norm == pytest.approx(-0.158057, abs=1e-6)


def test_builds_without_keep_get_the_mode_in_every_packet() -> None:
    """assert_mode_every_packet sends EXTERNAL while driving."""
    arbiter = _engaged(ArbiterSettings(assert_mode_every_packet=True))
    arbiter.drive(CRUISE, 10.0, 1.0)

    assert {message.control_mode for message in _run(arbiter, 1.0, 2.0)} == {CommandMode.EXTERNAL}


def test_a_command_beyond_the_limits_is_refused_and_changes_nothing() -> None:
    """The car goes on holding, and the refusal names the limit."""
    arbiter = _engaged(limits=Limits(max_speed_mps=5.0))

    denied = arbiter.drive(CRUISE, 10.0, 1.0)

    assert denied is not None
    assert (denied.reason, arbiter.state) == ("LIMIT_EXCEEDED", State.HOLDING)


def test_a_drive_command_ends_with_its_duration() -> None:
    """After duration_s the car is stopped, whatever was commanded."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 0.5, 1.0)

    driving = _run(arbiter, 1.0, 1.49, speed_mps=3.0)
    stopping = _run(arbiter, 1.5, 2.0, speed_mps=2.0)

    assert {longitudinal(message) for message in stopping} == {FULL_BRAKE}
    assert all(message.velocity_kmh == 36.0 for message in driving)
    assert _state(arbiter) is State.STOPPING


def test_the_dead_man_stops_the_car_and_repeats_until_it_stands() -> None:
    """Half a second after the last set point stops go out at the control rate until standstill."""
    arbiter = _engaged()
    arbiter.set_point(_point(), 1.0)
    _run(arbiter, 1.0, 1.49, speed_mps=5.0)
    assert _state(arbiter) is State.STREAM

    moving = _run(arbiter, 1.49, 4.5, speed_mps=5.0)
    standing = _run(arbiter, 4.5, 6.0, speed_mps=0.0)

    assert len(moving) == 61  # 1.50, 1.55 ... 4.50
    assert {longitudinal(message) for message in moving + standing} == {FULL_BRAKE}
    assert {message.control_mode for message in moving} == {CommandMode.EXTERNAL}
    assert _state(arbiter) is State.HOLDING
    assert len(standing) <= 1


def test_a_stop_is_sent_five_times_even_to_a_standing_car() -> None:
    """A car that stands already still gets the minimum number of stops."""
    arbiter = _engaged()
    arbiter.set_point(_point(), 1.0)

    sent = _run(arbiter, 1.0, 4.0, speed_mps=0.0)

    stops = [message for message in sent if longitudinal(message) == FULL_BRAKE]
    assert len(stops) == 5
    assert _state(arbiter) is State.HOLDING


def test_a_stop_keeps_the_wheels_where_they_were() -> None:
    """A stop in a bend does not straighten the wheels."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 0.5, 1.0)

    sent = _run(arbiter, 1.0, 2.0, speed_mps=3.0)

    assert longitudinal(sent[-1]) == FULL_BRAKE
    assert sent[-1].steer_norm == pytest.approx(-0.158057, abs=1e-6)


@pytest.mark.parametrize("source", ["command", "stream"])
def test_a_lost_link_stops_the_car(source: str) -> None:
    """Whoever drives, losing the broker stops the car at once."""
    arbiter = _engaged()
    if source == "command":
        arbiter.drive(CRUISE, 10.0, 1.0)
    else:
        arbiter.set_point(_point(), 1.0)

    arbiter.set_link(up=False, mono_s=1.1)

    assert [longitudinal(message) for message in controls(arbiter.step(1.1))] == [FULL_BRAKE]
    denied = arbiter.set_point(_point(2), 1.2)
    assert denied is not None
    assert denied.reason == "LINK_LOST"


def test_a_silent_simulator_stops_the_car() -> None:
    """Without an ego status for a second the car is told to stop, for as long as it takes."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)

    sent = _run(arbiter, 1.0, 5.0, speed_mps=None)

    stops = [message for message in sent if longitudinal(message) == FULL_BRAKE]
    assert _state(arbiter) is State.STOPPING
    assert len(stops) == 61  # from 2.0 to 5.0
    denied = arbiter.set_point(_point(), 5.0)
    assert denied is not None
    assert denied.reason == "SIMULATOR_SILENT"


def test_a_set_point_takes_the_car_from_the_dead_man() -> None:
    """After a dead-man stop the next set point drives on."""
    arbiter = _engaged()
    arbiter.set_point(_point(1), 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0)
    assert _state(arbiter) is State.STOPPING

    arbiter.set_point(_point(2), 2.0)

    assert _state(arbiter) is State.STREAM
    assert controls(arbiter.step(2.1))[0].velocity_kmh == 36.0


def test_a_set_point_may_be_valid_for_less_than_the_dead_man_time() -> None:
    """valid_for_s shortens the time and never lengthens it."""
    arbiter = _engaged()
    arbiter.set_point(_point(1, valid_for_s=0.2), 1.0)
    assert arbiter.deadline_s <= 1.2
    _run(arbiter, 1.0, 1.21, speed_mps=5.0)
    assert _state(arbiter) is State.STOPPING

    arbiter.set_point(_point(2, valid_for_s=60.0), 1.3)
    _run(arbiter, 1.3, 1.81, speed_mps=5.0)
    assert _state(arbiter) is State.STOPPING


def test_set_points_go_out_at_once_but_not_faster_than_the_simulator_reads() -> None:
    """A hundred set points in 100 ms make seven datagrams, the last one the newest that is due."""
    arbiter = _engaged()
    sent = []
    for index in range(100):
        mono_s = 1.0 + index * 0.001
        arbiter.set_point(_point(index, Motion(TargetSpeed(index / 10))), mono_s)
        sent += controls(arbiter.step(mono_s))

    # 1/60 s apart: at 0, 17, 34, 51, 68, 85 ms; an exact multiple may fall on either side.
    assert 6 <= len(sent) <= 7
    assert sent[0].velocity_kmh == 0.0
    assert [message.velocity_kmh for message in sent] == sorted(
        message.velocity_kmh for message in sent
    )


def test_set_points_are_clamped_and_counted() -> None:
    """A set point beyond the limits is brought to the limit instead of being lost."""
    arbiter = _engaged(limits=Limits(max_speed_mps=5.0))

    arbiter.set_point(_point(), 1.0)

    assert controls(arbiter.step(1.0))[0].velocity_kmh == 18.0
    assert arbiter.clamped == 1


def test_the_wheels_turn_at_the_limited_rate() -> None:
    """At 1 rad/s and 20 Hz the commanded wheel angle moves 0.05 rad a packet."""
    arbiter = _engaged(limits=Limits(max_steer_rate_radps=1.0))
    arbiter.drive(Motion(TargetSpeed(5.0), 0.5), 10.0, 1.0)

    sent = controls(arbiter.step(1.0)) + _run(arbiter, 1.0, 1.2, speed_mps=1.0)

    angles_rad = [-message.steer_norm * math.radians(36.25) for message in sent]
    # The first packet after a pause has at most 0.1 s to its account.
    assert angles_rad == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3], abs=1e-4)


def test_nothing_pushes_beyond_the_speed_limit() -> None:
    """Pedals stop pushing when the car reports the limit."""
    arbiter = _engaged(limits=Limits(max_speed_mps=5.0))
    arbiter.drive(Motion(Pedals(0.8, 0.0)), 10.0, 1.0)

    below = _run(arbiter, 1.0, 1.1, speed_mps=4.9)
    above = _run(arbiter, 1.1, 1.2, speed_mps=5.1)

    assert {message.accel_pedal for message in below} == {0.8}
    assert {message.accel_pedal for message in above} == {0.0}


def test_a_comfortable_stop_decelerates_and_ends_with_the_brake() -> None:
    """The wanted deceleration is held until the car creeps, then the brake holds it."""
    arbiter = _engaged()
    arbiter.drive(Motion(TargetAcceleration(1.0)), 10.0, 1.0)
    arbiter.stop(2.0, 2.0)

    rolling = _run(arbiter, 2.0, 2.5, speed_mps=3.0)
    creeping = _run(arbiter, 2.5, 3.0, speed_mps=0.4)
    _run(arbiter, 3.0, 3.1, speed_mps=0.0)

    assert {longitudinal(message) for message in rolling} == {
        (LongitudinalType.ACCELERATION, 0.0, -2.0, 0.0, 0.0)
    }
    assert {longitudinal(message) for message in creeping} == {FULL_BRAKE}
    assert _state(arbiter) is State.HOLDING


def test_a_comfortable_stop_becomes_a_full_one_when_the_car_is_not_heard() -> None:
    """Without a speed nobody knows when to brake, so the brake is applied."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 10.0, 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0)
    arbiter.stop(2.0, 2.0)

    sent = _run(arbiter, 2.0, 4.0, speed_mps=None)

    assert longitudinal(sent[0])[0] == LongitudinalType.ACCELERATION
    assert longitudinal(sent[-1]) == FULL_BRAKE


STANDSTILLS = [
    Motion(TargetSpeed(0.0)),
    Motion(Pedals(0.0, 0.0)),
    Motion(Pedals(0.0, 1.0)),
    Motion(TargetAcceleration(-1.0)),
]


@pytest.mark.parametrize("gap_s", [0.02, 0.4, 1.0, 10.0])
@pytest.mark.parametrize("let_go", STANDSTILLS)
def test_a_running_stream_does_not_undo_a_stop(gap_s: float, let_go: Motion) -> None:
    """After a stop no set point drives, however slow the stream, until one asks for standstill."""
    arbiter = _engaged()
    arbiter.set_point(_point(0), 1.0)
    arbiter.stop(None, 1.1)
    mono_s = 1.1
    for seq in range(1, 40):
        arbiter.observe(ego(0.0), mono_s + gap_s)
        mono_s += gap_s
        assert arbiter.set_point(_point(seq), mono_s) is not None
        arbiter.step(mono_s)
    assert _state(arbiter) is State.HOLDING

    arbiter.set_point(_point(40, let_go), mono_s)

    assert arbiter.set_point(_point(41), mono_s) is None
    assert _state(arbiter) is State.STREAM


def test_a_stream_that_begins_after_a_stop_drives() -> None:
    """A stop silences the stream that was there; one that begins later was meant to."""
    arbiter = _engaged()
    arbiter.stop(None, 1.0)
    _run(arbiter, 1.0, 2.0)

    assert arbiter.set_point(_point(1), 2.0) is None


@pytest.mark.parametrize("intent", ["engage", "drive"])
def test_a_new_command_lets_the_stream_drive_again(intent: str) -> None:
    """Whoever commands after a stop wants the car to move again."""
    arbiter = _engaged()
    arbiter.set_point(_point(0), 1.0)
    arbiter.stop(None, 1.0)
    _run(arbiter, 1.0, 2.0)
    assert arbiter.set_point(_point(1), 2.0) is not None

    if intent == "engage":
        arbiter.engage(2.0)
    else:
        arbiter.drive(CRUISE, 10.0, 2.0)

    assert arbiter.set_point(_point(2), 2.1) is None


def test_a_set_point_takes_the_car_from_a_drive_command() -> None:
    """Whoever holds the stick wins, and a drive command cannot take the car back from it."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 10.0, 1.0)

    assert arbiter.set_point(_point(), 1.1) is None
    assert _state(arbiter) is State.STREAM
    denied = arbiter.drive(CRUISE, 10.0, 1.2)
    assert denied is not None
    assert denied.reason == "MODE_CONFLICT"


def test_an_emergency_stop_latches() -> None:
    """After an emergency stop neither command nor stream nor engagement moves the car."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 10.0, 1.0)
    arbiter.emergency_stop(1.1)

    first = controls(arbiter.step(1.1))
    refusals = [
        arbiter.drive(CRUISE, 10.0, 1.2),
        arbiter.set_point(_point(), 1.2),
        arbiter.engage(1.2),
        arbiter.release(1.2),
    ]

    assert [longitudinal(message) for message in first] == [FULL_BRAKE]
    assert [denied.reason for denied in refusals if denied] == ["EMERGENCY_LATCHED"] * 4


def test_resume_clears_the_latch_and_the_car_holds() -> None:
    """After resume the car is in control again and waits with the brake on."""
    arbiter = _engaged()
    arbiter.emergency_stop(1.0)
    _run(arbiter, 1.0, 2.0)
    assert arbiter.is_at_rest

    assert arbiter.resume(2.0) is None
    sent = _run(arbiter, 2.0, 3.0)

    assert _state(arbiter) is State.HOLDING
    assert {longitudinal(message) for message in sent} == {FULL_BRAKE}


def test_an_emergency_stop_seizes_a_car_in_keyboard_mode_and_resume_hands_it_back() -> None:
    """An emergency stop works in any mode; afterwards the person gets the car back."""
    arbiter = _arbiter()
    arbiter.emergency_stop(0.1)
    seizing = _run(arbiter, 0.1, 0.3, speed_mps=4.0, mode=DriveMode.KEYBOARD)
    _run(arbiter, 0.3, 2.0)
    assert arbiter.is_at_rest

    arbiter.resume(2.0)
    braking = _run(arbiter, 2.0, 2.25)
    returning = _run(arbiter, 2.25, 2.5)
    _run(arbiter, 2.5, 2.6, mode=DriveMode.KEYBOARD)

    assert {message.control_mode for message in seizing} == {CommandMode.EXTERNAL}
    assert {message.control_mode for message in braking[:5]} == {CommandMode.EXTERNAL}
    assert {message.control_mode for message in returning} == {CommandMode.KEYBOARD}
    assert _state(arbiter) is State.RELEASED


def test_a_seized_car_is_at_rest_only_when_it_obeys() -> None:
    """A parked car that stays in keyboard mode keeps getting stops: it is not under control."""
    arbiter = _arbiter()
    arbiter.emergency_stop(0.0)

    sent = _run(arbiter, 0.0, 2.0, speed_mps=0.0, mode=DriveMode.KEYBOARD)

    assert not arbiter.is_at_rest
    assert len(sent) == 41  # at 0.00, 0.05 ... 2.00


def test_a_car_that_was_released_can_be_seized_again() -> None:
    """External control of earlier days is not mistaken for a takeover of today."""
    arbiter = _engaged()
    arbiter.release(1.0)
    _run(arbiter, 1.0, 2.0, mode=DriveMode.KEYBOARD)
    assert _state(arbiter) is State.RELEASED

    arbiter.emergency_stop(2.0)
    _run(arbiter, 2.0, 2.1, speed_mps=5.0, mode=DriveMode.KEYBOARD)

    assert _state(arbiter) is State.EMERGENCY


def test_a_new_engagement_starts_with_straight_wheels() -> None:
    """The wheel angle of an earlier drive is not commanded again."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 1.0, 1.0)
    _run(arbiter, 1.0, 2.0)
    arbiter.release(2.0)
    _run(arbiter, 2.0, 3.0, mode=DriveMode.KEYBOARD)

    arbiter.engage(3.0)

    assert _run(arbiter, 3.0, 3.1, mode=DriveMode.KEYBOARD)[0].steer_norm == 0.0


def test_a_latched_car_that_rolls_is_braked_again() -> None:
    """A car pushed away while the latch holds gets stop datagrams again."""
    arbiter = _engaged()
    arbiter.emergency_stop(1.0)
    _run(arbiter, 1.0, 2.0)
    assert _run(arbiter, 2.0, 3.0) == []

    assert {longitudinal(message) for message in _run(arbiter, 3.0, 4.0, speed_mps=2.0)} == {
        FULL_BRAKE
    }


@pytest.mark.parametrize("mode", [DriveMode.KEYBOARD, DriveMode.BUILT_IN])
def test_a_person_who_takes_over_is_not_fought(mode: DriveMode) -> None:
    """When the car leaves external mode nothing is sent until resume."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0)

    sent = _run(arbiter, 2.0, 4.0, speed_mps=5.0, mode=mode)
    denied = arbiter.set_point(_point(), 4.0)

    assert sent == []
    assert _state(arbiter) is State.YIELDED
    assert denied is not None
    assert denied.reason == "HUMAN_TAKEOVER"
    assert arbiter.resume(4.0) is None
    assert _run(arbiter, 4.0, 4.1, mode=mode)[0].control_mode == CommandMode.EXTERNAL


def test_a_person_may_take_over_from_an_emergency_stop_and_the_latch_stays() -> None:
    """The person drives, the cloud still cannot."""
    arbiter = _engaged()
    arbiter.emergency_stop(1.0)
    _run(arbiter, 1.0, 1.5)

    sent = _run(arbiter, 1.5, 2.0, speed_mps=3.0, mode=DriveMode.KEYBOARD)

    assert sent == []
    assert _state(arbiter) is State.EMERGENCY_YIELDED
    denied = arbiter.engage(2.0)
    assert denied is not None
    assert denied.reason == "EMERGENCY_LATCHED"


def test_releasing_stops_the_car_and_then_hands_it_over_with_the_brake_on() -> None:
    """External brakes until standstill, then KEYBOARD until the car reports it, then nothing."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 1.5, speed_mps=3.0)
    arbiter.release(1.5)

    braking = _run(arbiter, 1.5, 2.5, speed_mps=3.0)
    asking = _run(arbiter, 2.5, 2.8)
    after = _run(arbiter, 2.8, 3.5, mode=DriveMode.KEYBOARD)

    assert len(braking) == 21  # at 1.50, 1.55 ... 2.50
    assert {message.control_mode for message in braking} == {CommandMode.EXTERNAL}
    assert {longitudinal(message) for message in braking} == {FULL_BRAKE}
    assert {message.control_mode for message in asking[1:]} == {CommandMode.KEYBOARD}
    assert {longitudinal(message) for message in asking} == {FULL_BRAKE}
    assert after == []
    assert _state(arbiter) is State.RELEASED
    assert not arbiter.is_held


def test_a_car_that_does_not_stop_is_handed_over_in_the_end() -> None:
    """A person is rather given a rolling car than none, and the agent still answers for it."""
    arbiter = _engaged(ArbiterSettings(release_timeout_s=2.0))
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 1.5, speed_mps=3.0)
    arbiter.release(1.5)

    sent = _run(arbiter, 1.5, 4.0, speed_mps=3.0)
    _run(arbiter, 4.0, 4.1, speed_mps=3.0, mode=DriveMode.KEYBOARD)

    assert sent[-1].control_mode == CommandMode.KEYBOARD
    assert _state(arbiter) is State.RELEASED
    assert arbiter.is_held


def test_a_person_who_takes_the_car_while_it_is_stopped_for_release_has_it() -> None:
    """The key press comes first: the car is released at once."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 1.5, speed_mps=3.0)
    arbiter.release(1.5)

    assert _run(arbiter, 1.5, 2.0, speed_mps=3.0, mode=DriveMode.KEYBOARD) == []
    assert _state(arbiter) is State.RELEASED


# -- a car with a drive command in force that nobody wants ---------------------------------------


def test_a_car_that_comes_back_to_external_control_is_braked() -> None:
    """Drive, then Q, Q, Q: the command in force is replaced by a brake that a person can undo."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0)
    _run(arbiter, 2.0, 2.5, speed_mps=5.0, mode=DriveMode.KEYBOARD)
    assert _run(arbiter, 2.5, 3.0, speed_mps=5.0, mode=DriveMode.BUILT_IN) == []

    back = _run(arbiter, 3.0, 3.5, speed_mps=5.0)
    standing = _run(arbiter, 3.5, 4.5)

    assert len(back) == 10  # half a second at 20 Hz
    assert {longitudinal(message) for message in back + standing} == {FULL_BRAKE}
    assert {message.control_mode for message in back} == {CommandMode.KEEP}
    assert _state(arbiter) is State.HOLDING
    denied = arbiter.set_point(_point(), 4.5)
    assert denied is not None
    assert denied.reason == "MODE_CONFLICT"


def test_a_person_may_press_the_key_again() -> None:
    """Braking a car that came back unasked ends as soon as it is taken again."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0)
    _run(arbiter, 2.0, 2.5, speed_mps=5.0, mode=DriveMode.KEYBOARD)
    _run(arbiter, 2.5, 2.6, speed_mps=5.0)

    assert _run(arbiter, 2.6, 3.0, speed_mps=5.0, mode=DriveMode.KEYBOARD) == []
    assert _state(arbiter) is State.YIELDED


def test_a_build_without_keep_brakes_in_external_mode() -> None:
    """assert_mode_every_packet also holds for the car that came back."""
    arbiter = _engaged(ArbiterSettings(assert_mode_every_packet=True))
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0, mode=DriveMode.KEYBOARD)

    back = _run(arbiter, 2.0, 2.5, speed_mps=5.0)

    assert {message.control_mode for message in back} == {CommandMode.EXTERNAL}


def test_a_latched_car_that_comes_back_is_braked_and_stays_latched() -> None:
    """Back from a person during an emergency stop, the emergency stop goes on."""
    arbiter = _engaged()
    arbiter.emergency_stop(1.0)
    _run(arbiter, 1.0, 1.5, speed_mps=5.0)
    _run(arbiter, 1.5, 2.0, speed_mps=5.0, mode=DriveMode.KEYBOARD)

    back = _run(arbiter, 2.0, 2.5, speed_mps=5.0)

    assert {longitudinal(message) for message in back} == {FULL_BRAKE}
    assert _state(arbiter) is State.EMERGENCY
    assert _run(arbiter, 2.5, 3.0, speed_mps=5.0, mode=DriveMode.KEYBOARD) == []
    assert _state(arbiter) is State.EMERGENCY_YIELDED


def test_a_car_that_the_predecessor_left_driving_is_braked() -> None:
    """A restarted agent brakes a car that rolls in external control until it stands."""
    arbiter = _arbiter(held_before=True)

    rolling = _run(arbiter, 0.0, 1.0, speed_mps=5.0)
    standing = _run(arbiter, 1.0, 2.0)

    assert len(rolling) == 20
    assert {longitudinal(message) for message in rolling + standing} == {FULL_BRAKE}
    assert _state(arbiter) is State.HOLDING


@pytest.mark.parametrize(
    ("held_before", "speed_mps", "mode"),
    [
        (False, 5.0, DriveMode.EXTERNAL),
        (True, 0.4, DriveMode.EXTERNAL),
        (True, 5.0, DriveMode.KEYBOARD),
        (True, 5.0, DriveMode.BUILT_IN),
    ],
)
def test_a_car_in_other_hands_is_left_alone(
    held_before: bool, speed_mps: float, mode: DriveMode
) -> None:
    """Another controller, a car that stands, and a person are not interfered with."""
    arbiter = _arbiter(held_before=held_before)

    assert _run(arbiter, 0.0, 2.0, speed_mps=speed_mps, mode=mode) == []
    assert _state(arbiter) is State.RELEASED


@pytest.mark.parametrize("command", ["stop", "emergency_stop"])
@pytest.mark.parametrize("held_before", [False, True])
def test_a_car_in_external_control_can_always_be_stopped(command: str, held_before: bool) -> None:
    """Whoever drives it: an agent that is not in control stops it when it is told to."""
    arbiter = _arbiter(held_before=held_before)
    arbiter.observe(ego(5.0), 0.1)

    denied = arbiter.stop(None, 0.2) if command == "stop" else arbiter.emergency_stop(0.2)
    sent = _run(arbiter, 0.2, 1.2, speed_mps=5.0)
    _run(arbiter, 1.2, 2.0)

    assert denied is None
    assert {longitudinal(message) for message in sent} == {FULL_BRAKE}
    assert {message.control_mode for message in sent} == {CommandMode.EXTERNAL}
    assert arbiter.is_at_rest


def test_a_rolling_car_of_unknown_mode_can_be_stopped_and_a_standing_one_not() -> None:
    """Without a reported mode, motion is what makes a stop urgent."""
    rolling, standing = _arbiter(), _arbiter()
    rolling.observe(ego(5.0, None), 0.1)
    standing.observe(ego(0.0, None), 0.1)

    assert rolling.stop(None, 0.2) is None
    assert standing.stop(None, 0.2) is not None


@pytest.mark.parametrize(
    ("held_before", "mode", "stops"),
    [
        (True, DriveMode.EXTERNAL, 5),
        (True, DriveMode.KEYBOARD, 0),
        (False, DriveMode.EXTERNAL, 0),
    ],
)
def test_shutdown_brakes_what_an_agent_left_in_external_control(
    held_before: bool, mode: DriveMode, stops: int
) -> None:
    """Also a car that stands gets a brake in place of the command that may be in force."""
    arbiter = _arbiter(held_before=held_before)
    arbiter.observe(ego(0.0, mode), 0.1)

    assert len(arbiter.shutdown(0.2)) == stops


def test_the_agent_answers_for_the_car_until_it_was_seen_standing() -> None:
    """Engaging begins it; a person ends it only for a car that has a brake in force."""
    arbiter = _arbiter()
    held = [arbiter.is_held]
    arbiter.engage(0.0)
    held.append(arbiter.is_held)
    _run(arbiter, 0.0, 1.0)
    _run(arbiter, 1.0, 1.1, mode=DriveMode.KEYBOARD)
    held.append(arbiter.is_held)
    arbiter.resume(1.1)
    _run(arbiter, 1.1, 2.0)
    arbiter.drive(CRUISE, 60.0, 2.0)
    _run(arbiter, 2.0, 3.0, speed_mps=5.0)
    _run(arbiter, 3.0, 3.1, speed_mps=5.0, mode=DriveMode.KEYBOARD)
    held.append(arbiter.is_held)
    arbiter.shutdown(3.1)
    held.append(arbiter.is_held)

    assert held == [False, True, False, True, True]


# -- a link that is dead in silence --------------------------------------------------------------


def test_a_drive_command_ends_when_the_broker_does_not_answer() -> None:
    """Three seconds after the oldest unanswered message the car is stopped, to the millisecond."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    arbiter.set_unanswered(1.5, 1.6)
    _run(arbiter, 1.6, 4.49, speed_mps=5.0)
    assert _state(arbiter) is State.COMMAND
    assert arbiter.deadline_s <= 4.5

    _run(arbiter, 4.49, 4.51, speed_mps=5.0)

    assert _state(arbiter) is State.STOPPING
    denied = arbiter.drive(CRUISE, 60.0, 5.0)
    assert denied is not None
    assert denied.reason == "LINK_LOST"


@pytest.mark.parametrize("how", ["answered", "reconnected", "stream"])
def test_a_link_that_answers_or_is_not_needed_does_not_stop_the_car(how: str) -> None:
    """An answer and a new connection clear the debt, and the stream has its own dead-man."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    arbiter.set_unanswered(1.0, 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0)
    if how == "answered":
        arbiter.set_unanswered(None, 2.0)
    elif how == "reconnected":
        arbiter.set_link(up=True, mono_s=2.0)
    else:
        arbiter.set_point(_point(valid_for_s=60.0), 2.0)
    for index in range(1, 40):
        if how == "stream":
            arbiter.set_point(_point(index), 2.0 + index * 0.1)
        _run(arbiter, 2.0 + (index - 1) * 0.1, 2.0 + index * 0.1, speed_mps=5.0)

    assert _state(arbiter) in {State.COMMAND, State.STREAM}


def test_shutdown_stops_a_driven_car_with_a_burst() -> None:
    """Five stops one control period apart, then more until the car stands, then nothing."""
    arbiter = _engaged()
    arbiter.drive(CRUISE, 60.0, 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=5.0)

    burst = arbiter.shutdown(2.0)
    following = _run(arbiter, 2.0, 2.5, speed_mps=3.0)
    _run(arbiter, 2.5, 2.6, speed_mps=0.0)

    assert [output.delay_s for output in burst] == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert {longitudinal(message) for message in controls(burst)} == {FULL_BRAKE}
    assert {message.control_mode for message in controls(burst)} == {CommandMode.EXTERNAL}
    assert {longitudinal(message) for message in following} == {FULL_BRAKE}
    assert arbiter.is_closed
    assert arbiter.step(9.0) == []
    denied = arbiter.emergency_stop(9.0)
    assert denied is not None
    assert denied.reason == "SHUTTING_DOWN"


@pytest.mark.parametrize("who", ["nobody", "person"])
def test_shutdown_leaves_a_car_alone_that_it_does_not_control(who: str) -> None:
    """An agent that never engaged, or lost the car to a person, ends without a datagram."""
    arbiter = _arbiter()
    if who == "person":
        arbiter = _engaged()
        _run(arbiter, 1.0, 1.1, mode=DriveMode.KEYBOARD)

    assert arbiter.shutdown(2.0) == []
    assert arbiter.is_closed


def test_a_stalled_caller_does_not_cause_a_burst_or_a_late_push() -> None:
    """Stepping two seconds late sends one stop and no packet of the command that timed out."""
    arbiter = _engaged()
    arbiter.set_point(_point(), 1.0)
    arbiter.step(1.0)
    arbiter.observe(ego(5.0), 2.95)

    sent = controls(arbiter.step(3.0))

    assert [longitudinal(message) for message in sent] == [FULL_BRAKE]
    assert controls(arbiter.step(3.0 + PERIOD_S / 2)) == []


def test_transitions_say_what_led_to_what() -> None:
    """The record of a drive that the dead-man ended names each cause in order."""
    arbiter = _engaged()
    arbiter.set_point(_point(), 1.0)
    _run(arbiter, 1.0, 2.0, speed_mps=0.0)

    assert [(item.cause.name, item.after.name) for item in arbiter.transitions] == [
        ("ENGAGE", "ENGAGING"),
        ("MODE_EXTERNAL", "STOPPING"),
        ("STANDSTILL", "HOLDING"),
        ("SET_POINT", "STREAM"),
        ("STREAM_SILENT", "STOPPING"),
        ("STANDSTILL", "HOLDING"),
    ]


@pytest.mark.parametrize(
    ("named", "make"),
    [
        ("control_rate_hz", lambda: ArbiterSettings(control_rate_hz=0.5)),
        ("control_rate_hz", lambda: ArbiterSettings(control_rate_hz=61)),
        ("dead_man_s", lambda: ArbiterSettings(dead_man_s=0)),
        ("dead_man_s", lambda: ArbiterSettings(dead_man_s=6)),
        ("min_stop_datagrams", lambda: ArbiterSettings(min_stop_datagrams=0)),
        ("rolling_mps", lambda: ArbiterSettings(rolling_mps=0.1)),
        ("link_silent_s", lambda: ArbiterSettings(link_silent_s=0)),
        ("release_timeout_s", lambda: ArbiterSettings(release_timeout_s=math.inf)),
        ("simulator_silent_s", lambda: ArbiterSettings(simulator_silent_s=math.nan)),
    ],
)
def test_settings_out_of_range_are_refused(named: str, make: Callable[[], ArbiterSettings]) -> None:
    """A setting that would take the safety out is a configuration error naming it."""
    with pytest.raises(ConfigurationError, match=named):
        make()
