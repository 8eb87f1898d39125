"""The simulated scene: egos, the world around them, and what commands do to both.

Owns the scene's rules: which ego is reported and driven, what a scenario load resets, what a
collision does. It must not know bytes, ports, faults or the wall clock; time comes in as steps.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from agent.morai import Gear, StatusMode
from agent.vehicle.angles import wrap_rad
from agent.vehicle.morai_view import MPS_PER_KMH
from agent.vehicle.state import ObjectKind
from simulator.morai_host.bicycle import Motion
from simulator.morai_host.boxes import overlapping
from simulator.morai_host.control import Command, Control
from simulator.morai_host.ego import EgoCar, at_rest
from simulator.morai_host.parameters import VehicleParameters
from simulator.morai_host.scenarios import DEFAULT_SCENARIO, SCENARIOS
from simulator.morai_host.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.morai import EgoGhost, MultiEgoRecord, NpcGhostRecord, ScenarioLoad
    from agent.vehicle.state import TrackedObject
    from simulator.morai_host.scenarios import Placement, Scenario
    from simulator.morai_host.world import Light

MAIN_EGO = 0
MAX_EGO_INDEX = 20
EGO_OBJECT_ID = 601
MAX_OBJECTS = 20
MAX_COORDINATE_M = 100_000.0
"""Commands that place something further from the map's origin are refused."""

_MAX_STEP_S = 0.02
# No two bodies whose reference points are further apart can touch.
_NEAR_M = 25.0
_EXTERNAL_IN_MULTI_EGO = 2


class Outcome(StrEnum):
    """What became of a command that is not an ego control. The value is the name of a counter."""

    APPLIED = "applied"
    NO_EFFECT = "no_effect_here"
    UNKNOWN_SCENARIO = "unknown_scenario"
    UNKNOWN_LIGHT = "unknown_traffic_light"
    UNKNOWN_INTERSECTION = "unknown_intersection"
    UNKNOWN_EGO = "unknown_ego"
    OUT_OF_MAP = "out_of_map"
    BAD_VALUE = "bad_value"


