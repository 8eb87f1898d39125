from __future__ import annotations

import pickle
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from simulator.load.assignment import APART_FROM, SAMPLED_MAX, Assignment, ProbePlan, divide
from simulator.load.target.identities import Identities
from simulator.load.target.opening import Route
from simulator.quotas.files import quota_table
from simulator.scenario.roster import Roster
from tests.simulator.load.documents import scenario

if TYPE_CHECKING:
    from simulator.quotas.table import QuotaTable
    from simulator.scenario.schema import Scenario

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BASE = Path("here")


@cache
def prepared(counts: tuple[int, ...], observers: int, commanders: int) -> tuple[Scenario, ...]:
    """Groups of so many cars, and so many connections of applications."""
    return (
        scenario(
            vehicles=[
                {"name": f"group-{index}", "count": count, "streams": {"state": {"rate_hz": 1}}}
                for index, count in enumerate(counts)
            ],
            target={"kind": "broker", "host": "b", "tls": False},
            identities={"kind": "none"},
            applications={
                "observers": [{"count": observers}, {"name": "others"}],
                "commanders": [{"count": commanders}],
            },
        ),
    )


def divided(made: Scenario, workers: int) -> list[Assignment]:
    """What each worker is given."""
    identities = Identities.prepare(made, BASE, NOW)
    return divide(
        made, Roster(made), identities, Route((), None), workers=workers, base=BASE, now=NOW
    )


@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=4).map(tuple),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 9),
)
def test_every_car_and_connection_has_one_worker(
    counts: tuple[int, ...], observers: int, commanders: int, workers: int
) -> None:
    """Nothing is left out or given twice, and the load is even, for any number of workers.

    Beside a large fleet the applications have one more to themselves.
    """
    [made] = prepared(counts, observers, commanders)
    roster = Roster(made)
    parts = divided(made, workers)

    is_apart = sum(counts) >= APART_FROM
    assert [part.worker for part in parts] == list(range(workers + is_apart))
    cars: Counter[int] = Counter()
    for part in parts:
        for share in part.shares:
            within = roster.groups[share.group]
            assert within.start <= share.start < share.stop <= within.stop
            numbers = range(share.start, share.stop)
            cars.update(numbers)
            assert share.identities.things == tuple(roster.thing(number) for number in numbers)
    assert cars == Counter(range(sum(counts)))
    for index, count in enumerate(counts):
        sizes = [
            sum(share.stop - share.start for share in part.shares if share.group == index)
            for part in parts[:workers]
        ]
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1
    places = Counter(
        (place.kind, place.index, place.place) for part in parts for place in part.places
    )
    assert places == Counter(
        [("observer", 0, place) for place in range(observers)]
        + [("observer", 1, 0)]
        + [("commander", 0, place) for place in range(commanders)]
    )
    lengths = [len(part.places) for part in parts]
    if is_apart:
        assert lengths[:-1] == [0] * workers
    else:
        assert max(lengths) - min(lengths) <= 1
    assert len({place.name for part in parts for place in part.places}) == sum(lengths)


@given(st.integers(1, 3000))
def test_few_cars_are_sampled_from_the_whole_fleet(count: int) -> None:
    """At most so many, all of a small fleet, from its first to near its last; all workers agree."""
    [made] = prepared((count,), 1, 1)
    [first, *others] = divided(made, 2)

    assert all(other.sampled == first.sampled for other in others)
    assert first.sampled <= set(range(count))
    assert len(first.sampled) == min(count, SAMPLED_MAX)
    assert max(first.sampled) >= count / 2 - 1


def test_an_assignment_can_cross_to_a_process() -> None:
    """With minted identities as well, and no private key of cars in it."""
    made = scenario()
    for part in divided(made, 2):
        copy = pickle.loads(pickle.dumps(part))
        assert (copy.worker, copy.shares, copy.places) == (part.worker, part.shares, part.places)
    pairs = [place.pair for part in divided(made, 2) for place in part.places]
    assert all(pair is not None for pair in pairs)


def test_probes_are_the_last_worker_s() -> None:
    """One worker has them, with the quotas in force; without a table none has."""
    made = scenario(
        probes=[{}], target={"kind": "stand-in", "quota_mode": "enforce"}, applications={}
    )
    identities, table = Identities.prepare(made, BASE, NOW), quota_table("us-east-1")

    def divided_with(quotas: QuotaTable | None) -> list[ProbePlan | None]:
        assignments = divide(
            made,
            Roster(made),
            identities,
            Route((), None),
            workers=3,
            base=BASE,
            now=NOW,
            quotas=quotas,
        )
        return [each.probes for each in pickle.loads(pickle.dumps(assignments))]

    assert identities.probe is not None
    assert divided_with(table) == [None, None, ProbePlan(identities.probe, table, "enforce")]
    assert divided_with(None) == [None, None, None]
