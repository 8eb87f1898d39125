"""Ego status to ego state and back.

Owns the rules of one message: which fields each generation carries, what the competition builds
blank, and the sign of the reported steering angle.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from agent.morai import (
    DEFAULT_DIALECT,
    DecodeError,
    DecodeReason,
    EgoStatus,
    EgoStatusVariant,
    Gear,
)
from agent.vehicle.angles import wrap_rad
from agent.vehicle.morai_view.units import (
    DEG_PER_RAD,
    MPS_PER_KMH,
    RAD_PER_DEG,
    ZERO3,
    finite,
    stamp_s,
    vector,
    wire_stamp,
)
from agent.vehicle.state import Dimensions, DriveMode, EgoState, LanePosition, Tyres

if TYPE_CHECKING:
    from agent.morai import Dialect
    from agent.vehicle.state import Wheels4

_GEARS: Final = {int(gear): gear for gear in Gear}
_DRIVE_MODES: Final = {int(mode): mode for mode in DriveMode}
_ZERO4: Final = (0.0, 0.0, 0.0, 0.0)
_NO_DIMENSIONS: Final = Dimensions(
    length_m=0.0,
    width_m=0.0,
    height_m=0.0,
    wheelbase_m=0.0,
    front_overhang_m=0.0,
    rear_overhang_m=0.0,
)
_NO_LANE: Final = LanePosition(left_boundary_m=0.0, right_boundary_m=0.0, cross_track_error_m=0.0)
_NO_TYRES: Final = Tyres(
    lateral_force_n=_ZERO4, side_slip_rad=_ZERO4, cornering_stiffness_n_per_rad=_ZERO4
)


def ego_state(message: EgoStatus, dialect: Dialect = DEFAULT_DIALECT) -> EgoState:
    """The ego car as the simulator reports it.

    Args:
        message: Any generation of the message.
        dialect: Gives the sign of the reported steering angle.

    Raises:
        DecodeError: The speed is not a finite number. The codec refuses such datagrams itself
            unless its dialect says otherwise.
    """
    speed_kmh = message.signed_velocity_kmh
    if not math.isfinite(speed_kmh):
        raise DecodeError(DecodeReason.NON_FINITE, f"signed_velocity_kmh is {speed_kmh}")
    position_m = vector(message.position_x_m, message.position_y_m, message.position_z_m)
    velocity_mps = vector(
        message.velocity_x_kmh, message.velocity_y_kmh, message.velocity_z_kmh, MPS_PER_KMH
    )
    acceleration_mps2 = vector(
        message.acceleration_x_mps2, message.acceleration_y_mps2, message.acceleration_z_mps2
    )
    if position_m == ZERO3:
        position_m = None
        if (
            velocity_mps is not None
            and velocity_mps[1] == velocity_mps[2] == 0.0
            and acceleration_mps2 == ZERO3
        ):
            velocity_mps = acceleration_mps2 = None
    return EgoState(
        speed_mps=speed_kmh * MPS_PER_KMH,
        stamp_s=stamp_s(message.sec, message.nsec),
        drive_mode=_DRIVE_MODES.get(message.control_mode),
        gear=_GEARS.get(message.gear),
        position_m=position_m,
        roll_rad=_angle(message.roll_deg),
        pitch_rad=_angle(message.pitch_deg),
        yaw_rad=_angle(message.yaw_deg),
        velocity_mps=velocity_mps,
        angular_velocity_radps=vector(
            message.angular_velocity_x_degps,
            message.angular_velocity_y_degps,
            message.angular_velocity_z_degps,
            RAD_PER_DEG,
        ),
        acceleration_mps2=acceleration_mps2,
        wheel_angle_rad=_steer(message.steer_deg, dialect),
        rear_wheel_angle_rad=_steer(message.rear_steer_deg, dialect),
        accel_pedal=finite(message.accel_pedal),
        brake_pedal=finite(message.brake_pedal),
        link_id=message.link_id or None,
        map_data_id=None if message.variant is EgoStatusVariant.E0 else message.map_data_id,
        dimensions=_dimensions(message),
        lane=_lane(message),
        tyres=_tyres(message),
    )


def ego_status(
    state: EgoState,
    variant: EgoStatusVariant = EgoStatusVariant.E3,
    dialect: Dialect = DEFAULT_DIALECT,
) -> EgoStatus:
    """The message a simulator would send for this state.

    What the variant carries and the state does not know is written as zero, as the simulator does;
    an unknown velocity keeps its forward component, which is the speed. Time stamps are written
    in whole milliseconds.

    Args:
        state: The ego car.
        variant: Generation of the message.
        dialect: Gives the sign of the reported steering angle.
    """
    sec, nsec = wire_stamp(state.stamp_s)
    common = {
        "control_mode": 0 if state.drive_mode is None else int(state.drive_mode),
        "gear": 0 if state.gear is None else int(state.gear),
        "signed_velocity_kmh": state.speed_mps / MPS_PER_KMH,
        "map_data_id": state.map_data_id or 0,
    }
    if variant is EgoStatusVariant.E0:
        return EgoStatus(variant=variant, **common, e0_values=(0.0,) * 8)  # type: ignore[arg-type]  # eight
    size = state.dimensions or _NO_DIMENSIONS
    x_m, y_m, z_m = state.position_m or ZERO3
    vx_mps, vy_mps, vz_mps = state.velocity_mps or (state.speed_mps, 0.0, 0.0)
    rates = state.angular_velocity_radps or ZERO3
    ax_mps2, ay_mps2, az_mps2 = state.acceleration_mps2 or ZERO3
    has_stamp = variant >= EgoStatusVariant.E3
    has_tyres = variant >= EgoStatusVariant.E4
    has_lane = variant >= EgoStatusVariant.E5
    tyres = state.tyres or _NO_TYRES
    lane = state.lane or _NO_LANE
    return EgoStatus(
        variant=variant,
        sec=sec if has_stamp else None,
        nsec=nsec if has_stamp else None,
        **common,  # type: ignore[arg-type]  # three integers and one float, by name
        accel_pedal=state.accel_pedal or 0.0,
        brake_pedal=state.brake_pedal or 0.0,
        size_x_m=size.length_m,
        size_y_m=size.width_m,
        size_z_m=size.height_m,
        overhang_m=size.front_overhang_m,
        wheelbase_m=size.wheelbase_m,
        rear_overhang_m=size.rear_overhang_m,
        position_x_m=x_m,
        position_y_m=y_m,
        position_z_m=z_m,
        roll_deg=(state.roll_rad or 0.0) * DEG_PER_RAD,
        pitch_deg=(state.pitch_rad or 0.0) * DEG_PER_RAD,
        yaw_deg=(state.yaw_rad or 0.0) * DEG_PER_RAD,
        velocity_x_kmh=vx_mps / MPS_PER_KMH,
        velocity_y_kmh=vy_mps / MPS_PER_KMH,
        velocity_z_kmh=vz_mps / MPS_PER_KMH,
        angular_velocity_x_degps=rates[0] * DEG_PER_RAD if has_stamp else None,
        angular_velocity_y_degps=rates[1] * DEG_PER_RAD if has_stamp else None,
        angular_velocity_z_degps=rates[2] * DEG_PER_RAD if has_stamp else None,
        acceleration_x_mps2=ax_mps2,
        acceleration_y_mps2=ay_mps2,
        acceleration_z_mps2=az_mps2,
        steer_deg=_wire_steer(state.wheel_angle_rad, dialect),
        rear_steer_deg=_wire_steer(state.rear_wheel_angle_rad, dialect) if has_lane else None,
        link_id=(state.link_id or "") if variant >= EgoStatusVariant.E2 else None,
        tyre_lateral_force_n=tyres.lateral_force_n if has_tyres else None,
        side_slip_deg=_scaled4(tyres.side_slip_rad, DEG_PER_RAD) if has_tyres else None,
        cornering_stiffness_n_per_deg=(
            _scaled4(tyres.cornering_stiffness_n_per_rad, RAD_PER_DEG) if has_tyres else None
        ),
        distance_left_lane_m=lane.left_boundary_m if has_lane else None,
        distance_right_lane_m=lane.right_boundary_m if has_lane else None,
        cross_track_error_m=lane.cross_track_error_m if has_lane else None,
    )


def _angle(value_deg: float | None) -> float | None:
    if value_deg is None or not math.isfinite(value_deg):
        return None
    return wrap_rad(value_deg * RAD_PER_DEG)


def _steer(value_deg: float | None, dialect: Dialect) -> float | None:
    if value_deg is None or not math.isfinite(value_deg):
        return None
    return value_deg * RAD_PER_DEG * dialect.status_steer_sign


def _wire_steer(angle_rad: float | None, dialect: Dialect) -> float:
    return (angle_rad or 0.0) * DEG_PER_RAD * dialect.status_steer_sign


def _scaled4(values: Wheels4, scale: float) -> Wheels4:
    front_left, front_right, rear_left, rear_right = values
    return front_left * scale, front_right * scale, rear_left * scale, rear_right * scale


def _dimensions(message: EgoStatus) -> Dimensions | None:
    length_m, width_m, height_m = message.size_x_m, message.size_y_m, message.size_z_m
    wheelbase_m = message.wheelbase_m
    front_m, rear_m = message.overhang_m, message.rear_overhang_m
    if (
        length_m is None
        or width_m is None
        or height_m is None
        or wheelbase_m is None
        or front_m is None
        or rear_m is None
    ):
        return None
    total_m = length_m + width_m + height_m + wheelbase_m + front_m + rear_m
    # All zero is a simulator that does not say.
    if total_m == 0.0 or not math.isfinite(total_m):
        return None
    return Dimensions(
        length_m=length_m,
        width_m=width_m,
        height_m=height_m,
        wheelbase_m=wheelbase_m,
        front_overhang_m=front_m,
        rear_overhang_m=rear_m,
    )


def _lane(message: EgoStatus) -> LanePosition | None:
    distances_m = vector(
        message.distance_left_lane_m, message.distance_right_lane_m, message.cross_track_error_m
    )
    if distances_m is None:
        return None
    return LanePosition(
        left_boundary_m=distances_m[0],
        right_boundary_m=distances_m[1],
        cross_track_error_m=distances_m[2],
    )


def _tyres(message: EgoStatus) -> Tyres | None:
    forces_n = message.tyre_lateral_force_n
    slips_deg = message.side_slip_deg
    stiffnesses = message.cornering_stiffness_n_per_deg
    if forces_n is None or slips_deg is None or stiffnesses is None:
        return None
    if not math.isfinite(sum(forces_n) + sum(slips_deg) + sum(stiffnesses)):
        return None
    return Tyres(
        lateral_force_n=forces_n,
        side_slip_rad=_scaled4(slips_deg, RAD_PER_DEG),
        cornering_stiffness_n_per_rad=_scaled4(stiffnesses, DEG_PER_RAD),
    )
