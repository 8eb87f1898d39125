"""What a benchmark reports: a figure, the budget it is held against, and how it was measured.

Owns the judgement (the median of the repetitions against the budget) and both outputs, the table
and the JSON document. It must not know any benchmark.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity; smaller is always better.

    Attributes:
        what: What was measured.
        unit: Unit of the figure and of the budget.
        runs: The result of every repetition, one or more.
        how: In one line, how it was measured.
        budget: What it may cost, or `None` for information only.
    """

    what: str
    unit: str
    runs: tuple[float, ...]
    how: str
    budget: float | None = None

    @property
    def value(self) -> float:
        """The median of the repetitions."""
        return statistics.median(self.runs)

    @property
    def ratio(self) -> float | None:
        """Figure over budget: up to 1 the budget is kept. `None` without a budget."""
        return None if self.budget is None else self.value / self.budget


class NotMeasurableError(Exception):
    """This machine cannot measure a benchmark; the text says why."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A benchmark without figures.

    Attributes:
        what: Name of the benchmark.
        why: What this machine lacks.
    """

    what: str
    why: str


def table(results: Iterable[Figure | Missing]) -> Table:
    """The results for a person."""
    out = Table(title="Figures beside their budgets", title_justify="left", show_lines=False)
    out.add_column("what")
    out.add_column("figure", justify="right", no_wrap=True)
    out.add_column("unit", no_wrap=True)
    out.add_column("budget", justify="right", no_wrap=True)
    out.add_column("ratio", justify="right", no_wrap=True)
    out.add_column("runs", no_wrap=True)
    out.add_column("how")
    for result in results:
        if isinstance(result, Missing):
            out.add_row(result.what, "-", "", "", "", "", f"not measured: {result.why}")
            continue
        out.add_row(
            result.what,
            _number(result.value),
            result.unit,
            "" if result.budget is None else _number(result.budget),
            _ratio_text(result.ratio),
            f"{_number(min(result.runs))} to {_number(max(result.runs))} ({len(result.runs)})",
            result.how,
        )
    return out


def document(results: Iterable[Figure | Missing]) -> list[dict[str, Any]]:
    """The results for a machine: one JSON object each."""
    return [
        {"what": result.what, "not_measured": result.why}
        if isinstance(result, Missing)
        else {
            "what": result.what,
            "figure": result.value,
            "unit": result.unit,
            "budget": result.budget,
            "ratio": result.ratio,
            "runs": list(result.runs),
            "how": result.how,
        }
        for result in results
    ]


def _ratio_text(ratio: float | None) -> Text:
    if ratio is None:
        return Text("")
    return Text(f"{ratio:.2f}", style="green" if ratio <= 1 else "bold red")


def _number(value: float) -> str:
    """Three significant digits, without an exponent in the range of all benchmarks."""
    if value == 0:
        return "0"
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 4
    return f"{value:,.{decimals}f}"
