"""What operators ask and do about one client: GetConnection and its siblings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.lifecycle import DisconnectReason
from simulator.iotcore.broker.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench


def test_an_open_connection_is_known_since_it_was_accepted(bench: Bench) -> None:
    """Connected, since when, and how long its session lasts."""
    bench.join("car-1", session_expiry_interval=600)
    bench.wait(5)
    found = bench.broker.connectivity("car-1", bench.now_s)
    assert found is not None
    assert (found.is_connected, found.since_unix_s) == (True, 1_700_001_000.0)
    assert (found.reason, found.session_expiry_s) == (None, 600)


def test_an_end_is_remembered_for_half_an_hour(bench: Bench) -> None:
    """After 30 minutes nothing is known any more."""
    bench.join("car-1").lose()
    found = bench.broker.connectivity("car-1", bench.now_s + 1_799)
    assert found is not None
    assert not found.is_connected
    assert found.reason is DisconnectReason.CONNECTION_LOST
    assert found.since_unix_s == 1_700_001_000.0
    assert bench.broker.connectivity("car-1", bench.now_s + 1_801) is None
    assert bench.broker.connectivity("nobody", bench.now_s) is None


def test_an_operator_can_end_a_connection_without_its_will(bench: Bench) -> None:
    """DISCONNECT 0x98; the will goes out unless it is prevented; the session can go as well."""
    watcher = bench.join("watcher")
    watcher.subscribe("last/words")
    will = mqtt5.Will(topic="last/words", payload=b"gone")
    first = bench.join("first", will=will, session_expiry_interval=600)
    second = bench.join("second", will=will, session_expiry_interval=600)
    assert bench.broker.disconnect("first", bench.now_s)
    assert bench.broker.disconnect("second", bench.now_s, clean_session=True, prevent_will=True)
    bench.collect()
    assert first.codes(mqtt5.DisconnectPacket) == second.codes(mqtt5.DisconnectPacket) == [0x98]
    assert watcher.messages() == [("last/words", b"gone")]
    assert bench.broker.subscriptions_of("first") == []
    assert bench.broker.subscriptions_of("second") is None
    assert not bench.broker.disconnect("second", bench.now_s, clean_session=True)
    assert bench.broker.disconnect("first", bench.now_s, clean_session=True)


def test_subscriptions_are_listed_as_the_client_wrote_them(bench: Bench) -> None:
    """Filter with its share prefix, and the QoS that was granted."""
    client = bench.join("car-1")
    client.subscribe("a/+", qos=0)
    client.subscribe("$share/g/b", qos=1)
    assert bench.broker.subscriptions_of("car-1") == [("a/+", 0), ("$share/g/b", 1)]


def test_a_direct_message_is_confirmed_by_its_puback(bench: Bench) -> None:
    """Only the PUBACK of the client confirms it, once, and no subscription is needed."""
    client = bench.join("car-1")
    confirmed: list[str] = []
    message = Message("to/you", b"now", 1, bench.now_s)
    assert bench.broker.send_direct("car-1", message, bench.now_s, lambda: confirmed.append("yes"))
    bench.collect()
    (packet,) = client.take(mqtt5.PublishPacket)
    assert confirmed == []
    client.acknowledge(packet)
    assert confirmed == ["yes"]


def test_a_direct_message_is_never_stored(bench: Bench) -> None:
    """A client that leaves before it acknowledged does not get it again; offline is known."""
    client = bench.join("car-1", session_expiry_interval=600)
    confirmed: list[str] = []
    message = Message("to/you", b"now", 1, bench.now_s)
    assert bench.broker.send_direct("car-1", message, bench.now_s, lambda: confirmed.append("yes"))
    client.lose()
    assert not bench.broker.send_direct("car-1", message, bench.now_s)
    again = bench.connect("car-1", clean_start=False, session_expiry_interval=600)
    assert again.take(mqtt5.ConnAckPacket)[0].session_present
    assert (again.messages(), confirmed) == ([], [])


def test_a_direct_message_needs_a_right_to_receive(make_bench: Callable[..., Bench]) -> None:
    """`may_receive` asks the policies of the connected client."""
    statement = {"Effect": "Allow", "Action": ["iot:Connect"], "Resource": "*"}
    receive = {
        "Effect": "Allow",
        "Action": "iot:Receive",
        "Resource": "arn:aws:iot:ap-northeast-2:123456789012:topic/mine/*",
    }
    bench = make_bench({"Version": "2012-10-17", "Statement": [statement, receive]})
    bench.join("car-1")
    assert bench.broker.may_receive("car-1", "mine/x")
    assert not bench.broker.may_receive("car-1", "yours/x")
    assert not bench.broker.may_receive("nobody", "mine/x")
