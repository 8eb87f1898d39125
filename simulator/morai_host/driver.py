"""The simulator's built-in driver: keeps the lane and a sensible speed, stops for what is ahead.

Owns pure pursuit and the choice of speed. It must not know who drives now or how the car moves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.morai import Gear, LongitudinalType
from agent.vehicle.angles import wrap_rad
from simulator.morai_host.control import Command
from simulator.morai_host.longitudinal import Demand

if TYPE_CHECKING:
    from simulator.morai_host.bicycle import Motion
    from simulator.morai_host.parameters import VehicleParameters
    from simulator.morai_host.road import LoopRoad

CRUISE_MPS = 13.9
_LATERAL_COMFORT_MPS2 = 2.0
_BRAKE_COMFORT_MPS2 = 1.8
_GAP_M = 6.0
_LOOK_MIN_M = 5.0
_LOOK_TIME_S = 0.8


def drive(
    motion: Motion,
    road: LoopRoad,
    lane: int,
    free_m: float,
    parameters: VehicleParameters,
    cruise_mps: float = CRUISE_MPS,
) -> Command:
    """Say what the built-in driver does now.

    Steering is pure pursuit of the lane's centre (R. C. Coulter, Implementation of the Pure Pursuit
    Path Tracking Algorithm, CMU-RI-TR-92-01): the wheel angle whose circle about the rear axle
    passes through a point of the lane ahead.

    Args:
        motion: The car.
        road: The road it follows.
        lane: The lane it follows.
        free_m: Distance along the road to the rear end of what it must not run into.
        parameters: The car's numbers.
        cruise_mps: Speed on a free, straight road.
    """
    s_m, _ = road.locate(motion.x_m, motion.y_m)
    look_m = _LOOK_MIN_M + _LOOK_TIME_S * abs(motion.speed_mps)
    x_m, y_m, _ = road.pose(s_m + look_m, road.lane_offset(lane))
    east, north = x_m - motion.x_m, y_m - motion.y_m
    bearing = wrap_rad(math.atan2(north, east) - motion.yaw_rad)
    wheel = math.atan2(2.0 * parameters.wheelbase_m * math.sin(bearing), math.hypot(east, north))
    braking_m = motion.speed_mps**2 / (2.0 * _BRAKE_COMFORT_MPS2)
    bend = max(road.curvature(s_m), road.curvature(s_m + look_m + braking_m / 2.0))
    corner = math.sqrt(_LATERAL_COMFORT_MPS2 / bend) if bend > 0.0 else math.inf
    room = max(0.0, free_m - _GAP_M)
    return Command(
        gear=Gear.D,
        demand=Demand(
            kind=LongitudinalType.VELOCITY,
            velocity_mps=min(cruise_mps, corner, math.sqrt(2.0 * _BRAKE_COMFORT_MPS2 * room)),
        ),
        wheel_target_rad=wheel,
    )
