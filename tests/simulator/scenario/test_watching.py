from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario import watching
from simulator.scenario.roster import Roster
from simulator.scenario.schema import Scenario

STREAMS = ["gnss", "imu", "state"]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """One to three groups with some streams, and one entry of observers."""
    names = ["vans", "cars", "bikes"][: draw(st.integers(1, 3))]
    wanted = draw(
        st.none() | st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3, unique=True)
    )
    return scenario(
        {
            name: (
                draw(st.integers(1, 40)),
                draw(st.lists(st.sampled_from(STREAMS), max_size=3, unique=True)),
            )
            for name in names
        },
        count=draw(st.integers(1, 9)),
        share=draw(st.sampled_from([1.0, 0.5, 0.01, 0.33])),
        group=draw(st.none() | st.sampled_from(names)),
        streams=wanted,
        filters=draw(st.sampled_from(["auto", "wildcard", "each"])),
        seed=draw(st.integers(0, 3)),
    )


def scenario(groups: dict[str, tuple[int, list[str]]], seed: int = 1, **observers: Any) -> Scenario:
    """Groups of so many cars with these streams, read by some observers."""
    document = {
        "name": "s",
        "description": "for a test",
        "seed": seed,
        "vehicles": [
            {"name": name, "count": count, "streams": {s: {"rate_hz": 1} for s in streams}}
            for name, (count, streams) in groups.items()
        ],
        "phases": [{"name": "hold", "duration": 10}],
        "applications": {"observers": [observers]},
    }
    return Scenario.model_validate(document)


@pytest.mark.parametrize(
    ("observers", "uses"),
    [
        ({}, True),
        ({"count": 2}, False),
        ({"share": 0.5}, False),
        ({"filters": "each"}, False),
        ({"filters": "wildcard", "count": 9, "share": 0.1}, True),
    ],
)
def test_who_uses_wildcards(observers: dict[str, Any], uses: bool) -> None:
    """By itself one observer of everything; otherwise as the scenario says."""
    found = scenario({"cars": (3, ["state"])}, **observers)

    assert watching.uses_wildcard(found.applications.observers[0]) is uses


@given(scenarios())
def test_the_watched_cars_are_a_share_of_each_group(made: Scenario) -> None:
    """As many as the share says, at least one, of the groups of which something is read."""
    observers, roster = made.applications.observers[0], Roster(made)
    found = watching.watched_numbers(made, roster, 0)

    for within in roster.groups:
        group = within.group
        read = [s for s in group.streams if observers.streams is None or s in observers.streams]
        if observers.group not in {None, group.name} or not read:
            assert group.name not in found
            continue
        numbers = found[group.name]
        assert numbers == sorted(set(numbers))
        assert set(numbers) <= set(range(within.start, within.stop))
        assert len(numbers) == max(1, round(observers.share * group.count))
    assert found == watching.watched_numbers(made, Roster(made), 0)


def test_another_seed_draws_other_cars() -> None:
    """A share is drawn at random from the seed."""
    drawn = set()
    for seed in range(5):
        made = scenario({"cars": (1000, ["state"])}, seed, share=0.1)
        drawn.add(tuple(watching.watched_numbers(made, Roster(made), 0)["cars"]))

    assert len(drawn) == 5


@given(scenarios(), st.integers(1, 60))
def test_the_connections_needed_are_the_fewest(made: Scenario, filters_max: int) -> None:
    """So many keep the bound and one fewer does not, unless one car of each is too much."""
    observers = made.applications.observers[0].model_copy(update={"filters": "each"})
    count = watching.connections_needed(made, observers, filters_max)

    def most(connections: int) -> int:
        return watching.most_filters(made, observers.model_copy(update={"count": connections}))

    assert count >= 1
    least = most(10_000)
    if least > filters_max:
        assert most(count) == least
    else:
        assert most(count) <= filters_max
        assert count == 1 or most(count - 1) > filters_max


def test_filters_by_hand() -> None:
    """Three streams of ten cars, two of them read, on four connections: 3 x 2 and 10 x 2."""
    made = scenario({"cars": (10, STREAMS)}, count=4, streams=["imu", "gnss"])
    observers = made.applications.observers[0]

    assert watching.most_filters(made, observers) == 6
    assert watching.all_filters(made, observers) == 20
    assert watching.levels(made.vehicles[0], observers) == ["gnss", "imu"]
    # 1 x 2 filters fit into 3, 2 x 2 do not.
    assert watching.connections_needed(made, observers, 3) == 10
    assert Counter(watching.wildcard_streams(made, observers)) == Counter(["gnss", "imu"])
