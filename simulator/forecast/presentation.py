"""A forecast as tables for the terminal.

Owns how demand, quotas and cost are laid out with rich; `simulator.cli` prints them. Every mark is
a word, so that nothing is lost without colours. Knows no arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from certs.terminal import printable
from simulator.forecast.wording import dollars, figure
from simulator.scenario.units import duration_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from simulator.forecast.figures import Demand
    from simulator.forecast.outlook import Outlook
    from simulator.forecast.prices import CostEstimate
    from simulator.forecast.quotas import QuotaFinding, QuotaReport

_NEAR: Final = 0.8
"""Share of a quota from which on a need is marked as close."""


def demand_table(demand: Demand) -> Table:
    """One line for each phase: what is asked for, at its highest."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("phase", no_wrap=True)
    for title in ("length", "cars", "CONNECT/s", "in/s", "out/s", "kB/s in", "kB/s out"):
        table.add_column(title, justify="right", no_wrap=True)
    for phase in demand.phases:
        length_s = phase.end_s - phase.start_s
        table.add_row(
            phase.name,
            duration_text(length_s) if length_s else "",
            figure(phase.cars_online),
            figure(phase.connects_per_s),
            figure(phase.publishes_in_per_s),
            figure(phase.publishes_out_per_s),
            figure(phase.bytes_in / length_s / 1000) if length_s else "",
            figure(phase.bytes_out / length_s / 1000) if length_s else "",
        )
    return table


def connection_table(demand: Demand) -> Table:
    """One line for each kind of client: what the busiest connection of it carries."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("busiest connection", no_wrap=True)
    for title in ("of", "sends/s", "gets/s", "KB/s", "filters"):
        table.add_column(title, justify="right", no_wrap=True)
    for item in demand.connections:
        table.add_row(
            Text(printable(item.label)),
            figure(item.count),
            figure(item.sends_per_s),
            figure(item.receives_per_s),
            figure(item.kilobytes_per_s),
            figure(item.filters),
        )
    return table


def quota_table(report: QuotaReport, *, everything: bool = False) -> Table:
    """One line for each quota.

    Args:
        report: The findings.
        everything: Also show quotas of which nothing at all is needed.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("quota", no_wrap=True)
    for title in ("needed", "limit", "share"):
        table.add_column(title, justify="right", no_wrap=True)
    for finding in report.findings:
        if finding.fits and not finding.needed and not everything:
            continue
        table.add_row(
            _mark(finding),
            finding.name,
            figure(finding.needed),
            figure(finding.limit) + _short(finding.unit),
            f"{finding.share:.0%}",
        )
    return table


def cost_table(cost: CostEstimate) -> Table:
    """The bill, with its sums."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("at AWS", "sum", no_wrap=True)
    table.add_column("in the run", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("per million", justify="right", no_wrap=True)
    table.add_column("run", dollars(cost.run_usd), justify="right", no_wrap=True)
    table.add_column("month", dollars(cost.month_usd), justify="right", no_wrap=True)
    for item in cost.items:
        table.add_row(
            item.name,
            figure(item.quantity),
            item.unit,
            f"${item.unit_price_usd * 1_000_000:.3g}",
            dollars(item.run_usd),
            dollars(item.month_usd),
        )
    return table


def advice(report: QuotaReport) -> list[Text]:
    """What breaks and what to do about it, two lines for each quota."""
    lines = []
    for finding in report.broken:
        lines.append(Text.assemble(("breaks  ", "bold red"), printable(finding.text)))
        if finding.remedy:
            lines.append(Text.assemble(("    do: ", "bold"), printable(finding.remedy)))
    return lines


def outlook_view(outlook: Outlook, *, everything: bool = False) -> Group:
    """The whole forecast.

    Args:
        outlook: The forecast.
        everything: Also show quotas of which nothing at all is needed.
    """
    report, cost = outlook.quotas, outlook.cost
    where = "" if outlook.is_aws else "If this target were AWS IoT Core: "
    verdict = Text(f"{where}{report.text}", style="bold green" if report.fits else "bold red")
    parts: list[RenderableType] = [
        demand_table(outlook.demand),
        Text(),
        connection_table(outlook.demand),
        Text(),
        quota_table(report, everything=everything),
        verdict,
        *advice(report),
        Text(),
        cost_table(cost),
        Text(f"{where}{cost.text}", style="bold"),
        *(Text(f"  {note}", style="dim") for note in (*outlook.demand.notes, *cost.notes)),
    ]
    return Group(*parts)


def outlook_brief(outlook: Outlook) -> Group:
    """What must be known before a run begins: broken quotas, and the sum of the cost."""
    report = outlook.quotas
    where = "" if outlook.is_aws else "If this target were AWS IoT Core: "
    style = "bold green" if report.fits else "bold red"
    return Group(
        Text(f"{where}{report.text}", style=style),
        *advice(report),
        Text(f"{where}{outlook.cost.text}", style="bold"),
    )


def _short(unit: str) -> str:
    """A unit behind its number; what is counted stands in the name of the quota."""
    if unit.endswith("/s"):
        return " KB/s" if unit == "KB/s" else "/s"
    return {"bytes": " B", "s": " s"}.get(unit, "")


def _mark(finding: QuotaFinding) -> Text:
    if not finding.fits:
        return Text("BREAKS", "bold red")
    is_close = finding.share >= _NEAR and finding.unit.endswith("/s")
    return Text("close", "yellow") if is_close else Text("fits", "green")
