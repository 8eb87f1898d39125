"""The scenario document: its parts, their defaults and their bounds.

Owns the shape of a scenario file and the rules that one part sets for another (a fault names a
group that exists). Frozen values; every field carries the sentence that the JSON Schema and the
explanation show. Knows nothing about YAML, lines of a file, or how a scenario is run.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from simulator.quotas.files import DEFAULT, LOW
from simulator.scenario.checks import Check, CheckText
from simulator.scenario.edges import PROBED
from simulator.scenario.motion import CityMotion, Motion
from simulator.scenario.units import Duration, Moment, Portion, Share

MAX_VEHICLES = 200_000
MAX_PAYLOAD_BYTES = 131_072

Name = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$")]
"""1 to 32 lower-case letters, digits and hyphens, as a topic level and a thing name may hold."""

OFF = "off"
"""Instead of a quota table: no rates and no counts of the account."""

REGION_OF_STAND_IN = "us-east-1"
"""The Region whose exceptions a quota table of the stand-in follows."""

Rate = Annotated[float, Field(gt=0, le=1000)]
Qos: TypeAlias = Literal[0, 1]


class Part(BaseModel):
    """Base of every part of a scenario: frozen, no unknown keys, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# Where the load goes, and as whom


class StandInTarget(Part):
    """The IoT Core stand-in, started for the run on this machine and stopped after it."""

    kind: Literal["stand-in"] = "stand-in"
    policies: Literal["vehicle", "open"] = Field(
        "vehicle",
        description="vehicle: each car may use its own topics only; open: everything is allowed",
    )
    quotas: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        "default",
        description=(
            "quotas of AWS IoT Core: default; low, those of the smaller Regions; a quota file "
            "with those of your account; off"
        ),
    )
    quota_mode: Literal["observe", "enforce"] = Field(
        "observe",
        description=(
            "observe: count what IoT Core would have refused, and let it through; enforce: refuse "
            "it too"
        ),
    )

    @property
    def quota_file(self) -> str | None:
        """The quota file, relative to the scenario; None when a shipped table or none is used."""
        return None if self.quotas in {DEFAULT, LOW, OFF} else self.quotas


class BrokerTarget(Part):
    """Any MQTT 5 broker."""

    kind: Literal["broker"]
    host: str = Field(min_length=1, max_length=253, description="name or address of the broker")
    port: int = Field(8883, ge=1, le=65_535)
    tls: bool = Field(True, description="false speaks plain TCP, without any identity")
    ca: str | None = Field(
        None, description="PEM file of the CA that signed the broker's certificate"
    )
    server_name: str | None = Field(None, description="name to verify when it differs from host")
    verify: bool = Field(True, description="false accepts any server certificate; only for tests")


class AwsTarget(Part):
    """AWS IoT Core: the account's data endpoint."""

    kind: Literal["aws"]
    endpoint: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]+\.amazonaws\.com(\.cn)?$",
        description="of describe-endpoint --endpoint-type iot:Data-ATS",
    )
    port: Literal[443, 8883] = Field(8883, description="443 uses ALPN x-amzn-mqtt-ca")
    region: str | None = Field(None, description="for quotas and prices; read from the endpoint")
    ca: str | None = Field(None, description="PEM file; without it the Amazon root CAs")


Target: TypeAlias = Annotated[StandInTarget | BrokerTarget | AwsTarget, Field(discriminator="kind")]


class MintedIdentities(Part):
    """Keys and certificates made for this run, in memory; for the stand-in."""

    kind: Literal["mint"] = "mint"


class StoreIdentities(Part):
    """Certificates of a store made by morai-certs; the cars take its things in order of name."""

    kind: Literal["store"]
    path: str = Field(min_length=1, description="folder of the store, relative to the scenario")
    prefix: str = Field("", description="only things whose name begins like this")


class NoIdentities(Part):
    """No client certificates; for brokers that ask for none."""

    kind: Literal["none"]


Identities: TypeAlias = Annotated[
    MintedIdentities | StoreIdentities | NoIdentities, Field(discriminator="kind")
]

