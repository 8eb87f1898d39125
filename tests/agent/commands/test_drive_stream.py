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


def test_a_poisoned_sequence_is_forgotten_after_a_longer_silence() -> None:
    """One set point from the far end of seq and time does not end the stream for good."""
    stream = DriveStream()
    stream.receive(_payload(seq=2**53 - 1, speed_mps=0, t=1e18), 0.0)

    taken = [
        stream.receive(_payload(seq=seq, speed_mps=1, t=1000.0 + seq * 0.1), seq * 0.1) is not None
        for seq in range(80)
    ]

    assert taken == [False] * 50 + [True] * 30  # refused for 5 s
    assert stream.dropped == {"overtaken": 50}


def test_a_poisoned_time_does_not_make_the_rest_late() -> None:
    """A difference that no connection can cause is another clock, not a delay."""
    stream = DriveStream()
    stream.receive(_payload(seq=1, speed_mps=0, t=1e18), 0.0)

    assert stream.receive(_payload(seq=2, speed_mps=1, t=1000.0), 0.1) is not None


@pytest.mark.parametrize("stall_s", [2.0, 10.0, 100.0])
def test_a_backlog_after_a_stall_is_stale(stall_s: float) -> None:
    """Set points held up in the connection are dropped, the one that is fresh again is not."""
    stream = DriveStream(stale_after_s=0.5)
    for seq in range(20):
        stream.receive(_payload(seq=seq, speed_mps=8, t=1000.0 + seq * 0.05), 50.0 + seq * 0.05)

    # The sender went on for a second; all of it arrives at once, stall_s later.
    arrival_s = 51.0 + stall_s
    backlog = [
        stream.receive(_payload(seq=seq, speed_mps=8, t=1000.0 + seq * 0.05), arrival_s)
        for seq in range(20, 40)
    ]
    fresh = stream.receive(_payload(seq=40, speed_mps=8, t=1001.4 + stall_s), arrival_s + 0.5)

    assert backlog == [None] * 20
    assert stream.dropped == {"stale": 20}
    assert fresh is not None


@pytest.mark.parametrize(
    ("late_s", "valid_for_s", "taken"),
    [(0.4, None, True), (0.6, None, False), (0.3, 0.2, False), (0.1, 0.2, True), (0.6, 9, False)],
)
def test_lateness_is_measured_against_validity(
    late_s: float, valid_for_s: float | None, taken: bool
) -> None:
    """The shorter of the dead-man time and valid_for_s says how late is too late."""
    stream = DriveStream(stale_after_s=0.5)
    stream.receive(_payload(seq=1, speed_mps=1, t=500.0), 0.0)
    fields: dict[str, Any] = {} if valid_for_s is None else {"valid_for_s": valid_for_s}

    found = stream.receive(_payload(seq=2, speed_mps=1, t=501.0, **fields), 1.0 + late_s)

    assert (found is not None) == taken


def test_a_sender_whose_clock_was_set_back_is_heard_again_within_a_minute() -> None:
    """The fastest message is forgotten slowly, so a changed clock is not late for ever."""
    stream = DriveStream()
    stream.receive(_payload(seq=0, speed_mps=1, t=1000.0), 0.0)

    first = next(
        seq
        for seq in range(1, 1000)
        if stream.receive(_payload(seq=seq, speed_mps=1, t=970.0 + seq * 0.1), seq * 0.1)
    )

    assert 30.0 <= first * 0.1 <= 60.1


def test_a_restarted_sender_may_have_another_clock() -> None:
    """With the sequence the measure of lateness begins anew."""
    stream = DriveStream()
    stream.receive(_payload(seq=1000, speed_mps=1, t=100.0), 0.0)

    assert stream.receive(_payload(seq=0, speed_mps=1, t=0.0), 6.0) is not None
    assert stream.receive(_payload(seq=1, speed_mps=1, t=0.1), 6.1) is not None
