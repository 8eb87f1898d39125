"""`morai-sim core`: runs the AWS IoT Core stand-in and shows who is connected."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import structlog
import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from certs.errors import ConfigurationError
from certs.store import DEFAULT_ROOT, STORE_VARIABLE, Store
from certs.terminal import console, error_console, parse_duration_s, printable
from simulator.cli.attendance import attend, counts_text
from simulator.iotcore.authorization import Account
from simulator.iotcore.joints import Effect
from simulator.iotcore.process import prepare_for_many_connections
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import (
    DEVELOPMENT_POLICY,
    StoreRegistration,
    account_of,
    read_policies,
    read_registry,
)
from simulator.iotcore.server import DEFAULT_PORT, CoreServer
from simulator.iotcore.throttling.account import Mode
from simulator.iotcore.throttling.choosing import OFF, Choice, choose
from simulator.iotcore.tls import ServerTls
from simulator.quotas.files import DEFAULT
from simulator.quotas.wording import refusals_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rich.console import Console

    from simulator.iotcore.policy import Policy

_PANEL_EVERY_S = 0.5
_LINE_EVERY_S = 5.0
_REFRESH_EVERY_S = 2.0
_CLIENTS_SHOWN = 10
_QUOTAS_SHOWN = 5
_RATES = ("publishes_in", "publishes_out")
_PLAIN_TOTALS = (
    "connections",
    "connects",
    "disconnects",
    "subscribes",
    "publishes_in",
    "publishes_out",
    "messages_queued",
    "bytes_in",
    "bytes_out",
    "tls_pending",
)


class QuotaAnswer(StrEnum):
    """Answers to a QoS 1 publish above a rate."""

    SILENCE = "silence"
    PUBACK = "puback"

    @property
    def effect(self) -> Effect:
        """What the broker calls it."""
        return Effect.DISCARD if self is QuotaAnswer.SILENCE else Effect.REFUSE


def core(
    store: Annotated[
        Path, typer.Option(envvar=STORE_VARIABLE, help="Certificate store; see morai-certs.")
    ] = DEFAULT_ROOT,
    init: Annotated[
        bool, typer.Option("--init", help="Make the CA and the server certificate if missing.")
    ] = False,
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="IoT policy (JSON file, or folder of them) for every thing. Repeatable."),
    ] = None,
    registry: Annotated[
        Path | None, typer.Option(help="Registry file (TOML): certificates, things, policies.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = DEFAULT_PORT,
    region: Annotated[
        str | None, typer.Option(help="Region in ARNs; by default that of the policies.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Account in ARNs; by default that of the policies.")
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(help="Another CA (PEM) whose client certificates may connect. Repeatable."),
    ] = None,
    quotas: Annotated[
        str,
        typer.Option(
            metavar="default|low|off|FILE",
            help="Quotas of most Regions, those of the smaller ones, none on rates, or a TOML file"
            " of limits that differ.",
        ),
    ] = DEFAULT,
    quota_mode: Annotated[
        Mode, typer.Option(help="Refuse what breaks a quota, or only count it.")
    ] = Mode.ENFORCE,
    quota_answer: Annotated[
        QuotaAnswer,
        typer.Option(help="To a QoS 1 publish above a rate: no PUBACK, or PUBACK 0x97."),
    ] = QuotaAnswer.SILENCE,
    duration: Annotated[
        float | None,
        typer.Option("--for", parser=parse_duration_s, metavar="DURATION", help="30s, 500ms, 5m."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    r"""Stand in for AWS IoT Core: MQTT 5 over mutual TLS with IoT policies.

    Every thing of the store is a registered, active certificate with the policies named; things
    issued later are registered within seconds. Without --policy everything is allowed to them. It
    ends with Ctrl-C or after --for.

    The default quotas of AWS are enforced: 100 publishes a second and connection, one CONNECT a
    second and client id, and so on (docs/iotcore-quotas.md).

    Examples:

      morai-sim core --init

      morai-sim core --policy vehicle-policy.json --port 8883

      morai-sim core --registry registry.toml --host 0.0.0.0

      morai-sim core --quotas low --quota-mode observe

      morai-sim core --for 30s --json
    """
    files = Store(store)
    _prepare_store(files, make_missing=init)
    registered = Registry()
    policies = read_policies(policy or [])
    named = read_registry(registry, registered) if registry is not None else None
    if not policies and registry is None:
        error_console().print("No --policy: registered certificates may do everything.")
    attached = policies or ([DEVELOPMENT_POLICY] if registry is None else [])
    registration = StoreRegistration(registered, files, attached) if attached else None
    if registration is not None:
        registration.refresh()
    identity = files.server_identity()
    trusted = [*([files.ca_certificate_path] if files.has_authority() else []), *(trust or [])]
    owner = _account(region, account, named, policies)
    choice = choose(quotas, owner.region, quota_mode, quota_answer.effect)
    server = CoreServer(
        registered,
        ServerTls(identity.certificate_path, identity.key_path, trusted),
        host,
        port,
        account=owner,
        limits=choice.limits,
        quotas=choice.quotas,
    )
    _log_to_standard_error(live=console().is_terminal and not as_json)
    prepare_for_many_connections()
    _run_loop(lambda: _run(server, choice, registration, limit_s=duration, as_json=as_json))


def _log_to_standard_error(*, live: bool) -> None:
    """Standard output is for results; beside a live panel only what went wrong is logged."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.WARNING if live else logging.INFO
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def _run_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - exists on Unix only
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


