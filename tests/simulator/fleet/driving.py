"""Runs of a fleet for the tests: every sample of what its cars showed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulator.fleet import build

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.fleet import Cars
    from simulator.scenario.motion import Motion

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Drive:
    """What cars did; the first index is the sample, the second the car."""

    dt_s: float
    position_m: NDArray[np.float64]
    heading_rad: NDArray[np.float64]
    speed_mps: NDArray[np.float64]
    acceleration_mps2: NDArray[np.float64]
    yaw_rate_radps: NDArray[np.float64]


def drive(
    motion: Motion,
    count: int,
    seconds: float,
    *,
    seed: int = 1,
    dt_s: float = 0.1,
    base: Path = HERE,
) -> Drive:
    """Build cars, let them drive, and note everything."""
    return follow(build(motion, count, seed=seed, base=base), seconds, dt_s)


def follow(cars: Cars, seconds: float, dt_s: float = 0.1) -> Drive:
    """Let cars drive on, and note everything."""
    start_s = cars.now_s
    rows = []
    for step in range(1, round(seconds / dt_s) + 1):
        cars.advance(start_s + step * dt_s)
        rows.append(
            (
                cars.position_m.copy(),
                cars.heading_rad.copy(),
                cars.speed_mps.copy(),
                cars.acceleration_mps2.copy(),
                cars.yaw_rate_radps.copy(),
            )
        )
    return Drive(dt_s, *(np.stack(column) for column in zip(*rows, strict=True)))
