"""The figures of a forecast: what a scenario asks for, by phase, by connection, and as metered.

Owns their shapes and their JSON form; `simulator.forecast.demand` computes them. Pure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.forecast.presence import Peak

START: Final = "start"
"""Name of the moment before the first car, in which the applications connect."""


class Need(StrEnum):
    """What is asked for, by the id of the quota that bounds it."""

    CONNECTS = "connects-per-account"
    CONNECTS_OF_CLIENT = "connects-per-client-id"
    CONNECTIONS = "connections-per-account"
    CLIENT_ID_BYTES = "client-id-bytes"
    KEEP_ALIVE_LEAST_S = "keep-alive-least"
    KEEP_ALIVE_MOST_S = "keep-alive-most"
    SESSION_EXPIRY_S = "session-expiry"
    PUBLISHES_IN = "publishes-in-per-account"
    PUBLISHES_OUT = "publishes-out-per-account"
    PUBLISHES_OF_CONNECTION = "publishes-per-connection"
    KILOBYTES_OF_CONNECTION = "throughput-per-connection"
    IN_FLIGHT = "unacknowledged-in-per-client"
    PAYLOAD_BYTES = "payload-bytes"
    TOPIC_BYTES = "topic-bytes"
    TOPIC_SLASHES = "topic-slashes"
    SUBSCRIPTIONS = "subscriptions-per-account"
    SUBSCRIPTIONS_OF_CONNECTION = "subscriptions-per-connection"
    SUBSCRIBES = "subscribes-per-account"
    FILTERS_OF_SUBSCRIBE = "filters-per-subscribe"
    QUEUED = "queued-per-account"
    RETAINED = "retained-messages"
    SHADOW_REQUESTS = "shadow-requests-per-account"
    SHADOW_REQUESTS_OF_SHADOW = "shadow-requests-per-shadow"
    COMMAND_STARTS = "command-starts-per-account"
    COMMAND_UPDATES = "command-updates-per-account"


@dataclass(frozen=True, slots=True)
class PhaseDemand:
    """What one phase asks for: numbers of the whole phase, and the most in one second.

    Attributes:
        name: Name of the phase, or `START`.
        start_s: Beginning.
        end_s: End.
        cars_online: Cars that have arrived by its end.
        connects: CONNECTs, refused ones included.
        connects_per_s: The most in one second.
        subscribe_filters: Filters subscribed.
        subscribe_filters_per_s: The most in one second.
        publishes_in: Messages published to the broker.
        publishes_in_per_s: The most in one second, as AWS counts them.
        publishes_out: Deliveries.
        publishes_out_per_s: The most in one second.
        bytes_in: MQTT bytes of the publishes.
        bytes_out: MQTT bytes of the deliveries.
    """

    name: str
    start_s: float
    end_s: float
    cars_online: int
    connects: float
    connects_per_s: float
    subscribe_filters: float
    subscribe_filters_per_s: float
    publishes_in: float
    publishes_in_per_s: float
    publishes_out: float
    publishes_out_per_s: float
    bytes_in: float
    bytes_out: float


@dataclass(frozen=True, slots=True)
class ConnectionDemand:
    """What the busiest connection of its kind asks for, at its peak.

    Attributes:
        kind: `car`, `observer` or `commander`.
        name: Group of cars or name of the applications.
        count: Connections of this kind.
        sends_per_s: Messages it publishes.
        receives_per_s: Messages it gets.
        publishes_per_s: Both together.
        kilobytes_per_s: Both together, in KB of 1,024 bytes.
        filters: Subscriptions.
        where: When.
    """

    kind: str
    name: str
    count: int
    sends_per_s: float
    receives_per_s: float
    publishes_per_s: float
    kilobytes_per_s: float
    filters: int
    where: str

    @property
    def label(self) -> str:
        """In words, such as `a car of vans`."""
        article = "an" if self.kind == "observer" else "a"
        return f"{article} {self.kind} of {self.name}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Metered quantities (AWS IoT Core pricing, "Additional metering details").

    Attributes:
        connection_minutes: Minutes of connections, each connection rounded up.
        connects: Units of 5 KB of CONNECTs that were let in.
        publishes_in: Units of 5 KB published by clients.
        publishes_out: Units of 5 KB delivered to clients.
        acknowledgements: PUBACKs that clients sent, one unit each.
        subscribes: SUBSCRIBE packets, in units of 5 KB of their filters.
        shadow_operations: Units of 1 KB of shadow updates.
    """

    connection_minutes: float = 0.0
    connects: float = 0.0
    publishes_in: float = 0.0
    publishes_out: float = 0.0
    acknowledgements: float = 0.0
    subscribes: float = 0.0
    shadow_operations: float = 0.0

    def plus(self, other: Usage, times: float = 1.0) -> Usage:
        """The sum with a multiple of another."""
        return Usage(
            *(
                getattr(self, field.name) + times * getattr(other, field.name)
                for field in fields(Usage)
            )
        )

    @property
    def messages(self) -> float:
        """Units that the price of messaging applies to."""
        return (
            self.connects
            + self.publishes_in
            + self.publishes_out
            + self.acknowledgements
            + self.subscribes
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """What a scenario will ask of a broker.

    Attributes:
        scenario: Its name.
        duration_s: Length of all phases.
        cars: Cars asked for.
        cars_connecting: Those whose arrival is before the end.
        phases: For every phase; before them the start, when there are applications.
        connections: For every group of cars, of observers and of commanders.
        needs: The highest need of everything that a quota bounds.
        reconnecting_at_once: The most cars that faults make reconnect at the same moment.
        run: Metered in the run.
        month: Metered in 30 days in which all cars stay connected and the phases repeat.
        notes: What the figures leave out, in words.
    """

    scenario: str
    duration_s: float
    cars: int
    cars_connecting: int
    phases: tuple[PhaseDemand, ...]
    connections: tuple[ConnectionDemand, ...]
    needs: Mapping[Need, Peak]
    reconnecting_at_once: Peak
    run: Usage
    month: Usage
    notes: tuple[str, ...]

    def phase(self, name: str) -> PhaseDemand:
        """The figures of a phase.

        Raises:
            KeyError: There is none of this name.
        """
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)

    def total(self, figure: str) -> float:
        """Sum over the phases of one of their numbers, such as `publishes_in`."""
        return float(sum(getattr(phase, figure) for phase in self.phases))

    def as_json(self) -> dict[str, Any]:
        """For machines: everything, with the ids of quotas as keys of the needs."""
        document = asdict(self)
        document["needs"] = {
            str(need): {"value": peak.value, "where": peak.where}
            for need, peak in self.needs.items()
        }
        return document
