"""The parts of the live panel, each as lines of text: head, phases, rates, latencies, processes.

Each function draws one part in a width. Which parts are shown, and how many lines each gets, is the
business of `simulator.watch.panel`. Names from scenarios and peers are made harmless here. Pure.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rich.text import Text

from certs.terminal import printable
from simulator.report.quotas import refused_by_quota
from simulator.scenario.timetable import AFTER
from simulator.watch.cells import (
    clock,
    count,
    fitted,
    gauge,
    milliseconds,
    percent,
    rate,
    size,
    sparkline,
    spread,
    title,
)
from simulator.watch.figures import HISTORY_S, LATENCIES, RECENT_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.load.records import Event, PlannedFault, PlannedPhase
    from simulator.report.result import Result
    from simulator.watch.figures import Latency, Moment, Process, Progress, Rate, Trouble

_LABEL_CELLS: Final = 11
_NUMBER_CELLS: Final = 9
_LATENCY_CELLS: Final = 8
_GAUGE_CELLS: Final = 12
_MINUTE_CELLS: Final = int(HISTORY_S)
_LEAST_HISTORY_CELLS: Final = 10
"""Fewer cells than this say nothing about a minute."""
_LEAST_NAME_CELLS: Final = 5
"""A shorter piece of a name tells nothing."""
_BUSY: Final = (0.7, 0.9)
_EVENT_STYLES: Final = {
    "fault": "yellow",
    "worker-lost": "bold red",
    "interrupted": "bold yellow",
    "storage": "bold red",
    "warning": "yellow",
}
_DOT: Final = Text(" · ", "dim")


# How it goes


def headline(moment: Moment, width: int) -> Text:
    """Cars connected of those asked for, and whether the generator keeps up."""
    result = moment.result
    if result.header is None:
        return Text("waiting for the first record", "dim")
    asked, connected, online = result.asked(), result.connected(), moment.online
    left = Text.assemble(
        (
            f"{connected:,} of {asked:,} cars connected",
            "bold green" if connected >= asked else "bold",
        ),
        (f" · {online:,} online", "" if online >= connected else "yellow"),
    )
    health, room = result.generator, max(0, width - left.cell_len - 2)
    if moment.is_silent:
        right = Text("NO WORD FROM ANY WORKER", "bold red")
    elif health.is_bottleneck:
        right = Text.assemble(("GENERATOR IS THE LIMIT", "bold red"), f": {health.why}")
    elif health.cpu_share_max is None:
        right = Text("generator: no figures yet", "dim")
    else:
        right = Text("generator keeps up", "green")
        detailed = Text.assemble(right, (f": {health.why}", "dim"))
        right = detailed if detailed.cell_len <= room else right
    right.truncate(room, overflow="ellipsis")
    return spread(left, right, width)


def what_and_when(moment: Moment, width: int) -> Text:
    """Name and target of the run, time passed and left."""
    header = moment.result.header
    if header is None:
        return Text()
    what = Text.assemble((printable(header.name), "bold"), (" → ", "dim"), printable(header.target))
    return spread(what, _times(moment.progress, moment.result), width)


def _times(progress: Progress, result: Result) -> Text:
    if result.end is not None:
        style = "bold green" if result.end.outcome == "completed" else "bold red"
        return Text.assemble((result.end.outcome, style), f" after {clock(progress.elapsed_s)}")
    times = f"{clock(progress.elapsed_s)} of {clock(progress.planned_s)}"
    if progress.phase is None:
        return Text.assemble((times, "bold"), " · ", (AFTER, "bold cyan"))
    return Text.assemble((times, "bold"), f" · {clock(math.ceil(progress.left_s))} left")


def phase_bar(moment: Moment, width: int) -> list[Text]:
    """Progress with a segment for each phase, and a line of their names.

    Where the name of the current phase does not fit its segment, it has that line for itself.
    """
    header, progress = moment.result.header, moment.progress
    phases = header.phases if header else []
    if not phases:
        return [Text("╌" * width, "dim")]
    bar, names, overflowing = Text(), Text(), None
    for index, (phase, cells) in enumerate(zip(phases, _segments(phases, width), strict=True)):
        is_current = index == progress.phase
        drawn = max(0, cells - 1)  # the last cell keeps two phases apart
        length_s = max(phase.end_s - phase.start_s, 1e-9)
        done = min(1.0, max(0.0, (progress.elapsed_s - phase.start_s) / length_s))
        full = int(done * drawn)
        bar.append("━" * full, "bold cyan" if is_current else "green")
        bar.append("╌" * (drawn - full), "cyan" if is_current else "dim")
        bar.append(" " * (cells - drawn))
        label = Text(printable(phase.name), "dim")
        if is_current:
            label = Text(f"▸{printable(phase.name)}", "bold cyan")
            if label.cell_len > drawn:
                start = max(0, min(names.cell_len, width - label.cell_len))
                overflowing = Text.assemble(" " * start, label)
        elif label.cell_len > drawn and drawn < _LEAST_NAME_CELLS:
            label = Text()
        names.append_text(fitted(label, drawn)).append(" " * (cells - drawn))
    return [bar, overflowing or names]


def _segments(phases: Sequence[PlannedPhase], width: int) -> list[int]:
    """Cells of each phase in proportion to its length; together exactly the width."""
    end_s = max(phases[-1].end_s, 1e-9)
    # Two cells for each, if there is room for that, so that the shortest phase is seen.
    floor = 2 if 2 * len(phases) <= width else 0
    edges = [0]
    for number, phase in enumerate(phases, 1):
        edge = round(min(1.0, max(0.0, phase.end_s / end_s)) * width)
        most = width - floor * (len(phases) - number)
        edges.append(min(max(edge, edges[-1] + floor), most))
    edges[-1] = width
    return [high - low for low, high in pairwise(edges)]


# Tables


def rate_table(rates: Mapping[str, Rate], width: int) -> list[Text]:
    """A line for each rate: now, in all, over the last minute."""
    room = width - _LABEL_CELLS - _NUMBER_CELLS - 2
    has_totals = room - _NUMBER_CELLS - 1 >= 2 * _LEAST_HISTORY_CELLS
    room -= _NUMBER_CELLS + 1 if has_totals else 0
    cells = min(room, _MINUTE_CELLS) if room >= _LEAST_HISTORY_CELLS else 0
    head = [("rates".ljust(_LABEL_CELLS - 2), "bold"), ("per s".rjust(_NUMBER_CELLS), "dim")]
    if has_totals:
        head.append((" " + "in all".rjust(_NUMBER_CELLS), "dim"))
    if cells:
        head.append(("  last minute", "dim"))
    lines = [_ruled(head, width)]
    for name, now in rates.items():
        quiet = "" if now.total else "dim"
        line = Text(name.ljust(_LABEL_CELLS), quiet)
        line.append(rate(now.per_s).rjust(_NUMBER_CELLS), quiet or "bold")
        if has_totals:
            line.append(" " + count(now.total).rjust(_NUMBER_CELLS), "dim")
        if cells:
            line.append("  ").append(sparkline(now.history, cells), "cyan" if now.total else "dim")
        lines.append(line)
    return lines


def trouble_table(troubles: Sequence[Trouble], rows: int, width: int) -> list[Text]:
    """What went wrong so far, in so many lines; what did happen displaces what did not."""
    room = max(0, rows - 1)
    happened = [trouble for trouble in troubles if trouble.number]
    others = [trouble for trouble in troubles if not trouble.number]
    chosen = [*happened, *others][:room]
    shown = [trouble for trouble in troubles if trouble in chosen]
    return [title("so far", width), *(_trouble_line(trouble, width) for trouble in shown)]


def _trouble_line(trouble: Trouble, width: int) -> Text:
    if trouble.number is None:
        return spread(Text(trouble.name, "dim"), Text("known at the end", "dim"), width)
    if not trouble.number:
        zero = Text("0", "green" if trouble.is_fault else "dim")
        return spread(Text(trouble.name, "dim"), zero, width)
    name = Text.assemble(trouble.name, (f"  {trouble.detail}", "dim"))
    style = "bold red" if trouble.is_fault else "yellow"
    return spread(name, Text(count(trouble.number), style), width)


_METRIC_CELLS: Final = max(len(metric) for metric in LATENCIES) - 2
_WINDOW_CELLS: Final = 3 * _LATENCY_CELLS


def latency_history_cells(width: int) -> int:
    """Cells that the latency table has for the last minute in this width; 0 is none."""
    room = width - _METRIC_CELLS - 2 * (_WINDOW_CELLS + 2) - _NUMBER_CELLS
    return min(room, _MINUTE_CELLS) if room >= _LEAST_HISTORY_CELLS else 0


def latency_table(latencies: Sequence[Latency], width: int) -> list[Text]:
    """A line for each latency: percentiles of the last seconds, and of the run."""
    room = width - _METRIC_CELLS - _WINDOW_CELLS
    has_whole = room >= _WINDOW_CELLS + 2
    has_count = room >= _WINDOW_CELLS + 2 + _NUMBER_CELLS
    cells = latency_history_cells(width)
    ends = "".join(name.rjust(_LATENCY_CELLS) for name in ("p99", "max"))
    recent = f"{RECENT_S:.0f} s p50".rjust(_LATENCY_CELLS)
    head = [("ms".ljust(_METRIC_CELLS - 2), "bold"), (recent + ends, "dim")]
    if has_whole:
        head.append(("  " + "run p50".rjust(_LATENCY_CELLS) + ends, "dim"))
    if has_count:
        head.append(("count".rjust(_NUMBER_CELLS), "dim"))
    if cells:
        head.append(("  p99 of the last minute", "dim"))
    lines = [_ruled(head, width)]
    for latency in latencies:
        name = latency.metric.removesuffix("_ms").replace("_", " ")
        line = Text(name.ljust(_METRIC_CELLS)).append_text(_percentiles(latency.recent_ms))
        if has_whole:
            line.append("  ").append_text(_percentiles(latency.whole_ms))
        if has_count:
            line.append(count(latency.count).rjust(_NUMBER_CELLS), "dim")
        if cells:
            line.append("  ").append(sparkline(latency.history_ms, cells), "magenta")
        lines.append(line)
    if not latencies:
        lines.append(Text("nothing measured yet", "dim"))
    return lines


def _percentiles(values_ms: Sequence[float] | None) -> Text:
    if values_ms is None:
        return Text("-".rjust(_LATENCY_CELLS) * 3, "dim")
    p50, p99, longest = (milliseconds(value).rjust(_LATENCY_CELLS) for value in values_ms)
    return Text.assemble(p50, (p99, "bold"), longest)


def group_table(result: Result, rows: int, width: int) -> list[Text]:
    """Cars online of those asked for, group by group."""
    lines, online = [title("groups", width)], result.online
    groups = result.header.groups if result.header else []
    shown = groups if len(groups) < rows else groups[: max(0, rows - 2)]
    for group in shown:
        name = Text(printable(group.name))
        here = online.get(group.name, 0)
        share = here / group.asked if group.asked else 0.0
        numbers = f"{here:,} of {group.asked:,} online".rjust(32)
        cells = max(0, width - 2 * _LABEL_CELLS - len(numbers))
        bar = Text(gauge(share, cells), "green" if share >= 1 else "cyan")
        lines.append(Text.assemble(fitted(name, 2 * _LABEL_CELLS), bar, numbers))
    if len(shown) < len(groups):
        lines.append(Text(f"and {len(groups) - len(shown):,} more groups", "dim"))
    return lines


def reason_table(ranked: Sequence[tuple[str, int]], width: int) -> list[Text]:
    """Reason codes and link failures with their numbers."""
    lines = [
        spread(Text(printable(reason)), Text(count(number), "yellow"), width)
        for reason, number in ranked
    ]
    return [title("reason codes", width), *(lines or [Text("none", "dim")])]


def process_table(moment: Moment, rows: int, width: int) -> list[Text]:
    """CPU and memory of the stand-in and of the workers; the busiest, if there are many."""
    lines, target = [title("processes", width)], moment.target()
    if target is not None:
        lines.append(_process_line("stand-in", target).append("  ").append_text(_told(moment)))
    workers = moment.workers()
    room = max(1, rows - len(lines))
    shown = workers
    if len(workers) > room:
        busiest = sorted(workers, key=lambda worker: worker.cpu_share or 0.0, reverse=True)
        shown = busiest[: room - 1]
    lines += [_process_line(f"worker {worker.name}", worker) for worker in shown]
    if len(shown) < len(workers):
        lines.append(Text(f"and {len(workers) - len(shown):,} more workers", "dim"))
    if not workers:
        lines.append(Text("no word of a worker yet", "dim"))
    return lines


def _process_line(name: str, process: Process) -> Text:
    share = process.cpu_share or 0.0
    line = Text(name.ljust(_LABEL_CELLS)).append(gauge(share, _GAUGE_CELLS), _busy_style(share))
    line.append(("?" if process.cpu_share is None else percent(share)).rjust(7))
    return line.append((size(process.peak_bytes) if process.peak_bytes else "").rjust(10))


def _busy_style(share: float) -> str:
    return "green" if share < _BUSY[0] else "yellow" if share < _BUSY[1] else "bold red"


# The same in one line each, for small terminals


def reason_line(ranked: Sequence[tuple[str, int]]) -> Text:
    """Reason codes and link failures with their numbers."""
    parts = [
        Text.assemble(printable(reason), (f" {count(number)}", "yellow"))
        for reason, number in ranked
    ]
    return _labelled("reasons", _DOT.join(parts) if parts else Text("none", "dim"))


def target_line(moment: Moment) -> Text:
    """What the stand-in says about itself."""
    target = moment.target()
    if target is None:
        return _labelled("target", Text("says nothing about itself", "dim"))
    return _labelled("stand-in", _DOT.join([_use(target), _told(moment)]))


def worker_line(moment: Moment) -> Text:
    """CPU and memory of the workers."""
    uses = [_use(worker) for worker in moment.workers()]
    return _labelled("workers", _DOT.join(uses) if uses else Text("no word yet", "dim"))


def _labelled(label: str, text: Text) -> Text:
    return Text.assemble((label.ljust(_LABEL_CELLS), "dim"), text)


def _use(process: Process) -> Text:
    share = process.cpu_share
    text = Text("CPU ").append("?" if share is None else percent(share), _busy_style(share or 0.0))
    return text.append(f" {size(process.peak_bytes)}" if process.peak_bytes else "")


def _told(moment: Moment) -> Text:
    """Connections and refusals of the stand-in."""
    report = moment.result.target
    if report is None:
        return Text()
    parts = [Text(f"{count(report.counters.get('connections', 0))} connections")]
    counted = sum(each.refused for each in refused_by_quota(moment.result) if not each.is_enforced)
    if counted:
        parts.append(Text(f"IoT Core would refuse {count(counted)}", "yellow"))
    probes = moment.probes()
    if probes is not None:
        parts.append(Text(f"probed {probes[0]} of {probes[1]}"))
    refused = sorted(
        ((cause, number) for cause, number in report.refusals.items() if number),
        key=lambda item: (-item[1], item[0]),
    )
    if refused:
        named = ", ".join(f"{printable(cause)} {count(number)}" for cause, number in refused)
        parts.append(Text.assemble(("refused ", "yellow"), named))
    else:
        parts.append(Text("nothing refused", "dim"))
    return _DOT.join(parts)


# Events


def event_lines(events: Sequence[Event], coming: PlannedFault | None, now_s: float) -> list[Text]:
    """The events, and then the fault that is due next."""
    lines = [_event_line(event) for event in events]
    if coming is not None:
        whom = f"of {printable(coming.group)} " if coming.group else ""
        text = f"in {clock(coming.start_s - now_s)}: {printable(coming.kind)} {whom}"
        cars = f"({coming.cars:,} cars)"
        lines.append(Text("next".rjust(_LABEL_CELLS - 2) + "  " + text + cars, "dim"))
    return lines or [_labelled("events", Text("none yet", "dim"))]


def _event_line(event: Event) -> Text:
    line = Text.assemble(
        (clock(event.at_s).rjust(_LABEL_CELLS - 2), "dim"),
        "  ",
        (event.kind, _EVENT_STYLES.get(event.kind, "")),
        " ",
        printable(event.text),
    )
    return line.append(f" ({event.cars:,} cars)", "dim") if event.cars else line


def _ruled(head: Sequence[tuple[str, str]], width: int) -> Text:
    """A heading of columns, with a rule to the right end."""
    line = Text("─ ", "dim")
    for text, style in head:
        line.append(text, style)
    return fitted(line.append(" " + "─" * max(0, width - line.cell_len - 1), "dim"), width)
