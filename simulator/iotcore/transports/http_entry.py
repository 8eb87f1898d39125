"""HTTP on the port: reading requests within bounds, and giving each to who serves its path.

aiohttp parses. Owns the bounds: sizes of lines, headers and bodies, how long they may take to
arrive and how long a connection may be idle, and how many connections there are. `/mqtt` with an
upgrade is a WebSocket, a POST to `/topics/` without an AWS signature is a publish by certificate or
custom authorizer; all other paths belong to handlers that register a prefix. Knows nothing about
what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from aiohttp import web

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.transports.links import cut_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader
    from aiohttp.web_protocol import RequestHandler

    from simulator.iotcore.broker.counters import Counters

    Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)

LINE_BYTES_MAX: Final = 16 * 1024
"""Longest request line or header: a presigned URL carries a session token of several kilobytes."""
HEADERS_MAX: Final = 48
BODY_BYTES_MAX: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 20.0
IDLE_TIMEOUT_S: Final = 30.0
"""For the headers of a request to arrive as well."""
CONNECTIONS_MAX: Final = 4_096
"""WebSockets not counted. Beyond, a connection is closed before its first request is read."""

_EXPECTED: Final = "100-continue"
_LINGERING_S: Final = 1.0


class HttpEntry:
    """Serves HTTP on connections that are handed to it.

    Args:
        websocket: Serves `/mqtt`.
        publish: Serves `/topics/`, when it says so.
        is_publish: Whether `publish` serves a POST there.
        pages: Path prefix to handler; the longest that fits serves, `/` serves the rest.
        counters: What was refused.
    """

    def __init__(
        self,
        websocket: Handler,
        publish: Handler,
        is_publish: Callable[[web.BaseRequest], bool],
        pages: Mapping[str, Handler],
        counters: Counters,
    ) -> None:
        self._websocket = websocket
        self._publish = publish
        self._is_publish = is_publish
        self._pages = dict(pages)
        self._counters = counters
        self._upgraded = 0
        self._running: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._server = _Server(
            self._handle,
            request_factory=self._request,
            access_log=None,
            logger=_complaints_to(counters),
            keepalive_timeout=IDLE_TIMEOUT_S,
            lingering_time=_LINGERING_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            tcp_keepalive=False,
        )

    def serve(self, prefix: str, handler: Handler) -> None:
        """Give the paths that begin with `prefix` to a handler."""
        self._pages[prefix] = handler

    @property
    def connections(self) -> int:
        """Open HTTP connections, WebSockets included."""
        return len(self._server.transports)

    @property
    def requests(self) -> int:
        """Requests so far."""
        return self._server.requests_count

    def take(self, transport: asyncio.Transport, data: bytes) -> None:
        """Serve a connection from now on.

        Args:
            transport: Its transport.
            data: What it has sent already.
        """
        if self.connections - self._upgraded >= CONNECTIONS_MAX:
            self._counters.count(Cause.HTTP_FULL)
            transport.abort()
            return
        protocol = self._server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)

    async def close(self, patience_s: float) -> None:
        """Let requests that run come to an end, then cut all connections."""
        self._server.pre_shutdown()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=patience_s)
            for task in late:
                task.cancel()
        await cut_all(self._server.transports)
        await self._server.shutdown(patience_s)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            self._loop,
            client_max_size=BODY_BYTES_MAX,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = path_of(request)
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            if path == "/mqtt" and request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._upgrade(request)
            return await self._handler(path, request)(request)
        except ConnectionError:
            # Nobody is there to read it.
            return refusal(400, "Bad Request")
        except web.HTTPException as problem:
            self._counters.count(Cause.HTTP_INVALID)
            answer = refusal(problem.status, problem.reason)
            answer.force_close()
            return answer
        except Exception:
            log.exception("core.defect", path=path)
            self._counters.count(Cause.DEFECT)
            return refusal(500, "Internal Server Error")

    async def _upgrade(self, request: web.BaseRequest) -> web.StreamResponse:
        self._upgraded += 1
        try:
            return await self._websocket(request)
        finally:
            self._upgraded -= 1

    def _handler(self, path: str, request: web.BaseRequest) -> Handler:
        if request.method == "POST" and path.startswith("/topics/") and self._is_publish(request):
            return self._publish
        found = [prefix for prefix in self._pages if path.startswith(prefix)]
        return self._pages[max(found, key=len)] if found else _nobody


class _Cut:
    """How to abort a transport that may have been closed, even twice, as aiohttp does.

    A TLS transport of asyncio ignores `abort` then, and waits for its peer; one of uvloop does not,
    but has no socket to shut down.
    """

    __slots__ = ("_socket", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket")

    def abort(self) -> None:
        self._transport.abort()
        with contextlib.suppress(OSError, TypeError):
            self._socket.shutdown(socket.SHUT_RDWR)


class _Server(web.Server):
    """aiohttp's server, which does not know its transports once it has closed them.

    To close is to wait for the peer's end of TLS, which may not come.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.transports: dict[RequestHandler, _Cut] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        self.transports[handler] = _Cut(transport)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self.transports.pop(handler, None)
        super().connection_lost(handler, exc)


async def read_body(request: web.BaseRequest) -> bytes:
    """The whole body, at most `BODY_BYTES_MAX`.

    Raises:
        HTTPRequestEntityTooLarge: It is longer.
        HTTPBadRequest: It is not what its headers say.
        HTTPRequestTimeout: It takes longer than `BODY_TIMEOUT_S` to arrive.
    """
    if request.headers.get("Expect", "").lower() == _EXPECTED:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # aiohttp refuses to begin an answer after something was written.
        request.writer.output_size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest from error


def path_of(request: web.BaseRequest) -> str:
    """The path as it was sent, percent-encoded."""
    return request.raw_path.partition("?")[0]


def query_of(request: web.BaseRequest) -> str:
    """The query as it was sent, percent-encoded, without the question mark."""
    return request.raw_path.partition("?")[2]


def refusal(status: int, message: str, code: str | None = None) -> web.Response:
    """An error as the service's device gateway words it.

    Args:
        status: HTTP status.
        message: For people.
        code: Name of the error for clients generated from AWS's models.
    """
    return gateway_answer({"message": message}, status, code)


def gateway_answer(
    document: dict[str, Any], status: int = 200, code: str | None = None
) -> web.Response:
    """A JSON answer with a trace id."""
    body = msgspec.json.encode({**document, "traceId": str(uuid.uuid4())})
    headers = {"x-amzn-errortype": code} if code is not None else None
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def _nobody(_request: web.BaseRequest) -> web.StreamResponse:
    return refusal(404, "Not Found")


def _complaints_to(counters: Counters) -> logging.Logger:
    """A logger for aiohttp that counts.

    aiohttp tells only its logger of a request that it could not read, at a length that a hostile
    client chooses.
    """

    class _Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - only counted
            counters.count(Cause.HTTP_INVALID)

    # Not one of the process: this one belongs to its server.
    logger = logging.Logger("simulator.iotcore.http")  # noqa: LOG001 - see above
    logger.addHandler(_Counting())
    return logger
