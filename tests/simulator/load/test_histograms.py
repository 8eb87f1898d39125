from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.load import histograms

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

LATENCIES = st.lists(
    st.one_of(st.floats(1e-6, 600), st.floats(1e-6, 0.01), st.floats(0.001, 1)),
    min_size=1,
    max_size=300,
)
PERCENTS = (50.0, 90.0, 99.0, 99.9, 100.0)


def assert_percentiles(histogram: HdrHistogram, latencies_s: np.ndarray) -> None:
    """Every percentile is within 0.1 % (and half a microsecond) of a value numpy allows."""
    for percent in PERCENTS:
        found_ms = histograms.percentile_ms(histogram, percent)
        rank = percent / 100 * (len(latencies_s) - 1)
        # Where a percentile falls between two values, methods differ; either neighbour is right.
        near = [max(0.0, rank - 1), rank, min(len(latencies_s) - 1.0, rank + 1)]
        values = np.quantile(latencies_s, np.array(near) / max(1, len(latencies_s) - 1))
        assert values[0] * 999 - 0.0006 <= found_ms <= values[-1] * 1001 + 0.0006


@given(LATENCIES)
def test_percentiles_are_exact_to_a_thousandth(latencies_s: list[float]) -> None:
    """Whatever the values: as numpy has them."""
    histogram = histograms.of_seconds(latencies_s)

    assert histogram.get_total_count() == len(latencies_s)
    assert_percentiles(histogram, np.array(latencies_s))


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.0])
def test_percentiles_of_many_values(sigma: float) -> None:
    """A hundred thousand log-normal latencies of 20 ms and their percentiles agree."""
    latencies_s = np.clip(np.random.default_rng(3).lognormal(-4, sigma, 100_000), 1e-6, 600)

    assert_percentiles(histograms.of_seconds(latencies_s.tolist()), latencies_s)


@given(LATENCIES, LATENCIES)
def test_sums_equal_the_whole(first: list[float], second: list[float]) -> None:
    """Two histograms in text form, added, are the histogram of all values."""
    total = histograms.empty()
    for part in (first, second):
        histograms.add_encoded(total, histograms.encode(histograms.of_seconds(part)))

    whole = histograms.of_seconds(first + second)
    assert histograms.encode(total) == histograms.encode(whole)


@pytest.mark.parametrize(
    ("latency_s", "recorded_ms"),
    [
        (float("nan"), 0.001),
        (float("-inf"), 0.001),
        (-3.0, 0.001),
        (0.0, 0.001),
        (1e-9, 0.001),
        (599.99, 599_990),
        (601.0, 600_000),
        (1e300, 600_000),
        (1.7e308, 600_000),
        (float("inf"), 600_000),
    ],
)
def test_values_beyond_the_bounds_are_kept_at_them(latency_s: float, recorded_ms: float) -> None:
    """From a microsecond to ten minutes; none is dropped and none raises."""
    histogram = histograms.of_seconds([latency_s])

    assert histogram.get_total_count() == 1
    assert histograms.percentile_ms(histogram, 100) == pytest.approx(recorded_ms, rel=1e-3)


def test_nothing_is_nothing() -> None:
    """No latencies make an empty histogram, whose percentiles are 0."""
    histogram = histograms.of_seconds(iter(()))

    assert histogram.get_total_count() == 0
    assert histograms.percentile_ms(histogram, 99) == 0.0


@given(st.one_of(st.text(), st.binary().map(lambda data: data.hex())))
def test_other_texts_are_refused(text: str) -> None:
    """A text that is no histogram raises the one error and adds nothing."""
    total = histograms.empty()

    with pytest.raises(histograms.HistogramError):
        histograms.add_encoded(total, text)
    assert total.get_total_count() == 0
