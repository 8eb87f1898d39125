from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario.roster import Roster
from tests.simulator.scenario.documents import small

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario


def fleet(*counts: int, **parts: Any) -> Scenario:
    """Groups g0, g1, ... of so many cars."""
    groups = [{"name": f"g{index}", "count": count} for index, count in enumerate(counts)]
    return small(**{"vehicles": groups, **parts})


def test_cars_are_named_by_fleet_group_and_number() -> None:
    """Numbers begin with 1 in each group and have at least four digits."""
    roster = Roster(fleet(2, 3))

    assert [roster.thing(number) for number in range(5)] == [
        "load-g0-0001",
        "load-g0-0002",
        "load-g1-0001",
        "load-g1-0002",
        "load-g1-0003",
    ]


def test_things_of_a_store_are_taken_in_order() -> None:
    """Given names are used as they are, and too few of them are refused."""
    assert Roster(fleet(2), ["b", "a", "c"]).thing(1) == "a"
    with pytest.raises(ValueError, match="2 thing names for 3 cars"):
        Roster(fleet(3), ["a", "b"])


def test_groups_have_ranges_of_numbers() -> None:
    """Each car is in the group whose range holds its number."""
    roster = Roster(fleet(2, 3))

    assert (roster.range_of("g1"), roster.range_of(None)) == ((2, 5), (0, 5))
    assert [roster.group_of(number).group.name for number in (0, 1, 2, 4)] == [
        "g0", "g0", "g1", "g1",
    ]  # fmt: skip
    with pytest.raises(IndexError):
        roster.group_of(5)
    with pytest.raises(KeyError):
        roster.range_of("g2")


@pytest.mark.parametrize(
    ("arrival", "expected_s"),
    [
        ({"kind": "at-once", "after": "2s"}, [2, 2, 2, 2]),
        ({"kind": "rate", "per_s": 2}, [0, 0.5, 1, 1.5]),
        ({"kind": "rate", "per_s": 2, "after": "3s"}, [3, 3.5, 4, 4.5]),
        ({"kind": "over", "duration": "8s"}, [0, 2, 4, 6]),
        # From 0 to 2 a second: four cars take 4 s, and car n is there when n = t^2 / 4.
        ({"kind": "ramp", "from_per_s": 0, "to_per_s": 2}, [0, 2, 2 * 2**0.5, 2 * 3**0.5]),
    ],
)
def test_cars_arrive_as_asked(arrival: dict[str, Any], expected_s: list[float]) -> None:
    """Each kind of arrival gives the times one works out by hand."""
    assert Roster(fleet(4, arrival=arrival)).arrivals_s() == pytest.approx(expected_s)


def test_groups_share_the_arrival_of_the_scenario_in_proportion() -> None:
    """When half of the cars are there, half of each group is."""
    times = Roster(fleet(100, 300, arrival={"kind": "over", "duration": "40s"})).arrivals_s()

    assert np.count_nonzero(times < 20) == 200
    assert abs(np.count_nonzero(times[:100] < 20) - 50) <= 1
    assert sorted(times) == pytest.approx([0.1 * number for number in range(400)])


def test_an_arrival_of_a_group_is_its_own() -> None:
    """The others share theirs as if the group were not there."""
    groups = [
        {"name": "first", "count": 2, "arrival": {"kind": "at-once"}},
        {"name": "rest", "count": 4},
    ]

    times = Roster(small(vehicles=groups, arrival={"kind": "rate", "per_s": 1})).arrivals_s()

    assert times == pytest.approx([0, 0, 0, 1, 2, 3])


@given(st.integers(1, 2000), st.floats(0, 500), st.floats(0.5, 500))
def test_a_ramp_neither_waits_nor_crowds(count: int, low: float, high: float) -> None:
    """Cars come one after the other, all within the time that the mean rate needs."""
    arrival = {"kind": "ramp", "from_per_s": low, "to_per_s": high}

    times = Roster(fleet(count, arrival=arrival)).arrivals_s()

    assert times[0] == 0
    assert np.all(np.diff(times) >= 0)
    assert times[-1] <= 2 * count / (low + high) * (1 + 1e-9)


@given(st.integers(2, 3000), st.integers(0, 2**32 - 1))
def test_offsets_spread_over_the_period(count: int, seed: int) -> None:
    """No gap is wider than three mean gaps: the fleet does not publish in lock-step."""
    offsets = np.sort(Roster(fleet(count, seed=seed)).offsets())

    gaps = np.diff([*offsets, offsets[0] + 1])
    assert np.all((offsets >= 0) & (offsets < 1))
    assert gaps.max() <= 3 / count
    assert gaps.min() > 0


def test_victims_are_drawn_from_the_seed() -> None:
    """One seed hits the same cars in every run, another seed and another fault hit others."""
    fault = {"kind": "drop", "at": 1, "share": 0.3}
    one = Roster(fleet(100, faults=[fault, fault]))
    again = Roster(fleet(100, faults=[fault, fault]))
    other = Roster(fleet(100, faults=[fault, fault], seed=2))

    assert list(one.victims(0)) == list(again.victims(0))
    assert len(set(one.victims(0))) == 30
    assert set(one.victims(0)) != set(one.victims(1))
    assert set(one.victims(0)) != set(other.victims(0))


def test_victims_are_of_the_group() -> None:
    """A fault of a group hits its cars only; without a share it hits all of them."""
    faults = [
        {"kind": "drop", "at": 1, "group": "g1"},
        {"kind": "drop", "at": 1, "group": "g1", "share": 0.01},
    ]
    roster = Roster(fleet(10, 5, faults=faults))

    assert sorted(roster.victims(0)) == [10, 11, 12, 13, 14]
    assert len(roster.victims(1)) == 1


def test_repeated_faults_strike_at_their_rate() -> None:
    """Half a car a second from 2 s to 9 s is one at 2, 4, 6 and 8 s; never after the end."""
    faults = [
        {"kind": "drop", "per_s": 0.5, "begin": 2, "end": 9},
        {"kind": "drop", "per_s": 1, "begin": 7, "end": 100},
    ]
    scenario = fleet(10, faults=faults)
    roster = Roster(scenario)

    first, second = (roster.strikes(fault) for fault in scenario.faults[:2])
    assert [first.at_s(nth) for nth in range(first.count)] == [2, 4, 6, 8]
    assert [second.at_s(nth) for nth in range(second.count)] == [7, 8, 9]


def test_strikes_are_counted_without_being_listed() -> None:
    """480 hours of a thousand a second are three numbers; a single one is at its time."""
    faults = [{"kind": "drop", "per_s": 1000}, {"kind": "drop", "at": 7}]
    scenario = fleet(10, faults=faults, phases=[{"name": "long", "duration": 480 * 3600}])
    roster = Roster(scenario)

    often, once = (roster.strikes(fault) for fault in scenario.faults)

    assert (often.first_s, often.count) == (0.0, 1_728_000_000)
    assert often.last_s == pytest.approx(1_727_999.999)
    assert often.at_s(500) == pytest.approx(0.5)
    assert (once.first_s, once.last_s, once.count) == (7.0, 7.0, 1)
