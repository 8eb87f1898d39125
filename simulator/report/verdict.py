"""Judges a result by the checks of its scenario, and says in one line what the run is worth.

Owns the first line that every report begins with: whether the run was completed, whether the
generator was the limit, how many of the cars that were asked for connected, and how many checks
held. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certs.terminal import printable
from simulator.report.quotas import refused_by_quota
from simulator.scenario.checks import METRICS
from simulator.scenario.units import duration_text

if TYPE_CHECKING:
    from simulator.report.result import Result
    from simulator.scenario.checks import Check

NOTHING_MEASURED = "nothing was measured"
_WARNING_EVENTS = frozenset({"worker-lost", "storage", "warning"})
_DIGITS = (4, 6, 9, 15)
_AS_WRITTEN = 12


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check and how it went.

    Attributes:
        check: What was promised.
        value: What was measured, in the unit of the metric; None when nothing was.
        held: Whether it was kept; a check of nothing is not.
        note: What a reader must know about the value, or empty.
    """

    check: Check
    value: float | None
    held: bool
    note: str = ""

    @property
    def value_text(self) -> str:
        """The value with its unit, and with as many digits as tell it from the bound."""
        if self.value is None:
            return NOTHING_MEASURED
        metric, statistic = self.check.metric.name, self.check.statistic
        bound = value_text(metric, self.check.bound, statistic, _AS_WRITTEN)
        texts = [value_text(metric, self.value, statistic, digits) for digits in _DIGITS]
        if self.value == self.check.bound:
            return bound
        return next((text for text in texts if text != bound), texts[-1])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run is worth.

    Attributes:
        rows: Every check, in the order of the scenario.
        held: Whether all of them held. A scenario without checks promises nothing and holds.
        first_line: The first line of every report.
        warnings: What makes figures less than they seem: lost workers, damaged records.
    """

    rows: tuple[CheckRow, ...]
    held: bool
    first_line: str
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[CheckRow, ...]:
        """The checks that did not hold."""
        return tuple(row for row in self.rows if not row.held)


def judge(result: Result) -> Verdict:
    """Judge a result."""
    rows = tuple(_row(result, check) for check in result.checks)
    return Verdict(
        rows, all(row.held for row in rows), _first_line(result, rows), tuple(_warnings(result))
    )


def value_text(metric: str, value: float, statistic: str | None = None, digits: int = 4) -> str:
    """A value as reports show it: `231 ms`, `99.8 %`, `1,204`, `180.8/s`, `$0.0130`.

    Args:
        metric: A name of `METRICS`.
        value: In the unit of the metric.
        statistic: Of a latency; its `count` has no unit.
        digits: Significant digits of what is no whole number.
    """
    if not math.isfinite(value):
        return str(value)
    kind = METRICS[metric].kind
    if kind == "latency" and statistic != "count":
        return f"{number_text(value, digits)} ms"
    if kind == "share":
        return f"{number_text(value * 100, digits)} %"
    if kind == "rate":
        return f"{number_text(value, digits)}/s"
    if kind == "amount":
        return f"${number_text(value, digits)}"
    return number_text(value, digits)


def bound_text(check: Check) -> str:
    """The bound of a check with its operator and unit, such as `< 250 ms`."""
    text = value_text(check.metric.name, check.bound, check.statistic, _AS_WRITTEN)
    return f"{check.operator} {text}"


def number_text(value: float, digits: int = 4) -> str:
    """A number with some significant digits, and all of those before the point."""
    if value == int(value) or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    text = f"{value:,.{digits}g}"
    return text if "e" not in text else f"{value:.3g}"


def _row(result: Result, check: Check) -> CheckRow:
    value = result.value(check.metric.name, check.statistic, check.group, check.phase, check.quota)
    if value is None:
        return CheckRow(check, None, held=False, note=_why_nothing(result, check))
    return CheckRow(check, value, check.holds(value), _note(result, check))


def _why_nothing(result: Result, check: Check) -> str:
    if check.phase is not None and check.phase not in result.phases:
        return f"there is no phase {check.phase}"
    if check.group is not None and check.group not in {*result.groups, *result.applications}:
        return f"there is no group {check.group}"
    if check.phase is not None and not result.measured_s(check.phase):
        return f"the run ended before phase {check.phase}"
    return NOTHING_MEASURED


def _note(result: Result, check: Check) -> str:
    if check.metric.name == "probes_failed":
        failed = [row.name for row in result.edges if row.state == "failed"]
        if failed:
            return ", ".join(map(printable, failed))
    elif check.metric.name == "quota_refusals":
        texts = [
            each.text for each in refused_by_quota(result) if check.quota in {None, each.quota}
        ]
        if texts:
            return texts[0] if len(texts) == 1 else f"{texts[0]}, and {len(texts) - 1} more"
    return _note_of_partial(result, check)


def _note_of_partial(result: Result, check: Check) -> str:
    header = result.header
    if header is None or not result.is_partial:
        return ""
    planned = [phase for phase in header.phases if check.phase in {None, phase.name}]
    if planned and 0 < result.elapsed_s < planned[-1].end_s:
        return f"measured until {duration_text(result.elapsed_s)} only"
    return ""


def _first_line(result: Result, rows: tuple[CheckRow, ...]) -> str:
    parts = []
    if result.is_partial:
        parts.append(_partial_text(result))
    health = result.generator
    if health.is_bottleneck:
        parts.append(f"THE GENERATOR WAS THE LIMIT, {health.why}")
    parts.append(f"{result.connected():,} of {result.asked():,} cars connected")
    if not health.is_bottleneck:
        parts.append(
            "the generator was not measured"
            if health.cpu_share_max is None
            else "generator was NOT the limit"
        )
    parts.append(_checks_text(rows))
    return "; ".join(parts)


def _partial_text(result: Result) -> str:
    at = duration_text(result.elapsed_s) if result.elapsed_s else "0 s"
    if result.end is None:
        return f"PARTIAL RESULT: cut off after {at}"
    reason = f" ({printable(result.end.reason)})" if result.end.reason else ""
    return f"PARTIAL RESULT: {result.end.outcome} after {at}{reason}"


def _checks_text(rows: tuple[CheckRow, ...]) -> str:
    held = sum(row.held for row in rows)
    if not rows:
        return "no checks were asked for"
    if len(rows) == 1:
        return "its check held" if held else "its check FAILED"
    return f"{held} of {len(rows)} checks held"


def _warnings(result: Result) -> list[str]:
    warnings = [
        f"{duration_text(event.at_s)}: {printable(event.text)}"
        for event in result.events
        if event.kind in _WARNING_EVENTS
    ]
    if result.is_truncated:
        warnings.append("the last line of the result is cut off and was left out")
    if result.damaged_histograms:
        number = result.damaged_histograms
        warnings.append(f"{number:,} histograms could not be read and are missing in all latencies")
    warnings.extend(
        f"{number:,} records were beyond the bound on {kind}"
        for kind, number in result.dropped.items()
    )
    return warnings
