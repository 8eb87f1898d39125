"""Bytes on their way out, collected per connection until the shell asks for them.

Everything a connection is sent between two calls of `take` leaves as one block. A connection whose
transport is full keeps its bytes here, up to the bounds: above the soft one `has_room` is False and
QoS 0 is dropped, above the hard one the connection is listed in `overflowing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.connection import Connection, Ending, Output

if TYPE_CHECKING:
    from simulator.iotcore.counters import Counters


class Outputs:
    """All connections' outgoing bytes.

    Args:
        soft_bytes: Bound above which an unwritable connection has no room.
        hard_bytes: Bound above which an unwritable connection overflows.
        counters: Where bytes are counted.

    Attributes:
        listed: Connections with something to write or close.
        overflowing: Connections to be closed by the broker because their reader is too slow.
    """

    __slots__ = ("_counters", "_hard_bytes", "_soft_bytes", "listed", "overflowing")

    def __init__(self, soft_bytes: int, hard_bytes: int, counters: Counters) -> None:
        self._soft_bytes = soft_bytes
        self._hard_bytes = hard_bytes
        self._counters = counters
        self.listed: list[Connection] = []
        self.overflowing: list[Connection] = []

    def has_room(self, connection: Connection) -> bool:
        """Whether something that may be dropped should still be sent."""
        return connection.is_writable or connection.outgoing_bytes <= self._soft_bytes

    def send(self, connection: Connection, data: bytes) -> None:
        """Append bytes for a connection that is not ending."""
        connection.outgoing.append(data)
        connection.outgoing_bytes += len(data)
        if not connection.is_writable:
            if connection.outgoing_bytes > self._hard_bytes:
                self.overflowing.append(connection)
        elif not connection.is_listed:
            connection.is_listed = True
            self.listed.append(connection)

    def end(self, connection: Connection) -> None:
        """Close the transport: after sending what waits, or at once when it does not drain."""
        if connection.is_writable:
            connection.ending = Ending.AFTER_SENDING
        else:
            connection.ending = Ending.AT_ONCE
            connection.outgoing.clear()
        if not connection.is_listed:
            connection.is_listed = True
            self.listed.append(connection)

    def resume(self, connection: Connection) -> None:
        """The transport takes bytes again."""
        connection.is_writable = True
        connection.acknowledgements_unsent = 0
        if connection.outgoing and not connection.is_listed:
            connection.is_listed = True
            self.listed.append(connection)

    def take(self) -> list[Output]:
        """Everything that is to be written and closed now."""
        listed, self.listed = self.listed, []
        outputs: list[Output] = []
        for connection in listed:
            connection.is_listed = False
            if not connection.is_writable and connection.ending is None:
                continue
            outgoing = connection.outgoing
            data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
            outgoing.clear()
            connection.outgoing_bytes = 0
            self._counters.bytes_out += len(data)
            outputs.append(Output(connection.connection_id, data, connection.ending))
        return outputs
