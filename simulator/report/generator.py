"""Whether the load generator itself was the limit of what was measured.

A generator that is late or out of CPU measures itself instead of the target, so every report says
so in its first line. Owns that rule. The generator was the limit when

* its busiest worker used more than 0.9 of a core, as a mean over three slices in a row, or
* the p99 of `lateness_ms`, from intended send time to the moment of writing, was above 20 ms in the
  whole run or in any phase, or
* a worker ended before its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.report.result import Result
    from simulator.report.slices import Slice

BUSY_CPU_SHARE: Final = 0.9
BUSY_SLICES: Final = 3
LATE_P99_MS: Final = 20.0


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """How the load generator was doing.

    Attributes:
        cpu_share_max: Share of a core that the busiest worker used, as the highest mean over three
            slices in a row; None when nothing was measured.
        lateness_p99_ms: 99th percentile of intended send time to writing; None as above.
        not_sent: Due publishes that were never written, whatever the cause.
        is_bottleneck: Whether it was the limit.
        why: The reasons when it was, otherwise what it used, in words.
    """

    cpu_share_max: float | None
    lateness_p99_ms: float | None
    not_sent: int
    is_bottleneck: bool
    why: str


def health_of(result: Result) -> GeneratorHealth:
    """Judge the generator of a run."""
    busiest = _busiest(result.series)
    lateness_ms = result.value("lateness_ms", "p99")
    reasons = []
    if busiest is not None and busiest > BUSY_CPU_SHARE:
        reasons.append(f"its busiest worker used {busiest * 100:.0f} % of a core")
    reasons.extend(_late_phases(result, lateness_ms))
    lost = int(result.value("workers_lost") or 0)
    if lost:
        reasons.append(f"{lost} of its workers ended early")
    if busiest is None:
        why = "nothing was measured"
    else:
        why = f"busiest worker {busiest * 100:.0f} % of a core"
        if lateness_ms is not None:
            why += f", lateness p99 {lateness_ms:.3g} ms"
    return GeneratorHealth(
        busiest, lateness_ms, result.count("not_sent"), bool(reasons), " and ".join(reasons) or why
    )


def _late_phases(result: Result, whole_ms: float | None) -> Iterable[str]:
    if whole_ms is not None and whole_ms > LATE_P99_MS:
        yield f"its p99 lateness was {whole_ms:,.0f} ms"
        return
    late = [
        (phase, late_ms)
        for phase in result.phases
        if (late_ms := result.value("lateness_ms", "p99", phase=phase)) is not None
        and late_ms > LATE_P99_MS
    ]
    if late:
        phase, late_ms = max(late, key=lambda item: item[1])
        yield f"its p99 lateness was {late_ms:,.0f} ms in phase {phase}"


def _busiest(series: list[Slice]) -> float | None:
    """The highest mean of a worker's CPU share over some slices in a row."""
    shares: dict[int, list[float]] = {}
    for within in series:
        for worker, share in within.cpu_share.items():
            shares.setdefault(worker, []).append(share)
    means = [mean for listed in shares.values() for mean in _means(listed)]
    return max(means, default=None)


def _means(shares: list[float]) -> Iterable[float]:
    width = min(BUSY_SLICES, len(shares))
    sums = [0.0]
    for share in shares:
        sums.append(sums[-1] + share)
    for start in range(len(shares) - width + 1):
        yield (sums[start + width] - sums[start]) / width
