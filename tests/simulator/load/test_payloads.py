"""What simulated cars publish: every encoding is what its readers expect, to the byte and digit."""

from __future__ import annotations

import json
import math
import struct
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.payload import decode_batch, mark_replayed
from agent.vehicle.vss import SIGNALS
from certs.errors import ConfigurationError
from simulator.load.traffic import payloads
from simulator.load.traffic.payloads import StreamEncoder, read_stamp, shadow_report, typical_bytes
from simulator.scenario.schema import Stream

ZERO_S = 1_790_000_000.25
SCHEMA = jsonschema.Draft202012Validator(
    json.loads(files("agent.telemetry").joinpath("schema/telemetry-1.schema.json").read_text())
)


def cars(count: int = 4) -> SimpleNamespace:
    """Cars whose numbers tell which car and which array they are of."""
    number = np.arange(count, dtype=np.float64)
    return SimpleNamespace(
        latitude_deg=37.5 + number * 0.001,
        longitude_deg=127.0 + number * 0.001,
        altitude_m=30.0 + number,
        heading_rad=math.pi / 2 + number * 0.1,
        speed_mps=10.0 + number,
        acceleration_mps2=0.5 + number * 0.1,
        yaw_rate_radps=-0.1 + number * 0.01,
        gnss_latitude_deg=38.5 + number * 0.001,
        gnss_longitude_deg=128.0 + number * 0.001,
        gnss_altitude_m=60.0 + number,
        imu_acceleration_mps2=np.column_stack([1.0 + number, 2.0 + number, 9.8 + number]),
        imu_rate_radps=np.column_stack([0.1 + number, 0.2 + number, 0.3 + number]),
    )


def encoder(name: str = "state", offset: int = 0, **stream: Any) -> StreamEncoder:
    """An encoder of three cars; `stream` overrides the stream's settings."""
    return StreamEncoder(
        name,
        Stream(**{"rate_hz": 10, **stream}),
        fleet="load",
        things=["car-a", "car-b", "car-c"],
        boot="01JD0Q8Z5W",
        cars=stream_cars(offset),
        unix_s_at_zero=ZERO_S,
        offset=offset,
    )


def stream_cars(offset: int) -> Any:
    """Arrays with room for the offset."""
    return cars(3 + offset)


def test_a_flat_state_has_the_car_the_stamp_and_its_numbers_with_units() -> None:
    """A flat state object holds exactly the documented keys, in their units."""
    [payload] = encoder().encode([1], [7], [2.5])
    assert json.loads(payload) == {
        "thing": "car-b",
        "stream": "state",
        "seq": 7,
        "due_us": 1_790_000_002_750_000,
        "time": 1_790_000_002.75,
        "latitude_deg": 37.501,
        "longitude_deg": 127.001,
        "altitude_m": 31.0,
        "heading_deg": 95.73,
        "speed_mps": 11.0,
        "acceleration_mps2": 0.6,
        "yaw_rate_radps": -0.09,
    }


def test_a_flat_gnss_object_has_the_noisy_position() -> None:
    """The gnss stream carries what the receiver says, not where the car is."""
    [payload] = encoder("gnss").encode([0], [0], [0.0])
    document = json.loads(payload)
    assert (document["latitude_deg"], document["longitude_deg"]) == (38.5, 128.0)
    assert (document["altitude_m"], document["speed_mps"], document["course_deg"]) == (60, 10, 90)


def test_a_flat_imu_object_has_three_axes_of_both_sensors() -> None:
    """The imu stream carries the rows of the two arrays of three axes, in their order."""
    [payload] = encoder("imu").encode([1], [0], [0.0])
    document = json.loads(payload)
    assert [document[f"force_{axis}_mps2"] for axis in "xyz"] == [2.0, 3.0, 10.8]
    assert [document[f"{axis}_rate_radps"] for axis in ("roll", "pitch", "yaw")] == [1.1, 1.2, 1.3]


