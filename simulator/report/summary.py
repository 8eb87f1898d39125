"""The terminal summary of a run: promised, measured, lost, not sent, refused, and what it costs.

Owns the layout. All figures come from the result and the verdict. On a terminal the tables fit its
width; in a file or pipe no line is cut or padded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from certs.terminal import printable
from simulator.iotcore.broker.counters import QUOTA_PREFIX
from simulator.report.forecasts import broken_quotas, cost_of
from simulator.report.paper import Paper
from simulator.report.quotas import refused_by_quota, title_of
from simulator.report.reasons import meaning_of
from simulator.report.result import NOT_SENT
from simulator.report.verdict import number_text
from simulator.scenario.checks import METRICS
from simulator.scenario.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import Console, RenderableType

    from simulator.load.records import StreamBooks, TargetQuotas
    from simulator.report.result import Result
    from simulator.report.sparse import SparseHistogram
    from simulator.report.verdict import Verdict

PERCENTS: Final = (50.0, 90.0, 99.0, 99.9)
# From this width on, a check and its note share a line.
_WIDE: Final = 110
_ROWS_AT_MOST: Final = 16
_MANY_ROWS: Final = 64

_LATENCIES: Final = [name for name, metric in METRICS.items() if metric.kind == "latency"]
_COMMANDS: Final = {
    "commands_sent": "sent",
    "commands_answered": "answered in time",
    "commands_late": "answered late",
    "commands_unanswered": "not answered",
    "commands_failed": "failed",
}
_CAUSES: Final = {
    "not_sent_offline": "the car was offline",
    "not_sent_window": "in-flight window and its queue were full",
    "not_sent_backpressure": "the socket took no more bytes",
}


def print_summary(result: Result, verdict: Verdict, console: Console) -> None:
    """Print everything that a person wants to know after a run.

    Args:
        result: The run.
        verdict: Its verdict.
        console: Where to.
    """
    paper = Paper(console)
    paper.line(Text(verdict.first_line, "bold green" if _is_good(result, verdict) else "bold red"))
    paper.line(Text(_setting(result), "dim"))
    for warning in verdict.warnings:
        paper.line(Text(f"warning: {warning}", "yellow"))
    paper.section("promised", _promised(verdict, wide=paper.width >= _WIDE))
    paper.section(title_of(_quotas_of(result)), _quotas(result, wide=paper.width >= _WIDE))
    paper.section("at the edge of quotas", _edges(result, wide=paper.width >= _WIDE))
    paper.section("measured, ms", _measured(result))
    paper.section("by phase", _by_phase(result))
    paper.section("seen by the observers", _delivery(result.books))
    paper.section("commands", _commands(result))
    paper.section("not sent, and not confirmed", _not_sent(result))
    paper.section("reason codes and broken links", _ranking(result.reasons))
    paper.section("refused by the target", _refused(result))
    paper.section("went wrong", _events(result))
    paper.section("estimated cost at AWS, USD", _cost(result))
    paper.section("load generator", _generator(result))
    paper.line(Text())
    paper.line(_last_line(verdict))


def _is_good(result: Result, verdict: Verdict) -> bool:
    return verdict.held and not result.is_partial and not result.generator.is_bottleneck


def _setting(result: Result) -> str:
    header = result.header
    if header is None:
        return ""
    seed = header.scenario.get("seed")
    parts = [
        f"{header.name} with seed {seed}",
        f"{duration_text(result.elapsed_s) if result.elapsed_s else '0 s'} from {header.started}",
        header.target,
        f"{header.workers} worker{'s' if header.workers != 1 else ''}",
        f"morai-edge {header.version}",
    ]
    return printable(", ".join(parts))


def _promised(verdict: Verdict, *, wide: bool) -> Table | None:
    if not verdict.rows:
        return None
    table = _table("", "check", "measured>", *(["note"] if wide else []), header=False)
    for row in verdict.rows:
        mark = Text("ok", "green") if row.held else Text("FAILED", "bold red")
        note = "" if row.note == row.value_text else row.note
        check = Text(printable(row.check.text))
        if wide:
            table.add_row(mark, check, row.value_text, Text(note, "dim"))
        else:
            check.append(f"\n  {note}" if note else "", "dim")
            table.add_row(mark, check, row.value_text)
    return table


def _quotas_of(result: Result) -> TargetQuotas | None:
    return result.target.quotas if result.target else None


def _quotas(result: Result, *, wide: bool) -> Table | None:
    """What quotas refused, or would have, and to whom."""
    found = refused_by_quota(result)
    table = _table("what", *(["to whom"] if wide else []), header=False)
    if not found:
        quotas = _quotas_of(result)
        if quotas is None or not quotas.mode:
            return None
        would = "refused" if quotas.mode == "enforce" else "would have refused"
        table.add_row(Text(f"IoT Core {would} nothing", "green"))
        return table
    for each in found[:_ROWS_AT_MOST]:
        text = Text(each.text, "bold red" if each.is_enforced else "bold yellow")
        if wide:
            table.add_row(text, Text(each.clients, "dim"))
        else:
            table.add_row(text.append(f"\n  {each.clients}" if each.clients else "", "dim"))
    if len(found) > _ROWS_AT_MOST:
        table.add_row(Text(f"and {len(found) - _ROWS_AT_MOST} more quotas", "dim"))
    return table


_STATES: Final = {
    "held": ("ok", "green"),
    "failed": ("FAILED", "bold red"),
    "passed over": ("-", "dim"),
    "to come": ("?", "dim"),
}


def _edges(result: Result, *, wide: bool) -> Table | None:
    """Each probed quota with what was seen on both sides of its limit."""
    rows = result.edges
    if not rows:
        return None
    more = ["counted>", ""] if wide else []
    table = _table("", "quota", "limit>", "just below", "just above", *more)
    for row in rows:
        # That all was accepted just below is what the mark says, too.
        below = row.below if wide else row.below.removesuffix(" accepted")
        mark, style = _STATES[row.state]
        name, note = Text(printable(row.name)), Text(printable(row.note), style)
        if note and not wide:
            name.append("\n  ").append_text(note)
        counted = "" if row.counted is None else f"{row.counted:,}"
        table.add_row(
            Text(mark, style),
            name,
            Text(printable(row.limit)),
            Text(printable(below), "dim"),
            Text(printable(row.above)),
            *((counted, note) if wide else ()),
        )
    return table


def _measured(result: Result) -> Table | None:
    titles = [f"p{percent:g}>" for percent in PERCENTS]
    table = _table("", "count>", *titles, "max>")
    for metric in _LATENCIES:
        groups = sorted(result.cuts_of(metric)[0], key=_order_of(result))
        total = result.spread(metric)
        if not total.count:
            continue
        _add_latency(table, metric, total)
        if len(groups) > 1:
            for group in groups[:_ROWS_AT_MOST]:
                _add_latency(table, f"  {group}", result.spread(metric, group), style="dim")
    return table if table.row_count else None


def _order_of(result: Result) -> Callable[[str], tuple[int, str]]:
    places = {group: place for place, group in enumerate(result.groups)}
    return lambda group: (places.get(group, len(places)), group)


def _add_latency(table: Table, name: str, histogram: SparseHistogram, style: str = "") -> None:
    figures = [*histogram.percentiles_ms(PERCENTS), histogram.max_ms]
    table.add_row(
        Text(printable(name)),
        f"{histogram.count:,}",
        *(milliseconds_text(figure) for figure in figures),
        style=style,
    )


def milliseconds_text(value_ms: float) -> str:
    """Milliseconds in a column: three digits, at most two of them after the point."""
    if value_ms >= 100:  # noqa: PLR2004 - from here on whole milliseconds say it all
        return f"{value_ms:,.0f}"
    return f"{value_ms:.1f}" if value_ms >= 10 else f"{value_ms:.2f}"  # noqa: PLR2004 - same


def _by_phase(result: Result) -> Table | None:
    table = _table("", "took>", "sent/s>", "seen/s>", "connects>", "ended>", "ack p99>", "e2e p99>")
    for phase in result.phases[:_MANY_ROWS]:
        measured_s = result.measured_s(phase)
        if measured_s <= 0:
            table.add_row(phase, Text("did not begin", "dim"))
            continue
        table.add_row(
            Text(printable(phase)),
            duration_text(measured_s),
            number_text(result.count("published", phase=phase) / measured_s, 3),
            number_text(result.count("received", phase=phase) / measured_s, 3),
            f"{result.count('connects', phase=phase):,}",
            f"{result.count('disconnects', phase=phase):,}",
            _p99_text(result, "publish_ack_ms", phase),
            _p99_text(result, "end_to_end_ms", phase),
        )
    return table if table.row_count else None


def _p99_text(result: Result, metric: str, phase: str) -> str:
    value_ms = result.value(metric, "p99", phase=phase)
    return "-" if value_ms is None else milliseconds_text(value_ms)


def _delivery(books: list[StreamBooks]) -> Table | None:
    if not books:
        return None
    table = _table("", "written>", "seen>", "lost>", "repeated>", "reordered>", "unreadable>")
    for book in books[:_MANY_ROWS]:
        table.add_row(
            Text(printable(f"{book.group} {book.stream} by {book.observer}")),
            f"{book.written:,}",
            f"{book.seen:,}",
            _alarming(book.lost),
            _alarming(book.repeated),
            _alarming(book.out_of_order),
            _alarming(book.undecodable),
        )
    if len(books) > 1:
        fields = ("written", "seen", "lost", "repeated", "out_of_order", "undecodable")
        sums = (sum(getattr(book, field) for book in books) for field in fields)
        table.add_row("all", *(f"{total:,}" for total in sums), style="bold")
    return table


def _commands(result: Result) -> Text | None:
    if not result.count("commands_sent"):
        return None
    counts = ((text, result.count(name)) for name, text in _COMMANDS.items())
    return Text("  " + ", ".join(f"{number:,} {text}" for text, number in counts))


def _not_sent(result: Result) -> Table | None:
    rows = [(result.count(cause), "not sent", _CAUSES[cause]) for cause in NOT_SENT]
    rows += [
        (result.count("publish_refused"), "refused", "PUBACK with a reason code of failure"),
        (result.count("resent"), "resent", "written again after a reconnect"),
        (
            sum(result.end.unacknowledged.values()) if result.end else 0,
            "unconfirmed",
            "QoS 1 without PUBACK at the end",
        ),
        (result.count("connect_failures"), "connects", "did not reach a successful CONNACK"),
    ]
    table = _table("number>", "what", "why", header=False)
    for number, what, why in rows:
        if number:
            table.add_row(f"{number:,}", what, why)
    return table if table.row_count else None


def _ranking(counts: Mapping[str, int]) -> Table | None:
    if not counts:
        return None
    table = _table("number>", "what", header=False)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for name, number in ranked[:_ROWS_AT_MOST]:
        meaning = meaning_of(name)
        row = Text.assemble(printable(name), (f"  {meaning}" if meaning else "", "dim"))
        table.add_row(f"{number:,}", row)
    rest = ranked[_ROWS_AT_MOST:]
    if rest:
        table.add_row(f"{sum(number for _, number in rest):,}", f"{len(rest):,} others")
    return table


def _refused(result: Result) -> RenderableType | None:
    """What the target refused by causes other than quotas, and which quotas the forecast broke."""
    header = result.header
    if header is None:
        return None
    broken = broken_quotas(header)
    by_quotas = any(cause.startswith(QUOTA_PREFIX) for cause in _refusals(result))
    refused = _ranking(
        {
            cause: number
            for cause, number in _refusals(result).items()
            if number and not cause.startswith(QUOTA_PREFIX)
        }
    )
    if refused is None:
        text = (
            f"  nothing{' but what its quotas refused' if by_quotas else ''}"
            if result.target
            else "  it does not say; only the stand-in does"
            if header.target_kind != "stand-in"
            else "  the stand-in did not report"
        )
        refused = _table("what", header=False)
        refused.add_row(Text(text.strip(), "dim"))
    for finding in broken[:_ROWS_AT_MOST]:
        row = Text(f"forecast: {printable(finding.text or finding.quota)}", "yellow")
        refused.add_row(*([""] * (len(refused.columns) - 1)), row)
    return refused


def _refusals(result: Result) -> Mapping[str, int]:
    return result.target.refusals if result.target else {}


def _events(result: Result) -> Table | None:
    shown = [event for event in result.events if event.kind != "target"]
    if not shown:
        return None
    table = _table("when>", "kind", "what", header=False)
    for event in shown[:_ROWS_AT_MOST]:
        table.add_row(f"{event.at_s:,.1f} s", event.kind, Text(printable(event.text)))
    if len(shown) > _ROWS_AT_MOST:
        table.add_row("", "", Text(f"and {len(shown) - _ROWS_AT_MOST:,} more", "dim"))
    return table


def _cost(result: Result) -> Table | None:
    cost = cost_of(result.header)
    if cost is None:
        return None
    table = _table("", "quantity>", "unit", "this run>", "month>")
    for item in cost.items[:_ROWS_AT_MOST]:
        table.add_row(
            Text(printable(item.name)),
            number_text(item.quantity),
            Text(printable(item.unit)),
            _usd(item.run_usd),
            _usd(item.month_usd),
        )
    table.add_row("all", "", "", _usd(cost.run_usd), _usd(cost.month_usd), style="bold")
    if cost.priced_on:
        table.caption = printable(
            f"prices of {cost.priced_on}, {cost.priced_region or cost.region}"
        )
        table.caption_justify = "left"
    return table


def _usd(value: float) -> str:
    return f"{value:,.2f}" if value >= 1 or not value else f"{value:.6f}"


def _generator(result: Result) -> Table:
    health = result.generator
    table = _table("what", "value", header=False)
    state = Text("it was the limit: " if health.is_bottleneck else "it was not the limit: ")
    state.stylize("bold red" if health.is_bottleneck else "")
    if health.cpu_share_max is None:
        state = Text()
    table.add_row("state", state + Text(health.why))
    for name, text in _memory(result):
        table.add_row(name, text)
    shares = [s.target_cpu_share for s in result.series if s.target_cpu_share is not None]
    if shares:
        table.add_row("target", f"at most {max(shares) * 100:.0f} % of a core")
    machine = result.header.machine if result.header else {}
    if machine:
        table.add_row("machine", Text(printable(", ".join(map(" ".join, machine.items())))))
    return table


def _memory(result: Result) -> Iterator[tuple[str, str]]:
    workers = [used for name, used in result.resident_bytes.items() if name != "target"]
    if workers:
        yield "memory", f"{sum(workers) / 1e6:,.0f} MB in {len(workers)} workers"
    target = result.resident_bytes.get("target")
    if target:
        yield "target memory", f"{target / 1e6:,.0f} MB"


def _last_line(verdict: Verdict) -> Text:
    failed = verdict.failed
    if not verdict.rows:
        return Text("There were no checks.", "bold")
    if not failed:
        return Text(f"Every check held ({len(verdict.rows)}).", "bold green")
    texts = ", ".join(f"{printable(row.check.text)} ({row.value_text})" for row in failed[:3])
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""  # noqa: PLR2004 - fit a line
    return Text(f"{len(failed)} of {len(verdict.rows)} checks FAILED: {texts}{more}", "bold red")


def _alarming(count: int) -> Text:
    return Text(f"{count:,}", "bold red" if count else "")


def _table(*titles: str, header: bool = True) -> Table:
    """A table without lines; a title with `>` at its end is of a column of numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=header, padding=(0, 2))
    table.padding = (0, 1, 0, 1)
    for title in titles:
        is_number = title.endswith(">")
        table.add_column(
            title.removesuffix(">"),
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
        )
    return table
