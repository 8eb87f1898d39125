"""The core of the MORAI SIM stand-in: datagrams and time in, datagrams out.

Owns the loop of one simulator: take commands, move, publish what is due, let faults happen. It has
no socket, no clock and no log. Whatever bytes arrive, nothing is raised: they change the scene or
are counted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.morai import (
    DEFAULT_DIALECT,
    DecodeError,
    Dialect,
    Direction,
    EgoControl,
    EgoGhost,
    EgoStatusVariant,
    LampControl,
    MultiEgoSetting,
    NpcGhost,
    SaveSensorData,
    ScenarioLoad,
    SensorPosition,
    SetIntersection,
    SetTrafficLight,
    TrajectoryTracking,
    decode,
)
from simulator.morai_host.faults import FaultInjector, FaultPlan
from simulator.morai_host.publication import Publisher
from simulator.morai_host.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.vehicle.state import EgoState
    from simulator.morai_host.drive import Drive

COMMAND_CHANNELS: dict[str, type] = {
    "ego_control": EgoControl,
    "lamps": LampControl,
    "scenario_load": ScenarioLoad,
    "multi_ego": MultiEgoSetting,
    "set_traffic_light": SetTrafficLight,
    "set_intersection": SetIntersection,
    "ego_ghost": EgoGhost,
    "npc_ghost": NpcGhost,
    "sensor_position": SensorPosition,
    "save_sensor_data": SaveSensorData,
    "trajectory_tracking": TrajectoryTracking,
}
"""Channels that commands arrive on, and the one message each of them understands."""

DEFAULT_RATES_HZ: dict[str, float] = {
    "ego_status": 50.0,
    "competition_status": 0.0,
    "objects": 50.0,
    "collision": 50.0,
    "traffic_light": 50.0,
    "intersection": 0.0,
    "imu": 50.0,
    "gps": 20.0,
}
"""Publishing channels and how often each sends; 0 is off.

50 Hz is the simulator's own default for a publisher.
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One datagram to send.

    Attributes:
        channel: Publishing channel, a key of `DEFAULT_RATES_HZ`.
        data: The bytes.
    """

    channel: str
    data: bytes


@dataclass(slots=True)
class HostCounters:
    """What came and went since the start. All keys come from closed lists.

    Attributes:
        received: Datagrams received, by channel.
        dropped: Datagrams that were not a command this channel understands, by reason.
        outcomes: Understood commands by what became of them.
        sent: Datagrams handed out, by channel.
        unsent: Messages that could not be written, by channel.
    """

    received: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    unsent: dict[str, int] = field(default_factory=dict)


class Host:
    """One simulator.

    Args:
        drive: What moves the car.
        rates_hz: Rates that differ from `DEFAULT_RATES_HZ`, by channel.
        variant: Generation of the ego status.
        dialect: How the wire's open questions are answered.
        faults: What goes wrong; replace `host.faults.plan` to change it while running.
        seed: Seed of the faults.
    """

    def __init__(
        self,
        drive: Drive,
        *,
        rates_hz: Mapping[str, float] | None = None,
        variant: EgoStatusVariant = EgoStatusVariant.E3,
        dialect: Dialect = DEFAULT_DIALECT,
        faults: FaultPlan | None = None,
        seed: int = 0,
    ) -> None:
        self.drive = drive
        self.counters = HostCounters()
        self.faults = FaultInjector(faults or FaultPlan(), random.Random(seed))  # noqa: S311 - faults, not secrets
        self._dialect = dialect
        self._publisher = Publisher(variant, dialect)
        self._schedule = Schedule({**DEFAULT_RATES_HZ, **(rates_hz or {})})
        self._held: list[Outgoing] = []

    @property
    def deadline_s(self) -> float:
        """When the next tick is worth making, on the clock that `tick` is given."""
        return self._schedule.deadline_s()

    @property
    def finished(self) -> bool:
        """Whether the drive is over and everything of it has left."""
        return self.drive.finished and not self._held

    def present(self) -> EgoState:
        """The reported ego now."""
        return self.drive.present()

    def publishes(self, channel: str) -> bool:
        """Whether a channel sends at all."""
        return self._schedule.rates_hz.get(channel, 0.0) > 0.0

    def take_over(self) -> None:
        """Press `Q` at the simulator's keyboard: manual, built-in, external, manual."""
        self.drive.control.take_over()

    def receive(self, channel: str, data: bytes, now_s: float) -> None:
        """Take a datagram. Never raises.

        Args:
            channel: The command channel it arrived on.
            data: Any bytes.
            now_s: When it arrived, Unix seconds. Commands carry no time, so the simulator obeys
                in the order of arrival.
        """
        del now_s
        counters = self.counters
        wanted = COMMAND_CHANNELS.get(channel)
        if wanted is None:
            _count(counters.dropped, "unknown_channel")
            return
        _count(counters.received, channel)
        try:
            message = decode(data, dialect=self._dialect, direction=Direction.TO_SIMULATOR)
        except DecodeError as error:
            _count(counters.dropped, error.reason)
            return
        if not isinstance(message, wanted):
            _count(counters.dropped, "wrong_channel")
            return
        _count(counters.outcomes, self.drive.command(message))

    def tick(self, now_s: float) -> list[Outgoing]:
        """Move to a time and give what has to be sent.

        Args:
            now_s: The simulator machine's wall clock, Unix seconds. Jumps are survived.

        Returns:
            Datagrams in the order they leave.
        """
        if self.faults.stalled(now_s):
            # What the network held back arrives although the simulator stands.
            return self._sent(self.faults.transmit(now_s, self._held, []))
        self.drive.advance(now_s)
        fresh: list[Outgoing] = []
        for channel in self._schedule.due(now_s):
            datagrams = self._publisher.datagrams(channel, self.drive, self.faults)
            if datagrams is None:
                _count(self.counters.unsent, channel)
                continue
            fresh.extend(Outgoing(channel, data) for data in datagrams)
        return self._sent(self.faults.transmit(now_s, self._held, fresh))

    def _sent(self, items: list[Outgoing]) -> list[Outgoing]:
        for item in items:
            _count(self.counters.sent, item.channel)
        return items


def _count(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1
