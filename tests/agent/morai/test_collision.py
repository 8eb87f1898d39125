from __future__ import annotations

import struct

import pytest

from agent.morai import (
    CollidedVehicle,
    CollisionData,
    CollisionRecord,
    EncodeError,
    EncodeReason,
    VehicleCollision,
    VehicleCollisionRecord,
    decode,
    encode,
)
from tests.agent.morai.datagrams import framed

NOTHING = struct.pack("<hh6f", -1, 0, *(0.0,) * 6)
EGO_POSE = struct.pack("<hh6f", -1, 0, 10.0, 20.0, 30.0, 1.0, 2.0, 3.0)
HIT = struct.pack("<hh6f", 1, 12, 10.0, 20.0, 30.0, 1.0, 2.0, 3.0)


def test_collision_data_is_told_from_the_ego_status_of_the_same_size() -> None:
    """Collision data has 181 bytes like an E3 ego status; the name decides."""
    data = framed(b"#CollisionData$", struct.pack("<ii", 5, 6) + NOTHING * 5)
    assert len(data) == 181
    assert decode(data) == CollisionData(5, 6, ())


def test_a_slot_of_type_minus_one_is_no_collision_even_with_a_pose() -> None:
    """Such a slot carries the ego's own pose, which is no evidence of a collision."""
    data = framed(b"#CollisionData$", bytes(8) + EGO_POSE + HIT + NOTHING * 3)
    expected = CollisionRecord(1, 12, 10.0, 20.0, 30.0, 1.0, 2.0, 3.0)
    assert decode(data) == CollisionData(0, 0, (expected,))


def test_slots_that_nobody_filled_in_are_no_collisions() -> None:
    """Five slots of zero bytes mean that nothing is touched."""
    assert decode(framed(b"#CollisionData$", bytes(148))) == CollisionData(0, 0, ())


def test_unused_collision_slots_are_written_with_type_minus_one() -> None:
    """The simulator's sign for no collision is type -1."""
    data = encode(CollisionData(5, 6, (CollisionRecord(1, 12, 10.0, 20.0, 30.0, 1.0, 2.0, 3.0),)))
    assert data == framed(b"#CollisionData$", struct.pack("<ii", 5, 6) + HIT + NOTHING * 4)


def test_a_collision_of_type_minus_one_cannot_be_written() -> None:
    """It would be read as no collision."""
    with pytest.raises(EncodeError) as caught:
        encode(CollisionData(5, 6, (CollisionRecord(-1, 0, 1.0, 1.0, 1.0),)))
    assert caught.value.reason is EncodeReason.EMPTY_SLOT


def test_vehicle_collision_reads_both_halves_of_a_pair() -> None:
    """1156 bytes, ten pairs of 112 bytes from 34, no stamp."""
    values = tuple(float(n) for n in range(13))
    first = struct.pack("<hh13f", 1, 3, *values)
    second = struct.pack("<hh13f", 1, 4, *values)
    data = framed(b"#VehicleCollision$", first + second + bytes(9 * 112))
    assert len(data) == 1156
    pair = VehicleCollisionRecord(CollidedVehicle(1, 3, *values), CollidedVehicle(1, 4, *values))
    assert decode(data) == VehicleCollision((pair,))
    assert encode(VehicleCollision((pair,))) == data


def test_a_pair_without_its_second_half_is_refused() -> None:
    """Both halves are records."""
    one = CollidedVehicle(1, 3, 0.0, 0.0, 0.0)
    with pytest.raises(EncodeError) as caught:
        encode(VehicleCollision((VehicleCollisionRecord(one, None),)))  # type: ignore[arg-type] # wrong on purpose
    assert caught.value.reason is EncodeReason.BAD_VALUE
