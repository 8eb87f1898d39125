from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.morai import (
    BoundingBoxes,
    CameraChunk,
    CollisionData,
    DecodeError,
    DecodeReason,
    Dialect,
    Direction,
    EgoControl,
    EgoGhost,
    EgoStatus,
    EncodeError,
    EncodeReason,
    EnvelopeWarning,
    GpsSentences,
    Imu,
    IntersectionStatus,
    LampControl,
    Lidar2d,
    MultiEgoSetting,
    NpcGhost,
    ObjectInfo,
    SaveSensorData,
    ScenarioLoad,
    SensorPosition,
    SetIntersection,
    SetTrafficLight,
    TrafficLightStatus,
    TrajectoryTracking,
    VehicleCollision,
    VelodynePacket,
    decode,
    decode_with_warnings,
    encode,
)
from agent.morai.catalogue import LAYOUTS, Message
from tests.agent.morai.datagrams import ego_status_e3, framed, poke
from tests.agent.morai.strategies import ROUND_TRIP_LAYOUTS, messages

if TYPE_CHECKING:
    from agent.morai.layout import Layout

# The published dispatch table: name, size of the datagram, class, which way it travels.
SIZES: list[tuple[str, int, type[Any], str]] = [
    *(("#MoraiInfo$", size, EgoStatus, "from") for size in (61, 123, 161, 181, 229, 245)),
    *(("#MoraiObjInfo$", size, ObjectInfo, "from") for size in (1392, 1400, 2152, 2160)),
    ("#CollisionData$", 181, CollisionData, "from"),
    ("#VehicleCollision$", 1156, VehicleCollision, "from"),
    ("#TrafficLight$", 48, TrafficLightStatus, "from"),
    ("#TrafficLight$", 49, TrafficLightStatus, "from"),
    ("#IntStatus$", 37, IntersectionStatus, "from"),
    ("#IMUData$", 107, Imu, "from"),
    ("#IMUData$", 115, Imu, "from"),
    ("#Lidar2D$", 1107, Lidar2d, "from"),
    *(("#MoraiCtrlCmd$", size, EgoControl, "to") for size in (44, 55, 59)),
    ("#TrafficLight$", 46, SetTrafficLight, "to"),
    ("#TrafficLight$", 47, SetTrafficLight, "to"),
    ("#SetIntStatus$", 40, SetIntersection, "to"),
    ("#MultiEgoSetting$", 683, MultiEgoSetting, "to"),
    ("#ScenarioLoad$", 69, ScenarioLoad, "to"),
    ("#EgoGhostCmd$", 63, EgoGhost, "to"),
    ("#NpcGhostCmd$", 1031, NpcGhost, "to"),
    ("#LampControl$", 33, LampControl, "to"),
    ("#SensorControl$", 59, SensorPosition, "to"),
    ("#SaveSensorData$", 125, SaveSensorData, "to"),
    ("#TrajectoryTrackingCmd$", 531, TrajectoryTracking, "to"),
]


def _blank(name: str, size: int) -> bytes:
    return framed(name.encode(), bytes(size - len(name) - 18))


@pytest.mark.parametrize(("name", "size", "kind", "way"), SIZES)
def test_every_published_name_and_size_is_read(
    name: str, size: int, kind: type[Any], way: str
) -> None:
    """A blank datagram of each published size is the message of that name."""
    data = _blank(name, size)
    assert len(data) == size
    assert type(decode(data)) is kind
    right = Direction.FROM_SIMULATOR if way == "from" else Direction.TO_SIMULATOR
    wrong = Direction.TO_SIMULATOR if way == "from" else Direction.FROM_SIMULATOR
    assert type(decode(data, direction=right)) is kind
    if (name, size) != ("#TrafficLight$", 48):
        with pytest.raises(DecodeError) as caught:
            decode(data, direction=wrong)
        assert caught.value.reason is DecodeReason.WRONG_DIRECTION


@pytest.mark.parametrize(("name", "size", "kind", "way"), SIZES)
def test_a_byte_more_or_less_is_a_wrong_size(
    name: str, size: int, kind: type[Any], way: str
) -> None:
    """No size but the published ones is accepted."""
    del kind, way
    published = {other for title, other, *_ in SIZES if title == name}
    for other in (size - 1, size + 1):
        if other not in published:
            with pytest.raises(DecodeError) as caught:
                decode(_blank(name, other))
            assert caught.value.reason is DecodeReason.WRONG_SIZE


def test_sensor_data_does_not_travel_to_the_simulator() -> None:
    """Camera, GPS and LiDAR datagrams have one direction."""
    for data in (b"MOR", b"BOX", b"$GPRMC", b"\xff\xee"):
        with pytest.raises(DecodeError) as caught:
            decode(data, direction=Direction.TO_SIMULATOR)
        assert caught.value.reason is DecodeReason.WRONG_DIRECTION


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", DecodeReason.EMPTY),
        (b"hello", DecodeReason.UNKNOWN_NAME),
        (b"#", DecodeReason.UNKNOWN_NAME),
        (b"#EgoStatus$" + bytes(170), DecodeReason.UNKNOWN_NAME),
        (b"#MoraiInfo$", DecodeReason.WRONG_SIZE),
        (b"#moraiinfo$" + bytes(170), DecodeReason.UNKNOWN_NAME),
        (b"#" + b"A" * 60_000 + b"$", DecodeReason.UNKNOWN_NAME),
        (ego_status_e3()[:-2] + b"\n\r", DecodeReason.BAD_TAIL),
        (poke(ego_status_e3(), 97, "f", float("nan")), DecodeReason.NON_FINITE),
        (poke(ego_status_e3(), 97, "f", float("-inf")), DecodeReason.NON_FINITE),
        (poke(ego_status_e3(), 141, "4s", b"\xff\xff\xff\xff"), DecodeReason.BAD_TEXT),
    ],
)
def test_each_fault_has_its_reason(data: bytes, reason: DecodeReason) -> None:
    """Reasons are names of drop counters, so they must be stable."""
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.reason is reason
    assert str(caught.value).startswith(f"{reason.value}: ")


