"""Throws damaged datagrams at the agent's whole way from the simulator to the broker.

The invariant: any bytes are counted as a drop or become samples, and every document the agent would
publish is one its own reader takes, within the size of an MQTT payload.
"""

from __future__ import annotations

from agent.bridge.uplink import Uplink
from agent.cloud.topics import TopicSpace
from agent.configuration import StreamSection, StreamsSection
from agent.morai import DEFAULT_DIALECT, Dialect
from agent.telemetry.payload import MAX_PAYLOAD_BYTES, Clock, decode_batch
from agent.vehicle.frames import MapFrame
from tests.fuzz.morai_codec import damaged_datagrams

_STEP_S = 0.005
_START_S = 1_790_000_000.0
_TOPICS = TopicSpace("demo", "car-0001")


def _uplink(dialect: Dialect, frame: MapFrame | None) -> Uplink:
    sections = {
        name: StreamSection(rate_hz=200, max_samples=8) for name in StreamsSection().by_name()
    }
    return Uplink(_TOPICS, "boot", sections, dialect=dialect, frame=frame, clock=Clock())


def fuzz(inputs: int, seed: int) -> None:
    """Try damaged datagrams.

    Args:
        inputs: How many.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the bytes.
    """
    frame = MapFrame("EPSG:32652", 302_595.0, 4_124_145.0)
    uplinks = [
        _uplink(DEFAULT_DIALECT, frame),
        _uplink(Dialect(tail_required=False, refuse_non_finite=False), frame),
        _uplink(Dialect(status_steer_sign=-1), None),
    ]
    taken = [0] * len(uplinks)
    for number, (choice, data) in enumerate(damaged_datagrams(inputs, seed)):
        which = choice % len(uplinks)
        uplink = uplinks[which]
        mono_s = number * _STEP_S
        try:
            messages = uplink.on_datagram(data, _START_S + mono_s, mono_s)
            messages += uplink.poll(mono_s)
            for message in messages:
                assert len(message.payload) <= MAX_PAYLOAD_BYTES
                assert decode_batch(message.payload).thing == _TOPICS.thing
            taken[which] += 1
            counters = uplink.counters
            heard, dropped = sum(counters.heard.values()), sum(counters.dropped.values())
            assert heard <= taken[which] <= heard + dropped
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} on {data.hex()}") from error
