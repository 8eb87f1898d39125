"""The UDP link to MORAI SIM: one socket per receiving channel, one socket to send from.

Owns the sockets and their sizes. Decides nothing about content; which sender is heard is decided
by `SourceLock`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from typing import TYPE_CHECKING, cast

from agent.links.datagram import MAX_DATAGRAM_BYTES, Datagram, LinkCounters
from agent.links.source import SourceLock
from certs.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Object info (2,160 bytes) at 50 Hz for two seconds plus camera bursts; Linux caps the request at
# net.core.rmem_max, which `morai-agent check` reports.
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
_FIRST_UNPRIVILEGED_PORT = 1024
# Nothing is expected to arrive at the socket that commands are sent from.
_SENDER = "sender"
_WSAEACCES = 10013
_WSAEADDRINUSE = 10048


def bind_udp(host: str, port: int, what: str) -> socket.socket:
    """Bind a non-blocking UDP socket, or say in words why it cannot be had.

    Args:
        host: Address to bind.
        port: Port to bind; 0 takes any free one.
        what: What the port is for, used in the error text.

    Raises:
        LinkError: The port is taken, privileged, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _bind_error(error, host, port, what) from error
    return sock


def _bind_error(error: OSError, host: str, port: int, what: str) -> LinkError:
    where = f"UDP {host}:{port} ({what})"
    code = error.errno
    if code in {errno.EACCES, _WSAEACCES} and port < _FIRST_UNPRIVILEGED_PORT:
        remedy = "choose a port of 1024 or above here and in the simulator's network settings"
        if sys.platform == "linux":
            remedy += f", or allow it: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
        return LinkError(f"{where} is a privileged port that this user may not bind", remedy)
    if code in {errno.EADDRINUSE, _WSAEADDRINUSE}:
        return LinkError(
            f"{where} is already in use",
            "stop the program that holds it (another agent or simulator?) or choose another port",
        )
    if code == errno.EADDRNOTAVAIL:
        return LinkError(
            f"{where}: this machine has no such address", "set simulator.bind to one it has"
        )
    return LinkError(f"{where} cannot be bound: {error.strerror or error}", "choose another port")


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, link: UdpLink, channel: str) -> None:
        self._link = link
        self._channel = channel

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._link.on_received(self._channel, data, addr)

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 - the cause is in the counter's name
        # A closed port on the simulator's side answers with ICMP, which surfaces here.
        self._link.counters.drop("socket_error")


class UdpLink:
    """Datagrams to and from one simulator; see `SimulatorLink` for the guarantees.

    Args:
        receive_ports: Port to bind per receiving channel (the simulator's *destination* ports).
        destinations: Address and port per sending channel (the simulator's *host* ports).
        bind: Local address to listen on.
        lock: Which senders are heard.
    """

    def __init__(
        self,
        receive_ports: Mapping[str, int],
        destinations: Mapping[str, tuple[str, int]],
        *,
        bind: str = "127.0.0.1",
        lock: SourceLock | None = None,
    ) -> None:
        self.counters = LinkCounters()
        self._receive_ports = dict(receive_ports)
        self._destinations = dict(destinations)
        self._bind = bind
        self._lock = lock or SourceLock()
        self._on_datagram: Callable[[Datagram], bool] | None = None
        self._transports: list[asyncio.DatagramTransport] = []
        self._sender: asyncio.DatagramTransport | None = None
        self._ports: dict[str, int] = {}

    async def open(self, on_datagram: Callable[[Datagram], bool]) -> None:
        """Bind every port and start to receive; see `SimulatorLink.open`."""
        loop = asyncio.get_running_loop()
        self._on_datagram = on_datagram
        try:
            for channel, port in self._receive_ports.items():
                sock = bind_udp(self._bind, port, channel)
                self._ports[channel] = sock.getsockname()[1]
                transport, _ = await loop.create_datagram_endpoint(
                    lambda channel=channel: _Receiver(self, channel),  # type: ignore[misc] # default binds the loop variable
                    sock=sock,
                )
                self._transports.append(transport)
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Receiver(self, _SENDER), sock=bind_udp(self._bind, 0, "commands")
            )
            self._sender = transport
            self._transports.append(transport)
        except BaseException:
            await self.close()
            raise

    def on_received(self, channel: str, data: bytes, source: tuple[str, int]) -> None:
        """Pass one datagram on, or count why not."""
        if channel == _SENDER:
            self.counters.drop("unexpected_answer")
            return
        mono_s = time.monotonic()
        cause = self._lock.refusal(channel, source, mono_s)
        if cause is None and self._on_datagram is not None:
            received = self.counters.received
            received[channel] = received.get(channel, 0) + 1
            if self._on_datagram(Datagram(channel, data, source, time.time(), mono_s)):
                self._lock.heard(channel, source, mono_s)
        else:
            self.counters.drop(cause or "closed")

    def send(self, channel: str, data: bytes) -> bool:
        """Send to the channel's destination; see `SimulatorLink.send`."""
        destination = self._destinations.get(channel)
        if destination is None:
            self.counters.drop("no_destination")
            return False
        if self._sender is None or len(data) > MAX_DATAGRAM_BYTES:
            self.counters.drop("not_sent")
            return False
        try:
            self._sender.sendto(data, destination)
        except OSError:
            self.counters.drop("not_sent")
            return False
        self.counters.sent[channel] = self.counters.sent.get(channel, 0) + 1
        return True

    @property
    def ports(self) -> Mapping[str, int]:
        """The port that each receiving channel is bound to."""
        return self._ports

    def receive_buffer_bytes(self) -> int:
        """The receive buffer that the operating system granted, in bytes."""
        if not self._transports:
            return 0
        sock = cast("socket.socket", self._transports[0].get_extra_info("socket"))
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        # Linux reports twice the usable size, to account for its bookkeeping (socket(7)).
        return granted // 2 if sys.platform == "linux" else granted

    async def close(self) -> None:
        """Release the ports. Calling it twice is harmless."""
        transports, self._transports = self._transports, []
        self._sender = None
        for transport in transports:
            transport.close()
        if transports:
            # Transports release their descriptors on the next turn of the loop.
            await asyncio.sleep(0)
