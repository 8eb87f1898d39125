"""What each metric means in terms of a result: latencies, counters and everything derived.

Owns the meaning of every name in `simulator.scenario.checks.METRICS`, and when a value is missing:
nothing was measured. Pure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from simulator.report.quotas import total
from simulator.scenario.checks import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.report.result import Result
    from simulator.report.sparse import SparseHistogram

    _Value = Callable[[Result, str | None, str | None], float | None]


def value_of(
    result: Result,
    metric: str,
    statistic: str | None,
    group: str | None,
    phase: str | None,
    quota: str | None = None,
) -> float | None:
    """The value of a metric; None when nothing was measured. See `Result.value`."""
    cuts = METRICS[metric].cuts
    if (group is not None and "group" not in cuts) or (phase is not None and "phase" not in cuts):
        return None
    if phase is not None and result.measured_s(phase) <= 0:
        return None
    if group is not None and group not in {*result.groups, *result.applications}:
        return None
    if quota is not None and "quota" not in cuts:
        return None
    if metric == "quota_refusals":
        return _quota_refusals(result, quota)
    if METRICS[metric].kind == "latency":
        return _statistic(result.spread(metric, group, phase), statistic)
    if not result.has_snapshots and metric not in _WITHOUT_SNAPSHOTS:
        return None
    derived = _DERIVED.get(metric)
    if derived is not None:
        return derived(result, group, phase)
    return float(result.count(metric, group, phase))


def _statistic(histogram: SparseHistogram, statistic: str | None) -> float | None:
    if statistic == "count":
        return float(histogram.count)
    if not histogram.count:
        return None
    if statistic == "max":
        return histogram.max_ms
    if statistic == "min":
        return histogram.min_ms
    if statistic == "mean":
        return histogram.mean_ms
    if statistic is None or not statistic.startswith("p"):
        raise KeyError(statistic)
    return histogram.percentile_ms(float(statistic[1:]))


def _rate(result: Result, group: str | None, phase: str | None) -> float | None:
    measured_s = result.measured_s(phase)
    return result.count("published", group, phase) / measured_s if measured_s > 0 else None


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _of_books(field: str) -> _Value:
    def total(result: Result, group: str | None, _phase: str | None) -> float | None:
        books = result.books_of(group)
        return float(sum(getattr(book, field) for book in books)) if books else None

    return total


def _lost_share(result: Result, group: str | None, _phase: str | None) -> float | None:
    books = result.books_of(group)
    return _share(sum(book.lost for book in books), sum(book.written for book in books))


def _unacknowledged(result: Result, group: str | None, _phase: str | None) -> float | None:
    if result.end is None:
        return None
    left = result.end.unacknowledged
    return float(sum(number for name, number in left.items() if group in {None, name}))


def _workers_lost(result: Result, _group: str | None, _phase: str | None) -> float | None:
    noticed = sum(event.kind == "worker-lost" for event in result.events)
    return float(max(noticed, result.end.workers_lost if result.end else 0))


def _target_refusals(result: Result, _group: str | None, _phase: str | None) -> float | None:
    return float(sum(result.target.refusals.values())) if result.target else None


def _quota_refusals(result: Result, quota: str | None) -> float | None:
    quotas = result.target.quotas if result.target else None
    return float(total(quotas, quota)) if quotas is not None else None


def _probes(state: str) -> _Value:
    def number(result: Result, _group: str | None, _phase: str | None) -> float | None:
        rows = result.edges
        return float(sum(row.state == state for row in rows)) if rows else None

    return number


def _cost_usd(result: Result, _group: str | None, _phase: str | None) -> float | None:
    cost = result.header.cost.get("run_usd") if result.header else None
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not math.isfinite(cost):
        return None
    return float(cost)


_DERIVED: Final[dict[str, _Value]] = {
    "asked": lambda result, group, _: float(result.asked(group)),
    "connected": lambda result, group, _: float(result.connected(group)),
    "connected_share": lambda result, group, _: _share(
        result.connected(group), result.asked(group)
    ),
    "online_at_end": lambda result, group, _: result.online_at_end(group),
    "publish_rate_hz": _rate,
    "unacknowledged": _unacknowledged,
    "lost": _of_books("lost"),
    "lost_share": _lost_share,
    "repeated": _of_books("repeated"),
    "out_of_order": _of_books("out_of_order"),
    "undecodable": _of_books("undecodable"),
    "target_refusals": _target_refusals,
    "probes_held": _probes("held"),
    "probes_failed": _probes("failed"),
    "generator_cpu_share": lambda result, _group, _phase: result.generator.cpu_share_max,
    "workers_lost": _workers_lost,
    "cost_usd": _cost_usd,
}
_WITHOUT_SNAPSHOTS: Final = frozenset(
    {
        "asked",
        "connected",
        "connected_share",
        "workers_lost",
        "cost_usd",
        "target_refusals",
        "probes_held",
        "probes_failed",
    }
)
