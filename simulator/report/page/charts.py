"""What is drawn over time: the slices of a run as columns of numbers, and the marks on their axis.

Owns which lines stand on which chart, the thinning to a bounded number of points, and the sentence
that says a chart's gist to somebody who cannot see it. Knows nothing about HTML or drawing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from simulator.report.page import figures
from simulator.report.slices import Slice
from simulator.scenario.checks import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from simulator.report.result import Result

MAX_POINTS: Final = 1500
"""Points of a line; slices beyond that are merged, never dropped."""
MAX_EVENT_MARKS: Final = 40
PERCENTS: Final = (50.0, 90.0, 99.0, 99.9, 100.0)
PERCENT_NAMES: Final = ("p50", "p90", "p99", "p99.9", "max")
LATENCIES: Final = ("publish_ack_ms", "end_to_end_ms", "command_ms", "connect_ms", "tls_ms")
LATENCY_TITLES: Final = {
    "publish_ack_ms": "publish to PUBACK",
    "end_to_end_ms": "publish to application",
    "command_ms": "command to final answer",
    "connect_ms": "connect to CONNACK",
    "tls_ms": "TCP and TLS",
    "lateness_ms": "lateness of the generator",
}
TROUBLES: Final = (
    "connect_failures",
    "disconnects",
    "publish_refused",
    "not_sent_offline",
    "not_sent_window",
    "not_sent_backpressure",
    "resent",
)
"""Counters of slices that are zero on a good day."""
_COMMAND_TROUBLES: Final = ("commands_late", "commands_unanswered", "commands_failed")

_MAX_LINES: Final = 8
_MAX_PEAKS: Final = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart, before its numbers.

    Attributes:
        label: In the legend.
        strong: Drawn thicker.
        style: Colour and dash pattern (0 without dashes) by number; by default those of its place.
        spans: Drawn across seconds of which nothing is known, for what is reported less often.
    """

    label: str
    strong: bool = False
    style: tuple[int, int] | None = None
    spans: bool = False

    def as_json(self, place: int) -> dict[str, Any]:
        """What the page's script draws it by."""
        colour, dash = self.style or (place, place)
        return {
            "label": self.label,
            "colour": colour % _MAX_LINES,
            "dash": dash,
            "strong": self.strong,
            "spans": self.spans,
        }


