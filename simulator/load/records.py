"""The raw result of a run: every record that is written while it goes on, one JSON line each.

A result is the header, then snapshots, events and target reports as they come, then the books, then
the end. Every report is derived from these records and from nothing else. Owns their shape and
their text form; knows nothing about where they come from or go.

Times `*_s` count from the start of the run on one clock that all workers share.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

FORMAT: Final = "morai-edge/run/1"
MAX_LINE_BYTES: Final = 64 * 1024 * 1024

Outcome: TypeAlias = Literal["completed", "interrupted", "failed"]


class RecordError(ValueError):
    """A line that is no record of a result. The text says why."""


class PlannedPhase(msgspec.Struct, frozen=True):
    """A phase as planned."""

    name: str
    start_s: float
    end_s: float
    rate: float
    rate_to: float


class PlannedFault(msgspec.Struct, frozen=True):
    """A fault as planned. `end_s` equals `start_s` for those of an instant."""

    kind: str
    start_s: float
    end_s: float
    cars: int
    group: str | None


class PlannedGroup(msgspec.Struct, frozen=True):
    """A group as planned."""

    name: str
    asked: int
    client: str
    streams: list[str]


class PlannedProbe(msgspec.Struct, frozen=True):
    """An edge of a quota that probes are to go to.

    Attributes:
        probes: Name of the probes.
        edge: Name of the edge in `simulator.scenario.edges`.
    """

    probes: str
    edge: str


class Header(msgspec.Struct, frozen=True, tag="run", tag_field="record"):
    """What is about to be run.

    Attributes:
        format: Name and version of the format.
        name: Name of the scenario.
        scenario: The scenario document with all defaults.
        started: Time of the start, ISO 8601 with time zone.
        unix_s_at_zero: Unix time at 0 of the run's clock.
        version: Version of this product.
        target: The target in words, with address.
        target_kind: `stand-in`, `broker` or `aws`.
        machine: Facts about the machine: processor, cores, memory, system, event loop.
        workers: Number of worker processes.
        groups: The groups.
        phases: The phases.
        faults: The faults.
        quotas: Findings of the quota check, as JSON (`simulator.forecast`).
        cost: The cost estimate, as JSON (`simulator.forecast`).
        probes: The edges of quotas that are probed.
    """

    name: str
    scenario: dict[str, Any]
    started: str
    unix_s_at_zero: float
    version: str
    target: str
    target_kind: str
    machine: dict[str, str]
    workers: int
    groups: list[PlannedGroup]
    phases: list[PlannedPhase]
    faults: list[PlannedFault]
    quotas: dict[str, Any] = {}
    cost: dict[str, Any] = {}
    probes: list[PlannedProbe] = []
    format: str = FORMAT


class Count(msgspec.Struct, frozen=True, array_like=True):
    """An increment of a counter named in `simulator.scenario.checks.METRICS`.

    Attributes:
        name: The counter.
        group: The cars it belongs to, also for `received` and what became of commands. Only what
            the connections of an application do themselves (bytes, commands that could not be
            sent, refusals by the broker) is counted under the application's name.
        phase: The phase it belongs to.
        value: How many.
    """

    name: str
    group: str
    phase: str
    value: int


class Latencies(msgspec.Struct, frozen=True, array_like=True):
    """Latencies recorded since the last snapshot.

    Attributes:
        metric: A latency of `simulator.scenario.checks.METRICS`.
        group: The cars they belong to.
        phase: The phase in which they were due, not that in which they ended.
        histogram: Encoded HDR histogram of microseconds (`simulator.load.histograms`).
    """

    metric: str
    group: str
    phase: str
    histogram: str


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a car was, for the map; only a sample of the cars is recorded."""

    vehicle: int
    latitude_deg: float
    longitude_deg: float


class ProcessUse(msgspec.Struct, frozen=True):
    """What a process used: CPU since the last snapshot, memory now."""

    cpu_s: float
    resident_bytes: int


class ProbedSide(msgspec.Struct, frozen=True):
    """What the clients of a probe saw on one side of a quota.

    Attributes:
        amount: How much they did: events, or the size of one.
        tried: Events, 1 when the amount is a size.
        accepted: Those that went as below the quota.
        refused: Those that did not.
        effect: What that looked like; empty when nothing was seen.
    """

    amount: int
    tried: int
    accepted: int
    refused: int
    effect: str


