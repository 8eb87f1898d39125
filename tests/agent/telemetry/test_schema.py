"""The published JSON Schemas against what is really sent, and the health document."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from agent.telemetry import schema, streams
from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.health import (
    ChannelHealth,
    Health,
    decode_health,
    encode_health,
    last_will,
)
from agent.telemetry.payload import MAX_PAYLOAD_BYTES, Clock, PayloadError, mark_replayed
from agent.vehicle.frames import MapFrame
from agent.vehicle.state import (
    Collision,
    EgoState,
    GnssFix,
    ImuSample,
    ObjectKind,
    TrackedObject,
    TrafficLamp,
    TrafficLight,
)

FRAME = MapFrame("EPSG:32652", 302_595.0, 4_124_145.0)
OBJECT = TrackedObject(
    id=1,
    kind=ObjectKind.VEHICLE,
    position_m=(1.0, 2.0, 3.0),
    yaw_rad=0.0,
    size_m=(4.0, 2.0, 1.5),
    velocity_mps=(0.0, 0.0, 0.0),
)
IMU = ImuSample(
    orientation=None, angular_velocity_radps=(0.0, 0.0, 0.0), acceleration_mps2=(0.0, 0.0, 9.81)
)
CASES: list[tuple[streams.Stream[Any], list[Any]]] = [
    (
        streams.state_stream(FRAME, "full"),
        [EgoState(speed_mps=n / 10, link_id=f"L{n // 4}", position_m=(n, 0, 1)) for n in range(9)],
    ),
    (streams.state_stream(), [EgoState(speed_mps=0.0)]),
    (streams.objects_stream("full"), [(OBJECT,), (), (OBJECT, OBJECT)]),
    (streams.gnss_stream(), [GnssFix(latitude_deg=37.0, longitude_deg=127.0), None]),
    (streams.imu_stream(), [IMU]),
    (
        streams.collision_stream(),
        [Collision(object_id=1, kind=9, position_m=(1.0, 2.0, 3.0), stamp_s=1.0)],
    ),
    (
        streams.traffic_light_stream(),
        [TrafficLight(light_id="C1", layout=0, lamps=TrafficLamp.RED)] * 3,
    ),
]


def validator(name: str) -> Any:
    """A validator of one published schema, which must itself be valid 2020-12."""
    document = schema.load_schema(name)
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.mark.parametrize(("stream", "samples"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_every_batch_keeps_to_the_published_schema(
    stream: streams.Stream[Any], samples: list[Any]
) -> None:
    """What each stream sends is valid, live and replayed."""
    batcher = Batcher(stream, "b1", BatchLimits(max_bytes=100_000), thing="car-0001")
    for n, sample in enumerate(samples):
        batcher.add(sample, 1_790_000_000 + n / 50)
    (payload,) = batcher.flush()
    check = validator(schema.TELEMETRY_SCHEMA)
    check.validate(json.loads(payload))
    check.validate(json.loads(mark_replayed(payload)))


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"seq": -1},
        {"stream": "nonsense"},
        {"columns": {"speed": 1}},
        {"columns": {"Vehicle.Speed": {"1": 1}}},
        {"columns": {"Vehicle.Speed": [{"0": 1}]}},
        {"clock": {"source": "receive"}},
        {"replayed": "no"},
    ],
    ids=str,
)
def test_schema_refuses_what_is_no_batch(changes: dict[str, Any]) -> None:
    """The schema is tight enough to catch a wrong document."""
    batcher = Batcher(streams.state_stream(), "b1")
    batcher.add(EgoState(speed_mps=1.0), 1.0)
    document = {**json.loads(batcher.flush()[0]), **changes}
    assert not validator(schema.TELEMETRY_SCHEMA).is_valid(document)


HEALTH = Health(
    thing="car-0001",
    boot="b1",
    state="online",
    at=1_790_000_000.12345,
    uptime_s=12.5,
    agent="0.1.0",
    clock=Clock("receive", "synchronised"),
    channels={"ego_status": ChannelHealth(received=600, rate_hz=49.8, silent_s=0.01)},
    counters={"dropped.unknown_name": 3},
)


def test_health_document_comes_back() -> None:
    """Nothing is lost but digits below a millisecond."""
    back = decode_health(encode_health(HEALTH))
    assert back.at == 1_790_000_000.123
    assert (back.state, back.boot, back.channels, back.counters, back.clock) == (
        HEALTH.state,
        HEALTH.boot,
        HEALTH.channels,
        HEALTH.counters,
        HEALTH.clock,
    )


@pytest.mark.parametrize("health", [HEALTH, last_will("car-0001", "b1", "0.1.0")])
def test_health_keeps_to_the_published_schema(health: Health) -> None:
    """Live documents and the last will are valid."""
    validator(schema.HEALTH_SCHEMA).validate(json.loads(encode_health(health)))


def test_last_will_says_offline_and_claims_no_time() -> None:
    """The broker sends it later, at a time nobody knew when it was written."""
    will = decode_health(encode_health(last_will("car-0001", "b1")))
    assert (will.state, will.at, will.uptime_s, will.thing) == ("offline", None, None, "car-0001")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[" * 50_000,
        encode_health(HEALTH).replace(b"morai-edge/health/1", b"morai-edge/health/9"),
        encode_health(HEALTH).replace(b'"schema":"morai-edge/health/1",', b""),
        encode_health(HEALTH).replace(b'"online"', b'"asleep"'),
        b" " * (MAX_PAYLOAD_BYTES + 1),
    ],
    ids=lambda payload: repr(payload[:16]),
)
def test_bytes_that_are_no_health_document_are_refused(payload: bytes) -> None:
    """Anything else is the one typed error."""
    with pytest.raises(PayloadError):
        decode_health(payload)
