"""Who publishes what to whom: the flows of messages that a scenario sets up.

Owns topics, receivers and rates of telemetry, shadow reports, commands and their answers. A flow is
a kind of message that every car of a group publishes at one rate, or that commanders publish. What
observers get follows from their filters: `dt/morai/<fleet>/+/<stream>` matches the stream in every
group of the fleet, and a filter a car matches that car. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.cloud.topics import MAX_EXECUTION_ID_LENGTH, CommandProtocol, TopicSpace
from simulator.forecast import sizes
from simulator.scenario import watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulator.scenario.roster import GroupRange, Roster
    from simulator.scenario.schema import (
        Commanders,
        CommandHandling,
        Scenario,
        Stream,
        VehicleGroup,
    )

    PayloadBytes = Callable[[str, Stream, str], int]

STATUSES_PER_COMMAND: Final = 2
"""A car says IN_PROGRESS and then the final status."""

PUBLISHES_PER_SHADOW_UPDATE: Final = 3
"""AWS counts an update over MQTT and each answer it publishes as inbound: `accepted` and
`documents`; `delta` only follows when somebody desires another state (AWS IoT Core endpoints and
quotas, "Inbound publish requests")."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Connections that get the messages of a flow.

    Attributes:
        name: Group of cars, or name of the observers or commanders.
        copies: Deliveries per message, all these connections together.
        share: Share of the flow that the busiest of these connections gets.
        qos: Of the delivery.
    """

    name: str
    copies: float
    share: float
    qos: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages of one kind.

    Attributes:
        kind: `stream`, `shadow`, `command`, `answer` or `accepted`.
        name: In words, such as `state of vans`.
        sender: Group of cars or name of commanders; None for the broker itself.
        group: Index of the group whose cars each publish it; None when the rate is one of all.
        rate_hz: Messages a second: of each car, or of all.
        is_scaled: Whether the rate factor of the phase applies.
        topic_bytes: Length of the longest topic.
        topic_slashes: Slashes in it.
        payload_bytes: Typical payload.
        qos: Of the publish.
        sender_share: Share of it that the busiest sender publishes.
        counts_as: Publishes that AWS counts one message as.
        readers: Who gets it.
    """

    kind: str
    name: str
    sender: str | None
    group: int | None
    rate_hz: float
    is_scaled: bool
    topic_bytes: int
    topic_slashes: int
    payload_bytes: int
    qos: int
    sender_share: float
    counts_as: int = 1
    readers: tuple[Reader, ...] = ()

    @property
    def units(self) -> int:
        """Units of 5 KB that one message is metered as."""
        return sizes.metering_units(self.topic_bytes, self.payload_bytes)

    @property
    def packet_bytes(self) -> int:
        """Length of its PUBLISH packet."""
        return sizes.packet_bytes(self.topic_bytes, self.payload_bytes, self.qos)


def longest_thing(roster: Roster, within: GroupRange) -> str:
    """The longest thing name of a group, on which every size is based."""
    return max((roster.thing(number) for number in range(within.start, within.stop)), key=len)


def flows_of(scenario: Scenario, roster: Roster, payload_bytes: PayloadBytes) -> list[Flow]:
    """All flows of a scenario.

    Raises:
        ConfigurationError: A name leaves no room for the topics of the contract.
    """
    flows: list[Flow] = []
    targets = {commanders.name: _shares(scenario, commanders) for commanders in _all(scenario)}
    for index, within in enumerate(roster.groups):
        thing = longest_thing(roster, within)
        topics = TopicSpace(scenario.fleet, thing)
        for name, stream in within.group.streams.items():
            topic = topics.telemetry(name)
            flows.append(
                Flow(
                    kind="stream",
                    name=f"{name} of {within.group.name}",
                    sender=within.group.name,
                    group=index,
                    rate_hz=stream.rate_hz,
                    is_scaled=True,
                    topic_bytes=len(topic.encode()),
                    topic_slashes=topic.count("/"),
                    payload_bytes=payload_bytes(name, stream, thing),
                    qos=stream.qos,
                    sender_share=1.0,
                    readers=tuple(_observing(scenario, within.group, name, stream.qos)),
                )
            )
        if within.group.shadow is not None:
            topic = f"$aws/things/{thing}/shadow/name/{within.group.shadow.name}/update"
            flows.append(
                Flow(
                    kind="shadow",
                    name=f"shadow reports of {within.group.name}",
                    sender=within.group.name,
                    group=index,
                    rate_hz=1.0 / within.group.shadow.every,
                    is_scaled=False,
                    topic_bytes=len(topic.encode()),
                    topic_slashes=topic.count("/"),
                    payload_bytes=sizes.SHADOW_BYTES,
                    qos=1,
                    sender_share=1.0,
                    counts_as=PUBLISHES_PER_SHADOW_UPDATE,
                )
            )
        if within.group.commands is not None:
            for commanders in _all(scenario):
                rate_hz = targets[commanders.name].get(within.group.name, 0.0)
                if rate_hz:
                    flows += _commanding(
                        scenario, within.group, within.group.commands, commanders, rate_hz, topics
                    )
    return flows


