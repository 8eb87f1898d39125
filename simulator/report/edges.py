"""Whether quotas are at their edge what AWS IoT Core documents: what probes saw, judged.

Joins what the clients of a probe saw with what the stand-in counted for them. Below a limit
everything must pass and nothing be counted. Above it, what is enforced must look as documented and
be counted for who did it; what is only observed must pass and be counted all the same. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from simulator.report.quotas import refused_to
from simulator.scenario.edges import BY_NAME

if TYPE_CHECKING:
    from simulator.load.records import Probed, ProbedSide, TargetQuotas
    from simulator.report.result import Result
    from simulator.scenario.edges import Edge

State: TypeAlias = Literal["held", "failed", "passed over", "to come"]

NOT_REACHED: Final = "the run ended before"
_ACCEPTED: Final = "accepted"


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """One edge and how it went.

    Attributes:
        probes: Name of the probes.
        name: Name of the edge.
        state: Whether both sides were as documented.
        limit: The limit with its unit.
        below: What was seen below it.
        above: What was seen above it.
        counted: What the stand-in counted for those above; None when that is not known.
        note: What was not as documented, or why it was not probed.
    """

    probes: str
    name: str
    state: State
    limit: str = ""
    below: str = ""
    above: str = ""
    counted: int | None = None
    note: str = ""


def edges_of(result: Result) -> list[EdgeRow]:
    """All edges that were to be probed, in order.

    While a run goes on they are judged by what clients saw; the stand-in names all clients only in
    its last report.
    """
    header = result.header
    has_ended = result.end is not None
    rows = []
    for planned in header.probes if header is not None else []:
        probed = result.probed.get((planned.probes, planned.edge))
        if probed is not None:
            rows.append(_row(probed, result, has_ended=has_ended))
        elif has_ended:
            rows.append(EdgeRow(planned.probes, planned.edge, "failed", note=NOT_REACHED))
        else:
            rows.append(EdgeRow(planned.probes, planned.edge, "to come"))
    return rows


def _row(probed: Probed, result: Result, *, has_ended: bool) -> EdgeRow:
    edge = BY_NAME.get(probed.edge)
    below, above = probed.below, probed.above
    limit = f"{probed.limit:,g} {probed.unit}"
    if probed.passed_over:
        return EdgeRow(probed.probes, probed.edge, "passed over", limit, note=probed.passed_over)
    quotas = result.target.quotas if has_ended and result.target is not None else None
    faults = [probed.fault] if probed.fault else []
    if edge is None:
        faults.append("this version does not know it")
    elif below is not None and above is not None:
        faults += _faults_below(below, _counted(quotas, probed, 0))
        counted = _counted(quotas, probed, 1)
        judge = _faults_enforced if probed.is_enforced else _faults_observed
        faults += judge(edge, above, counted)
        if has_ended and counted is None:
            faults.append("the stand-in did not say what it counted")
    elif not faults:
        faults.append("it did not come to an end")
    return EdgeRow(
        probed.probes,
        probed.edge,
        "failed" if faults else "held",
        limit,
        _side_text(below),
        _side_text(above),
        _counted(quotas, probed, 1),
        "; ".join(faults),
    )


def _counted(quotas: TargetQuotas | None, probed: Probed, side: int) -> int | None:
    """What the stand-in counted of the quota for the clients of one side."""
    if quotas is None:
        return None
    return refused_to(quotas, probed.quota, probed.clients[side])


def _faults_below(seen: ProbedSide, counted: int | None) -> list[str]:
    faults = []
    if seen.refused or seen.effect:
        faults.append(f"below: {_side_text(seen)}")
    if counted:
        faults.append(f"below: counted {counted:,} times")
    return faults


def _faults_enforced(edge: Edge, seen: ProbedSide, counted: int | None) -> list[str]:
    faults = []
    if seen.effect != edge.effect:
        faults.append(f"above: {_side_text(seen)}, where {edge.effect} is documented")
    if counted is not None and not _is_well_counted(edge, seen.refused, counted):
        faults.append(f"above: {seen.refused:,} refused and {counted:,} counted")
    return faults


def _is_well_counted(edge: Edge, refused: int, counted: int) -> bool:
    if edge.counted == "each":
        return counted == refused
    return bool(counted) == (edge.counted == "once")


def _faults_observed(edge: Edge, seen: ProbedSide, counted: int | None) -> list[str]:
    faults = []
    if seen.refused:
        faults.append(f"above: {_side_text(seen)}, although it is only observed")
    if counted is not None and bool(counted) == (edge.counted == "never"):
        faults.append(f"above: counted {counted:,} times")
    return faults


def _side_text(seen: ProbedSide | None) -> str:
    """What a side came to: `90 accepted`, `30 of 130: no PUBACK`, `257: PUBACK 0x90`."""
    if seen is None:
        return ""
    if not seen.effect:
        return f"{seen.amount:,} {_ACCEPTED}"
    if seen.tried == 1 or not seen.refused:
        return f"{seen.amount:,}: {seen.effect}"
    return f"{seen.refused:,} of {seen.tried:,}: {seen.effect}"
