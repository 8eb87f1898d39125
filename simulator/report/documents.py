"""The JSON report: everything the other forms show, for machines.

Owns the document `morai-edge/report/1`. Its JSON Schema is `simulator/report/schema/
report-1.schema.json`; within version 1 keys are only ever added. All latencies are milliseconds,
times are seconds from the start of the run, and what was not measured is `null`.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from simulator.load.records import Event, StreamBooks, TargetQuotas
from simulator.report.quotas import refused_by_quota
from simulator.report.result import NOT_SENT
from simulator.scenario.checks import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.report.result import Result
    from simulator.report.slices import Slice
    from simulator.report.sparse import SparseHistogram
    from simulator.report.verdict import Verdict

FORMAT: Final = "morai-edge/report/1"
_PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
_LATENCIES: Final = tuple(name for name, metric in METRICS.items() if metric.kind == "latency")
_NUMBERS: Final = tuple(name for name, metric in METRICS.items() if metric.kind != "latency")


class RunPart(msgspec.Struct, frozen=True):
    """What was run, where, and for how long."""

    name: str
    seed: int | None
    started: str
    elapsed_s: float
    version: str
    target: str
    target_kind: str
    workers: int
    machine: dict[str, str]


class CarsPart(msgspec.Struct, frozen=True):
    """Asked-for and connected cars."""

    asked: int
    connected: int


class GeneratorPart(msgspec.Struct, frozen=True):
    """How the load generator itself was doing."""

    is_bottleneck: bool
    why: str
    cpu_share_max: float | None
    lateness_p99_ms: float | None
    resident_bytes: dict[str, int]


class CheckPart(msgspec.Struct, frozen=True):
    """One check; latencies in milliseconds, shares from 0 to 1."""

    check: str
    metric: str
    statistic: str | None
    phase: str | None
    group: str | None
    operator: str
    bound: float
    value: float | None
    held: bool
    note: str
    quota: str | None = None


class LatencyPart(msgspec.Struct, frozen=True):
    """One latency, of the whole run or cut by group, by phase, or by both."""

    metric: str
    group: str | None
    phase: str | None
    count: int
    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p99_9: float
    max: float


class NumberPart(msgspec.Struct, frozen=True):
    """One metric that is a number, of the whole run or cut by group, by phase or by quota.

    Every metric is listed for the whole run; cuts whose value is 0 or unknown are left out.
    """

    metric: str
    group: str | None
    phase: str | None
    value: float | None
    quota: str | None = None


class PhasePart(msgspec.Struct, frozen=True):
    """A phase as planned, and how much of it took place."""

    name: str
    start_s: float
    end_s: float
    measured_s: float


class TargetPart(msgspec.Struct, frozen=True):
    """What the stand-in said about itself at last; `refusals` are without what it only counted."""

    counters: dict[str, int]
    refusals: dict[str, int]
    quotas: TargetQuotas | None = None


class EdgePart(msgspec.Struct, frozen=True):
    """A quota that probes went to, and what they saw just below and just above it.

    `state` is `held`, `failed`, `passed over` or `to come`; `counted` is what the stand-in counted
    for the clients that went above.
    """

    probes: str
    edge: str
    state: str
    limit: str
    below: str
    above: str
    counted: int | None
    note: str


class SeriesPart(msgspec.Struct, frozen=True):
    """The run over time, one value a slice."""

    slice_s: float
    online: list[int]
    published: list[int]
    received: list[int]
    connects: list[int]
    disconnects: list[int]
    not_sent: list[int]
    publish_ack_p99_ms: list[float | None]
    end_to_end_p99_ms: list[float | None]


class Report(msgspec.Struct, frozen=True):
    """The report of a run."""

    format: Literal["morai-edge/report/1"]
    first_line: str
    held: bool
    is_partial: bool
    outcome: Literal["completed", "interrupted", "failed", "cut off"]
    reason: str
    run: RunPart
    cars: CarsPart
    groups: dict[str, CarsPart]
    generator: GeneratorPart
    checks: list[CheckPart]
    phases: list[PhasePart]
    latencies_ms: list[LatencyPart]
    numbers: list[NumberPart]
    not_sent: dict[str, int]
    books: list[StreamBooks]
    reasons: dict[str, int]
    target: TargetPart | None
    events: list[Event]
    cost: dict[str, Any]
    quotas: dict[str, Any]
    series: SeriesPart
    warnings: list[str]
    edges: list[EdgePart] = []


def as_json(result: Result, verdict: Verdict) -> dict[str, Any]:
    """The report as a JSON-ready document. Floats that are no JSON numbers become null."""
    document: dict[str, Any] = _finite(msgspec.to_builtins(_report(result, verdict)))
    return document


def to_text(result: Result, verdict: Verdict) -> str:
    """The report as the text of a JSON document."""
    return json.dumps(as_json(result, verdict), indent=2, ensure_ascii=False)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the report."""
    schema = msgspec.json.schema(Report)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{FORMAT.replace('/', ':')}",
        **schema,
    }


