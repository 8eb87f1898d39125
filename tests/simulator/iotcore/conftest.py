"""A broker without sockets and clients that speak to it packet by packet."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, TypeVar

import mqtt5
import pytest

from simulator.iotcore.broker.broker import Broker
from simulator.iotcore.broker.peer import Peer
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.identity import ClientCertificate
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry, Thing

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.choices import Choices
    from simulator.iotcore.broker.connection import Connection, Ending
    from simulator.iotcore.broker.joints import Quotas, ReservedTopics
    from simulator.iotcore.broker.limits import Limits

Packet = TypeVar("Packet")

ALLOW_ALL = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
}
REGION, ACCOUNT_ID = "ap-northeast-2", "123456789012"
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT_ID}:"


class Client:
    """One transport connection to a `Bench`."""

    def __init__(self, bench: Bench, peer: Peer) -> None:
        self.bench = bench
        self.connection: Connection = bench.broker.open(peer, bench.now_s)
        self.packets: list[Any] = []
        self.raw = b""
        self.ending: Ending | None = None
        self.readings: list[bool] = []
        bench.clients[self.connection.connection_id] = self

    def send(self, *packets: Any) -> Client:
        """Send packets or bytes, each in a piece of its own, and collect what comes back."""
        for packet in packets:
            data = packet if isinstance(packet, bytes) else packet.write()
            self.bench.broker.receive(self.connection, data, self.bench.now_s)
            self.bench.collect()
        return self

    def take_in(self, data: bytes) -> None:
        """Make packets of what the broker wrote."""
        if data.startswith(b"\x20\x02"):
            return  # CONNACK of MQTT 3.1.1, which the codec does not read
        while data:
            packet, size = mqtt5.read(memoryview(data))
            self.packets.append(packet)
            data = data[size:]

    def subscribe(self, *patterns: str, qos: int = 1, **options: Any) -> mqtt5.SubAckPacket:
        """Subscribe and give the SUBACK."""
        # The codec's default is True, other clients' is False.
        options.setdefault("retain_as_published", False)
        filters = [mqtt5.TopicFilter(p, max_qos=mqtt5.QoS(qos), **options) for p in patterns]
        self.send(mqtt5.SubscribePacket(9, filters))
        return self.take(mqtt5.SubAckPacket)[-1]

    def publish(
        self, topic: str, payload: bytes = b"x", qos: int = 0, packet_id: int = 1, **options: Any
    ) -> None:
        """Publish."""
        self.send(
            mqtt5.PublishPacket(
                topic,
                payload,
                qos=mqtt5.QoS(qos),
                packet_id=packet_id if qos else None,
                **options,
            )
        )

    def take(self, kind: type[Packet]) -> list[Packet]:
        """Remove and give the packets of one kind that arrived so far, oldest first."""
        found = [packet for packet in self.packets if isinstance(packet, kind)]
        self.packets = [packet for packet in self.packets if not isinstance(packet, kind)]
        return found

    def messages(self) -> list[tuple[str, bytes]]:
        """Remove and give topic and payload of the messages that arrived so far."""
        return [(packet.topic, packet.payload) for packet in self.take(mqtt5.PublishPacket)]

    def acknowledge(self, packet: mqtt5.PublishPacket) -> None:
        """Send the PUBACK for a message that arrived at QoS 1."""
        assert packet.packet_id is not None
        self.send(mqtt5.PubAckPacket(packet.packet_id))

    def codes(self, kind: type[Any]) -> list[int]:
        """Reason codes of the packets of one kind that arrived so far."""
        return [int(packet.reason_code) for packet in self.take(kind)]

    def lose(self) -> None:
        """The transport breaks."""
        self.bench.broker.lost(self.connection, self.bench.now_s)
        self.bench.collect()

    @property
    def is_closed(self) -> bool:
        """Whether the broker has closed the connection."""
        return self.ending is not None


class Bench:
    """A broker with one certificate registered, and its clock."""

    def __init__(
        self,
        policy: Any = ALLOW_ALL,
        limits: Limits | None = None,
        quotas: Quotas | None = None,
        reserved: ReservedTopics | None = None,
        registry: Registry | None = None,
        choices: Choices | None = None,
    ) -> None:
        self.now_s = 1000.0
        self.registry = registry or Registry()
        self.certificate = ClientCertificate(b"a certificate")
        self.registry.register_certificate(self.certificate.certificate_id)
        self.registry.put_policy(Policy.parse("test", policy))
        self.registry.attach_policy("test", self.certificate.certificate_id)
        ids = itertools.count(1)
        self.broker = Broker(
            self.registry,
            new_id=lambda: f"id-{next(ids)}",
            choose=lambda below: below - 1,
            unix_s_at_zero=1_700_000_000.0,
            account=Account(REGION, ACCOUNT_ID),
            limits=limits,
            quotas=quotas,
            reserved=reserved,
            choices=choices,
        )
        self.clients: dict[int, Client] = {}

    def open(
        self, certificate: ClientCertificate | None = None, source_ip: str = "192.0.2.7"
    ) -> Client:
        """A connection that has not sent anything."""
        return Client(self, Peer(certificate or self.certificate, source_ip))

    def connect(self, client_id: str, *, clean_start: bool = True, **options: Any) -> Client:
        """A connection that has sent CONNECT; the CONNACK is waiting in it."""
        client = self.open()
        packet = mqtt5.ConnectPacket(client_id, clean_start=clean_start, **options)
        return client.send(packet)

    def join(self, client_id: str, **options: Any) -> Client:
        """A connection that was accepted."""
        client = self.connect(client_id, **options)
        assert client.codes(mqtt5.ConnAckPacket) == [0]
        return client

    def attach_thing(self, name: str, *, exclusive: bool = False) -> None:
        """Attach the certificate to a thing."""
        self.registry.put_thing(Thing(name))
        self.registry.attach_thing(name, self.certificate.certificate_id, exclusive=exclusive)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        self.broker.advance(self.now_s)
        self.collect()

    def collect(self) -> None:
        """Give every client what the broker wrote to it."""
        for output in self.broker.take_outputs():
            client = self.clients[output.connection_id]
            client.ending = client.ending or output.ending
            if output.reading is not None:
                client.readings.append(output.reading)
            client.raw += output.data
            client.take_in(output.data)

    def events(self, listener: Client) -> list[tuple[str, dict[str, Any]]]:
        """Lifecycle events a client received: (topic, document)."""
        return [(topic, json.loads(payload)) for topic, payload in listener.messages()]

    def count(self, cause: str) -> int:
        """The counter of one cause."""
        return self.broker.counters.as_dict().get(cause, 0)


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Make a `Bench` with a policy, limits, quotas or services of one's own."""
    return Bench


@pytest.fixture
def bench() -> Bench:
    """A `Bench` that allows everything."""
    return Bench()
