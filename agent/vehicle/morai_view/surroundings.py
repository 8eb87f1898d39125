"""Objects, collisions and traffic lights around the ego car, from the wire and to it.

Owns the conversion of these messages. A record with a number that is not finite is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from agent.morai import (
    CollidedVehicle,
    CollisionData,
    CollisionRecord,
    ObjectInfo,
    ObjectInfoVariant,
    ObjectRecord,
    TrafficLightState,
    TrafficLightStatus,
)
from agent.vehicle.angles import wrap_rad
from agent.vehicle.morai_view.units import (
    DEG_PER_RAD,
    MPS_PER_KMH,
    RAD_PER_DEG,
    stamp_s,
    vector,
    wire_stamp,
)
from agent.vehicle.state import (
    Collision,
    NpcCollision,
    ObjectKind,
    TrackedObject,
    TrafficLamp,
    TrafficLight,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.morai import VehicleCollision

OBJECT_SLOTS: Final = 20
"""Objects one datagram can carry."""

COLLISION_SLOTS: Final = 5
"""Collisions one datagram can carry."""

_OBJECT_KINDS: Final = {int(kind): kind for kind in ObjectKind}


def tracked_objects(message: ObjectInfo) -> tuple[TrackedObject, ...]:
    """The objects around the ego car, nearest first; those with a non-finite number left out."""
    return tuple(map(_tracked_object, filter(_is_finite_record, message.objects)))


def collisions(message: CollisionData) -> tuple[Collision, ...]:
    """What the ego car touches now; those with a non-finite number are left out."""
    at_s = stamp_s(message.sec, message.nsec)
    found = []
    for record in message.collisions:
        position_m = vector(record.position_x_m, record.position_y_m, record.position_z_m)
        offset_m = vector(
            record.global_offset_x_m, record.global_offset_y_m, record.global_offset_z_m
        )
        if position_m is not None and offset_m is not None:
            found.append(
                Collision(
                    object_id=record.id,
                    kind=_OBJECT_KINDS.get(record.type, record.type),
                    position_m=position_m,
                    map_offset_m=offset_m,
                    stamp_s=at_s,
                )
            )
    return tuple(found)


def npc_collisions(message: VehicleCollision) -> tuple[NpcCollision, ...]:
    """Which other road users touch each other now; those with a non-finite number are left out."""
    found = []
    for record in message.collisions:
        halves = (_as_object(record.first), _as_object(record.second))
        if all(map(_is_finite_record, halves)):
            first, second = map(_tracked_object, halves)
            found.append(NpcCollision(first=first, second=second))
    return tuple(found)


def traffic_light(message: TrafficLightStatus) -> TrafficLight:
    """The traffic light that matters to the ego car. A negative status is a dark light."""
    return TrafficLight(
        light_id=message.light_index,
        layout=message.type,
        lamps=TrafficLamp(max(0, message.status)),
    )


def object_info(
    objects: Sequence[TrackedObject],
    stamp_s: float | None = None,
    variant: ObjectInfoVariant = ObjectInfoVariant.O3,
) -> ObjectInfo:
    """The message a simulator would send for these objects.

    Args:
        objects: Nearest first; those beyond `OBJECT_SLOTS` have no place and are left out.
        stamp_s: Unix time, written in whole milliseconds; zero when unknown.
        variant: Generation of the message.
    """
    sec, nsec = wire_stamp(stamp_s)
    has_stamp = variant in (ObjectInfoVariant.O1, ObjectInfoVariant.O3)
    has_link = variant in (ObjectInfoVariant.O2, ObjectInfoVariant.O3)
    return ObjectInfo(
        sec if has_stamp else None,
        nsec if has_stamp else None,
        tuple(_object_record(item, has_link) for item in objects[:OBJECT_SLOTS]),
        variant,
    )


def collision_data(found: Sequence[Collision], stamp_s: float | None = None) -> CollisionData:
    """The message a simulator would send for these contacts; at most `COLLISION_SLOTS` fit."""
    sec, nsec = wire_stamp(stamp_s)
    return CollisionData(
        sec,
        nsec,
        tuple(
            CollisionRecord(int(item.kind), item.object_id, *item.position_m, *item.map_offset_m)
            for item in found[:COLLISION_SLOTS]
        ),
    )


def traffic_light_status(light: TrafficLight) -> TrafficLightStatus:
    """The message a simulator would send for this traffic light."""
    status = int(light.lamps) if light.lamps else TrafficLightState.UNLIT
    return TrafficLightStatus(light.light_id, light.layout, int(status))


def _is_finite_record(record: ObjectRecord) -> bool:
    return math.isfinite(
        record.position_x_m
        + record.position_y_m
        + record.position_z_m
        + record.heading_deg
        + record.size_x_m
        + record.size_y_m
        + record.size_z_m
        + record.velocity_x_kmh
        + record.velocity_y_kmh
        + record.velocity_z_kmh
        + record.acceleration_x_mps2
        + record.acceleration_y_mps2
        + record.acceleration_z_mps2
    )


def _tracked_object(record: ObjectRecord) -> TrackedObject:
    return TrackedObject(
        id=record.id,
        kind=_OBJECT_KINDS.get(record.type, record.type),
        position_m=(record.position_x_m, record.position_y_m, record.position_z_m),
        yaw_rad=wrap_rad(record.heading_deg * RAD_PER_DEG),
        size_m=(record.size_x_m, record.size_y_m, record.size_z_m),
        velocity_mps=(
            record.velocity_x_kmh * MPS_PER_KMH,
            record.velocity_y_kmh * MPS_PER_KMH,
            record.velocity_z_kmh * MPS_PER_KMH,
        ),
        acceleration_mps2=(
            record.acceleration_x_mps2,
            record.acceleration_y_mps2,
            record.acceleration_z_mps2,
        ),
        link_id=record.link_id or None,
        wheelbase_m=record.wheelbase_m,
        front_overhang_m=record.overhang_m,
        rear_overhang_m=record.rear_overhang_m,
    )


def _as_object(half: CollidedVehicle) -> ObjectRecord:
    return ObjectRecord(
        half.id,
        half.type,
        half.position_x_m,
        half.position_y_m,
        half.position_z_m,
        heading_deg=half.heading_deg,
        size_x_m=half.size_x_m,
        size_y_m=half.size_y_m,
        size_z_m=half.size_z_m,
        velocity_x_kmh=half.velocity_x_kmh,
        velocity_y_kmh=half.velocity_y_kmh,
        velocity_z_kmh=half.velocity_z_kmh,
        acceleration_x_mps2=half.acceleration_x_mps2,
        acceleration_y_mps2=half.acceleration_y_mps2,
        acceleration_z_mps2=half.acceleration_z_mps2,
    )


def _object_record(item: TrackedObject, has_link: bool) -> ObjectRecord:
    vx_mps, vy_mps, vz_mps = item.velocity_mps
    return ObjectRecord(
        item.id,
        int(item.kind),
        *item.position_m,
        item.yaw_rad * DEG_PER_RAD,
        *item.size_m,
        item.front_overhang_m,
        item.wheelbase_m,
        item.rear_overhang_m,
        vx_mps / MPS_PER_KMH,
        vy_mps / MPS_PER_KMH,
        vz_mps / MPS_PER_KMH,
        *item.acceleration_mps2,
        (item.link_id or "") if has_link else None,
    )
