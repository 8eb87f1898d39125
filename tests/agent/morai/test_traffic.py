from __future__ import annotations

import struct

import pytest

from agent.morai import (
    DecodeError,
    DecodeReason,
    Dialect,
    Direction,
    EncodeError,
    EncodeReason,
    IntersectionStatus,
    SetIntersection,
    SetTrafficLight,
    TrafficLightState,
    TrafficLightStatus,
    decode,
    encode,
)
from tests.agent.morai.datagrams import framed

LIGHT = b"#TrafficLight$"


def test_traffic_light_status_has_48_bytes() -> None:
    """Index at 30, type at 42, status at 44."""
    data = framed(LIGHT, b"C119BS010025" + struct.pack("<hh", 1, 48))
    assert len(data) == 48
    status = TrafficLightStatus("C119BS010025", 1, 48)
    assert decode(data) == status
    assert status.status == TrafficLightState.GREEN_LEFT
    assert encode(status) == data


def test_older_traffic_light_status_has_a_flag_in_front() -> None:
    """The 49-byte form has one more byte before the index."""
    data = framed(LIGHT, b"\1" + b"C1".ljust(12, b"\0") + struct.pack("<hh", 0, -1))
    assert len(data) == 49
    status = TrafficLightStatus("C1", 0, -1, legacy_flag=True)
    assert decode(data) == status
    assert encode(status) == data


def test_set_traffic_light_has_46_bytes_padded_with_spaces() -> None:
    """Index at 30, status at 42."""
    data = framed(LIGHT, b"C1".ljust(12) + struct.pack("<h", 16))
    assert len(data) == 46
    assert decode(data) == SetTrafficLight("C1", 16)
    assert encode(SetTrafficLight("C1", 16)) == data


def test_older_set_traffic_light_has_a_flag_in_front() -> None:
    """The 47-byte form has one more byte before the index."""
    data = framed(LIGHT, b"\0" + b"C1".ljust(12) + struct.pack("<h", 16))
    assert len(data) == 47
    command = SetTrafficLight("C1", 16, legacy_flag=False)
    assert decode(data) == command
    assert encode(command) == data


def test_48_bytes_are_a_command_when_they_travel_to_the_simulator() -> None:
    """One name is used both ways, so the direction decides, and the dialect when writing."""
    dialect = Dialect(set_traffic_light_size=48)
    command = SetTrafficLight("C1", 16, type=2)
    data = framed(LIGHT, b"C1".ljust(12) + struct.pack("<hh", 2, 16))
    assert encode(command, dialect=dialect) == data
    assert decode(data, direction=Direction.TO_SIMULATOR) == command
    assert decode(data, direction=Direction.FROM_SIMULATOR) == TrafficLightStatus("C1", 2, 16)
    assert decode(data) == TrafficLightStatus("C1", 2, 16)


def test_the_48_byte_command_needs_a_type() -> None:
    """A dialect with 48 bytes has a type field to fill."""
    with pytest.raises(EncodeError) as caught:
        encode(SetTrafficLight("C1", 16), dialect=Dialect(set_traffic_light_size=48))
    assert caught.value.reason is EncodeReason.MISSING_VALUE


def test_intersection_status_has_37_bytes() -> None:
    """Index at 27, status at 29, elapsed time at 31."""
    data = framed(b"#IntStatus$", struct.pack("<hhf", 4, 2, 7.5))
    assert len(data) == 37
    assert decode(data) == IntersectionStatus(4, 2, 7.5)
    assert encode(IntersectionStatus(4, 2, 7.5)) == data


def test_set_intersection_has_40_bytes() -> None:
    """Fourteen characters of name, index at 30, status at 32, elapsed time at 34."""
    data = framed(b"#SetIntStatus$", struct.pack("<hhf", 4, 2, 7.5))
    assert len(data) == 40
    assert decode(data) == SetIntersection(4, 2, 7.5)
    assert encode(SetIntersection(4, 2, 7.5)) == data


def test_39_bytes_of_intersection_status_are_refused() -> None:
    """Nobody has described the two extra bytes, so they are not guessed at."""
    with pytest.raises(DecodeError) as caught:
        decode(framed(b"#IntStatus$", bytes(10)))
    assert caught.value.reason is DecodeReason.WRONG_SIZE


@pytest.mark.parametrize("index", ["C1 ", "a" * 13, "Ampel-\u00e4", "a\nb", "a\0b"])
def test_texts_that_the_field_cannot_hold_are_refused(index: str) -> None:
    """Too long, not printable ASCII, or ending in padding."""
    with pytest.raises(EncodeError) as caught:
        encode(SetTrafficLight(index, 1))
    assert caught.value.reason is EncodeReason.BAD_TEXT


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"\x1b[31m", b"a\tb"])
def test_texts_that_are_not_printable_ascii_are_refused_on_reading(raw: bytes) -> None:
    """Control characters never reach a terminal or a log through a text field."""
    with pytest.raises(DecodeError) as caught:
        decode(framed(LIGHT, raw.ljust(12, b"\0") + bytes(4)))
    assert caught.value.reason is DecodeReason.BAD_TEXT


def test_a_text_ends_at_its_first_nul() -> None:
    """What an old buffer left behind the NUL is not part of the text."""
    message = decode(framed(LIGHT, b"C1  \0rest\xff\xff\xff" + bytes(4)))
    assert message == TrafficLightStatus("C1", 0, 0)
