"""LiDAR: the 2D scan `#Lidar2D$` and the Velodyne-compatible 3D packet.

Owns both messages and their bytes, in raw wire units (millimetres, steps of 2 mm, hundredths of a
degree) so that reading loses nothing. Turning returns into points needs the sensor's vertical
angles and is not done here.

Sources: MORAI_UDP_NetworkModule branch 24.R2.0 `lib/define/Lidar_2D.py`; Velodyne VLP-16 User
Manual 63-9243 Rev. D, chapter 9 "Sensor data" and appendix on factory bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from agent.morai.enums import Direction
from agent.morai.errors import DecodeError, DecodeReason, EncodeError, EncodeReason
from agent.morai.layout import Layout
from agent.morai.table import F32, Field, Raw, Several

if TYPE_CHECKING:
    from collections.abc import Iterable

RETURNS_2D = 360
VELODYNE_BYTES = 1206
VELODYNE_MARK = b"\xff\xee"
BLOCKS = 12
CHANNELS = 32

_RETURN = struct.Struct("<HB")
# Per block: flag, azimuth, 32 returns of distance and reflectivity. Then time and factory bytes.
_PACKET = struct.Struct("<" + ("HH" + "HB" * CHANNELS) * BLOCKS + "IBB")
_BLOCK_VALUES = 2 + 2 * CHANNELS
_FLAG = 0xEEFF


class Lidar2d(msgspec.Struct, frozen=True, gc=False):
    """One revolution of the 2D LiDAR, one return a degree.

    Attributes:
        header_values: Three floats in place of the frame's spare bytes; meaning not documented.
        returns: 360 times u16 distance in mm and u8 intensity, as on the wire.
    """

    header_values: tuple[float, float, float]
    returns: bytes

    @classmethod
    def of(cls, distances_mm: Iterable[int], intensities: Iterable[int]) -> Lidar2d:
        """Make a scan from 360 distances and 360 intensities.

        Raises:
            EncodeError: A value is out of range, or there are not 360 of both.
        """
        try:
            returns = b"".join(
                _RETURN.pack(*pair) for pair in zip(distances_mm, intensities, strict=True)
            )
        except (struct.error, ValueError) as error:
            raise EncodeError(EncodeReason.OUT_OF_RANGE, f"2D LiDAR returns: {error}") from None
        if len(returns) != RETURNS_2D * _RETURN.size:
            raise EncodeError(EncodeReason.BAD_COUNT, "a scan has 360 returns")
        return cls((0.0, 0.0, 0.0), returns)

    @property
    def distances_mm(self) -> tuple[int, ...]:
        """Distance of each return."""
        return tuple(distance for distance, _ in _RETURN.iter_unpack(self.returns))

    @property
    def intensities(self) -> tuple[int, ...]:
        """Intensity of each return, 0 to 255."""
        return tuple(intensity for _, intensity in _RETURN.iter_unpack(self.returns))


class VelodyneBlock(msgspec.Struct, frozen=True, gc=False):
    """One of twelve blocks: 32 returns at one azimuth.

    Attributes:
        azimuth_centideg: Hundredths of a degree, 0 to 35999.
        distances_2mm: 32 distances in steps of 2 mm; 0 means no return.
        reflectivities: 32 values 0 to 255.
    """

    azimuth_centideg: int
    distances_2mm: tuple[int, ...]
    reflectivities: tuple[int, ...]

    @property
    def azimuth_deg(self) -> float:
        """Azimuth in degrees."""
        return self.azimuth_centideg / 100

    @property
    def distances_m(self) -> tuple[float, ...]:
        """Distances in metres; 0 means no return."""
        return tuple(steps * 0.002 for steps in self.distances_2mm)


class VelodynePacket(msgspec.Struct, frozen=True, gc=False):
    """One data packet of the 3D LiDAR.

    Raw axes of the simulated sensor: y forward, x right, z up. A whole revolution is made at once
    and sent as a burst.

    Attributes:
        blocks: Twelve.
        timestamp_us: Microseconds past the hour.
        return_mode: Factory byte: 0x37 strongest, 0x38 last, 0x39 dual.
        product: Factory byte: 0x21 HDL-32E, 0x22 VLP-16, 0x28 VLP-32C.
    """

    blocks: tuple[VelodyneBlock, ...]
    timestamp_us: int
    return_mode: int
    product: int


LIDAR_2D = Layout(
    Lidar2d,
    b"#Lidar2D$",
    1107,
    (
        Field(13, Several(F32, 3), "header_values", "", "not documented"),
        Field(25, Raw(1080), "returns", "", "360 x (u16 distance mm, u8 intensity)"),
    ),
    data_length=1080,
    direction=Direction.FROM_SIMULATOR,
)


def decode_velodyne(data: bytes) -> VelodynePacket:
    """Read a Velodyne data packet.

    Args:
        data: Exactly 1,206 bytes.

    Raises:
        DecodeError: The size is another one, or a block does not begin with FF EE.
    """
    if len(data) != VELODYNE_BYTES:
        raise DecodeError(
            DecodeReason.WRONG_SIZE, f"{len(data)} bytes, a Velodyne packet has {VELODYNE_BYTES}"
        )
    raw = _PACKET.unpack(data)
    blocks = []
    for at in range(0, BLOCKS * _BLOCK_VALUES, _BLOCK_VALUES):
        if raw[at] != _FLAG:
            raise DecodeError(
                DecodeReason.BAD_VALUE, f"block {at // _BLOCK_VALUES} does not begin with ff ee"
            )
        end = at + _BLOCK_VALUES
        blocks.append(VelodyneBlock(raw[at + 1], raw[at + 2 : end : 2], raw[at + 3 : end : 2]))
    return VelodynePacket(tuple(blocks), raw[-3], raw[-2], raw[-1])


def encode_velodyne(packet: VelodynePacket) -> bytes:
    """Write a Velodyne data packet.

    Raises:
        EncodeError: Not twelve blocks of 32 returns, or a number out of range.
    """
    if len(packet.blocks) != BLOCKS:
        raise EncodeError(EncodeReason.BAD_COUNT, f"a packet has {BLOCKS} blocks")
    values: list[int] = []
    for block in packet.blocks:
        if len(block.distances_2mm) != CHANNELS or len(block.reflectivities) != CHANNELS:
            raise EncodeError(EncodeReason.BAD_COUNT, f"a block has {CHANNELS} returns")
        values += (_FLAG, block.azimuth_centideg)
        for pair in zip(block.distances_2mm, block.reflectivities, strict=True):
            values += pair
    try:
        return _PACKET.pack(*values, packet.timestamp_us, packet.return_mode, packet.product)
    except struct.error as error:
        raise EncodeError(EncodeReason.OUT_OF_RANGE, f"Velodyne packet: {error}") from None