# Vehicles


class Stream(Part):
    """One telemetry stream of every car of a group."""

    rate_hz: Rate = Field(description="messages per second and car at phase rate 1")
    qos: Qos = 0
    content: Literal["state", "gnss", "imu"] | None = Field(
        None, description="what is in it; by default that of its name, else state"
    )
    encoding: Literal["batch", "flat", "bytes"] = Field(
        "flat",
        description=(
            "batch: the agent's telemetry document; flat: one JSON object of about 250 bytes; "
            "bytes: opaque"
        ),
    )
    samples: int = Field(1, ge=1, le=1000, description="samples per message; above 1 with batch")
    payload_bytes: int | None = Field(
        None, ge=32, le=MAX_PAYLOAD_BYTES, description="pad the payload to this size"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Stream:
        if self.samples > 1 and self.encoding != "batch":
            raise ValueError("samples above 1 need encoding: batch")
        if self.encoding == "bytes" and self.payload_bytes is None:
            raise ValueError("encoding: bytes needs payload_bytes")
        if self.samples * self.rate_hz > 1000:  # noqa: PLR2004 - the bound of rate_hz
            raise ValueError("samples x rate_hz is more than 1000 samples per second")
        return self


class CommandHandling(Part):
    """How a car answers commands. Without this part it subscribes to none."""

    protocol: Literal["plain", "aws"] = Field(
        "plain", description="plain: cmd/morai/...; aws: $aws/commands/..."
    )
    takes: Duration = Field(0.5, description="median time from request to the final answer")
    takes_p95: Duration | None = Field(None, description="95th percentile of it; default 2 x takes")
    takes_max: Duration | None = Field(
        None,
        description="no command takes longer; by default a rare one takes many times takes_p95",
    )
    fails: Portion = Field(0.0, description="share of commands that end in FAILED")
    silent: Portion = Field(0.0, description="share of commands that get no answer")

    @model_validator(mode="after")
    def _is_ordered(self) -> CommandHandling:
        if self.takes_p95 is not None and self.takes_p95 < self.takes:
            raise ValueError("takes_p95 is below takes")
        p95 = 2 * self.takes if self.takes_p95 is None else self.takes_p95
        if self.takes_max is not None and self.takes_max < p95:
            raise ValueError("takes_max is below takes_p95, which is 2 x takes by default")
        if self.fails + self.silent > 1:
            raise ValueError("fails and silent together are more than 1")
        return self


class ShadowReports(Part):
    """Reported state of a named shadow, published to its update topic."""

    every: Duration = Field(60.0, description="time between two reports of a car")
    name: Name = Field("vehicle", description="name of the shadow")


class Reconnect(Part):
    """What a car does when it lost its connection."""

    policy: Literal["none", "backoff", "immediate"] = Field(
        "backoff",
        description="none: stays away; backoff: waits longer each time; immediate: at once",
    )
    first: Duration = Field(1.0, description="longest first wait")
    longest: Duration = Field(128.0, description="longest wait")
    jitter: bool = Field(True, description="wait a random part of it, drawn from the seed")


class AtOnce(Part):
    """All cars connect at the same moment."""

    kind: Literal["at-once"]
    after: Moment = Field(0.0, description="time from the start of the run")


class AtRate(Part):
    """Cars connect at a constant rate."""

    kind: Literal["rate"] = "rate"
    per_s: float = Field(50.0, gt=0, le=10_000, description="cars per second")
    after: Moment = Field(0.0, description="time from the start of the run")


class Over(Part):
    """Cars connect evenly over a time."""

    kind: Literal["over"]
    duration: Duration
    after: Moment = Field(0.0, description="time from the start of the run")


class Ramp(Part):
    """Cars connect at a rate that rises or falls linearly until all are there."""

    kind: Literal["ramp"]
    from_per_s: float = Field(ge=0, le=10_000)
    to_per_s: float = Field(ge=0, le=10_000)
    after: Moment = Field(0.0, description="time from the start of the run")

    @model_validator(mode="after")
    def _moves(self) -> Ramp:
        if self.from_per_s + self.to_per_s <= 0:
            raise ValueError("from_per_s and to_per_s are both 0, so no car would ever connect")
        return self


Arrival: TypeAlias = Annotated[AtOnce | AtRate | Over | Ramp, Field(discriminator="kind")]


class VehicleGroup(Part):
    """Cars that are alike."""

    name: Name
    count: int = Field(ge=1, le=MAX_VEHICLES)
    motion: Motion = Field(default_factory=CityMotion)
    streams: dict[Name, Stream] = Field(
        default_factory=dict, max_length=8, description="stream name, the last topic level, to it"
    )
    commands: CommandHandling | None = None
    shadow: ShadowReports | None = None
    arrival: Arrival | None = Field(None, description="overrides the arrival of the scenario")
    reconnect: Reconnect = Field(default_factory=Reconnect)
    keep_alive: Annotated[int, Field(ge=0, le=65_535)] = Field(60, description="seconds")
    session: Literal["clean", "persistent"] = Field(
        "clean", description="persistent: Clean Start 0 and a Session Expiry of one hour"
    )
    in_flight: int = Field(
        100, ge=1, le=65_535, description="unacknowledged QoS 1 publishes of a car at most"
    )
    client: Literal["engine", "sdk"] = Field(
        "engine", description="sdk: the AWS IoT Device SDK, one real client for each car"
    )


# What happens when


class Phase(Part):
    """A stretch of the run with a name, for which figures are given."""

    name: Name
    duration: Duration
    rate: float = Field(1.0, ge=0, le=100, description="factor on every publish rate")
    rate_to: float | None = Field(
        None, ge=0, le=100, description="factor at its end, reached linearly"
    )


FaultKind: TypeAlias = Literal[
    "disconnect",
    "drop",
    "storm",
    "silence",
    "slow-reader",
    "duplicate-client-id",
    "wrong-certificate",
    "clock-skew",
    "oversized-publish",
    "malformed-publish",
]

LASTING_FAULTS: frozenset[FaultKind] = frozenset(
    {"silence", "slow-reader", "wrong-certificate", "clock-skew"}
)
"""Faults that last for `duration`; the others happen in an instant."""


class Fault(Part):
    """Something that goes wrong with a share of the cars.

    `disconnect` sends DISCONNECT, `drop` closes the TCP connection without it, `storm` drops and
    reconnects at once whatever the policy. `silence` neither reads nor writes, `slow-reader` only
    stops reading. `duplicate-client-id` opens a second connection under the car's name.
    `wrong-certificate` reconnects with one of an unknown CA. `clock-skew` shifts the time stamps in
    payloads. `oversized-publish` and `malformed-publish` send one such packet.
    """

    kind: FaultKind
    at: Moment | None = Field(None, description="once, this long after the start")
    per_s: float | None = Field(None, gt=0, le=1000, description="again and again, cars per second")
    begin: Moment = Field(0.0, description="with per_s: not before")
    end: Moment | None = Field(None, description="with per_s: not after; default the end")
    share: Share | None = Field(None, description="with at: share of the cars; default all")
    group: Name | None = Field(None, description="only cars of this group")
    duration: Duration = Field(10.0, description="how long a lasting fault lasts")
    skew_s: float = Field(30.0, ge=-86_400, le=86_400, description="of clock-skew")

    @model_validator(mode="after")
    def _has_one_time(self) -> Fault:
        if (self.at is None) == (self.per_s is None):
            raise ValueError("give exactly one of at (once) and per_s (again and again)")
        if self.share is not None and self.per_s is not None:
            raise ValueError("share goes with at; per_s says already how many cars are hit")
        if self.end is not None and self.end <= self.begin:
            raise ValueError("end is not after begin")
        return self


# Applications


class Observers(Part):
    """Applications that read telemetry and keep exact books on it."""

    name: Name = "observers"
    count: int = Field(1, ge=1, le=10_000, description="connections")
    share: Share = Field(1.0, description="share of the cars that is watched")
    group: Name | None = Field(None, description="only cars of this group")
    streams: list[Name] | None = Field(None, max_length=8, description="default: every stream")
    qos: Qos = 0
    filters: Literal["auto", "wildcard", "each"] = Field(
        "auto",
        description=(
            "wildcard: every observer reads the whole group; each: cars are dealt out, one filter "
            "a car; auto: wildcard when there is one observer with share 1"
        ),
    )


class Commanders(Part):
    """Applications that send commands and wait for the answers."""

    name: Name = "commanders"
    count: int = Field(1, ge=1, le=1000, description="connections")
    rate_hz: float = Field(1.0, gt=0, le=10_000, description="commands per second, all together")
    group: Name | None = Field(None, description="only cars of this group")
    command: Literal["set_speed", "stop", "set_lamps", "mix"] = "mix"
    begin: Moment | None = Field(
        None, description="not before; default one second after the last car is due to connect"
    )
    answer_within: Duration = Field(5.0, description="an answer after this counts as late")
    qos: Qos = 1


class Applications(Part):
    """What reads from the cars and what commands them."""

    observers: list[Observers] = Field(default_factory=list, max_length=16)
    commanders: list[Commanders] = Field(default_factory=list, max_length=16)


# Quotas at their edge


def _probed(quota: str) -> str:
    if quota not in PROBED:
        near = difflib.get_close_matches(quota, PROBED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PROBED)}"
        raise ValueError(f"{quota!r:.60} is no quota that can be probed; {hint}")
    return quota


