"""What the keys of the simulator's keyboard do.

Owns the key map. It must not read a terminal.

    q        hand over: keyboard, built-in, external
    w, s     accelerator, brake: one more notch, and the other pedal up
    a, d     steer left, right: one more notch
    space    pedals up and wheels straight
    f n r p  gear D, N, R, P
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.morai import Gear
from simulator.morai_host.longitudinal import RELEASED, Demand

if TYPE_CHECKING:
    from simulator.morai_host.control import Command, Control

PEDAL_NOTCH = 0.2
STEER_NOTCH_RAD = 0.05
MAX_STEER_RAD = 0.6

_GEARS = {"f": Gear.D, "n": Gear.N, "r": Gear.R, "p": Gear.P}


def press(key: str, control: Control) -> bool:
    """Press a key; `False` when it means nothing.

    The keyboard's command changes in every mode and takes effect in keyboard mode.
    """
    if key == "q":
        control.take_over()
        return True
    command = _after(key, control.keyboard)
    if command is None:
        return False
    control.keyboard = command
    return True


def _after(key: str, command: Command) -> Command | None:
    demand = command.demand
    if key in _GEARS:
        return replace(command, gear=_GEARS[key])
    if key == "w":
        return replace(command, demand=Demand(accel_pedal=_notch(demand.accel_pedal)))
    if key == "s":
        return replace(command, demand=Demand(brake_pedal=_notch(demand.brake_pedal)))
    if key in {"a", "d"}:
        turn = STEER_NOTCH_RAD if key == "a" else -STEER_NOTCH_RAD
        wheel = min(max(command.wheel_target_rad + turn, -MAX_STEER_RAD), MAX_STEER_RAD)
        return replace(command, wheel_target_rad=wheel)
    if key == " ":
        return replace(command, demand=RELEASED, wheel_target_rad=0.0)
    return None


def _notch(pedal: float) -> float:
    return min(1.0, pedal + PEDAL_NOTCH)
