from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.drive_stream import DriveStream, SetPoint, parse_set_point
from agent.commands.motion import Motion, Pedals, TargetAcceleration, TargetSpeed


def _payload(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"seq": 1, "speed_mps": 8}, SetPoint(1, Motion(TargetSpeed(8.0)))),
        (
            {"seq": 2, "speed_mps": 8.5, "steer_rad": -0.1, "t": 1767225600.25, "valid_for_s": 0.3},
            SetPoint(2, Motion(TargetSpeed(8.5), -0.1), 1767225600.25, 0.3),
        ),
        ({"seq": 3, "accel_pedal": 0.4}, SetPoint(3, Motion(Pedals(0.4, 0.0)))),
        ({"seq": 4, "brake_pedal": 1}, SetPoint(4, Motion(Pedals(0.0, 1.0)))),
        ({"seq": 5, "accel_pedal": 0, "brake_pedal": 0}, SetPoint(5, Motion(Pedals(0.0, 0.0)))),
        ({"seq": 6, "acceleration_mps2": -3}, SetPoint(6, Motion(TargetAcceleration(-3.0)))),
    ],
)
def test_set_points_parse(fields: dict[str, Any], expected: SetPoint) -> None:
    """Speed, acceleration and pedals are read with their steering and times."""
    assert parse_set_point(_payload(**fields)) == expected


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b"\xff", "malformed"),
        (b"[" * 1000, "malformed"),
        (b" " * 1025, "too_large"),
        (_payload(seq="1", speed_mps=1), "malformed"),
        (_payload(seq=1, speed_mps="1"), "malformed"),
        (_payload(seq=1.5, speed_mps=1), "malformed"),
        (_payload(seq=True, speed_mps=1), "malformed"),
        (_payload(seq=1, speed_mps=1, extra=0), "malformed"),
        (b'{"seq":1,"speed_mps":1e999}', "malformed"),
        (b'{"seq":1,"speed_mps":NaN}', "malformed"),
        (_payload(seq=1), "out_of_range"),
        (_payload(seq=1, speed_mps=1, brake_pedal=1), "out_of_range"),
        (_payload(seq=1, speed_mps=1, acceleration_mps2=1), "out_of_range"),
        (_payload(seq=-1, speed_mps=1), "out_of_range"),
        (_payload(seq=2**53, speed_mps=1), "out_of_range"),
        (_payload(seq=1, speed_mps=-0.1), "out_of_range"),
        (_payload(seq=1, speed_mps=151), "out_of_range"),
        (_payload(seq=1, accel_pedal=1.1), "out_of_range"),
        (_payload(seq=1, acceleration_mps2=-15.1), "out_of_range"),
        (_payload(seq=1, speed_mps=1, steer_rad=1.6), "out_of_range"),
        (_payload(seq=1, speed_mps=1, valid_for_s=0), "out_of_range"),
    ],
)
def test_other_payloads_are_dropped_by_cause(data: bytes, cause: str) -> None:
    """Everything else is dropped under the name of what is wrong with it, and counted."""
    stream = DriveStream()

    assert stream.receive(data, 0.0) is None
    assert stream.dropped == {cause: 1}


@given(st.binary(max_size=200))
def test_parsing_is_total(data: bytes) -> None:
    """Any bytes give a set point or a cause."""
    assert isinstance(parse_set_point(data), (SetPoint, str))


def test_an_overtaken_set_point_is_dropped() -> None:
    """Of 1, 3, 2, 3, 4 within the dead-man time, 1, 3 and 4 are acted on."""
    stream = DriveStream(restart_after_s=0.5)

    taken = [
        point.seq
        for index, seq in enumerate([1, 3, 2, 3, 4])
        if (point := stream.receive(_payload(seq=seq, speed_mps=1), index * 0.05)) is not None
    ]

    assert taken == [1, 3, 4]
    assert (stream.accepted, stream.dropped) == (3, {"overtaken": 2})


def test_a_restarted_sender_is_heard_after_a_silence() -> None:
    """A lower seq counts as a new sender once the old one was silent for the dead-man time."""
    stream = DriveStream(restart_after_s=0.5)
    stream.receive(_payload(seq=100, speed_mps=1), 0.0)

    assert stream.receive(_payload(seq=0, speed_mps=1), 0.4) is None
    assert stream.receive(_payload(seq=0, speed_mps=1), 0.5) is not None


def test_a_late_copy_is_recognised_by_its_time_even_after_a_silence() -> None:
    """With `t`, a set point that was held up somewhere does not restart a stopped car."""
    stream = DriveStream(restart_after_s=0.5)
    stream.receive(_payload(seq=7, speed_mps=1, t=1000.0), 0.0)

    assert stream.receive(_payload(seq=6, speed_mps=1, t=999.95), 3.0) is None
    assert stream.receive(_payload(seq=0, speed_mps=1, t=1003.0), 3.1) is not None


@given(st.lists(st.integers(0, 50), max_size=40))
def test_without_a_silence_accepted_seq_strictly_grows(sequence: list[int]) -> None:
    """Whatever the network reorders or repeats, the car never goes back in the stream."""
    stream = DriveStream(restart_after_s=0.5)

    taken = [
        point.seq
        for index, seq in enumerate(sequence)
        if (point := stream.receive(_payload(seq=seq, speed_mps=1), index * 0.001)) is not None
    ]

    assert taken == sorted(set(taken))
    assert len(taken) + stream.dropped.get("overtaken", 0) == len(sequence)