# Filters


def car_filters(group: VehicleGroup) -> int:
    """Filters that a car subscribes to: its commands, when it takes any."""
    return int(group.commands is not None)


def commander_filters(scenario: Scenario, commanders: Commanders) -> int:
    """Filters of a commander: the answers of the fleet, for each transport it commands."""
    return len(_protocols(scenario, commanders))


# Details


def _all(scenario: Scenario) -> Sequence[Commanders]:
    return scenario.applications.commanders


def _commanded(scenario: Scenario, commanders: Commanders) -> list[VehicleGroup]:
    return [
        group
        for group in scenario.vehicles
        if group.commands is not None and commanders.group in {None, group.name}
    ]


def _protocols(scenario: Scenario, commanders: Commanders) -> set[str]:
    groups = _commanded(scenario, commanders)
    return {group.commands.protocol for group in groups if group.commands is not None}


def _shares(scenario: Scenario, commanders: Commanders) -> dict[str, float]:
    """Commands per second for each group: every car is as likely a target as any other."""
    groups = _commanded(scenario, commanders)
    cars = sum(group.count for group in groups)
    return {group.name: commanders.rate_hz * group.count / cars for group in groups}


def _observing(scenario: Scenario, group: VehicleGroup, stream: str, qos: int) -> Iterable[Reader]:
    for observers in scenario.applications.observers:
        granted = min(qos, observers.qos)
        if watching.uses_wildcard(observers):
            if stream in watching.wildcard_streams(scenario, observers):
                yield Reader(observers.name, float(observers.count), 1.0, granted)
        elif observers.group in {None, group.name} and stream in watching.streams_read(
            group, observers
        ):
            watched = watching.cars_watched(group, observers)
            busiest = math.ceil(watched / observers.count)
            yield Reader(observers.name, watched / group.count, busiest / group.count, granted)


def _commanding(
    scenario: Scenario,
    group: VehicleGroup,
    handling: CommandHandling,
    commanders: Commanders,
    rate_hz: float,
    topics: TopicSpace,
) -> Iterable[Flow]:
    protocol = CommandProtocol(handling.protocol)
    execution_id = "x" * MAX_EXECUTION_ID_LENGTH
    request = topics.request(protocol, execution_id)
    response = topics.response(protocol, execution_id)
    one_car = 1.0 / group.count
    yield Flow(
        kind="command",
        name=f"commands of {commanders.name} to {group.name}",
        sender=commanders.name,
        group=None,
        rate_hz=rate_hz,
        is_scaled=False,
        topic_bytes=len(request.encode()),
        topic_slashes=request.count("/"),
        payload_bytes=sizes.REQUEST_BYTES,
        qos=commanders.qos,
        sender_share=1.0 / commanders.count,
        readers=(Reader(group.name, 1.0, one_car, commanders.qos),),
    )
    answers_hz = STATUSES_PER_COMMAND * rate_hz * (1.0 - handling.silent)
    readers = tuple(
        Reader(other.name, float(other.count), 1.0, 1)
        for other in _all(scenario)
        if handling.protocol in _protocols(scenario, other)
    )
    yield Flow(
        kind="answer",
        name=f"answers of {group.name} to {commanders.name}",
        sender=group.name,
        group=None,
        rate_hz=answers_hz,
        is_scaled=False,
        topic_bytes=len(response.encode()),
        topic_slashes=response.count("/"),
        payload_bytes=sizes.ANSWER_BYTES,
        qos=1,
        sender_share=one_car,
        readers=readers,
    )
    if protocol is CommandProtocol.AWS:
        # AWS IoT Commands tells the car itself what became of each status, subscribed or not.
        accepted = response.replace("/response/json", "/response/accepted/json")
        yield Flow(
            kind="accepted",
            name=f"AWS IoT Commands to {group.name}",
            sender=None,
            group=None,
            rate_hz=answers_hz,
            is_scaled=False,
            topic_bytes=len(accepted.encode()),
            topic_slashes=accepted.count("/"),
            payload_bytes=sizes.ACCEPTED_BYTES,
            qos=0,
            sender_share=0.0,
            counts_as=0,
            readers=(Reader(group.name, 1.0, one_car, 0),),
        )
