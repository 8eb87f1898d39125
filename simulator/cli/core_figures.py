"""The status of an IoT Core stand-in on a terminal: as a panel and as one line.

Shared by `morai-sim core`, which is the stand-in, and `morai-sim status`, which asks one. Derives
nothing. Everything that came from the network is made harmless before it is shown. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from certs.terminal import printable
from simulator.cli.attendance import counts_text
from simulator.iotcore.broker.counters import QUOTA_PREFIX
from simulator.scenario.units import duration_text
from simulator.watch.cells import clock, count, rate, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from simulator.iotcore.status.document import Status

_REFUSALS_SHOWN: Final = 5
_MODES: Final = {"enforce": "enforced", "observe": "only counted"}


def panel(status: Status, *, hint: str = "") -> RenderableType:
    """Everything at a glance.

    Args:
        status: What to show.
        hint: A line under it.
    """
    about = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    about.add_column(style="bold", no_wrap=True)
    about.add_column()
    title = Text(printable(f"AWS IoT Core stand-in on {status.host} port {status.port}"), "bold")
    for name, value in _rows(status):
        about.add_row(name, Text(printable(value)))
    parts: list[RenderableType] = [title, about]
    if status.talkers:
        parts += [Text(""), _talkers(status)]
    shown = refusals(status)
    if shown:
        parts += [Text(""), *(Text(text, "red") for text in shown)]
    if hint:
        parts += [Text(""), Text(hint, "dim")]
    return Group(*parts)


def line(status: Status) -> str:
    """The moment in one line of plain text."""
    totals, per_s = status.totals, status.per_s
    return (
        f"port {status.port}: connections {status.connections:,},"
        f" in {totals['publishes_in']:,} ({rate(per_s['publishes_in'])}/s),"
        f" out {totals['publishes_out']:,} ({rate(per_s['publishes_out'])}/s),"
        f" refused and dropped: {counts_text(status.causes)}"
    )


def refusals(status: Status) -> list[str]:
    """A sentence for each broken quota, the most broken first, at most five and how many more."""
    found = status.quotas.refusals
    texts = [printable(refusal.text) for refusal in found[:_REFUSALS_SHOWN]]
    hidden = len(found) - len(texts)
    return [*texts, f"and {hidden} more quotas"] if hidden > 0 else texts


def _rows(status: Status) -> list[tuple[str, str]]:
    totals, per_s, quotas = status.totals, status.per_s, status.quotas
    registered = ", ".join(_counted(number, kind) for kind, number in status.registered.items())
    rows = [
        ("account", f"{status.account} in {status.region}; {registered}"),
        ("up", f"{clock(status.uptime_s)}; clock {_clock(status)}"),
        ("connections", f"{status.connections:,}, {_counted(status.sessions, 'sessions')}"),
        *(
            (label, f"{rate(per_s[name])}/s, {count(totals[name])} in all")
            for label, name in (
                ("messages in", "publishes_in"),
                ("messages out", "publishes_out"),
                ("connects", "connects"),
                ("refused by quotas", "refused"),
            )
        ),
        ("bytes in, out", f"{size(per_s['bytes_in'])}/s, {size(per_s['bytes_out'])}/s"),
        (
            "TLS, HTTP",
            (
                f"{_counted(status.tls_pending, 'handshakes')} under way,"
                f" {totals['tls_failed']:,} failed;"
                f" {_counted(totals['http_requests'], 'HTTP requests')}"
            ),
        ),
    ]
    causes = {
        name.replace("_", " "): number
        for name, number in status.causes.items()
        if not name.startswith(QUOTA_PREFIX)
    }
    rows.append(("other reasons", counts_text(causes)))
    mode = _MODES.get(quotas.mode)
    rows.append(("quotas", f"{quotas.table}, {mode}" if mode else quotas.table))
    rows.append(("services", _services(status)))
    if status.api is not None:
        rows.append(("AWS API", _api(status)))
    if status.persistence is not None:
        rows.append(("data", _data(status)))
    return rows


def _counted(number: int, plural: str) -> str:
    return f"{number:,} {plural if number != 1 else plural.removesuffix('s')}"


def _clock(status: Status) -> str:
    # A hostile document may hold any number; the calendar does not.
    try:
        now = datetime.fromtimestamp(status.clock.unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        now = str(status.clock.unix_s)
    ahead_s = status.clock.ahead_s
    return f"{now}, {duration_text(ahead_s)} ahead" if ahead_s else now


def _services(status: Status) -> str:
    texts = []
    for name, figures in status.services.items():
        requests = figures.get("requests")
        texts.append(f"{name} ({requests:,})" if isinstance(requests, int) and requests else name)
    return ", ".join(texts) or "none"


def _api(status: Status) -> str:
    address = f"[{status.host}]" if ":" in status.host else status.host
    if status.host in {"0.0.0.0", "::", ""}:
        address = "localhost"
    figures = status.api or {}
    asked, errors = figures.get("requests", 0), figures.get("errors")
    refused = sum(errors.values()) if isinstance(errors, dict) else 0
    return (
        f'boto3: endpoint_url="https://{address}:{status.port}"; {_counted(asked, "requests")},'
        f" {refused:,} refused"
    )


def _data(status: Status) -> str:
    figures = status.persistence or {}
    failed = figures.get("failed_saves")
    saves = figures.get("saves")
    saved = _counted(saves, "saves") if isinstance(saves, int) else f"{saves} saves"
    text = f"kept in {figures.get('directory')}, {saved}"
    return f"{text}, {failed} FAILED" if failed else text


def _talkers(status: Status) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("busiest clients")
    table.add_column("from")
    for name in ("in /s", "out /s", "filters", "waiting"):
        table.add_column(name, justify="right")
    for talker in status.talkers:
        table.add_row(
            # Client ids come from the network and may hold terminal control characters.
            Text(printable(talker.client_id)),
            Text(printable(talker.address)),
            rate(talker.in_per_s),
            rate(talker.out_per_s),
            count(talker.subscriptions),
            count(talker.queued),
        )
    return table
