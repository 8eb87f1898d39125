"""Stored messages: how fast they are sent, and what they are mixed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.throttling.account import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench, Client

DAY: dict[str, Any] = {"clean_start": False, "session_expiry_interval": 3600}


def leave_and_return(bench: Bench, stored: int, filter_: str = "t", **options: Any) -> Client:
    """A client that was away while messages were published for it; it is back now."""
    sleeper = bench.join("sleeper", **DAY)
    sleeper.subscribe(filter_)
    sleeper.lose()
    speaker = bench.join("speaker")
    for number in range(stored):
        speaker.publish("t", b"%d" % number, qos=1)
    bench.wait(10)
    return bench.join("sleeper", **DAY, **options)


def take(client: Client) -> list[bytes]:
    """Acknowledge what came, without what that brings; gives the payloads."""
    packets = client.take(mqtt5.PublishPacket)
    for packet in packets:
        client.acknowledge(packet)
    return [packet.payload for packet in packets]


def test_stored_messages_come_at_ten_a_second(make_throttled: Callable[..., Bench]) -> None:
    """A second's worth at once, then one every tenth of a second, in order, each once."""
    bench = make_throttled()
    client = leave_and_return(bench, 35)
    assert take(client) == [b"%d" % number for number in range(10)]
    assert take(client) == []
    bench.wait(0.099)
    assert take(client) == []
    arrived: list[bytes] = []
    for tick in range(1, 31):
        bench.wait(0.1)
        arrived += take(client)
        assert len(arrived) <= tick
    assert arrived == [b"%d" % number for number in range(10, 35)]
    assert bench.broker.quota_report() == {}


def test_live_messages_overtake_stored_ones(make_throttled: Callable[..., Bench]) -> None:
    """What is published now arrives now, between the stored ones."""
    bench = make_throttled()
    client = leave_and_return(bench, 12)
    assert len(take(client)) == 10
    bench.join("live").publish("t", b"live", qos=1)
    assert take(client) == [b"live"]
    bench.wait(0.2)
    assert take(client) == [b"10", b"11"]


def test_stored_messages_wait_for_the_rate_of_the_connection(
    make_throttled: Callable[..., Bench],
) -> None:
    """Replay and live traffic share 100 a second; stored ones are never dropped for it."""
    bench = make_throttled()
    client = leave_and_return(bench, 15)
    assert len(take(client)) == 10
    busy = bench.join("busy")
    for _ in range(91):
        busy.publish("t", b"live", qos=1)
    assert take(client) == [b"live"] * 90
    report = bench.broker.quota_report()
    assert report["publishes-per-connection"]["refused"] == 1
    rest: list[bytes] = []
    for _ in range(60):
        bench.wait(0.1)
        rest += take(client)
    assert rest == [b"10", b"11", b"12", b"13", b"14"]


def test_the_send_window_holds_stored_messages_too(make_throttled: Callable[..., Bench]) -> None:
    """A client that takes two at a time gets two; each PUBACK makes room for one."""
    bench = make_throttled()
    client = leave_and_return(bench, 5, receive_max=2)
    first, second = client.take(mqtt5.PublishPacket)
    bench.wait(5)
    assert client.packets == []
    client.acknowledge(first)
    (third,) = client.take(mqtt5.PublishPacket)
    assert (second.payload, third.payload) == (b"1", b"2")


def test_going_away_again_keeps_what_was_not_sent(make_throttled: Callable[..., Bench]) -> None:
    """Unacknowledged ones first, then the rest, and the pace starts anew."""
    bench = make_throttled()
    client = leave_and_return(bench, 14)
    packets = client.take(mqtt5.PublishPacket)
    for packet in packets[:8]:
        client.acknowledge(packet)
    client.lose()
    bench.wait(10)
    client = bench.join("sleeper", **DAY)
    assert take(client) == [b"8", b"9", b"10", b"11", b"12", b"13"]


