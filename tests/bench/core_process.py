"""The IoT Core stand-in in a process of its own, and an application that talks to it.

Owns the child process and the application's connection. Certificates are registered, policies with
variables are on, as in the demo.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import ssl
from typing import TYPE_CHECKING, cast

import mqtt5

from certs.store import Store
from simulator import fleet_policies
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import account_of, register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.tls import ServerTls
from tests.bench import machine
from tests.bench.agent_rig import APPLICATION, THING, TOPICS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from multiprocessing.connection import Connection as Pipe
    from pathlib import Path

_START_S = 20.0


class ApplicationLink(asyncio.Protocol):
    """One MQTT 5 connection that subscribes to everything of the car.

    Args:
        on_message: Called with topic and payload of what arrives.

    Attributes:
        ready: Set once the subscriptions stand.
    """

    transport: asyncio.Transport

    def __init__(self, on_message: Callable[[str, bytes], None]) -> None:
        self.ready = asyncio.Event()
        self._on_message = on_message
        self._packet_id = 0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sign in."""
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(mqtt5.ConnectPacket(APPLICATION, clean_start=True).write())

    def data_received(self, data: bytes) -> None:
        """Take packets apart."""
        view = memoryview(self._rest + data)
        while view:
            try:
                packet, size = mqtt5.read(view)
            except IndexError:  # the rest of the packet is still on its way
                break
            self._take(packet)
            view = view[size:]
        self._rest = bytes(view)

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Publish a message."""
        packet_id = self._next_id() if qos else None
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS(qos), packet_id=packet_id)
        self.transport.write(packet.write())

    def _take(self, packet: mqtt5.Packet) -> None:
        match packet:
            case mqtt5.ConnAckPacket():
                filters = [
                    mqtt5.TopicFilter(name, max_qos=mqtt5.QoS.AT_MOST_ONCE)
                    for name in (f"dt/morai/{TOPICS.fleet}/{THING}/#", f"{TOPICS.drive[:-5]}res/+")
                ]
                self.transport.write(mqtt5.SubscribePacket(self._next_id(), filters).write())
            case mqtt5.SubAckPacket():
                self.ready.set()
            case mqtt5.PublishPacket():
                self._on_message(packet.topic, packet.payload)
            case _:
                pass

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id


@contextlib.asynccontextmanager
async def core_with_application(
    store: Store, on_message: Callable[[str, bytes], None]
) -> AsyncIterator[tuple[int, ApplicationLink]]:
    """The stand-in's port, and an application that is connected and subscribed.

    Args:
        store: Identities of the car, the application and the server.
        on_message: Called with topic and payload of what the application receives.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(store.root, theirs), daemon=True)
    process.start()
    transport: asyncio.BaseTransport | None = None
    try:
        if not await asyncio.to_thread(ours.poll, _START_S):
            raise TimeoutError("the stand-in did not start")
        port = int(ours.recv())
        identity = store.identity(APPLICATION)
        tls = ssl.create_default_context(cafile=store.ca_certificate_path)
        tls.load_cert_chain(identity.certificate_path, identity.key_path)
        transport, link = await asyncio.get_running_loop().create_connection(
            lambda: ApplicationLink(on_message),
            "127.0.0.1",
            port,
            ssl=tls,
            server_hostname="localhost",
        )
        await asyncio.wait_for(link.ready.wait(), _START_S)
        yield port, link
    finally:
        if transport is not None:
            transport.close()
        ours.send("stop")
        await asyncio.to_thread(process.join, _START_S)


def _serve(root: Path, pipe: Pipe) -> None:
    machine.run(_serve_until_told(root, pipe))


async def _serve_until_told(root: Path, pipe: Pipe) -> None:
    import logging  # noqa: PLC0415 - only the server process logs

    import structlog  # noqa: PLC0415 - only the server process logs

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    store = Store(root)
    server = store.server_identity()
    registry = Registry()
    vehicle = fleet_policies.vehicle(TOPICS.fleet)
    for name, document, thing in (
        (fleet_policies.VEHICLE, vehicle, THING),
        (fleet_policies.APPLICATION, fleet_policies.application(TOPICS.fleet), APPLICATION),
    ):
        registry.put_policy(Policy.parse(name, document))
        register(registry, store.identity(thing).certificate_id(), [thing], [name])
    account = account_of([Policy.parse(fleet_policies.VEHICLE, vehicle)])
    tls = ServerTls(server.certificate_path, server.key_path, [store.ca_certificate_path])
    async with CoreServer(registry, tls, "127.0.0.1", 0, account=account) as core:
        pipe.send(core.port)
        await asyncio.to_thread(pipe.recv)
