"""What arrives on which port: counts, sizes and rates of datagrams, kind by kind.

Owns the counting. It must not know sockets or terminals; the time of arrival is a parameter. The
memory is bounded: kinds are the messages of the catalogue and the reasons of refusal, both closed
lists, and each keeps the times of its last arrivals only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.morai.catalogue import decode_with_warnings
from agent.morai.errors import DecodeError
from agent.morai.inspection import DIAGNOSTIC_DIALECT

if TYPE_CHECKING:
    from agent.morai.enums import Direction

RATE_WINDOW = 256
"""Arrivals that the rate is computed from."""
MAX_SOURCES = 8
"""Senders remembered per kind; further ones are not listed."""


@dataclass(slots=True)
class Kind:
    """Datagrams of one kind on one port.

    Attributes:
        port: Where they arrive.
        title: Message and layout, or the reason of refusal.
        refused: They are no messages.
        count: How many.
        smallest: Bytes of the smallest.
        largest: Bytes of the largest.
        sources: Addresses they came from, as `host:port`.
        warnings: How many had which oddity.
        last_s: Arrival of the last one, on the clock that the caller uses.
    """

    port: int
    title: str
    refused: bool
    count: int = 0
    smallest: int = 0
    largest: int = 0
    sources: list[str] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    last_s: float = 0.0
    _arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW))

    def add(self, size: int, source: str, now_s: float) -> None:
        """Count one datagram."""
        self.smallest = min(self.smallest, size) if self.count else size
        self.largest = max(self.largest, size)
        self.count += 1
        if source not in self.sources and len(self.sources) < MAX_SOURCES:
            self.sources.append(source)
        self.last_s = now_s
        self._arrivals_s.append(now_s)

    @property
    def rate_hz(self) -> float | None:
        """Mean rate over the last arrivals; `None` below two, or when they have one time."""
        span_s = self._arrivals_s[-1] - self._arrivals_s[0] if self._arrivals_s else 0.0
        return (len(self._arrivals_s) - 1) / span_s if span_s > 0 else None

    def document(self) -> dict[str, Any]:
        """The counters for JSON."""
        return {
            "port": self.port,
            "kind": self.title,
            "refused": self.refused,
            "count": self.count,
            "smallest": self.smallest,
            "largest": self.largest,
            "rate_hz": self.rate_hz,
            "sources": self.sources,
            "warnings": self.warnings,
        }


class Survey:
    """Counts datagrams by port and kind.

    Args:
        direction: Which way they travel, if known.
    """

    def __init__(self, direction: Direction | None = None) -> None:
        self._direction = direction
        self._kinds: dict[tuple[int, str], Kind] = {}
        self.total = 0

    def observe(self, port: int, data: bytes, source: str, now_s: float) -> Kind:
        """Count a datagram and return the kind it belongs to.

        Args:
            port: The port it arrived on.
            data: Its bytes.
            source: Who sent it.
            now_s: When it arrived; any clock that does not run backwards.
        """
        self.total += 1
        warnings: tuple[str, ...] = ()
        try:
            decoded = decode_with_warnings(
                data, dialect=DIAGNOSTIC_DIALECT, direction=self._direction
            )
        except DecodeError as error:
            title, refused = error.reason.value, True
        else:
            name = type(decoded.message).__name__
            title = f"{name} {decoded.layout.label}".rstrip() if decoded.layout else name
            warnings = tuple(warning.value for warning in decoded.warnings)
            refused = False
        kind = self._kinds.setdefault((port, title), Kind(port, title, refused))
        kind.add(len(data), source, now_s)
        for warning in warnings:
            kind.warnings[warning] = kind.warnings.get(warning, 0) + 1
        return kind

    def kinds(self) -> list[Kind]:
        """All kinds seen, by port and name."""
        return sorted(self._kinds.values(), key=lambda kind: (kind.port, kind.refused, kind.title))
