"""From what a driver asks for to what pushes and holds the car: pedals, velocity, acceleration.

Owns the three longitudinal control types of MORAI's ego control command and what each gear makes of
them (MORAI SIM: Drive manual 24.R2, UDP messages, Ego Ctrl Cmd). It must not know who asks.

    gear     direction of drive
    D, M, L  forward; M is driven like D, L brakes twice as hard on a released accelerator
    R        backward
    P, N     none: pedals and targets move nothing, brakes still brake; P holds by the lock
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.morai import Gear, LongitudinalType
from simulator.morai_host.bicycle import Effort

if TYPE_CHECKING:
    from simulator.morai_host.parameters import VehicleParameters

_DIRECTION = {Gear.D: 1.0, Gear.M: 1.0, Gear.L: 1.0, Gear.R: -1.0, Gear.P: 0.0, Gear.N: 0.0}
# Below this speed the power limit exceeds what the tyres and the motor's torque allow anyway.
_POWER_FROM_MPS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a driver asks for; only the fields of its type count.

    Attributes:
        kind: Which fields count.
        accel_pedal: Accelerator, 0 to 1 (type 1).
        brake_pedal: Brake, 0 to 1 (type 1).
        velocity_mps: Target velocity in the direction of the gear; below zero counts as zero
            (type 2).
        acceleration_mps2: Target acceleration in the direction of the gear; negative slows the
            car down and never reverses it (type 3).
    """

    kind: LongitudinalType = LongitudinalType.THROTTLE
    accel_pedal: float = 0.0
    brake_pedal: float = 0.0
    velocity_mps: float = 0.0
    acceleration_mps2: float = 0.0


RELEASED = Demand()
"""Both pedals up."""


def effort(
    demand: Demand, gear: Gear, speed_mps: float, parameters: VehicleParameters, dt_s: float
) -> Effort:
    """Work out what pushes and holds the car.

    Args:
        demand: What the driver asks for.
        gear: Selected gear.
        speed_mps: Signed speed now.
        parameters: The car.
        dt_s: Length of the coming step; the velocity controller aims to reach its target
            exactly and not to overshoot it.
    """
    direction = _DIRECTION[gear]
    if demand.kind is LongitudinalType.VELOCITY and direction:
        result = _velocity(demand, direction, speed_mps, parameters, dt_s)
    elif demand.kind is LongitudinalType.ACCELERATION and (
        direction or demand.acceleration_mps2 < 0.0
    ):
        result = _acceleration(demand, direction, speed_mps, parameters)
    elif demand.kind is LongitudinalType.THROTTLE:
        result = _pedals(demand, gear, speed_mps, parameters)
    else:
        result = Effort(0.0, _resistance(RELEASED, gear, speed_mps, parameters))
    if gear is Gear.P:
        return Effort(0.0, result.resist_mps2 + parameters.park_lock_mps2)
    return result


def _pedals(demand: Demand, gear: Gear, speed_mps: float, parameters: VehicleParameters) -> Effort:
    direction = _DIRECTION[gear]
    push = unit(demand.accel_pedal) * parameters.max_drive_mps2
    resist = (
        _resistance(demand, gear, speed_mps, parameters)
        + unit(demand.brake_pedal) * parameters.max_brake_mps2
    )
    return Effort(direction * _available(push, direction, speed_mps, parameters), resist)


def _velocity(
    demand: Demand,
    direction: float,
    speed_mps: float,
    parameters: VehicleParameters,
    dt_s: float,
) -> Effort:
    top = parameters.max_speed_mps if direction > 0.0 else parameters.max_reverse_mps
    target = min(max(demand.velocity_mps, 0.0), top)
    error = target - speed_mps * direction
    if error >= 0.0:
        return Effort(direction * min(error / dt_s, parameters.ramp_up_mps2), 0.0)
    return Effort(0.0, min(-error / dt_s, parameters.ramp_down_mps2))


def _acceleration(
    demand: Demand, direction: float, speed_mps: float, parameters: VehicleParameters
) -> Effort:
    if demand.acceleration_mps2 < 0.0:
        return Effort(0.0, min(-demand.acceleration_mps2, parameters.max_brake_mps2))
    push = min(demand.acceleration_mps2, parameters.max_drive_mps2)
    return Effort(direction * _available(push, direction, speed_mps, parameters), 0.0)


def _available(
    push_mps2: float, direction: float, speed_mps: float, parameters: VehicleParameters
) -> float:
    """Cut a wanted push to what power and top speed leave."""
    along = speed_mps * direction
    top = parameters.max_speed_mps if direction > 0.0 else parameters.max_reverse_mps
    if along >= top:
        return 0.0
    by_power = parameters.power_w / parameters.mass_kg / max(along, _POWER_FROM_MPS)
    return min(push_mps2, by_power)


def _resistance(
    demand: Demand, gear: Gear, speed_mps: float, parameters: VehicleParameters
) -> float:
    resist = parameters.rolling_mps2 + parameters.drag_per_m * speed_mps * speed_mps
    if _DIRECTION[gear] and demand.accel_pedal <= 0.0:
        resist += parameters.engine_brake_mps2 * (2.0 if gear is Gear.L else 1.0)
    return resist


def unit(pedal: float) -> float:
    """Cut a pedal position to 0 to 1."""
    return min(max(pedal, 0.0), 1.0)
