"""An in-memory twin of the UDP link, for tests and for programs that embed the agent.

Guarantees the same order and the same callbacks as `UdpLink`. Nothing is lost, delayed or
duplicated, which no real network promises.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.links.datagram import Datagram, LinkCounters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class MemoryLink:
    """A link whose other end is the caller.

    Args:
        send_channels: Channels that `send` accepts; others are counted as `no_destination`.
    """

    def __init__(
        self, send_channels: Iterable[str] = ("ego_control", "lamps", "scenario_load")
    ) -> None:
        self.counters = LinkCounters()
        self.sent: list[tuple[str, bytes]] = []
        self._send_channels = frozenset(send_channels)
        self._on_datagram: Callable[[Datagram], bool] | None = None

    async def open(self, on_datagram: Callable[[Datagram], bool]) -> None:
        """Start to receive; see `SimulatorLink.open`."""
        self._on_datagram = on_datagram

    def deliver(
        self,
        channel: str,
        data: bytes,
        *,
        received_s: float | None = None,
        mono_s: float | None = None,
    ) -> None:
        """Hand a datagram to the agent as if the simulator had sent it.

        Args:
            channel: The channel it arrives on.
            data: Its bytes.
            received_s: Wall clock of receipt, Unix seconds; now by default.
            mono_s: Monotonic time of receipt, seconds; now by default.
        """
        if self._on_datagram is None:
            self.counters.drop("closed")
            return
        self.counters.received[channel] = self.counters.received.get(channel, 0) + 1
        self._on_datagram(
            Datagram(
                channel,
                data,
                ("memory", 0),
                time.time() if received_s is None else received_s,
                time.monotonic() if mono_s is None else mono_s,
            )
        )

    def send(self, channel: str, data: bytes) -> bool:
        """Append to `sent`; see `SimulatorLink.send`."""
        if channel not in self._send_channels:
            self.counters.drop("no_destination")
            return False
        self.counters.sent[channel] = self.counters.sent.get(channel, 0) + 1
        self.sent.append((channel, data))
        return True

    @property
    def ports(self) -> Mapping[str, int]:
        """Empty: memory has no ports."""
        return {}

    async def close(self) -> None:
        """Stop receiving."""
        self._on_datagram = None
