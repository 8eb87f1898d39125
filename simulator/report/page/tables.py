"""What stands in tables: rows of text for every table of the page.

Owns which figures are listed and how many at most. Knows nothing about HTML; documents of the
forecast are read with tolerance, because a result file may be older than the forecast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from simulator.report import quotas as quotas_of
from simulator.report.page import figures
from simulator.report.page.charts import LATENCIES, LATENCY_TITLES, PERCENT_NAMES, PERCENTS
from simulator.report.reasons import meaning_of
from simulator.report.verdict import bound_text, value_text
from simulator.scenario.checks import METRICS
from simulator.scenario.timetable import AFTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simulator.load.records import Event
    from simulator.report.result import Result
    from simulator.report.verdict import Verdict

MAX_ROWS: Final = 200
"""Rows of a table; its note says how many more there are."""
_MAX_GROUP_COLUMNS: Final = 8
_NARROW_COLUMNS: Final = 3
_MAX_NOTES: Final = 10
_EVERYTHING: Final = "all"

State: TypeAlias = Literal["held", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell that says yes or no: by its sign and word, never by colour alone."""

    text: str
    state: State


Cell: TypeAlias = str | Mark


@dataclass(frozen=True, slots=True)
class Column:
    """A column; numbers are set flush right."""

    title: str
    number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: What it is of.
        columns: Its columns; the first one heads the rows.
        rows: Its rows.
        sums: Numbers of the rows, from 0, that sum up others.
        note: What was left out.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sums: frozenset[int] = frozenset()
    note: str = ""

    @property
    def is_narrow(self) -> bool:
        """Whether it would look lost across the whole page."""
        return len(self.columns) <= _NARROW_COLUMNS


def _text(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, number=False) for title in titles)


def _numbers(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title) for title in titles)


def _bounded(
    caption: str, columns: tuple[Column, ...], rows: Iterable[tuple[Cell, ...]]
) -> Table | None:
    """A table of at most `MAX_ROWS` rows; None without any."""
    kept = tuple(rows)
    more = len(kept) - MAX_ROWS
    note = f"{more:,} more rows stand in the JSON report." if more > 0 else ""
    return Table(caption, columns, kept[:MAX_ROWS], note=note) if kept else None


# Verdict


def checks(verdict: Verdict) -> Table | None:
    """Every check with what was promised and what was measured; none is left out."""
    rows = tuple(
        (
            row.check.text,
            Mark("✓ held", "held") if row.held else Mark("✗ failed", "failed"),
            row.value_text,
            bound_text(row.check),
            row.note,
        )
        for row in verdict.rows
    )
    columns = (*_text("Check", "Result"), *_numbers("Measured", "Promised"), *_text("Note"))
    return Table("What was promised and what was measured.", columns, rows) if rows else None


# Latency


def latencies(result: Result) -> list[Table]:
    """One table for each latency: the whole, each phase, each group, and each group and phase."""
    tables = [_latency(result, metric) for metric in (*LATENCIES, "lateness_ms")]
    return [table for table in tables if table is not None]


def _latency(result: Result, metric: str) -> Table | None:
    groups, phases = (_in_order(*pair) for pair in _cuts(result, metric))
    blocks: list[str | None] = [None, *groups] if len(groups) > 1 else [None]
    within: list[str | None] = [None, *phases] if len(phases) > 1 else [None]
    cuts = [(group, phase) for group in blocks for phase in within]
    rows: list[tuple[Cell, ...]] = []
    sums = set()
    for group, phase in cuts[:MAX_ROWS]:
        spread = result.spread(metric, group, phase)
        if spread.count:
            if phase is None:
                sums.add(len(rows))
            values = map(figures.milliseconds, spread.percentiles_ms(PERCENTS))
            rows.append((group or _EVERYTHING, phase or _EVERYTHING, f"{spread.count:,}", *values))
    if not rows:
        return None
    more = len(cuts) - MAX_ROWS
    return Table(
        f"{metric}: {LATENCY_TITLES[metric]}",
        (*_text("Group", "Phase"), *_numbers("Count", *(f"{name} ms" for name in PERCENT_NAMES))),
        tuple(rows),
        frozenset(sums),
        note=f"{more:,} more cuts are not shown." if more > 0 else "",
    )


def _cuts(result: Result, metric: str) -> tuple[tuple[set[str], list[str]], ...]:
    groups, phases = result.cuts_of(metric)
    return (groups, result.groups), (phases, [*result.phases, AFTER])


def _in_order(found: set[str], planned: Sequence[str]) -> list[str]:
    """What was found, in the order planned; the rest by name."""
    listed = dict.fromkeys(name for name in planned if name in found)
    return [*listed, *sorted(found - listed.keys())]


# Losses, reasons, refusals


def losses(result: Result) -> Table | None:
    """The books of the observers."""
    columns = (
        *_text("Observer", "Group", "Stream"),
        *_numbers("Cars", "Written", "Seen", "Lost", "Lost of written"),
        *_numbers("Repeated", "Out of order", "Unreadable"),
    )
    rows = (
        (
            book.observer,
            book.group,
            book.stream,
            *map(figures.whole, (book.cars, book.written, book.seen, book.lost)),
            figures.share(book.lost / book.written if book.written else None),
            *map(figures.whole, (book.repeated, book.out_of_order, book.undecodable)),
        )
        for book in result.books
    )
    return _bounded("The observers' books: every message counted once an observer.", columns, rows)


