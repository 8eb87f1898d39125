"""Everything the page says, put together from a result and its verdict, before it becomes HTML.

Owns what stands at the top (badge, facts, notices, cards), the map's titles, and the scenario's
text. Knows nothing about HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import yaml

from simulator.report.page import charts, figures, tables, track
from simulator.report.page.tables import Mark
from simulator.report.quotas import refused_by_quota
from simulator.report.verdict import number_text
from simulator.scenario.units import duration_text

if TYPE_CHECKING:
    from simulator.load.records import Header
    from simulator.report.page.charts import Charts
    from simulator.report.page.tables import Table
    from simulator.report.result import Result
    from simulator.report.verdict import Verdict

_MAX_SCENARIO_CHARACTERS: Final = 60_000
_MAX_WARNINGS: Final = 20
_MAX_QUOTAS: Final = 3
_MAX_KEY: Final = 8
_KILOMETRE_M: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Card:
    """A figure that is looked for first."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a reader must know before any figure."""

    title: str
    text: str
    state: tables.State = "unknown"


@dataclass(frozen=True, slots=True)
class PlaceView:
    """A map with its words; the rest is that of `track.Place`."""

    width: int
    height: int
    grid: str
    tracks: tuple[track.Track, ...]
    scale_share: float
    scale: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the page says; names as in the template."""

    name: str
    version: str
    first_line: str
    badge: Mark
    description: str
    facts: list[tuple[str, str]]
    notices: list[Notice]
    cards: list[Card]
    charts: Charts
    whole_s: float
    checks: Table | None
    phases: Table | None
    faults: Table | None
    events: Table | None
    latencies: list[Table]
    losses: Table | None
    reasons: Table | None
    refusals: Table | None
    no_refusals: str
    refused_quotas: Table | None
    edges: Table | None
    target: Table | None
    counters: Table | None
    generator: Mark
    generator_why: str
    processes: Table | None
    machine: Table | None
    places: list[PlaceView]
    map_key: list[tuple[str, int]]
    quotas: Table | None
    costs: Table | None
    scenario: str


def page_of(result: Result, verdict: Verdict) -> Page:
    """Everything the page says of a run."""
    header = result.header
    drawn = charts.charts_of(result)
    places, key = _map(result)
    return Page(
        name=header.name if header else "no run",
        version=header.version if header else "",
        first_line=verdict.first_line,
        badge=_badge(result, verdict),
        description=_description(header),
        facts=_facts(result),
        notices=_notices(result, verdict),
        cards=_cards(result),
        charts=drawn,
        whole_s=max(drawn.duration_s, 1.0),
        checks=tables.checks(verdict),
        phases=tables.phases(result),
        faults=tables.faults(result),
        events=tables.events(result),
        latencies=tables.latencies(result),
        losses=tables.losses(result),
        reasons=tables.reasons(result),
        refusals=tables.refusals(result),
        no_refusals=(
            "The stand-in refused and dropped nothing."
            if result.target
            else "The target does not say what it refused."
        ),
        refused_quotas=tables.refused_quotas(result),
        edges=tables.edges(result),
        target=tables.target(result),
        counters=tables.counters(result),
        generator=_generator(result),
        generator_why=result.generator.why,
        processes=tables.processes(result),
        machine=tables.machine(result),
        places=places,
        map_key=key,
        quotas=tables.quotas(header.quotas if header else {}),
        costs=tables.costs(header.cost if header else {}),
        scenario=_scenario(header),
    )


# The top


def _badge(result: Result, verdict: Verdict) -> Mark:
    if not verdict.held:
        return Mark("✗ failed", "failed")
    if result.is_partial:
        return Mark("◐ partial", "unknown")
    return Mark("✓ held", "held") if verdict.rows else Mark("no checks", "unknown")


def _description(header: Header | None) -> str:
    text = header.scenario.get("description") if header else None
    return text if isinstance(text, str) else ""


def _facts(result: Result) -> list[tuple[str, str]]:
    header = result.header
    if header is None:
        return []
    planned_s = max((phase.end_s for phase in header.phases), default=0.0)
    facts = [
        ("Target", header.target),
        ("Started", header.started),
        ("Took", f"{duration_text(result.elapsed_s)} of {duration_text(planned_s)} planned"),
        ("Workers", str(header.workers)),
        ("Seed", str(header.scenario.get("seed", ""))),
        ("Version", header.version),
    ]
    return [(name, text) for name, text in facts if text]


def _notices(result: Result, verdict: Verdict) -> list[Notice]:
    notices = []
    if result.is_partial:
        how = result.end.outcome if result.end else "cut off"
        why = f" ({result.end.reason})" if result.end and result.end.reason else ""
        notices.append(
            Notice(
                "Partial result.",
                f"The run was {how} after {duration_text(result.elapsed_s)}{why}; "
                "all figures are of that time only.",
            )
        )
    if result.generator.is_bottleneck:
        notices.append(
            Notice(
                "The generator was the limit.",
                f"{figures.sentence(result.generator.why)} "
                "Latencies and rates say more about it than about the target.",
                "failed",
            )
        )
    observed = [each.text for each in refused_by_quota(result) if not each.is_enforced]
    if observed:
        more = len(observed) - _MAX_QUOTAS
        text = "; ".join(observed[:_MAX_QUOTAS])
        notices.append(Notice("Quotas.", f"{text}{f'; and {more} more' if more > 0 else ''}."))
    notices += [Notice("Warning.", text) for text in verdict.warnings[:_MAX_WARNINGS]]
    more = len(verdict.warnings) - _MAX_WARNINGS
    if more > 0:
        notices.append(Notice("Warning.", f"There were {more:,} more warnings."))
    return notices


def _generator(result: Result) -> Mark:
    health = result.generator
    if health.is_bottleneck:
        return Mark("✗ The generator was the limit:", "failed")
    if health.cpu_share_max is None:
        return Mark("The generator was not measured:", "unknown")
    return Mark("✓ The generator was not the limit:", "held")


def _cards(result: Result) -> list[Card]:
    cards = [
        Card(
            "Cars connected",
            f"{result.connected():,} of {result.asked():,}",
            figures.share(result.value("connected_share")),
        )
    ]
    published = result.value("published")
    if published is not None:
        rate_hz = result.value("publish_rate_hz")
        cards.append(
            Card("Published", figures.whole(published), f"{figures.amount(rate_hz)} per second")
        )
    for metric, title in (
        ("publish_ack_ms", "Publish to PUBACK"),
        ("end_to_end_ms", "Publish to application"),
        ("command_ms", "Command to answer"),
    ):
        spread = result.spread(metric)
        if spread.count:
            middle, high = spread.percentiles_ms((50.0, 99.0))
            note = f"p50 {figures.milliseconds(middle)} ms"
            cards.append(Card(f"{title}, p99", f"{figures.milliseconds(high)} ms", note))
    lost = result.value("lost")
    if lost is not None:
        note = f"{figures.share(result.value('lost_share'))} of written"
        cards.append(Card("Lost on the way to observers", figures.whole(lost), note))
    not_sent = result.value("not_sent")
    if not_sent is not None:
        cards.append(Card("Due and not sent", figures.whole(not_sent)))
    refused = result.value("target_refusals")
    if refused is not None:
        cards.append(Card("Refused by the target", figures.whole(refused)))
    counted = result.value("quota_refusals")
    if counted:
        cards.append(Card("Above a quota of IoT Core", figures.whole(counted)))
    cost_usd = result.value("cost_usd")
    if cost_usd is not None:
        month_usd = tables.number_of(result.header.cost.get("month_usd") if result.header else None)
        note = "" if month_usd is None else f"{figures.dollars(month_usd)} a month"
        cards.append(Card("Estimated at AWS", figures.dollars(cost_usd), note))
    return cards


# The map


def _map(result: Result) -> tuple[list[PlaceView], list[tuple[str, int]]]:
    groups = result.header.groups if result.header else []
    stops = list(accumulate(group.asked for group in groups))
    names: dict[int, str] = {}
    colours: dict[int, int] = {}
    seen: dict[str, int] = {}
    for car in result.tracks:
        number = next((at for at, stop in enumerate(stops) if car < stop), None)
        if number is None:
            continue
        within = car - (stops[number] - groups[number].asked)
        names[car] = f"{groups[number].name}, car {within + 1:,}"
        colours[car] = number if len(groups) > 1 else within
        seen[groups[number].name] = number
    fixes = {
        car: [track.Fix(at_s, latitude, longitude) for at_s, latitude, longitude in listed]
        for car, listed in result.tracks.items()
    }
    places = [_place_view(place, result.asked()) for place in track.draw(fixes, names, colours)]
    key = sorted(seen.items(), key=lambda item: item[1])[:_MAX_KEY] if len(groups) > 1 else []
    return places, [(name, number % track.COLOURS) for name, number in key]


def _place_view(place: track.Place, asked: int) -> PlaceView:
    north, east = place.latitude_deg, place.longitude_deg
    text = (
        f"{len(place.tracks):,} of {asked:,} cars recorded, "
        f"{_metres(place.driven_m)} driven by them. Around "
        f"{abs(north):.4f}° {'N' if north >= 0 else 'S'}, "
        f"{abs(east):.4f}° {'E' if east >= 0 else 'W'}; "
        f"{_metres(place.width_m)} by {_metres(place.height_m)} shown; lines every "
        f"{_metres(place.scale_m)}."
    )
    return PlaceView(
        place.width,
        place.height,
        place.grid,
        place.tracks,
        place.scale_share,
        _metres(place.scale_m),
        text,
    )


def _metres(length_m: float) -> str:
    if length_m >= _KILOMETRE_M:
        return f"{number_text(length_m / _KILOMETRE_M, 3)} km"
    return f"{number_text(length_m, 3)} m"


# The scenario


def _scenario(header: Header | None) -> str:
    if header is None:
        return ""
    try:
        text = _yaml(header.scenario)
    except RecursionError:
        return "It is nested too deeply to be shown."
    if len(text) > _MAX_SCENARIO_CHARACTERS:
        more = len(text) - _MAX_SCENARIO_CHARACTERS
        return f"{text[:_MAX_SCENARIO_CHARACTERS]}\n... {more:,} more characters"
    return text


def _yaml(document: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    return text
