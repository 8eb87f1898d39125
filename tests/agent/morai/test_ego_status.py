from __future__ import annotations

from typing import Any

import pytest

from agent.morai import EgoStatus, EgoStatusVariant, EncodeError, EncodeReason, decode, encode
from tests.agent.morai.datagrams import ego_status_e3, framed, poke

# The 24 floats from accel to steer, in the order of the 24.R2 table.
FLOATS = [
    "accel_pedal",
    "brake_pedal",
    "size_x_m",
    "size_y_m",
    "size_z_m",
    "overhang_m",
    "wheelbase_m",
    "rear_overhang_m",
    "position_x_m",
    "position_y_m",
    "position_z_m",
    "roll_deg",
    "pitch_deg",
    "yaw_deg",
    "velocity_x_kmh",
    "velocity_y_kmh",
    "velocity_z_kmh",
    "angular_velocity_x_degps",
    "angular_velocity_y_degps",
    "angular_velocity_z_degps",
    "acceleration_x_mps2",
    "acceleration_y_mps2",
    "acceleration_z_mps2",
    "steer_deg",
]


def _status(data: bytes) -> EgoStatus:
    message = decode(data)
    assert isinstance(message, EgoStatus)
    return message


def test_reads_every_field_of_e3_at_its_published_offset() -> None:
    """E3 has its stamp at 27, mode at 35, floats from 45 to 140 and the link id at 141."""
    status = _status(ego_status_e3())
    assert status.variant is EgoStatusVariant.E3
    assert (status.sec, status.nsec) == (1_700_000_000, 123_000_000)
    assert (status.control_mode, status.gear) == (2, 4)
    assert (status.signed_velocity_kmh, status.map_data_id) == (36.5, 10_003)
    assert [getattr(status, name) for name in FLOATS] == [float(n) for n in range(1, 25)]
    assert status.link_id == "A2256W001086"
    assert status.rear_steer_deg is None
    assert status.tyre_lateral_force_n is None
    assert status.cross_track_error_m is None


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (45, "accel_pedal"),
        (49, "brake_pedal"),
        (53, "size_x_m"),
        (65, "overhang_m"),
        (69, "wheelbase_m"),
        (73, "rear_overhang_m"),
        (77, "position_x_m"),
        (89, "roll_deg"),
        (97, "yaw_deg"),
        (101, "velocity_x_kmh"),
        (113, "angular_velocity_x_degps"),
        (121, "angular_velocity_z_degps"),
        (125, "acceleration_x_mps2"),
        (137, "steer_deg"),
    ],
)
def test_each_float_of_e3_stands_at_its_offset(offset: int, name: str) -> None:
    """A float written at the published offset appears in that field and in no other."""
    blank = framed(b"#MoraiInfo$", bytes(152))
    status = _status(poke(blank, offset, "f", -2.5))
    changed = {
        field
        for field in EgoStatus.__struct_fields__
        if getattr(status, field) != getattr(_status(blank), field)
    }
    assert changed == {name}
    assert getattr(status, name) == -2.5


def test_reads_the_tyre_values_of_e4() -> None:
    """E4 has 229 bytes and three groups of four floats at 179, 195 and 211."""
    data = framed(b"#MoraiInfo$", bytes(200))
    assert len(data) == 229
    data = poke(data, 179, "12f", *(float(n) for n in range(12)))
    status = _status(poke(data, 141, "38s", b"LINK_1"))
    assert status.variant is EgoStatusVariant.E4
    assert status.link_id == "LINK_1"
    assert status.tyre_lateral_force_n == (0.0, 1.0, 2.0, 3.0)
    assert status.side_slip_deg == (4.0, 5.0, 6.0, 7.0)
    assert status.cornering_stiffness_n_per_deg == (8.0, 9.0, 10.0, 11.0)


def test_reads_the_rear_steer_and_lane_values_of_e5() -> None:
    """E5 has 245 bytes: rear steer at 141, link id at 145, tyres at 183, lanes at 231."""
    data = framed(b"#MoraiInfo$", bytes(216))
    assert len(data) == 245
    data = poke(data, 137, "ff", 5.0, -6.0)
    data = poke(data, 145, "38s", b"L9")
    data = poke(data, 183, "12f", *(float(n) for n in range(12)))
    status = _status(poke(data, 231, "3f", 1.5, 1.25, -0.5))
    assert status.variant is EgoStatusVariant.E5
    assert (status.steer_deg, status.rear_steer_deg, status.link_id) == (5.0, -6.0, "L9")
    assert status.cornering_stiffness_n_per_deg == (8.0, 9.0, 10.0, 11.0)
    lane = (status.distance_left_lane_m, status.distance_right_lane_m, status.cross_track_error_m)
    assert lane == (1.5, 1.25, -0.5)


