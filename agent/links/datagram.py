"""What every simulator link has in common: the datagram, the counters, the contract.

Owns no socket and no clock. The contract is small so that the in-memory twin can honour all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The largest UDP payload over IPv4: 65,535 minus the IP and UDP headers (RFC 768, RFC 791).
MAX_DATAGRAM_BYTES = 65_507


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram from the simulator, as the socket delivered it.

    Attributes:
        channel: Name of the channel whose port received it, for example `ego_status`.
        data: The bytes, at most `MAX_DATAGRAM_BYTES`.
        source: Address and port of the sender.
        received_s: Wall clock of this machine when it was read, Unix seconds.
        received_mono_s: Monotonic clock of this machine at the same moment, seconds.
    """

    channel: str
    data: bytes
    source: tuple[str, int]
    received_s: float
    received_mono_s: float


@dataclass(slots=True)
class LinkCounters:
    """What a link carried and what it did not, since it was opened.

    Attributes:
        received: Datagrams handed on, by channel.
        sent: Datagrams handed to the operating system, by channel.
        dropped: Datagrams not handed on or not sent, by cause.
    """

    received: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, cause: str) -> None:
        """Count one datagram that was dropped for `cause`."""
        self.dropped[cause] = self.dropped.get(cause, 0) + 1


class SimulatorLink(Protocol):
    """Carries datagrams between the agent and one simulator.

    Guarantees: datagrams of one channel are handed on in the order the operating system delivered
    them, one call at a time, on the event loop's thread. It does not guarantee delivery, and
    neither does UDP.
    """

    counters: LinkCounters

    async def open(self, on_datagram: Callable[[Datagram], bool]) -> None:
        """Start to receive.

        Args:
            on_datagram: Called for each datagram; says whether it could be read. It must not
                block and must not raise.

        Raises:
            LinkError: A port is taken, privileged or otherwise not available.
        """

    def send(self, channel: str, data: bytes) -> bool:
        """Send one datagram; `False` (and a counted drop) when it could not be handed over."""

    @property
    def ports(self) -> Mapping[str, int]:
        """The port that each receiving channel is bound to."""

    async def close(self) -> None:
        """Stop receiving and release the ports. Calling it twice is harmless."""
