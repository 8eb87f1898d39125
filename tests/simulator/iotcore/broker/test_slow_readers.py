from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.connection import Ending
from simulator.iotcore.broker.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench

SMALL = Limits(outgoing_soft_bytes=2_000, outgoing_hard_bytes=6_000)
PubAck = mqtt5.PubAckPacket


def test_qos_0_is_dropped_for_a_slow_reader_and_only_for_it(
    make_bench: Callable[..., Bench],
) -> None:
    """Above the soft bound messages are counted and dropped; when it reads again it is served."""
    bench = make_bench(limits=SMALL)
    slow, quick, speaker = bench.join("slow"), bench.join("quick"), bench.join("speaker")
    for client in (slow, quick):
        client.subscribe("t", qos=0)
    bench.broker.set_writable(slow.connection, is_writable=False)
    for number in range(20):
        speaker.publish("t", b"%02d" % number + b"x" * 500)
    assert len(quick.messages()) == 20
    assert slow.messages() == []
    dropped = bench.count("dropped_slow_reader")
    assert dropped > 0
    bench.broker.set_writable(slow.connection, is_writable=True)
    bench.collect()
    received = [payload[:2] for _, payload in slow.messages()]
    assert received == [b"%02d" % number for number in range(20 - dropped)]
    speaker.publish("t", b"again")
    assert slow.messages() == [("t", b"again")]


def test_a_reader_that_never_reads_is_closed(make_bench: Callable[..., Bench]) -> None:
    """QoS 1 may not be dropped, so above the hard bound the connection is, at once."""
    bench = make_bench(limits=SMALL)
    slow, speaker = bench.join("slow"), bench.join("speaker")
    slow.subscribe("t", qos=1)
    bench.broker.set_writable(slow.connection, is_writable=False)
    for _ in range(20):
        speaker.publish("t", b"x" * 500, qos=1)
    assert slow.ending is Ending.AT_ONCE
    assert slow.messages() == []
    assert bench.count("closed_slow_reader") == 1
    assert speaker.codes(PubAck) == [0] * 20


def test_the_wills_of_slow_readers_may_make_others_overflow(
    make_bench: Callable[..., Bench],
) -> None:
    """A chain of closes ends, and everybody else stays."""
    bench = make_bench(limits=Limits(outgoing_soft_bytes=100, outgoing_hard_bytes=1_000))
    will = mqtt5.Will("t", payload=b"x" * 600, qos=mqtt5.QoS.AT_LEAST_ONCE)
    slow = [bench.join(f"slow-{n}", will=will) for n in range(10)]
    for client in slow:
        client.subscribe("t", qos=1)
        bench.broker.set_writable(client.connection, is_writable=False)
    speaker = bench.join("speaker")
    for _ in range(2):
        speaker.publish("t", b"x" * 600, qos=1)
    assert all(client.is_closed for client in slow)
    assert not speaker.is_closed


def test_a_client_that_does_not_read_its_pubacks_is_held_to_the_receive_maximum(
    bench: Bench,
) -> None:
    """The 101st unacknowledged publish ends the connection."""
    client = bench.join("c")
    bench.broker.set_writable(client.connection, is_writable=False)
    for _ in range(100):
        client.publish("t", qos=1)
    assert not client.is_closed
    client.publish("t", qos=1)
    assert client.is_closed


def test_everything_for_one_connection_leaves_as_one_block(bench: Bench) -> None:
    """Packets produced between two looks are one write."""
    listener, speaker = bench.join("l"), bench.join("s")
    listener.subscribe("t", qos=0)
    piece = mqtt5.PublishPacket("t", b"x").write()
    bench.broker.receive(speaker.connection, piece * 3, bench.now_s)
    (output,) = bench.broker.take_outputs()
    assert output.data == piece * 3
    assert bench.broker.take_outputs() == []
