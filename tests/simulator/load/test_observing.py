from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from simulator.forecast import demand
from simulator.load.observing import Finder, deal
from simulator.scenario import watching
from simulator.scenario.roster import Roster
from tests.simulator.load.documents import scenario
from tests.simulator.scenario.test_watching import scenarios

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter of names and `+` matches a topic of as many levels."""
    pairs = zip(topic_filter.split("/"), topic.split("/"), strict=True)
    return all(wanted in {"+", level} for wanted, level in pairs)


@given(scenarios())
def test_every_watched_car_is_dealt_once(made: Scenario) -> None:
    """With wildcards everybody watches every car; otherwise each car has one connection."""
    observers, roster = made.applications.observers[0], Roster(made)
    watched = watching.watched_numbers(made, roster, 0)
    watches = deal(made, roster, 0)

    assert len(watches) == observers.count
    for name, numbers in watched.items():
        streams = [
            s
            for s in made.group(name).streams
            if observers.streams is None or s in observers.streams
        ]
        for stream in streams:
            dealt = [watch.cars.get((name, stream), []) for watch in watches]
            if watching.uses_wildcard(observers):
                assert dealt == [numbers] * observers.count
            else:
                assert Counter(car for cars in dealt for car in cars) == Counter(numbers)
                sizes = [len(cars) for cars in dealt]
                assert max(sizes) - min(sizes) <= 1
    for watch in watches:
        assert {name for name, _ in watch.cars} <= set(watched)


@given(scenarios())
def test_filters_bring_what_is_watched_once(made: Scenario) -> None:
    """A watched topic matches one filter; without wildcards another topic matches none."""
    roster = Roster(made)
    prefix = f"dt/morai/{made.fleet}"
    is_wild = watching.uses_wildcard(made.applications.observers[0])
    for watch in deal(made, roster, 0):
        assert len(set(watch.filters)) == len(watch.filters)
        for within in roster.groups:
            for car in range(within.start, within.stop):
                for stream in within.group.streams:
                    topic = f"{prefix}/{roster.thing(car)}/{stream}"
                    hits = sum(matches(each, topic) for each in watch.filters)
                    if car in watch.cars.get((within.group.name, stream), []):
                        assert hits == 1
                    elif not is_wild:
                        assert hits == 0


@given(scenarios())
def test_rules_forecast_and_run_count_the_same_filters(made: Scenario) -> None:
    """What is checked and what is forecast is what the run subscribes to."""
    observers = made.applications.observers[0]
    counts = [len(watch.filters) for watch in deal(made, Roster(made), 0)]

    assert watching.most_filters(made, observers) == max(counts) == counts[0]
    assert watching.all_filters(made, observers) == sum(counts)
    foreseen = demand.of(made, Roster(made), lambda *_: 100)
    [connection] = [each for each in foreseen.connections if each.kind == "observer"]
    assert connection.filters == max(counts)


@given(st.text(alphabet="dt/+morailoadcitysvn-0123", max_size=60))
def test_a_finder_survives_any_topic(topic: str) -> None:
    """A topic that is none of the fleet's is none of its cars'."""
    made = scenario()
    found = Finder(Roster(made), {("city", "state"): [0, 1]})(topic)

    assert found is None or topic.split("/")[3:] == [Roster(made).thing(found[1]), "state"]


def test_a_finder_knows_its_cars() -> None:
    """Watched cars and streams are found by topic; others are not."""
    find = Finder(Roster(scenario()), {("city", "state"): [0, 2]})

    assert find("dt/morai/load/load-city-0001/state") == (("city", "state"), 0)
    assert find("dt/morai/load/load-city-0003/state") == (("city", "state"), 2)
    assert find("dt/morai/load/load-city-0002/state") is None
    assert find("dt/morai/load/load-city-0001/gnss") is None
    assert find("dt/morai/load/load-city-0001/state/more") is None
    assert find("") is None