_PERCENT_LINES: Final = tuple(
    Line(name, strong=name == "p99", style=(place, dash))
    for place, (name, dash) in enumerate(zip(PERCENT_NAMES, (0, 1, 0, 3, 2), strict=True))
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sets of numbers for the same lines.

    Attributes:
        label: What is chosen.
        reading: The gist in a sentence.
        columns: One column of numbers for each line; None where there is nothing.
    """

    label: str
    reading: str
    columns: list[list[float | int | None]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        name: For the page.
        title: Its heading.
        unit: Of its numbers.
        lines: Its lines.
        choices: At least one set of numbers; without any nothing is drawn.
        nothing: What to say when there is nothing to draw.
        log: Whether its axis is logarithmic.
        wide: Whether it takes the whole width.
    """

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    choices: tuple[Choice, ...]
    nothing: str = ""
    log: bool = False
    wide: bool = False

    @property
    def reading(self) -> str:
        """The gist of what is shown first."""
        return self.choices[0].reading if self.choices else self.nothing

    def as_json(self) -> dict[str, Any]:
        """What the page's script draws."""
        spec: dict[str, Any] = {
            "unit": self.unit,
            "log": self.log,
            "series": [line.as_json(place) for place, line in enumerate(self.lines)],
        }
        if len(self.choices) > 1:
            spec["choices"] = [
                {"columns": choice.columns, "reading": choice.reading} for choice in self.choices
            ]
        else:
            spec["columns"] = self.choices[0].columns
        return spec


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault or event on the time axis.

    Attributes:
        short: Its sign, also in the tables: `F1`, `E1`.
        label: The sign with a word.
        start_s: From when.
        end_s: Until when; equal to `start_s` for those of an instant.
        fault: Whether it is a fault of the scenario.
    """

    short: str
    label: str
    start_s: float
    end_s: float
    fault: bool


@dataclass(frozen=True, slots=True)
class Charts:
    """Everything drawn over time."""

    times_s: list[float | int | None]
    duration_s: float
    phases: list[dict[str, Any]]
    marks: list[Mark]
    charts: list[Chart] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {
            "times_s": self.times_s,
            "duration_s": self.duration_s,
            "phases": self.phases,
            "marks": [
                {
                    "short": mark.short,
                    "label": mark.label,
                    "start_s": mark.start_s,
                    "end_s": mark.end_s,
                    "fault": mark.fault,
                }
                for mark in self.marks
            ],
            "charts": {chart.name: chart.as_json() for chart in self.charts if chart.choices},
        }


def charts_of(result: Result) -> Charts:
    """Everything of a run that is drawn over time."""
    slices = merged(result.series)
    phases = result.header.phases if result.header else []
    planned_s = max((phase.end_s for phase in phases), default=0.0)
    return Charts(
        times_s=[figures.plain((within.start_s + within.end_s) / 2) for within in slices],
        duration_s=max(result.elapsed_s, planned_s),
        phases=[
            {"name": phase.name, "start_s": phase.start_s, "end_s": phase.end_s} for phase in phases
        ],
        marks=_marks(result),
        charts=[
            _messages(slices),
            _latency(slices),
            _troubles(slices),
            _online(result, slices),
            _connects(slices),
            _commands(slices),
            _octets(slices),
            _cpu(slices),
            _lateness(slices),
        ],
    )


def merged(slices: Sequence[Slice], at_most: int = MAX_POINTS) -> list[Slice]:
    """Neighbouring slices added up, as many at a time as needed; the given ones do not change."""
    width = max(1, math.ceil(len(slices) / at_most))
    if width == 1:
        return list(slices)
    wider = []
    for first in range(0, len(slices), width):
        total = Slice(slices[first].start_s, slices[first].end_s)
        for within in slices[first : first + width]:
            total.append(within)
        wider.append(total)
    return wider


def _marks(result: Result) -> list[Mark]:
    faults = result.header.faults if result.header else []
    marks = [
        Mark(f"F{number}", f"F{number} {fault.kind}", fault.start_s, fault.end_s, fault=True)
        for number, fault in enumerate(faults, 1)
    ]
    others = [event for event in result.events if event.kind != "fault"]
    for number, event in enumerate(others[:MAX_EVENT_MARKS], 1):
        marks.append(
            Mark(f"E{number}", f"E{number} {event.kind}", event.at_s, event.at_s, fault=False)
        )
    return marks


# Columns


def _counter(slices: Iterable[Slice], name: str) -> list[float | int | None]:
    return [
        figures.plain(within.counts.get(name, 0) / max(within.end_s - within.start_s, 1e-9))
        for within in slices
    ]


def _any(columns: Iterable[Sequence[float | int | None]]) -> bool:
    return any(value for column in columns for value in column)


def _peak(
    slices: Sequence[Slice], column: Sequence[float | int | None], write: Callable[[float], str]
) -> str:
    """Where a column is highest, in words."""
    known = [(value, at) for at, value in enumerate(column) if value is not None]
    if not known:
        return "nothing"
    value, at = max(known, key=lambda pair: pair[0])
    return f"{write(value)} at {figures.clock(slices[at].start_s)}"


def _peaks(
    slices: Sequence[Slice],
    columns: Mapping[str, Sequence[float | int | None]],
    write: Callable[[float], str],
) -> str:
    """The highest values of some columns in a sentence; only of the highest ones."""
    highest = {label: max(filter(None, column), default=0) for label, column in columns.items()}
    told = sorted((label for label in columns if highest[label]), key=lambda at: -highest[at])
    parts = [
        f"{label} at most {_peak(slices, columns[label], write)}" for label in told[:_MAX_PEAKS]
    ]
    more = len(told) - _MAX_PEAKS
    return figures.sentence("; ".join([*parts, f"{more} more"] if more > 0 else parts))


def _lines(columns: Iterable[str]) -> tuple[Line, ...]:
    return tuple(Line(label, strong=number == 0) for number, label in enumerate(columns))


def _rates(
    slices: Sequence[Slice],
    names: Iterable[tuple[str, str]],
    write: Callable[[float], str],
) -> tuple[tuple[Line, ...], tuple[Choice, ...]]:
    """Counters per second, those that never counted left out."""
    columns = {label: _counter(slices, name) for name, label in names}
    kept = {label: column for label, column in columns.items() if _any([column])}
    if not kept:
        return (), ()
    choice = Choice("", _peaks(slices, kept, write), list(kept.values()))
    return _lines(kept), (choice,)


def _per_second(value: float) -> str:
    return f"{figures.amount(value)} /s"


# Charts


def _messages(slices: Sequence[Slice]) -> Chart:
    lines, choices = _rates(
        slices,
        [
            ("published", "published by cars"),
            ("acknowledged", "acknowledged (QoS 1)"),
            ("received", "received by observers"),
        ],
        _per_second,
    )
    nothing = "Nothing was published."
    return Chart("messages", "Messages", "/s", lines, choices, nothing, wide=True)


def _commands(slices: Sequence[Slice]) -> Chart:
    names = ("commands_sent", "commands_answered", *_COMMAND_TROUBLES)
    lines, choices = _rates(
        slices, [(name, name.removeprefix("commands_")) for name in names], _per_second
    )
    return Chart("commands", "Commands", "/s", lines, choices, "No command was sent.")


def _latency(slices: Sequence[Slice]) -> Chart:
    choices = tuple(
        _percentiles(slices, metric)
        for metric in LATENCIES
        if any(metric in within.spreads for within in slices)
    )
    lines = _PERCENT_LINES if choices else ()
    nothing = "No latency was measured."
    return Chart("latency", "Latency", "ms", lines, choices, nothing, log=True, wide=True)


def _percentiles(slices: Sequence[Slice], metric: str) -> Choice:
    rows = []
    for within in slices:
        spread = within.spreads.get(metric)
        some = spread is not None and spread.count > 0
        values = spread.percentiles_ms(PERCENTS) if spread is not None and some else None
        rows.append(
            [None] * len(PERCENTS) if values is None else [_three_digits(value) for value in values]
        )
    columns = [list(column) for column in zip(*rows, strict=True)]
    p99 = _peak(slices, columns[2], lambda value: f"{figures.milliseconds(value)} ms")
    highest = _peak(slices, columns[4], lambda value: f"{figures.milliseconds(value)} ms")
    reading = (
        f"{METRICS[metric].meaning} Highest p99 over time: {p99}; highest of all: {highest}."
        if _any(columns)
        else METRICS[metric].meaning
    )
    return Choice(f"{metric}: {LATENCY_TITLES[metric]}", reading, columns)


def _three_digits(value_ms: float) -> float | int | None:
    # A histogram is exact to three digits; more would only make the page larger.
    return figures.plain(float(f"{value_ms:.3g}"))


def _online(result: Result, slices: Sequence[Slice]) -> Chart:
    groups = result.groups
    if not slices or not groups:
        return Chart("online", "Cars online", "", (), (), "No car was connected.")
    total: list[float | int | None] = [
        sum(within.online.get(group, 0) for group in groups) for within in slices
    ]
    asked = result.asked()
    lines, columns = [Line("all cars", strong=True)], [total]
    if len(groups) > 1:
        # The largest groups; a legend of thirty lines tells nobody anything.
        largest = sorted(groups, key=result.asked, reverse=True)[: _MAX_LINES - 2]
        for group in [name for name in groups if name in largest]:
            lines.append(Line(group))
            columns.append([within.online.get(group, 0) for within in slices])
    lines.append(Line("asked for"))
    columns.append([asked] * len(slices))
    reading = f"At most {_peak(slices, total, figures.whole)} of {asked:,} asked for."
    choice = Choice("", reading, columns)
    return Chart("online", "Cars online", "", tuple(lines), (choice,))


def _connects(slices: Sequence[Slice]) -> Chart:
    lines, choices = _rates(
        slices,
        [
            ("connects", "connects"),
            ("connect_failures", "failed attempts"),
            ("disconnects", "disconnects"),
        ],
        _per_second,
    )
    return Chart("connects", "Connects", "/s", lines, choices, "Nothing connected.")


def _troubles(slices: Sequence[Slice]) -> Chart:
    columns = {name.replace("_", " "): _counter(slices, name) for name in TROUBLES}
    causes = sorted({cause for within in slices for cause in within.refusals})
    for cause in causes[:_MAX_LINES]:
        columns[f"target: {cause}"] = [
            figures.plain(within.refusals.get(cause, 0) / max(within.end_s - within.start_s, 1e-9))
            for within in slices
        ]
    kept = {label: column for label, column in columns.items() if _any([column])}
    choices = (Choice("", _peaks(slices, kept, _per_second), list(kept.values())),) if kept else ()
    nothing = "No attempt failed; nothing was refused, held back or resent."
    title = "Failures and refusals"
    return Chart("troubles", title, "/s", _lines(kept), choices, nothing, wide=True)


def _octets(slices: Sequence[Slice]) -> Chart:
    lines, choices = _rates(
        slices,
        [("bytes_out", "written"), ("bytes_in", "read")],
        lambda value: f"{figures.octets(value)}/s",
    )
    title = "MQTT bytes of cars and applications"
    return Chart("octets", title, "B/s", lines, choices, "No bytes were counted.")


def _cpu(slices: Sequence[Slice]) -> Chart:
    workers = sorted({worker for within in slices for worker in within.cpu_share})
    columns: dict[str, list[float | int | None]] = {}
    shares = [within.cpu_share for within in slices]
    if len(workers) < _MAX_LINES:
        for worker in workers:
            columns[f"worker {worker}"] = [figures.plain(of.get(worker)) for of in shares]
    else:
        columns["busiest worker"] = [figures.plain(max(of.values(), default=None)) for of in shares]
        columns["mean of workers"] = [
            figures.plain(sum(of.values()) / len(of) if of else None) for of in shares
        ]
    if any(within.target_cpu_share is not None for within in slices):
        columns["stand-in"] = [figures.plain(within.target_cpu_share) for within in slices]
    if not columns:
        return Chart("cpu", "CPU", "%", (), (), "No CPU use was reported.")
    choice = Choice("", _peaks(slices, columns, figures.share), list(columns.values()))
    lines = tuple(replace(line, spans=True) for line in _lines(columns))
    return Chart("cpu", "CPU of one core", "%", lines, (choice,))


def _lateness(slices: Sequence[Slice]) -> Chart:
    title, metric = "Lateness of the generator", "lateness_ms"
    if not any(metric in within.spreads for within in slices):
        return Chart("lateness", title, "ms", (), (), "No lateness was measured.")
    every = _percentiles(slices, metric)
    shown = (0, 2, 4)
    choice = Choice("", every.reading, [every.columns[number] for number in shown])
    lines = tuple(_PERCENT_LINES[number] for number in shown)
    return Chart("lateness", title, "ms", lines, (choice,), log=True)
