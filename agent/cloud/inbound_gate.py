"""Bounds what waits between the device SDK's thread and the event loop.

The broker holds QoS 1 back at the receive maximum. QoS 0 has no such brake: when the event loop is
behind, its messages would pile up without bound. The gate counts what was handed over and what was
taken, and refuses QoS 0 beyond either bound. It owns no thread, no client and no message.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class InboundGate:
    """Counts messages on their way from one thread to another.

    `admit` is for the handing thread, `taken` and `take_dropped` for the taking thread. Every
    number has one writer, so no lock is needed; a reader that is a moment late errs by what moved
    in that moment.

    Attributes:
        max_messages: Messages that may wait before QoS 0 is dropped, the newest first.
        max_bytes: The same bound in payload bytes; it is exceeded by one message at most.
    """

    max_messages: int = 1000
    max_bytes: int = 4 << 20
    _in_messages: int = 0
    _in_bytes: int = 0
    _out_messages: int = 0
    _out_bytes: int = 0
    _dropped: int = 0
    _reported: int = 0

    def admit(self, size: int, *, droppable: bool) -> bool:
        """Count a message in; `False` when it has to be dropped instead.

        Args:
            size: Its payload bytes.
            droppable: Whether it is QoS 0; what the broker repeats is always admitted.
        """
        if droppable and (
            self._in_messages - self._out_messages >= self.max_messages
            or self._in_bytes - self._out_bytes >= self.max_bytes
        ):
            self._dropped += 1
            return False
        self._in_messages += 1
        self._in_bytes += size
        return True

    def taken(self, size: int) -> None:
        """Count a message out."""
        self._out_messages += 1
        self._out_bytes += size

    def take_dropped(self) -> int:
        """Messages dropped since the last call."""
        dropped = self._dropped
        fresh, self._reported = dropped - self._reported, dropped
        return fresh
