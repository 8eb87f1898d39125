"""Sizes and counts of a client: from the table into `Limits`, enforced, and counted by quota."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from certs.errors import ConfigurationError
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.throttling.bounds import limits_in
from simulator.quotas.files import named_table
from tests.simulator.iotcore.throttling.conftest import table_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench

LONG = "ä" * 128  # 256 bytes


def broken(bench: Bench) -> dict[str, int]:
    """How often each quota was broken."""
    return {key: entry["refused"] for key, entry in bench.broker.quota_report().items()}


@pytest.mark.parametrize("name", ["default", "low"])
def test_the_tables_give_the_limits_in_force_without_them(name: str) -> None:
    """`--quotas off` and the shipped tables agree on sizes; only stored messages differ."""
    limits = limits_in(named_table(name, "us-east-1"))
    differing = {
        field.name
        for field in fields(Limits)
        if getattr(limits, field.name) != getattr(Limits(), field.name)
    }
    assert differing == ({"retained_messages"} if name == "low" else set())


@pytest.mark.parametrize(
    ("quota", "limit"),
    [
        ("unacknowledged-in-per-client", 0),
        ("unacknowledged-in-per-client", 65_536),
        ("unacknowledged-out-per-client", 65_535),
        ("packet-bytes", 100),
        ("topic-aliases", 1.5),
        ("keep-alive-least", 2_000),
    ],
)
def test_what_mqtt_cannot_express_is_explained(quota: str, limit: float) -> None:
    """The error names the quota, and what would do."""
    with pytest.raises(ConfigurationError, match=quota):
        limits_in(table_with({quota: limit}))


def test_no_limit_is_the_most_there_is() -> None:
    """`inf` becomes the largest value the protocol has."""
    limits = limits_in(table_with({"topic-bytes": float("inf"), "packet-bytes": float("inf")}))
    assert (limits.topic_bytes, limits.packet_bytes) == (65_535, 268_435_455)


def test_every_quota_the_broker_counts_is_in_the_tables() -> None:
    """A cause that names a quota can be looked up."""
    ids = {cause.quota for cause in Cause} - {None}
    for name in ("default", "low"):
        assert ids <= named_table(name, "us-east-1").quotas.keys()


@pytest.mark.parametrize(
    ("quota", "fitting", "oversized"),
    [
        ("topic-bytes", {"topic": LONG}, {"topic": LONG + "x"}),
        ("topic-slashes", {"topic": "a/b/c/d/e/f/g/h"}, {"topic": "a/b/c/d/e/f/g/h/i"}),
        ("payload-bytes", {"payload": b"x" * 131_072}, {"payload": b"x" * 131_073}),
        (
            "user-properties-bytes",
            {"user_properties": [("k", "v" * 8_191)]},
            {"user_properties": [("k", "v" * 8_192)]},
        ),
        (
            "correlation-data-bytes",
            {"correlation_data": b"x" * 8_192},
            {"correlation_data": b"x" * 8_193},
        ),
        ("content-type-bytes", {"content_type": "x" * 256}, {"content_type": "x" * 257}),
        ("topic-aliases", {"topic_alias": 8}, {"topic_alias": 9}),
    ],
)
def test_publishes_at_a_size_and_above_it(
    make_throttled: Callable[..., Bench],
    quota: str,
    fitting: dict[str, Any],
    oversized: dict[str, Any],
) -> None:
    """The first is taken; the second is counted under the quota, with its client."""
    bench = make_throttled()
    client = bench.join("c")
    client.publish(**{"topic": "t", "qos": 1, **fitting})
    assert client.codes(mqtt5.PubAckPacket) == [0]
    assert broken(bench) == {}
    client.publish(**{"topic": "t", "qos": 1, **oversized})
    assert broken(bench) == {quota: 1}
    assert bench.broker.quota_report()[quota]["clients"] == [
        {"client_id": "c", "refused": 1, "excess": 0}
    ]


def test_packets_of_146_kb(make_throttled: Callable[..., Bench]) -> None:
    """149,504 bytes are the most; the connection ends with 0x95 at one more."""
    bench = make_throttled({"payload-bytes": 200_000})
    client = bench.join("c")
    fitting = mqtt5.PublishPacket("t", b"x" * (149_504 - 8)).write()
    assert len(fitting) == 149_504
    client.send(fitting)
    assert not client.is_closed
    client.send(mqtt5.PublishPacket("t", b"x" * (149_505 - 8)).write())
    assert client.codes(mqtt5.DisconnectPacket) == [0x95]
    assert broken(bench) == {"packet-bytes": 1}


@pytest.mark.parametrize(
    ("quota", "fitting", "oversized", "code"),
    [
        ("client-id-bytes", {"client_id": "x" * 128}, {"client_id": "y" * 129}, 0x85),
        (
            "client-packet-bytes-least",
            {"client_id": "a", "max_packet_size": 512},
            {"client_id": "b", "max_packet_size": 511},
            0x80,
        ),
        (
            "content-type-bytes",
            {"client_id": "a", "will": mqtt5.Will("t", content_type="x" * 256)},
            {"client_id": "b", "will": mqtt5.Will("t", content_type="x" * 257)},
            0x97,
        ),
    ],
)
def test_connects_at_a_size_and_above_it(
    make_throttled: Callable[..., Bench],
    quota: str,
    fitting: dict[str, Any],
    oversized: dict[str, Any],
    code: int,
) -> None:
    """The first is accepted, the second refused and counted under the quota."""
    bench = make_throttled()
    assert bench.connect(**fitting).codes(mqtt5.ConnAckPacket) == [0]
    assert bench.connect(**oversized).codes(mqtt5.ConnAckPacket) == [code]
    assert broken(bench) == {quota: 1}


@pytest.mark.parametrize(
    ("quota", "pattern", "code"),
    [
        ("topic-bytes", LONG + "x", 0x8F),
        ("topic-bytes", f"$share/g/{LONG}x", 0x8F),
        ("topic-slashes", "a/b/c/d/e/f/g/h/#", 0x8F),
    ],
)
def test_filters_above_a_size(
    make_throttled: Callable[..., Bench], quota: str, pattern: str, code: int
) -> None:
    """Counted under the quota, the prefix of a shared subscription aside."""
    bench = make_throttled()
    suback = bench.join("c").subscribe(f"$share/g/{LONG}", "a/b/c/d/e/f/g/#", pattern)
    assert [int(answer) for answer in suback.reason_codes] == [1, 1, code]
    assert broken(bench) == {quota: 1}


def test_filters_of_a_subscribe_and_of_a_connection(make_throttled: Callable[..., Bench]) -> None:
    """Eight in a packet and fifty in all."""
    bench = make_throttled()
    client = bench.join("c")
    for start in range(0, 48, 8):
        suback = client.subscribe(*(f"t/{start + number}" for number in range(8)))
        assert [int(code) for code in suback.reason_codes] == [1] * 8
    nine = client.subscribe(*(f"u/{number}" for number in range(9)))
    assert [int(code) for code in nine.reason_codes] == [0x97] * 9
    three = client.subscribe("u/1", "u/2", "u/3")
    assert [int(code) for code in three.reason_codes] == [1, 1, 0x97]
    assert broken(bench) == {"filters-per-subscribe": 1, "subscriptions-per-connection": 1}


def test_limits_of_a_table_are_in_force(make_throttled: Callable[..., Bench]) -> None:
    """CONNACK announces them, and the broker adjusts to them."""
    bench = make_throttled(
        {
            "unacknowledged-in-per-client": 7,
            "unacknowledged-out-per-client": 3,
            "topic-aliases": 2,
            "packet-bytes": 4_000,
            "session-expiry": 604_800,
            "keep-alive-least": 5,
            "subscriptions-per-connection": 60,
            "topic-slashes": 8,
        }
    )
    client = bench.connect("c", clean_start=False, session_expiry_interval=700_000, keep_alive=1)
    (connack,) = client.take(mqtt5.ConnAckPacket)
    assert (connack.receive_max, connack.topic_alias_max, connack.max_packet_size) == (7, 2, 4_000)
    assert (connack.session_expiry_interval, connack.server_keep_alive) == (604_800, 5)
    for number in range(60):
        assert int(client.subscribe(f"a/b/c/d/e/f/g/h/{number}").reason_codes[0]) == 1
    assert int(client.subscribe("t").reason_codes[0]) == 0x97
    for _ in range(5):
        client.publish("a/b/c/d/e/f/g/h/1", qos=1)
    assert len(client.take(mqtt5.PublishPacket)) == 3
