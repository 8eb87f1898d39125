"""Throws hostile JSON at the readers of telemetry batches and health documents.

The invariant: any bytes give a document whose parts agree with each other, or a `PayloadError`; a
document that was read can be written and read again to the same value.
"""

from __future__ import annotations

import random

import msgspec

from agent.telemetry.health import ChannelHealth, Health, decode_health, encode_health, last_will
from agent.telemetry.payload import PayloadError, decode_batch, mark_replayed
from tests.fuzz.hostile_json import hostile_documents

_BATCH = {
    "schema": "morai-edge/telemetry/1",
    "vss": "6.0",
    "replayed": False,
    "thing": "car-0001",
    "stream": "state",
    "boot": "01JD0Q8Z5W",
    "seq": 5,
    "first": 239,
    "t0": 1790000004.783,
    "count": 4,
    "dt": [0, 20, 39, -60],
    "clock": {"source": "receive", "quality": "synchronised"},
    "columns": {
        "Vehicle.Speed": [47.37, 47.43, None, 47.55],
        "Vehicle.Chassis.Brake.PedalPosition": 0,
        "Morai.LinkId": {"0": "A2256W001086", "3": "A2256W001087"},
        "Morai.Objects.Id": {"0": [1, 2, 3], "2": None},
        "Morai.Objects.X": [[1.5], [2.5, -0.5], [], None],
    },
}


def _seeds() -> list[bytes]:
    health = Health(
        thing="car-0001",
        boot="01JD0Q8Z5W",
        state="online",
        at=1790000004.783,
        uptime_s=12.5,
        agent="0.1.0",
        channels={"ego_status": ChannelHealth(received=1, rate_hz=50.0, silent_s=0.1)},
        counters={"dropped.unknown_name": 3},
    )
    single = {**_BATCH, "count": 1, "dt": [0], "columns": {"Vehicle.Speed": 1.5}}
    return [
        msgspec.json.encode(_BATCH),
        msgspec.json.encode(_BATCH),
        msgspec.json.encode(single),
        mark_replayed(msgspec.json.encode(single)),
        encode_health(health),
        encode_health(last_will("car-0001", "01JD0Q8Z5W")),
    ]


def _check_batch(data: bytes) -> None:
    try:
        batch = decode_batch(data)
    except PayloadError:
        return
    rows = batch.rows()
    assert len(rows) == batch.count == len(batch.times_s)
    for path in batch.columns:
        values = batch.column(path)
        assert [row[path] for row in rows] == list(values)
    assert decode_batch(msgspec.json.encode(batch)) == batch


def _check_health(data: bytes) -> None:
    try:
        health = decode_health(data)
    except PayloadError:
        return
    written = encode_health(health)
    assert encode_health(decode_health(written)) == written


def fuzz(inputs: int, seed: int) -> None:
    """Try hostile documents on both readers.

    Args:
        inputs: How many.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the bytes.
    """
    for data in hostile_documents(_seeds(), inputs, random.Random(seed)):
        try:
            _check_batch(data)
            _check_health(data)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} on {data.hex()}") from error
