"""`morai-sim core`: runs the AWS IoT Core stand-in and shows who is connected."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import os
import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import msgspec
import structlog
import typer
from rich.live import Live
from rich.text import Text

from certs.errors import ConfigurationError, StorageError
from certs.store import DEFAULT_ROOT, STORE_VARIABLE, Store
from certs.terminal import console, error_console, parse_duration_s
from simulator import event_loop
from simulator.cli.attendance import attend
from simulator.cli.core_figures import line, panel, refusals
from simulator.cli.status import DEFAULT_URL
from simulator.iotcore.assembly import (
    is_open_to_all,
    prepare_store,
    stand_in,
    trusts_strangers,
)
from simulator.iotcore.configuration import CoreConfiguration, example_text, overlaid, read
from simulator.iotcore.configuration.model import DEFAULT_PORT
from simulator.iotcore.process import prepare_for_many_connections
from simulator.iotcore.status.pages import PREFIX
from simulator.iotcore.throttling.account import Mode
from simulator.quotas.files import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from simulator.iotcore.status.document import Status

_PANEL_EVERY_S: Final = 0.5
_LINE_EVERY_S: Final = 5.0


class QuotaAnswer(StrEnum):
    """Answers to a QoS 1 publish above a rate."""

    SILENCE = "silence"
    PUBACK = "puback"


def core(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration (YAML). The other options beat it."),
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option(help="Write a commented configuration to this file, or - to show it; end."),
    ] = None,
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
    require_sni: Annotated[bool, typer.Option(help="Refuse TLS without a server name.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder in which everything survives a restart; else it is forgotten."),
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
    clock_ahead: Annotated[
        str, typer.Option(metavar="DURATION", help="Start with the clock ahead: 90m, 7d.")
    ] = "0",
    api: Annotated[bool, typer.Option(help="Serve the AWS API over HTTP on the same port.")] = True,
    status: Annotated[
        bool,
        typer.Option(help="Serve status and metrics under /_core/."),
    ] = True,
    allow_time_travel: Annotated[
        bool, typer.Option(help="POST /_core/clock moves the clock ahead.")
    ] = False,
    allow_drop: Annotated[
        bool, typer.Option(help="POST /_core/clients/ID/drop cuts a connection.")
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option("--for", parser=parse_duration_s, metavar="DURATION", help="30s, 500ms, 5m."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    r"""Stand in for AWS IoT Core: MQTT, its services and its API behind one TLS port.

    Every thing of the store is a registered, active certificate with the policies named; things
    issued later are registered within seconds. Without --policy everything is allowed to them. It
    ends with Ctrl-C or after --for.

    The default quotas of AWS are enforced: 100 publishes a second and connection, one CONNECT a
    second and client id, and so on (docs/iotcore-quotas.md). What it is doing is shown here, at
    https://127.0.0.1:8883/_core/ and by morai-sim status.

    Examples:

      morai-sim core --init

      morai-sim core --policy vehicle-policy.json --port 8883

      morai-sim core --write-config core.yaml

      morai-sim core --config core.yaml --data-dir core-data

      morai-sim core --registry registry.toml --host 0.0.0.0

      morai-sim core --quotas low --quota-mode observe

      morai-sim core --for 30s --json
    """
    if write_config is not None:
        _write_example(write_config)
        return
    options = {
        "store": store,
        "init": init,
        "policy": policy,
        "registry": registry,
        "host": host,
        "port": port,
        "region": region,
        "account": account,
        "trust": trust,
        "require_sni": require_sni,
        "data_dir": data_dir,
        "quotas": quotas,
        "quota_mode": quota_mode,
        "quota_answer": quota_answer,
        "clock_ahead": clock_ahead,
        "api.enabled": api,
        "status.enabled": status,
        "status.allow_time_travel": allow_time_travel,
        "status.allow_drop": allow_drop,
    }
    given = {key: value for key, value in options.items() if _is_given(context, key)}
    in_file = read(config) if config is not None else CoreConfiguration()
    configuration = overlaid(in_file, given)
    for made in prepare_store(configuration):
        error_console().print(made)
    if is_open_to_all(configuration):
        error_console().print("No --policy: registered certificates may do everything.")
    if trusts_strangers(configuration):
        error_console().print(
            f"Caution: {configuration.host} is open to other machines, and any AWS access key is "
            "accepted; name yours under api.access_keys (--config).",
            soft_wrap=True,
        )
    if not Store(configuration.store).things() and configuration.registry is None:
        error_console().print(
            f"No things in {configuration.store} yet; make one: morai-certs issue car-1",
            soft_wrap=True,
        )
    _log_to_standard_error(live=console().is_terminal and not as_json)
    prepare_for_many_connections()
    event_loop.run(_run(configuration, limit_s=duration, as_json=as_json))


def _is_given(context: typer.Context, key: str) -> bool:
    """Whether somebody gave an option, here or in the environment.

    Args:
        context: Of the call.
        key: Its key in the configuration.
    """
    name = key.removesuffix(".enabled").rpartition(".")[2]
    source = context.get_parameter_source(name)
    return source is not None and source.name in {"COMMANDLINE", "ENVIRONMENT", "PROMPT"}


def _write_example(path: Path) -> None:
    text = example_text()
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} exists", "name another file with --write-config, or move this one away"
        ) from error
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    error_console().print(f"Wrote {path}. Next: morai-sim core --config {path}", soft_wrap=True)


def _log_to_standard_error(*, live: bool) -> None:
    """Standard output is for results; beside a live panel only what went wrong is logged."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ,
                # The default shows local variables, and those are keys, tokens and passwords.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.WARNING if live else logging.INFO
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


async def _run(configuration: CoreConfiguration, *, limit_s: float | None, as_json: bool) -> None:
    out = console()
    live = out.is_terminal and not as_json
    now_s = asyncio.get_running_loop().time
    async with stand_in(configuration, importlib.metadata.version("morai-edge")) as running:

        def ask() -> Status:
            return running.observer.status(now_s())

        duties = [running.look_after(), _show(ask, out, running.page, live=live, as_json=as_json)]
        await attend(asyncio.Event(), duties, limit_s)
        final = ask()
    if as_json:
        typer.echo(msgspec.json.encode({**msgspec.to_builtins(final), "final": True}))
        return
    out.print(panel(final) if live else line(final), soft_wrap=True)
    for text in [] if live else refusals(final):
        out.print(Text(text), soft_wrap=True)


async def _show(
    ask: Callable[[], Status], out: Console, page: str, *, live: bool, as_json: bool
) -> NoReturn:
    if live:
        hint = f"Ctrl-C ends it.{f' In a browser: {page}' if page else ''}"
        with Live(panel(ask(), hint=hint), console=out, transient=True) as shown:
            while True:
                await asyncio.sleep(_PANEL_EVERY_S)
                shown.update(panel(ask(), hint=hint))
    if page and not as_json:
        url = page.removesuffix(PREFIX)
        option = "" if url == DEFAULT_URL else f" --url {url}"
        error_console().print(
            f"Status: morai-sim status{option}, or in a browser {page}", soft_wrap=True
        )
    while True:
        if as_json:
            typer.echo(msgspec.json.encode(ask()))
        else:
            out.print(line(ask()), soft_wrap=True)
        sys.stdout.flush()
        await asyncio.sleep(_LINE_EVERY_S)