async def _run(
    server: CoreServer,
    choice: Choice,
    registration: StoreRegistration | None,
    *,
    limit_s: float | None,
    as_json: bool,
) -> None:
    stop = asyncio.Event()
    out = console()
    live = out.is_terminal and not as_json
    async with server:
        watch = _Watch(server, choice)
        duties = [_show(watch, out, live=live, as_json=as_json)]
        if registration is not None:
            duties.append(_keep_registered(registration))
        await attend(stop, duties, limit_s)
        final = watch.report()
    if as_json:
        typer.echo(json.dumps({**final, "final": True}))
    else:
        out.print(_panel(final) if live else _line(final), soft_wrap=True)
        for text in [] if live else _refusals(final):
            out.print(Text(text), soft_wrap=True)


async def _keep_registered(registration: StoreRegistration) -> NoReturn:
    """Register things that are issued while the server runs."""
    while True:
        await asyncio.sleep(_REFRESH_EVERY_S)
        # A certificate that is being written, or damaged, must not end the server.
        with contextlib.suppress(ConfigurationError):
            registration.refresh()


async def _show(watch: _Watch, out: Console, *, live: bool, as_json: bool) -> NoReturn:
    if live:
        with Live(_panel(watch.report()), console=out, transient=True) as panel:
            while True:
                await asyncio.sleep(_PANEL_EVERY_S)
                panel.update(_panel(watch.report()))
    while True:
        report = watch.report()
        if as_json:
            typer.echo(json.dumps(report))
        else:
            out.print(_line(report), soft_wrap=True)
        sys.stdout.flush()
        await asyncio.sleep(_LINE_EVERY_S)


