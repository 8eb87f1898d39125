"""The edges of quotas that can be probed: which quota, what just below and just above it does.

A catalogue and nothing else: each entry names a quota, what clients do (`Act`), how much of it on
either side of the limit, and what a client sees above it. Amounts follow from the limit in force,
so that one catalogue fits every quota table. What the acts are in packets is known to
`simulator.load.probing`, what the outcome is worth to `simulator.report.edges`. Pure data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

CLIENTS_MAX: Final = 256
"""Clients of probes that are open at one time, at most."""


class Act(StrEnum):
    """What clients do to come to an edge."""

    CONNECT_AGAIN = "CONNECTs of one client id, one right after the other"
    CONNECT_AT_ONCE = "CONNECTs of different clients in one moment"
    STAY_CONNECTED = "clients that connect at a calm pace and stay"
    CLIENT_ID = "a client id of a length"
    PACKET_MAXIMUM = "a CONNECT that announces a Maximum Packet Size"
    KEEP_ALIVE = "a CONNECT with a Keep Alive"
    SESSION_EXPIRY = "a CONNECT with a Session Expiry Interval"
    RECEIVE_MAXIMUM = "QoS 1 publishes that do not wait for each other"
    PUBLISH = "publishes of one connection at once"
    PUBLISH_TOGETHER = "publishes of many connections at once"
    RECEIVE = "publishes for one subscriber at once"
    RECEIVE_TOGETHER = "deliveries to many subscribers at once"
    RECEIVE_UNACKNOWLEDGED = "publishes for a subscriber that sends no PUBACK"
    SEND_KILOBYTES = "kilobytes of one connection at once"
    PAYLOAD = "a publish with a payload of a size"
    PACKET = "a publish whose packet has a size"
    TOPIC_BYTES = "a publish with a topic of a length"
    TOPIC_SLASHES = "a publish with a topic of a depth"
    TOPIC_ALIAS = "a publish with a topic alias"
    USER_PROPERTIES = "a publish with user properties of a size"
    CORRELATION_DATA = "a publish with correlation data of a size"
    CONTENT_TYPE = "a publish with a content type of a length"
    MESSAGE_EXPIRY = "a publish with a Message Expiry Interval"
    SUBSCRIBE = "filters of one connection"
    SUBSCRIBE_IN_ONE = "filters in one SUBSCRIBE"
    SUBSCRIBE_AT_ONCE = "filters of many connections at once"
    STAY_SUBSCRIBED = "filters of many connections at a calm pace"
    MAKE_GROUPS = "shared groups"
    JOIN_GROUP = "members of one shared group"
    CHANGE_GROUP = "SUBSCRIBEs and UNSUBSCRIBEs of one shared group at once"
    STORE = "messages for sessions that are away, at once"
    STORE_FOR_GROUP = "messages for a shared group whose member is away"
    REPLAY = "stored messages for a session that comes back"
    REPLAY_FOR_GROUP = "stored messages for a group member that comes back"
    RETAIN_AGAIN = "retained publishes on one topic at once"
    RETAIN_AT_ONCE = "retained publishes on many topics at once"
    FILL_STORE = "topics with a retained message, at a calm pace"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much, in terms of the limit.

    Attributes:
        times: Of the limit.
        plus: And this much more.
    """

    times: float = 1.0
    plus: float = 0.0

    def of(self, limit: float) -> int:
        """The amount at a limit, rounded to a whole number, at least 1."""
        return max(1, round(self.times * limit + self.plus))


Counted: TypeAlias = Literal["each", "once", "never"]
"""How often the stand-in counts what it refuses: every event that a client sees refused, at least
once, or never, because the quota only delays or adjusts."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One quota and both sides of it.

    Attributes:
        name: Unique; that of the quota, with what is done where a quota has several edges.
        quota: Id of the quota in `simulator.quotas`.
        act: What clients do.
        below: How much of it must be accepted.
        above: How much of it must not.
        effect: What a client sees of that: a packet with its reason code, or one word.
        counted: How often the stand-in counts it.
        is_of_account: Whether it uses up what all clients share, so that nothing else may run.
        reach: The highest limit at which it is probed; a higher one takes too many clients, or too
            long.
    """

    name: str
    quota: str
    act: Act
    below: Amount
    above: Amount
    effect: str
    counted: Counted = "each"
    is_of_account: bool = False
    reach: float = math.inf


