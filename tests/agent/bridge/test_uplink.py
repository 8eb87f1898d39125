"""Telemetry from datagrams to messages, without sockets and clocks."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bridge.uplink import Uplink
from agent.cloud.topics import TopicSpace
from agent.configuration import StreamSection
from agent.morai import Dialect
from agent.telemetry.payload import Batch, Clock, decode_batch
from tests.agent.bridge import datagrams as wire

if TYPE_CHECKING:
    from agent.cloud.publish_window import Message

NOW_S = 1_700_000_100.0
BATCHED = ("state", "objects", "gnss", "imu", "collision", "traffic-light")


def uplink(rule: str | None = None, **streams: StreamSection) -> Uplink:
    """An uplink whose streams publish every sample at once, but for those given."""
    sections = {name: StreamSection(rate_hz=200, max_samples=1) for name in BATCHED}
    sections |= {name.replace("_", "-"): section for name, section in streams.items()}
    return Uplink(
        TopicSpace("demo", "car-1", rule),
        "b007",
        sections,
        dialect=Dialect(),
        frame=None,
        clock=Clock("receive", "synchronised"),
    )


def batches(messages: list[Message]) -> list[Batch]:
    """What an application reads."""
    return [decode_batch(message.payload) for message in messages]


def only(messages: list[Message]) -> tuple[str, Batch]:
    """Topic and batch of the one message there is."""
    assert len(messages) == 1
    return messages[0].topic, decode_batch(messages[0].payload)


@pytest.mark.parametrize(
    ("datagram", "stream", "signal", "value"),
    [
        (wire.ego_status(speed_kmh=36.0), "state", "Vehicle.Speed", 36.0),
        (wire.ego_status(mode=2), "state", "Morai.DriveMode", "EXTERNAL"),
        (wire.ego_status(position_m=(1.5, -2.5, 0.0)), "state", "Morai.Pose.Y", -2.5),
        (wire.objects((7, 1, 3.0, 4.0)), "objects", "Morai.Objects.Id", [7]),
        (wire.gps(), "gnss", "Vehicle.CurrentLocation.Latitude", 37.5),
        (wire.imu(math.pi), "imu", "Vehicle.AngularVelocity.Yaw", 180.0),
        (wire.collision(12), "collision", "Morai.Collision.ObjectId", 12),
        (
            wire.traffic_light(b"C119BS01", 16),
            "traffic-light",
            "Morai.TrafficLight.Lamps",
            ["GREEN"],
        ),
    ],
)
def test_each_message_kind_reaches_its_stream(
    datagram: bytes, stream: str, signal: str, value: Any
) -> None:
    """A datagram becomes a sample on the topic of its stream, in the units of the signal table."""
    topic, batch = only(uplink().on_datagram(datagram, NOW_S, 1.0))

    assert topic == f"dt/morai/demo/car-1/{stream}"
    assert (batch.thing, batch.stream, batch.boot) == ("car-1", stream, "b007")
    assert (batch.seq, batch.first, batch.count, batch.t0) == (0, 0, 1, NOW_S)
    assert batch.column(signal)[0] == value


def test_a_rule_takes_telemetry_past_the_broker() -> None:
    """With Basic Ingest the same batch goes to the rule's topic."""
    topic, batch = only(uplink("fleet_rule").on_datagram(wire.imu(), NOW_S, 1.0))

    assert topic == "$aws/rules/fleet_rule/dt/morai/demo/car-1/imu"
    assert batch.stream == "imu"


def test_what_a_competition_hides_is_unknown() -> None:
    """A blanked position is null, not a place at the map's origin; the speed is still there."""
    messages = uplink().on_datagram(wire.blanked_ego_status(), NOW_S, 1.0)

    columns = json.loads(messages[0].payload)["columns"]
    unknown = ("Morai.Pose.X", "Morai.Pose.Y", "Vehicle.Acceleration.Longitudinal")
    for signal in unknown:
        assert columns[signal] in (None, [None])
    assert columns["Vehicle.Speed"] in (36, [36])


def test_a_stream_thins_to_its_rate() -> None:
    """Of ten seconds at 50 Hz, a stream of 10 Hz keeps a hundred samples and counts the rest."""
    up = uplink(state=StreamSection(rate_hz=10, max_samples=1))

    kept = [
        message
        for step in range(500)
        for message in up.on_datagram(wire.ego_status(), NOW_S + step / 50, step / 50)
    ]

    # A sample may be half a period early, so the one that is due at 10.0 s may be among them.
    assert len(kept) in {100, 101}
    assert [batch.seq for batch in batches(kept)] == list(range(len(kept)))
    assert up.counters.thinned == 500 - len(kept)
    assert up.counters.heard == {"EgoStatus": 500}