def test_expired_messages_do_not_take_part(make_throttled: Callable[..., Bench]) -> None:
    """What expired while it was stored does not slow down the rest."""
    bench = make_throttled()
    sleeper = bench.join("sleeper", **DAY)
    sleeper.subscribe("t")
    sleeper.lose()
    speaker = bench.join("speaker")
    for number in range(20):
        speaker.publish("t", b"old", qos=1, message_expiry_interval=5)
        speaker.publish("t", b"%d" % number, qos=1)
    bench.wait(10)
    assert take(bench.join("sleeper", **DAY)) == [b"%d" % number for number in range(10)]
    assert bench.count("dropped_expired") >= 10


def test_messages_of_a_shared_group_come_at_twenty_a_second(
    make_throttled: Callable[..., Bench],
) -> None:
    """To each member."""
    bench = make_throttled()
    client = leave_and_return(bench, 45, "$share/g/t")
    assert len(take(client)) == 20
    arrived = 0
    for _ in range(10):
        bench.wait(0.1)
        arrived += len(take(client))
        assert len(take(client)) == 0
    assert arrived == 20


def test_a_shared_group_passes_over_members_at_their_rate(
    make_throttled: Callable[..., Bench],
) -> None:
    """Two members take 200 a second; what is above waits for either, as one has a session."""
    bench = make_throttled({"publishes-in-per-account": 1000})
    members = [bench.join(f"m{n}", **(DAY if n else {})) for n in range(2)]
    for member in members:
        member.subscribe("$share/g/t")
    arrived = 0
    for number in range(3):
        speaker = bench.join(f"s{number}")
        for _ in range(70):
            speaker.publish("t", qos=1)
        arrived += sum(len(take(member)) for member in members)
    assert arrived == 200
    assert bench.broker.quota_report() == {}
    bench.wait(1)
    assert sum(len(take(member)) for member in members) == 10


def test_without_a_session_a_group_at_its_rate_loses_messages(
    make_throttled: Callable[..., Bench],
) -> None:
    """Nobody can store them; they count for the connection that did not get them."""
    bench = make_throttled()
    member = bench.join("m")
    member.subscribe("$share/g/t", qos=0)
    for number in range(2):
        speaker = bench.join(f"s{number}")
        for _ in range(60):
            speaker.publish("t")
    assert len(member.messages()) == 100
    assert bench.broker.quota_report()["publishes-per-connection"]["refused"] == 20


@pytest.mark.parametrize("mode", list(Mode))
def test_only_enforcing_holds_stored_messages_back(
    make_throttled: Callable[..., Bench], mode: Mode
) -> None:
    """Observing, all of them come at once, in order and before live ones."""
    bench = make_throttled({}, mode)
    client = leave_and_return(bench, 35)
    assert len(take(client)) == (35 if mode is Mode.OBSERVE else 10)


def test_more_than_100_unacknowledged_deliveries_wait(make_throttled: Callable[..., Bench]) -> None:
    """The quota is a window, not a refusal: the 101st is sent after the first PUBACK."""
    bench = make_throttled({"publishes-per-connection": 1000})
    reader, speaker = bench.join("reader"), bench.join("speaker")
    reader.subscribe("t")
    for _ in range(101):
        speaker.publish("t", qos=1)
    packets = reader.take(mqtt5.PublishPacket)
    assert len(packets) == 100
    reader.acknowledge(packets[0])
    assert len(reader.take(mqtt5.PublishPacket)) == 1
    assert bench.broker.quota_report() == {}


def test_more_than_100_unacknowledged_publishes_end_the_connection(
    make_throttled: Callable[..., Bench],
) -> None:
    """A client that does not read its PUBACKs is held to the Receive Maximum, and counted."""
    bench = make_throttled({"publishes-per-connection": 1000})
    client = bench.join("c")
    bench.broker.set_writable(client.connection, is_writable=False)
    for number in range(100):
        client.publish("t", qos=1, packet_id=number + 1)
    assert bench.broker.connections == 1
    client.publish("t", qos=1, packet_id=101)
    assert bench.broker.connections == 0
    (entry,) = bench.broker.quota_report()["unacknowledged-in-per-client"]["clients"]
    assert entry == {"client_id": "c", "refused": 1, "excess": 0}