class Probed(msgspec.Struct, frozen=True):
    """A quota that was probed.

    Attributes:
        at_s: When that was done.
        probes: Name of the probes.
        edge: Name of the edge in `simulator.scenario.edges`.
        quota: Id of the quota.
        limit: Its limit in force.
        unit: Unit of that.
        is_enforced: Whether the stand-in refuses what is above, or only counts it.
        clients: How the client ids begin that went below, and those that went above.
        below: What they saw; None when it did not come to that.
        above: The same.
        fault: Why one of them is missing.
        passed_over: Why it was not probed, although nothing is wrong.
    """

    at_s: float
    probes: str
    edge: str
    quota: str
    limit: float
    unit: str
    is_enforced: bool
    clients: tuple[str, str]
    below: ProbedSide | None = None
    above: ProbedSide | None = None
    fault: str = ""
    passed_over: str = ""


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot", tag_field="record"):
    """What one worker did since its last snapshot. Snapshots of any workers can be added.

    Attributes:
        worker: Number of the worker.
        number: Counts the snapshots of the worker from 0.
        start_s: From when.
        end_s: Until when.
        counts: Increments of counters.
        latencies: Histograms.
        online: Group to cars that are connected now.
        reasons: Increments of reason codes and link failures, such as `PUBACK 0x97`.
        process: What the worker's process used.
        positions: Where some of its cars are.
        probed: The quotas that its probes are done with.
    """

    worker: int
    number: int
    start_s: float
    end_s: float
    counts: list[Count]
    latencies: list[Latencies]
    online: dict[str, int]
    reasons: dict[str, int]
    process: ProcessUse
    positions: list[Position] = []
    probed: list[Probed] = []


class Event(msgspec.Struct, frozen=True, tag="event", tag_field="record"):
    """Something worth a mark on the time axis.

    Attributes:
        at_s: When.
        kind: `fault`, `worker-lost`, `target`, `interrupted`, `storage` or `warning`.
        text: What, in words.
        fault: Number of the fault in the scenario, for `fault`.
        cars: How many cars it concerned.
    """

    at_s: float
    kind: Literal["fault", "worker-lost", "target", "interrupted", "storage", "warning"]
    text: str
    fault: int | None = None
    cars: int = 0


class ClientRefusals(msgspec.Struct, frozen=True, array_like=True):
    """How often a quota refused a client, or would have.

    Attributes:
        client_id: Which client.
        refused: How often at most.
        excess: By how much that may be too high, when a quota refused very many clients.
    """

    client_id: str
    refused: int
    excess: int


class QuotaRefusals(msgspec.Struct, frozen=True):
    """What one quota refused, or would have.

    Attributes:
        refused: Running total.
        is_enforced: Whether it was refused, and not only counted.
        text: In a sentence, with the name and the limit of the quota.
        clients: Who was refused most often; many in the last report, a few in the others.
    """

    refused: int
    is_enforced: bool
    text: str
    clients: list[ClientRefusals]


class TargetQuotas(msgspec.Struct, frozen=True):
    """The quotas of the stand-in.

    Attributes:
        table: Name of the table, or path of the quota file; `off` for none.
        mode: `enforce` or `observe`.
        refused: Id of a quota to what it refused; those that refused nothing are left out.
    """

    table: str
    mode: str
    refused: dict[str, QuotaRefusals]


class TargetReport(msgspec.Struct, frozen=True, tag="target", tag_field="record"):
    """What the stand-in says about itself; other targets say nothing.

    Attributes:
        at_s: When.
        counters: Its running totals, among them `connections`, `publishes_in`, `publishes_out`.
        refusals: Running totals of what it refused or dropped, by cause; of quotas only what was
            refused, not what was only counted.
        process: What its process used.
        quotas: What its quotas refused, or would have.
    """

    at_s: float
    counters: dict[str, int]
    refusals: dict[str, int]
    process: ProcessUse
    quotas: TargetQuotas | None = None


class StreamBooks(msgspec.Struct, frozen=True, tag="books", tag_field="record"):
    """The closed books of one observer group on one stream of one group of cars.

    Attributes:
        observer: Name of the observers.
        group: Group of the cars.
        stream: The stream.
        cars: Cars watched.
        written: Messages those cars wrote, times the observers that watch each car.
        seen: Messages that arrived, each counted once an observer.
        lost: `written` minus `seen`, minus what was still unacknowledged on its way.
        repeated: Messages that arrived again at the same observer.
        out_of_order: Messages that arrived after a later one.
        undecodable: Messages that could not be read.
    """

    observer: str
    group: str
    stream: str
    cars: int
    written: int
    seen: int
    lost: int
    repeated: int
    out_of_order: int
    undecodable: int


class End(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """The end of a run; a result without it was cut off.

    Attributes:
        at_s: When.
        outcome: `interrupted` and `failed` make the result a partial one.
        reason: In words, when it is not `completed`.
        connected: Group to cars that were connected at least once.
        unacknowledged: Group to QoS 1 publishes without PUBACK.
        workers_lost: Workers that ended before their time.
    """

    at_s: float
    outcome: Outcome
    reason: str
    connected: dict[str, int]
    unacknowledged: dict[str, int]
    workers_lost: int = 0


Record: TypeAlias = Header | Snapshot | Event | TargetReport | StreamBooks | End

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(
    Annotated[Record, msgspec.Meta(description="one line of a result")]
)


def encode_record(record: Record) -> bytes:
    """One line, with its line break."""
    return _ENCODER.encode(record) + b"\n"


def decode_record(line: bytes) -> Record:
    """Read one line. Total: a record or one error.

    Raises:
        RecordError: It is no record.
    """
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"the line has {len(line)} bytes, more than {MAX_LINE_BYTES}")
    try:
        record: Record = _DECODER.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RecordError(str(error)) from error
    return record
