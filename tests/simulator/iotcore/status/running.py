"""A whole stand-in behind TLS, and the clients and readers that come to it."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import mqtt5

from simulator.iotcore.assembly import StandIn, stand_in
from simulator.iotcore.configuration import CoreConfiguration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from certs.store import Store

TIMEOUT_S = 20.0
VERSION = "1.2.3"
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """An answer over HTTP."""

    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Running:
    """A stand-in that is listening."""

    def __init__(self, store: Store, found: StandIn) -> None:
        self.store = store
        self.stand_in = found
        self.server = found.server

    def context(self, thing: str | None = None) -> ssl.SSLContext:
        """Trust its CA, and be a thing."""
        context = ssl.create_default_context(cafile=self.store.ca_certificate_path)
        if thing is not None:
            identity = self.store.identity(thing)
            context.load_cert_chain(identity.certificate_path, identity.key_path)
        return context

    async def ask(
        self, path: str, method: str = "GET", thing: str | None = None, **options: Any
    ) -> Answer:
        """Ask for something over HTTPS."""
        url = f"https://127.0.0.1:{self.server.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, ssl=self.context(thing), **options) as answer,
        ):
            return Answer(answer.status, answer.headers, await answer.read())

    async def status(self) -> Any:
        """What `/_core/status` says."""
        answer = await self.ask("/_core/status")
        assert answer.status == 200, answer.body
        return answer.json()

    @asynccontextmanager
    async def client(self, thing: str, client_id: str | None = None) -> AsyncIterator[Client]:
        """A client that is connected."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.server.port, ssl=self.context(thing), server_hostname="localhost"
        )
        writer.write(mqtt5.ConnectPacket(client_id or thing, clean_start=True).write())
        _, length = await reader.readexactly(2)
        await reader.readexactly(length)
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()


class Client:
    """A client that speaks MQTT 5."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def publish(self, count: int, topic: str = "t") -> None:
        """Publish at QoS 0, and wait until the broker has seen all of it."""
        self.writer.write(mqtt5.PublishPacket(topic, b"x").write() * count)
        self.writer.write(mqtt5.PingReqPacket().write())
        while await self.reader.readexactly(2) != b"\xd0\x00":
            pass


@asynccontextmanager
async def running(store: Store, **options: Any) -> AsyncIterator[Running]:
    """Run a stand-in on a free port.

    Args:
        store: Its certificates.
        options: Of its configuration.
    """
    configuration = CoreConfiguration(store=store.root, port=0, **options)
    async with asyncio.timeout(TIMEOUT_S), stand_in(configuration, VERSION) as found:
        yield Running(store, found)