def test_a_batch_closes_by_count_by_age_and_at_the_end() -> None:
    """Three samples fill a batch, `poll` closes an old one at its deadline, `flush` the rest."""
    up = uplink(imu=StreamSection(rate_hz=200, max_samples=3, max_delay_s=2.0))
    assert up.deadline_mono_s is None

    closed = [up.on_datagram(wire.imu(), NOW_S + n / 10, n / 10) for n in range(4)]
    assert [len(messages) for messages in closed] == [0, 0, 1, 0]
    assert up.deadline_mono_s == pytest.approx(2.3)

    assert up.poll(2.29) == []
    assert only(up.poll(2.31))[1].count == 1
    up.on_datagram(wire.imu(), NOW_S + 3, 3.0)
    assert only(up.flush())[1].seq == 2
    assert up.flush() == []


def test_a_contact_is_one_event_however_long_it_lasts() -> None:
    """The simulator repeats a collision; each object is reported when its contact begins."""
    up = uplink()
    sent = [
        batch.column("Morai.Collision.ObjectId")[0]
        for step in range(50)
        for batch in batches(
            up.on_datagram(
                wire.collision(1, 2) if step >= 25 else wire.collision(1), NOW_S, step / 50
            )
        )
    ]

    assert sent == [1, 2]


def test_a_disabled_stream_is_not_published() -> None:
    """Its datagrams are heard and nothing comes of them."""
    up = uplink(imu=StreamSection(enabled=False))

    assert up.on_datagram(wire.imu(), NOW_S, 1.0) == []
    assert up.flush() == []
    assert up.counters.heard == {"Imu": 1}


def test_the_qos_of_a_stream_is_kept() -> None:
    """QoS 0 streams publish at QoS 0."""
    up = uplink(imu=StreamSection(max_samples=1, qos=0))

    assert up.on_datagram(wire.imu(), NOW_S, 1.0)[0].qos == 0


def test_a_clock_that_became_synchronised_shows_in_the_next_batch() -> None:
    """Batches opened after the change carry the new quality."""
    up = uplink()
    up.set_clock(Clock("receive", "unsynchronised"))

    assert only(up.on_datagram(wire.imu(), NOW_S, 1.0))[1].clock.quality == "unsynchronised"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "empty"),
        (b"hello", "unknown_name"),
        (wire.ego_status()[:-1], "wrong_size"),
        (wire.ego_status() + b"\0" * 65_000, "wrong_size"),
        (wire.ego_status()[:-2] + b"\0\0", "bad_tail"),
        (wire.ego_status().replace(b"#MoraiInfo$", b"#MoraiInfa$"), "unknown_name"),
        (wire.ego_status(speed_kmh=math.nan), "non_finite"),
        (wire.ego_status(speed_kmh=math.inf), "non_finite"),
        (wire.imu(math.inf), "non_finite"),
        (wire.gps().replace(b"3730", b"3731"), "bad_checksum"),
        # A control command on its way to a simulator is no telemetry.
        (b"#LampControl$" + struct.pack("<i", 2) + bytes(12) + b"\0\0\r\n", "not_telemetry"),
    ],
)
def test_a_hostile_datagram_is_counted_by_its_cause(data: bytes, cause: str) -> None:
    """It yields nothing, is counted once, and the next good datagram is used."""
    up = uplink()

    assert up.on_datagram(data, NOW_S, 1.0) == []
    assert up.counters.dropped == {cause: 1}
    assert up.ego is None
    assert only(up.on_datagram(wire.ego_status(), NOW_S, 2.0))[1].seq == 0


_KNOWN = st.sampled_from(
    [
        wire.ego_status(),
        wire.objects((7, 1, 3.0, 4.0), (8, 0, 1.0, 1.0)),
        wire.imu(),
        wire.collision(1, 2),
        wire.traffic_light(b"C119BS01", 16),
        wire.gps(),
    ]
)


@given(st.lists(st.tuples(_KNOWN, st.binary(max_size=64), st.integers(0, 2200)), max_size=20))
def test_damaged_datagrams_never_raise_and_never_make_a_bad_batch(
    damage: list[tuple[bytes, bytes, int]],
) -> None:
    """Known datagrams with any bytes written over them: each is a readable batch or a count."""
    up = uplink()
    published = 0
    for number, (known, patch, at) in enumerate(damage):
        data = bytearray(known)
        data[min(at, len(known)) : min(at, len(known)) + len(patch)] = patch
        for message in up.on_datagram(bytes(data), NOW_S + number, float(number)):
            decode_batch(message.payload)
            published += 1

    assert published <= 5 * len(damage)
    assert sum(up.counters.heard.values()) + sum(up.counters.dropped.values()) >= len(damage)


@given(st.binary(max_size=300))
def test_any_bytes_are_total(data: bytes) -> None:
    """Whatever arrives, nothing is raised."""
    up = uplink()
    up.on_datagram(data, NOW_S, 1.0)

    assert sum(up.counters.heard.values()) + sum(up.counters.dropped.values()) >= 1
