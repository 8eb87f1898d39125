"""What is known of a client's connection, also for a while after it ended.

The answer to the GetConnection API (AWS IoT Core developer guide, "MQTT client connections"): the
end of a connection is remembered for 30 minutes. Knows nothing about HTTP.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulator.iotcore.broker.connection import Connection
    from simulator.iotcore.broker.lifecycle import DisconnectReason
    from simulator.iotcore.broker.peer import Peer

MEMORY_S: Final = 1_800.0
ENDS_MAX: Final = 100_000
"""Ends remembered. Full: the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Connectivity:
    """A connection, open or ended.

    Attributes:
        client_id: Whose.
        is_connected: Whether it is open.
        since_unix_s: When it began, or when it ended.
        reason: Why it ended; None while it is open.
        peer: The other end.
        keep_alive_s: The keep-alive that was agreed on.
        session_expiry_s: How long its session outlives it.
    """

    client_id: str
    is_connected: bool
    since_unix_s: float
    reason: DisconnectReason | None
    peer: Peer
    keep_alive_s: int
    session_expiry_s: int


class RecentEnds:
    """The last end of each client's connection.

    Args:
        unix_s_at_zero: Unix time at the moment `now_s` was 0.
    """

    __slots__ = ("_ends", "_unix_s_at_zero")

    def __init__(self, unix_s_at_zero: float) -> None:
        self._unix_s_at_zero = unix_s_at_zero
        # Oldest first.
        self._ends: OrderedDict[str, tuple[float, Connectivity]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ends)

    def ended(self, connection: Connection, reason: DisconnectReason, now_s: float) -> None:
        """Remember the end of a connection that had a session."""
        session = connection.session
        if session is None:
            return
        end = Connectivity(
            session.client_id,
            False,
            self._unix_s_at_zero + now_s,
            reason,
            connection.peer,
            connection.keep_alive_s,
            session.expiry_s,
        )
        self._ends.pop(session.client_id, None)
        self._ends[session.client_id] = (now_s, end)
        while len(self._ends) > ENDS_MAX or self._is_past(now_s):
            self._ends.popitem(last=False)

    def _is_past(self, now_s: float) -> bool:
        return now_s - next(iter(self._ends.values()))[0] > MEMORY_S

    def of(self, client_id: str, now_s: float) -> Connectivity | None:
        """The end of a client's last connection, if it is not longer ago than half an hour."""
        at_s, end = self._ends.get(client_id, (0.0, None))
        return end if end is not None and now_s - at_s <= MEMORY_S else None

    def is_open(self, connection: Connection) -> Connectivity:
        """What is known of an open connection that has a session."""
        session = connection.session
        return Connectivity(
            connection.client_id,
            True,
            self._unix_s_at_zero + connection.connected_at_s,
            None,
            connection.peer,
            connection.keep_alive_s,
            session.expiry_s if session is not None else 0,
        )
