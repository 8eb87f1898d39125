"""A result in the terms of Prometheus: which metrics there are, their labels, units and bounds.

Owns the names `morai_sim_*`. They follow the Prometheus naming conventions
(https://prometheus.io/docs/practices/naming): base units (seconds, bytes, ratios) at the end of the
name, and `_total` on what only rises. Knows nothing about HTTP. Pure: everything is read from the
result at the time of the scrape.

Latencies are classic histograms rather than summaries, because buckets of several runs, groups and
machines can be added and quantiles cannot. Their bounds are fixed; they are filled from the HDR
histograms of the run, so a value within 0.1 % of a bound may be counted on either side of it.

Cardinality is bounded: a group or phase label has the planned names only, at most 65 of each, and
phases become the one value `all` when groups times phases are more than 256; 64 reason codes, 64
refusal causes and 64 counters of the target, 128 workers. What is beyond counts as `other` where it
can be added up, and is left out otherwise.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from certs.terminal import printable
from simulator.load.histograms import empty
from simulator.report.quotas import refused_by_quota
from simulator.report.result import OTHER
from simulator.scenario.checks import METRICS
from simulator.scenario.timetable import AFTER
from simulator.watch.figures import LATENCIES, Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from simulator.load.records import PlannedPhase
    from simulator.report.result import Result
    from simulator.report.sparse import SparseHistogram

BUCKETS_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0
)  # fmt: skip
"""Upper bounds of the latency buckets, in seconds; `+Inf` is added."""
ALL: Final = "all"
"""Phase label when there are too many cuts."""
MAX_CUTS: Final = 256
MAX_NAMES: Final = 65
MAX_CODES: Final = 64
MAX_WORKERS: Final = 128
MAX_LABEL_CHARACTERS: Final = 80

_BYTES: Final = {"bytes_out": "sent_bytes", "bytes_in": "received_bytes"}
_DERIVED: Final = frozenset(
    {"asked", "connected", "online_at_end", "unacknowledged", "not_sent", "target_refusals",
     "quota_refusals", "probes_held", "probes_failed", "workers_lost", "lost", "repeated",
     "out_of_order", "undecodable"}
)  # fmt: skip
_BOOKS: Final = ("lost", "repeated", "out_of_order", "undecodable")
_COUNTERS: Final = tuple(
    metric for metric in METRICS.values() if metric.kind == "count" and metric.name not in _DERIVED
)
_EVENT_KINDS: Final = ("fault", "worker-lost", "target", "interrupted", "storage", "warning")
_US_PER_S: Final = 1e6


def registry_of(result: Result) -> CollectorRegistry:
    """A registry that reads the result whenever it is collected, and holds nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_ResultCollector(result))
    return registry


class _ResultCollector(Collector):
    def __init__(self, result: Result) -> None:
        self._result = result

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before a run; also keeps the registry from collecting on start."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics of the moment."""
        result = self._result
        moment = Moment(result, result.elapsed_s)
        yield from _of_run(moment)
        yield from _of_cars(result)
        groups, phases = _group_names(result), _phase_names(result)
        yield from _of_counters(result, groups, phases)
        yield _of_latencies(result, groups, phases)
        yield from _of_reasons_and_events(result)
        yield from _of_generator(moment)
        yield from _of_target(moment)


def _of_run(moment: Moment) -> Iterator[Metric]:
    result, header, progress = moment.result, moment.result.header, moment.progress
    about = InfoMetricFamily("morai_sim_run", "What is being run.")
    if header is not None:
        facts = {"name": header.name, "target": header.target_kind, "version": header.version}
        about.add_metric([], {key: _label(fact) for key, fact in facts.items()})
    yield about
    if header is not None:
        start_s = header.unix_s_at_zero
        yield _gauge("run_start_time_seconds", "Unix time of the start of the run.", start_s)
    yield _gauge("run_elapsed_seconds", "Time since the start of the run.", progress.elapsed_s)
    yield _gauge("run_planned_seconds", "Length of all phases.", progress.planned_s)
    yield _gauge("run_ended", "1 after the end of the run.", float(result.end is not None))
    phase = GaugeMetricFamily(
        "morai_sim_phase_active", "1 for the phase the run is in.", labels=["phase"]
    )
    for name in result.phases[:MAX_NAMES]:
        phase.add_metric([_label(name)], float(name == result.phase_now and result.end is None))
    yield phase
    cost = result.value("cost_usd")
    if cost is not None:
        yield _gauge("estimated_cost_dollars", METRICS["cost_usd"].meaning, cost)


