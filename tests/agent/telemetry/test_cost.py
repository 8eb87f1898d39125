"""What streams cost in AWS IoT Core's metered units of 5 KB."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from agent.telemetry import streams
from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.payload import METERING_UNIT_BYTES
from agent.vehicle.frames import MapFrame
from agent.vehicle.state import DriveMode, EgoState, Gear, ObjectKind, TrackedObject

# K-City 2025, the map of the 2025 competition: UTM zone 52N.
FRAME = MapFrame("EPSG:32652", 302_595.0, 4_124_145.0)
RATE_HZ = 50
SAMPLES = 3000
START_S = 1_790_000_000.0


def winding_drive() -> list[tuple[EgoState, float]]:
    """A minute of a car that always steers, brakes, climbs and changes lanes, with noise."""
    chance = random.Random(7)
    x_m, y_m, yaw_rad, speed_mps, at_s = -1240.0, 1340.0, 2.6, 14.0, START_S
    drive = []
    for n in range(SAMPLES):
        wheel_rad = 0.08 * math.sin(n / 170) + chance.gauss(0, 0.001)
        push_mps2 = 1.5 * math.sin(n / 200) + chance.gauss(0, 0.05)
        speed_mps = max(1.0, speed_mps + push_mps2 / RATE_HZ)
        yaw_rate_radps = speed_mps * math.tan(wheel_rad) / 3.0
        yaw_rad = math.remainder(yaw_rad + yaw_rate_radps / RATE_HZ, 2 * math.pi)
        x_m += speed_mps * math.cos(yaw_rad) / RATE_HZ
        y_m += speed_mps * math.sin(yaw_rad) / RATE_HZ
        drive.append(
            (
                EgoState(
                    speed_mps=speed_mps,
                    stamp_s=at_s - chance.uniform(0, 0.005),
                    drive_mode=DriveMode.EXTERNAL,
                    gear=Gear.D,
                    position_m=(x_m, y_m, 30 + 3 * math.sin(n / 300)),
                    yaw_rad=yaw_rad,
                    velocity_mps=(speed_mps, 0.0, 0.0),
                    angular_velocity_radps=(0.0, 0.0, yaw_rate_radps),
                    acceleration_mps2=(push_mps2, speed_mps * yaw_rate_radps, 0.0),
                    wheel_angle_rad=wheel_rad,
                    accel_pedal=max(0.0, push_mps2 / 4),
                    brake_pedal=max(0.0, -push_mps2 / 6),
                    link_id=f"A2256W{n // 150:06d}",
                ),
                at_s,
            )
        )
        at_s += 1 / RATE_HZ + chance.uniform(-0.002, 0.002)
    return drive


def units(payloads: list[bytes], topic: str) -> int:
    """Metered units: topic and payload of each message in steps of 5 KB."""
    return sum(math.ceil((len(topic) + len(item)) / METERING_UNIT_BYTES) for item in payloads)


@pytest.mark.parametrize("thing", ["car-0001", "vehicle-0123456789-abcdef-of-the-test-fleet"])
def test_state_at_50_hz_costs_a_fortieth_of_single_messages(thing: str) -> None:
    """A moving car's state stream needs at most 1/40 of the units of one message a sample."""
    topic = f"dt/morai/demo/{thing}/state"
    batcher = Batcher(
        streams.state_stream(FRAME), "01JD0Q8Z5W", thing=thing, topic_bytes=len(topic)
    )
    payloads: list[bytes] = []
    for state, at_s in winding_drive():
        payloads += batcher.add(state, at_s)
        payloads += batcher.poll(at_s)
    payloads += batcher.flush()
    assert units(payloads, topic) * 40 <= SAMPLES


def test_standing_car_costs_a_fiftieth_and_little_volume() -> None:
    """What does not change is written once: a parked car needs a tenth of a unit's bytes."""
    batcher = Batcher(streams.state_stream(FRAME), "01JD0Q8Z5W", thing="car-0001", topic_bytes=28)
    parked = msgspec.structs.replace(winding_drive()[0][0], stamp_s=None)
    payloads: list[bytes] = []
    for n in range(500):
        payloads += batcher.add(parked, START_S + n / RATE_HZ)
    assert len(payloads) == 10
    assert max(map(len, payloads)) < 1300


def test_twenty_moving_objects_at_10_hz_cost_a_unit_a_second() -> None:
    """Twenty cars in motion around the ego fit ten times into little more than one unit."""
    chance = random.Random(11)
    batcher = Batcher(
        streams.objects_stream(),
        "01JD0Q8Z5W",
        BatchLimits(max_samples=20),
        thing="car-0001",
        topic_bytes=30,
    )
    cars = [
        TrackedObject(
            id=number,
            kind=ObjectKind.VEHICLE,
            position_m=(chance.uniform(-99, 99), chance.uniform(900, 1100), 30.0),
            yaw_rad=chance.uniform(-3, 3),
            size_m=(4.6, 1.9, 1.5),
            velocity_mps=(chance.uniform(-20, 20), chance.uniform(-20, 20), 0.0),
        )
        for number in range(1, 21)
    ]
    payloads: list[bytes] = []
    for n in range(100):
        moved = [
            msgspec.structs.replace(
                item,
                position_m=tuple(
                    at + speed * n / 10
                    for at, speed in zip(item.position_m, item.velocity_mps, strict=True)
                ),
                yaw_rad=item.yaw_rad + n / 1000,
                velocity_mps=(item.velocity_mps[0] + n / 50, item.velocity_mps[1], 0.0),
            )
            for item in cars
        ]
        payloads += batcher.add(moved, START_S + n / 10)
    payloads += batcher.flush()
    assert units(payloads, "dt/morai/demo/car-0001/objects") <= 13
