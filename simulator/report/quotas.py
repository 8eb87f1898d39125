"""What the quotas of the stand-in refused, or would have, for every report alike.

Owns the order (the most refused first) and how clients are listed. Pure; the sentences come with
the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from certs.terminal import printable

if TYPE_CHECKING:
    from simulator.load.records import ClientRefusals, QuotaRefusals, TargetQuotas
    from simulator.report.result import Result

CLIENTS_SHOWN: Final = 3


class Refused(NamedTuple):
    """One quota that refused something.

    Attributes:
        quota: Its id.
        refused: How often.
        is_enforced: Whether it was refused, and not only counted.
        text: In a sentence.
        clients: Who was refused most often, in words; empty when nobody is known.
    """

    quota: str
    refused: int
    is_enforced: bool
    text: str
    clients: str


def refused_by_quota(result: Result) -> list[Refused]:
    """Every quota that refused something, or would have, the most refused first."""
    quotas = result.target.quotas if result.target is not None else None
    if quotas is None:
        return []
    found = [
        Refused(quota, each.refused, each.is_enforced, printable(each.text), _clients_text(each))
        for quota, each in quotas.refused.items()
        if each.refused
    ]
    return sorted(found, key=lambda each: (-each.refused, each.quota))


def title_of(quotas: TargetQuotas | None) -> str:
    """Which quotas they are: `quotas of AWS IoT Core (default, only observed)`."""
    if quotas is None or not quotas.mode:
        return "quotas of AWS IoT Core"
    how = "enforced" if quotas.mode == "enforce" else "only observed"
    return f"quotas of AWS IoT Core ({printable(quotas.table)}, {how})"


def total(quotas: TargetQuotas, quota: str | None) -> int:
    """What one quota refused, or all of them."""
    if quota is None:
        return sum(each.refused for each in quotas.refused.values())
    known = quotas.refused.get(quota)
    return known.refused if known is not None else 0


def refused_to(quotas: TargetQuotas, quota: str, prefix: str) -> int:
    """What a quota refused to the clients whose ids begin like this, as far as they are named."""
    known = quotas.refused.get(quota)
    listed: list[ClientRefusals] = known.clients if known is not None else []
    return sum(each.refused for each in listed if each.client_id.startswith(prefix))


def _clients_text(each: QuotaRefusals) -> str:
    shown = [
        f"{printable(client.client_id)} {'at most ' if client.excess else ''}{client.refused:,}"
        for client in each.clients[:CLIENTS_SHOWN]
    ]
    rest = each.refused - sum(client.refused for client in each.clients[:CLIENTS_SHOWN])
    if shown and rest > 0:
        shown.append(f"others {rest:,}")
    return ", ".join(shown)
