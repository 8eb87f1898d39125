"""Throws damaged files at the reader of recordings.

The invariant: any bytes give a `Recording` or a `PeerError`.
"""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import numpy as np
from mcap.writer import CompressionType, Writer

from certs.errors import PeerError
from simulator.replay.mcap_file import to_bytes
from simulator.replay.recording import (
    EGO_TOPIC,
    FORMAT,
    METADATA_NAME,
    EgoTrack,
    GnssTrack,
    ImuTrack,
    MapOrigin,
    Recording,
    parse,
)

if TYPE_CHECKING:
    from simulator.replay.recording import FloatArray

_SAMPLES = 3
_EGO = (
    b'{"t_s":%d,"position_m":{"x":1,"y":2,"z":3},"orientation_rad":{"roll":0,"pitch":0,"yaw":1},'
    b'"speed_mps":4,"velocity_mps":{"x":4,"y":0,"z":0},'
    b'"angular_velocity_radps":{"x":0,"y":0,"z":0},"acceleration_mps2":{"x":0,"y":0,"z":0}}'
)


def _packed() -> bytes:
    """A small recording as the project writes it."""

    def column() -> FloatArray:
        return np.arange(_SAMPLES, dtype=np.float64)

    def rows() -> FloatArray:
        return np.ones((_SAMPLES, 3))

    return to_bytes(
        Recording(
            name="fuzz",
            start_unix_s=1.5e9,
            map_origin=MapOrigin("EPSG:32652", 1.0, 2.0, 3.0),
            wheelbase_m=2.7,
            ego=EgoTrack(
                column(),
                rows(),
                rows(),
                column(),
                rows(),
                rows(),
                rows(),
                column(),
                column(),
                column(),
            ),
            gnss=GnssTrack(column(), column(), column(), column(), column(), column(), column()),
            imu=ImuTrack(column(), rows(), rows()),
        )
    )


def _bare() -> bytes:
    """The same without packing and checksums, so that damage reaches the messages."""
    out = io.BytesIO()
    writer = Writer(out, compression=CompressionType.NONE, enable_crcs=False)
    writer.start()
    schema = writer.register_schema(name="morai_edge.Ego", encoding="jsonschema", data=b"{}")
    channel = writer.register_channel(topic=EGO_TOPIC, message_encoding="json", schema_id=schema)
    writer.add_metadata(
        METADATA_NAME,
        {
            "format": FORMAT,
            "name": "fuzz",
            "start_unix_s": "1.5e9",
            "crs": "EPSG:32652",
            "origin_east_m": "1",
            "origin_north_m": "2",
            "origin_up_m": "3",
            "wheelbase_m": "2.7",
        },
    )
    for number in range(_SAMPLES):
        writer.add_message(channel, number, _EGO % number, number, number)
    writer.finish()  # type: ignore[no-untyped-call] # mcap leaves it unannotated
    return out.getvalue()


def fuzz(inputs: int, seed: int) -> None:
    """Try damaged files.

    Args:
        inputs: How many.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the bytes.
    """
    rng = random.Random(seed)
    seeds = (_packed(), _bare(), _bare())
    for good in seeds:
        parse(good, "seed")
    for number in range(inputs):
        changed = bytearray(seeds[number % len(seeds)])
        for _ in range(rng.randrange(1, 5)):
            where = rng.randrange(len(changed))
            match rng.randrange(5):
                case 0:
                    del changed[where : where + rng.randrange(1, 40)]
                case 1:
                    changed[where:where] = rng.randbytes(rng.randrange(1, 9))
                case 2:
                    changed[where : where + 8] = rng.choice((b"\xff" * 8, bytes(8)))
                case _:
                    changed[where] = rng.randrange(256)
        data = bytes(changed)
        try:
            parse(data, "fuzz")
        except PeerError:
            pass
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} on {data.hex()}") from error
