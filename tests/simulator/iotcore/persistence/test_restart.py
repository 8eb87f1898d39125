"""What survives a restart, seen by the clients that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.broker.limits import Limits
from tests.simulator.iotcore.persistence.restarts import Disk, payloads, resume

if TYPE_CHECKING:
    from tests.simulator.iotcore.conftest import Bench

HOUR = {"clean_start": False, "session_expiry_interval": 3600}


@pytest.fixture
def disk(bench: Bench) -> Disk:
    """An empty one for the bench."""
    return Disk(bench)


def sleeper(bench: Bench, *patterns: str, client_id: str = "sleeper", **options: Any) -> Any:
    """A client with a session and subscriptions."""
    client = bench.join(client_id, **{**HOUR, **options})
    if patterns:
        client.subscribe(*patterns)
    return client


def a_will(topic: str, **options: Any) -> mqtt5.Will:
    """A will at QoS 1."""
    return mqtt5.Will(topic=topic, payload=b"gone", qos=mqtt5.QoS.AT_LEAST_ONCE, **options)


def test_stored_messages_arrive_once_after_a_restart(bench: Bench, disk: Disk) -> None:
    """Session Present, and what was stored in its order with all of its properties."""
    sleeper(bench, "t/#").lose()
    speaker = bench.join("speaker")
    said: dict[str, Any] = {
        "content_type": "a/b",
        "response_topic": "r",
        "correlation_data": b"\x00\xff",
        "user_properties": [("a", "1"), ("a", "2")],
        "message_expiry_interval": 100,
    }
    speaker.publish("t/a", b"1", qos=1, **said)
    speaker.publish("t/b", b"2", qos=1)
    disk.save()
    after = disk.restart(away_s=30)
    client, heard = resume(after, "sleeper")
    assert heard.session_present
    first, second = heard.messages
    expected = ("t/a", b"1", False, 1, 70, "a/b", "r", b"\x00\xff", (("a", "1"), ("a", "2")))
    assert first == expected
    assert second[:4] == ("t/b", b"2", False, 2)
    client.lose()
    assert resume(after, "sleeper")[1].messages == []


def test_subscriptions_work_after_a_restart(bench: Bench, disk: Disk) -> None:
    """Without subscribing again, with the QoS and the options that were granted."""
    client = sleeper(bench)
    client.subscribe("a", qos=0)
    client.subscribe("b", qos=1, retain_as_published=True)
    client.subscribe("c", qos=1, no_local=True)
    client.subscribe("gone")
    client.send(mqtt5.UnsubscribePacket(4, ["gone"]))
    disk.save()
    after = disk.restart()
    client, _ = resume(after, "sleeper")
    speaker = after.join("speaker")
    for topic in ("a", "b", "c", "gone"):
        speaker.publish(topic, b"x", qos=1, retain=topic == "b")
    client.publish("c", b"mine", qos=1)
    packets = client.take(mqtt5.PublishPacket)
    assert [(p.topic, int(p.qos), p.retain) for p in packets] == [
        ("a", 0, False),
        ("b", 1, True),
        ("c", 1, False),
    ]


def test_what_was_not_acknowledged_comes_first(bench: Bench, disk: Disk) -> None:
    """After a kill: deliveries in flight at the last save are sent again before what waited."""
    client = sleeper(bench, "t", receive_max=2)
    speaker = bench.join("speaker")
    for number in range(4):
        speaker.publish("t", b"%d" % number, qos=1)
    client.acknowledge(client.take(mqtt5.PublishPacket)[0])
    disk.save()
    assert payloads(resume(disk.restart(), "sleeper")[1]) == [b"1", b"2", b"3"]


def test_packet_ids_go_on(bench: Bench, disk: Disk) -> None:
    """The first delivery after a restart has the packet id after the last one before."""
    client = sleeper(bench, "t")
    speaker = bench.join("speaker")
    for _ in range(5):
        speaker.publish("t", qos=1)
    for packet in client.take(mqtt5.PublishPacket):
        client.acknowledge(packet)
    disk.save()
    after = disk.restart()
    client, _ = resume(after, "sleeper")
    after.join("speaker").publish("t", qos=1)
    assert client.take(mqtt5.PublishPacket)[0].packet_id == 6


@pytest.mark.parametrize(("away_s", "is_there"), [(29.0, True), (31.0, False)])
def test_an_offline_session_runs_out_while_nobody_runs(
    bench: Bench, disk: Disk, away_s: float, is_there: bool
) -> None:
    """Its hour goes on: 30 s before the save and the time away count together."""
    sleeper(bench, "t", session_expiry_interval=60).lose()
    bench.wait(30)
    disk.save()
    after = disk.restart(away_s)
    assert [client.client_id for client in after.broker.clients()] == ["sleeper"] * is_there
    assert resume(after, "sleeper")[1].session_present is is_there


@pytest.mark.parametrize(("away_s", "is_there"), [(59.0, True), (61.0, False)])
def test_the_expiry_of_an_open_session_starts_at_the_stop(
    bench: Bench, disk: Disk, away_s: float, is_there: bool
) -> None:
    """A connection that was open at the last save of a killed process ended then."""
    sleeper(bench, "t", session_expiry_interval=60)
    bench.wait(1000)
    disk.save()
    assert resume(disk.restart(away_s), "sleeper")[1].session_present is is_there


def test_a_session_without_expiry_leaves_nothing(bench: Bench, disk: Disk) -> None:
    """It ends with its connection, so there is nothing to write."""
    bench.join("c").subscribe("t")
    assert disk.save() == 0
    assert disk.restart().broker.clients() == []


def test_a_clock_set_back_keeps_no_session_longer_than_its_expiry(bench: Bench, disk: Disk) -> None:
    """A machine that wakes up in the past does not hold sessions for ever."""
    sleeper(bench, "t", session_expiry_interval=60).lose()
    disk.save()
    after = disk.restart(away_s=-1_000_000)
    after.wait(61)
    assert after.broker.clients() == []


def test_retained_messages_survive_with_their_expiry(bench: Bench, disk: Disk) -> None:
    """Deleted and replaced ones included; what expired meanwhile is gone."""
    speaker = bench.join("speaker")
    for topic in ("kept", "deleted", "replaced"):
        speaker.publish(topic, b"old", qos=1, retain=True)
    speaker.publish("short", b"s", qos=1, retain=True, message_expiry_interval=10)
    speaker.publish("long", b"l", qos=1, retain=True, message_expiry_interval=100)
    disk.save()
    speaker.publish("deleted", b"", qos=1, retain=True)
    speaker.publish("replaced", b"new", qos=1, retain=True)
    assert disk.save() == 2
    after = disk.restart(away_s=20)
    client = after.join("c")
    client.subscribe("kept", "deleted", "replaced", "short", "long")
    found = client.take(mqtt5.PublishPacket)
    assert [(p.topic, p.payload, p.message_expiry_interval) for p in found] == [
        ("kept", b"old", None),
        ("replaced", b"new", None),
        ("long", b"l", 80),
    ]
    assert all(packet.retain for packet in found)


def test_the_will_of_a_killed_process_is_published(bench: Bench, disk: Disk) -> None:
    """At once without a delay, whether its client had a session or not."""
    sleeper(bench, "will/#").lose()
    for client_id, expiry in (("brief", 0), ("lasting", 3600)):
        will = a_will(f"will/{client_id}")
        bench.join(client_id, will=will, session_expiry_interval=expiry)
    disk.save()
    after = disk.restart()
    heard = resume(after, "sleeper")[1]
    assert sorted(message[0] for message in heard.messages) == ["will/brief", "will/lasting"]
    assert resume(after, "brief")[1].session_present is False
    assert resume(after, "lasting")[1].session_present is True


@pytest.mark.parametrize(
    ("away_s", "wait_s", "is_out"), [(20, 5, False), (20, 11, True), (40, 0, True)]
)
def test_a_delayed_will_waits_on(
    bench: Bench, disk: Disk, away_s: float, wait_s: float, is_out: bool
) -> None:
    """Its delay runs through the restart, unless the client comes back."""
    sleeper(bench, "will").lose()
    will = a_will("will", will_delay_interval=40)
    bench.join("c", will=will, session_expiry_interval=3600).lose()
    bench.wait(10)
    disk.save()
    after = disk.restart(away_s)
    after.wait(wait_s)
    back = resume(after, "c")[0]
    back.send(mqtt5.DisconnectPacket())
    after.wait(3000)
    assert payloads(resume(after, "sleeper")[1]) == [b"gone"] * is_out


def test_a_discarded_will_stays_discarded(bench: Bench, disk: Disk) -> None:
    """A client that said goodbye leaves no will behind."""
    sleeper(bench, "will").lose()
    will = a_will("will")
    client = bench.join("c", will=will, session_expiry_interval=3600)
    disk.save()
    client.send(mqtt5.DisconnectPacket())
    disk.save()
    assert payloads(resume(disk.restart(), "sleeper")[1]) == []


def test_a_will_at_the_end_of_a_session_that_ran_out(bench: Bench, disk: Disk) -> None:
    """The end of the session publishes it, also when nobody ran at that time."""
    sleeper(bench, "will").lose()
    will = a_will("will", will_delay_interval=1000)
    bench.join("c", will=will, session_expiry_interval=60)
    disk.save()
    after = disk.restart(away_s=61)
    assert payloads(resume(after, "sleeper")[1]) == [b"gone"]


def test_messages_of_a_shared_group_wait_for_any_member(bench: Bench, disk: Disk) -> None:
    """What the group stored and what a member did not acknowledge reaches whoever comes first."""
    first = sleeper(bench, "$share/g/t", client_id="first")
    sleeper(bench, "$share/g/t", client_id="second").lose()
    speaker = bench.join("speaker")
    speaker.publish("t", b"1", qos=1)
    disk.save()
    killed = disk.restart()
    assert payloads(resume(killed, "second")[1]) == [b"1"]
    assert payloads(resume(killed, "first")[1]) == []
    first.lose()
    speaker.publish("t", b"2", qos=1)
    disk.save()
    stopped = disk.restart()
    assert payloads(resume(stopped, "second")[1]) == [b"1", b"2"]


def test_a_message_for_many_is_written_once(bench: Bench, disk: Disk) -> None:
    """Ten sessions that wait for the same message take ten records and one more."""
    for number in range(10):
        sleeper(bench, "t", client_id=f"c{number}").lose()
    disk.save()
    bench.join("speaker").publish("t", b"x" * 1000, qos=1)
    assert disk.save() == 11
    assert sum(map(len, disk.records.values())) < 2500
    after = disk.restart()
    for number in range(10):
        assert payloads(resume(after, f"c{number}")[1]) == [b"x" * 1000]
    assert disk.save() == 0


def test_nothing_is_left_of_what_is_over(bench: Bench, disk: Disk) -> None:
    """Ended sessions and delivered messages leave no record."""
    client = sleeper(bench, "t", session_expiry_interval=60)
    bench.join("speaker").publish("t", qos=1, retain=True)
    disk.save()
    for packet in client.take(mqtt5.PublishPacket):
        client.acknowledge(packet)
    client.publish("t", b"", retain=True)
    client.lose()
    bench.wait(61)
    disk.save()
    assert disk.records == {}


def test_a_client_that_returns_with_a_clean_start_finds_nothing(bench: Bench, disk: Disk) -> None:
    """The new session replaces the old one on disk too."""
    sleeper(bench, "t").lose()
    bench.join("speaker").publish("t", qos=1)
    disk.save()
    bench.join("sleeper", clean_start=True, session_expiry_interval=3600).lose()
    disk.save()
    after = disk.restart()
    after.join("speaker").publish("t", qos=1)
    heard = resume(after, "sleeper")[1]
    assert (heard.session_present, heard.messages) == (True, [])


def test_smaller_limits_after_a_restart_hold(bench: Bench, disk: Disk) -> None:
    """What does not fit any more is dropped, the newest first, and counted."""
    sleeper(bench, "t").lose()
    speaker = bench.join("speaker")
    for number in range(5):
        speaker.publish("t", b"%d" % number, qos=1)
    disk.save()
    after = disk.restart(limits=Limits(queued_messages=3))
    assert after.count("dropped_queue_full") == 2
    assert payloads(resume(after, "sleeper")[1]) == [b"0", b"1", b"2"]


def test_expiry_goes_on_after_the_restart(bench: Bench, disk: Disk) -> None:
    """A message that would expire tomorrow does not become fresh by a restart."""
    sleeper(bench, "t").lose()
    bench.join("speaker").publish("t", qos=1, message_expiry_interval=50)
    disk.save()
    after = disk.restart(away_s=40)
    after.wait(11)
    assert resume(after, "sleeper")[1].messages == []
    assert after.count("dropped_expired") == 1
