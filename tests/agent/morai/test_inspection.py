from __future__ import annotations

import json

import msgspec
import pytest

from agent.morai import DecodeError, Direction, EnvelopeWarning, encode
from agent.morai.camera import CameraChunk
from agent.morai.inspection import inspect
from tests.agent.morai.datagrams import ego_status_e3, framed, poke


def test_rows_say_where_a_value_stands_and_what_it_means() -> None:
    """Offset, value, unit and the word for an enumeration number."""
    inspection = inspect(ego_status_e3())
    rows = {row.name: row for row in inspection.rows}
    assert inspection.title == "EgoStatus E3"
    assert (rows["gear"].offset, rows["gear"].value, rows["gear"].meaning) == (36, 4, "D")
    assert rows["control_mode"].meaning == "external"
    assert (rows["yaw_deg"].offset, rows["yaw_deg"].value, rows["yaw_deg"].unit) == (
        97,
        14.0,
        "deg",
    )
    assert rows["link_id"].value == "A2256W001086"


def test_records_are_numbered_as_in_the_message_and_placed_as_in_the_datagram() -> None:
    """The third slot, used, is the first object and stands at 38 + 2 * 106."""
    data = poke(framed(b"#MoraiObjInfo$", bytes(2128)), 38 + 2 * 106, "hh", 9, 2)
    rows = {row.name: row for row in inspect(data).rows}
    assert rows["objects[0].id"].offset == 250
    assert rows["objects[0].id"].value == 9
    assert rows["objects[0].type"].meaning == "obstacle"
    assert "objects[1].id" not in rows


def test_nested_records_have_rows_of_their_own() -> None:
    """The second vehicle of the first pair begins at 34 + 56."""
    data = poke(framed(b"#VehicleCollision$", bytes(1120)), 34 + 56, "hh", 1, 4)
    rows = {row.name: row for row in inspect(data).rows}
    assert (rows["collisions[0].second.id"].offset, rows["collisions[0].second.id"].value) == (
        92,
        4,
    )
    assert rows["collisions[0].second.type"].meaning == "vehicle"


def test_text_and_camera_have_rows_without_offsets() -> None:
    """Bytes are shown by their number and their beginning."""
    data = encode(CameraChunk(1, 2, 0, b"\xff\xd8" + bytes(100), last=True))
    rows = {row.name: row for row in inspect(data).rows}
    assert rows["data"].offset is None
    assert rows["data"].value.startswith("102 bytes: ff d8 00")


def test_the_document_is_json_whatever_the_numbers_are() -> None:
    """A NaN becomes null, and warnings are listed."""
    data = poke(poke(ego_status_e3(), 97, "f", float("nan")), 11, "i", 1)
    document = json.loads(msgspec.json.encode(inspect(data).document()))
    assert document["message"] == "EgoStatus"
    assert document["layout"] == "E3"
    assert document["fields"]["yaw_deg"] is None
    assert document["fields"]["gear"] == 4
    assert document["warnings"] == [EnvelopeWarning.DATA_LENGTH.value]


def test_the_direction_selects_the_reading() -> None:
    """The name that is used both ways."""
    data = framed(b"#TrafficLight$", bytes(16))
    assert inspect(data).message == "TrafficLightStatus"
    assert inspect(data, direction=Direction.TO_SIMULATOR).message == "SetTrafficLight"


def test_what_is_no_message_is_refused() -> None:
    """The same error as from decoding."""
    with pytest.raises(DecodeError):
        inspect(b"nothing")
