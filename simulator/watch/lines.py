"""The run in one line every few seconds, for people who read a log and for programs.

`line` is for a pipe, a file or a CI log; `document` is the same moment as JSON, with every figure
that the line has and with units in the keys. Owns the words and the keys; derives nothing. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from certs.terminal import printable
from simulator.report.quotas import refused_by_quota
from simulator.scenario.timetable import AFTER
from simulator.watch.cells import clock, count, milliseconds, rate
from simulator.watch.figures import RECENT_S, Moment

if TYPE_CHECKING:
    from simulator.load.records import Event
    from simulator.report.result import Result
    from simulator.watch.figures import Latency

_IN_LINE: Final = ("connect_ms", "publish_ack_ms", "end_to_end_ms", "command_ms")
_REASONS: Final = 20


def line(result: Result, now_s: float) -> str:
    """The moment as one line of plain text, without a line break.

    Args:
        result: As folded so far.
        now_s: Time on the clock of the run.
    """
    moment = Moment(result, now_s)
    progress = moment.progress
    if result.header is None:
        return f"{clock(progress.elapsed_s)} waiting for the first record"
    parts = [
        f"{clock(progress.elapsed_s)}/{clock(progress.planned_s)} {_phase(moment)}",
        f"{moment.online:,} online, {result.connected():,} of {result.asked():,} cars connected",
        ", ".join(
            f"{name} {rate(now.per_s)}/s" for name, now in moment.rates().items() if now.total
        ),
        *(_latency_text(found) for found in moment.latencies() if found.metric in _IN_LINE),
        ", ".join(
            f"{trouble.name} {count(trouble.number)}"
            for trouble in moment.troubles()
            if trouble.number
        ),
        f"{probes[0]} of {probes[1]} quotas probed" if (probes := moment.probes()) else "",
    ]
    if moment.is_silent:
        parts.insert(1, "NO WORD FROM ANY WORKER")
    elif result.generator.is_bottleneck:
        parts.insert(1, f"GENERATOR IS THE LIMIT ({result.generator.why})")
    return "; ".join(part for part in parts if part)


def event_line(event: Event) -> str:
    """An event as one line of plain text, without a line break."""
    cars = f" ({event.cars:,} cars)" if event.cars else ""
    return f"{clock(event.at_s)} {event.kind}: {printable(event.text)}{cars}"


def document(result: Result, now_s: float) -> dict[str, Any]:
    """The moment as a JSON document. Every key is always there; what is not known is null.

    Rates are per second, means of the last three; latencies are milliseconds.

    Args:
        result: As folded so far.
        now_s: Time on the clock of the run.
    """
    moment = Moment(result, now_s)
    progress, health, end = moment.progress, result.generator, result.end
    target, process = result.target, moment.target()
    online = result.online
    return {
        "name": result.header.name if result.header else None,
        "elapsed_s": round(progress.elapsed_s, 3),
        "planned_s": progress.planned_s,
        "phase": None if end else _phase(moment) or None,
        "outcome": end.outcome if end else None,
        "cars": {
            "asked": result.asked(),
            "connected": result.connected(),
            "online": moment.online,
            "online_by_group": {group: online.get(group, 0) for group in result.groups},
        },
        "rates_per_s": {name: round(now.per_s, 3) for name, now in moment.rates().items()},
        "totals": {name: now.total for name, now in moment.rates().items()},
        "latencies_ms": {
            found.metric.removesuffix("_ms"): {
                "count": found.count,
                f"last_{RECENT_S:.0f}_s": _percentiles(found.recent_ms),
                "run": _percentiles(found.whole_ms),
            }
            for found in moment.latencies()
        },
        "troubles": {
            trouble.name.replace(" ", "_"): trouble.number for trouble in moment.troubles()
        },
        "reasons": dict(moment.reasons(_REASONS)),
        "generator": {
            "is_silent": moment.is_silent,
            "is_limit": health.is_bottleneck,
            "why": health.why,
            "cpu_share_max": health.cpu_share_max,
            "lateness_p99_ms": health.lateness_p99_ms,
            "workers": [
                {
                    "worker": int(worker.name),
                    "cpu_share": worker.cpu_share,
                    "peak_resident_bytes": worker.peak_bytes,
                }
                for worker in moment.workers()
            ],
        },
        "target": {
            "cpu_share": process.cpu_share,
            "peak_resident_bytes": process.peak_bytes,
            "counters": dict(target.counters),
            "refusals": dict(target.refusals),
            "quotas": {
                "table": target.quotas.table,
                "mode": target.quotas.mode,
                "refused": {each.quota: each.refused for each in refused_by_quota(result)},
            }
            if target.quotas is not None
            else None,
        }
        if target is not None and process is not None
        else None,
        "probes": {"done": probes[0], "planned": probes[1]}
        if (probes := moment.probes()) is not None
        else None,
        "events": len(result.events),
        "last_event": (
            {"at_s": event.at_s, "kind": event.kind, "text": event.text, "cars": event.cars}
            if (event := result.events[-1] if result.events else None)
            else None
        ),
    }


def _phase(moment: Moment) -> str:
    header, end = moment.result.header, moment.result.end
    if header is None:
        return ""
    if end is not None:
        return end.outcome
    index = moment.progress.phase
    return AFTER if index is None else printable(header.phases[index].name)


def _latency_text(found: Latency) -> str:
    name = found.metric.removesuffix("_ms").replace("_", " ")
    p50, p99, _ = found.recent_ms or found.whole_ms
    return f"{name} p50 {milliseconds(p50)} p99 {milliseconds(p99)} ms"


def _percentiles(values_ms: tuple[float, ...] | None) -> dict[str, float] | None:
    if values_ms is None:
        return None
    return dict(zip(("p50", "p99", "max"), values_ms, strict=True))
