"""What the clients of one side of an edge have: names, topics, connections, and a calm pace.

Every side has client ids and topics of its own, so that nothing it did is left for the other, and
so that the stand-in's counts by client tell the sides apart. What only prepares a side must not use
up a rate of the account itself: it waits its turn in buckets that are emptier than the broker's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from simulator.fleet_policies import probe_topics
from simulator.iotcore.throttling.bucket import TokenBucket
from simulator.load.probing.talker import FAILURE, ProbeError, Talker

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from simulator.load.target.opening import Route
    from simulator.quotas.table import QuotaTable

_CALM: Final = 0.7
"""Share of a rate of the account that preparations use, and of the burst that it allows."""

_CALM_BURST: Final = 0.25
_FASTEST_PER_S: Final = 200.0
"""No more than this, whatever a table allows: a TLS handshake costs two milliseconds."""


class Seen(NamedTuple):
    """What one side of an edge came to; see `simulator.load.records.ProbedSide`."""

    tried: int
    accepted: int
    refused: int
    effect: str


class Paces:
    """How fast preparations may use the rates of the account. Shared by all probes of a run.

    Args:
        table: The quotas in force.
    """

    def __init__(self, table: QuotaTable) -> None:
        self._table = table
        self._buckets: dict[str, TokenBucket] = {}

    async def turn(self, quota: str) -> None:
        """Wait for one event of a rate."""
        bucket = self._buckets.get(quota)
        if bucket is None:
            per_s = min(_CALM * self._table.limit(quota), _FASTEST_PER_S)
            bucket = TokenBucket(per_s, max(1.0, _CALM_BURST * per_s))
            self._buckets[quota] = bucket
        # Into debt, so that whoever comes next waits behind this one.
        await asyncio.sleep(bucket.owe(1.0, asyncio.get_running_loop().time()))


class Ground:
    """The clients of one side of an edge. Close it in the end.

    Args:
        table: The quotas in force.
        paces: How fast preparations may go.
        route: Where to connect.
        context: TLS, with the probes' certificate.
        fleet: The fleet level of the topics.
        prefix: How the client ids begin.
        topics: Where the topics begin, below those of all probes.
    """

    def __init__(
        self,
        table: QuotaTable,
        paces: Paces,
        route: Route,
        context: ssl.SSLContext,
        *,
        fleet: str,
        prefix: str,
        topics: str,
    ) -> None:
        self.prefix = prefix
        self._table = table
        self._paces = paces
        self._route = route
        self._context = context
        self._root = probe_topics(fleet)
        self._topics = f"{self._root}/{topics}"
        self._talkers: list[Talker] = []

    async def close(self) -> None:
        """End every connection."""
        await asyncio.gather(*(talker.close() for talker in self._talkers))
        self._talkers.clear()

    # Names

    def limit(self, quota: str) -> float:
        """The limit of a quota."""
        return self._table.limit(quota)

    def client_id(self, number: int = 0) -> str:
        """The client id with a number."""
        return f"{self.prefix}{number}"

    def client_id_of(self, length: int) -> str:
        """A client id of a length in bytes.

        Raises:
            ProbeError: It is too short for a name.
        """
        if length < len(self.prefix):
            raise ProbeError(f"no client id has {length} bytes: all begin with {self.prefix}")
        return self.prefix.ljust(length, "x")

    def topic(self, level: str = "t") -> str:
        """A topic of this side."""
        return f"{self._topics}/{level}"

    def topic_of(self, length: int) -> str:
        """A topic of a length in bytes.

        Raises:
            ProbeError: It is too short for one.
        """
        if length <= len(self._root) + 1:
            raise ProbeError(f"no topic of a probe has {length} bytes")
        return f"{self._root}/".ljust(length, "x")

    def topic_with(self, slashes: int) -> str:
        """A topic with so many slashes.

        Raises:
            ProbeError: It is too flat.
        """
        own = slashes - self._root.count("/")
        if own < 1:
            raise ProbeError(f"no topic of a probe has {slashes} slashes")
        return self._root + "/x" * own

    # Clients

    async def linked(self) -> Talker:
        """A client whose TLS stands and that has not said a word of MQTT."""
        route = self._route
        tls = route.tls
        talker = Talker(route.address(0), self._context, "" if tls is None else tls.server_name)
        self._talkers.append(talker)
        await talker.link()
        return talker

    async def client(
        self, number: int = 0, *, session_expiry_s: int = 0, is_new: bool = True
    ) -> Talker:
        """A connected client.

        Args:
            number: Of its client id.
            session_expiry_s: Session Expiry Interval.
            is_new: Whether it begins a new session.

        Raises:
            ProbeError: It is not let in.
        """
        talker = await self.linked()
        await self._paces.turn("connects-per-account")
        talker.send_connect(
            self.client_id(number), session_expiry_s=session_expiry_s, is_new=is_new
        )
        code = await talker.connack_code()
        if code >= FAILURE:
            raise ProbeError(f"could not prepare: CONNACK 0x{code:02X}")
        return talker

    async def clients(
        self, count: int, first: int = 0, *, session_expiry_s: int = 0, is_new: bool = True
    ) -> list[Talker]:
        """Connected clients with numbers from `first` on; see `client`."""
        return [
            await self.client(number, session_expiry_s=session_expiry_s, is_new=is_new)
            for number in range(first, first + count)
        ]

    async def subscribed(self, talker: Talker, filters: Sequence[str], qos: int = 0) -> None:
        """Let a client subscribe, and wait until it has.

        Raises:
            ProbeError: A filter is refused.
        """
        for _ in filters:
            await self.turn("subscribes-per-account")
        packet_id = talker.subscribe(filters, qos)
        await talker.until(lambda: packet_id in talker.granted)
        codes = talker.granted.get(packet_id, [])
        if not codes or max(codes) >= FAILURE:
            raise ProbeError(f"could not prepare: SUBACK {[f'0x{code:02X}' for code in codes]}")

    async def turn(self, quota: str) -> None:
        """Wait until preparations may use a rate of the account."""
        await self._paces.turn(quota)

    async def refilled(self, quota: str) -> None:
        """Wait as long as a bucket of one second's worth takes to be full again.

        One of less than one event a second holds one event.
        """
        await asyncio.sleep(1.1 / min(1.0, max(self.limit(quota), 0.01)))