class Simulation:
    """A scene that can be stepped and commanded.

    Args:
        scenario: Name of the scenario to start with.
        scenarios: Scenarios that can be loaded, by name.
        parameters: The ego's numbers.
        mode: Who drives the ego at the start.
        gear: The ego's gear at the start.

    Raises:
        KeyError: The first scenario is not among `scenarios`.
    """

    def __init__(
        self,
        scenario: str = DEFAULT_SCENARIO,
        *,
        scenarios: Mapping[str, Scenario] = SCENARIOS,
        parameters: VehicleParameters | None = None,
        mode: StatusMode = StatusMode.KEYBOARD,
        gear: Gear = Gear.P,
    ) -> None:
        self.world = World()
        self.scenarios = scenarios
        self.scenario = scenario
        self.paused = False
        self.reported = MAIN_EGO
        self._parameters = parameters or VehicleParameters()
        first = scenarios[scenario]
        self.egos: dict[int, EgoCar] = {
            MAIN_EGO: EgoCar(
                self._motion_at(first.ego),
                self._parameters,
                Control(mode=mode, keyboard=Command(gear=gear), external=Command(gear=gear)),
            )
        }
        self._touching: frozenset[int] = frozenset()
        self._place(first)

    @property
    def ego(self) -> EgoCar:
        """The ego that is reported and that commands drive."""
        return self.egos[self.reported]

    def step(self, dt_s: float) -> None:
        """Move everything; long steps are cut into short ones. Paused scenes stand still."""
        if self.paused or dt_s <= 0.0:
            return
        steps = math.ceil(dt_s / _MAX_STEP_S - 1e-9)
        for _ in range(steps):
            self._step(dt_s / steps)

    def load(self, request: ScenarioLoad) -> Outcome:
        """Load a scenario by name; an unknown name changes nothing."""
        scenario = self.scenarios.get(request.file_name.strip())
        if scenario is None:
            return Outcome.UNKNOWN_SCENARIO
        self.scenario = scenario.name
        if request.delete_all:
            self.world.clear()
            self.egos = {MAIN_EGO: self.egos[MAIN_EGO]}
            self.reported = MAIN_EGO
        if request.load_ego:
            ego = self.egos[MAIN_EGO]
            ego.place(at_rest(self._motion_at(scenario.ego)))
        if request.load_npc:
            self.world.place_cars(scenario)
        if request.load_pedestrian:
            self.world.place_walkers(scenario)
        if request.load_object:
            self.world.place_obstacles(scenario)
        self.paused = request.pause
        self._touching = frozenset()
        return Outcome.APPLIED

    def place_egos(self, camera_index: int, records: Sequence[MultiEgoRecord]) -> Outcome:
        """Replace the extra egos by those of a multi-ego setting and choose the reported one.

        Index 0 is the main ego, which always exists; 1 to 20 are extra ones. The setting is
        refused as a whole when anything in it makes no sense.
        """
        indices = {record.index for record in records} | {MAIN_EGO}
        if camera_index not in indices or not all(0 <= i <= MAX_EGO_INDEX for i in indices):
            return Outcome.UNKNOWN_EGO
        gears = set(Gear)
        for record in records:
            if not on_map(record.position_x_m, record.position_y_m, record.position_z_m):
                return Outcome.OUT_OF_MAP
            if record.gear not in gears:
                return Outcome.BAD_VALUE
        egos = {MAIN_EGO: self.egos[MAIN_EGO]}
        for record in records:
            gear = Gear(record.gear)
            external = record.control_mode == _EXTERNAL_IN_MULTI_EGO
            egos[record.index] = EgoCar(
                Motion(
                    x_m=record.position_x_m,
                    y_m=record.position_y_m,
                    z_m=record.position_z_m,
                    yaw_rad=wrap_rad(math.radians(record.yaw_deg)),
                    speed_mps=record.velocity_kmh * MPS_PER_KMH,
                ),
                self._parameters,
                Control(
                    mode=StatusMode.EXTERNAL if external else StatusMode.KEYBOARD,
                    keyboard=Command(gear=gear),
                    external=Command(gear=gear),
                ),
            )
        self.egos = egos
        self.reported = camera_index
        self._touching = frozenset()
        return Outcome.APPLIED

    def show_ghost(self, ghost: EgoGhost) -> Outcome:
        """Put the reported ego somewhere without physics, until a driver's command moves it."""
        if not on_map(ghost.position_x_m, ghost.position_y_m, ghost.position_z_m):
            return Outcome.OUT_OF_MAP
        motion = Motion(
            x_m=ghost.position_x_m,
            y_m=ghost.position_y_m,
            z_m=ghost.position_z_m,
            yaw_rad=wrap_rad(math.radians(ghost.yaw_deg)),
            speed_mps=ghost.velocity_kmh * MPS_PER_KMH,
            wheel_angle_rad=math.radians(ghost.steer_deg),
        )
        self.ego.place(motion, ghost=True)
        self.ego.roll_rad = wrap_rad(math.radians(ghost.roll_deg))
        self.ego.pitch_rad = wrap_rad(math.radians(ghost.pitch_deg))
        return Outcome.APPLIED

    def show_npc_ghosts(self, vehicles: Sequence[NpcGhostRecord]) -> Outcome:
        """Show cars without physics; refused as a whole when one is off the map."""
        if not all(on_map(v.position_x_m, v.position_y_m, v.position_z_m) for v in vehicles):
            return Outcome.OUT_OF_MAP
        self.world.place_ghosts(
            [
                (v.id, v.position_x_m, v.position_y_m, v.position_z_m, math.radians(v.yaw_deg))
                for v in vehicles
            ]
        )
        return Outcome.APPLIED

    def light_ahead(self) -> Light:
        """The traffic light that the reported ego meets next."""
        return self.world.light_ahead(self.ego.motion.x_m, self.ego.motion.y_m)

    def objects(self) -> list[TrackedObject]:
        """What is around the reported ego, nearest first, at most `MAX_OBJECTS`."""
        x_m, y_m = self.ego.motion.x_m, self.ego.motion.y_m
        return sorted(
            self._others(),
            key=lambda item: math.dist((x_m, y_m), item.position_m[:2]),
        )[:MAX_OBJECTS]

    def collisions(self) -> list[TrackedObject]:
        """What the reported ego overlaps now, nearest first."""
        x_m, y_m = self.ego.motion.x_m, self.ego.motion.y_m
        touched = self._overlapped(self._others())
        return sorted(touched, key=lambda item: math.dist((x_m, y_m), item.position_m[:2]))

    def _step(self, dt_s: float) -> None:
        for index, ego in self.egos.items():
            ego.step(self.world.road, self._free_ahead_m(index), dt_s)
        self.world.step(dt_s, [(ego.motion.x_m, ego.motion.y_m) for ego in self.egos.values()])
        touching = frozenset(item.id for item in self._overlapped(self._others()))
        if touching - self._touching:
            self.ego.hit()
        self._touching = touching

    def _free_ahead_m(self, index: int) -> float:
        """Room in front of an ego; only the built-in driver asks, so others get no answer."""
        ego, road = self.egos[index], self.world.road
        if ego.control.mode is not StatusMode.BUILT_IN:
            return math.inf
        x_m, y_m = ego.motion.x_m, ego.motion.y_m
        s_m, _ = road.locate(x_m, y_m)
        gaps = [self.world.free_ahead_m(x_m, y_m)]
        for other_index, other in self.egos.items():
            if other_index != index:
                other_s_m, _ = road.locate(other.motion.x_m, other.motion.y_m)
                gaps.append(road.ahead_m(s_m, other_s_m) - self._parameters.length_m)
        return min(gaps)

    def _others(self) -> list[TrackedObject]:
        return [
            *self.world.objects(),
            *(
                ego.as_object(EGO_OBJECT_ID + index)
                for index, ego in self.egos.items()
                if index != self.reported
            ),
        ]

    def _overlapped(self, others: list[TrackedObject]) -> list[TrackedObject]:
        centre, yaw, size = self.ego.footprint()
        # Most things are far away; only the near ones are worth the arrays.
        others = [item for item in others if math.dist(centre, item.position_m[:2]) < _NEAR_M]
        if not others:
            return []
        boxes = np.array(
            [(*_centre(item), item.yaw_rad, item.size_m[0], item.size_m[1]) for item in others]
        )
        hits = overlapping(centre, yaw, size, boxes[:, :2], boxes[:, 2], boxes[:, 3:])
        return [item for item, hit in zip(others, hits.tolist(), strict=True) if hit]

    def _place(self, scenario: Scenario) -> None:
        self.world.place_cars(scenario)
        self.world.place_walkers(scenario)
        self.world.place_obstacles(scenario)

    def _motion_at(self, place: Placement) -> Motion:
        road = self.world.road
        x_m, y_m, yaw = road.pose(place.s_m, road.lane_offset(place.lane))
        return Motion(
            x_m=x_m,
            y_m=y_m,
            yaw_rad=wrap_rad(yaw),
            speed_mps=place.speed_mps,
        )


def on_map(*coordinates_m: float) -> bool:
    """Whether coordinates are places the scene can hold."""
    return all(abs(value) <= MAX_COORDINATE_M for value in coordinates_m)


def _centre(item: TrackedObject) -> tuple[float, float]:
    """Centre of an object's body: vehicles are located by their rear axle, others by the centre."""
    x_m, y_m, _ = item.position_m
    if item.kind not in {ObjectKind.VEHICLE, ObjectKind.EGO}:
        return x_m, y_m
    ahead = item.size_m[0] / 2.0 - item.rear_overhang_m
    return x_m + ahead * math.cos(item.yaw_rad), y_m + ahead * math.sin(item.yaw_rad)