def test_content_overrides_the_stream_name() -> None:
    """A stream of another name can carry any content; without one it carries the state."""
    assert "force_x_mps2" in json.loads(encoder("fast", content="imu").encode([0], [0], [0])[0])
    assert "speed_mps" in json.loads(encoder("fast").encode([0], [0], [0])[0])


def test_payloads_come_in_the_order_asked_for() -> None:
    """A slice may name cars in any order and more than once."""
    documents = [json.loads(p) for p in encoder().encode([2, 0, 2], [5, 6, 7], [0.1, 0.2, 0.3])]
    assert [d["thing"] for d in documents] == ["car-c", "car-a", "car-c"]
    assert [d["seq"] for d in documents] == [5, 6, 7]
    assert [d["altitude_m"] for d in documents] == [32, 30, 32]


@pytest.mark.parametrize(
    "settings", [{}, {"encoding": "batch"}, {"encoding": "batch", "samples": 4}]
)
def test_an_empty_slice_has_no_payloads(settings: dict[str, Any]) -> None:
    """With nothing due there is nothing to publish."""
    assert encoder(**settings).encode([], [], []) == []


@pytest.mark.parametrize(
    "settings", [{}, {"encoding": "batch"}, {"encoding": "batch", "samples": 4}]
)
def test_the_offset_says_where_the_cars_stand_in_the_arrays(settings: dict[str, Any]) -> None:
    """Car 0 of the encoder is the element of the arrays that the offset names."""
    [payload] = encoder(offset=2, **settings).encode([0], [0], [1.0])
    document = json.loads(payload)
    if "columns" in document:
        assert document["columns"]["Vehicle.CurrentLocation.Altitude"] == 32
    else:
        assert document["altitude_m"] == 32


def test_arrays_may_be_replaced_between_slices() -> None:
    """Each slice reads the arrays the motion has now."""
    fleet = cars(3)
    made = StreamEncoder(
        "state",
        Stream(rate_hz=1),
        fleet="load",
        things=["a", "b", "c"],
        boot="x",
        cars=fleet,
        unix_s_at_zero=0.0,
    )
    made.encode([0], [0], [0.0])
    fleet.speed_mps = np.array([20.0, 21.0, 22.0])
    assert json.loads(made.encode([1], [1], [1.0])[0])["speed_mps"] == 21


@pytest.mark.parametrize(
    "settings", [{}, {"encoding": "batch"}, {"encoding": "batch", "samples": 4}]
)
def test_a_skewed_clock_shifts_the_times_and_not_the_stamp(settings: dict[str, Any]) -> None:
    """A wrong clock shows in the car's own times; the books still know when it was due."""
    made = encoder(**settings)
    right, wrong = (json.loads(p) for p in made.encode([0, 1], [0, 0], [9.0, 9.0], {1: -30.0}))
    key = "time" if "time" in right else "t0"
    assert right["due_us"] == wrong["due_us"] == 1_790_000_009_250_000
    assert wrong[key] - right[key] == pytest.approx(-30.0)


@pytest.mark.parametrize("name", ["state", "gnss", "imu"])
@pytest.mark.parametrize("samples", [1, 5])
def test_a_batch_is_the_agents_document(name: str, samples: int) -> None:
    """A batch satisfies the agent's published schema and its decoder, and has VSS columns only."""
    made = encoder(name, encoding="batch", samples=samples)
    for step in range(3):
        made.remember(1.0 + 0.1 * step)
    [payload] = made.encode([2], [7], [1.2])
    SCHEMA.validate(json.loads(payload))
    batch = decode_batch(payload)
    assert (batch.thing, batch.stream, batch.boot) == ("car-c", name, "01JD0Q8Z5W")
    assert (batch.seq, batch.first, batch.count) == (7, 7 * samples, samples)
    assert batch.times_s[-1] == pytest.approx(ZERO_S + 1.2, abs=1e-3)
    assert set(batch.columns) <= set(SIGNALS)
    assert decode_batch(mark_replayed(payload)).replayed
    assert json.loads(payload)["due_us"] == 1_790_000_001_450_000


