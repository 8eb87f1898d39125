"""Bytes on their way out, collected per connection until the shell asks for them.

Everything a connection is sent between two calls of `take` leaves as one block. A connection whose
transport is full, or that is held because of its throughput, keeps its bytes here, up to the
bounds: above the soft one `has_room` is False and QoS 0 is dropped, above the hard one the
connection is listed in `overflowing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.broker.connection import Connection, Ending, Output

if TYPE_CHECKING:
    from simulator.iotcore.broker.counters import Counters


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
        if connection.is_full:
            connection.ending = Ending.AT_ONCE
            connection.outgoing.clear()
        else:
            connection.ending = Ending.AFTER_SENDING
        self._list(connection)

    def fill(self, connection: Connection) -> None:
        """The transport is full, or gone."""
        connection.is_full = True
        connection.is_writable = False

    def drain(self, connection: Connection) -> None:
        """The transport takes bytes again."""
        connection.is_full = False
        connection.acknowledgements_unsent = 0
        if connection.is_behind:
            connection.is_behind = False
            if not connection.is_held:
                connection.reading = True
                self._list(connection)
        self._resume(connection)

    def stop_reading(self, connection: Connection) -> None:
        """Read no more from a connection whose transport is full until it takes bytes again."""
        if not connection.is_behind:
            connection.is_behind = True
            connection.reading = False
            self._list(connection)

    def hold(self, connection: Connection) -> None:
        """Neither read from a connection nor write to it, once what waits now is written."""
        connection.is_held = True
        connection.reading = False
        self._list(connection)

    def release(self, connection: Connection) -> None:
        """Read and write again."""
        connection.is_held = False
        if not connection.is_behind:
            connection.reading = True
            self._list(connection)
        self._resume(connection)

    def _resume(self, connection: Connection) -> None:
        connection.is_writable = not connection.is_full and not connection.is_held
        if connection.is_writable and connection.outgoing:
            self._list(connection)

    def _list(self, connection: Connection) -> None:
        if not connection.is_listed:
            connection.is_listed = True
            self.listed.append(connection)

    def take(self) -> list[Output]:
        """Everything that is to be written and closed now."""
        listed, self.listed = self.listed, []
        outputs: list[Output] = []
        for connection in listed:
            connection.is_listed = False
            reading, connection.reading = connection.reading, None
            if not connection.is_writable and connection.ending is None:
                if reading is not None:
                    outputs.append(Output(connection.connection_id, b"", None, reading))
                continue
            outgoing = connection.outgoing
            data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
            outgoing.clear()
            connection.outgoing_bytes = 0
            self._counters.bytes_out += len(data)
            outputs.append(Output(connection.connection_id, data, connection.ending, reading))
            if connection.is_held:
                connection.is_writable = False
        return outputs
