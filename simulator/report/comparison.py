"""Two runs side by side: which figures differ, by how much, and whether a check changed.

Owns what is compared, when a difference is worth a line, and the warnings about runs that are not
comparable: another scenario, seed or machine, a partial run, a generator that was the limit.
Differences are of the figures alone; nothing here knows how much two equal runs vary. Pure but for
printing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from certs.terminal import printable
from simulator.report.paper import Paper
from simulator.report.quotas import refused_by_quota
from simulator.report.verdict import CheckRow, judge, value_text
from simulator.scenario.checks import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from simulator.report.result import Result

FORMAT: Final = "morai-edge/comparison/1"
SHOWN_ABOVE_PERCENT: Final = 5.0
"""Smaller changes of a figure are left out of the table; the JSON document holds all of them."""

_STATISTICS: Final = ("p50", "p99", "p99.9", "max")
_LESS_IS_BETTER: Final = frozenset(
    {
        "connect_failures",
        "disconnects",
        "publish_refused",
        "resent",
        "unacknowledged",
        "not_sent",
        "not_sent_offline",
        "not_sent_window",
        "not_sent_backpressure",
        "lost",
        "lost_share",
        "repeated",
        "out_of_order",
        "undecodable",
        "commands_late",
        "commands_unanswered",
        "commands_failed",
        "target_refusals",
        "quota_refusals",
        "probes_failed",
        "workers_lost",
        "cost_usd",
    }
)
_MORE_IS_BETTER: Final = frozenset(
    {"connected", "connected_share", "online_at_end", "commands_answered", "publish_rate_hz"}
    | {"probes_held"}
)
# Latencies below these are the resolution of the clocks and of scheduling, not of the target.
_NOTHING_MS: Final = 0.1
_NO_LATENESS_MS: Final = 1.0
# One outlier decides the others: two equal runs differ in them by any factor.
_STEADY: Final = frozenset({"p50", "p99", None})


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both runs.

    Attributes:
        metric: Its name.
        statistic: Of a latency.
        phase: Of this phase only.
        before: In the first run; None when nothing was measured.
        after: In the second run.
        quota: Of this quota only.
    """

    metric: str
    statistic: str | None
    phase: str | None
    before: float | None
    after: float | None
    quota: str | None = None

    @property
    def name(self) -> str:
        """The figure as written in a check."""
        statistic = f".{self.statistic}" if self.statistic else ""
        cut = f" during {self.phase}" if self.phase else f" of {self.quota}" if self.quota else ""
        return self.metric + statistic + cut

    @property
    def ratio(self) -> float | None:
        """`after` / `before`; None when either is missing or the first is 0."""
        if self.before is None or self.after is None or not self.before:
            return None
        return self.after / self.before

    @property
    def change_percent(self) -> float | None:
        """By how much it changed; infinite when it was 0 before; None when either is missing."""
        if self.before is None or self.after is None:
            return None
        if self.before == self.after:
            return 0.0
        return 100 * (self.after - self.before) / self.before if self.before else math.inf

    @property
    def worse_percent(self) -> float:
        """By how much it became worse; 0 when it did not, or when neither direction is worse."""
        change = self.change_percent
        if change is None:
            return 0.0
        if METRICS[self.metric].kind == "latency":
            nothing_ms = _NO_LATENESS_MS if self.metric == "lateness_ms" else _NOTHING_MS
            is_tiny = max(self.before or 0.0, self.after or 0.0) < nothing_ms
            return 0.0 if is_tiny else max(0.0, change)
        if self.metric in _LESS_IS_BETTER:
            return max(0.0, change)
        return max(0.0, -change) if self.metric in _MORE_IS_BETTER else 0.0


@dataclass(frozen=True, slots=True)
class CheckChange:
    """A check of either run.

    Attributes:
        text: The check.
        before: How it went in the first run; None when that run has no such check.
        after: How it went in the second run.
    """

    text: str
    before: CheckRow | None
    after: CheckRow | None

    @property
    def is_changed(self) -> bool:
        """Whether it held in one and failed in the other, or is of one run only."""
        return self.before is None or self.after is None or self.before.held != self.after.held


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        names: Names of the scenarios, with their starts.
        first_lines: First lines of both reports.
        warnings: Why the runs may not be comparable.
        differences: Every figure that either run measured.
        checks: Every check of either run.
    """

    names: tuple[str, str]
    first_lines: tuple[str, str]
    warnings: tuple[str, ...]
    differences: tuple[Difference, ...]
    checks: tuple[CheckChange, ...]

    def worse_than(self, percent: float) -> list[Difference]:
        """The figures that became worse by more than this; of latencies, p50 and p99 only."""
        return [
            item
            for item in self.differences
            if item.statistic in _STEADY and item.worse_percent > percent
        ]

    def as_json(self) -> dict[str, Any]:
        """The comparison as a JSON-ready document."""
        return {
            "format": FORMAT,
            "names": list(self.names),
            "first_lines": list(self.first_lines),
            "warnings": list(self.warnings),
            "differences": [
                {
                    "figure": item.name,
                    "metric": item.metric,
                    "statistic": item.statistic,
                    "phase": item.phase,
                    "quota": item.quota,
                    "before": item.before,
                    "after": item.after,
                    "ratio": item.ratio,
                    "worse_percent": _finite(item.worse_percent),
                }
                for item in self.differences
            ],
            "checks": [
                {
                    "check": item.text,
                    "changed": item.is_changed,
                    "before": _check_json(item.before),
                    "after": _check_json(item.after),
                }
                for item in self.checks
            ],
        }


def compare(before: Result, after: Result) -> Comparison:
    """Compare two runs."""
    verdicts = judge(before), judge(after)
    return Comparison(
        (_name(before), _name(after)),
        (verdicts[0].first_line, verdicts[1].first_line),
        tuple(_warnings(before, after)),
        tuple(_differences(before, after)),
        tuple(_checks(verdicts[0].rows, verdicts[1].rows)),
    )


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print both first lines, the warnings, the checks that changed and the figures that differ."""
    paper = Paper(console)
    for letter, name, line in zip("AB", comparison.names, comparison.first_lines, strict=True):
        paper.line(Text.assemble((f"{letter}  ", "bold"), (name, "dim")))
        paper.line(f"   {line}")
    for warning in comparison.warnings:
        paper.line(Text(f"warning: {warning}", "yellow"))
    paper.line()
    changed = [item for item in comparison.checks if item.is_changed]
    if not changed:
        paper.line(f"No check changed ({len(comparison.checks)}).")
    for item in changed:
        paper.line(_change_text(item))
    paper.line()
    shown = [item for item in comparison.differences if _is_worth_a_line(item)]
    if shown:
        paper.table(_difference_table(shown))
    else:
        paper.line(f"No figure differs by more than {SHOWN_ABOVE_PERCENT:g} %.")


