"""Each rate at its limit and one above, on a clock that stands still, then one second later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5
import pytest

from simulator.iotcore.broker.counters import Cause, Effect
from simulator.iotcore.broker.joints import Answer, Claim, DocumentedTopics
from simulator.iotcore.broker.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulator.iotcore.conftest import Bench, Client

ConnAck = mqtt5.ConnAckPacket
PubAck = mqtt5.PubAckPacket
OK, QUOTA = 0, 0x97
DAY = {"clean_start": False, "session_expiry_interval": 3600}


def refused(bench: Bench, quota: str) -> int:
    """How often a quota was broken."""
    return int(bench.broker.quota_report().get(quota, {"refused": 0})["refused"])


def only(bench: Bench, quota: str, count: int) -> None:
    """This quota was broken so many times, and no other one."""
    report = bench.broker.quota_report()
    assert {key: entry["refused"] for key, entry in report.items()} == {quota: count}


def connect(bench: Bench, client_id: str) -> int:
    """The reason code of a CONNECT."""
    (code,) = bench.connect(client_id).codes(ConnAck)
    return int(code)


def codes(client: Client, *patterns: str) -> list[int]:
    """The reason codes of a SUBSCRIBE."""
    return [int(code) for code in client.subscribe(*patterns).reason_codes]


@pytest.mark.parametrize(("base", "limit"), [("low", 100), ("default", 3000)])
def test_connects_of_the_account(
    make_throttled: Callable[..., Bench], base: str, limit: int
) -> None:
    """CONNACK 0x97 above 100 (3,000) CONNECTs a second, whoever sends them; then again."""
    bench = make_throttled(base=base)
    assert [connect(bench, f"c{n}") for n in range(limit + 2)] == [OK] * limit + [QUOTA] * 2
    only(bench, "connects-per-account", 2)
    bench.wait(1)
    assert [connect(bench, f"d{n}") for n in range(limit + 1)] == [OK] * limit + [QUOTA]


def test_connects_of_a_client_id(make_throttled: Callable[..., Bench]) -> None:
    """One a second; a client that keeps trying is let in when its second is over."""
    bench = make_throttled()
    assert [connect(bench, "c"), connect(bench, "c"), connect(bench, "d")] == [OK, QUOTA, OK]
    bench.wait(0.99)
    assert connect(bench, "c") == QUOTA
    bench.wait(0.01)
    assert connect(bench, "c") == OK
    only(bench, "connects-per-client-id", 2)


def test_a_refused_connect_leaves_the_connection_it_would_take_over(
    make_throttled: Callable[..., Bench],
) -> None:
    """The older connection with the client id goes on."""
    bench = make_throttled()
    first = bench.join("c")
    second = bench.connect("c")
    assert second.is_closed
    assert not first.is_closed


def test_concurrent_connections(make_throttled: Callable[..., Bench]) -> None:
    """As many as the quota at a time; a takeover needs no place of its own."""
    bench = make_throttled({"connections-per-account": 3})
    first = bench.join("c0")
    assert [connect(bench, f"c{n}") for n in range(1, 4)] == [OK, OK, QUOTA]
    only(bench, "connections-per-account", 1)
    bench.wait(1)
    assert connect(bench, "c0") == OK
    assert first.is_closed
    assert connect(bench, "c4") == QUOTA
    bench.clients[max(bench.clients) - 1].lose()
    bench.wait(1)
    assert connect(bench, "c4") == OK


def test_publishes_of_a_connection_are_discarded_without_puback(
    make_throttled: Callable[..., Bench],
) -> None:
    """100 a second; the 101st is dropped, the connection stays, other clients go on."""
    bench = make_throttled()
    listener, other = bench.join("listener"), bench.join("other")
    listener.subscribe("t/#")
    fast = bench.join("fast")
    for number in range(103):
        fast.publish("t/fast", qos=1, packet_id=number + 1)
    assert [packet.packet_id for packet in fast.take(PubAck)] == list(range(1, 101))
    assert len(listener.messages()) == 100
    assert not fast.is_closed
    other.publish("u", qos=1)
    assert other.codes(PubAck) == [OK]
    only(bench, "publishes-per-connection", 3)
    bench.wait(1)
    for number in range(101):
        fast.publish("u", qos=1, packet_id=number + 1)
    assert len(fast.take(PubAck)) == 100


def test_publishes_of_a_connection_may_be_answered_instead(
    make_throttled: Callable[..., Bench],
) -> None:
    """With the other choice the 101st gets PUBACK 0x97; QoS 0 has no answer."""
    bench = make_throttled(publish_effect=Effect.REFUSE)
    fast = bench.join("fast")
    for _ in range(101):
        fast.publish("t", qos=1)
    assert fast.codes(PubAck) == [OK] * 100 + [QUOTA]
    fast.publish("t", qos=0)
    assert fast.packets == []
    assert not fast.is_closed
    only(bench, "publishes-per-connection", 2)


def test_a_steady_client_at_the_rate_is_not_refused_and_one_above_it_is(
    make_throttled: Callable[..., Bench],
) -> None:
    """Ten seconds at 100 Hz pass; at 120 Hz 100 + 100 * t do: 1,099 of 1,200."""
    for rate_hz, passed in ((100, 1000), (120, 1099)):
        bench = make_throttled()
        client = bench.join("c")
        start_s = bench.now_s
        for number in range(10 * rate_hz):
            bench.now_s = start_s + number / rate_hz
            client.publish("t", qos=1)
        assert len(client.take(PubAck)) == passed
        assert refused(bench, "publishes-per-connection") == 10 * rate_hz - passed


def test_publishes_in_and_out_share_the_rate(make_throttled: Callable[..., Bench]) -> None:
    """A client that hears itself has 50 round trips a second."""
    bench = make_throttled()
    client = bench.join("c")
    client.subscribe("t", qos=0)
    for _ in range(51):
        client.publish("t")
    assert len(client.messages()) == 50
    only(bench, "publishes-per-connection", 1)


@pytest.mark.parametrize("qos", [0, 1])
def test_deliveries_above_the_rate_of_the_reader_are_dropped(
    make_throttled: Callable[..., Bench], qos: int
) -> None:
    """A reader of the whole fleet gets 100 a second; the rest never comes."""
    bench = make_throttled()
    reader = bench.join("reader")
    reader.subscribe("#", qos=qos)
    received: list[mqtt5.PublishPacket] = []
    for number in range(3):
        car = bench.join(f"car-{number}")
        for _ in range(40):
            car.publish("t", qos=qos)
        packets = reader.take(mqtt5.PublishPacket)
        received += packets
        for packet in packets if qos else []:
            reader.acknowledge(packet)
    assert len(received) == 100
    only(bench, "publishes-per-connection", 20)
    (entry,) = bench.broker.quota_report()["publishes-per-connection"]["clients"]
    assert (entry["client_id"], entry["refused"]) == ("reader", 20)
    bench.wait(10)
    assert reader.messages() == []


def test_inbound_publishes_of_the_account(make_throttled: Callable[..., Bench]) -> None:
    """Ten in all; what the account refuses does not count for the connection."""
    bench = make_throttled({"publishes-in-per-account": 10, "publishes-per-connection": 8})
    first, second = bench.join("1"), bench.join("2")
    for client in (first, second):
        for _ in range(7):
            client.publish("t", qos=1)
    assert (len(first.take(PubAck)), len(second.take(PubAck))) == (7, 3)
    only(bench, "publishes-in-per-account", 4)
    bench.wait(0.5)
    for _ in range(8):
        second.publish("t", qos=1)
    assert len(second.take(PubAck)) == 5


def test_outbound_publishes_of_the_account(make_throttled: Callable[..., Bench]) -> None:
    """Each subscriber counts: 4 publishes to 3 subscribers are 12 of 10."""
    bench = make_throttled({"publishes-out-per-account": 10})
    readers = [bench.join(f"r{n}") for n in range(3)]
    for reader in readers:
        reader.subscribe("t")
    speaker = bench.join("s")
    for _ in range(4):
        speaker.publish("t", qos=1)
    assert sum(len(reader.messages()) for reader in readers) == 10
    only(bench, "publishes-out-per-account", 2)


def test_new_subscriptions_of_the_account(make_throttled: Callable[..., Bench]) -> None:
    """Each filter counts: eight and two of ten are granted, the third is refused alone."""
    bench = make_throttled({"subscribes-per-account": 10})
    assert codes(bench.join("a"), *(f"t/{n}" for n in range(8))) == [1] * 8
    other = bench.join("b")
    assert codes(other, "a", "b", "c") == [1, 1, QUOTA]
    only(bench, "subscribes-per-account", 1)
    bench.wait(0.1)
    assert codes(other, "c") == [1]


def test_subscriptions_of_the_account(make_throttled: Callable[..., Bench]) -> None:
    """The quota is of those that exist; replacing one adds none."""
    bench = make_throttled({"subscriptions-per-account": 3})
    first, second = bench.join("a"), bench.join("b")
    assert codes(first, "t/1", "t/2") == [1, 1]
    assert codes(second, "t/1", "t/2", "t/1") == [1, QUOTA, 1]
    only(bench, "subscriptions-per-account", 1)
    first.lose()
    assert codes(second, "t/2") == [1]


def test_shared_groups(make_throttled: Callable[..., Bench]) -> None:
    """100 groups, told apart by name and filter; a member more is no group more."""
    bench = make_throttled()
    members = [bench.join(f"c{n}") for n in range(3)]
    for number in range(100):
        client = members[number // 50]
        assert codes(client, f"$share/g/t/{number}") == [1]
    assert codes(members[2], "$share/h/t/1", "$share/g/t/1") == [QUOTA, 1]
    only(bench, "shared-groups", 1)
    members[0].lose()
    assert codes(members[2], "$share/h/t/1") == [1]


def test_members_of_a_shared_group(make_throttled: Callable[..., Bench]) -> None:
    """The 101st member is refused; one of the hundred may ask again."""
    bench = make_throttled({"shared-changes-per-group": 1000})
    members = [bench.join(f"c{n}") for n in range(101)]
    assert [codes(client, "$share/g/t")[0] for client in members] == [1] * 100 + [QUOTA]
    assert codes(members[0], "$share/g/t") == [1]
    only(bench, "shared-subscriptions-per-group", 1)


def test_changes_of_a_shared_group(make_throttled: Callable[..., Bench]) -> None:
    """Joining and leaving count together, each group for itself."""
    bench = make_throttled({"shared-changes-per-group": 4})
    client = bench.join("c")
    for _ in range(2):
        assert codes(client, "$share/g/t") == [1]
        client.send(mqtt5.UnsubscribePacket(3, ["$share/g/t"]))
    assert codes(client, "$share/g/t", "$share/g/u") == [QUOTA, 1]
    only(bench, "shared-changes-per-group", 1)


def test_retained_publishes_of_a_topic(make_throttled: Callable[..., Bench]) -> None:
    """One a second for a topic; publishes without RETAIN and other topics go on."""
    bench = make_throttled()
    client, late = bench.join("c"), bench.join("late")
    for payload in (b"first", b"second"):
        client.publish("t", payload, qos=1, retain=True)
    client.publish("u", qos=1, retain=True)
    client.publish("t", b"live", qos=1)
    assert len(client.take(PubAck)) == 3
    late.subscribe("t", qos=0)
    assert late.messages() == [("t", b"first")]
    only(bench, "retained-publishes-per-topic", 1)
    bench.wait(1)
    client.publish("t", b"third", qos=1, retain=True)
    assert late.messages() == [("t", b"third")]


def test_retained_publishes_of_the_account(make_throttled: Callable[..., Bench]) -> None:
    """50 a second where the low quotas hold; deletions count as well."""
    bench = make_throttled(base="low")
    client = bench.join("c")
    for number in range(51):
        client.publish(f"t/{number}", b"" if number % 2 else b"x", qos=1, retain=True)
    assert len(client.take(PubAck)) == 50
    only(bench, "retained-publishes-per-account", 1)


def test_retained_messages_of_the_account(make_throttled: Callable[..., Bench]) -> None:
    """When the store is full a new topic is throttled; replacing and deleting go on."""
    bench = make_throttled({"retained-messages": 2, "retained-publishes-per-topic": 10})
    client = bench.join("c")
    for topic, payload in (("a", b"1"), ("b", b"1"), ("c", b"1"), ("a", b"2"), ("d", b"")):
        client.publish(topic, payload, qos=1, retain=True)
    assert len(client.take(PubAck)) == 4
    only(bench, "retained-messages", 1)
    client.publish("b", b"", qos=1, retain=True)
    client.publish("c", b"2", qos=1, retain=True)
    assert len(client.take(PubAck)) == 2


def test_messages_queued_by_the_account(make_throttled: Callable[..., Bench]) -> None:
    """Ten a second over all offline sessions; the newest are dropped, the stored ones stay."""
    bench = make_throttled({"queued-per-account": 10})
    for number in range(2):
        sleeper = bench.join(f"s{number}", **DAY)
        sleeper.subscribe("t")
        sleeper.lose()
    speaker = bench.join("speaker")
    for number in range(7):
        speaker.publish("t", b"%d" % number, qos=1)
    only(bench, "queued-per-account", 4)
    assert sum(client.queued for client in bench.broker.clients()) == 10


def test_messages_for_an_offline_session_count_for_its_connection(
    make_throttled: Callable[..., Bench],
) -> None:
    """100 a second are stored for it, whoever publishes them."""
    bench = make_throttled()
    sleeper = bench.join("sleeper", **DAY)
    sleeper.subscribe("t")
    sleeper.lose()
    speakers = [bench.join(f"s{n}") for n in range(2)]
    for number in range(102):
        speakers[number % 2].publish("t", qos=1)
    (summary,) = (c for c in bench.broker.clients() if c.client_id == "sleeper")
    assert summary.queued == 100
    only(bench, "publishes-per-connection", 2)


def test_messages_queued_for_a_shared_group(make_throttled: Callable[..., Bench]) -> None:
    """What waits for a group is bounded by the group, and room comes back when it is sent."""
    bench = make_throttled({"queued-per-shared-group": 3})
    member = bench.join("m", **DAY)
    member.subscribe("$share/g/t")
    member.lose()
    speaker = bench.join("speaker")
    for _ in range(5):
        speaker.publish("t", qos=1)
    only(bench, "queued-per-shared-group", 2)
    bench.wait(1)
    member = bench.join("m", **DAY)
    assert len(member.messages()) == 3
    member.lose()
    for _ in range(4):
        speaker.publish("t", qos=1)
    # The three in flight came back to the group and left no room.
    assert refused(bench, "queued-per-shared-group") == 6


@pytest.mark.parametrize(
    ("cause", "limit"),
    [
        (Cause.QUOTA_DIRECT_MESSAGES, 20_000),
        (Cause.QUOTA_SHADOW_REQUESTS, 4_000),
        (Cause.QUOTA_SHADOW_REQUESTS_OF_SHADOW, 20),
        (Cause.QUOTA_COMMAND_STARTS, 100),
        (Cause.QUOTA_COMMAND_UPDATES, 100),
        (Cause.QUOTA_COMMAND_READS, 20),
        (Cause.QUOTA_JOB_READS, 200),
        (Cause.QUOTA_JOB_WRITES, 200),
        (Cause.QUOTA_CSR_CERTIFICATES, 20),
        (Cause.QUOTA_KEY_CERTIFICATES, 10),
        (Cause.QUOTA_REGISTRATIONS, 10),
        (Cause.QUOTA_STREAM_GETS, 1_000),
        (Cause.QUOTA_STREAM_DESCRIPTIONS, 1_000),
        (Cause.QUOTA_CONNECTION_REQUESTS, 100),
        (Cause.QUOTA_CONNECTION_REQUESTS_OF_CLIENT, 1),
        (Cause.QUOTA_PUBLISHES_IN, 20_000),
        (Cause.QUOTA_RETAINED_PUBLISHES, 500),
        (Cause.QUOTA_RETAINED_PUBLISHES_OF_TOPIC, 1),
        (Cause.QUOTA_CERTIFICATES_REGISTERED, 15),
        (Cause.API_CREATE_THING, 100),
        (Cause.API_DESCRIBE_THING, 350),
        (Cause.API_CREATE_KEYS_AND_CERTIFICATE, 10),
        (Cause.API_CREATE_CERTIFICATE_FROM_CSR, 15),
        (Cause.API_CREATE_POLICY, 10),
        (Cause.API_ATTACH_POLICY, 15),
        (Cause.API_ATTACH_THING_PRINCIPAL, 100),
        (Cause.API_GET_RETAINED_MESSAGE, 500),
    ],
)
def test_requests_of_services_and_of_the_api(
    make_throttled: Callable[..., Bench], cause: Cause, limit: int
) -> None:
    """As many in one second as AWS allows, and not one more, until time passes."""
    bench = make_throttled()
    claims = [Claim(cause, "one")]
    admitted = [bench.broker.admit(claims, "caller", bench.now_s) for _ in range(limit + 2)]
    assert admitted == [True] * limit + [False] * 2
    assert bench.count(cause) == 2
    assert bench.broker.admit(claims, "caller", bench.now_s + 1.0)


def test_a_request_passes_all_its_quotas_or_counts_against_none(
    make_throttled: Callable[..., Bench],
) -> None:
    """A shadow that is asked too often does not use up the requests of the account."""
    bench = make_throttled({"shadow-requests-per-account": 3, "shadow-requests-per-shadow": 1})
    account = Claim(Cause.QUOTA_SHADOW_REQUESTS)

    def ask(shadow: str) -> bool:
        claims = [account, Claim(Cause.QUOTA_SHADOW_REQUESTS_OF_SHADOW, shadow)]
        return bench.broker.admit(claims, shadow, bench.now_s)

    assert [ask(shadow) for shadow in ("a", "a", "a", "b", "c", "d")] == [
        True,
        False,
        False,
        True,
        True,
        False,
    ]
    assert refused(bench, "shadow-requests-per-shadow") == 2
    assert refused(bench, "shadow-requests-per-account") == 1


class Shadow(DocumentedTopics):
    """Answers every request with three messages, as an update with accepted, documents, delta."""

    def handle(
        self, message: Message, _client_id: str | None, now_s: float, /
    ) -> Sequence[Answer] | None:
        """Answer."""
        return [Answer(Message(f"{message.topic}/{n}", b"", 0, now_s)) for n in range(3)]


def test_answers_of_services_are_inbound_publishes(make_throttled: Callable[..., Bench]) -> None:
    """A shadow update with three answers counts as four."""
    bench = make_throttled({"publishes-in-per-account": 12}, reserved=Shadow())
    client = bench.join("c")
    for _ in range(4):
        client.publish("$aws/things/c/shadow/update", b"{}", qos=1)
    assert len(client.take(PubAck)) == 3
    only(bench, "publishes-in-per-account", 1)


@pytest.mark.parametrize("limit", [0, float("inf")])
def test_limits_may_be_nothing_and_endless(
    make_throttled: Callable[..., Bench], limit: float
) -> None:
    """0 lets nothing through, `inf` everything."""
    bench = make_throttled({"publishes-per-connection": limit, "publishes-in-per-account": limit})
    client = bench.join("c")
    for _ in range(200):
        client.publish("t", qos=1)
    assert len(client.take(PubAck)) == (200 if limit else 0)
