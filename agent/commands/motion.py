"""What somebody wants the car to do, in SI units, whoever asked and however it was carried.

Owns the value types that a drive command and a set point of the drive stream are both turned into.
Knows no limits, no wire and no time.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

# What any car could mean. Beyond this a number is a mistake, whatever the limits of this car.
MAX_SPEED_MPS: Final = 150.0
MAX_ACCELERATION_MPS2: Final = 15.0
MAX_STEER_RAD: Final = 1.57


class TargetSpeed(msgspec.Struct, frozen=True, gc=False):
    """Reach and hold a speed; the simulator's own controller does it.

    Attributes:
        speed_mps: Forward speed, 0 or more.
    """

    speed_mps: float


class TargetAcceleration(msgspec.Struct, frozen=True, gc=False):
    """Hold an acceleration.

    Attributes:
        acceleration_mps2: Positive speeds up, negative slows down.
    """

    acceleration_mps2: float


class Pedals(msgspec.Struct, frozen=True, gc=False):
    """Hold the pedals.

    Attributes:
        accel_pedal: 0 released to 1 floored.
        brake_pedal: 0 released to 1 floored.
    """

    accel_pedal: float
    brake_pedal: float


Longitudinal: TypeAlias = TargetSpeed | TargetAcceleration | Pedals

FULL_BRAKE: Final = Pedals(0.0, 1.0)


class Motion(msgspec.Struct, frozen=True, gc=False):
    """One wish for both directions of motion.

    Attributes:
        longitudinal: What to do along the road.
        steer_rad: Front road-wheel angle, positive to the left.
    """

    longitudinal: Longitudinal
    steer_rad: float = 0.0


def asks_for_standstill(motion: Motion) -> bool:
    """Whether nothing in a motion pushes the car: who sends it has let go."""
    match motion.longitudinal:
        case TargetSpeed(speed_mps=wanted):
            return wanted == 0
        case TargetAcceleration(acceleration_mps2=wanted):
            return wanted <= 0
        case Pedals(accel_pedal=accel):
            return accel == 0
