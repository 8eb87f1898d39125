"""The cars of a fleet as arrays: what the rest of the load tester reads of their motion.

Owns the interface and the subdivision of time. How cars move is up to the subclasses; the arrays
are the only thing a reader needs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from simulator.fleet.noise import SensorNoise

MAX_STEP_S: Final = 0.2
"""Longest step of the model; a longer one is divided evenly."""

STANDARD_GRAVITY_MPS2: Final = 9.80665


class Cars(ABC):
    """Cars 0 to `count - 1`, all at the same moment.

    The arrays have shape (count,) unless said otherwise. They may be replaced by `advance`, so
    fetch them again after it, and never write to them.

    Args:
        count: How many cars.
        noise: What their sensors add, or None for perfect sensors.

    Attributes:
        count: How many cars.
        now_s: Run time of the arrays.
        latitude_deg: WGS 84.
        longitude_deg: WGS 84.
        altitude_m: As the source of the motion gives it.
        heading_rad: Clockwise from true north, from 0 to below 2 pi.
        speed_mps: Never negative.
        acceleration_mps2: Along the road.
        yaw_rate_radps: Positive to the left.
        gnss_latitude_deg: What the receiver says.
        gnss_longitude_deg: What the receiver says.
        gnss_altitude_m: What the receiver says.
        imu_acceleration_mps2: Specific force, x forward, y left, z up with gravity in it, shape
            (count, 3).
        imu_rate_radps: Angular velocity about the same axes, shape (count, 3).
        position_m: East and north in the motion's local frame, shape (count, 2).
    """

    def __init__(self, count: int, noise: SensorNoise | None) -> None:
        self.count = count
        self.now_s = 0.0
        self._noise = noise
        self.latitude_deg = np.zeros(count)
        self.longitude_deg = np.zeros(count)
        self.altitude_m = np.zeros(count)
        self.heading_rad = np.zeros(count)
        self.speed_mps = np.zeros(count)
        self.acceleration_mps2 = np.zeros(count)
        self.yaw_rate_radps = np.zeros(count)
        self.gnss_latitude_deg = self.latitude_deg
        self.gnss_longitude_deg = self.longitude_deg
        self.gnss_altitude_m = self.altitude_m
        self.imu_acceleration_mps2 = np.zeros((count, 3))
        self.imu_acceleration_mps2[:, 2] = STANDARD_GRAVITY_MPS2
        self.imu_rate_radps = np.zeros((count, 3))
        self.position_m = np.zeros((count, 2))

    def advance(self, to_s: float) -> None:
        """Move all cars to run time `to_s`; a time that is not later than the present does nothing.

        The result depends on the arguments of `build` and the sequence of times only. A step longer
        than `MAX_STEP_S` is divided, and costs accordingly.
        """
        span_s = to_s - self.now_s
        if not span_s > 0.0:
            return
        steps = max(1, math.ceil(span_s / MAX_STEP_S - 1e-9))
        for _ in range(steps):
            self._step(span_s / steps)
        self.now_s = to_s
        self._report()
        self._sense(span_s)

    def set_speed(self, index: int, speed_mps: float | None) -> None:
        """Tell a car to drive at most this fast: 0 stops it, None sets it free.

        It brakes and accelerates as it always does and keeps every other rule. Cars that follow a
        recording, and parked cars, are not moved by it.

        Raises:
            IndexError: There is no such car.
            ValueError: The speed is negative or no number.
        """
        if not 0 <= index < self.count:
            raise IndexError(index)
        if speed_mps is not None and not speed_mps >= 0.0:
            raise ValueError(f"a speed cannot be {speed_mps}")
        self._command(index, math.inf if speed_mps is None else speed_mps)

    @abstractmethod
    def _step(self, dt_s: float) -> None:
        """Move on by at most `MAX_STEP_S`."""

    @abstractmethod
    def _report(self) -> None:
        """Bring the arrays without noise up to the present."""

    @abstractmethod
    def _command(self, index: int, speed_mps: float) -> None:
        """Obey `set_speed`, or not; infinity means free."""

    def _sense(self, span_s: float) -> None:
        """Bring the arrays of the sensors up to the present."""
        force, rate = self.imu_acceleration_mps2, self.imu_rate_radps
        force[:, 0] = self.acceleration_mps2
        np.multiply(self.speed_mps, self.yaw_rate_radps, out=force[:, 1])
        force[:, 2] = STANDARD_GRAVITY_MPS2
        rate[:, 2] = self.yaw_rate_radps
        if self._noise is None:
            self.gnss_latitude_deg = self.latitude_deg
            self.gnss_longitude_deg = self.longitude_deg
            self.gnss_altitude_m = self.altitude_m
        else:
            rate[:, :2] = 0.0
            self._noise.advance(span_s)
            self.gnss_latitude_deg, self.gnss_longitude_deg, self.gnss_altitude_m = self._noise.fix(
                self.latitude_deg, self.longitude_deg, self.altitude_m
            )
            self._noise.inertial(force, rate)
