"""The safety envelope: what the agent lets anybody do to the car.

Owns the limits and the two rules that apply them. A discrete command that asks for more is
*refused*, because its sender reads the answer and a silently weakened command is a different
command. A set point of the drive stream has no answer, so it is *clamped* and the clamping is
counted. The steering rate and the speed cap over pedals and accelerations depend on what the car
does at that moment; they apply to both, at the moment of sending. Braking is never limited.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from agent.commands.motion import Longitudinal, Motion, Pedals, TargetAcceleration, TargetSpeed
from certs.errors import ConfigurationError

# Limits are often typed as rounded degrees; a hair above is not an offence.
_SLACK: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far the car may be pushed.

    Attributes:
        max_speed_mps: Highest target speed; pedals and accelerations stop pushing above it.
        max_steer_rad: Largest road-wheel angle to either side.
        max_steer_rate_radps: How fast the commanded road-wheel angle may change.
        max_acceleration_mps2: Largest target acceleration. Deceleration is not limited.
        max_accel_pedal: Deepest accelerator position, 0 to 1.

    Raises:
        ConfigurationError: A limit is not a positive finite number.
    """

    max_speed_mps: float = 33.0
    max_steer_rad: float = 0.6
    max_steer_rate_radps: float = 1.5
    max_acceleration_mps2: float = 4.0
    max_accel_pedal: float = 1.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(
                    f"commands.{item.name} is {value!r}", "give a positive number"
                )

    def refusal(self, motion: Motion) -> str | None:
        """Say what a discrete command asks too much of, or `None` when it stays inside."""
        match motion.longitudinal:
            case TargetSpeed(speed_mps=wanted):
                excess = _excess("target_speed_mps", wanted, self.max_speed_mps)
            case TargetAcceleration(acceleration_mps2=wanted):
                excess = _excess("acceleration_mps2", wanted, self.max_acceleration_mps2)
            case Pedals(accel_pedal=wanted):
                excess = _excess("accel_pedal", wanted, self.max_accel_pedal)
        return excess or _excess("steer_rad", abs(motion.steer_rad), self.max_steer_rad)

    def clamp(self, motion: Motion) -> tuple[Motion, bool]:
        """Bring a set point inside.

        Returns:
            The motion inside the limits, and whether anything was changed.
        """
        if self.refusal(motion) is None:
            return motion, False
        longitudinal: Longitudinal
        match motion.longitudinal:
            case TargetSpeed(speed_mps=wanted):
                longitudinal = TargetSpeed(min(wanted, self.max_speed_mps))
            case TargetAcceleration(acceleration_mps2=wanted):
                longitudinal = TargetAcceleration(min(wanted, self.max_acceleration_mps2))
            case Pedals(accel_pedal=accel, brake_pedal=brake):
                longitudinal = Pedals(min(accel, self.max_accel_pedal), brake)
        steer_rad = max(-self.max_steer_rad, min(self.max_steer_rad, motion.steer_rad))
        return Motion(longitudinal, steer_rad), True

    def restrain(self, longitudinal: Longitudinal, speed_mps: float) -> Longitudinal:
        """Take the push out of pedals and accelerations while the car is at its speed limit.

        Args:
            longitudinal: What is wanted; a target speed passes, it was checked when it came in.
            speed_mps: Signed speed the car reports.
        """
        if abs(speed_mps) < self.max_speed_mps:
            return longitudinal
        match longitudinal:
            case TargetAcceleration(acceleration_mps2=wanted) if wanted > 0:
                return TargetAcceleration(0.0)
            case Pedals(accel_pedal=accel, brake_pedal=brake) if accel > 0:
                return Pedals(0.0, brake)
            case _:
                return longitudinal

    def slew(self, from_rad: float, to_rad: float, elapsed_s: float) -> float:
        """The road-wheel angle that may be commanded now.

        Args:
            from_rad: Angle commanded last.
            to_rad: Angle wanted.
            elapsed_s: Time since the last one was commanded, not negative.
        """
        reach = self.max_steer_rate_radps * max(0.0, elapsed_s)
        return max(from_rad - reach, min(from_rad + reach, to_rad))


def _excess(name: str, wanted: float, limit: float) -> str | None:
    if wanted <= limit + _SLACK:
        return None
    return f"{name} is limited to {limit:g} on this car, {wanted:g} was asked for"
