"""`morai-agent sniff`: shows what the simulator really sends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.cli.decode import DirectionOption, inspection_table, refusal_document
from agent.links.udp import bind_udp
from agent.morai import DecodeError
from agent.morai.inspection import inspect
from agent.morai.survey import Survey
from certs.errors import EXIT_CHECK_FAILED
from certs.terminal import console, error_console, parse_duration_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from rich.console import Console

    from agent.morai import Direction

REFRESH_S = 0.25


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, port: int, on_datagram: Callable[[int, bytes, str], None]) -> None:
        self._port = port
        self._on_datagram = on_datagram

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(self._port, data, f"{addr[0]}:{addr[1]}")


async def listen(
    sockets: Sequence[socket],
    on_datagram: Callable[[int, bytes, str], None],
    stop: asyncio.Event,
    on_tick: Callable[[], None],
    for_s: float | None,
) -> None:
    """Hand every datagram on until the event is set or the time is over.

    Args:
        sockets: Bound UDP sockets; they are closed at the end.
        on_datagram: Called with port, bytes and sender.
        stop: Ends the listening.
        on_tick: Called every `REFRESH_S`.
        for_s: Longest time, or `None`.
    """
    loop = asyncio.get_running_loop()
    transports = []
    try:
        for sock in sockets:
            port = sock.getsockname()[1]
            transport, _ = await loop.create_datagram_endpoint(
                lambda port=port: _Receiver(port, on_datagram),  # type: ignore[misc] # default binds the loop variable
                sock=sock,
            )
            transports.append(transport)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                while not stop.is_set():
                    on_tick()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), REFRESH_S)
    finally:
        for transport in transports:
            transport.close()


def survey_table(survey: Survey, now_s: float) -> Table:
    """Ports and kinds as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("port", "message", "bytes", "count", "rate Hz", "idle s", "from", "notes"):
        words = heading in {"message", "from", "notes"}
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    for kind in survey.kinds():
        size = str(kind.largest)
        if kind.smallest != kind.largest:
            size = f"{kind.smallest}-{kind.largest}"
        rate = "" if kind.rate_hz is None else f"{kind.rate_hz:.1f}"
        table.add_row(
            str(kind.port),
            Text(kind.title, style="red" if kind.refused else ""),
            size,
            str(kind.count),
            rate,
            f"{max(0.0, now_s - kind.last_s):.1f}",
            ", ".join(kind.sources),
            ", ".join(f"{name} x{count}" for name, count in kind.warnings.items()),
        )
    return table


def _print_datagram(
    out: Console, port: int, data: bytes, source: str, direction: Direction | None
) -> None:
    heading = f"{source} -> port {port}"
    try:
        inspection = inspect(data, direction=direction)
    except DecodeError as error:
        out.print(Text(f"{heading}: {len(data)} bytes, {error}", style="red"), soft_wrap=True)
    else:
        out.print(Text(heading, style="bold"))
        out.print(inspection_table(inspection))


def _print_json(port: int, data: bytes, source: str, direction: Direction | None) -> None:
    try:
        document = inspect(data, direction=direction).document()
    except DecodeError as error:
        document = refusal_document(error, len(data))
    document |= {"port": port, "source": source, "received_s": time.time()}
    typer.echo(msgspec.json.encode(document))


def sniff(
    ports: Annotated[
        list[int],
        typer.Argument(
            metavar="PORT",
            min=0,
            max=65_535,
            help="The destination ports of the simulator's network settings; 0 takes a free one.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Local address to listen on.")] = "0.0.0.0",
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many datagrams.")
    ] = None,
    duration_s: Annotated[
        float | None,
        typer.Option("--for", parser=parse_duration_s, metavar="DURATION", help="10s, 500ms, 2m."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="A live table of kinds and rates instead.")
    ] = False,
    direction: Annotated[
        DirectionOption | None,
        typer.Option(help="Which way they travel, for the name that is used both ways."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line and datagram, or summary.")
    ] = False,
) -> None:
    r"""Listen on UDP ports and show every datagram.

    Ends at Ctrl-C, after --count datagrams or after --for. Exit code 1 when nothing arrived.

    Examples:

      morai-agent sniff 9092 7505 --summary

      morai-agent sniff 1911 --count 1

      morai-agent sniff 1911 --for 10s --json > ego.jsonl
    """
    way = direction.direction if direction else None
    out = console()
    survey = Survey(way)
    live: Live | None = None
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(contextlib.closing(bind_udp(host, port, "sniff"))) for port in ports
        ]
        bound = ", ".join(str(sock.getsockname()[1]) for sock in sockets)
        error_console().print(Text(f"listening on {host}, UDP {bound}"), soft_wrap=True)
        if summary and not as_json and out.is_terminal:
            live = stack.enter_context(Live(console=out, auto_refresh=False))
        show = None if summary else _printer(out, way, as_json=as_json)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(sockets, survey, show, live, count, duration_s))
    if summary and as_json:
        typer.echo(msgspec.json.encode([kind.document() for kind in survey.kinds()]))
    elif summary and live is None and survey.total:
        out.print(survey_table(survey, time.monotonic()))
    if not survey.total:
        error_console().print(
            f"nothing arrived on {bound}. Listen on the *destination* port of the simulator's "
            "network settings, and check that its destination address is this machine",
            soft_wrap=True,
        )
        raise typer.Exit(EXIT_CHECK_FAILED)


def _printer(
    out: Console, way: Direction | None, *, as_json: bool
) -> Callable[[int, bytes, str], None]:
    if as_json:
        return lambda port, data, source: _print_json(port, data, source, way)
    return lambda port, data, source: _print_datagram(out, port, data, source, way)


async def _run(
    sockets: Sequence[socket],
    survey: Survey,
    show: Callable[[int, bytes, str], None] | None,
    live: Live | None,
    count: int | None,
    for_s: float | None,
) -> None:
    stop = asyncio.Event()

    def on_datagram(port: int, data: bytes, source: str) -> None:
        if stop.is_set():
            return
        survey.observe(port, data, source, time.monotonic())
        if show is not None:
            show(port, data, source)
        if count is not None and survey.total >= count:
            stop.set()

    def on_tick() -> None:
        if live is not None:
            live.update(survey_table(survey, time.monotonic()), refresh=True)

    await listen(sockets, on_datagram, stop, on_tick, for_s)
    on_tick()