def _of_cars(result: Result) -> Iterator[Metric]:
    asked = _family("vehicles_asked", "Cars asked for.")
    connected = _family("vehicles_connected", "Cars that were connected at least once.")
    online = _family("vehicles_online", "Cars connected now.")
    now = result.online
    for group in result.groups[:MAX_NAMES]:
        asked.add_metric([_label(group)], result.asked(group))
        connected.add_metric([_label(group)], result.connected(group))
        online.add_metric([_label(group)], now.get(group, 0))
    yield from (asked, connected, online)


def _of_counters(
    result: Result, groups: Sequence[str], phases: Sequence[str | None]
) -> Iterator[Metric]:
    begun = {phase.name for phase in _begun(result)}
    for metric in _COUNTERS:
        name = _BYTES.get(metric.name, metric.name)
        family = CounterMetricFamily(f"morai_sim_{name}", metric.meaning, labels=["group", "phase"])
        values = {
            (group, phase): result.count(metric.name, group, phase)
            for group, phase in _cuts(result, metric.name, groups, phases)
        }
        # A counter that is absent until something happens cannot be alerted on.
        for group in result.groups[:MAX_NAMES]:
            for phase in phases:
                if phase is None or phase in begun:
                    values.setdefault((group, phase), 0)
        for (group, phase), value in values.items():
            family.add_metric([_label(group), _label(phase or ALL)], value)
        yield family
    for book in _BOOKS:
        if result.value(book) is None:
            continue  # the books are closed at the end; 0 before that would be a claim
        family = CounterMetricFamily(f"morai_sim_{book}", METRICS[book].meaning, labels=["group"])
        for group in result.groups[:MAX_NAMES]:
            value_or_none = result.value(book, group=group)
            if value_or_none is not None:
                family.add_metric([_label(group)], value_or_none)
        yield family


def _of_latencies(
    result: Result, groups: Sequence[str], phases: Sequence[str | None]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "morai_sim_latency_seconds",
        "Latencies, counted from the intended time, in the phase in which they were due.",
        labels=["metric", "group", "phase"],
    )
    for metric in LATENCIES:
        for group, phase in _cuts(result, metric, groups, phases):
            spread = result.spread(metric, group, phase)
            buckets, sum_s = bucketed(spread)
            labels = [metric.removesuffix("_ms"), _label(group), _label(phase or ALL)]
            family.add_metric(labels, buckets, sum_s)
    return family


def _of_reasons_and_events(result: Result) -> Iterator[Metric]:
    yield _counted("failures", "Reason codes and link failures.", "code", result.reasons, MAX_CODES)
    events = CounterMetricFamily(
        "morai_sim_events", "Marks on the time axis, such as faults.", labels=["kind"]
    )
    for kind in _EVENT_KINDS:
        events.add_metric([kind], sum(event.kind == kind for event in result.events))
    yield events


def _of_generator(moment: Moment) -> Iterator[Metric]:
    health = moment.result.generator
    yield _gauge(
        "generator_is_limit",
        "1 when the load generator itself limits what is measured.",
        float(health.is_bottleneck),
    )
    cpu = _family("worker_cpu_ratio", "CPU of a worker, of one core.", "worker")
    memory = _family("worker_peak_resident_bytes", "Most memory of a worker.", "worker")
    for worker in moment.workers()[:MAX_WORKERS]:
        if worker.cpu_share is not None:
            cpu.add_metric([worker.name], worker.cpu_share)
        memory.add_metric([worker.name], worker.peak_bytes)
    yield from (cpu, memory)


