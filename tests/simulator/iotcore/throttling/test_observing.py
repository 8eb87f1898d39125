"""Counting what would be refused, and letting it through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5
import pytest

from simulator.iotcore.throttling.account import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench

LIMITS: dict[str, float] = {
    "connects-per-account": 6,
    "connections-per-account": 5,
    "publishes-in-per-account": 20,
    "publishes-per-connection": 12,
    "subscribes-per-account": 3,
    "retained-publishes-per-account": 2,
}


def day_of_work(bench: Bench) -> dict[str, int]:
    """Too much of everything; gives what came through."""
    clients = [bench.connect(f"c{number}") for number in range(8)]
    codes = [int(code) for client in clients for code in client.codes(mqtt5.ConnAckPacket)]
    granted = 0
    for client in clients[:4]:
        suback = client.subscribe(f"private/{client.connection.client_id}")
        granted += int(suback.reason_codes[0]) <= 1
    for number in range(4):
        clients[4].publish(f"r/{number}", qos=1, retain=True)
    for client in clients[:4]:
        for number in range(14):
            client.publish("t", qos=1, packet_id=number + 1)
    acknowledged = sum(len(client.take(mqtt5.PubAckPacket)) for client in clients)
    return {"connected": codes.count(0), "granted": granted, "acknowledged": acknowledged}


def test_observing_lets_everything_through(make_throttled: Callable[..., Bench]) -> None:
    """The counts say what enforcing would have refused of the same events."""
    bench = make_throttled(LIMITS, Mode.OBSERVE)
    came = day_of_work(bench)
    assert came == {"connected": 8, "granted": 4, "acknowledged": 60}
    report = {key: entry["refused"] for key, entry in bench.broker.quota_report().items()}
    assert report == {
        # Eight connect where five may be connected, and the first five use five of six CONNECTs.
        "connections-per-account": 3,
        "subscribes-per-account": 1,
        # Two of four with RETAIN leave 18 for the others: 12 for the first connection's 14, and 6.
        "retained-publishes-per-account": 2,
        "publishes-per-connection": 2,
        "publishes-in-per-account": 8 + 14 + 14,
    }


def test_enforcing_refuses_the_same(make_throttled: Callable[..., Bench]) -> None:
    """Refused and let through add up to what was asked."""
    bench = make_throttled(LIMITS)
    clients = [bench.connect(f"c{number}") for number in range(8)]
    codes = [int(code) for client in clients for code in client.codes(mqtt5.ConnAckPacket)]
    assert codes == [0] * 5 + [0x97] * 3
    for client in clients[:4]:
        for number in range(14):
            client.publish("t", qos=1, packet_id=number + 1)
    acknowledged = [len(client.take(mqtt5.PubAckPacket)) for client in clients[:4]]
    assert acknowledged == [12, 8, 0, 0]
    report = {key: entry["refused"] for key, entry in bench.broker.quota_report().items()}
    assert report == {
        "connections-per-account": 3,
        "publishes-per-connection": 2,
        "publishes-in-per-account": 34,
    }


@pytest.mark.parametrize("mode", list(Mode))
def test_refusals_are_counted_once_and_by_client(
    make_throttled: Callable[..., Bench], mode: Mode
) -> None:
    """One counter with the name of the quota, and the clients by how often they were refused."""
    bench = make_throttled({"publishes-per-connection": 2}, mode)
    for name, publishes in (("calm", 2), ("loud", 9), ("brisk", 4)):
        client = bench.join(name)
        for _ in range(publishes):
            client.publish("t", qos=1)
    totals = bench.broker.counters.as_dict()
    assert {name: n for name, n in totals.items() if ":" in name} == {
        "quota:publishes-per-connection": 9
    }
    assert bench.broker.quota_report() == {
        "publishes-per-connection": {
            "refused": 9,
            "clients": [
                {"client_id": "loud", "refused": 7, "excess": 0},
                {"client_id": "brisk", "refused": 2, "excess": 0},
            ],
        }
    }


def test_a_storm_of_client_ids_does_not_grow_the_report(
    make_throttled: Callable[..., Bench],
) -> None:
    """Two thousand refused clients are counted, 128 of them by name."""
    bench = make_throttled({"connects-per-account": 0})
    for number in range(2_000):
        assert bench.connect(f"c{number}").codes(mqtt5.ConnAckPacket) == [0x97]
    entry = bench.broker.quota_report()["connects-per-account"]
    assert entry["refused"] == 2_000
    assert len(entry["clients"]) == 128
