"""One TCP or TLS connection on the event loop: bytes out, bytes in, and why it ended.

A socket that the loop watches, without a transport in between: a fleet writes one small packet to
each of thousands of connections, and what a packet costs beyond the system call is what a transport
would add. Writes that the socket does not take wait in a bounded backlog. Reading can be paused,
and both directions can be silenced, which is how faults on the network are played.

Knows nothing about MQTT, time or retries.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from OpenSSL import SSL

from simulator.load.connection.tls_client import TlsFailure, cause_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from simulator.load.connection.tls_client import ClientContext
    from simulator.load.target.identities import KeyPair

BACKLOG_BYTES_MAX: Final = 256 * 1024
"""Bytes that wait for the socket; above it `write` refuses."""

_READ_BYTES: Final = 16 * 1024
_READS_PER_TURN: Final = 16
_ERRNO_NAMES: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timed out",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.EADDRNOTAVAIL: "no local port left",
    errno.EMFILE: "too many open files",
}
CLOSED_BY_PEER: Final = "TCP: closed by the peer"


class LinkOwner(Protocol):
    """What a link reports to."""

    def linked(self) -> None:
        """The connection stands, TLS included."""

    def received(self, data: bytes, /) -> None:
        """Bytes arrived."""

    def unlinked(self, cause: str, /) -> None:
        """The connection ended, or never stood. Reported exactly once, not after `close`."""


class Link:
    """One connection. It is used once.

    Args:
        loop: The event loop; one that watches sockets.
        owner: What it reports to.
        tls: What TLS connections share, or None for plain TCP.
        identity: Client certificate, for TLS.

    Attributes:
        is_open: Whether bytes can be written.
        backlog: Bytes that wait for the socket; None when none do.
    """

    __slots__ = (
        "_fd",
        "_identity",
        "_is_muted",
        "_is_over",
        "_is_paused",
        "_is_reading",
        "_is_watched_for_writing",
        "_loop",
        "_owner",
        "_recv",
        "_send",
        "_sock",
        "_tls",
        "_tls_connection",
        "backlog",
        "is_open",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        owner: LinkOwner,
        tls: ClientContext | None = None,
        identity: KeyPair | None = None,
    ) -> None:
        self._loop = loop
        self._owner = owner
        self._tls = tls
        self._identity = identity
        self._tls_connection: SSL.Connection | None = None
        self._sock: socket.socket | None = None
        self._fd = -1
        self._recv: Callable[[int], bytes] = _closed
        self._send: Callable[[bytes], int] = _closed
        self._is_reading = False
        self._is_paused = False
        self._is_muted = False
        self._is_watched_for_writing = False
        self._is_over = False
        self.is_open = False
        self.backlog: bytearray | None = None

    # Connecting

    def connect(self, family: int, sockaddr: tuple[str, int]) -> None:
        """Begin to connect; `linked` or `unlinked` follows.

        Args:
            family: Address family of the socket module.
            sockaddr: Numeric address and port: names would block.
        """
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            self._loop.call_soon(self._fail, _cause(error))
            return
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(sockaddr)
        if code not in {0, errno.EINPROGRESS, errno.EWOULDBLOCK}:
            self._loop.call_soon(self._fail, _cause(OSError(code, "")))
            return
        self._watch_for_writing(self._on_connected)

    def _on_connected(self) -> None:
        sock = self._sock
        if sock is None:
            return
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(_cause(OSError(code, "")))
            return
        self._unwatch_for_writing()
        if self._tls is None:
            self._recv, self._send = sock.recv, sock.send
            self._established()
            return
        try:
            connection = self._tls_connection = self._tls.connection(sock, self._identity)
        except TlsFailure as failure:
            self._fail(str(failure))
            return
        self._identity = None
        self._recv, self._send = connection.recv, connection.send
        self._loop.add_reader(self._fd, self._shake_hands)
        self._is_reading = True
        self._shake_hands()

    def _shake_hands(self) -> None:
        connection, tls = self._tls_connection, self._tls
        if connection is None or tls is None:
            return
        try:
            connection.do_handshake()
            tls.check_server(connection)
        except SSL.WantReadError:
            self._unwatch_for_writing()
        except SSL.WantWriteError:
            self._watch_for_writing(self._shake_hands)
        except SSL.SysCallError as error:
            code = error.args[0] if error.args else -1
            text = "TLS: closed by the peer during the handshake"
            self._fail(text if code <= 0 else _cause(OSError(code, "")))
        except SSL.Error as error:
            self._fail(cause_of(error))
        except TlsFailure as failure:
            self._fail(str(failure))
        else:
            self._unwatch_for_writing()
            self._established()

    def _established(self) -> None:
        self.is_open = True
        self._is_reading = True
        self._loop.add_reader(self._fd, self._on_readable)
        self._owner.linked()
        # TLS may hold bytes already that the socket will not announce again.
        if self.is_open and self._tls_connection is not None and self._is_reading:
            self._on_readable()

    # Writing

    def write(self, data: bytes) -> bool:
        """Write, or keep for later what the socket does not take.

        Returns:
            False when the link is closed or `BACKLOG_BYTES_MAX` is exceeded; then nothing is kept.
        """
        if self.backlog is not None:
            if len(self.backlog) + len(data) > BACKLOG_BYTES_MAX:
                return False
            self.backlog += data
            return True
        if not self.is_open or len(data) > BACKLOG_BYTES_MAX:
            return False
        try:
            sent = self._send(data)
        except (BlockingIOError, SSL.WantWriteError, SSL.WantReadError):
            sent = 0
        except (OSError, SSL.Error) as error:
            # The owner hears of it in a turn of its own, not inside its own call.
            self.is_open = False
            self._loop.call_soon(self._end_writing, _cause(error))
            return False
        if sent < len(data):
            self.backlog = bytearray(data[sent:])
            self._watch_for_writing(self._on_writable)
        return True

    def _on_writable(self) -> None:
        try:
            is_empty = self._flush()
        except (OSError, SSL.Error) as error:
            self._end_writing(_cause(error))
            return
        if is_empty:
            self._unwatch_for_writing()

    def _flush(self) -> bool:
        """Write of the backlog what the socket takes; whether all of it is written."""
        backlog = self.backlog
        while backlog:
            try:
                sent = self._send(bytes(backlog[:_READ_BYTES]))
            except (BlockingIOError, SSL.WantWriteError, SSL.WantReadError):
                return False
            del backlog[:sent]
        self.backlog = None
        return True

    def _end_writing(self, cause: str) -> None:
        """End, but first hear what the peer said before it closed: it may be why."""
        self.is_open = False
        for _ in range(_READS_PER_TURN):
            if self._is_over:
                return
            try:
                data = self._recv(_READ_BYTES)
            except (OSError, SSL.Error):
                break
            if not data:
                break
            self._owner.received(data)
        self._fail(cause)

    # Reading

    def pause_reading(self) -> None:
        """Take no more bytes from the socket, so that the peer's writes back up."""
        if self.is_open:
            self._is_paused = True
            self._read_or_not()

    def resume_reading(self) -> None:
        """Read again, unless the link is muted."""
        if self.is_open:
            self._is_paused = False
            self._read_or_not()

    def mute(self) -> None:
        """Play a dead network: nothing is read, and what is written waits in the backlog."""
        if self.is_open:
            self._is_muted = True
            self._read_or_not()
            if self.backlog is None:
                self.backlog = bytearray()
            self._unwatch_for_writing()

    def unmute(self) -> None:
        """The network is back; reading goes on unless it is paused."""
        if self._is_muted and self.is_open:
            self._is_muted = False
            self._watch_for_writing(self._on_writable)
            self._read_or_not()

    def _read_or_not(self) -> None:
        wanted = not self._is_paused and not self._is_muted
        if wanted == self._is_reading:
            return
        self._is_reading = wanted
        if not wanted:
            self._loop.remove_reader(self._fd)
            return
        self._loop.add_reader(self._fd, self._on_readable)
        if self._tls_connection is not None:
            # It may hold bytes already that the socket will not announce again.
            self._loop.call_soon(self._on_readable_again)

    def _on_readable(self) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                data = self._recv(_READ_BYTES)
            except (BlockingIOError, SSL.WantReadError, SSL.WantWriteError):
                return
            except SSL.ZeroReturnError:
                self._fail(CLOSED_BY_PEER)
                return
            except (OSError, SSL.Error) as error:
                self._fail(_cause(error))
                return
            if not data:
                self._fail(CLOSED_BY_PEER)
                return
            self._owner.received(data)
            # One record is the rule. When there are no more decrypted bytes, the loop calls again
            # if the socket has more; asking now would cost an exception each time.
            if not self._is_reading or not self._has_decrypted():
                return
        self._loop.call_soon(self._on_readable_again)

    def _on_readable_again(self) -> None:
        if self.is_open and self._is_reading:
            self._on_readable()

    def _has_decrypted(self) -> bool:
        connection = self._tls_connection
        return connection is not None and connection.pending() > 0

    # Ending

    def close(self) -> None:
        """Close, after as much of what has been written as the socket takes. Reports nothing."""
        if self.is_open:
            # A peer that is gone already is no news to whoever closes.
            with contextlib.suppress(OSError, SSL.Error):
                if self._flush() and self._tls_connection is not None:
                    self._tls_connection.shutdown()
        self._drop()

    def abort(self) -> None:
        """Close without a word: no TLS close alert. Reports nothing."""
        self._drop()

    def _fail(self, cause: str) -> None:
        if not self._is_over:
            self._drop()
            self._owner.unlinked(cause)

    def _drop(self) -> None:
        sock = self._sock
        self._is_over = True
        self.is_open = False
        self._is_reading = False
        self._is_muted = False
        self.backlog = None
        if sock is None:
            return
        self._sock = None
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        sock.close()
        self._tls_connection = None
        # Bound methods of the connection would keep it and its buffers alive.
        self._recv = self._send = _closed

    def _watch_for_writing(self, callback: Callable[[], None]) -> None:
        self._loop.add_writer(self._fd, callback)
        self._is_watched_for_writing = True

    def _unwatch_for_writing(self) -> None:
        if self._is_watched_for_writing:
            self._loop.remove_writer(self._fd)
            self._is_watched_for_writing = False


def _closed(_: object) -> NoReturn:
    raise BrokenPipeError(errno.EPIPE, "the link is closed")


def _cause(error: Exception) -> str:
    if isinstance(error, SSL.SysCallError):
        code = error.args[0] if error.args else -1
        return CLOSED_BY_PEER if code <= 0 else _cause(OSError(code, ""))
    if isinstance(error, SSL.Error):
        return cause_of(error)
    code = error.errno if isinstance(error, OSError) else None
    name = _ERRNO_NAMES.get(code or 0) or errno.errorcode.get(code or 0, type(error).__name__)
    return f"TCP: {name}"
