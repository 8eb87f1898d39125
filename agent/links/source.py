"""Decides which sender a channel listens to.

MORAI's datagrams carry neither session nor authentication, so a second simulator that is
configured for the same port would interleave two cars into one stream. The lock keeps the first
sender that said something readable until it has been silent for a while; a sender of nonsense
never takes it, or one stray byte a second would keep the simulator out for ever. It owns no socket
and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SourceLock:
    """Keeps each channel on one sender.

    Attributes:
        silence_s: After this long without a datagram from the locked sender, the next sender that
            speaks takes its place (the simulator was restarted and has a new source port).
        allowed_hosts: Addresses that may speak at all; empty means every address.
    """

    silence_s: float = 2.0
    allowed_hosts: frozenset[str] = frozenset()
    _locked: dict[str, tuple[tuple[str, int], float]] = field(default_factory=dict)

    def refusal(self, channel: str, source: tuple[str, int], mono_s: float) -> str | None:
        """Say why a datagram must be dropped, or `None` when it may pass. Changes nothing.

        Args:
            channel: The channel that received it.
            source: Address and port of the sender.
            mono_s: Monotonic time of receipt, seconds.

        Returns:
            `"source_not_allowed"`, `"second_source"` or `None`.
        """
        if self.allowed_hosts and source[0] not in self.allowed_hosts:
            return "source_not_allowed"
        locked = self._locked.get(channel)
        if locked is not None and locked[0] != source and mono_s - locked[1] < self.silence_s:
            return "second_source"
        return None

    def heard(self, channel: str, source: tuple[str, int], mono_s: float) -> None:
        """A datagram that passed was readable: its sender keeps the channel, or takes it.

        Args:
            channel: The channel that received it.
            source: Address and port of the sender.
            mono_s: Monotonic time of receipt, seconds.
        """
        self._locked[channel] = (source, mono_s)
