from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.morai import (
    DecodeError,
    DecodeReason,
    EncodeError,
    EncodeReason,
    Lidar2d,
    VelodyneBlock,
    VelodynePacket,
    decode,
    encode,
)
from tests.agent.morai.datagrams import framed


def test_a_2d_scan_has_360_returns() -> None:
    """1107 bytes: three floats at 13, then u16 distance and u8 intensity a degree."""
    returns = b"".join(struct.pack("<HB", 100 + n, n % 256) for n in range(360))
    data = framed(b"#Lidar2D$", returns, aux=struct.pack("<3f", 1.0, 2.0, 3.0))
    assert len(data) == 1107
    scan = decode(data)
    assert isinstance(scan, Lidar2d)
    assert scan.header_values == (1.0, 2.0, 3.0)
    assert scan.distances_mm == tuple(range(100, 460))
    assert scan.intensities[255:258] == (255, 0, 1)
    assert encode(scan) == data


def test_a_2d_scan_is_made_from_distances_and_intensities() -> None:
    """What was put in comes out."""
    scan = Lidar2d.of(range(360), [7] * 360)
    assert scan.distances_mm == tuple(range(360))
    assert decode(encode(scan)) == scan


@pytest.mark.parametrize(
    ("distances", "intensities", "reason"),
    [
        ([1] * 359, [1] * 359, EncodeReason.BAD_COUNT),
        ([1] * 360, [1] * 359, EncodeReason.OUT_OF_RANGE),
        ([70_000] * 360, [1] * 360, EncodeReason.OUT_OF_RANGE),
        ([1] * 360, [256] * 360, EncodeReason.OUT_OF_RANGE),
    ],
)
def test_a_2d_scan_of_other_values_is_refused(
    distances: list[int], intensities: list[int], reason: EncodeReason
) -> None:
    """360 returns of 16 and 8 bits."""
    with pytest.raises(EncodeError) as caught:
        Lidar2d.of(distances, intensities)
    assert caught.value.reason is reason


def _velodyne() -> bytes:
    blocks = b"".join(
        b"\xff\xee"
        + struct.pack("<H", 3000 * block)
        + b"".join(struct.pack("<HB", 500 + channel, channel) for channel in range(32))
        for block in range(12)
    )
    return blocks + struct.pack("<I", 123_456) + bytes([0x37, 0x22])


def test_a_velodyne_packet_has_1206_bytes() -> None:
    """Twelve blocks of 100 bytes, time in microseconds, return mode, product."""
    data = _velodyne()
    assert len(data) == 1206
    packet = decode(data)
    assert isinstance(packet, VelodynePacket)
    assert (packet.timestamp_us, packet.return_mode, packet.product) == (123_456, 0x37, 0x22)
    assert [block.azimuth_deg for block in packet.blocks] == [30.0 * n for n in range(12)]
    assert packet.blocks[3].distances_2mm == tuple(range(500, 532))
    assert packet.blocks[3].reflectivities == tuple(range(32))
    assert packet.blocks[3].distances_m[0] == pytest.approx(1.0)
    assert encode(packet) == data


def test_velodyne_packets_of_other_size_or_mark_are_refused() -> None:
    """Every block begins with FF EE."""
    data = _velodyne()
    for broken, reason in (
        (data[:-1], DecodeReason.WRONG_SIZE),
        (data[:500] + b"\xff\xdd" + data[502:], DecodeReason.BAD_VALUE),
    ):
        with pytest.raises(DecodeError) as caught:
            decode(broken)
        assert caught.value.reason is reason


blocks = st.builds(
    VelodyneBlock,
    azimuth_centideg=st.integers(0, 65_535),
    distances_2mm=st.tuples(*[st.integers(0, 65_535)] * 32),
    reflectivities=st.tuples(*[st.integers(0, 255)] * 32),
)


@given(blocks, st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 255))
def test_any_velodyne_packet_reads_back(
    block: VelodyneBlock, time_us: int, mode: int, product: int
) -> None:
    """Writing and reading give the same packet."""
    packet = VelodynePacket((block,) * 12, time_us, mode, product)
    assert decode(encode(packet)) == packet


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (VelodynePacket((), 0, 0, 0), EncodeReason.BAD_COUNT),
        (VelodynePacket((VelodyneBlock(0, (), ()),) * 12, 0, 0, 0), EncodeReason.BAD_COUNT),
        (
            VelodynePacket((VelodyneBlock(0, (0,) * 32, (0,) * 32),) * 12, -1, 0, 0),
            EncodeReason.OUT_OF_RANGE,
        ),
        (
            VelodynePacket((VelodyneBlock(0, (0,) * 32, (256,) * 32),) * 12, 0, 0, 0),
            EncodeReason.OUT_OF_RANGE,
        ),
    ],
)
def test_velodyne_packets_that_do_not_fit_are_refused(
    packet: VelodynePacket, reason: EncodeReason
) -> None:
    """Twelve blocks of 32 returns in their ranges."""
    with pytest.raises(EncodeError) as caught:
        encode(packet)
    assert caught.value.reason is reason