NO_PUBACK: Final = "no PUBACK"
NOT_DELIVERED: Final = "not delivered"
ADJUSTED: Final = "adjusted"
ANNOUNCED: Final = "announced"
DELAYED: Final = "delayed"
WAITS: Final = "waits for PUBACK"

_CONNACK: Final = "CONNACK 0x97"
_SUBACK: Final = "SUBACK 0x97"

_AT: Final = Amount()
_ONE_MORE: Final = Amount(plus=1)
_ONE_LESS: Final = Amount(plus=-1)
_NEAR: Final = Amount(0.9)
_SOME_MORE: Final = Amount(1.3)
_WELL_BELOW: Final = Amount(0.8)
_DOUBLE: Final = Amount(2.0)
# What is refilled while it is used up needs an amount that outruns the refill.


def _account(
    quota: str,
    act: Act,
    effect: str,
    reach: float,
    *,
    below: Amount = _WELL_BELOW,
    above: Amount = _DOUBLE,
    counted: Counted = "each",
) -> Edge:
    return Edge(quota, quota, act, below, above, effect, counted, is_of_account=True, reach=reach)


def _client(
    quota: str,
    act: Act,
    effect: str,
    *,
    below: Amount = _AT,
    above: Amount = _ONE_MORE,
    counted: Counted = "each",
    name: str = "",
    reach: float = math.inf,
) -> Edge:
    return Edge(name or quota, quota, act, below, above, effect, counted, reach=reach)


