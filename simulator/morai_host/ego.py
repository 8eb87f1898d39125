"""One ego car: its controls, its motion, its lamps, and the state the simulator reports of it.

Owns a single car. It must not know other cars, messages or ports.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.morai import Gear, LongitudinalType, StatusMode
from agent.vehicle.state import (
    Dimensions,
    DriveMode,
    EgoState,
    LanePosition,
    ObjectKind,
    TrackedObject,
    Tyres,
)
from simulator.morai_host import driver, longitudinal
from simulator.morai_host.bicycle import Effort, Motion, step, stopped
from simulator.morai_host.control import Control
from simulator.morai_host.parameters import VehicleParameters

if TYPE_CHECKING:
    from simulator.morai_host.road import LoopRoad

# Lateral force and slip of a linear tyre, a typical figure for a passenger car's tyre.
_CORNERING_STIFFNESS_N_PER_RAD = 45_000.0


@dataclass(slots=True)
class EgoCar:
    """An ego and everything that belongs to it alone.

    Attributes:
        motion: Pose and motion.
        parameters: The car's numbers.
        control: Who drives and what they want.
        effort: What pushed and held the car in the last step.
        ghost: Shown by a ghost command: it stands where it was put, with the speed it was given,
            until somebody drives it again.
        roll_rad: Roll, which only a ghost command changes.
        pitch_rad: Pitch, likewise.
        turn_signal: 0 none, 1 left, 2 right.
        hazard_lamps: Hazard lamps.
    """

    motion: Motion
    parameters: VehicleParameters = field(default_factory=VehicleParameters)
    control: Control = field(default_factory=Control)
    effort: Effort = field(default_factory=Effort)
    ghost: bool = False
    roll_rad: float = 0.0
    pitch_rad: float = 0.0
    turn_signal: int = 0
    hazard_lamps: bool = False

    def step(self, road: LoopRoad, free_m: float, dt_s: float) -> None:
        """Move by one time step as whoever drives wants.

        Args:
            road: The road, for the built-in driver.
            free_m: Distance to the next thing in the way, for the built-in driver.
            dt_s: Length of the step, positive.
        """
        if self.ghost:
            return
        if self.control.mode is StatusMode.BUILT_IN:
            _, offset_m = road.locate(self.motion.x_m, self.motion.y_m)
            self.control.built_in = driver.drive(
                self.motion, road, road.lane_at(offset_m), free_m, self.parameters
            )
        command = self.control.command
        self.effort = longitudinal.effort(
            command.demand, command.gear, self.motion.speed_mps, self.parameters, dt_s
        )
        self.motion = step(
            self.motion, self.effort, command.wheel_target_rad, self.parameters, dt_s
        )

    def hit(self) -> None:
        """Lose all speed to an impact."""
        self.motion = stopped(self.motion)

    @property
    def gear(self) -> Gear:
        """The gear that is in."""
        return self.control.command.gear

    def pedals(self) -> tuple[float, float]:
        """Accelerator and brake, 0 to 1; what they would be where no pedal was asked for."""
        demand = self.control.command.demand
        if demand.kind is LongitudinalType.THROTTLE:
            return longitudinal.unit(demand.accel_pedal), longitudinal.unit(demand.brake_pedal)
        return (
            longitudinal.unit(abs(self.effort.drive_mps2) / self.parameters.max_drive_mps2),
            longitudinal.unit(self.effort.resist_mps2 / self.parameters.max_brake_mps2),
        )

    def place(self, motion: Motion, *, ghost: bool = False) -> None:
        """Put the car somewhere."""
        self.motion = motion
        self.ghost = ghost
        self.roll_rad = self.pitch_rad = 0.0

    def footprint(self) -> tuple[tuple[float, float], float, tuple[float, float]]:
        """Centre, direction and size of the rectangle the car covers."""
        ahead = self.parameters.centre_ahead_m
        motion = self.motion
        return (
            (
                motion.x_m + ahead * math.cos(motion.yaw_rad),
                motion.y_m + ahead * math.sin(motion.yaw_rad),
            ),
            motion.yaw_rad,
            (self.parameters.length_m, self.parameters.width_m),
        )

    def state(self, road: LoopRoad, stamp_s: float, map_data_id: int) -> EgoState:
        """Everything the simulator reports of the car."""
        motion, parameters = self.motion, self.parameters
        s_m, offset_m = road.locate(motion.x_m, motion.y_m)
        lane = road.lane_at(offset_m)
        # Positive to the left of the lane's centre; the wire's cross-track error is the opposite.
        left_of_centre_m = offset_m - road.lane_offset(lane)
        accel, brake = self.pedals()
        return EgoState(
            speed_mps=motion.speed_mps,
            stamp_s=stamp_s,
            drive_mode=DriveMode(int(self.control.mode)),
            gear=self.gear,
            position_m=(motion.x_m, motion.y_m, motion.z_m),
            roll_rad=self.roll_rad,
            pitch_rad=self.pitch_rad,
            yaw_rad=motion.yaw_rad,
            velocity_mps=(motion.speed_mps, 0.0, 0.0),
            angular_velocity_radps=(0.0, 0.0, motion.yaw_rate_radps),
            acceleration_mps2=(motion.acceleration_mps2, motion.lateral_mps2, 0.0),
            wheel_angle_rad=motion.wheel_angle_rad,
            rear_wheel_angle_rad=0.0,
            accel_pedal=accel,
            brake_pedal=brake,
            link_id=road.link_id(s_m, lane),
            map_data_id=map_data_id,
            dimensions=dimensions(parameters),
            lane=LanePosition(
                left_boundary_m=road.lane_width_m / 2.0 - left_of_centre_m,
                right_boundary_m=road.lane_width_m / 2.0 + left_of_centre_m,
                cross_track_error_m=-left_of_centre_m,
            ),
            tyres=self._tyres(),
        )

    def as_object(self, number: int) -> TrackedObject:
        """The car as another ego sees it."""
        motion, parameters = self.motion, self.parameters
        return TrackedObject(
            id=number,
            kind=ObjectKind.EGO,
            position_m=(motion.x_m, motion.y_m, motion.z_m),
            yaw_rad=motion.yaw_rad,
            size_m=(parameters.length_m, parameters.width_m, parameters.height_m),
            velocity_mps=(motion.speed_mps, 0.0, 0.0),
            acceleration_mps2=(motion.acceleration_mps2, motion.lateral_mps2, 0.0),
            wheelbase_m=parameters.wheelbase_m,
            front_overhang_m=parameters.front_overhang_m,
            rear_overhang_m=parameters.rear_overhang_m,
        )

    def _tyres(self) -> Tyres:
        force = self.parameters.mass_kg * self.motion.lateral_mps2 / 4.0
        slip = -force / _CORNERING_STIFFNESS_N_PER_RAD
        return Tyres(
            lateral_force_n=(force,) * 4,
            side_slip_rad=(slip,) * 4,
            cornering_stiffness_n_per_rad=(_CORNERING_STIFFNESS_N_PER_RAD,) * 4,
        )


def dimensions(parameters: VehicleParameters) -> Dimensions:
    """The car's size in the terms of the domain model."""
    return Dimensions(
        length_m=parameters.length_m,
        width_m=parameters.width_m,
        height_m=parameters.height_m,
        wheelbase_m=parameters.wheelbase_m,
        front_overhang_m=parameters.front_overhang_m,
        rear_overhang_m=parameters.rear_overhang_m,
    )


def at_rest(motion: Motion) -> Motion:
    """The same place, standing with straight wheels."""
    return replace(stopped(motion), wheel_angle_rad=0.0)