def test_infinities_of_both_signs_do_not_cancel() -> None:
    """Two infinite fields are refused although their sum is not infinite."""
    data = poke(poke(ego_status_e3(), 77, "f", float("inf")), 81, "f", float("-inf"))
    with pytest.raises(DecodeError, match="position_x_m"):
        decode(data)


def test_a_dialect_may_let_non_finite_numbers_pass() -> None:
    """A diagnostic display shows what is there, in both directions."""
    dialect = Dialect(refuse_non_finite=False)
    data = poke(ego_status_e3(), 97, "f", float("inf"))
    message = decode(data, dialect=dialect)
    assert isinstance(message, EgoStatus)
    assert message.yaw_deg == float("inf")
    assert encode(message, dialect=dialect) == data


def test_a_dialect_may_accept_a_missing_tail() -> None:
    """The 22.R1 manual's ego status of 121 bytes is an E1 without CR LF."""
    data = _blank("#MoraiInfo$", 123)[:-2]
    with pytest.raises(DecodeError):
        decode(data)
    decoded = decode_with_warnings(data, dialect=Dialect(tail_required=False))
    assert isinstance(decoded.message, EgoStatus)
    assert decoded.warnings == (EnvelopeWarning.NO_TAIL,)


def test_a_wrong_declared_length_is_a_warning_only() -> None:
    """The size of the datagram decides; the declared length is reported."""
    data = poke(ego_status_e3(), 11, "i", 200)
    assert decode(data) == decode(ego_status_e3())
    assert decode_with_warnings(data).warnings == (EnvelopeWarning.DATA_LENGTH,)
    assert decode_with_warnings(ego_status_e3()).warnings == ()


def test_filled_spare_bytes_are_a_warning_only() -> None:
    """Newer builds may use them."""
    data = poke(ego_status_e3(), 15, "i", 7)
    assert decode(data) == decode(ego_status_e3())
    assert decode_with_warnings(data).warnings == (EnvelopeWarning.AUX_NOT_ZERO,)


def test_fields_in_the_spare_bytes_are_no_warning() -> None:
    """Old generations and the 2D LiDAR use them."""
    for name, size in (("#MoraiInfo$", 61), ("#MoraiCtrlCmd$", 44), ("#Lidar2D$", 1107)):
        data = poke(_blank(name, size), len(name) + 4, "b", 1)
        assert decode_with_warnings(data).warnings == ()


def test_both_declared_lengths_of_the_imu_are_normal() -> None:
    """115-byte packets declare 80 or 88 bytes."""
    data = _blank("#IMUData$", 115)
    assert decode_with_warnings(poke(data, 9, "i", 80)).warnings == ()
    assert decode_with_warnings(poke(data, 9, "i", 81)).warnings == (EnvelopeWarning.DATA_LENGTH,)


def test_bytearrays_and_views_are_read_like_bytes() -> None:
    """A receive buffer need not be copied by the caller."""
    data = ego_status_e3()
    assert decode(bytearray(data)) == decode(data)
    assert decode(memoryview(data)) == decode(data)


def test_what_is_no_message_cannot_be_written() -> None:
    """Any other object gives the codec's own error."""
    with pytest.raises(EncodeError) as caught:
        encode("stop")  # type: ignore[arg-type] # wrong on purpose
    assert caught.value.reason is EncodeReason.BAD_VALUE


@pytest.mark.parametrize("layout", ROUND_TRIP_LAYOUTS, ids=lambda one: f"{one.title}-{one.size}")
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_message_reads_back_as_it_was_written(
    layout: Layout[Any], data: st.DataObject
) -> None:
    """Writing and reading give an equal message of the published size, for every layout."""
    message = data.draw(messages(layout))
    written = encode(message)
    assert len(written) == layout.size
    assert decode(written) == message


@given(st.binary(max_size=300))
def test_any_bytes_give_a_message_or_one_typed_error(data: bytes) -> None:
    """Reading is total."""
    try:
        outcome: object = decode(data)
    except DecodeError as error:
        outcome = error.reason
    assert isinstance(outcome, msgspec.Struct | DecodeReason)


ANY_DATAGRAM = [_blank(name, size) for name, size, *_ in SIZES]


@settings(max_examples=300)
@given(st.sampled_from(ANY_DATAGRAM), st.integers(0, 2**32), st.integers(0, 12))
def test_spoiled_datagrams_give_a_message_or_one_typed_error(
    data: bytes, seed: int, changes: int
) -> None:
    """Any byte anywhere may be wrong, and what is read can be written again."""
    rng = random.Random(seed)
    spoiled = bytearray(data)
    for _ in range(changes):
        spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    try:
        message: Message = decode(bytes(spoiled))
    except DecodeError:
        return
    try:
        outcome: object = decode(encode(message))
    except EncodeError as error:
        outcome = error.reason
    # A slot of zeros with something behind the NUL of its text counts as used, but has no content.
    assert outcome in (message, EncodeReason.EMPTY_SLOT)


def test_the_catalogue_covers_every_message_class() -> None:
    """Every class of the union is read and written somewhere."""
    framed_classes = {layout.message for layout in LAYOUTS}
    bare = {GpsSentences, CameraChunk, BoundingBoxes, VelodynePacket}
    assert framed_classes | bare == set(Message.__args__)
