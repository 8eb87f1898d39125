"""From a scenario's choice of motion to the cars.

Owns the dispatch, the relation of cars to road length, and the seeds. Everything random comes from
the seed: a car's start, route and stops from the seed and its number, the noise of the sensors from
the seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from agent.vehicle.frames import MapFrame
from simulator.fleet import city, lines, mgeo, recorded
from simulator.fleet.network import Pace
from simulator.fleet.noise import SensorNoise
from simulator.fleet.parked import ParkedCars
from simulator.fleet.places import Places, local_frame_text
from simulator.fleet.recorded import RecordedCars
from simulator.fleet.traffic import SLOT_M, RoadCars
from simulator.scenario.motion import (
    CityMotion,
    LineMotion,
    MgeoMotion,
    ParkedMotion,
    RecordingMotion,
)

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.fleet.arrays import FloatArray, IntArray
    from simulator.fleet.cars import Cars
    from simulator.fleet.network import RoadNetwork
    from simulator.scenario.motion import Motion

ROAD_PER_CAR_M: Final = 100.0
"""Cars beyond one per this much road drive on another layer, where they do not see the others."""

_PLACEMENT, _NOISE = 1, 2  # purposes of generators


def build(motion: Motion, count: int, *, seed: int, base: Path) -> Cars:
    """Make the cars of a group, at run time 0.

    Args:
        motion: How they move.
        count: How many.
        seed: Same seed, same motion. Where car i starts and which way it goes depends on the seed
            and i, not on `count`; only how long it waits for others does.
        base: Folder that relative paths in `motion` start from.

    Raises:
        ConfigurationError: A file that `motion` names is missing, too large or not what it should
            be; the error names file and key.
    """
    if count < 1:
        raise ValueError(f"{count} cars cannot drive")
    if isinstance(motion, ParkedMotion):
        return ParkedCars(motion, count, seed)
    if isinstance(motion, RecordingMotion):
        return RecordedCars(
            recorded.load(motion.path, base),
            count,
            seed=seed,
            spread_m=motion.spread_m,
            make_noise=lambda north, east: _noise(motion, count, seed, (north, east)),
        )
    network, frame = _roads(motion, seed, base)
    places = Places(frame, network.extent_m())
    slots = _Slots(network)
    return RoadCars(
        network.layered(math.ceil(count / slots.capacity)),
        places,
        slots.starts(count, seed),
        seed=seed,
        accelerate_mps2=motion.accelerate_mps2,
        stop_s=0.0 if isinstance(motion, LineMotion) else motion.stop_s,
        noise=_noise(motion, count, seed, (places.north_deg_per_m, places.east_deg_per_m)),
    )


def _roads(
    motion: CityMotion | MgeoMotion | LineMotion, seed: int, base: Path
) -> tuple[RoadNetwork, MapFrame]:
    pace = Pace(motion.lateral_mps2, motion.brake_mps2)
    if isinstance(motion, LineMotion):
        return lines.build(
            base / motion.path, closed=motion.closed, limit_mps=motion.speed_limit, pace=pace
        )
    if isinstance(motion, MgeoMotion):
        return mgeo.build(
            base / motion.path,
            limit_mps=motion.speed_limit,
            stop_share=motion.stop_share,
            seed=seed,
            pace=pace,
        )
    network = city.build(
        motion.blocks,
        motion.block_m,
        limit_mps=motion.speed_limit,
        stop_share=motion.stop_share,
        pace=pace,
    )
    origin = motion.origin
    return network, MapFrame(local_frame_text(origin.latitude_deg, origin.longitude_deg))


class _Slots:
    """Where drives may begin on one layer of a network.

    Attributes:
        capacity: How many cars one layer takes.
    """

    def __init__(self, network: RoadNetwork) -> None:
        self._links = network.count
        room_m = np.where(network.links.entry, network.stop_m, 0.0)
        slots = (room_m / SLOT_M).astype(np.int64)
        if not slots.any():
            slots[int(np.argmax(room_m))] = 1
        self._link = np.repeat(np.arange(network.count), slots)
        number = np.arange(len(self._link)) - np.repeat(np.cumsum(slots) - slots, slots)
        self._along_m = room_m[self._link] * (number + 0.5) / slots[self._link]
        road_m = float(network.length_m[network.links.entry].sum())
        self.capacity = min(max(1, int(road_m / ROAD_PER_CAR_M)), len(self._link))

    def starts(self, count: int, seed: int) -> tuple[IntArray, FloatArray]:
        """Link and position of each car, in an order that does not depend on `count`."""
        links, along_m = [], []
        for layer, first in enumerate(range(0, count, self.capacity)):
            generator = np.random.default_rng([_unsigned(seed), _PLACEMENT, layer])
            mine = generator.permutation(len(self._link))[: min(self.capacity, count - first)]
            links.append(self._link[mine] + layer * self._links)
            along_m.append(self._along_m[mine])
        return np.concatenate(links), np.concatenate(along_m)


def _unsigned(seed: int) -> int:
    return seed & 0xFFFFFFFFFFFFFFFF


def _noise(
    motion: CityMotion | MgeoMotion | LineMotion | RecordingMotion,
    count: int,
    seed: int,
    deg_per_m: tuple[FloatArray | float, FloatArray | float],
) -> SensorNoise | None:
    if not motion.gnss_noise_m and not motion.imu_noise:
        return None
    return SensorNoise(
        count,
        np.random.Generator(np.random.SFC64([_unsigned(seed), _NOISE])),
        gnss_m=motion.gnss_noise_m,
        imu=motion.imu_noise,
        deg_per_m=deg_per_m,
    )
