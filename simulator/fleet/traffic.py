"""Cars on a road network: who is where, who follows whom, how fast everybody goes.

Owns positions along links, the order of cars on each link, and the longitudinal model; every step
handles all cars with a fixed number of numpy operations. Crossings are `simulator.fleet.crossings`.

Each car has a speed it may reach at a place a little ahead, which is the least of what the road
allows there, of the braking curve to the next link, of the braking curve to a stop line, and of
what it was told. It follows the car in front by the Intelligent Driver Model (Treiber, Hennecke and
Helbing 2000, "Congested traffic states in empirical observations and microscopic simulations",
Physical Review E 62, 1805, equations 3 and 4). Overtaking does not exist, so cars on a link keep
their order, and the car in front changes only when somebody passes a link's end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.fleet.cars import Cars
from simulator.fleet.crossings import Crossings
from simulator.fleet.draws import Purpose, uniform
from simulator.fleet.network import BEND, CAR_LENGTH_M, YAW, X, Y, Z

if TYPE_CHECKING:
    from simulator.fleet.arrays import FloatArray, IntArray
    from simulator.fleet.network import RoadNetwork
    from simulator.fleet.noise import SensorNoise
    from simulator.fleet.places import Places

STANDSTILL_GAP_M: Final = 2.0
HEADWAY_S: Final = 1.2
_EXPONENT: Final = 4  # of the free-road term, as in the paper
LOOK_AHEAD_S: Final = 0.5
JERK_MPS3: Final = 10.0
HARD_BRAKE_MPS2: Final = 8.0
"""No car brakes harder; about what tyres give on a dry road."""
_SLOWEST_DRIVER: Final = 0.9  # drivers go at 0.9 to 1.0 of what is allowed
# While a car is this near behind the beginning of its link, cars that leave its former link another
# way still follow it, because the two paths have not parted yet.
_PARTING_M: Final = 10.0
_FAR_M: Final = 1e6
SLOT_M: Final = 15.0
"""Road per car when a drive begins."""


class RoadCars(Cars):
    """Cars that drive on roads.

    Args:
        network: The roads.
        places: Where they lie on Earth.
        start: Link and position along it where each car begins, shape (count,) each; no two cars of
            a link closer than `SLOT_M`.
        seed: Of the cars' choices.
        accelerate_mps2: Greatest acceleration.
        stop_s: Mean length of a stop at a crossing.
        noise: What sensors add.
    """

    def __init__(
        self,
        network: RoadNetwork,
        places: Places,
        start: tuple[IntArray, FloatArray],
        *,
        seed: int,
        accelerate_mps2: float,
        stop_s: float,
        noise: SensorNoise | None,
    ) -> None:
        count = len(start[0])
        super().__init__(count, noise)
        self.network = network
        self._places = places
        self._seed = seed
        self._accelerate = accelerate_mps2
        self._numbers = np.arange(count)
        temper = uniform(seed, Purpose.TEMPER, self._numbers, 0)
        self._temper = _SLOWEST_DRIVER + (1.0 - _SLOWEST_DRIVER) * temper
        self._told = np.full(count, np.inf)
        self._ahead_of = np.full(count, -1, np.int32)  # the car in front on the same link
        self._behind = np.full(count, -1, np.int32)
        self._newest = np.full(network.count, -1, np.int32)  # last car that entered each link
        self._left_last = np.full(network.count, -1, np.int32)  # last car that left each link
        self._scratch = np.zeros(network.count, np.int32)
        self._came_from = np.full(count, -1, np.int32)
        self._hop = np.zeros(count, np.int64)
        self.link = start[0].astype(np.int32)
        self.along_m = start[1].astype(np.float64)
        turns = network.turns
        self._turn = self._draw(self._numbers, self.link)
        self._next = turns.target[self._turn].astype(np.int32)
        self._turn_after = self._draw(self._numbers, self._next)
        self._length = np.zeros(count)
        self._stop_at = np.full(count, np.inf)
        self._point = np.zeros(count, np.int32)
        self._last = np.zeros(count, np.int32)
        self._per_m = np.zeros(count)
        self._exit_squared = np.zeros(count)
        self._origin = np.zeros((count, 2))
        self._direction = np.zeros((count, 3))
        self._crossings = Crossings(network, count, seed=seed, stop_s=stop_s)
        self._line_up()
        self._enter(self._numbers)
        self._report()
        self._sense(0.0)

    # One step

    def _step(self, dt_s: float) -> None:
        v, s, pace = self.speed_mps, self.along_m, self.network.pace
        braking = pace.planned_mps2

        # What may be driven half a second ahead.
        ahead = v * LOOK_AHEAD_S
        ahead += s
        index = (ahead * self._per_m).astype(np.int32)
        np.minimum(index, self._last, out=index)
        index += self._point
        squared = self.network.table.speed_squared.take(index)
        room = self._length - ahead
        np.maximum(room, 0.0, out=room)
        room *= 2.0 * braking
        room += self._exit_squared
        np.minimum(squared, room, out=squared)
        np.subtract(self._stop_at, ahead, out=room)
        np.maximum(room, 0.0, out=room)
        room *= 2.0 * braking
        np.minimum(squared, room, out=squared)
        target = np.sqrt(squared)
        target *= self._temper
        np.minimum(target, self._told, out=target)

        gap, closing = self._in_front()

        # The Intelligent Driver Model, with the target in place of the desired speed.
        wanted = v * closing
        wanted /= 2.0 * math.sqrt(self._accelerate * pace.brake_mps2)
        wanted += v * HEADWAY_S
        np.maximum(wanted, 0.0, out=wanted)
        wanted += STANDSTILL_GAP_M
        wanted /= np.maximum(gap, 0.1)
        wanted *= wanted
        free = v / np.maximum(target, 0.1)
        free *= free
        free *= free
        np.minimum(free, 1.0, out=free)
        a = 1.0 - free
        a -= wanted
        a *= self._accelerate
        target -= v
        target /= LOOK_AHEAD_S
        np.maximum(target, -pace.brake_mps2, out=target)
        np.minimum(a, target, out=a)

        jerk = JERK_MPS3 * dt_s
        np.minimum(a, self.acceleration_mps2 + jerk, out=a)
        np.maximum(a, self.acceleration_mps2 - jerk, out=a)
        np.maximum(a, -HARD_BRAKE_MPS2, out=a)
        faster = a * dt_s
        faster += v
        np.maximum(faster, 0.0, out=faster)
        # Never into where the car in front was when the step began, whatever the model says.
        np.minimum(faster, np.maximum(gap, 0.0) / dt_s, out=faster)
        moved = v + faster
        moved *= 0.5 * dt_s
        # Nor across the end of a link without leave.
        held = self._stop_at < np.inf
        np.minimum(
            moved, np.where(held, np.maximum(self._length - 0.01 - s, 0.0), np.inf), out=moved
        )
        self.acceleration_mps2 = (faster - v) / dt_s
        self.speed_mps = faster
        s += moved

        over = np.flatnonzero(s >= self._length)
        while len(over):
            self._cross(over)
            over = over[s[over] >= self._length[over]]
        self._crossings.step(
            along_m=s,
            speed_mps=self.speed_mps,
            length_m=self._length,
            stop_at_m=self._stop_at,
            front=self._ahead_of,
            turn=self._turn,
            newest=self._newest,
            moved_m=moved,
            dt_s=dt_s,
        )

    def _in_front(self) -> tuple[FloatArray, FloatArray]:
        """Gap to the car in front, bumper to bumper, and how fast it closes; shape (count,)."""
        s, v = self.along_m, self.speed_mps
        front = self._ahead_of
        gap = s.take(front)
        gap -= s
        closing = v - v.take(front)
        first = np.flatnonzero(front < 0)
        link, following = self.link[first], self._next[first]
        to_end = self._length[first] - s[first]
        # The last car of the next link, or of the one after it.
        other = self._newest[following]
        distance = to_end + s[other]
        empty = other < 0
        after = self.network.turns.target[self._turn_after[first]]
        further = self._newest[after]
        distance = np.where(empty, to_end + self.network.length_m[following] + s[further], distance)
        other = np.where(empty, further, other)
        distance[other < 0] = _FAR_M
        # Or the one that went another way and is not out of the way yet.
        parting = self._left_last[link]
        near = to_end + s[parting]
        takes = (
            (parting >= 0)
            & (self._came_from[parting] == link)
            & (s[parting] < _PARTING_M)
            & (near < distance)
        )
        distance = np.where(takes, near, distance)
        other = np.where(takes, parting, other)
        gap[first] = distance
        closing[first] = np.where(other >= 0, v[first] - v[other], 0.0)
        gap -= CAR_LENGTH_M
        return gap, closing

    # Order on the links

    def _line_up(self) -> None:
        """Set the order of the cars at the beginning."""
        order = np.lexsort((-self.along_m, self.link))
        link = self.link[order]
        same = link[1:] == link[:-1]
        self._ahead_of[order[1:][same]] = order[:-1][same]
        self._behind[order[:-1][same]] = order[1:][same]
        last = np.append(~same, True)
        self._newest[link[last]] = order[last]

    def _cross(self, cars: IntArray) -> None:
        """Take cars over the end of their links."""
        cars = cars[np.argsort(self._length[cars] - self.along_m[cars], kind="stable")]
        old = self.link[cars]
        behind = self._behind[cars]
        self._ahead_of[behind[behind >= 0]] = -1
        self._newest[old[behind < 0]] = -1
        self._left_last[old] = cars
        self._came_from[cars] = old
        self._ahead_of[cars] = -1
        self._behind[cars] = -1
        self.along_m[cars] -= self._length[cars]
        self.link[cars] = self._next[cars]

        # One car per link and round, those that are furthest first; one round is the rule.
        waiting = cars
        while len(waiting):
            link = self.link[waiting]
            self._scratch[link[::-1]] = waiting[::-1]
            wins = self._scratch[link] == waiting
            now, where = waiting[wins], link[wins]
            front = self._newest[where]
            self._ahead_of[now] = front
            followed = front >= 0
            self._behind[front[followed]] = now[followed]
            self._newest[where] = now
            waiting = waiting[~wins]

        self._hop[cars] += 1
        self._turn[cars] = self._turn_after[cars]
        self._next[cars] = self.network.turns.target[self._turn[cars]]
        self._turn_after[cars] = self._draw(cars, self._next[cars], further=1)
        self._enter(cars)

    def _draw(self, cars: IntArray, links: IntArray, further: int = 0) -> IntArray:
        """The turns that cars take at the ends of links."""
        hops = self._hop[cars] + further
        choice = uniform(self._seed, Purpose.TURN, cars, hops)
        return np.searchsorted(self.network.turn_key, links + choice, side="right")

    def _enter(self, cars: IntArray) -> None:
        """Note what the step needs to know about the links that cars are on now."""
        network, link = self.network, self.link[cars]
        table, shape = network.table, network.links.shape[link]
        self._length[cars] = table.length_m[shape]
        self._point[cars] = table.first[shape]
        self._last[cars] = table.last[shape]
        self._per_m[cars] = table.per_m[shape]
        self._exit_squared[cars] = network.start_squared[self._next[cars]]
        if network.is_moved:
            yaw = network.links.yaw_rad[link]
            self._origin[cars, 0] = network.links.x_m[link]
            self._origin[cars, 1] = network.links.y_m[link]
            self._direction[cars] = np.stack([yaw, np.cos(yaw), np.sin(yaw)], axis=1)
        closed = self._crossings.enter(cars, link, self._turn[cars], self._hop[cars])
        self._stop_at[cars] = np.where(closed, network.stop_m[link], np.inf)

    # What others see

    def _report(self) -> None:
        at = self.along_m * self._per_m
        index = at.astype(np.int32)
        np.minimum(index, self._last, out=index)
        at -= index
        index += self._point
        rows = self.network.table.points.take(index, axis=0)
        values = rows[:, 5:] * at[:, None]
        values += rows[:, :5]
        x, y, yaw = values[:, X], values[:, Y], values[:, YAW]
        if self.network.is_moved:
            turned, cos, sin = self._direction.T
            x, y = (
                x * cos - y * sin + self._origin[:, 0],
                x * sin + y * cos + self._origin[:, 1],
            )
            yaw = yaw + turned
        self.position_m = np.stack([x, y], axis=1)
        self.latitude_deg, self.longitude_deg, convergence = self._places.locate(x, y)
        self.altitude_m = values[:, Z] + self._places.origin_up_m
        heading = convergence - yaw
        heading += math.pi / 2.0
        heading -= math.tau * np.floor(heading / math.tau)
        heading[heading >= math.tau] = 0.0  # a tiny negative angle is rounded up to a full turn
        self.heading_rad = heading
        self.yaw_rate_radps = self.speed_mps * values[:, BEND]

    def _command(self, index: int, speed_mps: float) -> None:
        self._told[index] = speed_mps