def counters(result: Result) -> Table | None:
    """Every metric that is not a latency, for the run and for each group."""
    if result.header is None:
        return None
    groups = result.groups[:_MAX_GROUP_COLUMNS] if len(result.groups) > 1 else []
    rows = []
    for metric in METRICS.values():
        if metric.kind == "latency":
            continue
        of_groups = [
            _value(result, metric.name, group) if "group" in metric.cuts else "" for group in groups
        ]
        rows.append((metric.name, _value(result, metric.name, None), *of_groups, metric.meaning))
    columns = (*_text("Metric"), *_numbers("Run", *groups), *_text("Meaning"))
    return _bounded("Every figure that a check can name.", columns, rows)


def _value(result: Result, metric: str, group: str | None) -> str:
    value = result.value(metric, group=group)
    return figures.NOTHING if value is None else value_text(metric, value)


def reasons(result: Result) -> Table | None:
    """Reason codes and link failures, the most frequent first."""
    rows = ((name, times, meaning_of(name)) for name, times in _most_first(result.reasons))
    return _bounded(
        "Reason codes and link failures, as cars and applications saw them.",
        (*_text("Reason"), *_numbers("Times"), *_text("Meaning")),
        rows,
    )


def refusals(result: Result) -> Table | None:
    """What the stand-in refused or dropped, by cause."""
    return _bounded(
        "What the stand-in refused or dropped.",
        (*_text("Cause"), *_numbers("Times")),
        _most_first(result.target.refusals if result.target else {}),
    )


def refused_quotas(result: Result) -> Table | None:
    """What quotas refused, or would have, and to whom."""
    rows = (
        (
            each.quota,
            Mark("✗ refused", "failed") if each.is_enforced else Mark("◐ only counted", "unknown"),
            f"{each.refused:,}",
            each.text,
            each.clients,
        )
        for each in quotas_of.refused_by_quota(result)
    )
    columns = (*_text("Quota", "What was done"), *_numbers("Times"), *_text("In words", "To whom"))
    title = quotas_of.title_of(result.target.quotas if result.target else None)
    return _bounded(f"What the {title} refused, or would have.", columns, rows)


_EDGE_MARKS: Final = {
    "held": Mark("✓ held", "held"),
    "failed": Mark("✗ failed", "failed"),
    "passed over": Mark("passed over", "unknown"),
    "to come": Mark("to come", "unknown"),
}


def edges(result: Result) -> Table | None:
    """The quotas that probes went to, with what they saw on both sides of the limit."""
    has_notes = any(row.note for row in result.edges)
    rows = (
        (
            row.name,
            _EDGE_MARKS[row.state],
            row.limit,
            row.below,
            row.above,
            "" if row.counted is None else f"{row.counted:,}",
            *((row.note,) if has_notes else ()),
        )
        for row in result.edges
    )
    columns = (
        *_text("Quota", "Result"),
        *_numbers("Limit"),
        *_text("Just below", "Just above"),
        *_numbers("Counted"),
        *(_text("Note") if has_notes else ()),
    )
    caption = "What clients saw just below and just above each quota, and what was counted for it."
    return _bounded(caption, columns, rows)


def target(result: Result) -> Table | None:
    """The running totals of the stand-in."""
    totals = result.target.counters if result.target else {}
    rows = ((name.replace("_", " "), f"{number:,}") for name, number in totals.items())
    return _bounded("What the stand-in counted itself.", (*_text("What"), *_numbers("Total")), rows)


