"""Shared subscriptions: names, members, and what waits for a group.

Developer guide, "Shared subscriptions".
"""

from __future__ import annotations

from typing import Any

import mqtt5
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.throttling.account import AccountQuotas
from tests.simulator.iotcore.broker.old_client import packet, text
from tests.simulator.iotcore.conftest import Bench, Client
from tests.simulator.iotcore.throttling.conftest import table_with

HOUR: dict[str, Any] = {"clean_start": False, "session_expiry_interval": 3600}
SHARED = "$share/g/t"
Publish = mqtt5.PublishPacket


def member(bench: Bench, client_id: str, **options: Any) -> Client:
    """A client with a session in the group."""
    client = bench.join(client_id, **{**HOUR, **options})
    if "$share/g/t" not in dict(bench.broker.subscriptions_of(client_id) or ()):
        client.subscribe(SHARED)
    return client


def say(bench: Bench, *payloads: bytes, qos: int = 1, **options: Any) -> None:
    """Somebody publishes on the topic of the group."""
    speaker = bench.join("speaker")
    for payload in payloads:
        speaker.publish("t", payload, qos=qos, **options)


def payloads(client: Client) -> list[bytes]:
    """What came, without acknowledging it."""
    return [payload for _, payload in client.messages()]


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        ("$share/" + "n" * 128 + "/t", 1),
        ("$share/" + "n" * 129 + "/t", 0x8F),
        ("$share/" + "é" * 128 + "/t", 1),
        ("$share/a+b/t", 0x8F),
        ("$share/a#/t", 0x8F),
        ("$share//t", 0x8F),
        ("$share/g", 0x8F),
        ("$share/g/", 0x8F),
        ("$share/g/a/b/c/d/e/f/g/h", 1),
        ("$share/g/a/b/c/d/e/f/g/h/i", 0x8F),
        ("$share/g/" + "t" * 256, 1),
        ("$share/g/" + "t" * 257, 0x8F),
        ("$share/g//", 1),
    ],
)
def test_share_names_and_filters(bench: Bench, pattern: str, code: int) -> None:
    """128 characters without `/ + #`; the prefix counts neither as bytes nor as slashes."""
    client = bench.join("c")
    # By hand, because the codec does not write names with wildcards.
    body = b"\x00\x09\x00" + text(pattern) + b"\x01"
    client.send(packet(0x82, body))
    (suback,) = client.take(mqtt5.SubAckPacket)
    assert [int(each) for each in suback.reason_codes] == [code]


def test_any_member_drains_what_waits(bench: Bench) -> None:
    """Stored while nobody was there, given to whoever comes first, in order and once."""
    member(bench, "a").lose()
    member(bench, "b").lose()
    say(bench, b"1", b"2", b"3")
    second = member(bench, "b")
    assert payloads(second) == [b"1", b"2", b"3"]
    assert payloads(member(bench, "a")) == []


def test_a_new_member_drains_what_waits(bench: Bench) -> None:
    """Also one that joins the group for the first time, after its SUBACK."""
    member(bench, "a").lose()
    say(bench, b"1", b"2")
    new = bench.join("new")
    new.subscribe(SHARED)
    assert payloads(new) == [b"1", b"2"]


def test_qos_0_and_members_without_a_session_store_nothing(bench: Bench) -> None:
    """QoS 0 is dropped; so is QoS 1 when no member has a session or all subscribed at QoS 0."""
    member(bench, "a").lose()
    say(bench, b"0", qos=0)
    assert payloads(member(bench, "a")) == []
    bench.broker.disconnect("a", bench.now_s, clean_session=True)
    client = bench.join("b", **HOUR)
    client.subscribe(SHARED, qos=0)
    client.lose()
    say(bench, b"1")
    assert payloads(bench.join("b", **HOUR)) == []


def test_what_a_member_did_not_acknowledge_goes_to_another(bench: Bench) -> None:
    """MQTT 5.0 section 4.8.2: as soon as the first one is gone."""
    first, second = member(bench, "a"), member(bench, "b")
    say(bench, b"1", b"2", b"3")
    packets = second.take(Publish)
    assert [packet.payload for packet in packets] == [b"1", b"2", b"3"]
    second.acknowledge(packets[1])
    second.lose()
    assert payloads(first) == [b"1", b"3"]
    assert payloads(member(bench, "b")) == []


def test_the_last_member_takes_its_queue_along(bench: Bench) -> None:
    """When its session ends nothing waits any more, and its bytes are free again."""
    bench = Bench(limits=Limits(queued_bytes_total=20))
    for _ in range(3):
        member(bench, "a").lose()
        say(bench, b"123456789")
        bench.wait(3601)
    member(bench, "a").lose()
    say(bench, b"abcdefghi")
    assert payloads(member(bench, "a")) == [b"abcdefghi"]
    assert bench.count("dropped_queue_full") == 0


