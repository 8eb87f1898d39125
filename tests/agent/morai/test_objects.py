from __future__ import annotations

import struct

import pytest

from agent.morai import (
    Dialect,
    EmptySlotRule,
    EncodeError,
    EncodeReason,
    ObjectInfo,
    ObjectInfoVariant,
    ObjectRecord,
    decode,
    encode,
)
from tests.agent.morai.datagrams import framed, poke

NAME = b"#MoraiObjInfo$"
FLOATS = tuple(float(n) for n in range(1, 17))
RECORD_68 = struct.pack("<hh16f", 7, 1, *FLOATS)
RECORD_106 = RECORD_68 + b"A2256W001086".ljust(38, b"\0")

EXPECTED = ObjectRecord(
    *(7, 1),
    *(1.0, 2.0, 3.0, 4.0),
    *(5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
    *(11.0, 12.0, 13.0, 14.0, 15.0, 16.0),
    "A2256W001086",
)


def _info(data: bytes, dialect: Dialect | None = None) -> ObjectInfo:
    message = decode(data, dialect=dialect or Dialect())
    assert isinstance(message, ObjectInfo)
    return message


def test_reads_the_fields_of_a_record_in_the_published_order() -> None:
    """The current form has 2160 bytes, a stamp at 30 and 106-byte records from 38."""
    data = framed(NAME, struct.pack("<ii", 11, 22) + RECORD_106 + bytes(19 * 106))
    assert len(data) == 2160
    info = _info(data)
    assert (info.sec, info.nsec, info.variant) == (11, 22, ObjectInfoVariant.O3)
    assert info.objects == (EXPECTED,)
    only = info.objects[0]
    assert (only.heading_deg, only.size_x_m, only.overhang_m) == (4.0, 5.0, 8.0)
    assert (only.velocity_x_kmh, only.acceleration_z_mps2) == (11.0, 16.0)


@pytest.mark.parametrize(
    ("size", "stamp", "record", "variant"),
    [
        (1392, b"", RECORD_68, ObjectInfoVariant.O0),
        (1400, bytes(8), RECORD_68, ObjectInfoVariant.O1),
        (2152, b"", RECORD_106, ObjectInfoVariant.O2),
    ],
)
def test_reads_the_older_forms_by_their_size(
    size: int, stamp: bytes, record: bytes, variant: ObjectInfoVariant
) -> None:
    """Forms without stamp or link id are told apart by their size."""
    data = framed(NAME, stamp + record * 20)
    assert len(data) == size
    info = _info(data)
    assert info.variant is variant
    assert len(info.objects) == 20
    assert info.sec == (0 if stamp else None)
    assert info.objects[19].link_id == ("A2256W001086" if len(record) == 106 else None)
    assert info.objects[19].acceleration_z_mps2 == 16.0
    assert encode(info) == data


def test_order_of_the_slots_is_kept_and_gaps_are_left_out() -> None:
    """Objects keep their order, nearest first, with unused slots in between left out."""
    near = poke(RECORD_106, 0, "h", 1)
    far = poke(RECORD_106, 0, "h", 2)
    data = framed(NAME, bytes(8) + near + bytes(106) + far + bytes(17 * 106))
    assert [record.id for record in _info(data).objects] == [1, 2]


SLOTS = {
    "all zero": bytes(106),
    "id 0, type -1, own pose": poke(poke(RECORD_106, 0, "h", 0), 2, "h", -1),
    "id 0, type 1, with size": poke(poke(RECORD_106, 0, "h", 0), 2, "h", 1),
    "id 0, pedestrian with pose": poke(poke(RECORD_106, 0, "h", 0), 2, "h", 0),
    "id 3, pedestrian, all zero": poke(bytes(106), 0, "h", 3),
}


@pytest.mark.parametrize(
    ("rule", "used"),
    [
        (
            EmptySlotRule.CONSERVATIVE,
            {"id 0, type 1, with size", "id 0, pedestrian with pose", "id 3, pedestrian, all zero"},
        ),
        (EmptySlotRule.ID_ZERO, {"id 3, pedestrian, all zero"}),
        (EmptySlotRule.ID_ZERO_TYPE_EGO, set(SLOTS) - {"id 0, type -1, own pose"}),
    ],
)
def test_the_dialect_decides_which_slots_are_unused(rule: EmptySlotRule, used: set[str]) -> None:
    """Each of the three rules of public code can be chosen, none is built in."""
    dialect = Dialect(empty_slot=rule)
    never = poke(bytes(106), 2, "h", -1)
    found = set()
    for name, slot in SLOTS.items():
        data = framed(NAME, bytes(8) + slot + never * 19)
        if _info(data, dialect).objects:
            found.add(name)
    assert found == used


@pytest.mark.parametrize("rule", list(EmptySlotRule))
def test_unused_slots_are_written_so_that_the_same_dialect_leaves_them_out(
    rule: EmptySlotRule,
) -> None:
    """An object list with one object comes back with one object under every rule."""
    dialect = Dialect(empty_slot=rule)
    info = ObjectInfo(1, 2, (ObjectRecord(5, 0, 1.0, 2.0, 3.0),))
    assert _info(encode(info, dialect=dialect), dialect) == info


def test_an_object_that_would_read_as_an_unused_slot_is_refused() -> None:
    """Id 0 with type -1 means unused, so it cannot be sent as an object."""
    with pytest.raises(EncodeError) as caught:
        encode(ObjectInfo(1, 2, (ObjectRecord(0, -1, 1.0, 2.0, 3.0),)))
    assert caught.value.reason is EncodeReason.EMPTY_SLOT


def test_more_objects_than_slots_are_refused() -> None:
    """There are twenty slots."""
    record = ObjectRecord(5, 0, 1.0, 2.0, 3.0)
    with pytest.raises(EncodeError) as caught:
        encode(ObjectInfo(1, 2, (record,) * 21))
    assert caught.value.reason is EncodeReason.BAD_COUNT


def test_a_foreign_record_is_refused() -> None:
    """A record must be of the layout's own class."""
    with pytest.raises(EncodeError) as caught:
        encode(ObjectInfo(1, 2, ("car",)))  # type: ignore[arg-type] # wrong on purpose
    assert caught.value.reason is EncodeReason.BAD_VALUE
