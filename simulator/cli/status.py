"""`morai-sim status`: asks a running IoT Core stand-in how it is."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import msgspec
import typer
from rich.live import Live

from certs.errors import (
    EXIT_CHECK_FAILED,
    EXIT_OK,
    ConfigurationError,
    LinkError,
    PeerError,
)
from certs.store import DEFAULT_ROOT, STORE_VARIABLE, Store
from certs.terminal import console, parse_duration_s, print_table, printable
from simulator.cli.core_figures import line, panel
from simulator.iotcore.configuration.model import DEFAULT_PORT
from simulator.iotcore.status.document import FORMAT, Status

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_URL: Final = f"https://127.0.0.1:{DEFAULT_PORT}"
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
_TIMEOUT_S: Final = 10.0
_EVERY_S: Final = 2.0
_PATH: Final = "/_core/status"


def status(
    url: Annotated[
        str, typer.Option(help="Where the stand-in listens.", metavar="https://HOST:PORT")
    ] = DEFAULT_URL,
    store: Annotated[
        Path, typer.Option(envvar=STORE_VARIABLE, help="Certificate store whose CA to trust.")
    ] = DEFAULT_ROOT,
    ca: Annotated[
        Path | None, typer.Option(help="CA (PEM) to trust instead of that of the store.")
    ] = None,
    thing: Annotated[
        str | None,
        typer.Option(help="Thing of the store to ask as, when it is another machine that asks."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Ask again and again until Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            parser=parse_duration_s,
            metavar="DURATION",
            help="With --watch: how often; 2s unless given.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    r"""Show connections, rates, the busiest clients and what was refused.

    Asks a stand-in that `morai-sim core` runs. It answers to this machine without a certificate;
    from another one ask as a thing that its configuration names under status.readers.

    Exit codes: 0 when it runs and no quota refused anything, 1 when one did or would have, 2 for a
    wrong option, 3 when there is no answer or it is not what a stand-in says.

    Examples:

      morai-sim status

      morai-sim status --watch

      morai-sim status --url https://bench-pc:8883 --thing operator

      morai-sim status --json | jq .per_s
    """
    host, port = _address(url)
    context = _context(Store(store), ca, thing)

    def ask() -> Status:
        return fetch(host, port, context)

    last = (
        _follow(ask, every or _EVERY_S, as_json=as_json) if watch else _once(ask, as_json=as_json)
    )
    raise typer.Exit(EXIT_CHECK_FAILED if last.quotas.refusals else EXIT_OK)


def fetch(host: str, port: int, context: ssl.SSLContext) -> Status:
    """Ask for the status.

    Args:
        host: Name or address.
        port: Port.
        context: Whom to trust, and who asks.

    Raises:
        LinkError: There is no answer.
        PeerError: The answer is a refusal or not a status.
    """
    where = f"https://{host}:{port}"
    connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)
    try:
        connection.request("GET", _PATH, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX + 1)
    except ssl.SSLCertVerificationError as error:
        raise PeerError(
            f"{where} has a certificate that cannot be trusted: {error.verify_message}",
            "name the store or the CA of that stand-in with --store or --ca",
        ) from error
    except ssl.SSLError as error:
        raise PeerError(
            f"{where} does not take part in TLS: {error.reason or error}",
            "name the address and port of a stand-in with --url",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise LinkError(
            f"{where} does not answer: {error}",
            "start it with 'morai-sim core', or name another with --url",
        ) from error
    finally:
        connection.close()
    return _read(where, answer.status, body)


def _read(where: str, code: int, body: bytes) -> Status:
    if code != http.HTTPStatus.OK:
        raise PeerError(f"{where} answers {code}: {_reason(body)}", _remedy(code))
    if len(body) > ANSWER_BYTES_MAX:
        raise PeerError(f"{where} answers more than {ANSWER_BYTES_MAX:,} bytes")
    try:
        found = msgspec.json.decode(body, type=Status)
    except (ValueError, msgspec.DecodeError) as error:
        raise PeerError(
            f"{where} answers something else than a status: {error}",
            "name a stand-in of this release with --url",
        ) from error
    if found.format != FORMAT:
        raise PeerError(
            f"{where} answers in the format {found.format[:60]!r}",
            "use the morai-sim of the same release",
        )
    return found


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])[:300]
    except (ValueError, TypeError, KeyError):
        return "no reason given"


def _remedy(code: int) -> str:
    if code == http.HTTPStatus.FORBIDDEN:
        return (
            "ask on the machine it runs on, or with --thing as one that its configuration names "
            "under status.readers"
        )
    return "check that a stand-in listens there and serves its status (no --no-status)"


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url if "//" in url else f"//{url}", "https")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme != "https" or not host or parts.path.strip("/") or parts.query:
        raise ConfigurationError(f"--url {url!r}", f"write it like {DEFAULT_URL}")
    return host, DEFAULT_PORT if port is None else port


def _context(store: Store, ca: Path | None, thing: str | None) -> ssl.SSLContext:
    trusted = ca or (store.ca_certificate_path if store.has_authority() else None)
    if trusted is None:
        raise ConfigurationError(
            f"there is no CA in {store.root}",
            "name the store of the stand-in with --store, or its CA with --ca",
        )
    try:
        context = ssl.create_default_context(cafile=trusted)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the CA {trusted} cannot be read: {error}", "name a PEM file with a certificate"
        ) from error
    if thing is not None:
        identity = store.identity(thing)
        try:
            context.load_cert_chain(identity.certificate_path, identity.key_path)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the certificate of {thing} in {store.root} cannot be used: {error}",
                "name a thing of the store; 'morai-certs list' shows them",
            ) from error
    return context


def _once(ask: Callable[[], Status], *, as_json: bool) -> Status:
    found = ask()
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        print_table(panel(found))
    return found


def _follow(ask: Callable[[], Status], every_s: float, *, as_json: bool) -> Status:
    out = console()
    last = ask()
    try:
        if out.is_terminal and not as_json:
            with Live(panel(last), console=out, auto_refresh=False, screen=True) as live:
                while True:
                    live.update(panel(last, hint="Ctrl-C ends it."), refresh=True)
                    time.sleep(every_s)
                    last = ask()
        while True:
            typer.echo(msgspec.json.encode(last) if as_json else printable(line(last)))
            time.sleep(every_s)
            last = ask()
    except KeyboardInterrupt:
        if out.is_terminal and not as_json:
            out.print(panel(last))
        return last
