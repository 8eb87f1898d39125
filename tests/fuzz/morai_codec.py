"""Throws damaged datagrams at the MORAI codec: random, truncated, extended, mutated, forged.

The invariant: any bytes give a message or a `DecodeError`, and the camera assembler keeps its
limits.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from agent.morai import (
    CameraAssembler,
    CameraChunk,
    CameraLayout,
    CameraLimits,
    DecodeError,
    Dialect,
    Gga,
    GpsSentences,
    Rmc,
    VelodyneBlock,
    VelodynePacket,
    decode,
    encode,
)
from agent.morai.catalogue import LAYOUTS
from agent.morai.envelope import TAIL, opening, payload_offset
from agent.morai.nmea import checksum

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNPADDED = Dialect(camera_padded=False)
_DIALECTS = (
    Dialect(),
    Dialect(tail_required=False, refuse_non_finite=False),
    Dialect(camera_layout=CameraLayout.UNTIMED),
)
_LIMITS = CameraLimits(max_pending=2, max_chunks=8, max_bytes=64)
_SMALL = 256
_ENTROPY_BYTES = 1 << 16


def _seeds() -> list[bytes]:
    """One valid datagram of every kind."""
    seeds = [
        opening(layout.name, layout.data_length, payload_offset(layout.name)).ljust(
            layout.size - len(TAIL), b"\0"
        )
        + TAIL
        for layout in LAYOUTS
    ]
    seeds.append(
        encode(
            GpsSentences(
                (
                    Rmc("123519.7", True, 37.5, 127.1, 1.0, 2.0, "211126", mode="A"),
                    Gga("123519.7", 37.5, 127.1, 1, 9, 1.0, 50.1, 0.0),
                )
            )
        )
    )
    seeds += [
        encode(CameraChunk(1, 2, index, b"JPEG", last=index == 1), dialect=_UNPADDED)
        for index in range(2)
    ]
    seeds.append(b"BOX" + bytes(16 + 115) + b"EI")
    seeds.append(
        encode(VelodynePacket((VelodyneBlock(0, (0,) * 32, (0,) * 32),) * 12, 0, 0x37, 0x22))
    )
    # Small datagrams are quicker to read, so they get most of the attempts.
    return seeds + [seed for seed in seeds if len(seed) <= _SMALL] * 9


def _forge(seed: bytes, noise: bytes) -> bytes:
    """A datagram whose frame is right and whose content is noise."""
    if seed.startswith(b"$"):
        body = bytes(32 + byte % 95 for byte in noise[:60]).translate(None, b"*$")
        body = (b"GPRMC,", b"GPGGA,", b"GPXXX,")[noise[60] % 3] + body
        return b"$%s*%02X\r\n" % (body, checksum(body))
    if seed.startswith(b"#"):
        start = seed.find(b"$") + 17
        return seed[:start] + noise[: len(seed) - start - 2] + TAIL
    return seed[:3] + noise[: len(seed) - 5] + seed[-2:]


def _check(data: bytes, dialect: Dialect, assembler: CameraAssembler) -> None:
    try:
        message = decode(data, dialect=dialect)
        if type(message) is CameraChunk:
            frame = assembler.add(message)
            assert frame is None or len(frame.jpeg) <= _LIMITS.max_bytes
            assert len(assembler._pending) <= _LIMITS.max_pending
    except DecodeError:
        pass
    except Exception as error:
        raise AssertionError(f"{dialect}: {type(error).__name__} on {data.hex()}") from error


def damaged_datagrams(inputs: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """Datagrams from noise to nearly right, each with a random number for the caller's choices.

    Args:
        inputs: How many.
        seed: Makes them repeatable.
    """
    rng = random.Random(seed)
    seeds = _seeds()
    entropy = rng.randbytes(_ENTROPY_BYTES)
    at = 0
    for number in range(inputs):
        if at > _ENTROPY_BYTES - 4096:
            entropy = rng.randbytes(_ENTROPY_BYTES)
            at = 0
        choice = int.from_bytes(entropy[at : at + 4], "little")
        at += 4
        origin = seeds[choice % len(seeds)]
        match number & 7:
            case 0:
                data = entropy[at : at + (choice >> 16) % 300]
            case 1:
                data = origin[: (choice >> 8) % (len(origin) + 1)]
            case 2:
                data = origin + entropy[at : at + 1 + (choice >> 24) % 20]
            case 3:
                data = _forge(origin, entropy[at : at + len(origin) + 61])
            case _:
                changed = bytearray(origin)
                for step in range(1 + (choice >> 29)):
                    where = int.from_bytes(entropy[at + step : at + step + 2], "little")
                    changed[where % len(changed)] = entropy[at + step + 2]
                data = bytes(changed)
        at += 11
        yield choice >> 20, data


def fuzz(inputs: int, seed: int) -> None:
    """Try damaged datagrams.

    Args:
        inputs: How many.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the bytes.
    """
    assembler = CameraAssembler(_LIMITS)
    for choice, data in damaged_datagrams(inputs, seed):
        _check(data, _DIALECTS[choice % 3], assembler)