def _difference_table(shown: list[Difference]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("differs", overflow="fold")
    for title in ("A", "B", "B / A"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column()
    for item in shown:
        table.add_row(
            Text(printable(item.name)),
            _value_text(item, item.before),
            _value_text(item, item.after),
            "-" if item.ratio is None else f"{item.ratio:,.2f}",
            _direction(item),
        )
    return table


def _change_text(item: CheckChange) -> Text:
    now_fails = item.after is not None and not item.after.held
    return Text.assemble(
        printable(item.text),
        ": ",
        _outcome(item.before),
        " in A, ",
        (_outcome(item.after), "bold red" if now_fails else "green"),
        " in B",
    )


def _outcome(row: CheckRow | None) -> str:
    if row is None:
        return "not asked"
    return f"{'held' if row.held else 'FAILED'} ({row.value_text})"


def _is_worth_a_line(item: Difference) -> bool:
    change = item.change_percent
    if change is None:
        return item.before != item.after
    if METRICS[item.metric].kind == "latency" and not item.worse_percent and change > 0:
        return False
    return abs(change) > SHOWN_ABOVE_PERCENT


def _value_text(item: Difference, value: float | None) -> str:
    return "-" if value is None else value_text(item.metric, value, item.statistic)


def _direction(item: Difference) -> Text:
    if item.worse_percent:
        return Text("worse", "red")
    has_sides = METRICS[item.metric].kind == "latency" or item.metric in (
        _LESS_IS_BETTER | _MORE_IS_BETTER
    )
    return Text("better", "green") if has_sides and item.change_percent else Text()


def _name(result: Result) -> str:
    header = result.header
    return printable(f"{header.name}, {header.started}") if header else "an empty result"


def _warnings(before: Result, after: Result) -> Iterator[str]:
    for letter, result in (("A", before), ("B", after)):
        if result.is_partial:
            yield f"{letter} is a partial result"
        if result.generator.is_bottleneck:
            yield f"the generator was the limit in {letter}: {result.generator.why}"
    first, second = before.header, after.header
    if first is None or second is None:
        return
    for what, one, other in (
        ("scenarios", first.name, second.name),
        ("seeds", first.scenario.get("seed"), second.scenario.get("seed")),
        ("targets", first.target_kind, second.target_kind),
        ("numbers of workers", first.workers, second.workers),
        ("versions of morai-edge", first.version, second.version),
    ):
        if one != other:
            yield printable(f"the {what} differ: {one} and {other}")
    changed = [
        key
        for key in sorted({*first.scenario, *second.scenario} - {"name", "seed", "description"})
        if first.scenario.get(key) != second.scenario.get(key)
    ]
    if changed:
        yield printable(f"the scenarios differ in: {', '.join(changed)}")
    machines = [
        f"{key} ({first.machine.get(key, '-')} and {second.machine.get(key, '-')})"
        for key in sorted({*first.machine, *second.machine})
        if first.machine.get(key) != second.machine.get(key)
    ]
    if machines:
        yield printable(f"the machines differ: {', '.join(machines)}")


def _differences(before: Result, after: Result) -> Iterator[Difference]:
    phases = [phase for phase in before.phases if phase in after.phases]
    for name, metric in METRICS.items():
        statistics = _STATISTICS if metric.kind == "latency" else (None,)
        cuts = (None, *phases) if "phase" in metric.cuts and len(phases) > 1 else (None,)
        for phase in cuts:
            for statistic in statistics:
                values = [run.value(name, statistic, None, phase) for run in (before, after)]
                if values != [None, None]:
                    yield Difference(name, statistic, phase, values[0], values[1])
        if "quota" in metric.cuts:
            yield from _quota_differences(name, before, after)


def _quota_differences(metric: str, before: Result, after: Result) -> Iterator[Difference]:
    refused = [each.quota for run in (before, after) for each in refused_by_quota(run)]
    for quota in sorted(set(refused)):
        was, now = (run.value(metric, quota=quota) for run in (before, after))
        yield Difference(metric, None, None, was, now, quota)


def _checks(before: Iterable[CheckRow], after: Iterable[CheckRow]) -> Iterator[CheckChange]:
    old = {row.check.text: row for row in before}
    new = {row.check.text: row for row in after}
    for text in dict.fromkeys([*old, *new]):
        yield CheckChange(text, old.get(text), new.get(text))


def _check_json(row: CheckRow | None) -> dict[str, Any] | None:
    return None if row is None else {"held": row.held, "value": row.value, "note": row.note}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
