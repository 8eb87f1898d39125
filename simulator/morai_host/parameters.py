"""The simulated car in numbers: size, steering, tyres, brakes, drive.

Owns the defaults and their plausibility. It must not know how the numbers are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from certs.errors import ConfigurationError

STANDARD_GRAVITY_MPS2 = 9.80665


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleParameters:
    """A passenger car.

    The dimensions are the published ones of a Hyundai Ioniq (AE). The 36.25 degree wheel angle is
    the value of MORAI's drive example for that car. The ramp limits are those the MORAI SIM: Drive
    manual states for target velocity since 23.R1. Everything else is a typical figure for a
    battery-electric compact car on dry asphalt.

    Attributes:
        length_m: Overall length.
        width_m: Overall width without mirrors.
        height_m: Overall height.
        wheelbase_m: Distance between the axles.
        front_overhang_m: Front axle to front end.
        rear_overhang_m: Rear axle to rear end.
        mass_kg: Mass with driver.
        max_wheel_angle_rad: Front road-wheel angle at full lock; what a normalised steer of 1 is.
        max_wheel_rate_radps: How fast the road wheels can turn.
        friction: Tyre friction coefficient; the sum of longitudinal and lateral acceleration
            never leaves the circle of friction times gravity.
        max_drive_mps2: Acceleration with the pedal floored at low speed.
        power_w: Drive power, which limits acceleration at speed.
        max_brake_mps2: Deceleration with the brake pedal floored.
        park_lock_mps2: Deceleration by the parking lock while the car still rolls.
        rolling_mps2: Deceleration by rolling resistance.
        drag_per_m: Deceleration by air drag over speed squared.
        engine_brake_mps2: Deceleration in gear with the accelerator released; twice that in L.
        max_speed_mps: Target velocities above this are cut to it.
        max_reverse_mps: The drive stops pushing at this speed in R.
        ramp_up_mps2: Speed gain of the target-velocity controller.
        ramp_down_mps2: Speed loss of the target-velocity controller.
    """

    length_m: float = 4.47
    width_m: float = 1.82
    height_m: float = 1.45
    wheelbase_m: float = 2.70
    front_overhang_m: float = 0.88
    rear_overhang_m: float = 0.89
    mass_kg: float = 1500.0
    max_wheel_angle_rad: float = math.radians(36.25)
    max_wheel_rate_radps: float = 0.8
    friction: float = 0.9
    max_drive_mps2: float = 3.5
    power_w: float = 100_000.0
    max_brake_mps2: float = 8.0
    park_lock_mps2: float = 6.0
    rolling_mps2: float = 0.1
    drag_per_m: float = 0.00022
    engine_brake_mps2: float = 0.3
    max_speed_mps: float = 50.0
    max_reverse_mps: float = 8.0
    ramp_up_mps2: float = 1.0
    ramp_down_mps2: float = 2.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigurationError(f"vehicle {name} must be a positive number, not {value}")
        if self.max_wheel_angle_rad >= math.pi / 2:
            raise ConfigurationError("vehicle max_wheel_angle_rad must be below a right angle")

    @property
    def grip_mps2(self) -> float:
        """Radius of the friction circle."""
        return self.friction * STANDARD_GRAVITY_MPS2

    @property
    def centre_ahead_m(self) -> float:
        """Distance of the body's centre ahead of the rear axle."""
        return self.length_m / 2.0 - self.rear_overhang_m