def test_a_batch_has_the_units_of_its_signals() -> None:
    """Speed is in km/h and rotation in degrees per second, as the signal table says."""
    batch = decode_batch(encoder(encoding="batch").encode([0], [0], [0.0])[0])
    assert batch.column("Vehicle.Speed") == [36.0]
    assert batch.column("Vehicle.AngularVelocity.Yaw") == [-5.73]
    assert batch.column("Vehicle.CurrentLocation.Heading") == [90.0]


def driven(samples: int, rate_hz: float, step_s: float, until_s: float) -> StreamEncoder:
    """An encoder that saw three cars drive: one metre up and one m/s faster a second."""
    fleet = cars(3)
    made = StreamEncoder(
        "state",
        Stream(rate_hz=rate_hz, encoding="batch", samples=samples),
        fleet="load",
        things=["a", "b", "c"],
        boot="x",
        cars=fleet,
        unix_s_at_zero=0.0,
    )
    for step in range(round(until_s / step_s) + 1):
        now_s = step * step_s
        fleet.altitude_m = np.array([100.0, 200.0, 300.0]) + now_s
        fleet.heading_rad = np.array([0.0, 1.0, 2 * math.pi - 0.05]) + 0.1 * now_s
        fleet.heading_rad %= 2 * math.pi
        made.remember(now_s)
    return made


@pytest.mark.parametrize("step_s", [0.001, 0.05, 0.2])
def test_samples_are_spread_over_the_period_and_interpolated(step_s: float) -> None:
    """Samples lie evenly over one period that ends when the message is due, on the car's path."""
    batch = decode_batch(driven(5, 1.0, step_s, 4.0).encode([1], [3], [3.95])[0])
    assert batch.times_s == pytest.approx([3.15, 3.35, 3.55, 3.75, 3.95], abs=1e-9)
    assert batch.column("Vehicle.CurrentLocation.Altitude") == pytest.approx(
        [203.15, 203.35, 203.55, 203.75, 203.95], abs=0.0051
    )
    assert batch.columns["Vehicle.Speed"] == 39.6


def test_the_period_can_be_told() -> None:
    """At twice the nominal rate the samples of a message span half the nominal period."""
    made = driven(5, 1.0, 0.1, 4.0)
    batch = decode_batch(made.encode([0], [0], [4.0], period_s=0.5)[0])
    assert batch.times_s == pytest.approx([3.6, 3.7, 3.8, 3.9, 4.0])


def test_a_heading_is_interpolated_the_short_way_round() -> None:
    """Between 359 and 1 degrees lies 0, not 180."""
    made = driven(5, 1.0, 1.0, 1.0)
    headings = decode_batch(made.encode([2], [0], [1.0])[0]).column(
        "Vehicle.CurrentLocation.Heading"
    )
    # From 2 pi - 0.05 to 0.05 rad: -2.86 deg to 2.86 deg in five steps, seen at 1/5 ... 5/5.
    assert headings == pytest.approx([358.28, 359.43, 0.57, 1.72, 2.86], abs=0.011)


def test_samples_beyond_the_history_repeat_its_ends() -> None:
    """A message due before or after everything remembered has the nearest known state."""
    made = driven(2, 1.0, 0.1, 2.0)
    late, early = (decode_batch(p) for p in made.encode([0, 0], [0, 1], [50.0, -50.0]))
    assert late.columns["Vehicle.CurrentLocation.Altitude"] == 102
    assert early.columns["Vehicle.CurrentLocation.Altitude"] == 100


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    st.lists(st.floats(0, 2 * math.pi, exclude_max=True), min_size=3, max_size=3),
)
def test_numbers_are_rounded_to_their_digits(numbers: list[float], headings: list[float]) -> None:
    """Every number is within half a digit of the array's, and a heading stays below 360."""
    fleet = cars(3)
    fleet.speed_mps = np.array(numbers)
    fleet.heading_rad = np.array(headings)
    made = encoder()
    made._cars = fleet
    for index, payload in enumerate(made.encode([0, 1, 2], [0] * 3, [0.0] * 3)):
        document = json.loads(payload)
        assert document["speed_mps"] == pytest.approx(numbers[index], abs=0.00501)
        assert 0 <= document["heading_deg"] < 360
        turned = abs(document["heading_deg"] - math.degrees(headings[index]))
        assert min(turned, 360 - turned) < 0.00501
        assert b"-0.0," not in payload


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "settings", [{}, {"encoding": "batch"}, {"encoding": "batch", "samples": 4}]
)
def test_a_number_that_is_not_finite_becomes_null(broken: float, settings: dict[str, Any]) -> None:
    """JSON has no NaN: a motion gone wrong still gives documents that every reader takes."""
    fleet = cars(3)
    fleet.heading_rad = np.array([1.0, broken, 1.0])
    fleet.altitude_m = np.array([1.0, broken, 1.0])
    made = encoder(**settings)
    made._cars = fleet
    made.remember(0.0)
    made.remember(0.1)
    [payload] = made.encode([1], [0], [0.1])

    def refuse(text: str) -> None:
        raise AssertionError(text)

    json.loads(payload, parse_constant=refuse)
    assert b"null" in payload


