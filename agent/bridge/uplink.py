"""Telemetry, from a datagram to the messages to publish.

Owns the way of every simulator message into its stream, and the counts of what was heard and what
was dropped. Pure: bytes and times in, messages out. Where the messages go is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.cloud.publish_window import Message
from agent.morai import (
    CollisionData,
    DecodeError,
    EgoStatus,
    GpsSentences,
    Imu,
    ObjectInfo,
    TrafficLightStatus,
    decode,
)
from agent.telemetry import streams
from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.sampler import OnsetFilter, RateSampler
from agent.vehicle import morai_view
from agent.vehicle.gnss import GnssAssembler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.cloud.topics import TopicSpace
    from agent.configuration import StreamSection
    from agent.morai import Dialect
    from agent.telemetry.payload import Clock
    from agent.telemetry.streams import StreamName
    from agent.vehicle.frames import MapFrame
    from agent.vehicle.state import EgoState


@dataclass(slots=True)
class UplinkCounters:
    """What the uplink heard, since the agent started.

    Attributes:
        heard: Messages decoded, by message name.
        dropped: Datagrams dropped, by cause.
        thinned: Samples left out because the stream's rate is lower than the simulator's.
    """

    heard: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    thinned: int = 0

    @property
    def usable(self) -> int:
        """Datagrams that were telemetry, of whatever kind."""
        return sum(self.heard.values())


class Uplink:
    """Turns simulator datagrams into telemetry messages.

    Args:
        topics: Topics of this car.
        boot_id: Identity of this run of the agent.
        sections: Settings per stream name; a stream that is absent or disabled is not published.
        dialect: What the wire leaves open.
        frame: The map's place on Earth, or `None` when it is not known.
        clock: What the receive times mean.
    """

    def __init__(
        self,
        topics: TopicSpace,
        boot_id: str,
        sections: Mapping[str, StreamSection],
        *,
        dialect: Dialect,
        frame: MapFrame | None,
        clock: Clock,
    ) -> None:
        self.counters = UplinkCounters()
        self.ego: EgoState | None = None
        self.ego_mono_s: float | None = None
        self._dialect = dialect
        self._contacts = OnsetFilter()
        self._fixes = GnssAssembler()
        kinds = {
            stream.name: stream
            for stream in (
                streams.state_stream(frame),
                streams.objects_stream(),
                streams.gnss_stream(),
                streams.imu_stream(),
                streams.collision_stream(),
                streams.traffic_light_stream(),
            )
        }
        self._lanes = {
            name: _Lane(
                topics.publication(name),
                Batcher(
                    kinds[name],
                    boot_id,
                    BatchLimits(max_samples=section.max_samples, max_delay_s=section.max_delay_s),
                    thing=topics.thing,
                    topic_bytes=len(topics.publication(name)),
                    clock=clock,
                ),
                RateSampler(section.rate_hz) if section.rate_hz else None,
                section.qos,
            )
            for name, section in sections.items()
            if section.enabled and name in kinds
        }
        self._handlers: dict[type, Callable[[Any, float, float], Iterable[Message]]] = {
            EgoStatus: self._on_ego,
            ObjectInfo: self._on_objects,
            GpsSentences: self._on_gps,
            Imu: self._on_imu,
            CollisionData: self._on_collision,
            TrafficLightStatus: self._on_traffic_light,
        }

    def on_datagram(self, data: bytes, received_s: float, mono_s: float) -> list[Message]:
        """Take one datagram in. Total: what cannot be used is counted in `counters`.

        Args:
            data: The bytes.
            received_s: Wall clock of receipt, Unix seconds; it becomes the sample's time.
            mono_s: Monotonic time of receipt; it decides about rates and delays.

        Returns:
            The messages that are due now; often none.
        """
        try:
            message = decode(data, dialect=self._dialect)
        except DecodeError as error:
            self._drop(error.reason.value)
            return []
        kind = type(message)
        handler = self._handlers.get(kind)
        if handler is None:
            self._drop("not_telemetry")
            return []
        heard = self.counters.heard
        heard[kind.__name__] = heard.get(kind.__name__, 0) + 1
        try:
            return list(handler(message, received_s, mono_s))
        except DecodeError as error:
            # The view refuses what a lenient dialect let pass, such as a NaN speed.
            self._drop(error.reason.value)
            return []

    def poll(self, mono_s: float) -> list[Message]:
        """Close the batches whose oldest sample has waited long enough."""
        return [
            Message(lane.topic, payload, lane.qos)
            for lane in self._lanes.values()
            for payload in lane.batcher.poll(mono_s)
        ]

    def flush(self) -> list[Message]:
        """Close every open batch, as before a shutdown."""
        return [
            Message(lane.topic, payload, lane.qos)
            for lane in self._lanes.values()
            for payload in lane.batcher.flush()
        ]

    @property
    def deadline_mono_s(self) -> float | None:
        """When `poll` has something to do; `None` while no batch is open."""
        return min(
            (
                deadline
                for lane in self._lanes.values()
                if (deadline := lane.batcher.deadline_s) is not None
            ),
            default=None,
        )

    def set_clock(self, clock: Clock) -> None:
        """Say what receive times mean from the next batch of each stream on."""
        for lane in self._lanes.values():
            lane.batcher.clock = clock

    def samples(self) -> dict[str, int]:
        """Samples accepted so far, by stream name."""
        return {name: lane.batcher.samples for name, lane in self._lanes.items()}

    # -- one handler a message kind -----------------------------------------------------------

    def _on_ego(self, message: EgoStatus, at_s: float, mono_s: float) -> list[Message]:
        self.ego = morai_view.ego_state(message, self._dialect)
        self.ego_mono_s = mono_s
        return self._add("state", self.ego, at_s, mono_s)

    def _on_objects(self, message: ObjectInfo, at_s: float, mono_s: float) -> list[Message]:
        return self._add("objects", morai_view.tracked_objects(message), at_s, mono_s)

    def _on_gps(self, message: GpsSentences, at_s: float, mono_s: float) -> list[Message]:
        return [
            due for fix in self._fixes.feed(message) for due in self._add("gnss", fix, at_s, mono_s)
        ]

    def _on_imu(self, message: Imu, at_s: float, mono_s: float) -> list[Message]:
        return self._add("imu", morai_view.imu_sample(message), at_s, mono_s)

    def _on_traffic_light(
        self, message: TrafficLightStatus, at_s: float, mono_s: float
    ) -> list[Message]:
        return self._add("traffic-light", morai_view.traffic_light(message), at_s, mono_s)

    def _on_collision(self, message: CollisionData, at_s: float, mono_s: float) -> list[Message]:
        messages = []
        for contact in morai_view.collisions(message):
            if self._contacts.is_onset(contact.object_id, mono_s):
                messages += self._add("collision", contact, at_s, mono_s, thin=False)
        return messages

    def _add(
        self, name: StreamName, sample: Any, at_s: float, mono_s: float, *, thin: bool = True
    ) -> list[Message]:
        lane = self._lanes.get(name)
        if lane is None:
            return []
        if thin and lane.sampler is not None and not lane.sampler.take(mono_s):
            self.counters.thinned += 1
            return []
        return [
            Message(lane.topic, payload, lane.qos)
            for payload in lane.batcher.add(sample, at_s, mono_s)
        ]

    def _drop(self, cause: str) -> None:
        dropped = self.counters.dropped
        dropped[cause] = dropped.get(cause, 0) + 1


@dataclass(frozen=True, slots=True)
class _Lane:
    """Everything one stream needs."""

    topic: str
    batcher: Batcher[Any]
    sampler: RateSampler | None
    qos: int