class _Watch:
    """What the server is doing, with rates since the last look."""

    def __init__(self, server: CoreServer, choice: Choice) -> None:
        self._server = server
        self._choice = choice
        self._seen_s = asyncio.get_running_loop().time()
        self._seen = server.counters()

    def report(self) -> dict[str, Any]:
        """Totals, rates, clients and causes of refusals."""
        now_s = asyncio.get_running_loop().time()
        totals = self._server.counters()
        elapsed_s = max(now_s - self._seen_s, 1e-3)
        rates = {name: (totals[name] - self._seen[name]) / elapsed_s for name in _RATES}
        self._seen, self._seen_s = totals, now_s
        clients = self._server.clients()
        return {
            "host": self._server.host,
            "port": self._server.port,
            "registered": len(self._server.registry.certificate_ids),
            **{name: totals[name] for name in _PLAIN_TOTALS},
            **{f"{name}_per_s": round(rate, 1) for name, rate in rates.items()},
            "sessions": len(clients),
            "causes": {name: n for name, n in totals.items() if name not in _PLAIN_TOTALS},
            "quotas": self._quotas(),
            "clients": [
                {
                    "client_id": client.client_id,
                    "connected": client.is_connected,
                    "address": client.source_ip,
                    "subscriptions": client.subscriptions,
                    "queued": client.queued,
                }
                for client in clients[:_CLIENTS_SHOWN]
            ],
        }

    def _quotas(self) -> dict[str, Any]:
        """Which quotas are in force, and what they refused or would have refused."""
        table, quotas = self._choice.table, self._choice.quotas
        refused = self._server.quota_report()
        if table is None or quotas is None:
            return {"table": OFF, "refused": refused}
        for quota_id, entry in refused.items():
            entry["text"] = refusals_text(table.quotas[quota_id], entry["refused"])
        return {
            "table": table.name,
            "date": table.date,
            "mode": quotas.mode.value,
            "refused": refused,
        }


def _panel(report: dict[str, Any]) -> Table:
    table = Table(
        title=f"AWS IoT Core stand-in on {report['host']} port {report['port']}",
        show_header=False,
        title_justify="left",
    )
    table.add_column(style="bold")
    table.add_column()
    table.add_row(
        "connections",
        f"{report['connections']}   sessions {report['sessions']}"
        f"   registered {report['registered']}",
    )
    for name in _RATES:
        label = name.replace("_", " ")
        table.add_row(label, f"{report[name]:,}   {report[f'{name}_per_s']:,.0f}/s")
    table.add_row("refused, dropped", counts_text(report["causes"]))
    quotas = report["quotas"]
    table.add_row("quotas", Text(printable(f"{quotas['table']} {quotas.get('mode', '')}".strip())))
    for text in _refusals(report):
        table.add_row("", Text(text))
    for client in report["clients"]:
        # Client ids come from the network and may hold terminal control characters.
        state = client["address"] if client["connected"] else "offline"
        detail = f"{state}   subscriptions {client['subscriptions']}   queued {client['queued']}"
        table.add_row(Text(printable(client["client_id"])), Text(detail))
    hidden = report["sessions"] - len(report["clients"])
    if hidden > 0:
        table.add_row("", f"and {hidden:,} more")
    return table


def _refusals(report: dict[str, Any]) -> list[str]:
    """A line for each broken quota, the most broken first, with the client refused most often."""
    entries = sorted(report["quotas"]["refused"].values(), key=lambda entry: -entry["refused"])
    return [
        f"{entry['text']}, most often to {printable(entry['clients'][0]['client_id'])!r}"
        for entry in entries[:_QUOTAS_SHOWN]
        if "text" in entry
    ]


def _line(report: dict[str, Any]) -> str:
    return (
        f"port {report['port']}: connections {report['connections']},"
        f" in {report['publishes_in']} ({report['publishes_in_per_s']:.0f}/s),"
        f" out {report['publishes_out']} ({report['publishes_out_per_s']:.0f}/s),"
        f" refused and dropped: {counts_text(report['causes'])}"
    )


def _prepare_store(store: Store, *, make_missing: bool) -> None:
    if not store.has_authority() and not store.has_server() and not make_missing:
        raise ConfigurationError(
            f"there is no certificate store in {store.root}",
            "add --init to make one, or name another with --store",
        )
    if make_missing and not store.has_authority():
        store.init_authority()
        error_console().print(f"Made a CA in {store.root}")
    if make_missing and not store.has_server():
        store.issue_server()
        error_console().print(f"Made a server certificate in {store.root}")


def _account(
    region: str | None, account: str | None, named: Account | None, policies: list[Policy]
) -> Account:
    """The account of the ARNs: as asked for, as the registry file says, as the policies say."""
    found = named or account_of(policies) or Account()
    return Account(region or found.region, account or found.account_id)
