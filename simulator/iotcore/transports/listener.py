"""Accepting connections and shaking hands with them, so that many at once do not starve anybody.

Accepts a few connections a turn of the event loop; the others wait in the kernel's queue, where
they cost nothing and their time-out does not run. They also wait there while too many handshakes
are under way; one that has had its time then makes room. Every one is counted once, by how it
ended. Knows nothing about what follows the handshake.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from certs.errors import ConfigurationError, LinkError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

log = structlog.get_logger(__name__)

HANDSHAKE_TIMEOUT_S: Final = 15.0
HANDSHAKES_MAX: Final = 4_096
"""Handshakes under way. Full: nobody is accepted until one ends, or the oldest may be cut."""

PATIENCE_S: Final = 12.0
"""What a handshake has at least when others wait for its place. Four thousand at once take about
ten seconds on a slow machine that has to do both sides of them."""

_BACKLOG: Final = 16_384
"""Connections in the kernel's queue, which Linux lowers to `net.core.somaxconn`."""

_ACCEPTS_A_TURN: Final = 16
_SHUTDOWN_TIMEOUT_S: Final = 3.0
_ACCEPT_PAUSE_S: Final = 1.0
_NO_SUCH_ADDRESS: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class Listener:
    """One port.

    Args:
        context: TLS.
        make_protocol: Called for each connection; its `connection_made` comes after the handshake.
        before_handshake: Called before each handshake.

    Attributes:
        handshaken: Handshakes that were completed.
        failed: Handshakes that were not.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        before_handshake: Callable[[], None],
    ) -> None:
        self._context = context
        self._make_protocol = make_protocol
        self._before_handshake = before_handshake
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._acceptors: list[asyncio.Task[None]] = []
        # When each began, in that order.
        self._handshakes: dict[asyncio.Task[None], float] = {}
        self._has_ended = asyncio.Event()
        self.handshaken = 0
        self.failed = 0

    @property
    def pending(self) -> int:
        """Handshakes under way."""
        return len(self._handshakes)

    async def start(self, host: str, port: int) -> int:
        """Accept connections.

        Args:
            host: Address or name to listen on; all addresses of a name are used.
            port: Port; 0 picks a free one.

        Returns:
            The port.

        Raises:
            LinkError: The port is taken or the address does not exist.
            ConfigurationError: The port needs privileges.
        """
        try:
            self._sockets = await self._bind(host, port)
        except OSError as error:
            raise _bind_error(error, host, port) from error
        self._acceptors = [self._loop.create_task(self._accept(each)) for each in self._sockets]
        return int(self._sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Refuse new connections. Those that are accepted stay."""
        acceptors, self._acceptors = self._acceptors, []
        for task in acceptors:
            task.cancel()
        await asyncio.gather(*acceptors, return_exceptions=True)
        for each in self._sockets:
            each.close()
        self._sockets = []

    async def give_up(self) -> None:
        """Cut the handshakes that are under way."""
        tasks = list(self._handshakes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bind(self, host: str, port: int) -> list[socket.socket]:
        found = await self._loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        sockets: list[socket.socket] = []
        missing: OSError | None = None
        for family, _, _, _, address in dict.fromkeys(found):
            where = (address[0], port, *address[2:])
            try:
                bound = socket.create_server(where, family=family, backlog=_BACKLOG)
            except OSError as error:
                if error.errno in _NO_SUCH_ADDRESS:
                    # A name may have an address of a kind this machine does not speak.
                    missing = error
                    continue
                for each in sockets:
                    each.close()
                raise
            bound.setblocking(False)
            sockets.append(bound)
            port = bound.getsockname()[1]
        if not sockets:
            raise missing or OSError(errno.EADDRNOTAVAIL, "no address")
        return sockets

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                for _ in range(_ACCEPTS_A_TURN):
                    connection, _ = await self._loop.sock_accept(listening)
                    await self._room(connection)
                    self._greet(connection)
            except ConnectionError:
                # Gone before it was accepted.
                continue
            except OSError as error:
                # Most likely the process has too many files open.
                log.warning("core.accept_failed", error=str(error))
                await asyncio.sleep(_ACCEPT_PAUSE_S)
            # Connections that wait are accepted without a turn of the loop in between.
            await asyncio.sleep(0)

    async def _room(self, newcomer: socket.socket) -> None:
        """Wait until one more handshake may begin; cut the oldest when it has had its time."""
        try:
            await self._place()
        except asyncio.CancelledError:
            newcomer.close()
            raise

    async def _place(self) -> None:
        while len(self._handshakes) >= HANDSHAKES_MAX:
            oldest, begun_s = next(iter(self._handshakes.items()))
            left_s = begun_s + PATIENCE_S - self._loop.time()
            if left_s <= 0:
                del self._handshakes[oldest]
                oldest.cancel()
                return
            self._has_ended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._has_ended.wait()

    def _greet(self, connection: socket.socket) -> None:
        try:
            self._before_handshake()
        except Exception:
            # A defect of ours must not be the last connection that is accepted.
            log.exception("core.defect")
        # asyncio does so only where it opened the listening socket itself.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._shake_hands(connection))
        self._handshakes[task] = self._loop.time()

        def done(task: asyncio.Task[None]) -> None:
            self._handshakes.pop(task, None)
            self._has_ended.set()
            if task.cancelled():
                self.failed += 1
                connection.close()

        task.add_done_callback(done)

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
            )
        except OSError as error:
            # TLS errors are OSErrors as well.
            self.failed += 1
            log.debug("core.handshake_failed", error=str(error))
        else:
            self.handshaken += 1


def _bind_error(error: OSError, host: str, port: int) -> LinkError | ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return LinkError(
            f"port {port} on {host} is already in use",
            "stop the program that uses it (ss -ltnp shows it), or choose another port",
        )
    if error.errno == errno.EACCES:
        return ConfigurationError(
            f"port {port} needs administrator rights", "choose a port above 1023"
        )
    return LinkError(
        f"cannot listen on {host} port {port}: {error}", "check the address and the port"
    )
