"""Probes against a real stand-in, enforcing and observing; and against one that does it wrong."""

from __future__ import annotations

from simulator.scenario.edges import chosen
from tests.simulator.load.probing.grounds import probed

OF_CLIENTS = sorted({edge.quota for edge in chosen("clients", None)})

# AWS IoT Core developer guide, "MQTT" and "Throttling"; AWS IoT Core endpoints and quotas: what a
# client sees above each quota. Amounts follow from the limits by hand.
ABOVE = {
    "connects-per-client-id": "1 of 2: CONNACK 0x97",
    "client-id-bytes": "129: CONNACK 0x85",
    "client-packet-bytes-least": "511: CONNACK 0x80",
    "keep-alive-least": "29: adjusted",
    "keep-alive-most": "1,201: adjusted",
    "session-expiry": "3,601: adjusted",
    "throughput-per-connection": "1,024: delayed",
    "unacknowledged-in-per-client": "100: announced",
    "unacknowledged-out-per-client": "120: waits for PUBACK",
    "payload-bytes": "131,073: DISCONNECT 0x97",
    "packet-bytes": "149,505: DISCONNECT 0x95",
    "topic-bytes": "257: PUBACK 0x90",
    "topic-slashes": "8: PUBACK 0x90",
    "topic-aliases": "9: DISCONNECT 0x94",
    "user-properties-bytes": "8,193: PUBACK 0x97",
    "correlation-data-bytes": "8,193: PUBACK 0x97",
    "content-type-bytes": "257: PUBACK 0x97",
    "message-expiry": "608,400: adjusted",
    "filters-per-subscribe": "9 of 9: SUBACK 0x97",
    "subscriptions-per-connection": "5 of 55: SUBACK 0x97",
    "replayed-per-session": "25: delayed",
    "replayed-per-group-member": "40: delayed",
    "retained-publishes-per-topic": "1 of 2: no PUBACK",
}
# How many are refused depends on how long the burst takes, in which a bucket refills.
ABOVE_ABOUT = {
    "publishes-per-connection-in": "of 130: no PUBACK",
    "publishes-per-connection-out": "of 130: not delivered",
}


async def test_the_edges_of_one_client_are_enforced() -> None:
    """Below nothing happens; above it is what AWS documents, and counted for who did it."""
    rows = await probed(OF_CLIENTS, "enforce")

    assert {row.name: row.note for row in rows.values() if row.state != "held"} == {}
    assert {name: rows[name].above for name in ABOVE} == ABOVE
    for name, words in ABOVE_ABOUT.items():
        assert words in rows[name].above
        assert 1 <= (rows[name].counted or 0) <= 30
    assert rows["payload-bytes"].below == "131,072 accepted"
    assert rows["payload-bytes"].limit == "131,072 bytes"
    assert rows.keys() == ABOVE.keys() | ABOVE_ABOUT.keys()


async def test_observing_lets_rates_pass_and_counts_them() -> None:
    """What is a limit of the protocol is enforced all the same."""
    rows = await probed(OF_CLIENTS, "observe")

    assert {row.name: row.note for row in rows.values() if row.state != "held"} == {}
    assert rows["publishes-per-connection-in"].above == "130 accepted"
    assert 1 <= (rows["publishes-per-connection-in"].counted or 0) <= 30
    assert rows["connects-per-client-id"].above == "2 accepted"
    assert rows["connects-per-client-id"].counted == 1
    assert rows["payload-bytes"].above == ABOVE["payload-bytes"]


async def test_the_account_is_an_edge_for_all_together() -> None:
    """Fifty CONNECTs a second and a thousand publishes: what comes above is refused and counted."""
    rows = await probed(["connects-per-account", "publishes-in-per-account"], "enforce")
    connects, publishes = rows["connects-per-account"], rows["publishes-in-per-account"]

    assert (connects.state, publishes.state) == ("held", "held")
    assert connects.below == "40 accepted"
    assert connects.above.endswith("of 80: CONNACK 0x97")
    assert 1 <= (connects.counted or 0) <= 30
    assert publishes.below == "800 accepted"
    assert publishes.above.endswith("of 2,000: no PUBACK")
    assert 1 <= (publishes.counted or 0) <= 1_000


async def test_a_stand_in_without_the_quotas_fails() -> None:
    """Probes that go above a limit that is not there say so, and size limits hold as ever."""
    rows = await probed(["publishes-per-connection", "topic-bytes"], "enforce", in_force="off")

    assert rows["publishes-per-connection-in"].state == "failed"
    assert rows["publishes-per-connection-in"].note == (
        "above: 130 accepted, where no PUBACK is documented"
    )
    assert rows["topic-bytes"].state == "held"
