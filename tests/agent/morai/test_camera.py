from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.morai import (
    BoundingBox,
    BoundingBoxes,
    CameraAssembler,
    CameraChunk,
    CameraFrame,
    CameraLayout,
    CameraLimits,
    DecodeError,
    DecodeReason,
    Dialect,
    EncodeError,
    EncodeReason,
    decode,
    encode,
)
from agent.morai.camera import chunks_of

if TYPE_CHECKING:
    import random

UNPADDED = Dialect(camera_padded=False)
OLD = Dialect(camera_layout=CameraLayout.UNTIMED)
JPEG = b"\xff\xd8" + bytes(range(256)) * 600 + b"\xff\xd9"


def test_a_padded_chunk_has_65000_bytes() -> None:
    """Mark, stamp at 3, index at 11, size at 15, image from 19, tail at 64998."""
    data = b"MOR" + struct.pack("<iiii", 1, 2, 3, 4) + b"JPEG" + bytes(64_975) + b"AI"
    assert len(data) == 65_000
    chunk = CameraChunk(1, 2, 3, b"JPEG", last=False)
    assert decode(data) == chunk
    assert encode(chunk) == data


def test_an_unpadded_chunk_ends_behind_its_bytes() -> None:
    """Some senders do not pad; both forms are read without being told."""
    data = b"MOR" + struct.pack("<iiii", 1, 2, 0, 4) + b"JPEG" + b"EI"
    chunk = CameraChunk(1, 2, 0, b"JPEG", last=True)
    assert decode(data) == chunk
    assert encode(chunk, dialect=UNPADDED) == data


def test_the_form_before_23_r1_has_no_stamp() -> None:
    """Index at 3, size at 7, image from 11; the dialect selects it because the size cannot."""
    data = b"MOR" + struct.pack("<ii", 0, 4) + b"JPEG" + bytes(64_983) + b"EI"
    assert len(data) == 65_000
    chunk = CameraChunk(None, None, 0, b"JPEG", last=True)
    assert decode(data, dialect=OLD) == chunk
    assert encode(chunk, dialect=OLD) == data


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ((1, 2, 0, -1), DecodeReason.BAD_COUNT),
        ((1, 2, 0, 64_980), DecodeReason.BAD_COUNT),
        ((1, 2, 0, 2**31 - 1), DecodeReason.BAD_COUNT),
        ((1, 2, -1, 4), DecodeReason.BAD_COUNT),
    ],
)
def test_sizes_and_indices_that_cannot_be_are_refused(
    header: tuple[int, int, int, int], reason: DecodeReason
) -> None:
    """Counts come from outside and are not believed."""
    data = b"MOR" + struct.pack("<iiii", *header) + bytes(64_979) + b"EI"
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.reason is reason


def test_wrong_tails_and_sizes_are_refused() -> None:
    """A datagram is either padded to 65000 bytes or ends behind its valid bytes."""
    good = b"MOR" + struct.pack("<iiii", 1, 2, 0, 4) + b"JPEG"
    for data, reason in (
        (good + b"XX", DecodeReason.BAD_TAIL),
        (good + b"\0EI", DecodeReason.WRONG_SIZE),
        (b"MOR", DecodeReason.WRONG_SIZE),
    ):
        with pytest.raises(DecodeError) as caught:
            decode(data)
        assert caught.value.reason is reason


def test_chunks_that_do_not_fit_are_refused() -> None:
    """More bytes than the datagram holds, a missing stamp, a stamp too much, a negative index."""
    for chunk, dialect, reason in (
        (CameraChunk(1, 2, 0, bytes(64_980), last=True), Dialect(), EncodeReason.BAD_COUNT),
        (CameraChunk(None, None, 0, b"", last=True), Dialect(), EncodeReason.MISSING_VALUE),
        (CameraChunk(1, 2, 0, b"", last=True), OLD, EncodeReason.NOT_CARRIED),
        (CameraChunk(1, 2, -1, b"", last=True), Dialect(), EncodeReason.OUT_OF_RANGE),
        (CameraChunk(2**40, 2, 1, b"", last=True), Dialect(), EncodeReason.OUT_OF_RANGE),
    ):
        with pytest.raises(EncodeError) as caught:
            encode(chunk, dialect=dialect)
        assert caught.value.reason is reason


def test_an_image_is_put_together_from_its_chunks() -> None:
    """The joined bytes are the file, without any padding."""
    assembler = CameraAssembler()
    parts = chunks_of(JPEG, 1, 2, Dialect())
    assert len(parts) == 3
    results = [assembler.add(decode(encode(part))) for part in parts]  # type: ignore[arg-type] # chunks
    assert results == [None, None, CameraFrame(1, 2, JPEG)]
    assert (assembler.frames, dict(assembler.drops)) == (1, {})


@given(st.randoms(use_true_random=False))
def test_stamped_chunks_may_arrive_in_any_order(order: random.Random) -> None:
    """IP fragments of a burst overtake each other."""
    parts = list(chunks_of(JPEG, 1, 2, Dialect()))
    order.shuffle(parts)
    assembler = CameraAssembler()
    assert [assembler.add(part) for part in parts][-1] == CameraFrame(1, 2, JPEG)


def test_a_lost_chunk_costs_its_image_only() -> None:
    """The incomplete image is given up when newer ones need the room, and counted."""
    assembler = CameraAssembler(CameraLimits(max_pending=1))
    assembler.add(chunks_of(JPEG, 1, 0, Dialect())[0])
    frames = [assembler.add(part) for part in chunks_of(JPEG, 2, 0, Dialect())]
    assert frames[-1] == CameraFrame(2, 0, JPEG)
    assert dict(assembler.drops) == {"incomplete": 1}


