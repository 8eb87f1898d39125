"""Everything on the road except the egos: cars, pedestrians, obstacles, lights, the intersections.

Owns how these move. It must not know bytes, control modes or who is watching. Cars are numpy arrays
and follow the intelligent driver model (M. Treiber, A. Hennecke, D. Helbing, Phys. Rev. E 62,
2000) behind the next thing in their lane, which may be another car, an ego, an obstacle or a red
light. Pedestrians cross while the light at their crossing is red, so their place is a function of
time. The same calls always give the same world; there is no randomness in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from agent.vehicle.angles import wrap_rad
from agent.vehicle.state import ObjectKind, TrackedObject, TrafficLamp, TrafficLight
from simulator.morai_host.road import LoopRoad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.morai_host.boxes import FloatArray
    from simulator.morai_host.scenarios import Scenario

CAR_ID = 1
WALKER_ID = 101
OBSTACLE_ID = 201
GHOST_ID = 501

CAR_SIZE_M = (4.635, 1.892, 1.605)
CAR_AXLES_M = (3.0, 0.845, 0.79)  # wheelbase, front overhang, rear overhang
WALKER_SIZE_M = (0.5, 0.5, 1.75)
OBSTACLE_SIZE_M = (4.2, 1.8, 1.5)

MAX_GHOSTS = 20

_WALK_MPS = 1.4
_WALK_DELAY_S = 1.0
_KERB_M = 6.0
# Intelligent driver model: time headway, standstill gap, acceleration, comfortable deceleration.
_HEADWAY_S, _GAP_M, _ACCELERATE_MPS2, _BRAKE_MPS2 = 1.4, 2.5, 1.2, 2.0
_HARDEST_BRAKE_MPS2 = 8.0
_LATE_BRAKE_MPS2 = 5.0
_EVERY_LANE = -1.0
_GREEN_S, _YELLOW_S, _RED_S = 20.0, 3.0, 15.0
_CYCLE_S = _GREEN_S + _YELLOW_S + _RED_S
_PHASE_STARTS_S = (0.0, _GREEN_S, _GREEN_S + _YELLOW_S)
_PHASE_LAMPS = (TrafficLamp.GREEN, TrafficLamp.YELLOW, TrafficLamp.RED)
_RED_PHASE = 2


@dataclass(slots=True)
class Light:
    """A traffic light over the road; each one is the signal of its own intersection.

    Attributes:
        light_id: Name in the map.
        intersection: Number of its intersection.
        stop_s_m: Where cars stop for it.
        offset_s: How far its cycle is ahead of the world's clock.
        held: What it was told to show, instead of its cycle.
    """

    light_id: str
    intersection: int
    stop_s_m: float
    offset_s: float = 0.0
    held: TrafficLamp | None = None

    def phase(self, time_s: float) -> tuple[int, float]:
        """Phase number (0 green, 1 yellow, 2 red) and the time spent in it."""
        in_cycle = (time_s + self.offset_s) % _CYCLE_S
        phase = sum(in_cycle >= start for start in _PHASE_STARTS_S) - 1
        return phase, in_cycle - _PHASE_STARTS_S[phase]

    def lamps(self, time_s: float) -> TrafficLamp:
        """What it shows."""
        return _PHASE_LAMPS[self.phase(time_s)[0]] if self.held is None else self.held

    def closed(self, time_s: float) -> bool:
        """Whether a car has to stop."""
        return not self.lamps(time_s) & (TrafficLamp.GREEN | TrafficLamp.LEFT_ARROW)


def _lights() -> list[Light]:
    return [Light("LOOP-TL-01", 1, 200.0), Light("LOOP-TL-02", 2, 600.0, offset_s=19.0)]


@dataclass(slots=True)
class World:
    """The road and what is on it.

    Attributes:
        road: The road.
        time_s: The world's clock, starting at 0.
        lights: The traffic lights.
    """

    road: LoopRoad = field(default_factory=LoopRoad)
    time_s: float = 0.0
    lights: list[Light] = field(default_factory=_lights)
    _car_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    _car_lane: FloatArray = field(default_factory=lambda: np.zeros(0))
    _car_speed: FloatArray = field(default_factory=lambda: np.zeros(0))
    _car_wish: FloatArray = field(default_factory=lambda: np.zeros(0))
    _car_acceleration: FloatArray = field(default_factory=lambda: np.zeros(0))
    _walkers_m: tuple[float, ...] = ()
    _obstacles: tuple[tuple[float, int], ...] = ()
    _ghosts: dict[int, tuple[float, float, float, float]] = field(default_factory=dict)
    # What `objects` gives until something moves or is placed.
    _shown: list[TrackedObject] | None = None

    def clear(self) -> None:
        """Remove everything that is not a road or a light, and release held lights."""
        self.place_cars(None)
        self._walkers_m = ()
        self._obstacles = ()
        self._ghosts.clear()
        self._shown = None
        for light in self.lights:
            light.held = None

    def place_cars(self, scenario: Scenario | None) -> None:
        """Replace the cars by those of a scenario, or remove them."""
        cars = scenario.cars if scenario else ()
        self._car_s = np.array([car.s_m for car in cars], dtype=np.float64)
        self._car_lane = np.array([car.lane for car in cars], dtype=np.float64)
        self._car_wish = np.array([car.speed_mps for car in cars], dtype=np.float64)
        self._car_speed = self._car_wish.copy()
        self._car_acceleration = np.zeros(len(cars))
        self._shown = None

    def place_walkers(self, scenario: Scenario) -> None:
        """Replace the pedestrians by those of a scenario."""
        self._walkers_m = scenario.walkers_m
        self._shown = None

    def place_obstacles(self, scenario: Scenario) -> None:
        """Replace the obstacles by those of a scenario."""
        self._obstacles = tuple((item.s_m, item.lane) for item in scenario.obstacles)
        self._shown = None

    def place_ghosts(self, ghosts: Sequence[tuple[int, float, float, float, float]]) -> None:
        """Show cars somewhere without physics: number, east, north, up and yaw of each.

        A number seen before moves that car. At most `MAX_GHOSTS` are kept, further ones are not
        shown.
        """
        for number, x_m, y_m, z_m, yaw_rad in ghosts:
            if number in self._ghosts or len(self._ghosts) < MAX_GHOSTS:
                self._ghosts[number] = (x_m, y_m, z_m, yaw_rad)
        self._shown = None

    def hold_light(self, light_id: str, lamps: TrafficLamp) -> bool:
        """Make a light show something until the next scenario; `False` for an unknown light."""
        for light in self.lights:
            if light.light_id == light_id:
                light.held = lamps
                return True
        return False

    def set_intersection(self, number: int, phase: int, elapsed_s: float) -> bool:
        """Put an intersection into a phase; `False` for an unknown intersection or phase."""
        if not 0 <= phase < len(_PHASE_STARTS_S):
            return False
        for light in self.lights:
            if light.intersection == number:
                light.held = None
                self._shown = None
                light.offset_s = (_PHASE_STARTS_S[phase] + elapsed_s - self.time_s) % _CYCLE_S
                return True
        return False

    def light_ahead(self, x_m: float, y_m: float) -> Light:
        """The light that a car at this place meets next."""
        s_m, _ = self.road.locate(x_m, y_m)
        return min(self.lights, key=lambda light: self.road.ahead_m(s_m, light.stop_s_m))

    def shown(self, light: Light) -> TrafficLight:
        """What a light shows, as the simulator reports it (layout 0: red, yellow, green)."""
        return TrafficLight(light_id=light.light_id, layout=0, lamps=light.lamps(self.time_s))

    def step(self, dt_s: float, egos: Sequence[tuple[float, float]]) -> None:
        """Move everything by one time step.

        Args:
            dt_s: Length of the step, positive.
            egos: East and north of every ego, which cars keep clear of.
        """
        self.time_s += dt_s
        self._shown = None
        if not self._car_s.size:
            return
        ahead_s, ahead_lane, ahead_speed = self._leaders(egos)
        gap = np.mod(ahead_s[None, :] - self._car_s[:, None], self.road.length_m) - CAR_SIZE_M[0]
        light = ahead_lane[None, :] == _EVERY_LANE
        # Who could only stop for a light by braking hard, or stands on the line, goes on.
        too_late = gap < self._car_speed[:, None] ** 2 / (2.0 * _LATE_BRAKE_MPS2)
        elsewhere = (ahead_lane[None, :] != self._car_lane[:, None]) & ~light
        itself = np.eye(len(self._car_s), len(ahead_s), dtype=np.bool_)
        gap[elsewhere | itself | (light & too_late)] = np.inf
        nearest = np.argmin(gap, axis=1)
        free = np.maximum(gap[np.arange(len(nearest)), nearest], 0.1)
        closing = self._car_speed - ahead_speed[nearest]
        wanted_gap = _GAP_M + np.maximum(
            0.0,
            self._car_speed * _HEADWAY_S
            + self._car_speed * closing / (2.0 * math.sqrt(_ACCELERATE_MPS2 * _BRAKE_MPS2)),
        )
        push = 1.0 - (self._car_speed / self._car_wish) ** 4 - (wanted_gap / free) ** 2
        acceleration = np.clip(_ACCELERATE_MPS2 * push, -_HARDEST_BRAKE_MPS2, _ACCELERATE_MPS2)
        speed = np.maximum(0.0, self._car_speed + acceleration * dt_s)
        self._car_acceleration = (speed - self._car_speed) / dt_s
        self._car_s = np.mod(
            self._car_s + (self._car_speed + speed) / 2.0 * dt_s, self.road.length_m
        )
        self._car_speed = speed

    def free_ahead_m(self, x_m: float, y_m: float) -> float:
        """Distance along the lane from a place to the rear end of the next thing in the way."""
        s_m, offset_m = self.road.locate(x_m, y_m)
        ahead_s, ahead_lane, _ = self._leaders(())
        lane = self.road.lane_at(offset_m)
        gap = np.mod(ahead_s - s_m, self.road.length_m)
        gap = gap[((ahead_lane == lane) | (ahead_lane == _EVERY_LANE)) & (gap > 0.0)]
        return float(gap.min(initial=np.inf)) - CAR_SIZE_M[0]

    def objects(self) -> list[TrackedObject]:
        """Everything on the road except the egos, in no particular order.

        Velocities and accelerations are in the body frame of each object.
        """
        if self._shown is None:
            self._shown = [
                *self._car_objects(),
                *(self._walker(i, s_m) for i, s_m in enumerate(self._walkers_m)),
                *(self._obstacle(i, s_m, lane) for i, (s_m, lane) in enumerate(self._obstacles)),
                *(_ghost(number, pose) for number, pose in self._ghosts.items()),
            ]
        return self._shown

    def _leaders(
        self, egos: Sequence[tuple[float, float]]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Place, lane and speed of everything a car may have to stop behind, the cars first.

        The place is where the rear axle of a car would be whose rear end is what must not be hit.
        """
        places = [self.road.locate(*ego) for ego in egos]
        rear_m = CAR_AXLES_M[2]
        standing = [
            *((s_m, float(self.road.lane_at(offset_m))) for s_m, offset_m in places),
            *(
                (s_m - OBSTACLE_SIZE_M[0] / 2.0 + rear_m, float(lane))
                for s_m, lane in self._obstacles
            ),
            *(
                (light.stop_s_m + rear_m, _EVERY_LANE)
                for light in self.lights
                if light.closed(self.time_s)
            ),
        ]
        fixed = np.array(standing, dtype=np.float64).reshape(-1, 2)
        return (
            np.concatenate([self._car_s, fixed[:, 0]]),
            np.concatenate([self._car_lane, fixed[:, 1]]),
            np.concatenate([self._car_speed, np.zeros(len(fixed))]),
        )

    def _car_objects(self) -> list[TrackedObject]:
        wheelbase_m, front_m, rear_m = CAR_AXLES_M
        found = []
        columns = (self._car_s, self._car_lane, self._car_speed, self._car_acceleration)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for index, (s_m, lane, speed_mps, acceleration_mps2) in enumerate(rows):
            x_m, y_m, yaw_rad = self.road.pose(s_m, self.road.lane_offset(lane))
            found.append(
                TrackedObject(
                    id=CAR_ID + index,
                    kind=ObjectKind.VEHICLE,
                    position_m=(x_m, y_m, 0.0),
                    yaw_rad=wrap_rad(yaw_rad),
                    size_m=CAR_SIZE_M,
                    velocity_mps=(speed_mps, 0.0, 0.0),
                    acceleration_mps2=(acceleration_mps2, 0.0, 0.0),
                    link_id=self.road.link_id(s_m, int(lane)),
                    wheelbase_m=wheelbase_m,
                    front_overhang_m=front_m,
                    rear_overhang_m=rear_m,
                )
            )
        return found

    def _walker(self, index: int, s_m: float) -> TrackedObject:
        light = min(self.lights, key=lambda item: abs(item.stop_s_m - s_m))
        width_m = 2.0 * _KERB_M
        time_s = self.time_s + light.offset_s - _PHASE_STARTS_S[_RED_PHASE] - _WALK_DELAY_S
        cycle, since_s = divmod(time_s, _CYCLE_S)
        walked_m = min(since_s * _WALK_MPS, width_m)
        walking = walked_m < width_m
        leftwards = (int(cycle) + index) % 2 == 0
        offset_m = walked_m - _KERB_M if leftwards else _KERB_M - walked_m
        x_m, y_m, yaw_rad = self.road.pose(s_m, offset_m)
        turn = math.pi / 2.0 if leftwards else -math.pi / 2.0
        return TrackedObject(
            id=WALKER_ID + index,
            kind=ObjectKind.PEDESTRIAN,
            position_m=(x_m, y_m, 0.0),
            yaw_rad=wrap_rad(yaw_rad + turn),
            size_m=WALKER_SIZE_M,
            velocity_mps=(_WALK_MPS if walking else 0.0, 0.0, 0.0),
        )

    def _obstacle(self, index: int, s_m: float, lane: int) -> TrackedObject:
        x_m, y_m, yaw_rad = self.road.pose(s_m, self.road.lane_offset(lane))
        return TrackedObject(
            id=OBSTACLE_ID + index,
            kind=ObjectKind.OBSTACLE,
            position_m=(x_m, y_m, 0.0),
            yaw_rad=wrap_rad(yaw_rad),
            size_m=OBSTACLE_SIZE_M,
            velocity_mps=(0.0, 0.0, 0.0),
        )


def _ghost(number: int, pose: tuple[float, float, float, float]) -> TrackedObject:
    wheelbase_m, front_m, rear_m = CAR_AXLES_M
    x_m, y_m, z_m, yaw_rad = pose
    return TrackedObject(
        id=GHOST_ID + number,
        kind=ObjectKind.VEHICLE,
        position_m=(x_m, y_m, z_m),
        yaw_rad=wrap_rad(yaw_rad),
        size_m=CAR_SIZE_M,
        velocity_mps=(0.0, 0.0, 0.0),
        wheelbase_m=wheelbase_m,
        front_overhang_m=front_m,
        rear_overhang_m=rear_m,
    )
