"""The status of a stand-in as a document: what `/_core/status` sends and `morai-sim status` reads.

Owns the names and their types; the JSON has the same ones, with units in the keys. Derives nothing.
Holds no secret: client ids, addresses and counts, and nothing of what clients say.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

FORMAT: Final = "morai-edge/core-status/1"


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """The stand-in's clock.

    Attributes:
        unix_s: Its Unix time.
        ahead_s: How far it is ahead of the machine's.
        may_travel: Whether it may be moved from outside.
    """

    unix_s: float
    ahead_s: float
    may_travel: bool


class Talker(msgspec.Struct, frozen=True, kw_only=True):
    """A connected client with much traffic.

    Attributes:
        client_id: Which.
        address: Where it connects from.
        in_per_s: PUBLISH packets it sends, over the last 10 to 20 seconds.
        out_per_s: PUBLISH packets it gets.
        publishes_in: The same since it connected.
        publishes_out: The same since it connected.
        subscriptions: Its filters.
        queued: Messages that wait for it.
    """

    client_id: str
    address: str
    in_per_s: float
    out_per_s: float
    publishes_in: int
    publishes_out: int
    subscriptions: int
    queued: int


class RefusedClient(msgspec.Struct, frozen=True):
    """How often a quota refused a client; too high by at most `excess`."""

    client_id: str
    refused: int
    excess: int


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a quota refused, or would have.

    Attributes:
        quota: Its id.
        refused: How often.
        clients: Whom, the most often first; see `throttling.talkers` about their number.
        text: The same in a sentence.
    """

    quota: str
    refused: int
    clients: list[RefusedClient]
    text: str


class QuotaReading(msgspec.Struct, frozen=True, kw_only=True):
    """The quotas in force.

    Attributes:
        table: Name of the table, or `off`.
        date: Of the table; empty when they are off.
        mode: `enforce`, `observe`, or `off`.
        refusals: By quota, the most often broken first.
    """

    table: str
    date: str
    mode: str
    refusals: list[Refusal]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The whole status.

    Attributes:
        format: Of this document.
        version: Of the program.
        host: Address it listens on.
        port: Port it listens on.
        region: In ARNs.
        account: In ARNs.
        uptime_s: How long it listens.
        clock: Its clock.
        connections: Open ones that speak MQTT.
        http_connections: Open ones that speak HTTP.
        tls_pending: Handshakes under way.
        sessions: Online and stored.
        retained_messages: Topics with a stored message.
        registered: Certificates, things and so on that are registered, by kind.
        totals: Running totals.
        per_s: The rate of each of them over the last ten seconds.
        causes: What was refused, dropped or ended, by cause; those of quotas begin with `quota:`.
        quotas: The quotas, and what they refused.
        talkers: Clients with most traffic, the busiest first.
        services: Of each service behind reserved topics, its figures.
        api: Figures of the AWS API; None when it is not served.
        persistence: Figures of the data directory; None without one.
    """

    format: str = FORMAT
    version: str
    host: str
    port: int
    region: str
    account: str
    uptime_s: float
    clock: ClockReading
    connections: int
    http_connections: int
    tls_pending: int
    sessions: int
    retained_messages: int
    registered: dict[str, int]
    totals: dict[str, int]
    per_s: dict[str, float]
    causes: dict[str, int]
    quotas: QuotaReading
    talkers: list[Talker]
    services: dict[str, dict[str, Any]]
    api: dict[str, Any] | None = None
    persistence: dict[str, Any] | None = None
