"""Slices of a run, and how they grow longer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.report.slices import SliceBook


def test_gaps_are_filled_with_what_was_online() -> None:
    """Seconds without a snapshot are in the series, with the cars that were online before."""
    book = SliceBook()
    book.at(0.5).online = {"cars": 3}
    book.at(3.5).counts["published"] = 7
    series = book.series()
    assert [(s.start_s, s.end_s) for s in series] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert series[2].online == {"cars": 3}
    assert [s.counts.get("published", 0) for s in series] == [0, 0, 0, 7]


def test_long_runs_get_longer_slices() -> None:
    """Beyond the bound two neighbours become one, and nothing is lost."""
    book = SliceBook(max_slices=4)
    for second in range(10):
        within = book.at(second + 0.5)
        within.counts["published"] = within.counts.get("published", 0) + 1
        within.add_use(0, 0.5, 1.0)
        within.refusals["quota"] = within.refusals.get("quota", 0) + 2
    series = book.series()
    assert book.length_s == 4
    assert [(s.start_s, s.end_s) for s in series] == [(0, 4), (4, 8), (8, 12)]
    assert [s.counts["published"] for s in series] == [4, 4, 2]
    assert [s.refusals["quota"] for s in series] == [8, 8, 4]
    assert [s.cpu_share[0] for s in series] == [0.5, 0.5, 0.5]
    assert series[0].rate_hz("published") == 1


@given(st.lists(st.floats(0, 2_678_400), max_size=40))
def test_the_bound_holds_for_any_times(times_s: list[float]) -> None:
    """Whatever the times, there are no more slices than the bound, and each event is in one."""
    book = SliceBook(max_slices=8)
    for time_s in times_s:
        within = book.at(time_s)
        within.counts["events"] = within.counts.get("events", 0) + 1
        assert within.start_s <= time_s < within.end_s
    series = book.series()
    assert len(series) <= 8
    assert sum(s.counts.get("events", 0) for s in series) == len(times_s)
