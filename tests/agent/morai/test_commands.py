from __future__ import annotations

import struct

import pytest

from agent.morai import (
    DecodeError,
    DecodeReason,
    EgoGhost,
    EncodeError,
    EncodeReason,
    LampControl,
    Message,
    MultiEgoRecord,
    MultiEgoSetting,
    NpcGhost,
    NpcGhostRecord,
    SaveSensorData,
    ScenarioLoad,
    SensorPosition,
    TrajectoryPoint,
    TrajectoryTracking,
    decode,
    encode,
)
from tests.agent.morai.datagrams import framed, poke

EGO = struct.pack("<h7fbb", 1, 10.0, 20.0, 30.0, 1.0, 2.0, 90.0, 36.0, 4, 2)
NPC = struct.pack("<b25s6f", 3, b"2016_Hyundai_Ioniq".ljust(25), 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
POINT = struct.pack("<4f", 1.0, 2.0, 3.0, 2.0)

CASES: list[tuple[int, bytes, Message]] = [
    (
        63,
        framed(b"#EgoGhostCmd$", struct.pack("<8f", *(float(n) for n in range(8)))),
        EgoGhost(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
    ),
    (
        683,
        framed(b"#MultiEgoSetting$", struct.pack("<ii", 2, 1) + EGO * 2 + bytes(18 * 32)),
        MultiEgoSetting(1, (MultiEgoRecord(1, 10.0, 20.0, 30.0, 1.0, 2.0, 90.0, 36.0, 4, 2),) * 2),
    ),
    (33, framed(b"#LampControl$", b"\2\1"), LampControl(2, emergency=True)),
    (
        69,
        framed(b"#ScenarioLoad$", b"city_1".ljust(30) + bytes([1, 0, 1, 0, 1, 0, 1])),
        ScenarioLoad(
            "city_1",
            delete_all=True,
            load_network=False,
            load_ego=True,
            load_npc=False,
            load_pedestrian=True,
            load_object=False,
            pause=True,
        ),
    ),
    (
        59,
        framed(b"#SensorControl$", struct.pack("<h6f", 2, *(float(n) for n in range(6)))),
        SensorPosition(2, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    ),
    (
        125,
        framed(b"#SaveSensorData$", b"\1" + b"run1".ljust(30) + b"C:/data".ljust(60)),
        SaveSensorData(use_custom_name=True, file_name="run1", directory="C:/data"),
    ),
    (
        1031,
        framed(b"#NpcGhostCmd$", NPC + bytes(19 * 50)),
        NpcGhost((NpcGhostRecord(3, "2016_Hyundai_Ioniq", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),)),
    ),
    (
        531,
        framed(
            b"#TrajectoryTrackingCmd$",
            struct.pack("<iibB", 10, 20, 5, 2) + POINT * 2 + bytes(28 * 16),
        ),
        TrajectoryTracking(10, 20, 5, (TrajectoryPoint(1.0, 2.0, 3.0, 2.0),) * 2),
    ),
]


@pytest.mark.parametrize(
    ("size", "data", "message"), CASES, ids=[type(case[2]).__name__ for case in CASES]
)
def test_commands_have_the_published_bytes(size: int, data: bytes, message: Message) -> None:
    """Every command has its published size, reads and writes by the published table."""
    assert len(data) == size
    assert decode(data) == message
    assert encode(message) == data


@pytest.mark.parametrize("count", [-1, 21, 2**31 - 1])
def test_a_count_of_egos_beyond_the_slots_is_refused(count: int) -> None:
    """The count comes from outside and is not believed."""
    with pytest.raises(DecodeError) as caught:
        decode(poke(framed(b"#MultiEgoSetting$", bytes(648)), 33, "i", count))
    assert caught.value.reason is DecodeReason.BAD_COUNT


def test_a_count_of_points_beyond_the_slots_is_refused() -> None:
    """A trajectory has at most thirty points."""
    with pytest.raises(DecodeError) as caught:
        decode(poke(framed(b"#TrajectoryTrackingCmd$", bytes(490)), 48, "B", 31))
    assert caught.value.reason is DecodeReason.BAD_COUNT


def test_slots_behind_the_count_are_ignored() -> None:
    """What an old buffer left in unused slots is neither read nor able to refuse the message."""
    garbage = b"\xff" * (19 * 32)
    message = decode(framed(b"#MultiEgoSetting$", struct.pack("<ii", 1, 0) + EGO + garbage))
    assert isinstance(message, MultiEgoSetting)
    assert len(message.egos) == 1


def test_a_ghost_without_model_name_is_refused() -> None:
    """A slot without a model name counts as unused."""
    with pytest.raises(EncodeError) as caught:
        encode(NpcGhost((NpcGhostRecord(1, "", 0.0, 0.0, 0.0),)))
    assert caught.value.reason is EncodeReason.EMPTY_SLOT


def test_a_switch_that_is_no_truth_value_is_refused() -> None:
    """One byte, zero or one: a text or a missing value is a mistake of the caller."""
    for value, reason in (("no", EncodeReason.BAD_VALUE), (None, EncodeReason.MISSING_VALUE)):
        with pytest.raises(EncodeError) as caught:
            encode(LampControl(0, emergency=value))  # type: ignore[arg-type] # wrong on purpose
        assert caught.value.reason is reason


def test_any_byte_but_zero_is_true() -> None:
    """Senders write other values than one into a switch."""
    assert decode(framed(b"#LampControl$", b"\0\x7f")) == LampControl(0, emergency=True)