def _most_first(numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{n:,}") for name, n in sorted(numbers.items(), key=lambda i: (-i[1], i[0]))]


# What happened


def phases(result: Result) -> Table | None:
    """The phases with what was published in each."""
    planned = result.header.phases if result.header else []
    rows = (
        (
            phase.name,
            figures.clock(phase.start_s),
            figures.clock(phase.end_s),
            figures.amount(phase.rate)
            if phase.rate == phase.rate_to
            else f"{figures.amount(phase.rate)} to {figures.amount(phase.rate_to)}",
            figures.whole(result.count("published", phase=phase.name)),
            figures.amount(result.value("publish_rate_hz", phase=phase.name)),
            figures.whole(result.count("not_sent", phase=phase.name)),
        )
        for phase in planned
    )
    columns = (
        *_text("Phase"),
        *_numbers("From", "Until", "Rate factor", "Published", "Per second", "Not sent"),
    )
    return _bounded("The phases.", columns, rows)


def faults(result: Result) -> Table | None:
    """The faults as planned and as they struck."""
    struck: dict[int, list[Event]] = {}
    for event in result.events:
        if event.kind == "fault" and event.fault is not None:
            struck.setdefault(event.fault, []).append(event)
    planned = result.header.faults if result.header else []
    rows = (
        (
            f"F{number}",
            fault.kind,
            fault.group or _EVERYTHING,
            figures.clock(fault.start_s),
            figures.clock(fault.end_s) if fault.end_s > fault.start_s else "",
            figures.whole(fault.cars),
            figures.whole(sum(event.cars for event in struck.get(number - 1, []))),
            struck[number - 1][0].text if number - 1 in struck else "did not strike",
        )
        for number, fault in enumerate(planned, 1)
    )
    columns = (
        *_text("Sign", "Fault", "Group"),
        *_numbers("From", "Until", "Cars planned", "Cars hit"),
        *_text("As it happened"),
    )
    return _bounded("The faults, planned and struck.", columns, rows)


def events(result: Result) -> Table | None:
    """Everything worth a mark on the time axis that was not planned."""
    rows = (
        (f"E{number}", figures.clock(event.at_s), event.kind, event.text, f"{event.cars or ''}")
        for number, event in enumerate((e for e in result.events if e.kind != "fault"), 1)
    )
    columns = (Column("Sign", number=False), Column("At"), *_text("Kind", "What"), Column("Cars"))
    return _bounded("What happened besides.", columns, rows)


# Forecast


def quotas(document: Mapping[str, Any]) -> Table | None:
    """The findings of the quota check, those that do not fit first; unused quotas left out."""
    found = [
        item
        for item in _documents(document.get("findings"))
        if not item.get("fits") or number_of(item.get("needed")) != 0
    ]
    rows = (
        (
            _words(item.get("name") or item.get("quota")),
            Mark("✓ fits", "held") if item.get("fits") else Mark("✗ breaks", "failed"),
            figures.amount(number_of(item.get("needed"))),
            figures.amount(number_of(item.get("limit"))),
            _words(item.get("unit")),
            figures.share(number_of(item.get("share"))),
            _yes_or_no(item.get("adjustable")),
            _words(item.get("remedy") or item.get("where")),
        )
        for item in sorted(found, key=lambda item: bool(item.get("fits")))
    )
    columns = (
        *_text("Quota", "Result"),
        *_numbers("Needed", "Limit"),
        *_text("Unit"),
        *_numbers("Used"),
        *_text("Adjustable", "Where, or what to do"),
    )
    caption = "What the scenario needs of the quotas of AWS IoT Core"
    return _bounded(_dated(caption, document, "date"), columns, rows)


def costs(document: Mapping[str, Any]) -> Table | None:
    """The items of the cost estimate with their sum first."""
    items = _documents(document.get("items"))
    if not items:
        return None
    rows = [
        (
            _words(item.get("name")),
            figures.amount(number_of(item.get("quantity"))),
            _words(item.get("unit")),
            figures.dollars(_million(number_of(item.get("unit_price_usd")))),
            figures.dollars(number_of(item.get("run_usd"))),
            figures.dollars(number_of(item.get("month_usd"))),
        )
        for item in items[: MAX_ROWS - 1]
    ]
    sums = (figures.dollars(number_of(document.get(name))) for name in ("run_usd", "month_usd"))
    columns = (
        *_text("Item"),
        *_numbers("Quantity"),
        *_text("Unit"),
        *_numbers("A million units", "This run", "A month"),
    )
    notes = document.get("notes")
    return Table(
        _dated("Estimated cost at AWS", document, "priced_on"),
        columns,
        (("All", "", "", "", *sums), *rows),
        frozenset({0}),
        note=" ".join(map(_words, notes[:_MAX_NOTES])) if isinstance(notes, list) else "",
    )


def _dated(caption: str, document: Mapping[str, Any], date: str) -> str:
    if document.get("region"):
        caption += f" in {_words(document['region'])}"
    if document.get(date):
        caption += f", as of {_words(document[date])}"
    return f"{caption}."


def _million(price_usd: float | None) -> float | None:
    return None if price_usd is None else price_usd * 1_000_000


def _documents(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number_of(value: object) -> float | None:
    """A number of a document; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _yes_or_no(value: object) -> str:
    return "" if not isinstance(value, bool) else "yes" if value else "no"


def _words(value: object) -> str:
    return "" if value is None else str(value)


# Machine


def processes(result: Result) -> Table | None:
    """What each process used at most."""
    busiest: dict[str, float] = {}
    for within in result.series:
        shares = {f"worker {number}": share for number, share in within.cpu_share.items()}
        if within.target_cpu_share is not None:
            shares["target"] = within.target_cpu_share
        for name, value in shares.items():
            busiest[name] = max(value, busiest.get(name, 0.0))
    rows = (
        (name, figures.share(busiest.get(name)), figures.octets(size))
        for name, size in sorted(result.resident_bytes.items(), key=_by_number)
    )
    columns = (*_text("Process"), *_numbers("Busiest, of a core", "Most memory"))
    return _bounded("What the processes used.", columns, rows)


def _by_number(item: tuple[str, int]) -> tuple[int, str]:
    return len(item[0]), item[0]


def machine(result: Result) -> Table | None:
    """Facts about the machine that generated the load."""
    facts = result.header.machine if result.header else {}
    return _bounded("The machine of the generator.", _text("What", "Value"), facts.items())