def _report(result: Result, verdict: Verdict) -> Report:
    header, end = result.header, result.end
    return Report(
        FORMAT,
        verdict.first_line,
        verdict.held,
        result.is_partial,
        end.outcome if end else "cut off",
        end.reason if end else "",
        _run(result),
        CarsPart(result.asked(), result.connected()),
        {g: CarsPart(result.asked(g), result.connected(g)) for g in result.groups},
        _generator(result),
        _checks(verdict),
        [
            PhasePart(phase.name, phase.start_s, phase.end_s, result.measured_s(phase.name))
            for phase in (header.phases if header else [])
        ],
        list(_latencies(result)),
        list(_numbers(result)),
        {cause: result.count(cause) for cause in NOT_SENT},
        result.books,
        result.reasons,
        TargetPart(result.target.counters, result.target.refusals, result.target.quotas)
        if result.target
        else None,
        result.events,
        header.cost if header else {},
        header.quotas if header else {},
        _series(result),
        list(verdict.warnings),
        [
            EdgePart(
                row.probes,
                row.name,
                row.state,
                row.limit,
                row.below,
                row.above,
                row.counted,
                row.note,
            )
            for row in result.edges
        ],
    )


def _run(result: Result) -> RunPart:
    header = result.header
    if header is None:
        return RunPart("", None, "", result.elapsed_s, "", "", "", 0, {})
    seed = header.scenario.get("seed")
    return RunPart(
        header.name,
        seed if isinstance(seed, int) else None,
        header.started,
        result.elapsed_s,
        header.version,
        header.target,
        header.target_kind,
        header.workers,
        header.machine,
    )


def _generator(result: Result) -> GeneratorPart:
    health = result.generator
    return GeneratorPart(
        health.is_bottleneck,
        health.why,
        health.cpu_share_max,
        health.lateness_p99_ms,
        result.resident_bytes,
    )


def _checks(verdict: Verdict) -> list[CheckPart]:
    return [
        CheckPart(
            row.check.text,
            row.check.metric.name,
            row.check.statistic,
            row.check.phase,
            row.check.group,
            row.check.operator,
            row.check.bound,
            row.value,
            row.held,
            row.note,
            row.check.quota,
        )
        for row in verdict.rows
    ]


def _latencies(result: Result) -> Iterator[LatencyPart]:
    for metric in _LATENCIES:
        groups, phases = map(sorted, result.cuts_of(metric))
        for group in (None, *groups):
            for phase in (None, *phases):
                histogram = result.spread(metric, group, phase)
                if histogram.count:
                    yield _latency(metric, group, phase, histogram)


def _latency(
    metric: str, group: str | None, phase: str | None, histogram: SparseHistogram
) -> LatencyPart:
    p50, p90, p95, p99, p99_9 = histogram.percentiles_ms(_PERCENTS)
    return LatencyPart(
        metric,
        group,
        phase,
        histogram.count,
        histogram.min_ms,
        round(histogram.mean_ms, 6),
        p50,
        p90,
        p95,
        p99,
        p99_9,
        histogram.max_ms,
    )


def _numbers(result: Result) -> Iterator[NumberPart]:
    for metric in _NUMBERS:
        yield NumberPart(metric, None, None, result.value(metric))
        cuts = METRICS[metric].cuts
        if "quota" in cuts:
            for each in refused_by_quota(result):
                yield NumberPart(metric, None, None, float(each.refused), each.quota)
        if "group" in cuts:
            for group in (*result.groups, *result.applications):
                if value := result.value(metric, None, group):
                    yield NumberPart(metric, group, None, value)
        if "phase" in cuts:
            for phase in result.phases:
                if value := result.value(metric, None, None, phase):
                    yield NumberPart(metric, None, phase, value)


def _series(result: Result) -> SeriesPart:
    series = result.series

    def counts(*names: str) -> list[int]:
        return [sum(within.counts.get(name, 0) for name in names) for within in series]

    def p99s_ms(metric: str) -> list[float | None]:
        return [_p99_ms(within, metric) for within in series]

    return SeriesPart(
        slice_s=result.slice_s,
        online=[sum(within.online.values()) for within in series],
        published=counts("published"),
        received=counts("received"),
        connects=counts("connects"),
        disconnects=counts("disconnects"),
        not_sent=counts(*NOT_SENT),
        publish_ack_p99_ms=p99s_ms("publish_ack_ms"),
        end_to_end_p99_ms=p99s_ms("end_to_end_ms"),
    )


def _p99_ms(within: Slice, metric: str) -> float | None:
    found = within.percentiles_ms(metric, (99.0,))
    return found[0] if found else None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
