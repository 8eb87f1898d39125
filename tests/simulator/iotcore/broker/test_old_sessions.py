"""Sessions, wills, retained messages and events of MQTT 3.1.1 clients, and both versions mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.broker.limits import Limits
from tests.simulator.iotcore.broker.old_client import (
    CONNACK,
    GOODBYE,
    PINGREQ,
    PUBACK,
    OldClient,
    puback,
    publish,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench, Client

ConnAck = mqtt5.ConnAckPacket


def join(bench: Bench, client_id: str = "old", **options: Any) -> OldClient:
    """A client of MQTT 3.1.1 that was accepted."""
    return OldClient(bench, client_id, **options).accepted()


def resumes(bench: Bench, client_id: str = "old") -> tuple[OldClient, bool]:
    """The client comes back with Clean Session 0; says whether its session was there."""
    client = OldClient(bench, client_id, clean=False)
    return client, bool(client.acks(CONNACK)[0][0])


def sleeper(bench: Bench, *filters: tuple[str, int]) -> OldClient:
    """A client with a session to keep and subscriptions."""
    client = join(bench, clean=False)
    client.granted(*filters)
    return client


def test_a_persistent_session_keeps_qos_1(bench: Bench) -> None:
    """Session Present is 1 and the messages come in order, with DUP 0."""
    sleeper(bench, ("t/#", 1)).lose()
    speaker = join(bench, "speaker")
    for number in range(5):
        speaker.send(publish("t/a", b"%d" % number, qos=1))
    speaker.send(publish("t/a", b"lost"))
    client, present = resumes(bench)
    assert present
    arrived = client.publishes()
    assert [each.payload for each in arrived] == [b"0", b"1", b"2", b"3", b"4"]
    assert {(each.qos, each.duplicate, each.retain) for each in arrived} == {(1, False, False)}


def test_a_persistent_session_lasts_an_hour(bench: Bench) -> None:
    """The account's expiry, counted from the end of the connection."""
    sleeper(bench, ("t", 1)).lose()
    bench.wait(3599)
    client, present = resumes(bench)
    assert present
    client.send(GOODBYE)
    bench.wait(3601)
    assert not resumes(bench)[1]


def test_the_accounts_expiry_can_be_raised(make_bench: Callable[..., Bench]) -> None:
    """Up to seven days."""
    bench = make_bench(limits=Limits(session_expiry_max_s=604_800))
    sleeper(bench, ("t", 1)).lose()
    bench.wait(604_000)
    assert resumes(bench)[1]


def test_a_clean_session_ends_with_its_connection(bench: Bench) -> None:
    """And forgets a kept one when it begins."""
    sleeper(bench, ("t", 1)).lose()
    join(bench, clean=True).lose()
    assert bench.broker.clients() == []
    assert not resumes(bench)[1]


def test_a_session_cannot_be_resumed_with_the_other_version(bench: Bench) -> None:
    """In either direction it is discarded, with what waited in it."""
    sleeper(bench, ("t", 1)).lose()
    bench.join("speaker").publish("t", qos=1)
    new = bench.connect("old", clean_start=False, session_expiry_interval=600)
    assert new.take(ConnAck)[0].session_present is False
    assert new.messages() == []
    new.subscribe("u")
    new.lose()
    old, present = resumes(bench)
    assert not present
    bench.join("speaker").publish("u", qos=1)
    assert old.messages() == []


def test_the_newer_connection_takes_over_in_either_version(bench: Bench) -> None:
    """The old one of MQTT 5 hears 0x8E, that of MQTT 3.1.1 nothing."""
    first = bench.join("c")
    second = join(bench, "c")
    assert first.codes(mqtt5.DisconnectPacket) == [0x8E]
    third = bench.join("c")
    assert second.is_closed
    assert second.packets == []
    assert not third.is_closed


def test_unacknowledged_messages_come_again_under_a_new_connection(bench: Bench) -> None:
    """Those without PUBACK, in order, and nothing else."""
    client = sleeper(bench, ("t", 1))
    speaker = join(bench, "speaker")
    for payload in (b"1", b"2", b"3"):
        speaker.send(publish("t", payload, qos=1))
    first, _, _ = client.publishes()
    assert first.packet_id is not None
    client.send(puback(first.packet_id))
    client.lose()
    client, _ = resumes(bench)
    assert [payload for _, payload in client.messages()] == [b"2", b"3"]


def test_no_more_than_100_messages_are_in_flight(bench: Bench) -> None:
    """A client of MQTT 3.1.1 cannot ask for fewer."""
    client = sleeper(bench, ("t", 1))
    speaker = bench.join("speaker")
    for _ in range(150):
        speaker.publish("t", qos=1)
    arrived = client.publishes()
    assert len(arrived) == 100
    assert arrived[0].packet_id is not None
    client.send(puback(arrived[0].packet_id))
    assert len(client.publishes()) == 1


