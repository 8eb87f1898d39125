"""What all applications of a run have in common: connections that subscribe and come back.

Owns the way of an application's connection from CONNECT to its subscriptions, and its return when
it is lost. What is read or sent on it is up to the subclasses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Final

from simulator.load.connection.client import Client, Settings
from simulator.load.connection.reason_codes import FAILURE
from simulator.load.connection.reconnecting import delay_s
from simulator.scenario.schema import Reconnect

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mqtt5

    from simulator.load.connection.client import Pending
    from simulator.load.target.identities import KeyPair
    from simulator.load.workspace import WorkSpace

FILTERS_PER_SUBSCRIBE: Final = 8
"""AWS IoT Core takes no more in one SUBSCRIBE (endpoints and quotas, "Subscriptions per
subscribe request")."""

_KEEP_ALIVE_S: Final = 60
_RECONNECT: Final = Reconnect(policy="backoff", first=0.5, longest=5.0)


class Application(ABC):
    """The connections of one group of applications on one worker.

    Args:
        name: Name of the group.
        qos: QoS of the subscriptions.
        names: Client id of each connection.
        pairs: Identity of each connection, or None.
        seed: Seed of the scenario.
        work: What all parts of a worker share.

    Attributes:
        clients: The connections.
        bytes_in: Bytes read since the worker last asked.
        bytes_out: Bytes written since then.
    """

    def __init__(
        self,
        name: str,
        qos: int,
        names: Sequence[str],
        pairs: Sequence[KeyPair | None],
        *,
        seed: int,
        work: WorkSpace,
    ) -> None:
        self.name = name
        self.bytes_in = 0
        self.bytes_out = 0
        self._qos = qos
        self._seed = seed
        self._work = work
        self._is_over = False
        self._losses = [0] * len(names)
        # SUBSCRIBEs of each connection that were not granted yet.
        self._unanswered = [0] * len(names)
        self._ready = [False] * len(names)
        settings = Settings(keep_alive_s=_KEEP_ALIVE_S)
        self.clients = [
            Client(self, index, client_id, settings, work.loop, work.clock, pairs[index])
            for index, client_id in enumerate(names)
        ]

    # Connecting

    @property
    def is_ready(self) -> bool:
        """Whether every connection has its subscriptions."""
        return all(self._ready)

    def connect(self) -> None:
        """Let every connection connect and subscribe."""
        for client in self.clients:
            client.connect(self._work.endpoint)

    def _connect(self, index: int, _now_s: float) -> None:
        if not self._is_over:
            self.clients[index].connect(self._work.endpoint)

    @abstractmethod
    def _filters_of(self, index: int) -> Sequence[str]:
        """What a connection subscribes to."""

    def client_linked(self, client: Client, now_s: float, /) -> None:  # noqa: B027 - no duty
        """TLS stands; only cars are timed."""

    def client_connected(self, client: Client, now_s: float, /) -> None:
        """Subscribe."""
        filters = self._filters_of(client.index)
        self._unanswered[client.index] = 0
        for start in range(0, len(filters), FILTERS_PER_SUBSCRIBE):
            chunk = filters[start : start + FILTERS_PER_SUBSCRIBE]
            client.subscribe([(name, self._qos) for name in chunk], now_s)
            self._unanswered[client.index] += 1
        if not filters:
            self._ready[client.index] = True

    def client_subscribed(self, client: Client, reasons: list[int], /) -> None:
        """A SUBACK came. One that refuses a filter leaves the connection without all it needs."""
        self._work.meter.subscribed(reasons)
        if all(reason < FAILURE for reason in reasons):
            self._unanswered[client.index] -= 1
        if self._unanswered[client.index] == 0:
            self._ready[client.index] = True

    def client_ended(self, client: Client, cause: str, /, *, was_connected: bool) -> None:  # noqa: ARG002 - of the protocol
        """The connection ended; come back."""
        if self._is_over:
            return
        work, index = self._work, client.index
        work.meter.reason(f"{cause} ({self.name})")
        self._losses[index] += 1
        wait_s = delay_s(_RECONNECT, client.attempts, self._seed, -1 - index, self._losses[index])
        if wait_s is not None:
            work.agenda.at(work.clock() + wait_s, partial(self._connect, index))

    # Between start and end

    @abstractmethod
    def client_message(self, client: Client, packet: mqtt5.PublishPacket, /) -> None:
        """A message came in."""

    def client_acknowledged(  # noqa: B027 - not every application publishes
        self, client: Client, pending: Pending, reason: int, /
    ) -> None:
        """A publish was answered; for those that publish."""

    def client_resent(self, client: Client, count: int, /) -> None:  # noqa: B027 - same
        """Publishes were sent again; for those that publish."""

    @abstractmethod
    def flush(self) -> None:
        """Hand what was counted since the last time to the meter."""

    def look_after(self, now_s: float) -> None:
        """Look after the connections: pings, time-outs."""
        for client in self.clients:
            if client.link is not None:
                client.look_after(now_s)

    def end(self) -> None:
        """The run is over: disconnect, and do not come back."""
        self._is_over = True
        for client in self.clients:
            client.disconnect()
