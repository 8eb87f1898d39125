"""What was forecast before the run, read back from the header: the cost and the quotas.

The header carries both as plain JSON, and a result file may hold anything there; owns the typed
view of them that reports print. Anything else is taken as no forecast at all. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from simulator.load.records import Header


class CostItem(msgspec.Struct, frozen=True):
    """One item of the cost estimate, in USD."""

    name: str
    quantity: float
    unit: str
    run_usd: float
    month_usd: float


class Cost(msgspec.Struct, frozen=True):
    """The cost estimate."""

    run_usd: float
    month_usd: float
    items: list[CostItem] = []
    priced_on: str = ""
    region: str = ""
    priced_region: str = ""


class QuotaFinding(msgspec.Struct, frozen=True):
    """A quota and what the scenario needs of it."""

    quota: str
    fits: bool
    text: str = ""


class _Quotas(msgspec.Struct, frozen=True):
    findings: list[QuotaFinding] = []


_Kind = TypeVar("_Kind", Cost, _Quotas)


def cost_of(header: Header | None) -> Cost | None:
    """The cost estimate; None when there is none."""
    return _read(header.cost, Cost) if header else None


def broken_quotas(header: Header | None) -> list[QuotaFinding]:
    """The quotas that the scenario was forecast to break."""
    quotas = _read(header.quotas, _Quotas) if header else None
    return [finding for finding in quotas.findings if not finding.fits] if quotas else []


def _read(document: dict[str, Any], kind: type[_Kind]) -> _Kind | None:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        return None
