"""Servers of the standard library on loopback, with certificates of an authority of their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import trustme

from simulator.load.connection.tls_client import ClientContext
from simulator.load.target.identities import KeyPair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HOST = "127.0.0.1"
PATIENCE_S = 20.0
CA = trustme.CA()
CA_PEM = CA.cert_pem.bytes()
SERVER = CA.issue_cert("broker.example", HOST)
STRANGE_CA = trustme.CA()


def identity(name: str, authority: trustme.CA = CA) -> KeyPair:
    """A client certificate with this common name, and the chain behind it."""
    made = authority.issue_cert(f"{name}.example", common_name=name)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return KeyPair(name, "", chain, made.private_key_pem.bytes())


def server_context(
    certificate: trustme.LeafCert = SERVER, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """TLS that takes a client's certificate when it has one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    CA.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def client_context(name: str = "broker.example", ca_pem: bytes = CA_PEM) -> ClientContext:
    """What clients of that server share."""
    return ClientContext(ca_pem, name)


class Peer(NamedTuple):
    """A connection as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def common_name(self) -> str | None:
        """Common name of the client's certificate, if it showed one."""
        certificate = self.writer.get_extra_info("peercert")
        if not certificate:
            return None
        names = dict(pair[0] for pair in certificate["subject"])
        return str(names["commonName"])

    @property
    def tls_version(self) -> str:
        """Such as `TLSv1.3`."""
        return str(self.writer.get_extra_info("ssl_object").version())


class Server:
    """A server and the connections it accepted."""

    def __init__(self) -> None:
        self.port = 0
        self._accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self._peers: list[Peer] = []

    async def accepted(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._accepted.get()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection came."""
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self._accepted.put_nowait(peer)

    def end(self) -> None:
        """Cut every connection."""
        for peer in self._peers:
            peer.writer.transport.abort()


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on a free port, with TLS if a context is given."""
    server = Server()
    listening = await asyncio.start_server(server.take, HOST, 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        server.end()
        # Their transports close in turns of the loop of their own.
        for _ in range(5):
            await asyncio.sleep(0)


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A bare listening socket, for servers that misbehave."""
    with socket.create_server((HOST, 0)) as sock:
        sock.settimeout(PATIENCE_S)
        yield sock


def accept(sock: socket.socket) -> socket.socket:
    """The next connection of a bare socket, blocking with patience."""
    connection, _ = sock.accept()
    connection.settimeout(PATIENCE_S)
    return connection


def reset(connection: socket.socket) -> None:
    """Close so that the peer gets RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Ears:
    """Hears what a link reports.

    Attributes:
        heard: `linked` and the causes of `unlinked`, in order.
        data: Bytes received.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.data = bytearray()
        self._changed = asyncio.Event()

    def linked(self) -> None:
        """The connection stands."""
        self.heard.append("linked")
        self._changed.set()

    def received(self, data: bytes) -> None:
        """Bytes arrived."""
        self.data += data
        self._changed.set()

    def unlinked(self, cause: str) -> None:
        """It ended."""
        self.heard.append(cause)
        self._changed.set()

    async def hears(self, number: int = 1) -> list[str]:
        """Wait until so much was reported."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.heard) < number:
                self._changed.clear()
                await self._changed.wait()
        return self.heard

    async def has(self, size: int) -> bytes:
        """Wait until so many bytes arrived."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.data) < size:
                self._changed.clear()
                await self._changed.wait()
        return bytes(self.data)
