"""The shell of the MORAI SIM stand-in: one UDP socket per channel, and the clock.

Owns sockets and timing. Decides nothing about content; that is `Host`.
"""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from agent.links.udp import bind_udp
from certs.errors import ConfigurationError
from simulator.morai_host.host import COMMAND_CHANNELS, DEFAULT_RATES_HZ, Host

if TYPE_CHECKING:
    import socket
    from types import TracebackType

    from simulator.morai_host.ports import PortSet

# Without anything due, time still has to pass for the car.
_LONGEST_SLEEP_S = 0.02


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, server: HostServer, channel: str) -> None:
        self._server = server
        self._channel = channel

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        self._server.host.receive(self._channel, data, time.time())

    def error_received(self, exc: Exception) -> None:
        # Nobody listens on a destination port; the answer (ICMP) surfaces at the sending socket.
        del exc
        self._server.refused += 1


class HostServer:
    """Runs a host on UDP, as an async context manager.

    Args:
        host: The core.
        ports: Ports of the channels. Channels that publish nothing get no socket.
        bind: Address the simulator binds.
        destination: Address it sends to.

    Raises:
        ConfigurationError: The destination is no IP address, or not of the family of `bind`.

    Attributes:
        refused: Datagrams that came back because nobody listened on the destination port.
        not_sent: Datagrams the operating system did not take.
    """

    def __init__(
        self,
        host: Host,
        ports: PortSet,
        *,
        bind: str = "127.0.0.1",
        destination: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.refused = 0
        self.not_sent = 0
        self._ports = ports
        self._bind = bind
        self._destination = _address(destination, bind)
        self._transports: dict[str, asyncio.DatagramTransport] = {}
        self._bound: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def bound_ports(self) -> dict[str, int]:
        """The port each channel is bound to, commands and publishers alike."""
        return dict(self._bound)

    async def __aenter__(self) -> Self:
        """Bind every port and start to drive.

        Raises:
            LinkError: A port is taken, privileged or otherwise not available.
        """
        try:
            for channel in COMMAND_CHANNELS:
                if channel in self._ports.listen:
                    await self._open(channel, self._ports.listen[channel])
            for channel in DEFAULT_RATES_HZ:
                if channel in self._ports.publish and self.host.publishes(channel):
                    await self._open(channel, self._ports.publish[channel].host)
        except BaseException:
            self._close()
            raise
        self._task = asyncio.create_task(self._run(), name="morai-host")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop driving and release the ports."""
        del kind, error, trace
        if self._task is not None:
            self._task.cancel()
            # A defect in the loop must not vanish with it.
            results = await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self._close()
            failure = results[0]
            if isinstance(failure, Exception):
                raise failure

    async def wait(self) -> None:
        """Wait until the drive is over, which a simulated scene never is."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _open(self, channel: str, port: int) -> None:
        sock: socket.socket = bind_udp(self._bind, port, f"MORAI host, {channel}")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Receiver(self, channel), sock=sock
        )
        self._transports[channel] = transport
        self._bound[channel] = sock.getsockname()[1]

    async def _run(self) -> None:
        # The wall clock is read once and then follows the monotonic clock, so that a step of the
        # system's clock does not disturb the car.
        loop = asyncio.get_running_loop()
        offset_s = time.time() - loop.time()
        while not self.host.finished:
            self._send(loop.time() + offset_s)
            sleep_s = self.host.deadline_s - offset_s - loop.time()
            await asyncio.sleep(min(max(sleep_s, 0.0), _LONGEST_SLEEP_S))

    def _send(self, now_s: float) -> None:
        for item in self.host.tick(now_s):
            transport = self._transports.get(item.channel)
            if transport is None or transport.is_closing():
                self.not_sent += 1
                continue
            port = self._ports.publish[item.channel].destination
            transport.sendto(item.data, (self._destination, port))

    def _close(self) -> None:
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()


def _address(destination: str, bind: str) -> str:
    # A name would have to be resolved for every datagram, so only addresses are taken.
    try:
        same_family = ip_address(destination).version == ip_address(bind).version
    except ValueError as error:
        raise ConfigurationError(
            f"the stand-in cannot use {destination!r} and {bind!r}: {error}",
            "give IP addresses, for example 127.0.0.1",
        ) from error
    if not same_family:
        raise ConfigurationError(
            f"{destination} and {bind} mix IPv4 and IPv6", "give both addresses in one family"
        )
    return destination
