"""CPU of the IoT Core stand-in per inbound publish and per delivery, under mutual TLS load.

The server runs in a process of its own and reports its own CPU time (user and system); the clients
run in this one. Each client holds one mutual-TLS connection and publishes 250 bytes on a topic of
its own; policies with variables are on, and quotas when they are asked for.

    python -m tests.bench.broker_load --connections 2000 --rate 2 --qos 1 --quotas default
    python -m tests.bench.broker_load --connections 1 --rate 80 --subscribers 250 --quotas fan-out
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import mqtt5

from certs.store import Identity, Store
from simulator.iotcore.broker.counters import QUOTA_PREFIX
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.process import prepare_for_many_connections
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import StoreRegistration
from simulator.iotcore.server import CoreServer
from simulator.iotcore.throttling.choosing import OFF, choose
from simulator.iotcore.tls import ServerTls
from tests.client_tls import mutual_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from multiprocessing.connection import Connection as Pipe
    from typing import Any

BUDGET_US = 20.0
BUDGET_QOS_1_US = 30.0
BUDGET_DELIVERY_US = 25.0
"""40,000 deliveries a second of one core."""

FAN_OUT = "fan-out"
"""The default quotas, but for the deliveries of an account, which AWS raises on request."""

_FAN_OUT_QUOTAS = """\
format = "morai-edge/quotas/1"

[[quota]]
id = "publishes-out-per-account"
limit = inf
"""
PAYLOAD_BYTES = 250
_IDENTITIES = 20
_CONNECTING_AT_ONCE = 50
_REGION = "us-east-1"
_ARN = f"arn:aws:iot:{_REGION}:000000000000:"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{_ARN}client/car-*"},
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": f"{_ARN}topic/dt/morai/bench/${{iot:ClientId}}/*",
        },
        {
            "Effect": "Allow",
            "Action": ["iot:Subscribe", "iot:Receive"],
            "Resource": [f"{_ARN}topicfilter/dt/*", f"{_ARN}topic/dt/*"],
        },
    ],
}


class Result(NamedTuple):
    """What one run measured."""

    connections: int
    publishes: int
    seconds: float
    server_cpu_us_per_publish: float
    server_cpu_ms_per_connect: float
    server_cpu_share: float
    server_kb_per_connection: float
    delivered: int
    server_cpu_us_per_delivery: float
    over_quota: int


def run(
    connections: int,
    rate_hz: float,
    seconds: float,
    *,
    subscribers: int = 0,
    qos: int = 0,
    quotas: str = OFF,
    serve: Callable[[str, str, Pipe], None] | None = None,
) -> Result:
    """Measure one load.

    Args:
        connections: Publishing clients.
        rate_hz: Publishes per second and client.
        seconds: Length of the measurement, after all have connected.
        subscribers: Clients that subscribe to everything.
        qos: QoS of the publishes.
        quotas: `off`, `default`, `low`, or `fan-out`; enforced.
        serve: What runs in the server process; by default the stand-in.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.init_authority()
        store.issue_server()
        if quotas == FAN_OUT:
            quotas = str(Path(folder) / "quotas.toml")
            Path(quotas).write_text(_FAN_OUT_QUOTAS, encoding="utf-8")
        identities = list(store.issue_things(f"bench-{n}" for n in range(_IDENTITIES)))
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        target = serve or _serve
        process = context.Process(target=target, args=(folder, quotas, theirs), daemon=True)
        process.start()
        try:
            port = ours.recv()
            client = _load(identities, ours, port, connections, rate_hz, seconds, subscribers, qos)
            return _run_loop(lambda: client)
        finally:
            ours.send("stop")
            process.join(10)


