from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.broker.framing import Framer, FramingFault

_MAX = 149_504


def packet(body_bytes: int) -> bytes:
    """A packet with the Remaining Length written as MQTT 5.0 section 1.5.5 says."""
    length = b""
    rest = body_bytes
    while True:
        rest, low = divmod(rest, 128)
        length += bytes([low | (0x80 if rest else 0)])
        if not rest:
            return b"\x30" + length + b"x" * body_bytes


SIZES = st.lists(st.sampled_from([0, 1, 2, 125, 127, 128, 300, 16_383, 16_384]), max_size=5)


@given(sizes=SIZES, cuts=st.lists(st.integers(1, 400), max_size=20), tail=st.booleans())
def test_any_cutting_gives_the_same_packets(sizes: list[int], cuts: list[int], tail: bool) -> None:
    """However a stream arrives in pieces, the packets are those that were sent."""
    sent = [packet(size) for size in sizes]
    stream = b"".join(sent) + (packet(200)[:5] if tail else b"")
    framer = Framer(_MAX)
    got: list[bytes] = []
    for cut in cuts:
        piece, stream = stream[:cut], stream[cut:]
        got += framer.feed(piece)
    got += framer.feed(stream)
    assert got == sent
    assert framer.fault is None
    assert framer.is_between_packets is not tail


def test_byte_by_byte_equals_all_at_once() -> None:
    """Single bytes give what one piece gives."""
    stream = packet(0) + packet(130) + packet(3)
    framer = Framer(_MAX)
    single = [found for byte in stream for found in framer.feed(bytes([byte]))]
    assert single == Framer(_MAX).feed(stream) == [packet(0), packet(130), packet(3)]


def test_a_packet_at_the_bound_is_taken_and_one_above_is_a_fault() -> None:
    """The bound counts the whole packet; the announcement alone is enough to refuse it."""
    largest = packet(_MAX - 4)
    assert Framer(_MAX).feed(largest) == [largest]
    framer = Framer(_MAX)
    assert framer.feed(packet(1) + packet(_MAX - 3)[:4]) == [packet(1)]
    assert framer.fault is FramingFault.TOO_LARGE
    assert framer.feed(packet(1)) == []


def test_a_small_bound_holds_for_small_packets_too() -> None:
    """A packet in one piece is measured like any other."""
    framer = Framer(10)
    assert framer.feed(packet(9)) == []
    assert framer.fault is FramingFault.TOO_LARGE


def test_lengths_of_five_bytes_and_padded_lengths_are_faults() -> None:
    """MQTT 5.0 section 1.5.5: at most four bytes, and the shortest form."""
    for stream in (b"\x30\xff\xff\xff\xff\x01", b"\x30\x80\x00", b"\x30\x83\x80\x00abc"):
        framer = Framer(_MAX)
        assert framer.feed(stream) == []
        assert framer.fault is FramingFault.MALFORMED_LENGTH


@given(st.binary(max_size=300))
def test_random_bytes_never_raise_and_never_hold_more_than_the_bound(data: bytes) -> None:
    """Whatever arrives, the framer gives packets, waits, or reports a fault."""
    framer = Framer(64)
    for packet_found in framer.feed(data):
        assert len(packet_found) <= 64
    assert len(framer._partial) <= 64
