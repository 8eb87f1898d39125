"""Clients that mean harm: the broker goes on serving the others and keeps its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5
import pytest

from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.throttling.account import AccountQuotas
from simulator.iotcore.throttling.bounds import limits_in
from tests.fuzz.mqtt_broker import old_seeds, seeds
from tests.simulator.iotcore.broker import old_client
from tests.simulator.iotcore.broker.old_client import OldClient
from tests.simulator.iotcore.conftest import Bench, Client
from tests.simulator.iotcore.throttling.conftest import table_with

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = [pytest.param(5, id="mqtt5"), pytest.param(4, id="mqtt311")]


def join(bench: Bench, client_id: str, version: int) -> Client:
    """A client of either version."""
    if version == 4:
        return OldClient(bench, client_id).accepted()
    return bench.join(client_id)


def assert_serves(bench: Bench) -> None:
    """Clients of both versions still reach each other."""
    new, old = bench.join("probe-new"), OldClient(bench, "probe-old").accepted()
    new.subscribe("probe")
    assert old.granted(("probe", 1)) == [1]
    new.publish("probe", b"1", qos=1)
    old.send(old_client.publish("probe", b"2", qos=1))
    assert new.messages() == old.messages() == [("probe", b"1"), ("probe", b"2")]


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_cut_anywhere(bench: Bench, version: int) -> None:
    """At every place of every kind of packet, with the connection lost there."""
    small = [packet for packet in (seeds if version == 5 else old_seeds)() if len(packet) < 200]
    for number, packet in enumerate(small):
        for end in range(1, len(packet)):
            client = join(bench, f"c{number % 7}", version)
            client.send(packet[:end])
            client.lose()
            assert client.ending is None or client.is_closed
    assert bench.broker.connections == 0
    assert_serves(bench)


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_one_at_a_time(bench: Bench, version: int) -> None:
    """Mean the same as all at once."""
    client = join(bench, "c", version)
    packet = (
        mqtt5.PublishPacket("t", b"x" * 200, qos=mqtt5.QoS(1), packet_id=5).write()
        if version == 5
        else old_client.publish("t", b"x" * 200, 1, 5)
    )
    listener = bench.join("l")
    listener.subscribe("t")
    for byte in packet:
        client.send(bytes([byte]))
    assert listener.messages() == [("t", b"x" * 200)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [0x30, 0x32, 0x82, 0xA2, 0x40, 0xE0, 0xC0])
def test_giant_lengths_hold_no_memory(bench: Bench, kind: int, version: int) -> None:
    """256 MB announced: closed before the first byte of them."""
    client = join(bench, "c", version)
    client.send(bytes([kind]) + b"\xff\xff\xff\x7f" + b"x" * 1000)
    assert client.is_closed
    assert client.connection.framer.is_between_packets
    assert_serves(bench)


def test_a_packet_that_never_ends_holds_its_length_at_most(bench: Bench) -> None:
    """What a connection can make the broker keep is bounded by the packet size."""
    client = join(bench, "c", 4)
    client.send(b"\x30" + b"\xff\x8f\x09")  # 149,503 bytes to come
    for _ in range(40):
        client.send(b"x" * 10_000)
    assert client.is_closed
    assert_serves(bench)


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\x00",
        b"\x10\x02\x00\x04",
        old_client.packet(0x10, old_client.text("MQTT") + b"\x04"),
        old_client.packet(0x10, old_client.text("MQTT") + b"\x05\x02\x00\x00\x00"),
        old_client.packet(0x10, b"\xff\xffMQTT\x04\x02\x00\x00\x00\x00"),
        old_client.publish("t"),
        old_client.connect("c")[:-1],
    ],
)
def test_anything_instead_of_connect(bench: Bench, first: bytes) -> None:
    """Closed, at the latest when CONNECT is overdue, with not a byte said."""
    client = bench.open().send(first)
    bench.wait(11)
    assert client.is_closed
    assert client.raw == b""
    assert_serves(bench)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hundred_thousand_subscriptions(version: int) -> None:
    """2,000 clients ask for 50 each; beyond what the account may have nothing is kept."""
    allowed = 6_000
    limits: dict[str, float] = {
        "subscriptions-per-account": allowed,
        "subscribes-per-account": 1e9,
        "connects-per-account": 1e9,
    }
    table = table_with(limits)
    bench = Bench(quotas=AccountQuotas(table), limits=limits_in(table))
    granted = refused = 0
    for number in range(2_000):
        client = join(bench, f"c{number}", version)
        for block in range(0, 50, 8):
            patterns = [f"{number}/{each}/+" for each in range(block, min(block + 8, 50))]
            if isinstance(client, OldClient):
                codes = client.granted(*((pattern, 1) for pattern in patterns))
            else:
                codes = [int(code) for code in client.subscribe(*patterns).reason_codes]
            granted += codes.count(1)
            refused += codes.count(0x80 if version == 4 else 0x97)
        client.raw = b""
    assert (granted, refused) == (allowed, 100_000 - allowed)
    assert bench.count("quota:subscriptions-per-account") == refused
    held = sum(len(session.subscriptions) for session in bench.broker._lifetimes.sessions.values())
    assert held == allowed
    bench.join("speaker").publish("7/7/x", b"x")
    hearers = [client for client in bench.clients.values() if client.messages()]
    assert [client.connection.client_id for client in hearers] == ["c7"]


@pytest.mark.parametrize("pattern", ["t", "$share/g/t"])
def test_queues_give_everything_back(make_bench: Callable[..., Bench], pattern: str) -> None:
    """When the sessions are gone, so are the bytes they were charged for."""
    bench = make_bench(limits=Limits(queued_bytes_total=5_000))
    for round_ in range(3):
        for number in range(5):
            client = bench.join(f"c{number}", clean_start=False, session_expiry_interval=60)
            client.subscribe(pattern)
            if number % 2:
                client.lose()
        speaker = bench.join("speaker")
        for _ in range(40):
            speaker.publish("t", b"x" * 100, qos=1)
        for client in list(bench.clients.values()):
            client.lose()
        assert 0 < bench.broker._lifetimes._budget.used_bytes <= 5_000 + 5 * 40 * 101
        bench.wait(61)
        assert bench.broker.clients() == []
        assert bench.broker._lifetimes._budget.used_bytes == 0, round_