@given(st.integers(32, 1000), st.sampled_from(["flat", "batch"]))
def test_json_is_padded_to_the_very_size(size: int, encoding: str) -> None:
    """A padded payload has the size asked for, or its own when that is larger, and stays JSON."""
    natural = encoder(encoding=encoding).encode([0], [1], [1.0])[0]
    padded = encoder(encoding=encoding, payload_bytes=size).encode([0], [1], [1.0])[0]
    assert len(padded) == max(size, len(natural))
    document = json.loads(padded)
    document.pop("pad", None)
    assert document == json.loads(natural)
    assert read_stamp("flat", padded) == (1, 1_790_000_001_250_000)


@pytest.mark.parametrize("size", [32, 1000, 131_072])
def test_bytes_are_a_header_and_filler(size: int) -> None:
    """An opaque payload is the magic, two big-endian u64 and filler, of the size asked for."""
    [payload] = encoder(encoding="bytes", payload_bytes=size).encode([0], [258], [1.0])
    assert len(payload) == size
    assert payload[:24] == b"MORAIraw" + bytes([0, 0, 0, 0, 0, 0, 1, 2]) + struct.pack(
        ">Q", 1_790_000_001_250_000
    )
    assert read_stamp("bytes", payload) == (258, 1_790_000_001_250_000)


@pytest.mark.parametrize("encoding", ["flat", "batch"])
@given(st.integers(0, 2**40), st.floats(0, 2_592_000))
def test_a_stamp_comes_back(encoding: str, sequence: int, due_s: float) -> None:
    """What was put into a message is what an observer reads, to the microsecond."""
    [payload] = encoder(encoding=encoding).encode([0], [sequence], [due_s])
    stamp = read_stamp("flat", payload)
    assert stamp is not None
    assert stamp[0] == sequence
    assert stamp[1] == pytest.approx((ZERO_S + due_s) * 1e6, abs=1)