def test_leaving_the_group_leaves_the_queue_to_the_others(bench: Bench) -> None:
    """UNSUBSCRIBE of one of two."""
    member(bench, "a").lose()
    member(bench, "b").lose()
    say(bench, b"1")
    leaver = bench.connect("a", **HOUR)
    assert payloads(leaver) == [b"1"]
    leaver.send(mqtt5.UnsubscribePacket(1, [SHARED]))
    say(bench, b"2")
    leaver.lose()
    # What it did not acknowledge returns to the group although it is no member any more.
    assert sorted(payloads(member(bench, "b"))) == [b"1", b"2"]


@pytest.mark.parametrize(
    "limits",
    [Limits(queued_messages_of_group=2), Limits(queued_bytes=4), Limits(queued_bytes_total=4)],
)
def test_a_queue_is_bounded(limits: Limits) -> None:
    """The newest is dropped and counted."""
    bench = Bench(limits=limits)
    member(bench, "a").lose()
    say(bench, b"1", b"2", b"3")
    assert payloads(member(bench, "a")) == [b"1", b"2"]
    assert bench.count("dropped_queue_full") == 1


def test_expired_messages_do_not_leave_the_queue(bench: Bench) -> None:
    """They are counted instead."""
    member(bench, "a").lose()
    say(bench, b"old", message_expiry_interval=5)
    say(bench, b"new")
    bench.wait(10)
    assert payloads(member(bench, "a")) == [b"new"]
    assert bench.count("dropped_expired") == 1


def test_members_drain_beside_each_other_at_twenty_a_second() -> None:
    """Two members empty a queue twice as fast as one."""
    bench = Bench(quotas=AccountQuotas(table_with({})))
    member(bench, "a").lose()
    for number in range(80):
        say(bench, b"%02d" % number)
        bench.wait(1.1)
    both = [member(bench, "a"), member(bench, "b")]
    first = [payloads(client) for client in both]
    assert [len(found) for found in first] == [20, 20]
    bench.wait(0.5)
    assert [len(payloads(client)) for client in both] == [10, 10]
    bench.wait(0.5)
    assert [len(payloads(client)) for client in both] == [10, 10]
    assert min(first[0] + first[1]) == b"00"


def test_stored_messages_of_several_groups_come_oldest_first(bench: Bench) -> None:
    """One member of two groups, whatever order it joined them in."""
    client = bench.join("a", **HOUR)
    client.subscribe("$share/g/u", "$share/g/t")
    client.lose()
    speaker = bench.join("speaker")
    for number, topic in enumerate("tutu"):
        bench.wait(0.01)
        speaker.publish(topic, b"%d" % number, qos=1)
    assert payloads(bench.join("a", **HOUR)) == [b"0", b"1", b"2", b"3"]


class Group(RuleBasedStateMachine):
    """Members that come, go, join, leave and acknowledge in any order."""

    def __init__(self) -> None:
        super().__init__()
        quotas = AccountQuotas(table_with({"connects-per-client-id": 1000}))
        self.bench = Bench(quotas=quotas)
        self.members: dict[str, Client] = {}
        self.anchor = member(self.bench, "anchor")
        self.anchor.lose()
        self.published = 0
        self.acknowledged: list[bytes] = []

    names = st.sampled_from(["a", "b", "c"])

    @rule()
    def publish(self) -> None:
        """Something new for the group."""
        say(self.bench, b"%d" % self.published)
        self.published += 1

    @rule(name=names, keeps=st.booleans())
    def come(self, name: str, keeps: bool) -> None:
        """A member with or without a session, unless it is there."""
        if name not in self.members:
            expiry = 3600 if keeps else 0
            client = self.bench.join(name, clean_start=False, session_expiry_interval=expiry)
            client.subscribe(SHARED)
            self.members[name] = client

    @rule(name=names)
    def go(self, name: str) -> None:
        """The transport of a member breaks."""
        client = self.members.pop(name, None)
        if client is not None:
            client.lose()

    @rule(name=names)
    def leave(self, name: str) -> None:
        """A member unsubscribes."""
        if name in self.members:
            self.members[name].send(mqtt5.UnsubscribePacket(1, [SHARED]))

    @rule(name=names, count=st.integers(1, 5))
    def acknowledge(self, name: str, count: int) -> None:
        """A member acknowledges some of what it has."""
        client = self.members.get(name)
        if client is None:
            return
        for arrived in client.take(Publish)[:count]:
            self.acknowledged.append(arrived.payload)
            client.acknowledge(arrived)

    @rule(seconds=st.sampled_from([0.05, 0.5, 2.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.bench.wait(seconds)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        """Published is acknowledged, in flight somewhere, or waits; the anchor keeps the group."""
        assert len(set(self.acknowledged)) == len(self.acknowledged)
        sessions = self.bench.broker._lifetimes.sessions.values()
        held = sum(len(session.in_flight) + session.queued for session in sessions)
        (shared,) = (s for s in sessions if s.client_id == "anchor")
        group = shared.shared[0].group
        assert group is not None
        assert len(self.acknowledged) + held + group.waiting == self.published


TestGroup = Group.TestCase
TestGroup.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
