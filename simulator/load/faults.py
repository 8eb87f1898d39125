"""What goes wrong on purpose: the faults of a scenario, struck on the cars of one worker.

Owns when each fault hits which car and what it does to the connection. Which cars are hit follows
from the scenario's seed alone, so the same cars suffer in every run and on any number of workers.
When faults of one kind overlap on a car, the latest strike says how and the latest end how long.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import mqtt5

from agent.cloud.topics import TopicSpace
from simulator.load.connection.client import Client, Pending, Settings
from simulator.load.vehicles import CarGroup
from simulator.scenario.schema import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simulator.load.driving import DrivenCars
    from simulator.load.target.identities import KeyPair
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Fault, FaultKind, Scenario

MALFORMED_PUBLISH: Final = b"\x36\x05\x00\x01a\x00\x00"
"""A PUBLISH with both QoS bits set, which MQTT 5.0 forbids (section 3.3.1.2)."""

_STREAM: Final = "oversized"
_HOLD_UPS: Final[frozenset[FaultKind]] = frozenset({"silence", "slow-reader"})


class Strike(NamedTuple):
    """A fault that hits one car."""

    at_s: float
    fault: Fault
    group: DrivenCars[Any]
    car: int


class Faults:
    """The faults of a scenario on one worker.

    Args:
        scenario: The scenario.
        roster: The cars.
        groups: The groups on this worker.
        wrong_pair: Makes an identity of an unknown CA for a thing.
    """

    def __init__(
        self,
        scenario: Scenario,
        roster: Roster,
        groups: Sequence[DrivenCars[Any]],
        wrong_pair: Callable[[str], KeyPair],
    ) -> None:
        self._scenario = scenario
        self._roster = roster
        self._groups = groups
        self._wrong_pair = wrong_pair
        # Kind of a lasting fault and number of a car it holds, to the end of that.
        self._until_s: dict[tuple[FaultKind, int], float] = {}

    def enter(self) -> None:
        """Put the strikes on the cars of this worker on the agenda: of each fault the next one."""
        for index, fault in enumerate(self._scenario.faults):
            strikes = self._strikes(index, fault)
            first = next(strikes, None)
            if first is not None:
                first.group.work.agenda.at(first.at_s, partial(self._strike_due, first, strikes))

    def _strikes(self, index: int, fault: Fault) -> Iterator[Strike]:
        """The strikes of a fault on this worker in order of their time."""
        victims = self._roster.victims(index)
        times = self._roster.strikes(fault)
        count = len(victims) if fault.at is not None else times.count
        for nth in range(count):
            number = int(victims[nth % len(victims)])
            for group in self._groups:
                place = number - group.first
                if 0 <= place < len(group.things):
                    at_s = times.at_s(nth) if fault.at is None else fault.at
                    yield Strike(at_s, fault, group, place)

    def _strike_due(self, strike: Strike | None, strikes: Iterator[Strike], now_s: float) -> None:
        while strike is not None and strike.at_s <= now_s:
            self._strike(strike.fault, strike.group, strike.car, now_s)
            strike = next(strikes, None)
        if strike is not None:
            strike.group.work.agenda.at(strike.at_s, partial(self._strike_due, strike, strikes))

    def _strike(self, fault: Fault, group: DrivenCars[Any], index: int, now_s: float) -> None:
        if fault.kind == "clock-skew":
            group.skew_s[index] = fault.skew_s
            self._last(fault, group, index, now_s)
        elif fault.kind == "wrong-certificate" and isinstance(group, CarGroup):
            group.borrowed[index] = self._wrong_pair(group.things[index])
            self._last(fault, group, index, now_s)
            # A car that is not there yet, or stays away, meets the fault when it comes.
            if group.clients[index].link is not None:
                group.cut(index, now_s)
        elif fault.kind in _HOLD_UPS and isinstance(group, CarGroup):
            # Whom it has already is hit again although the connection may be gone by now.
            key = (fault.kind, group.first + index)
            if group.clients[index].is_connected or key in self._until_s:
                until_s = self._last(fault, group, index, now_s)
                if fault.kind == "silence":
                    group.silence(index, until_s)
                else:
                    group.stop_reading(index)
        elif not group.clients[index].is_connected:
            # The other faults are faults of a connection.
            return
        elif fault.kind == "disconnect":
            group.disconnect(index, now_s)
        elif fault.kind == "duplicate-client-id":
            intruder = Intruder(group, index)
            group.work.agenda.at(now_s + fault.duration, lambda _: intruder.leave())
        elif isinstance(group, CarGroup):
            _strike_socket(fault, group, index, now_s)

    def _last(self, fault: Fault, group: DrivenCars[Any], index: int, now_s: float) -> float:
        """Let a fault last on a car: until its end, or that of a longer one of its kind."""
        key = (fault.kind, group.first + index)
        known_s = self._until_s.get(key)
        until_s = self._until_s[key] = max(now_s + fault.duration, known_s or 0.0)
        # One entry a car and kind stands on the agenda, however often it is hit.
        if known_s is None:
            group.work.agenda.at(until_s, partial(self._end, fault.kind, group, index))
        return until_s

    def _end(self, kind: FaultKind, group: DrivenCars[Any], index: int, now_s: float) -> None:
        key = (kind, group.first + index)
        until_s = self._until_s[key]
        if until_s > now_s:
            group.work.agenda.at(until_s, partial(self._end, kind, group, index))
            return
        del self._until_s[key]
        if kind == "clock-skew":
            group.skew_s.pop(index, None)
        elif not isinstance(group, CarGroup):
            return
        elif kind == "wrong-certificate":
            group.borrowed.pop(index, None)
        elif kind == "silence":
            group.end_silence(index)
        else:
            group.read_again(index)


def _strike_socket(fault: Fault, group: CarGroup, index: int, now_s: float) -> None:
    """The faults made on the socket itself, which only the engine's own clients let go."""
    client = group.clients[index]
    if fault.kind in {"drop", "storm"}:
        group.cut(index, now_s, at_once=fault.kind == "storm")
    elif fault.kind == "malformed-publish":
        client.write_raw(MALFORMED_PUBLISH)
    elif fault.kind == "oversized-publish":
        topic = TopicSpace(group.fleet, client.client_id).telemetry(_STREAM)
        client.write_raw(mqtt5.PublishPacket(topic, bytes(MAX_PAYLOAD_BYTES + 1)).write())


class Intruder:
    """A second connection under a car's client id, which takes the session over.

    Args:
        group: The group of the car.
        index: The car.
    """

    def __init__(self, group: DrivenCars[Any], index: int) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self._client = Client(
            self,
            index,
            group.things[index],
            Settings(),
            group.work.loop,
            group.work.clock,
            group.identity(index),
        )
        self._client.connect(group.work.endpoint)

    def leave(self) -> None:
        """Disconnect, if it still is connected."""
        self._client.disconnect()

    def client_linked(self, client: Client, now_s: float, /) -> None:
        """Nothing to do."""

    def client_connected(self, client: Client, now_s: float, /) -> None:
        """That was all it wanted."""

    def client_message(self, client: Client, packet: mqtt5.PublishPacket, /) -> None:
        """It does not subscribe."""

    def client_acknowledged(self, client: Client, pending: Pending, reason: int, /) -> None:
        """It does not publish."""

    def client_resent(self, client: Client, count: int, /) -> None:
        """It does not publish."""

    def client_subscribed(self, client: Client, reasons: list[int], /) -> None:
        """It does not subscribe."""

    def client_ended(self, client: Client, cause: str, /, *, was_connected: bool) -> None:
        """The car took its session back."""
