"""What the server does on a violation, row by row of the service's behaviour for MQTT 3.1.1.

Where the answer is a close, the client gets not a byte more: MQTT 3.1.1 has no DISCONNECT from a
server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from simulator.iotcore.broker.choices import Choices
from simulator.iotcore.broker.connection import Ending
from simulator.iotcore.broker.counters import Effect
from simulator.iotcore.broker.peer import Peer
from simulator.iotcore.permissions.identity import ClientCertificate
from simulator.iotcore.throttling.account import AccountQuotas
from simulator.iotcore.throttling.bounds import limits_in
from tests.simulator.iotcore.broker import old_client
from tests.simulator.iotcore.broker.old_client import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    SUBACK,
    UNSUBACK,
    OldClient,
    connect,
    packet,
    puback,
    publish,
    subscribe,
    unsubscribe,
)
from tests.simulator.iotcore.throttling.conftest import table_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench

ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
OPEN_ONLY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{ARN}client/old*"},
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{ARN}client/watcher"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{ARN}topic/open/*", f"{ARN}topic/$aws/events/*"],
        },
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/*"},
        {"Effect": "Deny", "Action": "iot:Subscribe", "Resource": f"{ARN}topicfilter/secret*"},
    ],
}


def join(bench: Bench, client_id: str = "old", **options: Any) -> OldClient:
    """A client of MQTT 3.1.1 that was accepted."""
    return OldClient(bench, client_id, **options).accepted()


def is_cut_off(client: OldClient) -> bool:
    """Whether the connection was closed and nothing said."""
    return client.is_closed and client.acks(DISCONNECT) == [] and client.packets == []


def ends_of(bench: Bench, act: Callable[[], object]) -> list[str]:
    """Reasons of the `disconnected` events that something brings about."""
    watcher = bench.join("watcher")
    watcher.subscribe("$aws/events/presence/disconnected/+", qos=0)
    act()
    return [event["disconnectReason"] for _, event in bench.events(watcher)]


def test_a_connection_is_accepted_in_four_bytes(bench: Bench) -> None:
    """CONNACK 20 02 00 00 (section 3.2), whatever was adjusted."""
    client = OldClient(bench, keep_alive=5)
    assert client.raw == bytes.fromhex("20020000")
    client.send(PINGREQ)
    assert client.acks(PINGRESP) == [b""]


def test_acknowledgements_are_those_of_the_tables(bench: Bench) -> None:
    """PUBACK, SUBACK and UNSUBACK without properties and reason codes."""
    client = join(bench)
    client.raw = b""
    client.send(publish("t", qos=1, packet_id=0x8081))
    client.send(subscribe(("a", 0), ("b/#", 1), packet_id=10))
    client.send(unsubscribe("a", "never", packet_id=11))
    assert client.raw == bytes.fromhex("4002 80819004 000a 0001b002 000b")


def test_an_unknown_certificate_is_closed_without_connack(bench: Bench) -> None:
    """The same in both versions."""
    client = bench.open(ClientCertificate(b"another"))
    client.send(connect("old"))
    assert (client.raw, client.is_closed) == (b"", True)


@pytest.mark.parametrize(("return_code", "answer"), [(None, ""), (5, "20020005"), (7, "20020007")])
def test_connect_denied(bench_with: Callable[..., Bench], return_code: int, answer: str) -> None:
    """A close without CONNACK, or the return code that was chosen."""
    bench = bench_with(OPEN_ONLY, Choices(connect_denied_return_code=return_code))
    client = OldClient(bench, "bus")
    assert client.raw == bytes.fromhex(answer)
    assert client.ending is Ending.AFTER_SENDING
    assert bench.count("refused_connect_denied") == 1


@pytest.fixture
def bench_with(make_bench: Callable[..., Bench]) -> Callable[..., Bench]:
    """Make a `Bench` with a policy and choices."""

    def make(policy: Any, choices: Choices) -> Bench:
        return make_bench(policy, choices=choices)

    return make


def test_a_will_that_may_not_be_published_is_a_denied_connect(
    make_bench: Callable[..., Bench],
) -> None:
    """Also one at QoS 2, one to a forbidden topic and one that needs RetainPublish."""
    bench = make_bench(OPEN_ONLY)
    for will in (
        ("closed/a", b"", 0, False),
        ("open/a", b"", 2, False),
        ("$SYS/a", b"", 0, False),
        ("open/a", b"", 0, True),
    ):
        client = OldClient(bench, will=will)
        assert (client.raw, client.is_closed) == (b"", True)
    join(bench, will=("open/a", b"", 1, False))


@pytest.mark.parametrize("qos", [0, 1])
def test_denied_publish(make_bench: Callable[..., Bench], qos: int) -> None:
    """The connection closes at either QoS, as FORBIDDEN_ACCESS."""
    bench = make_bench(OPEN_ONLY)
    client = join(bench)
    assert ends_of(bench, lambda: client.send(publish("closed/a", qos=qos))) == ["FORBIDDEN_ACCESS"]
    assert is_cut_off(client)
    assert bench.count("publish_denied") == 1


def test_denied_subscribe(make_bench: Callable[..., Bench]) -> None:
    """The connection closes, and the other filters of the SUBSCRIBE have no effect."""
    bench = make_bench(OPEN_ONLY)
    client = join(bench, clean=False)
    filters = subscribe(("open/a", 1), ("secret/a", 1))
    assert ends_of(bench, lambda: client.send(filters)) == ["FORBIDDEN_ACCESS"]
    assert is_cut_off(client)
    assert bench.count("subscribe_denied") == 1
    assert bench.broker.subscriptions_of("old") == []


def test_denied_receive_is_silence(make_bench: Callable[..., Bench]) -> None:
    """A message that the policies do not let through simply does not arrive."""
    bench = make_bench(OPEN_ONLY)
    client = join(bench)
    assert client.granted(("closed/a", 1)) == [1]
    other = join(bench, "old-2")
    other.send(publish("open/a"))
    assert client.packets == []


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize(
    "topic", ["$SYS/x", "$aws/events/presence/connected/c", "x" * 257, "a/b/c/d/e/f/g/h/i"]
)
def test_forbidden_and_oversized_topics(bench: Bench, topic: str, qos: int) -> None:
    """The connection closes, as CLIENT_ERROR."""
    client = join(bench)
    assert ends_of(bench, lambda: client.send(publish(topic, qos=qos))) == ["CLIENT_ERROR"]
    assert is_cut_off(client)


@pytest.mark.parametrize(
    "pattern",
    [
        "$SYS/#",
        "$aws/#",
        "$aws/commands/things/t/executions/+/request/+",
        "$share/g/$SYS/x",
        "x" * 257,
        "a/b/c/d/e/f/g/h/#",
        "$share/+/a",
    ],
)
def test_forbidden_and_oversized_filters(bench: Bench, pattern: str) -> None:
    """The connection closes, as CLIENT_ERROR."""
    client = join(bench)
    assert ends_of(bench, lambda: client.send(subscribe((pattern, 1)))) == ["CLIENT_ERROR"]
    assert is_cut_off(client)


@pytest.mark.parametrize("pattern", ["x" * 257, "a/b/c/d/e/f/g/h/#", "$share/+/a"])
def test_invalid_filters_can_be_answered(bench_with: Callable[..., Bench], pattern: str) -> None:
    """0x80 if that was chosen; filters on `$` topics close the connection all the same."""
    allowed = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*"}}
    allowed["Statement"]["Resource"] = "*"  # type: ignore[index] # a dict
    bench = bench_with(allowed, Choices(do_invalid_filters_end=False))
    client = join(bench)
    assert client.granted((pattern, 1), ("t", 0)) == [0x80, 0]
    client.send(subscribe(("$SYS/#", 1)))
    assert is_cut_off(client)


def throttled(limits: dict[str, float], effect: Effect = Effect.DISCARD, **choices: Any) -> Any:
    """Options of a bench with tight quotas."""
    table = table_with(limits)
    return {
        "limits": limits_in(table),
        "quotas": AccountQuotas(table, publish_effect=effect),
        "choices": Choices(**choices),
    }


@pytest.mark.parametrize("effect", [Effect.DISCARD, Effect.REFUSE])
def test_publishes_above_the_rate_vanish(make_bench: Callable[..., Bench], effect: Effect) -> None:
    """No PUBACK, and none with 0x97 either, since MQTT 3.1.1 has none; the connection stays."""
    bench = make_bench(**throttled({"publishes-per-connection": 3}, effect))
    client = join(bench)
    for number in range(1, 6):
        client.send(publish("t", qos=1, packet_id=number))
    assert client.acks(PUBACK) == [b"\x00\x01", b"\x00\x02", b"\x00\x03"]
    assert not client.is_closed
    assert bench.count("quota:publishes-per-connection") == 2


@pytest.mark.parametrize(("code", "answer"), [(3, "20020003"), (None, "")])
def test_throttled_connect(make_bench: Callable[..., Bench], code: int | None, answer: str) -> None:
    """Return code 3, or a close without CONNACK; the older connection stays."""
    bench = make_bench(
        **throttled({"connects-per-client-id": 1}, connect_throttled_return_code=code)
    )
    first = join(bench)
    second = OldClient(bench)
    assert second.raw == bytes.fromhex(answer)
    assert second.is_closed
    assert not first.is_closed


def test_payload_of_128_kb_is_taken_and_one_byte_more_is_not(bench: Bench) -> None:
    """131,072 bytes are the limit; above it the connection closes as CLIENT_ERROR."""
    client = join(bench)
    client.send(publish("t", b"x" * 131_072, qos=1))
    assert client.acks(PUBACK) == [b"\x00\x01"]
    big = publish("t", b"x" * 131_073, qos=1)
    assert ends_of(bench, lambda: client.send(big)) == ["CLIENT_ERROR"]
    assert is_cut_off(client)
    assert bench.count("quota:payload-bytes") == 1


def test_a_packet_far_too_large_is_refused_by_its_announcement(bench: Bench) -> None:
    """The four largest length bytes are enough."""
    client = join(bench)
    client.send(b"\x30\xff\xff\xff\x7f")
    assert is_cut_off(client)


def test_nine_filters_in_one_subscribe(make_bench: Callable[..., Bench]) -> None:
    """Each is answered 0x80, or the connection closes, as chosen."""
    nine = [(f"t/{number}", 1) for number in range(9)]
    client = join(make_bench())
    assert client.granted(*nine) == [0x80] * 9
    assert client.granted(*nine[:8]) == [1] * 8
    client = join(make_bench(choices=Choices(do_too_many_filters_end=True)))
    client.send(subscribe(*nine))
    assert is_cut_off(client)


def test_the_51st_subscription_is_refused(bench: Bench) -> None:
    """0x80 for the filter beyond 50; replacing one of the 50 is no new one."""
    client = join(bench)
    for number in range(50):
        assert client.granted((f"t/{number}", 1)) == [1]
    assert client.granted(("t/50", 1), ("t/7", 0)) == [0x80, 0]


@pytest.mark.parametrize(
    "bad",
    [
        connect("old"),
        packet(0x50, b"\x00\x01"),
        packet(0x62, b"\x00\x01"),
        packet(0x70, b"\x00\x01"),
        packet(0xF0, b""),
        packet(0xD0, b""),
        packet(0x20, b"\x00\x00"),
        packet(0x90, b"\x00\x01\x00"),
    ],
)
def test_protocol_errors(bench: Bench, bad: bytes) -> None:
    """A second CONNECT, PUBREC, PUBREL, PUBCOMP, AUTH, what only a server sends: CLIENT_ERROR."""
    client = join(bench)
    assert ends_of(bench, lambda: client.send(bad)) == ["CLIENT_ERROR"]
    assert is_cut_off(client)


@pytest.mark.parametrize("bad", [publish("t", qos=2), subscribe(("t", 0), ("u", 2))])
def test_qos_2_closes(bench: Bench, bad: bytes) -> None:
    """No PUBREC, no SUBACK."""
    client = join(bench)
    client.send(bad)
    assert is_cut_off(client)


def test_qos_2_subscriptions_can_be_granted(make_bench: Callable[..., Bench]) -> None:
    """As QoS 1, if that was chosen."""
    client = join(make_bench(choices=Choices(does_qos_2_subscription_end=False)))
    assert client.granted(("t", 2)) == [1]


def test_retain_on_reserved_topics_closes(bench: Bench) -> None:
    """No RETAIN on `$` topics."""
    client = join(bench)
    client.send(publish("$aws/things/t/shadow/update", qos=1, retain=True))
    assert is_cut_off(client)


def test_malformed_packets_close(bench: Bench) -> None:
    """Without a word."""
    client = join(bench)
    client.send(bytes.fromhex("3004 0002 fffe"))
    assert is_cut_off(client)
    assert bench.count("closed_malformed_packet") == 1


def test_packets_behind_connect_must_wait_for_connack(bench: Bench) -> None:
    """A client that pipelines is accepted and closed at once."""
    client = OldClient.__new__(OldClient)
    super(OldClient, client).__init__(bench, Peer(bench.certificate, "192.0.2.7"))
    client.send(connect("old") + publish("t", qos=1))
    assert client.raw == bytes.fromhex("20020000")
    assert client.is_closed


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"client_id": "x" * 128}, "20020000"),
        ({"client_id": "x" * 129}, "20020002"),
        ({"client_id": "", "clean": True}, "20020000"),
        ({"client_id": "", "clean": False}, "20020002"),
        ({"client_id": "c", "username": "?SDK=x", "password": b"p"}, "20020000"),
    ],
)
def test_client_ids(bench: Bench, options: dict[str, Any], answer: str) -> None:
    """Return code 2, "identifier rejected", for one too long or missing with a kept session."""
    assert OldClient(bench, **options).raw == bytes.fromhex(answer)


def test_assigned_client_ids_are_unique(bench: Bench) -> None:
    """The client does not learn its id, and two of them do not take each other over."""
    clients = [join(bench, "") for _ in range(2)]
    assert len({client.client_id for client in bench.broker.clients()}) == 2
    assert not any(client.is_closed for client in clients)


def test_a_connect_that_cannot_be_read_is_closed(bench: Bench) -> None:
    """Without CONNACK (MQTT-3.1.4-1)."""
    client = bench.open().send(bytes.fromhex("100f 0004 4d515454 04 03 003c 0003 616263"))
    assert (client.raw, client.is_closed) == (b"", True)


def test_deleting_a_connection_says_nothing(bench: Bench) -> None:
    """DeleteConnection and shutting down close without DISCONNECT."""
    first, second = join(bench, "one"), join(bench, "two")
    assert bench.broker.disconnect("one", bench.now_s)
    bench.broker.close(bench.now_s)
    bench.collect()
    assert is_cut_off(first)
    assert is_cut_off(second)


def test_a_client_that_does_not_take_its_pubacks_is_not_read(bench: Bench) -> None:
    """Above 100 of them; once it takes them it is read again and nothing was lost."""
    client = join(bench)
    bench.broker.set_writable(client.connection, is_writable=False)
    for number in range(1, 101):
        client.send(publish("t", qos=1, packet_id=number))
    assert client.readings == []
    client.send(publish("t", qos=1, packet_id=101))
    assert client.readings == [False]
    assert bench.count("quota:unacknowledged-in-per-client") == 1
    bench.broker.set_writable(client.connection, is_writable=True)
    bench.collect()
    assert client.readings == [False, True]
    assert [int.from_bytes(body, "big") for body in client.acks(PUBACK)] == list(range(1, 102))
    assert not client.is_closed


def test_unsubscribing_is_a_success_known_or_not(bench: Bench) -> None:
    """UNSUBACK; afterwards nothing arrives."""
    client = join(bench)
    client.granted(("t", 1))
    client.send(unsubscribe("t", "never", packet_id=3))
    assert client.acks(UNSUBACK) == [b"\x00\x03"]
    client.send(publish("t"), puback(77))
    assert client.packets == []
    assert client.acks(CONNACK) == client.acks(SUBACK) == []


def test_old_and_new_clients_are_told_apart_by_their_connect() -> None:
    """The helper of these tests writes what paho writes."""
    paho = "101e 0004 4d515454 04 ee 003c 0004 7061686f 0001 77 0003 627965 0001 75 0001 70"
    assert old_client.connect(
        "paho", clean=True, keep_alive=60, will=("w", b"bye", 1, True), username="u", password=b"p"
    ) == bytes.fromhex(paho)
