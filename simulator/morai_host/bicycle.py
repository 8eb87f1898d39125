"""The kinematic bicycle: how a car with a given steering and effort moves in one time step.

Owns geometry and tyre limits. It must not know commands, gears, modes or roads. The reference
point is the centre of the rear axle, so the car turns about a point on the rear axle's line at
R = L / tan(wheel angle) (R. Rajamani, Vehicle Dynamics and Control, section 2.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.vehicle.angles import wrap_rad

if TYPE_CHECKING:
    from simulator.morai_host.parameters import VehicleParameters

# Below this turn within one step the chord equals the arc to double precision.
_STRAIGHT_RAD = 1e-9
_STANDING_MPS = 1e-6


@dataclass(frozen=True, slots=True)
class Effort:
    """What pushes and what holds the car along its axis.

    Attributes:
        drive_mps2: Acceleration by the drive, signed; negative pushes backwards.
        resist_mps2: Deceleration by brakes and resistance, not negative. It opposes motion and
            therefore brings the car to a stop but never through it.
    """

    drive_mps2: float = 0.0
    resist_mps2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Pose and motion of the rear axle's centre in the map frame.

    Attributes:
        x_m: East.
        y_m: North.
        z_m: Up.
        yaw_rad: From east, counter-clockwise, in (-pi, pi].
        speed_mps: Signed speed along the body axis.
        wheel_angle_rad: Front road-wheel angle, positive to the left.
        yaw_rate_radps: Yaw rate of the last step.
        acceleration_mps2: Longitudinal acceleration of the last step.
        lateral_mps2: Lateral acceleration of the last step, positive to the left.
    """

    x_m: float
    y_m: float
    z_m: float = 0.0
    yaw_rad: float = 0.0
    speed_mps: float = 0.0
    wheel_angle_rad: float = 0.0
    yaw_rate_radps: float = 0.0
    acceleration_mps2: float = 0.0
    lateral_mps2: float = 0.0


def step(
    motion: Motion,
    effort: Effort,
    wheel_target_rad: float,
    parameters: VehicleParameters,
    dt_s: float,
) -> Motion:
    """Move the car by one time step.

    The longitudinal force is served first and the rest of the friction circle is left for the
    corner. A car that is too fast for its wheel angle therefore runs wide instead of sliding.

    Args:
        motion: Where the car is.
        effort: What pushes and holds it.
        wheel_target_rad: Where the steering wants the front wheels, positive to the left.
        parameters: The car.
        dt_s: Length of the step, positive.

    Returns:
        The motion at the end of the step. The path within it is an exact arc.
    """
    wheel = steer(motion.wheel_angle_rad, wheel_target_rad, parameters, dt_s)
    grip = parameters.grip_mps2
    bounded = Effort(
        min(max(effort.drive_mps2, -grip), grip), min(max(effort.resist_mps2, 0.0), grip)
    )
    speed, distance = advance_speed(motion.speed_mps, bounded, dt_s)
    acceleration = (speed - motion.speed_mps) / dt_s
    mean_speed = distance / dt_s
    curvature = math.tan(wheel) / parameters.wheelbase_m
    lateral_limit = math.sqrt(max(0.0, grip * grip - acceleration * acceleration))
    lateral = mean_speed * mean_speed * curvature
    if abs(lateral) > lateral_limit:
        curvature *= lateral_limit / abs(lateral)
        lateral = math.copysign(lateral_limit, lateral)
    turn = distance * curvature
    chord = distance
    if abs(turn) > _STRAIGHT_RAD:
        chord = distance * math.sin(turn / 2.0) / (turn / 2.0)
    course = motion.yaw_rad + turn / 2.0
    return Motion(
        x_m=motion.x_m + chord * math.cos(course),
        y_m=motion.y_m + chord * math.sin(course),
        z_m=motion.z_m,
        yaw_rad=wrap_rad(motion.yaw_rad + turn),
        speed_mps=speed,
        wheel_angle_rad=wheel,
        yaw_rate_radps=turn / dt_s,
        acceleration_mps2=acceleration,
        lateral_mps2=lateral,
    )


def steer(wheel_rad: float, target_rad: float, parameters: VehicleParameters, dt_s: float) -> float:
    """Turn the road wheels towards a target, within their rate and their lock."""
    lock = parameters.max_wheel_angle_rad
    reach = parameters.max_wheel_rate_radps * dt_s
    target = min(max(target_rad, -lock), lock)
    return wheel_rad + min(max(target - wheel_rad, -reach), reach)


def advance_speed(speed_mps: float, effort: Effort, dt_s: float) -> tuple[float, float]:
    """Change the speed along the body axis.

    Args:
        speed_mps: Signed speed at the start.
        effort: What pushes and holds.
        dt_s: Length of the step.

    Returns:
        Signed speed at the end and signed distance covered. Resistance alone stops the car
        exactly at zero and keeps it there until the drive overcomes it.
    """
    pushed = speed_mps + effort.drive_mps2 * dt_s
    loss = effort.resist_mps2 * dt_s
    if abs(pushed) > loss:
        end = pushed - math.copysign(loss, pushed)
        return end, (speed_mps + end) / 2.0 * dt_s
    if abs(speed_mps) < _STANDING_MPS:
        return 0.0, 0.0
    # The car comes to rest within the step, after |speed| / deceleration seconds.
    along = math.copysign(1.0, speed_mps)
    deceleration = max(effort.resist_mps2 - along * effort.drive_mps2, abs(speed_mps) / dt_s)
    return 0.0, math.copysign(speed_mps * speed_mps / (2.0 * deceleration), speed_mps)


def stopped(motion: Motion) -> Motion:
    """The same place with the speed gone, as after an impact."""
    return replace(
        motion, speed_mps=0.0, yaw_rate_radps=0.0, acceleration_mps2=0.0, lateral_mps2=0.0
    )
