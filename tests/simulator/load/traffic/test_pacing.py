from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.load.traffic.pacing import ROW_LENGTH, Lane
from simulator.scenario.schema import Phase
from simulator.scenario.timetable import Timetable

PHASES = st.lists(
    st.builds(
        lambda duration, rate, rate_to: Phase(
            name="p", duration=duration, rate=rate, rate_to=rate_to
        ),
        st.floats(0.5, 20),
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        st.sampled_from([None, 0.0, 1.0, 2.5]),
    ),
    min_size=1,
    max_size=4,
)
OFFSETS = st.lists(st.floats(0, 1, exclude_max=True), max_size=7)
RATES = st.sampled_from([0.1, 1.0, 3.0, 10.0])


def integral(phases: list[Phase], until_s: float) -> float:
    """The integral of the rate factor by the area of trapezia, one phase after the other."""
    total = start_s = 0.0
    for phase in phases:
        inside_s = min(max(until_s - start_s, 0.0), phase.duration)
        rate_to = phase.rate if phase.rate_to is None else phase.rate_to
        there = phase.rate + (rate_to - phase.rate) * inside_s / phase.duration
        total += inside_s * (phase.rate + there) / 2
        start_s += phase.duration
    return total


def everything(lane: Lane, calls_s: list[float]) -> list[tuple[int, float]]:
    """Car and due time of all that becomes due at some calls, each repeated until there is none."""
    found: list[tuple[int, float]] = []
    for now_s in calls_s:
        while (due := lane.due(now_s)).cars:
            assert len(due.cars) == len(due.due_s) <= ROW_LENGTH
            assert all(due_s <= now_s for due_s in due.due_s)
            found += zip(due.cars, due.due_s, strict=True)
    return found


@given(PHASES, RATES, OFFSETS)
def test_every_message_comes_once_at_its_time(
    phases: list[Phase], rate_hz: float, offsets: list[float]
) -> None:
    """Car `c` has message `k` due when rate times the integral is `k` plus its offset."""
    timetable = Timetable(phases)
    end_s = sum(phase.duration for phase in phases)
    found = everything(Lane(timetable, rate_hz, np.array(offsets)), [end_s + 1])

    times = [due_s for _, due_s in found]
    assert times == sorted(times)
    whole = rate_hz * integral(phases, end_s)
    numbers: Counter[int] = Counter()
    for car, due_s in found:
        assert 0 <= due_s < end_s
        wanted = numbers[car] + offsets[car]
        assert rate_hz * integral(phases, due_s) == pytest.approx(wanted, abs=1e-6)
        numbers[car] += 1
    for car, offset in enumerate(offsets):
        # The last one is due before the end; within rounding either is right.
        assert numbers[car] in {math.ceil(whole - offset - 1e-9), math.ceil(whole - offset + 1e-9)}


@given(PHASES, RATES, OFFSETS, st.lists(st.floats(0, 80), max_size=12))
def test_when_one_asks_does_not_matter(
    phases: list[Phase], rate_hz: float, offsets: list[float], calls_s: list[float]
) -> None:
    """Asked once or many times, a lane gives the same messages in the same order."""
    timetable = Timetable(phases)
    end_s = timetable.end_s

    often = everything(Lane(timetable, rate_hz, np.array(offsets)), [*sorted(calls_s), end_s + 100])

    assert often == everything(Lane(timetable, rate_hz, np.array(offsets)), [end_s + 100])


@given(PHASES, OFFSETS, st.floats(0, 30))
def test_the_next_one_is_known(phases: list[Phase], offsets: list[float], now_s: float) -> None:
    """`next_due_s` is what the next call gives first; infinity when there is nothing more."""
    lane = Lane(Timetable(phases), 1.0, np.array(offsets))
    everything(lane, [now_s])

    next_s = lane.next_due_s()
    rest = everything(lane, [1000.0])

    assert next_s == (rest[0][1] if rest else math.inf)
    assert lane.next_due_s() == math.inf
    assert lane.due(2000.0).cars == []


def test_cars_with_even_offsets_publish_evenly() -> None:
    """A hundred cars once a second make one message every hundredth of a second."""
    lane = Lane(Timetable.steady(5.0), 1.0, np.arange(100) / 100)

    times = [due_s for _, due_s in everything(lane, [5.0])]

    assert times == pytest.approx([number / 100 for number in range(500)])


def test_a_phase_of_rate_zero_is_silent() -> None:
    """Between its start and end nothing is due; the rest goes on as if it were not there."""
    phases = [Phase(name=n, duration=4, rate=r) for n, r in (("a", 1), ("b", 0), ("c", 2))]

    found = everything(Lane(Timetable(phases), 1.0, np.array([0.5])), [100.0])

    assert [due_s for _, due_s in found] == pytest.approx(
        [0.5, 1.5, 2.5, 3.5, 8.25, 8.75, 9.25, 9.75, 10.25, 10.75, 11.25, 11.75]
    )


def test_a_run_without_rate_has_nothing() -> None:
    """Factor 0 from beginning to end, or no cars, and nothing is ever due."""
    silent = Lane(Timetable([Phase(name="a", duration=9, rate=0)]), 5.0, np.zeros(3))
    empty = Lane(Timetable.steady(9.0), 5.0, np.zeros(0))

    for lane in (silent, empty):
        assert lane.due(100.0).cars == []
        assert lane.next_due_s() == math.inf


def test_long_rows_are_handed_out_in_pieces() -> None:
    """More than a row at once comes in slices of at most its length, all of it."""
    lane = Lane(Timetable.steady(10.0), 100.0, np.linspace(0, 1, 50, endpoint=False))

    sizes = []
    while (due := lane.due(10.0)).cars:
        sizes.append(len(due.cars))

    assert sum(sizes) == 50_000
    assert max(sizes) == ROW_LENGTH
