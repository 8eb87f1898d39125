"""What a 50 Hz state stream costs in AWS IoT Core's metered units, batched and one by one.

The datagrams of a drive go through the agent's own uplink twice, with its default settings and with
one sample a message. Units are topic and payload of each message in steps of 5 KB (AWS IoT Core
pricing, "Messaging"). The figure is exact and does not depend on the machine.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, NamedTuple

from agent.bridge.uplink import Uplink
from agent.cloud.topics import TopicSpace
from agent.configuration import StreamSection
from agent.morai import DEFAULT_DIALECT
from agent.telemetry.payload import METERING_UNIT_BYTES, Clock
from tests.bench.figure import Figure
from tests.bench.scene import FRAME, TICK_S, busy_scene, recorded_scene

if TYPE_CHECKING:
    from agent.cloud.publish_window import Message
    from agent.vehicle.frames import MapFrame
    from tests.bench.scene import Scene

BUDGET = 1 / 40
_TOPICS = TopicSpace("demo", "car-0001")
_BOOT = "0123456789abcdef"
_TICKS = 2990
_QUICK_TICKS = 500
# How long a datagram travels and waits for the agent; it is written into every sample.
_DELAY_S = (0.0002, 0.0015)


class Cost(NamedTuple):
    """What one stream cost.

    Attributes:
        samples: Samples published.
        messages: Messages they took.
        units: Metered units.
    """

    samples: int
    messages: int
    units: int


def measure(*, quick: bool) -> list[Figure]:
    """Meter the state stream of the modelled and of the recorded drive."""
    ticks = _QUICK_TICKS if quick else _TICKS
    recorded, frame = recorded_scene()
    drives = {
        "modelled drive": (busy_scene(), FRAME),
        "recorded drive": (recorded, frame),
    }
    figures = []
    for name, (scene, place) in drives.items():
        batched, single = meter(scene, place, ticks)
        how = (
            f"{batched.samples} samples: {batched.units} units in {batched.messages} messages"
            f" against {single.units} units in {single.messages}"
        )
        ratio = batched.units / single.units
        figures.append(
            Figure(f"metered cost of 50 Hz state, {name}", "x single", (ratio,), how, BUDGET)
        )
    return figures


def meter(scene: Scene, frame: MapFrame, ticks: int) -> tuple[Cost, Cost]:
    """Drive for a while and meter the state stream: batched, and one sample a message."""
    chance = random.Random(0)
    batched = _Meter(frame, StreamSection())
    single = _Meter(frame, StreamSection(max_samples=1, max_delay_s=0))
    for _ in range(ticks):
        sent_s = scene.now_s
        for channel, data in scene.tick():
            if channel == "ego_status":
                at_s = sent_s + chance.uniform(*_DELAY_S)
                batched.feed(data, at_s)
                single.feed(data, at_s)
        batched.poll(sent_s + TICK_S / 2)
    return batched.total(), single.total()


class _Meter:
    """One uplink and the units of what it publishes."""

    def __init__(self, frame: MapFrame, section: StreamSection) -> None:
        self._uplink = Uplink(
            _TOPICS,
            _BOOT,
            {"state": section},
            dialect=DEFAULT_DIALECT,
            frame=frame,
            clock=Clock("receive", "synchronised"),
        )
        self._messages = 0
        self._units = 0

    def feed(self, data: bytes, at_s: float) -> None:
        self._count(self._uplink.on_datagram(data, at_s, at_s))

    def poll(self, now_s: float) -> None:
        self._count(self._uplink.poll(now_s))

    def total(self) -> Cost:
        self._count(self._uplink.flush())
        return Cost(self._uplink.samples()["state"], self._messages, self._units)

    def _count(self, messages: list[Message]) -> None:
        self._messages += len(messages)
        self._units += sum(math.ceil(item.size / METERING_UNIT_BYTES) for item in messages)