def _run_loop(make: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    import uvloop  # noqa: PLC0415 - absent on Windows

    return uvloop.run(make())


# The server process


def _serve(folder: str, quotas: str, pipe: Pipe) -> None:
    import uvloop  # noqa: PLC0415 - absent on Windows

    prepare_for_many_connections()
    uvloop.run(_serve_until_told(folder, quotas, pipe))


async def _serve_until_told(folder: str, quotas: str, pipe: Pipe) -> None:
    import resource  # noqa: PLC0415 - absent on Windows

    import structlog  # noqa: PLC0415 - only the server process logs

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    store = Store(folder)
    identity = store.server_identity()
    registry = Registry()
    StoreRegistration(registry, store, [Policy.parse("bench", POLICY)]).refresh()
    tls = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
    choice = choose(quotas, _REGION)
    bounds: dict[str, Any] = {"limits": choice.limits, "quotas": choice.quotas}
    async with CoreServer(registry, tls, port=0, **bounds) as core:
        pipe.send(core.port)
        while await asyncio.to_thread(pipe.recv) != "stop":
            usage = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((usage.ru_utime + usage.ru_stime, resident_kb(), core.counters()))


def resident_kb() -> int:
    """Resident memory of this process."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4


# The clients


class _Client(asyncio.Protocol):
    """The lightest MQTT 5 client there is: it connects, publishes and counts bytes."""

    transport: asyncio.Transport

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.ready = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self.received_bytes = 0
        self.publish = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(mqtt5.ConnectPacket(self.client_id, clean_start=True).write())

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            packet, _ = mqtt5.read(memoryview(data))
            assert isinstance(packet, mqtt5.ConnAckPacket)
            assert packet.reason_code == mqtt5.ConnAckReasonCode.SUCCESS, packet
            self.ready.set_result(None)
        self.received_bytes += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionResetError("closed before CONNACK"))


async def _load(
    identities: list[Identity],
    pipe: Pipe,
    port: int,
    connections: int,
    rate_hz: float,
    seconds: float,
    subscribers: int,
    qos: int,
) -> Result:
    prepare_for_many_connections()
    contexts = [mutual_tls(identity) for identity in identities]
    gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def connect(number: int) -> _Client:
        async with gate:
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: _Client(f"car-{number}"),
                "127.0.0.1",
                port,
                ssl=contexts[number % len(contexts)],
                server_hostname="localhost",
            )
            await client.ready
            return client

    before = _ask(pipe)
    clients = await asyncio.gather(*(connect(number) for number in range(connections)))
    connected = _ask(pipe)
    listeners = [await connect(connections + number) for number in range(subscribers)]
    for listener in listeners:
        entry = mqtt5.TopicFilter("dt/#", max_qos=mqtt5.QoS.AT_MOST_ONCE)
        listener.transport.write(mqtt5.SubscribePacket(1, [entry]).write())
    for client in clients:
        client.publish = mqtt5.PublishPacket(
            f"dt/morai/bench/{client.client_id}/state",
            b"x" * PAYLOAD_BYTES,
            qos=mqtt5.QoS(qos),
            packet_id=1 if qos else None,
        ).write()
    await _publish(clients, rate_hz, 1.0)
    start, started_s = _ask(pipe), time.monotonic()
    await _publish(clients, rate_hz, seconds)
    end, elapsed_s = _ask(pipe), time.monotonic() - started_s
    publishes = end[2]["publishes_in"] - start[2]["publishes_in"]
    delivered = end[2]["publishes_out"] - start[2]["publishes_out"]
    cpu_us = (end[0] - start[0]) * 1e6
    for client in (*clients, *listeners):
        client.transport.abort()
    await asyncio.gather(*(client.lost.wait() for client in (*clients, *listeners)))
    return Result(
        connections=connections,
        publishes=publishes,
        seconds=elapsed_s,
        server_cpu_us_per_publish=cpu_us / max(publishes, 1),
        server_cpu_ms_per_connect=(connected[0] - before[0]) / connections * 1e3,
        server_cpu_share=(end[0] - start[0]) / elapsed_s,
        server_kb_per_connection=(connected[1] - before[1]) / connections,
        delivered=delivered,
        server_cpu_us_per_delivery=cpu_us / max(delivered, 1),
        over_quota=sum(total for name, total in end[2].items() if name.startswith(QUOTA_PREFIX)),
    )


async def _publish(clients: list[_Client], rate_hz: float, seconds: float) -> None:
    """Spread the publishes evenly over time: a slice of the clients every few milliseconds."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    sent = 0
    while (elapsed_s := loop.time() - start_s) < seconds:
        due = int(elapsed_s * rate_hz * len(clients))
        for number in range(sent, due):
            client = clients[number % len(clients)]
            client.transport.write(client.publish)
        sent = due
        await asyncio.sleep(0.002)


def _ask(pipe: Pipe) -> tuple[float, int, dict[str, int]]:
    pipe.send("status")
    answer: tuple[float, int, dict[str, int]] = pipe.recv()
    return answer


def main() -> None:
    """Run one load and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=2.0, help="publishes per second and client")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--subscribers", type=int, default=0)
    parser.add_argument("--qos", type=int, choices=(0, 1), default=0)
    parser.add_argument("--quotas", choices=(OFF, "default", "low", FAN_OUT), default=OFF)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        result = run(
            options.connections,
            options.rate,
            options.seconds,
            subscribers=options.subscribers,
            qos=options.qos,
            quotas=options.quotas,
        )
        budget_us = BUDGET_QOS_1_US if options.qos else BUDGET_US
        ratio = result.server_cpu_us_per_publish / budget_us
        for name, value in {**result._asdict(), "budget_us": budget_us, "ratio": ratio}.items():
            sys.stdout.write(f"{name:28} {value:,.2f}\n")


if __name__ == "__main__":
    main()
