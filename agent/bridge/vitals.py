"""What the agent says about itself: the health document, gathered from every room's counters.

Pure: times come in as arguments. When it is published is the runtime's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.telemetry.health import ChannelHealth, Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.bridge.uplink import Uplink
    from agent.cloud.session import CloudSession
    from agent.commands.service import CommandCounters
    from agent.links import LinkCounters
    from agent.telemetry.health import HealthState
    from agent.telemetry.payload import Clock

# Documents that follow a change of state come close together. A rate over less would be noise.
MIN_RATE_INTERVAL_S: Final = 1.0


@dataclass(slots=True)
class Vitals:
    """Composes health documents, and remembers what it needs for rates.

    Attributes:
        thing: Thing name.
        boot_id: Identity of this run.
        version: Version of the agent.
        clock: What the receive times mean.
        started_mono_s: When the agent started.
        heard_mono_s: When each channel was heard last.
    """

    thing: str
    boot_id: str
    version: str
    clock: Clock
    started_mono_s: float
    heard_mono_s: dict[str, float] = field(default_factory=dict)
    _rates_hz: dict[str, float] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _counted_mono_s: float | None = None

    def document(
        self,
        state: HealthState,
        *,
        now_s: float,
        mono_s: float,
        received: Mapping[str, int],
        counters: Mapping[str, int],
    ) -> Health:
        """The document for this moment.

        Args:
            state: `online`, `stopping` or `offline`.
            now_s: Wall clock, Unix seconds.
            mono_s: Monotonic time, seconds.
            received: Datagrams received so far, by channel.
            counters: Everything else that was counted, by name.
        """
        self._measure_rates(mono_s, received)
        channels = {
            name: ChannelHealth(
                received=count,
                rate_hz=self._rates_hz.get(name),
                silent_s=round(mono_s - self.heard_mono_s[name], 3)
                if name in self.heard_mono_s
                else None,
            )
            for name, count in received.items()
        }
        return Health(
            thing=self.thing,
            boot=self.boot_id,
            state=state,
            at=now_s,
            uptime_s=mono_s - self.started_mono_s,
            agent=self.version,
            clock=self.clock,
            channels=channels,
            counters=dict(counters),
        )

    def _measure_rates(self, mono_s: float, received: Mapping[str, int]) -> None:
        since_s = self._counted_mono_s
        if since_s is not None and mono_s - since_s < MIN_RATE_INTERVAL_S:
            return
        if since_s is not None:
            elapsed_s = mono_s - since_s
            self._rates_hz = {
                name: round((count - self._counts.get(name, 0)) / elapsed_s, 1)
                for name, count in received.items()
            }
        self._counts, self._counted_mono_s = dict(received), mono_s


def gather(
    link: LinkCounters,
    uplink: Uplink,
    session: CloudSession,
    commands: CommandCounters | None,
    *,
    defects: int = 0,
) -> dict[str, int]:
    """All counters of the agent under dotted names; zero counts are left out."""
    counts: dict[str, int] = {"defects": defects}

    def put(prefix: str, values: Mapping[str, int]) -> None:
        counts.update({f"{prefix}.{name}": value for name, value in values.items()})

    put("link.sent", link.sent)
    put("link.dropped", link.dropped)
    put("samples", uplink.samples())
    put("dropped", uplink.counters.dropped)
    counts["samples.thinned"] = uplink.counters.thinned
    cloud = session.counters
    for name in ("published", "acknowledged", "refused", "failed", "received", "connects"):
        counts[f"mqtt.{name}"] = getattr(cloud, name)
    counts["mqtt.connect_failures"] = cloud.connect_failures
    put("mqtt.dropped", cloud.dropped)
    if commands is not None:
        counts["commands.requests"] = commands.requests
        counts["commands.replayed"] = commands.replayed
        counts["commands.repeated_in_flight"] = commands.repeated_in_flight
        counts["commands.bad_execution_ids"] = commands.bad_execution_ids
        counts["commands.id_reused"] = commands.id_reused
        counts["commands.storage_failures"] = commands.storage_failures
        counts["commands.set_points"] = commands.set_points
        counts["commands.set_points_clamped"] = commands.set_points_clamped
        put("commands.started", commands.started)
        put("commands.refused", commands.refused)
        put("commands.finished", commands.finished)
        put("commands.set_points_dropped", commands.set_points_dropped)
    return {name: count for name, count in counts.items() if count}
