"""The control modes, row by row."""

import pytest

from agent.morai import Gear, StatusMode
from simulator.morai_host.control import Command, Control, Obedience
from simulator.morai_host.keyboard import press
from simulator.morai_host.longitudinal import Demand

BUILT_IN, KEYBOARD, EXTERNAL = StatusMode.BUILT_IN, StatusMode.KEYBOARD, StatusMode.EXTERNAL
COMMAND = Command(gear=Gear.D, demand=Demand(accel_pedal=0.4), wheel_target_rad=0.1)


@pytest.mark.parametrize(
    ("before", "ctrl_mode", "after", "outcome"),
    [
        (KEYBOARD, 0, KEYBOARD, Obedience.NOT_EXTERNAL),
        (BUILT_IN, 0, BUILT_IN, Obedience.NOT_EXTERNAL),
        (EXTERNAL, 0, EXTERNAL, Obedience.OBEYED),
        (KEYBOARD, 1, KEYBOARD, Obedience.HANDED_TO_KEYBOARD),
        (BUILT_IN, 1, KEYBOARD, Obedience.HANDED_TO_KEYBOARD),
        (EXTERNAL, 1, KEYBOARD, Obedience.HANDED_TO_KEYBOARD),
        (KEYBOARD, 2, EXTERNAL, Obedience.OBEYED),
        (BUILT_IN, 2, EXTERNAL, Obedience.OBEYED),
        (EXTERNAL, 2, EXTERNAL, Obedience.OBEYED),
        (KEYBOARD, 3, KEYBOARD, Obedience.UNKNOWN_MODE),
        (EXTERNAL, 16, EXTERNAL, Obedience.UNKNOWN_MODE),
        (BUILT_IN, -1, BUILT_IN, Obedience.UNKNOWN_MODE),
    ],
)
def test_rules(before: StatusMode, ctrl_mode: int, after: StatusMode, outcome: Obedience) -> None:
    """Each row of the table: mode before, command's mode, mode after, what became of it."""
    control = Control(mode=before)
    assert control.receive(ctrl_mode, COMMAND) is outcome
    assert control.mode is after
    assert (control.external == COMMAND) == (outcome is Obedience.OBEYED)


def test_takeover_cycles() -> None:
    """`Q` goes from manual to built-in to external and back to manual."""
    control = Control(mode=KEYBOARD)
    assert [control.take_over() for _ in range(4)] == [BUILT_IN, EXTERNAL, KEYBOARD, BUILT_IN]


def test_command_with_mode_external_cancels_a_takeover() -> None:
    """Mode 2 takes the car away from the person who pressed `Q`; mode 0 does not."""
    control = Control(mode=EXTERNAL)
    control.take_over()
    control.receive(0, COMMAND)
    assert control.mode is KEYBOARD
    control.receive(2, COMMAND)
    assert control.mode is EXTERNAL


def test_last_command_latches_through_a_takeover() -> None:
    """There is no watchdog: handed back, the car does what it was last told."""
    control = Control(mode=EXTERNAL)
    control.receive(2, COMMAND)
    for _ in range(3):
        control.take_over()
    assert control.mode is EXTERNAL
    assert control.command == COMMAND


def test_person_takes_over_with_pedals_up() -> None:
    """Keyboard mode begins with released pedals in the gear that is in."""
    control = Control(mode=EXTERNAL)
    control.receive(2, COMMAND)
    control.receive(1, COMMAND)
    assert control.command == Command(gear=Gear.D)


def test_keys_drive_the_car() -> None:
    """Keys select gear, pedals and steer, and only known keys do anything."""
    control = Control()
    assert all(press(key, control) for key in "fwwa")
    assert control.command.gear is Gear.D
    assert control.command.demand.accel_pedal == pytest.approx(0.4)
    assert control.command.wheel_target_rad == pytest.approx(0.05)
    assert press("s", control)
    assert control.command.demand.accel_pedal == 0.0
    assert press(" ", control)
    assert control.command.wheel_target_rad == 0.0
    assert not press("x", control)
    assert press("q", control)
    assert control.mode is BUILT_IN
