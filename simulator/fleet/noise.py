"""What the sensors of all cars add to the truth.

Owns two error models. A satellite fix wanders: a first-order Gauss-Markov process (Gelb 1974,
"Applied Optimal Estimation", section 3.8) with a little white noise on top, as receivers with a
clear view show it. An inertial sensor has white noise and a bias that drifts as another such
process. One car's errors are independent of another's.

White noise is drawn at every step. The slow processes move in turns, one car in `_TURNS` per step
with the time since its last turn, which is exact for the process and costs an eighth.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from simulator.fleet.arrays import FloatArray

GNSS_CORRELATION_S: Final = 60.0
GNSS_WANDERING: Final = 0.9
"""Part of the variance of a fix that is wandering; the rest is white."""
GNSS_VERTICAL: Final = 1.7
"""Vertical over horizontal standard deviation; satellites are only above."""

# At factor 1, the order of a consumer MEMS unit (data sheets state 180 ug/sqrt(Hz) and
# 0.007 deg/s/sqrt(Hz), here over a bandwidth of 80 Hz) whose offset at start was calibrated away.
IMU_FORCE_WHITE_MPS2: Final = 0.016
IMU_FORCE_BIAS_MPS2: Final = 0.03
IMU_RATE_WHITE_RADPS: Final = 0.0011
IMU_RATE_BIAS_RADPS: Final = 0.002
IMU_CORRELATION_S: Final = 300.0

_TURNS: Final = 8


class SensorNoise:
    """Errors of `count` cars.

    Args:
        count: How many cars.
        generator: Where the noise comes from.
        gnss_m: Standard deviation of a fix to the east and to the north; 0 is a perfect receiver.
        imu: Factor on the inertial errors; 0 is a perfect unit.
        deg_per_m: Degrees of latitude per metre north and of longitude per metre east, numbers or
            shape (count,).
    """

    def __init__(
        self,
        count: int,
        generator: np.random.Generator,
        *,
        gnss_m: float,
        imu: float,
        deg_per_m: tuple[FloatArray | float, FloatArray | float],
    ) -> None:
        self._generator = generator
        self._gnss_m, self._imu = gnss_m, imu
        self._north_deg_per_m, self._east_deg_per_m = deg_per_m
        bounds = np.linspace(0, count, _TURNS + 1).astype(int)
        self._parts = [slice(a, b) for a, b in itertools.pairwise(bounds) if b > a]
        self._since_s = [0.0] * len(self._parts)
        self._turn = 0
        self._gnss_white = math.sqrt(1.0 - GNSS_WANDERING) * gnss_m
        self._gnss_slow = math.sqrt(GNSS_WANDERING) * gnss_m
        # Unit processes, started in their stationary distribution.
        self._wander = generator.standard_normal((count, 3)) if gnss_m else None
        self._bias = generator.standard_normal((count, 6)) if imu else None
        self._white = np.empty((count, 3))

    def advance(self, span_s: float) -> None:
        """Let the slow errors of the cars whose turn it is drift."""
        for part in range(len(self._parts)):
            self._since_s[part] += span_s
        if not self._parts:
            return
        part, self._turn = self._turn, (self._turn + 1) % len(self._parts)
        elapsed_s, self._since_s[part] = self._since_s[part], 0.0
        for process, correlation_s in (
            (self._wander, GNSS_CORRELATION_S),
            (self._bias, IMU_CORRELATION_S),
        ):
            if process is not None:
                keep = math.exp(-elapsed_s / correlation_s)
                mine = process[self._parts[part]]
                mine *= keep
                mine += math.sqrt(1.0 - keep * keep) * self._generator.standard_normal(mine.shape)

    def fix(
        self, latitude_deg: FloatArray, longitude_deg: FloatArray, altitude_m: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What receivers at these places say."""
        if self._wander is None:
            return latitude_deg, longitude_deg, altitude_m
        self._generator.standard_normal(out=self._white)
        error = self._gnss_white * self._white
        error += self._gnss_slow * self._wander
        return (
            latitude_deg + error[:, 1] * self._north_deg_per_m,
            longitude_deg + error[:, 0] * self._east_deg_per_m,
            altitude_m + error[:, 2] * GNSS_VERTICAL,
        )

    def inertial(self, force_mps2: FloatArray, rate_radps: FloatArray) -> None:
        """Add the errors of inertial units to true values, in place; shape (count, 3) each."""
        if self._bias is None:
            return
        for values, bias, white_size, bias_size in (
            (force_mps2, self._bias[:, :3], IMU_FORCE_WHITE_MPS2, IMU_FORCE_BIAS_MPS2),
            (rate_radps, self._bias[:, 3:], IMU_RATE_WHITE_RADPS, IMU_RATE_BIAS_RADPS),
        ):
            self._generator.standard_normal(out=self._white)
            error = (white_size * self._imu) * self._white
            error += (bias_size * self._imu) * bias
            np.add(values, error, out=values)