class Probes(Part):
    """Clients that go just below and just above the quotas of the stand-in, one after the other.

    What they expect is what AWS IoT Core documents. They have topics of their own, and those of
    quotas of the account use up what the cars share with them: give the cars nothing to do then.
    """

    name: Name = "probes"
    of: Literal["clients", "account", "all"] = Field(
        "all",
        description="clients: quotas of one client; account: what all clients share; all: both",
    )
    quotas: list[Annotated[str, AfterValidator(_probed)]] | None = Field(
        None, min_length=1, max_length=64, description="only these quotas, by their id; default all"
    )
    begin: Moment = Field(0.0, description="not before")


# The whole


class Scenario(Part):
    """A load test: where, who, when, what goes wrong, and what must hold."""

    model_config = ConfigDict(title="morai-edge scenario")

    name: Name
    description: str = Field(min_length=1, max_length=4000, description="the question it answers")
    seed: int = Field(1, ge=0, le=2**32 - 1, description="two runs with one seed are identical")
    fleet: Name = Field("load", description="the fleet level of the topics")
    target: Target = Field(default_factory=StandInTarget)
    identities: Identities = Field(default_factory=MintedIdentities)
    vehicles: list[VehicleGroup] = Field(min_length=1, max_length=32)
    arrival: Arrival = Field(default_factory=AtRate)
    phases: list[Phase] = Field(min_length=1, max_length=64)
    faults: list[Fault] = Field(default_factory=list, max_length=64)
    applications: Applications = Field(default_factory=Applications)
    probes: list[Probes] = Field(default_factory=list, max_length=8)
    checks: list[CheckText] = Field(default_factory=list, max_length=128)
    drain: Moment = Field(5.0, description="wait for late messages and answers after the end")

    @property
    def duration_s(self) -> float:
        """Length of all phases together."""
        return sum(phase.duration for phase in self.phases)

    @property
    def vehicle_count(self) -> int:
        """Cars of all groups together."""
        return sum(group.count for group in self.vehicles)

    @property
    def parsed_checks(self) -> tuple[Check, ...]:
        """The checks, parsed."""
        return tuple(Check.parse(text) for text in self.checks)

    def group(self, name: str) -> VehicleGroup:
        """The group with this name.

        Raises:
            KeyError: There is none.
        """
        for group in self.vehicles:
            if group.name == name:
                return group
        raise KeyError(name)