EDGES: Final[tuple[Edge, ...]] = (
    _client("connects-per-client-id", Act.CONNECT_AGAIN, _CONNACK, reach=20),
    _client("client-id-bytes", Act.CLIENT_ID, "CONNACK 0x85", reach=4096),
    _client(
        "client-packet-bytes-least", Act.PACKET_MAXIMUM, "CONNACK 0x80", above=_ONE_LESS, reach=1e6
    ),
    _client("keep-alive-least", Act.KEEP_ALIVE, ADJUSTED, above=_ONE_LESS, counted="never"),
    _client("keep-alive-most", Act.KEEP_ALIVE, ADJUSTED, counted="never", reach=65_000),
    _client("session-expiry", Act.SESSION_EXPIRY, ADJUSTED, counted="never", reach=4e9),
    _client(
        "publishes-per-connection",
        Act.PUBLISH,
        NO_PUBACK,
        below=_NEAR,
        above=_SOME_MORE,
        name="publishes-per-connection-in",
        reach=1_000,
    ),
    _client(
        "publishes-per-connection",
        Act.RECEIVE,
        NOT_DELIVERED,
        below=_NEAR,
        above=_SOME_MORE,
        name="publishes-per-connection-out",
        reach=1_000,
    ),
    _client(
        "throughput-per-connection",
        Act.SEND_KILOBYTES,
        DELAYED,
        below=_WELL_BELOW,
        above=_DOUBLE,
        counted="once",
        reach=8_192,
    ),
    _client(
        "unacknowledged-in-per-client",
        Act.RECEIVE_MAXIMUM,
        ANNOUNCED,
        below=_WELL_BELOW,
        above=_AT,
        counted="never",
        reach=1_000,
    ),
    _client(
        "unacknowledged-out-per-client",
        Act.RECEIVE_UNACKNOWLEDGED,
        WAITS,
        below=_NEAR,
        above=Amount(1.2),
        counted="never",
        reach=200,
    ),
    _client("payload-bytes", Act.PAYLOAD, "DISCONNECT 0x97", reach=1e7),
    _client(
        "packet-bytes",
        Act.PACKET,
        "DISCONNECT 0x95",
        below=Amount(plus=-2_048),
        counted="once",
        reach=1e7,
    ),
    _client("topic-bytes", Act.TOPIC_BYTES, "PUBACK 0x90", reach=60_000),
    _client("topic-slashes", Act.TOPIC_SLASHES, "PUBACK 0x90", reach=100),
    _client("topic-aliases", Act.TOPIC_ALIAS, "DISCONNECT 0x94", reach=65_000),
    _client("user-properties-bytes", Act.USER_PROPERTIES, "PUBACK 0x97", reach=60_000),
    _client("correlation-data-bytes", Act.CORRELATION_DATA, "PUBACK 0x97", reach=60_000),
    _client("content-type-bytes", Act.CONTENT_TYPE, "PUBACK 0x97", reach=60_000),
    _client(
        "message-expiry",
        Act.MESSAGE_EXPIRY,
        ADJUSTED,
        above=Amount(plus=3_600),
        counted="never",
        reach=4e9,
    ),
    _client("filters-per-subscribe", Act.SUBSCRIBE_IN_ONE, _SUBACK, counted="once", reach=100),
    _client(
        "subscriptions-per-connection", Act.SUBSCRIBE, _SUBACK, above=Amount(plus=5), reach=500
    ),
    _client(
        "replayed-per-session",
        Act.REPLAY,
        DELAYED,
        above=Amount(2.5),
        counted="never",
        reach=50,
    ),
    _client(
        "replayed-per-group-member",
        Act.REPLAY_FOR_GROUP,
        DELAYED,
        # More than the group may store would not be there to be sent again.
        above=Amount(2.0),
        counted="never",
        reach=50,
    ),
    _client("retained-publishes-per-topic", Act.RETAIN_AGAIN, NO_PUBACK, reach=20),
    _account("connects-per-account", Act.CONNECT_AT_ONCE, _CONNACK, 100, above=Amount(1.5, plus=5)),
    _account("connections-per-account", Act.STAY_CONNECTED, _CONNACK, 200, above=Amount(1.1)),
    _account("publishes-in-per-account", Act.PUBLISH_TOGETHER, NO_PUBACK, 2_000),
    _account("publishes-out-per-account", Act.RECEIVE_TOGETHER, NOT_DELIVERED, 2_000),
    _account("subscribes-per-account", Act.SUBSCRIBE_AT_ONCE, _SUBACK, 500),
    _account("subscriptions-per-account", Act.STAY_SUBSCRIBED, _SUBACK, 1_000, above=Amount(1.1)),
    _account("shared-groups", Act.MAKE_GROUPS, _SUBACK, 500, above=Amount(1.1)),
    _account("shared-subscriptions-per-group", Act.JOIN_GROUP, _SUBACK, 200, above=Amount(1.1)),
    _account("shared-changes-per-group", Act.CHANGE_GROUP, _SUBACK, 200),
    _account("queued-per-account", Act.STORE, NOT_DELIVERED, 200),
    _account("queued-per-shared-group", Act.STORE_FOR_GROUP, NOT_DELIVERED, 100, above=_SOME_MORE),
    _account("retained-publishes-per-account", Act.RETAIN_AT_ONCE, NO_PUBACK, 500),
    _account("retained-messages", Act.FILL_STORE, NO_PUBACK, 500, above=Amount(1.2)),
)
"""Every quota of the message broker but `qos1-retry`, whose sixteen minutes nobody waits for."""

PROBED: Final = tuple(dict.fromkeys(edge.quota for edge in EDGES))
"""The ids of the quotas that have edges."""

BY_NAME: Final = {edge.name: edge for edge in EDGES}


def chosen(of: Literal["all", "clients", "account"], quotas: list[str] | None) -> tuple[Edge, ...]:
    """The edges that are asked for, in the order of the catalogue.

    Args:
        of: Those of one client, of what clients share, or both.
        quotas: Of these quotas only; None for all.
    """
    return tuple(
        edge
        for edge in EDGES
        if (of == "all" or edge.is_of_account == (of == "account"))
        and (quotas is None or edge.quota in quotas)
    )
