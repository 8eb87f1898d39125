"""Quotas as values: one quota, and all those of one Region. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_OF_MANY: Final = frozenset({"account", "shared group"})
"""For what a number is counted that several clients add to."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota of AWS IoT Core in one Region.

    Attributes:
        id: Stable name for programs, such as `connects-per-account`.
        name: In words, with what it is counted for.
        limit: How much of `unit`.
        unit: What is counted, per second when it ends in `/s`.
        per: What it is counted for: `account`, `connection`, `client id`, `message`, ...
        adjustable: Whether it can be raised in the Service Quotas console.
        bound: Whether the limit is the most or the least.
    """

    id: str
    name: str
    limit: float
    unit: str
    per: str
    adjustable: bool
    bound: Literal["most", "least"] = "most"

    @property
    def is_of_protocol(self) -> bool:
        """Whether it is a size, or a count of one client, and no rate and no count of many.

        The stand-in enforces those in every mode, as limits of the protocol.
        """
        return not self.unit.endswith("/s") and self.per not in _OF_MANY


@dataclass(frozen=True, slots=True)
class QuotaTable:
    """The quotas of one Region.

    Attributes:
        name: Name of the table it comes from; the path for a user's own file.
        region: The Region.
        date: When the sources were read, ISO 8601.
        sources: Addresses of the documents.
        quotas: By id.
    """

    name: str
    region: str
    date: str
    sources: tuple[str, ...]
    quotas: dict[str, Quota]

    def limit(self, quota_id: str) -> float:
        """The limit of a quota.

        Raises:
            KeyError: There is no quota of this id.
        """
        return self.quotas[quota_id].limit
