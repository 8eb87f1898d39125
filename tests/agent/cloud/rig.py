"""A broker, a desk that collects what a session reports, and an application that looks on.

The broker is the project's own stand-in over real mutual TLS. The application is aiomqtt, which
shares no code with the session under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import aiomqtt

from agent.cloud.session import CloudSession
from agent.cloud.session_values import Incoming, LinkState, SessionOptions
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import DEVELOPMENT_POLICY, register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.tls import ServerTls
from tests.agent.conftest import APPLICATION, CAR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from certs.store import Store
    from simulator.iotcore.broker.joints import ReservedTopics

HOST = "127.0.0.1"
PATIENCE_S = 20.0
_ARN = "arn:aws:iot:us-east-1:000000000000:"


def registry_of(store: Store) -> Registry:
    """A registry in which the car and the application may do everything."""
    registry = Registry()
    registry.put_policy(DEVELOPMENT_POLICY)
    for thing in (CAR, APPLICATION):
        register(registry, store.identity(thing).certificate_id(), [thing], ["development"])
    return registry


def core_of(
    store: Store,
    *,
    trusted: Iterable[Store] = (),
    port: int = 0,
    reserved: ReservedTopics | None = None,
) -> CoreServer:
    """The stand-in on a free port of the loopback interface.

    Args:
        store: Its own certificate, and the clients it knows.
        trusted: Stores whose CA is let through the TLS handshake as well.
        port: A port to take.
        reserved: Services behind `$` topics.
    """
    server = store.server_identity()
    roots = [store.ca_certificate_path, *(other.ca_certificate_path for other in trusted)]
    tls = ServerTls(server.certificate_path, server.key_path, roots)
    return CoreServer(registry_of(store), tls, HOST, port, reserved=reserved)


def deny(core: CoreServer, store: Store, action: str, resource: str = "*") -> None:
    """Take one permission away from the car."""
    statement = {"Effect": "Deny", "Action": action, "Resource": f"{_ARN}{resource}"}
    if resource == "*":
        statement["Resource"] = "*"
    core.registry.put_policy(
        Policy.parse("denial", {"Version": "2012-10-17", "Statement": statement})
    )
    core.registry.attach_policy("denial", store.identity(CAR).certificate_id())


class Desk:
    """Collects what a session reports and lets a test wait for it."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self.states: list[tuple[LinkState, str]] = []
        self._changed = asyncio.Event()

    def on_message(self, incoming: Incoming) -> None:
        """Take a message."""
        self.messages.append(incoming)
        self._changed.set()

    def on_state(self, state: LinkState, reason: str) -> None:
        """Take a change of state."""
        self.states.append((state, reason))
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until `condition` holds, looking again at every report."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def failed(self, count: int = 1, timeout_s: float = PATIENCE_S) -> str:
        """Wait until the session was disconnected `count` times; the last reason."""
        await self.until(
            lambda: [s for s, _ in self.states].count(LinkState.DISCONNECTED) >= count, timeout_s
        )
        return next(
            reason for state, reason in reversed(self.states) if state is LinkState.DISCONNECTED
        )

    async def connected(self, count: int = 1) -> None:
        """Wait until the session was connected `count` times."""
        await self.until(lambda: [s for s, _ in self.states].count(LinkState.CONNECTED) >= count)

    def topics(self) -> list[str]:
        """Topics of the messages, in order."""
        return [message.topic for message in self.messages]


def options(store: Store, port: int, **changes: Any) -> SessionOptions:
    """How the car signs in, reconnecting fast."""
    thing = changes.pop("thing", CAR)
    identity = store.identity(thing)
    given: dict[str, Any] = {
        "endpoint": HOST,
        "port": port,
        "client_id": thing,
        "certificate": identity.certificate_path,
        "private_key": identity.key_path,
        "ca": store.ca_certificate_path,
        "reconnect_min_s": 0.05,
        "reconnect_max_s": 0.1,
    }
    return SessionOptions(**{**given, **changes})


@contextlib.asynccontextmanager
async def session(
    settings: SessionOptions,
    filters: dict[str, int] | None = None,
    desk: Desk | None = None,
    on_message: Callable[[Incoming], None] | None = None,
) -> AsyncIterator[tuple[CloudSession, Desk]]:
    """A started session that is stopped at the end; not necessarily connected."""
    desk = desk or Desk()
    made = CloudSession(settings, filters or {}, on_message or desk.on_message, desk.on_state)
    made.start()
    try:
        yield made, desk
    finally:
        await made.stop()


class Onlooker:
    """The application: subscribed, collecting, able to publish."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.messages: list[aiomqtt.Message] = []
        self._client = client
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """Collect for ever."""
        async for message in self._client.messages:
            self.messages.append(message)
            self._changed.set()

    async def publish(self, topic: str, payload: bytes, **settings: Any) -> None:
        """Publish; at QoS 1 this returns when the broker has acknowledged."""
        await self._client.publish(topic, payload, **settings)

    async def until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until `condition` holds, looking again at every message."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def arrived(self, count: int) -> list[aiomqtt.Message]:
        """Wait for `count` messages."""
        await self.until(lambda: len(self.messages) >= count)
        return self.messages

    def payloads(self, topic: str | None = None) -> list[bytes]:
        """Payloads received so far, in order."""
        return [
            bytes(message.payload)
            for message in self.messages
            if topic in {None, str(message.topic)}
        ]


def client_context(store: Store) -> ssl.SSLContext:
    """TLS of the application."""
    identity = store.identity(APPLICATION)
    context = ssl.create_default_context(cafile=store.ca_certificate_path)
    context.load_cert_chain(identity.certificate_path, identity.key_path)
    return context


@contextlib.asynccontextmanager
async def onlooker(
    store: Store, port: int, *filters: str, host: str = HOST
) -> AsyncIterator[Onlooker]:
    """An application that is subscribed to `filters` at QoS 1."""
    client = aiomqtt.Client(
        hostname=host,
        port=port,
        tls_context=client_context(store),
        identifier=APPLICATION,
        protocol=aiomqtt.ProtocolVersion.V5,
        timeout=PATIENCE_S,
    )
    async with client:
        watching = Onlooker(client)
        for topic_filter in filters:
            await client.subscribe(topic_filter, qos=1)
        reader = asyncio.create_task(watching.read())
        try:
            yield watching
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


class Network:
    """A TCP relay between a session and its broker that can be cut.

    Attributes:
        port: Where the session connects.
    """

    def __init__(self, broker_port: int) -> None:
        self.port = 0
        self._broker_port = broker_port
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def hold(self) -> None:
        """Let nothing through any more, without telling anybody: a dead radio."""
        self._flowing.clear()

    def release(self) -> None:
        """Let everything through that was held."""
        self._flowing.set()

    def cut(self) -> None:
        """Break every connection without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection in both directions until either side ends."""
        beyond_reader, beyond_writer = await asyncio.open_connection(HOST, self._broker_port)
        self._writers += [writer, beyond_writer]
        for source, sink in ((reader, beyond_writer), (beyond_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def close(self) -> None:
        """Cut, and wait for the relays to end."""
        self.release()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


@contextlib.asynccontextmanager
async def network(broker_port: int) -> AsyncIterator[Network]:
    """A relay in front of a broker."""
    relay = Network(broker_port)
    server = await asyncio.start_server(relay.accept, HOST, 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.close()