def _of_target(moment: Moment) -> Iterator[Metric]:
    report, process = moment.result.target, moment.target()
    if report is None or process is None:
        return
    totals = dict(report.counters)
    connections = totals.pop("connections", None)
    if connections is not None:
        yield _gauge("target_connections", "Connections the stand-in has now.", connections)
    yield _counted("target_activity", "What the stand-in did.", "counter", totals, MAX_CODES)
    yield _counted(
        "target_refusals", "What the stand-in refused.", "cause", report.refusals, MAX_CODES
    )
    yield _counted(
        "quota_refusals",
        "What quotas of AWS IoT Core refused, or would have.",
        "quota",
        {each.quota: each.refused for each in refused_by_quota(moment.result)},
        MAX_CODES,
    )
    if process.cpu_share is not None:
        yield _gauge("target_cpu_ratio", "CPU of the stand-in, of one core.", process.cpu_share)
    yield _gauge("target_peak_resident_bytes", "Most memory of the stand-in.", process.peak_bytes)


def bucketed(spread: SparseHistogram) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts at `BUCKETS_S` and `+Inf`, and the sum of all values in seconds.

    A value counts at or below a bound when the lower end of its HDR bucket does, because that is
    what is recorded of it.
    """
    counts = np.frombuffer(spread.dense().counts, dtype=np.uint64).astype(np.int64)
    upto = np.concatenate([[0], counts.cumsum()])
    inside = np.searchsorted(_LOWEST_US, np.rint(np.array(BUCKETS_S) * _US_PER_S), side="right")
    buckets = [
        (str(bound_s), float(upto[index])) for bound_s, index in zip(BUCKETS_S, inside, strict=True)
    ]
    total = float(upto[-1])
    return [*buckets, ("+Inf", total)], spread.mean_ms * total / 1000.0


def _lowest_us() -> Any:
    layout = empty()
    return np.array([layout.get_value_from_index(index) for index in range(layout.counts_len)])


_LOWEST_US: Final = _lowest_us()


# Labels


def _group_names(result: Result) -> list[str]:
    """Groups of cars, then applications, then what the result lumps together."""
    parts = result.header.scenario.get("applications") if result.header else None
    applications = [
        part["name"]
        for kind in ("observers", "commanders")
        for part in ((parts.get(kind) or []) if isinstance(parts, dict) else [])
        if isinstance(part, dict) and isinstance(part.get("name"), str)
    ]
    return list(dict.fromkeys([*result.groups, *applications, OTHER]))[:MAX_NAMES]


def _phase_names(result: Result) -> list[str | None]:
    """The phases and what is after them, or None for all together when the cuts are too many."""
    phases = [*result.phases, AFTER, OTHER]
    if len(phases) > MAX_NAMES + 1 or len(phases) * len(_group_names(result)) > MAX_CUTS:
        return [None]
    return list(dict.fromkeys(phases))


def _begun(result: Result) -> list[PlannedPhase]:
    planned = result.header.phases if result.header else []
    return [phase for phase in planned if phase.start_s <= result.elapsed_s]


def _cuts(
    result: Result, metric: str, groups: Sequence[str], phases: Sequence[str | None]
) -> Iterator[tuple[str, str | None]]:
    """The cuts for which something was recorded."""
    seen_groups, seen_phases = result.cuts_of(metric)
    for group in groups:
        if group in seen_groups:
            for phase in phases:
                if phase is None or phase in seen_phases:
                    yield group, phase


def _counted(
    name: str, meaning: str, label: str, totals: Mapping[str, int], most: int
) -> CounterMetricFamily:
    """A counter with a bounded number of label values: the first that came, and the rest."""
    family = CounterMetricFamily(f"morai_sim_{name}", meaning, labels=[label])
    shown: dict[str, int] = {}
    for key, number in totals.items():
        value = _label(key)
        if value not in shown and len(shown) >= most:
            value = OTHER
        shown[value] = shown.get(value, 0) + number
    for value, number in shown.items():
        family.add_metric([value], number)
    return family


def _family(name: str, meaning: str, label: str = "group") -> GaugeMetricFamily:
    return GaugeMetricFamily(f"morai_sim_{name}", meaning, labels=[label])


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"morai_sim_{name}", meaning, value=value)


def _label(text: str) -> str:
    """The text as a label value: harmless, short, and still another one for another text."""
    shown = printable(text)
    if shown == text and len(text) <= MAX_LABEL_CHARACTERS:
        return text
    # Two series with the same labels would make the whole scrape invalid.
    mark = hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{shown[: MAX_LABEL_CHARACTERS - len(mark) - 1]}~{mark}"
