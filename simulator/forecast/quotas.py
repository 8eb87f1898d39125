"""Whether a demand fits the quotas of an account, and what to do where it does not.

Owns the comparison and its words. Quotas come as values (`simulator.quotas` reads them from dated
files). Pure.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from simulator.forecast.figures import Need
from simulator.forecast.wording import figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.forecast.figures import Demand
    from simulator.quotas.table import Quota, QuotaTable

_SERVICE_QUOTAS: Final = "raise it in Service Quotas (adjustable)"


@dataclass(frozen=True, slots=True)
class QuotaFinding:
    """How a demand stands to one quota.

    Attributes:
        quota: Id of the quota.
        name: In words.
        unit: Unit of `limit` and `needed`.
        limit: What AWS allows.
        needed: What the scenario needs at most.
        where: When or at what.
        fits: Whether it is allowed.
        adjustable: Whether AWS raises the limit on request.
        text: One sentence: need, limit, verdict.
        remedy: What to do; empty when it fits.
        share: Part of the limit that is needed; above 1 the quota is broken.
    """

    quota: str
    name: str
    unit: str
    limit: float
    needed: float
    where: str
    fits: bool
    adjustable: bool
    text: str
    remedy: str
    share: float


@dataclass(frozen=True, slots=True)
class QuotaReport:
    """All findings, those that break a quota first.

    Attributes:
        region: Whose quotas.
        date: When they were read.
        sources: Where.
        findings: One for each quota that the demand has a figure for.
        called: What these quotas are called; empty for the default ones of the Region.
    """

    region: str
    date: str
    sources: tuple[str, ...]
    findings: tuple[QuotaFinding, ...]
    called: str = ""

    @property
    def broken(self) -> tuple[QuotaFinding, ...]:
        """The findings that do not fit."""
        return tuple(finding for finding in self.findings if not finding.fits)

    @property
    def fits(self) -> bool:
        """Whether everything fits."""
        return not self.broken

    @property
    def text(self) -> str:
        """The verdict in one line."""
        named = self.called or f"default quotas of {self.region}"
        if self.fits:
            return f"fits the {named} ({self.date})"
        names = "; ".join(finding.name for finding in self.broken)
        count = len(self.broken)
        if self.called:
            return f"breaks {count} of the {named} ({self.date}): {names}"
        quotas = "quota" if count == 1 else "quotas"
        return f"breaks {count} default {quotas} of {self.region} ({self.date}): {names}"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "region": self.region,
            "date": self.date,
            "sources": list(self.sources),
            "fits": self.fits,
            "findings": [asdict(finding) for finding in self.findings],
        }


def check(demand: Demand, table: QuotaTable, called: str = "") -> QuotaReport:
    """Hold a demand against quotas.

    Quotas that no figure of the demand is about are passed over.

    Args:
        demand: The demand.
        table: The quotas.
        called: What they are called, when they are not the default ones of the Region.
    """
    findings = []
    for need, peak in demand.needs.items():
        quota = table.quotas.get(need)
        if quota is not None:
            findings.append(_finding(demand, need, peak.value, peak.where, quota))
    findings.sort(key=lambda finding: finding.fits)
    return QuotaReport(table.region, table.date, table.sources, tuple(findings), called)


def _finding(demand: Demand, need: Need, needed: float, where: str, quota: Quota) -> QuotaFinding:
    is_least = quota.bound == "least"
    # Sums of rates such as 0.1 are not exact; a billionth above the limit is no breach.
    slack = 1e-9 * quota.limit
    fits = needed >= quota.limit - slack if is_least else needed <= quota.limit + slack
    unit = quota.unit
    least = "at least " if is_least else ""
    text = f"{quota.name}: needs {figure(needed)} {unit}"
    if where:
        text += f" ({where})"
    text += f", quota {least}{figure(quota.limit)} {unit}: "
    remedy = ""
    share = quota.limit / max(needed, 1e-9) if is_least else needed / max(quota.limit, 1e-9)
    if fits:
        text += "fits"
    else:
        text += "too short" if is_least else f"breaks it by {figure(share)}x"
        actions = [_SERVICE_QUOTAS] if quota.adjustable else []
        if need in _ADVICE:
            actions.append(_ADVICE[need](demand, needed, quota.limit))
        remedy = ", or ".join(actions)
    return QuotaFinding(
        quota.id,
        quota.name,
        quota.unit,
        quota.limit,
        needed,
        where,
        fits,
        quota.adjustable,
        text,
        remedy,
        share,
    )


# What to do


def _fewer_connects(demand: Demand, needed: float, limit: float) -> str:
    at_once = demand.reconnecting_at_once
    if at_once.value > limit:
        share = limit / at_once.value
        return (
            f"hit fewer cars at one moment ({at_once.where}: at most {figure(limit)} of them, "
            f"{100 * share:.2g} %) or let them reconnect with backoff and jitter"
        )
    length = figure(math.ceil(demand.cars_connecting / limit))
    return (
        f"let cars arrive at {figure(limit)}/s or fewer, which takes {length} s"
        if needed <= demand.cars_connecting + 1
        else f"connect at most {figure(limit)} clients in one second"
    )


def _slower_publishing(demand: Demand, needed: float, limit: float) -> str:  # noqa: ARG001 - one signature
    return (
        f"divide rate_hz by {figure(math.ceil(10 * needed / limit) / 10)}, "
        "as with encoding: batch and as many samples in each message"
    )


def _fewer_deliveries(demand: Demand, needed: float, limit: float) -> str:  # noqa: ARG001 - one signature
    return f"let observers read {100 * limit / needed:.2g} % of what they read now (share, streams)"


def _lighter_connection(demand: Demand, needed: float, limit: float) -> str:
    worst = max(demand.connections, key=lambda item: item.publishes_per_s)
    return _split(worst.kind, worst.name, worst.count, needed / limit)


def _less_throughput(demand: Demand, needed: float, limit: float) -> str:
    worst = max(demand.connections, key=lambda item: item.kilobytes_per_s)
    return _split(worst.kind, worst.name, worst.count, needed / limit)


def _split(kind: str, name: str, count: int, ratio: float) -> str:
    if kind == "observer":
        return (
            f"deal the cars to {figure(math.ceil(count * ratio))} or more observers "
            f"({name}: filters: each, count), or read from a rule instead of a connection"
        )
    if kind == "commander":
        return f"send commands from {figure(math.ceil(count * ratio))} or more commanders ({name})"
    return (
        f"divide the rates of {name} by {figure(math.ceil(10 * ratio) / 10)}, as with encoding: "
        "batch and as many samples in each message"
    )


def _fewer_filters(demand: Demand, needed: float, limit: float) -> str:
    worst = max(demand.connections, key=lambda item: item.filters)
    count = math.ceil(worst.count * needed / limit)
    return (
        f"deal the cars to {figure(count)} or more {worst.kind}s ({worst.name}), or use wildcards"
    )


def _text(sentence: str) -> Callable[[Demand, float, float], str]:
    return lambda demand, needed, limit: sentence.format(limit=figure(limit))  # noqa: ARG005 - one signature


_ADVICE: Final[dict[Need, Callable[[Demand, float, float], str]]] = {
    Need.CONNECTS: _fewer_connects,
    Need.CONNECTS_OF_CLIENT: _text(
        "reconnect with policy backoff, jitter off and first: 1s or more; that of a duplicate "
        "client id cannot be avoided"
    ),
    Need.CONNECTIONS: _text("run {limit} clients or fewer"),
    Need.CLIENT_ID_BYTES: _text("choose shorter names of fleet and group"),
    Need.KEEP_ALIVE_LEAST_S: _text(
        "expect AWS to use {limit} s instead, and 1,200 s instead of 0; set keep_alive to that"
    ),
    Need.KEEP_ALIVE_MOST_S: _text("expect AWS to use {limit} s instead; set keep_alive to that"),
    Need.SESSION_EXPIRY_S: _text("expect AWS to use {limit} s instead"),
    Need.PUBLISHES_IN: _slower_publishing,
    Need.PUBLISHES_OUT: _fewer_deliveries,
    Need.PUBLISHES_OF_CONNECTION: _lighter_connection,
    Need.KILOBYTES_OF_CONNECTION: _less_throughput,
    Need.IN_FLIGHT: _text(
        "set in_flight to {limit}; AWS reads no more until some are acknowledged"
    ),
    Need.PAYLOAD_BYTES: _text("make the payload {limit} bytes or smaller"),
    Need.TOPIC_BYTES: _text("choose shorter names of fleet, group and stream"),
    Need.SUBSCRIPTIONS: _text("use wildcard filters, or fewer clients"),
    Need.SUBSCRIPTIONS_OF_CONNECTION: _fewer_filters,
    Need.SUBSCRIBES: _text(
        "let cars arrive or come back more slowly, or keep their sessions (session: persistent)"
    ),
    Need.QUEUED: _text("command cars of persistent sessions less often"),
    Need.SHADOW_REQUESTS: _text("report to shadows less often (shadow: every)"),
    Need.SHADOW_REQUESTS_OF_SHADOW: _text("report to shadows less often (shadow: every)"),
    Need.COMMAND_STARTS: _text("send {limit} commands per second or fewer, or use protocol: plain"),
    Need.COMMAND_UPDATES: _text(
        "send half of {limit} commands per second or fewer, since each is answered twice, or use "
        "protocol: plain"
    ),
}