def still_in_flight(bench: Bench, clients: list[Client], seconds: int) -> int:
    """Let time pass while everybody says that they are there; gives the deliveries given up."""
    for _ in range(seconds // 60):
        bench.wait(60)
        for client in clients:
            client.send(PINGREQ)
    return bench.count("dropped_unacknowledged")


def test_deliveries_without_puback_are_given_up_after_an_hour(bench: Bench) -> None:
    """In MQTT 5 after 960 s."""
    old, new = join(bench, "old", keep_alive=1200), bench.join("new", keep_alive=1200)
    old.granted(("t", 1))
    new.subscribe("t")
    speaker = bench.join("speaker", keep_alive=1200)
    speaker.publish("t", qos=1)
    clients: list[Client] = [old, new, speaker]
    assert still_in_flight(bench, clients, 900) == 0
    assert still_in_flight(bench, clients, 180) == 1
    assert still_in_flight(bench, clients, 2460) == 1
    assert still_in_flight(bench, clients, 180) == 2


@pytest.mark.parametrize(("asked", "ends_after_s"), [(1, 45), (40, 60), (0, 1800), (65535, 1800)])
def test_keep_alive_is_the_adjusted_one(bench: Bench, asked: int, ends_after_s: int) -> None:
    """One and a half times 30 to 1,200 s, although the client cannot be told of it."""
    client = join(bench, keep_alive=asked)
    bench.wait(ends_after_s - 0.5)
    assert bench.count("closed_keep_alive") == 0
    bench.wait(0.5)
    assert client.is_closed
    assert client.packets == []
    assert bench.count("closed_keep_alive") == 1


@pytest.mark.parametrize("packet", [PINGREQ, publish("t"), puback(9), b"\x82\x06\0\1\0\1t\0"])
def test_every_packet_keeps_a_client_alive(bench: Bench, packet: bytes) -> None:
    """PUBLISH, SUBSCRIBE, PINGREQ and PUBACK reset the timer."""
    client = join(bench, keep_alive=30)
    for _ in range(4):
        bench.wait(40)
        client.send(packet)
    assert not client.is_closed


@pytest.mark.parametrize("how", ["lost", "violation", "keep-alive", "takeover", "api"])
def test_the_will_goes_out_unless_the_client_says_goodbye(bench: Bench, how: str) -> None:
    """Once, at the QoS it was given."""
    listener = bench.join("listener")
    listener.subscribe("will/#")
    client = join(bench, will=("will/old", b"gone", 1, False))
    if how == "lost":
        client.lose()
    elif how == "violation":
        client.send(b"\x62\x02\x00\x01")
    elif how == "keep-alive":
        bench.wait(90)
    elif how == "takeover":
        join(bench)
    else:
        bench.broker.disconnect("old", bench.now_s)
        bench.collect()
    (will,) = listener.take(mqtt5.PublishPacket)
    assert (will.topic, will.payload, int(will.qos)) == ("will/old", b"gone", 1)
    client.lose()
    assert listener.messages() == []


def test_goodbye_discards_the_will(bench: Bench) -> None:
    """DISCONNECT, E0 00."""
    listener = bench.join("listener")
    listener.subscribe("will/#")
    join(bench, will=("will/old", b"gone", 1, False)).send(GOODBYE)
    assert listener.messages() == []


def test_a_retained_will_is_stored(bench: Bench) -> None:
    """Later subscribers of its topic see it with RETAIN 1."""
    join(bench, will=("will/old", b"gone", 1, True)).lose()
    late = join(bench, "late")
    late.granted(("will/old", 1))
    (will,) = late.publishes()
    assert (will.payload, will.retain, will.qos) == (b"gone", True, 1)


def test_retained_messages(bench: Bench) -> None:
    """Exact topics only, at both QoS, each time one subscribes; RETAIN is 0 on live ones."""
    live = join(bench, "live")
    live.granted(("t/a", 1))
    live.send(publish("t/a", b"kept", qos=1, retain=True))
    (copy,) = live.publishes()
    assert (copy.payload, copy.retain) == (b"kept", False)
    late = join(bench, "late")
    for pattern in ("t/#", "t/+", "#", "$share/g/t/a"):
        late.granted((pattern, 1))
    assert late.packets == []
    for qos in (0, 1, 0):
        late.granted(("t/a", qos))
        (stored,) = late.publishes()
        assert (stored.payload, stored.retain, stored.qos) == (b"kept", True, qos)
    live.send(publish("t/a", b"", retain=True))
    late.take(type(stored))
    late.granted(("t/a", 1))
    assert late.packets == []


def test_hash_does_not_match_the_parent_level(bench: Bench) -> None:
    """`sensor/#` matches `sensor/` and below but not `sensor`, unlike MQTT 3.1.1 says."""
    client = join(bench)
    client.granted(("sensor/#", 0))
    for topic in ("sensor", "sensor/", "sensor/a"):
        client.send(publish(topic))
    assert [topic for topic, _ in client.messages()] == ["sensor/", "sensor/a"]


@pytest.mark.parametrize("length", [0, 1, 100, 115, 116, 117, 118, 119, 120, 121, 16_370, 70_000])
@pytest.mark.parametrize("qos", [0, 1])
def test_messages_cross_versions(bench: Bench, length: int, qos: int) -> None:
    """Topic, payload and QoS arrive as they were, on topics known and unknown, at any length."""
    payload = bytes(number % 251 for number in range(length))
    old, new = join(bench, "old"), bench.join("new")
    old.granted(("t/é", 1))
    new.subscribe("t/é")
    for _ in range(3):
        old.send(publish("t/é", payload, qos=qos))
        new.publish("t/é", payload, qos=qos)
    from_both = [("t/é", payload)] * 6
    arrived = old.publishes()
    assert [(each.topic, each.payload) for each in arrived] == from_both
    assert {(each.qos, each.retain, each.duplicate) for each in arrived} == {(qos, False, False)}
    packets = new.take(mqtt5.PublishPacket)
    assert [(each.topic, each.payload) for each in packets] == from_both
    assert {int(each.qos) for each in packets} == {qos}


def test_properties_do_not_reach_old_clients(bench: Bench) -> None:
    """What a publisher of MQTT 5 says beside the payload is left out."""
    old = join(bench)
    old.granted(("t", 1))
    new = bench.join("new")
    for _ in range(2):
        new.publish("t", b"x", qos=1, content_type="a", response_topic="r", correlation_data=b"c")
    assert old.messages() == [("t", b"x")] * 2


def test_the_publishers_version_decides_on_expiry(bench: Bench) -> None:
    """A message of MQTT 5 expires for a sleeper of MQTT 3.1.1; one of MQTT 3.1.1 for nobody."""
    sleeper(bench, ("t", 1)).lose()
    new = bench.join("new", clean_start=False, session_expiry_interval=3600)
    new.subscribe("t")
    new.lose()
    bench.join("speaker").publish("t", b"expires", qos=1, message_expiry_interval=10)
    join(bench, "old-speaker").send(publish("t", b"stays", qos=1))
    bench.wait(11)
    old, _ = resumes(bench)
    assert old.messages() == [("t", b"stays")]
    new = bench.join("new", clean_start=False, session_expiry_interval=3600)
    (packet,) = new.take(mqtt5.PublishPacket)
    assert (packet.payload, packet.message_expiry_interval) == (b"stays", None)


def test_a_retained_message_of_mqtt_5_still_expires(bench: Bench) -> None:
    """Also for subscribers of MQTT 3.1.1."""
    bench.join("new").publish("t", b"kept", retain=True, message_expiry_interval=60)
    bench.wait(61)
    old = join(bench)
    old.granted(("t", 1))
    assert old.packets == []


def test_events_name_old_clients_as_new_ones(bench: Bench) -> None:
    """The same documents, with the reasons of the ends that MQTT 3.1.1 has."""
    watcher = bench.join("watcher", keep_alive=1200)
    watcher.subscribe("$aws/events/presence/+/old", "$aws/events/subscriptions/#", qos=0)
    bench.events(watcher)
    ends: dict[str, Callable[[OldClient], object]] = {
        "CLIENT_INITIATED_DISCONNECT": lambda client: client.send(GOODBYE),
        "CONNECTION_LOST": lambda client: client.lose(),
        "CLIENT_ERROR": lambda client: client.send(b"\x62\x02\x00\x01"),
        "DUPLICATE_CLIENTID": lambda _client: OldClient(bench),
        "MQTT_KEEP_ALIVE_TIMEOUT": lambda _client: bench.wait(90),
        "API_INITIATED_DISCONNECT": lambda _client: bench.broker.disconnect("old", bench.now_s),
    }
    for number, (reason, end) in enumerate(ends.items()):
        client = join(bench)
        client.granted(("a", 1))
        (_, connected), (_, subscribed) = bench.events(watcher)
        assert connected["eventType"] == "connected"
        assert connected["versionNumber"] >= number
        assert subscribed["topics"] == ["a"]
        end(client)
        bench.collect()
        disconnected = bench.events(watcher)[0][1]
        assert disconnected["disconnectReason"] == reason
        assert disconnected["sessionIdentifier"] == connected["sessionIdentifier"]
        bench.broker.disconnect("old", bench.now_s)
        bench.collect()
        bench.events(watcher)


def test_shared_subscriptions_work_across_versions(bench: Bench) -> None:
    """Members of both versions are in one group."""
    old, new = join(bench), bench.join("new")
    assert old.granted(("$share/g/t/#", 1)) == [1]
    new.subscribe("$share/g/t/#")
    speaker = join(bench, "speaker")
    for number in range(6):
        speaker.send(publish("t/a", b"%d" % number, qos=number % 2))
    new.lose()
    speaker.send(publish("t/a", b"6"))
    heard = {payload for _, payload in old.messages()} | {payload for _, payload in new.messages()}
    assert heard == {b"%d" % number for number in range(7)}
    assert speaker.acks(PUBACK) == [b"\x00\x01"] * 3