def test_duplicates_are_counted_and_change_nothing() -> None:
    """A repeated datagram neither completes nor spoils an image."""
    assembler = CameraAssembler()
    first, second, third = chunks_of(JPEG, 1, 0, Dialect())
    for part in (first, first, second):
        assert assembler.add(part) is None
    assert assembler.add(third) == CameraFrame(1, 0, JPEG)
    assert dict(assembler.drops) == {"duplicate": 1}


def test_a_repeated_stamp_with_other_content_is_the_next_image() -> None:
    """Stamps have 1 ms resolution and repeat."""
    assembler = CameraAssembler()
    assembler.add(CameraChunk(1, 0, 0, b"old", last=False))
    assembler.add(CameraChunk(1, 0, 0, b"new", last=False))
    assert assembler.add(CameraChunk(1, 0, 1, b"er", last=True)) == CameraFrame(1, 0, b"newer")
    assert dict(assembler.drops) == {"incomplete": 1}


def test_limits_hold() -> None:
    """Chunks beyond the limits and images beyond the size are dropped and counted."""
    assembler = CameraAssembler(CameraLimits(max_pending=1, max_chunks=2, max_bytes=5))
    assert assembler.add(CameraChunk(1, 0, 2, b"x", last=True)) is None
    assert assembler.add(CameraChunk(1, 0, 0, b"abcdef", last=True)) is None
    assert dict(assembler.drops) == {"too_large": 2}
    assert assembler.add(CameraChunk(1, 0, 0, b"abcde", last=True)) == CameraFrame(1, 0, b"abcde")


def test_a_chunk_behind_the_last_one_spoils_the_image() -> None:
    """Two chunks that both claim to be the last contradict each other."""
    assembler = CameraAssembler()
    assembler.add(CameraChunk(1, 0, 3, b"x", last=False))
    assert assembler.add(CameraChunk(1, 0, 1, b"y", last=True)) is None
    assert dict(assembler.drops) == {"inconsistent": 1}


def test_unstamped_chunks_must_arrive_in_order() -> None:
    """Without a stamp only the order says which image a chunk belongs to."""
    assembler = CameraAssembler()
    first, second, third = chunks_of(JPEG, None, None, OLD)
    assert assembler.add(second) is None
    assembler.add(first)
    assert assembler.add(third) is None
    for part in (first, second):
        assert assembler.add(part) is None
    assert assembler.add(third) == CameraFrame(None, None, JPEG)
    assert dict(assembler.drops) == {"out_of_order": 2, "incomplete": 1}


def test_an_unstamped_index_zero_starts_over() -> None:
    """A new image begins although the one before never ended."""
    assembler = CameraAssembler()
    assembler.add(CameraChunk(None, None, 0, b"same", last=False))
    assembler.add(CameraChunk(None, None, 0, b"same", last=False))
    frame = assembler.add(CameraChunk(None, None, 1, b"end", last=True))
    assert frame == CameraFrame(None, None, b"sameend")
    assert dict(assembler.drops) == {"incomplete": 1}


def test_limits_below_one_are_refused() -> None:
    """A reassembly without room is a mistake."""
    with pytest.raises(ValueError, match="at least 1"):
        CameraLimits(max_pending=0)


@given(
    st.lists(
        st.builds(
            CameraChunk,
            sec=st.none() | st.integers(0, 2),
            nsec=st.just(0),
            index=st.integers(0, 5),
            data=st.binary(max_size=3),
            last=st.booleans(),
        ),
        max_size=60,
    )
)
def test_any_sequence_of_chunks_stays_within_the_limits(chunks: list[CameraChunk]) -> None:
    """Memory is bounded and every image is no larger than allowed, whatever arrives."""
    limits = CameraLimits(max_pending=2, max_chunks=4, max_bytes=8)
    assembler = CameraAssembler(limits)
    for chunk in chunks:
        frame = assembler.add(chunk)
        assert frame is None or len(frame.jpeg) <= limits.max_bytes
        assert len(assembler._pending) <= limits.max_pending
        assert all(one.size <= limits.max_bytes for one in assembler._pending.values())


def test_bounding_boxes_have_115_bytes_each() -> None:
    """Stamp, index, size, boxes of 28 floats and three bytes, tail."""
    corners = tuple(float(n) for n in range(24))
    record = struct.pack("<28f3B", *corners, 10.0, 20.0, 30.0, 40.0, 1, 2, 3)
    data = b"BOX" + struct.pack("<iiii", 1, 2, 0, 230) + record * 2 + b"EI"
    box = BoundingBox(corners, 10.0, 20.0, 30.0, 40.0, 1, 2, 3)
    assert decode(data) == BoundingBoxes(1, 2, 0, 230, (box, box))
    assert encode(BoundingBoxes(1, 2, 0, 230, (box, box))) == data


def test_boxes_before_23_r1_have_115_n_plus_13_bytes() -> None:
    """The formula of the manual for the form without stamp."""
    data = b"BOX" + struct.pack("<ii", 0, 1) + bytes(115) + b"EI"
    assert len(data) == 115 + 13
    message = decode(data, dialect=OLD)
    assert isinstance(message, BoundingBoxes)
    assert len(message.boxes) == 1
    assert encode(message, dialect=OLD) == data


def test_half_a_box_is_refused() -> None:
    """The older 179-byte boxes do not fit the formula either."""
    with pytest.raises(DecodeError) as caught:
        decode(b"BOX" + bytes(16) + bytes(179) + b"EI")
    assert caught.value.reason is DecodeReason.WRONG_SIZE
