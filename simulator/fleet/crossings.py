"""Who may pass a crossing or a merge, and how long cars stop there.

Owns stop lines and zones. A car that must not go on sees its stop line as the end of the road; this
module opens it. Before a zone a car asks for the way as soon as it would otherwise begin to brake,
and gets it when nobody on a conflicting movement has it and there is room behind the zone: the
reservation idea of Dresner and Stone 2008, "A Multiagent Approach to Autonomous Intersection
Management", JAIR 31, with whole movements instead of tiles. Room behind the zone keeps a crossing
clear, so full roads do not lock. Who asked first goes first once it has waited `PATIENCE_S`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.fleet.draws import Purpose, uniform
from simulator.fleet.network import CAR_LENGTH_M, CAR_REAR_M

if TYPE_CHECKING:
    from simulator.fleet.arrays import BoolArray, FloatArray, IntArray
    from simulator.fleet.network import RoadNetwork

PATIENCE_S: Final = 4.0
_STANDING_MPS: Final = 0.1
_PLACE_M: Final = CAR_LENGTH_M + 2.0  # that a standing car takes up
_CLEAR_M: Final = CAR_REAR_M + 0.5  # a zone is left when the rear is this far behind it
# A car asks for the way this much before it would begin to brake.
_EARLY_S, _EARLY_M = 0.8, 5.0


class Crossings:
    """Stops and zones of one network.

    Args:
        network: The roads.
        count: How many cars.
        seed: Of the cars' stops.
        stop_s: Mean length of a stop.
    """

    def __init__(self, network: RoadNetwork, count: int, *, seed: int, stop_s: float) -> None:
        self._network = network
        self._seed, self._stop_s = seed, stop_s
        self._now_s = 0.0
        turns = network.turns
        onward = np.searchsorted(turns.source, turns.target)
        self._exit = np.where(turns.through, turns.target[onward], turns.target)
        self._through_m = np.where(turns.through, network.length_m[turns.target], 0.0) + _CLEAR_M
        self._used = np.zeros((network.zones, len(turns.conflicts)), np.int16)
        self._coming = np.zeros(network.count, np.int16)  # cars under way in a zone to each link
        self._scratch = np.zeros(network.zones, np.int64)
        self._stands_s = np.zeros(count)  # still to stand at the end of the present link
        self._asked_s = np.full(count, np.inf)
        self._leaves_m = np.full(count, np.inf)  # still to go until the car's zone is left
        self._reserved = np.zeros(count, np.int64)  # turn of that zone
        self._any_gates = bool(network.zones or np.any(network.links.stop_chance > 0.0))

    def enter(self, cars: IntArray, links: IntArray, turns: IntArray, hops: IntArray) -> BoolArray:
        """Note cars that begin a link, and say for which of them its end is closed."""
        if not self._any_gates:
            return np.zeros(len(cars), np.bool_)
        chance = self._network.links.stop_chance[links]
        stops = uniform(self._seed, Purpose.STOP, cars, hops) < chance
        # One who comes upon a red light of fixed length at any moment of it waits for a uniformly
        # distributed time.
        waits = 2.0 * self._stop_s * uniform(self._seed, Purpose.DWELL, cars, hops)
        self._stands_s[cars] = np.where(stops, waits, 0.0)
        self._asked_s[cars] = np.inf
        return stops | (self._network.turns.zone[turns] >= 0)

    def step(
        self,
        *,
        along_m: FloatArray,
        speed_mps: FloatArray,
        length_m: FloatArray,
        stop_at_m: FloatArray,
        front: IntArray,
        turn: IntArray,
        newest: IntArray,
        moved_m: FloatArray,
        dt_s: float,
    ) -> None:
        """Let cars leave their zones, stand, ask, and go.

        Args:
            along_m: Where on its link each car is, shape (count,) as all but `newest`.
            speed_mps: How fast it is.
            length_m: How long its link is.
            stop_at_m: Where it has to stop, infinity when it need not; opened in place.
            front: The car in front on the same link, or -1.
            turn: The turn it will take.
            newest: The last car on each link, or -1, shape (links,).
            moved_m: How far each car came in this step.
            dt_s: How long the step was.
        """
        if not self._any_gates:
            return
        self._now_s += dt_s
        self._leaves_m -= moved_m
        self._leave(np.flatnonzero(self._leaves_m <= 0.0))
        # Standing in the queue counts: behind a red light everybody waits for the same green.
        self._stands_s -= dt_s * (speed_mps < _STANDING_MPS)

        reach = speed_mps * speed_mps
        reach /= 2.0 * self._network.pace.planned_mps2
        reach += _EARLY_S * speed_mps
        reach += _EARLY_M
        near = np.flatnonzero((stop_at_m - along_m < reach) & (self._stands_s <= 0.0))
        ahead = front[near]
        may_ask = ((ahead < 0) | np.isinf(stop_at_m[ahead])) & np.isinf(self._leaves_m[near])
        asking = near[may_ask]
        if not len(asking):
            return
        wish = turn[asking]
        zone = self._network.turns.zone[wish]
        stop_at_m[asking[zone < 0]] = np.inf
        in_zone = zone >= 0
        asking, wish = asking[in_zone], wish[in_zone]
        if len(asking):
            self._grant(asking, wish, along_m, speed_mps, length_m, stop_at_m, newest)

    def _grant(
        self,
        cars: IntArray,
        wish: IntArray,
        along_m: FloatArray,
        speed_mps: FloatArray,
        length_m: FloatArray,
        stop_at_m: FloatArray,
        newest: IntArray,
    ) -> None:
        """Give the way to at most one car per zone; the next step serves the next one."""
        network = self._network
        self._asked_s[cars] = np.minimum(self._asked_s[cars], self._now_s)
        exits = self._exit[wish]
        last, coming = newest[exits], self._coming[exits]
        # Up to where the last car there would come to rest.
        rest_m = along_m[last] - CAR_REAR_M
        rest_m += speed_mps[last] ** 2 / (2.0 * network.pace.planned_mps2)
        space_m = np.where(last >= 0, rest_m, network.length_m[exits])
        needed_m = np.minimum((1 + coming) * _PLACE_M, network.length_m[exits])
        room = (space_m >= needed_m) | ((last < 0) & (coming == 0))
        cars, wish = cars[room], wish[room]
        if not len(cars):
            return
        order = np.argsort(self._asked_s[cars], kind="stable")
        cars, wish = cars[order], wish[order]
        turns = network.turns
        zone, movement = turns.zone[wish], turns.movement[wish]
        rank = np.arange(len(cars))
        self._scratch[zone[::-1]] = rank[::-1]
        eldest = self._scratch[zone]
        urgent = self._now_s - self._asked_s[cars[eldest]] > PATIENCE_S
        taken = ((self._used[zone] > 0) & turns.conflicts[movement]).any(axis=1)
        able = np.flatnonzero(~taken & (~urgent | (eldest == rank)))
        self._scratch[zone[able[::-1]]] = able[::-1]
        able = able[self._scratch[zone[able]] == able]

        cars, wish = cars[able], wish[able]
        self._used[zone[able], movement[able]] += 1
        np.add.at(self._coming, self._exit[wish], 1)
        self._reserved[cars] = wish
        self._leaves_m[cars] = length_m[cars] - along_m[cars] + self._through_m[wish]
        stop_at_m[cars] = np.inf

    def _leave(self, cars: IntArray) -> None:
        if not len(cars):
            return
        turns, done = self._network.turns, self._reserved[cars]
        np.subtract.at(self._used, (turns.zone[done], turns.movement[done]), 1)
        np.subtract.at(self._coming, self._exit[done], 1)
        self._leaves_m[cars] = np.inf
