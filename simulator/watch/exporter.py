"""The Prometheus endpoint: the HTTP shell around `simulator.watch.exposition`.

The result is folded on the event loop, so it is also read there: a scrape renders the whole text
between two turns of the loop and can never see half of a record. That is why it does not use
prometheus-client's own server, which answers from threads of its own and would need a lock around
every record. What remains to be done is answering GET with a text, for which a bounded responder of
one request per connection is enough (RFC 9112). Texts are kept for half a second, so that impatient
readers cost the run nothing.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from prometheus_client import exposition as plain_text
from prometheus_client.openmetrics import exposition as openmetrics

from certs.errors import ConfigurationError, LinkError
from simulator.watch.exposition import registry_of

if TYPE_CHECKING:
    from types import TracebackType

    from simulator.report.result import Result

PATH: Final = "/metrics"
_MAX_HEAD_BYTES: Final = 8 * 1024
_MAX_CONNECTIONS: Final = 32
_TIMEOUT_S: Final = 5.0
_KEPT_S: Final = 0.5
_PLAIN: Final = "text/plain; charset=utf-8"
_WSAEACCES: Final = 10013
_WSAEADDRINUSE: Final = 10048


class Exporter:
    """Serves a result at `/metrics` while it grows. Use it as `async with Exporter(result)`.

    Speaks the Prometheus text format, or OpenMetrics to those who ask for it. Bounds: 32
    connections (more are closed at once), 8 KiB of request head, 5 s for each of reading a request
    and taking the answer.

    Args:
        result: The result, which must change on the event loop this runs on and nowhere else.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.

    Attributes:
        port: The port in use, once entered.
        scrapes: Answers given with metrics.

    Raises:
        LinkError: On entering: the port is taken, or the address is not of this machine.
        ConfigurationError: On entering: the port needs privileges.
    """

    def __init__(self, result: Result, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.scrapes = 0
        self._registry = registry_of(result)
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._kept: dict[str, tuple[float, bytes]] = {}

    @property
    def url(self) -> str:
        """Where to scrape."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{PATH}"

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._on_connection, self.host, self.port, limit=_MAX_HEAD_BYTES
            )
        except OSError as error:
            raise _bind_error(error, self.host, self.port) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None  # noqa: S101 - entered before it is left
        self._server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._answering) >= _MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._answer(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A reader that goes away or is too slow loses its answer and nothing else.
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_TIMEOUT_S):
                    try:
                        head = await reader.readuntil(b"\r\n\r\n")
                        answer = self._answer_to(head)
                    except asyncio.LimitOverrunError:
                        answer = _response("431 Request Header Fields Too Large", b"")
                writer.write(answer)
                async with asyncio.timeout(_TIMEOUT_S):
                    await writer.drain()
                    writer.write_eof()
                    # Closing with unread bytes resets the connection, and the answer with it, so
                    # the reader closes first (RFC 9112 section 9.6).
                    while await reader.read(_MAX_HEAD_BYTES):
                        pass
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()

    def _answer_to(self, head: bytes) -> bytes:
        request, *lines = head.decode("latin-1").split("\r\n")
        words = request.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
            return _response("400 Bad Request", b"this is HTTP/1.1\n")
        method, target, _ = words
        if method not in {"GET", "HEAD"}:
            return _response("405 Method Not Allowed", b"use GET\n", extra="Allow: GET, HEAD\r\n")
        path = target.partition("?")[0]
        if path == "/":
            answer = _response("200 OK", f"metrics are at {PATH}\n".encode())
        elif path != PATH:
            answer = _response("404 Not Found", f"metrics are at {PATH}\n".encode())
        else:
            content_type, body = self._text(_header(lines, "accept"))
            self.scrapes += 1
            answer = _response("200 OK", body, content_type)
        return answer[: answer.index(b"\r\n\r\n") + 4] if method == "HEAD" else answer

    def _text(self, accept: str) -> tuple[str, bytes]:
        # Prometheus lists what it takes in order of preference and names OpenMetrics when it does.
        is_open = "application/openmetrics-text" in accept
        module: Any = openmetrics if is_open else plain_text
        content_type = (
            openmetrics.CONTENT_TYPE_LATEST if is_open else plain_text.CONTENT_TYPE_PLAIN_0_0_4
        )
        now_s = asyncio.get_running_loop().time()
        rendered_s, body = self._kept.get(content_type, (now_s - _KEPT_S, b""))
        if now_s - rendered_s >= _KEPT_S:
            body = module.generate_latest(self._registry)
            self._kept[content_type] = (now_s, body)
        return content_type, body


def _header(lines: list[str], name: str) -> str:
    """All values of a header, as one list (RFC 9110 section 5.3)."""
    pairs = (line.partition(":") for line in lines)
    return ",".join(value.strip() for key, _, value in pairs if key.strip().lower() == name)


def _response(status: str, body: bytes, content_type: str = _PLAIN, *, extra: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\n{extra}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body


def _bind_error(error: OSError, host: str, port: int) -> LinkError | ConfigurationError:
    if error.errno in {errno.EADDRINUSE, _WSAEADDRINUSE}:
        seen = "netstat -ano" if sys.platform == "win32" else "ss -ltnp"
        return LinkError(
            f"port {port} on {host} for Prometheus is already in use",
            f"stop the program that uses it ({seen} shows it), or choose another port; 0 picks one",
        )
    if error.errno in {errno.EACCES, _WSAEACCES}:
        return ConfigurationError(
            f"port {port} for Prometheus needs administrator rights", "choose a port above 1023"
        )
    return LinkError(
        f"cannot listen on {host} port {port} for Prometheus: {error.strerror or error}",
        "name an address of this machine, such as 127.0.0.1",
    )
