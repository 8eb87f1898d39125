from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from simulator.report.page.charts import charts_of, merged
from simulator.report.result import Result
from simulator.report.slices import Slice
from tests.simulator.report import records_of_a_run


@given(st.lists(st.integers(0, 1000), max_size=300), st.integers(1, 40))
def test_merging_slices_loses_nothing(numbers: list[int], at_most: int) -> None:
    """However many are merged: bounded in number, gapless in time, equal in sum, not changed."""
    slices = [
        Slice(float(second), second + 1.0, {"published": number})
        for second, number in enumerate(numbers)
    ]

    wider = merged(slices, at_most)

    assert len(wider) <= at_most
    assert sum(within.counts.get("published", 0) for within in wider) == sum(numbers)
    assert all(one.end_s == two.start_s for one, two in pairwise(wider))
    assert [within.end_s for within in wider[-1:]] == [float(len(numbers))] * bool(numbers)
    assert [within.counts["published"] for within in slices] == numbers


def test_rates_of_merged_slices_are_per_second() -> None:
    """An hour in 3,600 slices of ten publishes each is drawn as ten a second."""
    slices = [Slice(float(s), s + 1.0, {"published": 10}) for s in range(3600)]

    wider = merged(slices)

    assert len(wider) == 1200
    assert {within.rate_hz("published") for within in wider} == {10.0}


def test_a_quiet_run_says_that_nothing_went_wrong() -> None:
    """A chart without anything to draw is a sentence."""
    result = Result()
    result.add(records_of_a_run.header())

    charts = {chart.name: chart for chart in charts_of(result).charts}

    assert charts["troubles"].reading.startswith("No attempt failed")
    assert charts["latency"].reading == "No latency was measured."
    assert charts_of(result).as_json()["charts"] == {}


def test_the_gist_of_a_chart_is_told_in_words() -> None:
    """Who cannot see the chart reads its peaks: 20 vans dropped at 47 s."""
    charts = {chart.name: chart for chart in charts_of(records_of_a_run.result()).charts}

    assert "disconnects at most 20 /s at 0:47" in charts["connects"].reading
    assert charts["online"].reading == "At most 98 at 0:14 of 100 asked for."
