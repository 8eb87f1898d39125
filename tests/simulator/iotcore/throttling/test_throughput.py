"""512 KB a second and connection: what is above is delayed, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5
import pytest

from simulator.iotcore.throttling.account import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.connection import Output
    from tests.simulator.iotcore.conftest import Bench, Client

KB = 1024
QUOTA = "throughput-per-connection"


def packet(size_bytes: int, topic: str = "t", qos: int = 0) -> bytes:
    """A PUBLISH of exactly this size, above 16 KB."""
    overhead = 1 + 3 + 2 + len(topic) + 1 + 2 * qos
    wire = mqtt5.PublishPacket(
        topic,
        b"x" * (size_bytes - overhead),
        qos=mqtt5.QoS(qos),
        packet_id=1 if qos else None,
    ).write()
    assert len(wire) == size_bytes
    return wire


def settled(bench: Bench, client_id: str) -> Client:
    """A client whose CONNECT is long ago."""
    client = bench.join(client_id)
    bench.wait(1)
    return client


def is_held(client: Client) -> bool:
    """Whether the broker neither reads from it nor writes to it."""
    return client.connection.is_held


def feed(bench: Bench, client: Client, data: bytes) -> list[Output]:
    """Give bytes to the broker and take what it wants done."""
    bench.broker.receive(client.connection, data, bench.now_s)
    return bench.broker.take_outputs()


def advance(bench: Bench, seconds: float) -> list[Output]:
    """Let time pass and take what the broker wants done."""
    bench.now_s += seconds
    bench.broker.advance(bench.now_s)
    return bench.broker.take_outputs()


def test_up_to_512_kb_a_second_nothing_waits(make_throttled: Callable[..., Bench]) -> None:
    """A second's worth at once is taken, and again a second later."""
    bench = make_throttled()
    client = settled(bench, "c")
    for _ in range(3):
        outputs = [feed(bench, client, packet(64 * KB)) for _ in range(8)]
        assert outputs == [[]] * 8
        bench.wait(1)
    assert bench.broker.quota_report() == {}


def test_a_connection_ahead_of_its_rate_is_not_read_until_it_is_due(
    make_throttled: Callable[..., Bench],
) -> None:
    """576 KB in a moment: reading stops for the eighth of a second that 64 KB take."""
    bench = make_throttled()
    client, other = settled(bench, "c"), settled(bench, "o")
    for _ in range(8):
        feed(bench, client, packet(64 * KB))
    (output,) = feed(bench, client, packet(64 * KB))
    assert (output.connection_id, output.reading) == (client.connection.connection_id, False)
    assert bench.broker.next_deadline_s == pytest.approx(bench.now_s + 0.125)
    assert feed(bench, other, packet(64 * KB)) == []
    assert advance(bench, 0.124) == []
    (output,) = advance(bench, 0.0011)
    assert (output.connection_id, output.reading) == (client.connection.connection_id, True)
    report = bench.broker.quota_report()
    assert {quota: entry["refused"] for quota, entry in report.items()} == {QUOTA: 1}
    assert bench.broker.counters.publishes_in == 10


def test_a_reader_ahead_of_its_rate_gets_the_rest_later(
    make_throttled: Callable[..., Bench],
) -> None:
    """What is sent counts too: deliveries wait, and none is lost at QoS 1."""
    bench = make_throttled()
    reader = bench.join("reader")
    reader.subscribe("t")
    bench.wait(1)
    for number in range(4):
        speaker = bench.join(f"s{number}")
        for _ in range(4):
            speaker.send(packet(64 * KB, qos=1))
    # The ninth takes the connection over its 512 KB, so those that follow wait.
    assert len(reader.messages()) == 9
    assert is_held(reader)
    arrived = [len(reader.messages())]
    for tick in range(1, 13):
        bench.wait(0.125)
        arrived.append(len(reader.messages()))
        assert sum(arrived) <= tick
    assert sum(arrived) == 7
    assert not is_held(reader)
    assert bench.broker.quota_report().keys() == {QUOTA}


def test_qos_0_for_a_held_reader_is_bounded(make_throttled: Callable[..., Bench]) -> None:
    """Up to a megabyte waits, the rest is dropped as for any slow reader."""
    bench = make_throttled()
    reader = bench.join("reader")
    reader.subscribe("t", qos=0)
    for number in range(10):
        speaker = bench.join(f"s{number}")
        for _ in range(4):
            speaker.send(packet(100 * KB))
    received = len(reader.messages())
    for _ in range(40):
        bench.wait(0.25)
    received += len(reader.messages())
    dropped = bench.count("dropped_slow_reader")
    assert dropped > 0
    assert received + dropped == 40
    assert not reader.is_closed


def test_holding_a_connection_does_not_end_it_for_silence(
    make_throttled: Callable[..., Bench],
) -> None:
    """A client whose bytes are not read is not silent."""
    bench = make_throttled({QUOTA: 1})
    client = bench.join("c", keep_alive=30)
    client.send(packet(100 * KB))
    assert is_held(client)
    bench.wait(60)
    assert not client.is_closed
    bench.wait(60)
    assert not is_held(client)
    assert not client.is_closed


def test_a_held_connection_can_be_closed(make_throttled: Callable[..., Bench]) -> None:
    """It is told why, and its timer does no harm."""
    bench = make_throttled({QUOTA: 1})
    client = bench.join("c")
    client.send(packet(100 * KB))
    assert bench.broker.disconnect("c", bench.now_s)
    bench.collect()
    assert client.codes(mqtt5.DisconnectPacket) == [0x98]
    bench.wait(200)
    assert bench.broker.connections == 0


def test_a_full_transport_stays_full_when_the_hold_ends(
    make_throttled: Callable[..., Bench],
) -> None:
    """Both must be over before anything is written."""
    bench = make_throttled({QUOTA: 64})
    client, speaker = bench.join("c"), bench.join("s")
    client.subscribe("t", qos=0)
    client.send(packet(100 * KB, "u"))
    bench.broker.set_writable(client.connection, is_writable=False)
    bench.wait(1)
    assert not is_held(client)
    speaker.publish("t")
    assert client.messages() == []
    bench.broker.set_writable(client.connection, is_writable=True)
    bench.collect()
    assert client.messages() == [("t", b"x")]


def test_observing_only_counts(make_throttled: Callable[..., Bench]) -> None:
    """Every piece that would have had to wait is counted and taken at once."""
    bench = make_throttled({}, Mode.OBSERVE)
    client = settled(bench, "c")
    for _ in range(10):
        assert feed(bench, client, packet(64 * KB)) == []
    assert bench.broker.quota_report()[QUOTA]["refused"] == 2