@given(st.binary(max_size=200), st.sampled_from(["flat", "batch", "bytes"]))
def test_any_bytes_give_a_stamp_or_none(payload: bytes, encoding: Any) -> None:
    """Reading never raises and never gives anything but two whole numbers from 0."""
    stamp = read_stamp(encoding, payload)
    assert stamp is None or (min(stamp) >= 0 and len(stamp) == 2)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[1,2]",
        b"null",
        b'{"seq":1}',
        b'{"seq":-1,"due_us":1}',
        b'{"seq":1.5,"due_us":1}',
        b'{"seq":9007199254740993,"due_us":1}',
        b'{"seq":1,"due_us":1',
        b'{"seq":1,"due_us":1}x',
        b"MORAIraw" + b"\xff" * 16,
        b"MORAIraw" + b"\x00" * 15,
        b"[" * 100_000,
        b'{"seq":1,"due_us":1,"pad":"' + b"x" * 131_072 + b'"}',
        b'{"seq":1,"due_us":1,"pad":"\xff"',
    ],
)
def test_a_payload_without_a_stamp_has_none(payload: bytes) -> None:
    """Wrong types, missing keys, cut-off, too deep and too large: no stamp, no exception."""
    assert read_stamp("flat", payload) is None
    assert read_stamp("batch", payload) is None
    assert read_stamp("bytes", payload) is None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoding": "batch"},
        {"encoding": "batch", "samples": 10},
        {"payload_bytes": 700},
        {"encoding": "bytes", "payload_bytes": 64},
    ],
)
@pytest.mark.parametrize("name", ["state", "gnss", "imu"])
def test_the_typical_size_is_that_of_real_messages(settings: dict[str, Any], name: str) -> None:
    """A forecast made from it is right within five per cent."""
    stream = Stream(**{"rate_hz": 10, **settings})
    rng = np.random.default_rng(3)
    fleet = cars(200)
    fleet.__dict__.update(
        {key: value * (1 + rng.normal(0, 1e-4, value.shape)) for key, value in vars(fleet).items()}
    )
    fleet.heading_rad = rng.uniform(0, 2 * math.pi, 200)
    made = StreamEncoder(
        name,
        stream,
        fleet="load",
        things=[f"load-city-{i:04d}" for i in range(200)],
        boot="01JD0Q8Z5W",
        cars=fleet,
        unix_s_at_zero=ZERO_S,
    )
    for step in range(12):
        for key in ("latitude_deg", "longitude_deg", "gnss_latitude_deg", "gnss_longitude_deg"):
            setattr(fleet, key, getattr(fleet, key) + rng.normal(0, 1e-5, 200))
        for key in ("altitude_m", "gnss_altitude_m", "speed_mps", "heading_rad"):
            setattr(fleet, key, getattr(fleet, key) + rng.normal(0, 0.02, 200))
        for key in ("acceleration_mps2", "yaw_rate_radps"):
            setattr(fleet, key, rng.normal(0, 0.3, 200))
        fleet.imu_acceleration_mps2 = rng.normal((0, 0, 9.81), 0.3, (200, 3))
        fleet.imu_rate_radps = rng.normal(0, 0.1, (200, 3))
        made.remember(1000 + 0.01 * step)
    sizes = [len(p) for p in made.encode(list(range(200)), [12_345] * 200, [1000.1] * 200)]
    assert typical_bytes(name, stream, "load-city-0001") == pytest.approx(np.mean(sizes), rel=0.05)


def test_the_flat_state_is_of_about_250_bytes() -> None:
    """The size that the scenario document promises, and that forecasts count with."""
    assert 230 <= typical_bytes("state", Stream(rate_hz=1), "load-city-0001") <= 270


def test_the_topic_is_the_contracts() -> None:
    """A stream is published on the agent's telemetry topic; impossible names are refused."""
    assert encoder("gnss").topic(1) == "dt/morai/load/car-b/gnss"
    with pytest.raises(ConfigurationError):
        StreamEncoder(
            "state",
            Stream(rate_hz=1),
            fleet="a/b",
            things=["x"],
            boot="b",
            cars=cars(1),
            unix_s_at_zero=0,
        ).topic(0)


def test_a_shadow_report_is_a_reported_state_with_a_token() -> None:
    """The document has `state.reported` and a client token within AWS's 64 bytes."""
    topic, payload = shadow_report(
        "car-1", "vehicle", cars=cars(3), element=1, number=41, boot="01JD0Q8Z5W"
    )
    assert topic == "$aws/things/car-1/shadow/name/vehicle/update"
    document = json.loads(payload)
    assert document == {
        "state": {
            "reported": {
                "latitude_deg": 37.501,
                "longitude_deg": 127.001,
                "heading_deg": 95.73,
                "speed_mps": 11.0,
                "reports": 42,
            }
        },
        "clientToken": "01JD0Q8Z5W-41",
    }
    assert len(document["clientToken"].encode()) <= 64


def test_the_module_needs_no_more_than_its_arrays() -> None:
    """What the encoder reads of the cars is the protocol it declares."""
    assert set(vars(cars())) == {
        name for name in vars(payloads.CarArrays) if not name.startswith("_")
    }
