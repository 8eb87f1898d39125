"""Ego Ctrl Cmd, `#MoraiCtrlCmd$`: the command that drives the car.

Owns the message and the byte tables of its generations C0 to C2. It must not know who may send
one or how often. The simulator has no watchdog: the last command stays in force, so whoever sends
these has to send an explicit stop as well.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/EgoCtrlCmd.py` (C1);
MORAI-NetworkModule 26.R1 (C2); MORAI SIM: Drive user manual 24.R2, "UDP communication message".
"""

from __future__ import annotations

import msgspec

from agent.morai.enums import Direction, EgoControlVariant, LongitudinalType
from agent.morai.layout import Layout
from agent.morai.table import F32, I8, Field, Pad

NAME = b"#MoraiCtrlCmd$"


class EgoControl(msgspec.Struct, frozen=True, gc=False):
    """A control command in wire units.

    Attributes:
        variant: Generation of the datagram. C0 carries pedals and steering only, so there
            `longitudinal_type` must be `THROTTLE` and velocity and acceleration 0.
        control_mode: See `CommandMode`.
        gear: See `Gear`.
        longitudinal_type: Which of the next four fields counts, see `LongitudinalType`.
        velocity_kmh: Target speed, used with `VELOCITY`.
        acceleration_mps2: Target acceleration, used with `ACCELERATION`.
        accel_pedal: 0 to 1, used with `THROTTLE`.
        brake_pedal: 0 to 1, used with `THROTTLE`.
        steer_norm: Wheel angle over the largest wheel angle, -1 to 1. Which sign is left is
            `Dialect.command_steer_sign`.
        rear_steer_norm: The same for the rear wheels (C2 only, else `None`).
    """

    variant: EgoControlVariant
    control_mode: int
    gear: int
    longitudinal_type: int = LongitudinalType.THROTTLE
    velocity_kmh: float = 0.0
    acceleration_mps2: float = 0.0
    accel_pedal: float = 0.0
    brake_pedal: float = 0.0
    steer_norm: float = 0.0
    rear_steer_norm: float | None = None


_FIELDS_C1 = (
    Field(30, I8, "control_mode", "", "0 keep, 1 keyboard, 2 external"),
    Field(31, I8, "gear", "", "0 M, 1 P, 2 R, 3 N, 4 D, 5 L"),
    Field(32, I8, "longitudinal_type", "", "1 throttle, 2 velocity, 3 acceleration"),
    Field(33, F32, "velocity_kmh", "km/h", "used with type 2"),
    Field(37, F32, "acceleration_mps2", "m/s^2", "used with type 3"),
    Field(41, F32, "accel_pedal", "1", "0 to 1, used with type 1"),
    Field(45, F32, "brake_pedal", "1", "0 to 1, used with type 1"),
    Field(49, F32, "steer_norm", "1", "-1 to 1, sign not documented"),
)
_FIELDS_C2 = (*_FIELDS_C1, Field(53, F32, "rear_steer_norm", "1", "-1 to 1"))
_FIELDS_C0 = (
    # Mode and gear lie in the twelve bytes between length and payload, at their start.
    Field(18, I8, "control_mode", "", "1 keyboard, 2 external"),
    Field(19, I8, "gear", "", "0 M, 1 P, 2 R, 3 N, 4 D, 5 L"),
    Field(20, Pad(10), "unused"),
    Field(30, F32, "accel_pedal", "1", "0 to 1"),
    Field(34, F32, "brake_pedal", "1", "0 to 1"),
    Field(38, F32, "steer_norm", "1", "-1 to 1, sign not documented"),
)

LAYOUTS = {
    EgoControlVariant.C0: Layout(
        EgoControl,
        NAME,
        44,
        _FIELDS_C0,
        data_length=12,
        direction=Direction.TO_SIMULATOR,
        label="C0",
        constants={
            "variant": EgoControlVariant.C0,
            "longitudinal_type": LongitudinalType.THROTTLE,
            "velocity_kmh": 0.0,
            "acceleration_mps2": 0.0,
        },
    ),
    EgoControlVariant.C1: Layout(
        EgoControl,
        NAME,
        55,
        _FIELDS_C1,
        data_length=23,
        direction=Direction.TO_SIMULATOR,
        label="C1",
        constants={"variant": EgoControlVariant.C1},
    ),
    EgoControlVariant.C2: Layout(
        EgoControl,
        NAME,
        59,
        _FIELDS_C2,
        data_length=27,
        direction=Direction.TO_SIMULATOR,
        label="C2",
        constants={"variant": EgoControlVariant.C2},
    ),
}
"""The byte table of each generation."""