def test_reads_e1_without_stamp_and_link() -> None:
    """E1 has 123 bytes: mode at 27, position at 69, acceleration at 105, steer at 117."""
    data = framed(b"#MoraiInfo$", bytes(94))
    assert len(data) == 123
    data = poke(data, 27, "bbfi", 1, 2, -7.5, 42)
    data = poke(data, 37, "2f", 0.25, 0.75)
    data = poke(data, 69, "3f", 100.0, 200.0, 300.0)
    data = poke(data, 81, "3f", 1.0, 2.0, 90.0)
    data = poke(data, 105, "3f", 0.5, -0.5, 9.5)
    status = _status(poke(data, 117, "f", 3.0))
    assert status.variant is EgoStatusVariant.E1
    assert (status.sec, status.nsec, status.link_id) == (None, None, None)
    assert (status.control_mode, status.gear, status.map_data_id) == (1, 2, 42)
    assert status.signed_velocity_kmh == -7.5
    assert (status.accel_pedal, status.brake_pedal) == (0.25, 0.75)
    assert (status.position_x_m, status.position_z_m) == (100.0, 300.0)
    assert (status.yaw_deg, status.acceleration_z_mps2, status.steer_deg) == (90.0, 9.5, 3.0)
    assert status.angular_velocity_x_degps is None


def test_reads_the_link_id_of_e2() -> None:
    """E2 has 161 bytes and the link id at 121."""
    data = framed(b"#MoraiInfo$", bytes(132))
    assert len(data) == 161
    status = _status(poke(data, 121, "38s", b"A119AS010184"))
    assert status.variant is EgoStatusVariant.E2
    assert status.link_id == "A119AS010184"


def test_reads_the_values_that_e0_keeps_in_the_spare_bytes() -> None:
    """E0 has 61 bytes, mode, gear, speed and map id at 15 to 24, and eight floats from 27."""
    data = framed(b"#MoraiInfo$", bytes(32))
    assert len(data) == 61
    data = poke(data, 15, "bbfi", 2, 4, 12.5, 7)
    status = _status(poke(data, 27, "8f", *(float(n) for n in range(8))))
    assert status.variant is EgoStatusVariant.E0
    assert (status.control_mode, status.gear, status.map_data_id) == (2, 4, 7)
    assert status.signed_velocity_kmh == 12.5
    assert status.e0_values == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert status.position_x_m is None


def test_writes_e3_byte_for_byte() -> None:
    """The written bytes are those of the published table, spare bytes zero, link NUL padded."""
    assert encode(_status(ego_status_e3())) == ego_status_e3()


def test_unknown_enumeration_numbers_pass_through() -> None:
    """A gear and a mode that nobody has named are still read."""
    status = _status(poke(ego_status_e3(), 35, "bb", 16, -3))
    assert (status.control_mode, status.gear) == (16, -3)


def test_a_garbage_nanosecond_value_does_not_break_reading() -> None:
    """A nanosecond value beyond a second is passed on as it is."""
    status = _status(poke(ego_status_e3(), 31, "I", 3_074_316_224))
    assert status.nsec == 3_074_316_224 - 2**32


def test_a_missing_value_is_refused_on_writing() -> None:
    """E3 has a steer field, so a status without steer cannot be written."""
    status = EgoStatus(EgoStatusVariant.E3, sec=1, nsec=2)
    with pytest.raises(EncodeError) as caught:
        encode(status)
    assert caught.value.reason is EncodeReason.MISSING_VALUE


def test_a_value_that_the_variant_cannot_carry_is_refused_on_writing() -> None:
    """E3 has no rear steer, so writing one would lose it silently."""
    fields: dict[str, Any] = dict.fromkeys(FLOATS, 0.0)
    status = EgoStatus(EgoStatusVariant.E3, 1, 2, link_id="", rear_steer_deg=1.0, **fields)
    with pytest.raises(EncodeError, match="rear_steer_deg") as caught:
        encode(status)
    assert caught.value.reason is EncodeReason.NOT_CARRIED


def test_an_unknown_variant_is_refused_on_writing() -> None:
    """A number that is no generation gives an encoding error."""
    with pytest.raises(EncodeError) as caught:
        encode(EgoStatus(99))  # type: ignore[arg-type] # the wrong type is the point
    assert caught.value.reason is EncodeReason.BAD_VALUE
