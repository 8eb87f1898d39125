"""Lines of terminal cells: widths are kept and no number is hidden."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from simulator.watch import cells

NUMBERS = st.floats(min_value=0, max_value=1e24)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (998, "998"),
        (12_345, "12,345"),
        (999_999, "999,999"),
        (1_234_567, "1.23M"),
        (999_600_000, "1.00G"),
        (56_700_000_000, "56.7G"),
        (1e15, "1.00P"),
        (math.nan, "?"),
    ],
)
def test_counts_are_short(number: float, text: str) -> None:
    """Numbers up to a million are written out, larger ones with three digits and a suffix."""
    assert cells.count(number) == text


@pytest.mark.parametrize(
    ("value_ms", "text"), [(0.0, "0.00"), (0.805, "0.81"), (12.34, "12.3"), (600_000.0, "600,000")]
)
def test_latencies_have_three_digits(value_ms: float, text: str) -> None:
    """Sub-millisecond latencies keep two decimals, ten minutes fit seven characters."""
    assert cells.milliseconds(value_ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (67.9, "1:07"), (3753, "1:02:33"), (-1, "0:00")]
)
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    """Minutes and seconds, and hours when there are any."""
    assert cells.clock(seconds) == text


@given(NUMBERS)
def test_numbers_fit_their_columns(number: float) -> None:
    """No number, however large, is wider than the column it is made for."""
    assert len(cells.count(number)) <= 8
    assert len(cells.rate(number)) <= 8
    assert len(cells.size(number)) <= 9


@given(st.lists(st.one_of(NUMBERS, st.just(math.nan)), max_size=130), st.integers(0, 80))
def test_sparklines_have_their_width(values: list[float], width: int) -> None:
    """Exactly as wide as asked for, whatever the values."""
    assert len(cells.sparkline(values, width)) == width


def test_a_peak_survives_narrow_sparklines() -> None:
    """One peak among sixty values is still the highest block in ten cells."""
    values = [1.0] * 60
    values[31] = 100.0
    assert cells.sparkline(values, 10) == "▂▂▂▂▂█▂▂▂▂"


def test_little_is_not_nothing_and_unknown_is_blank() -> None:
    """0 is the lowest block, anything above it a higher one, NaN none."""
    assert cells.sparkline([math.nan, 0.0, 0.001, 1000.0], 4) == " ▁▂█"
    assert cells.sparkline([0.0, 0.0], 2) == "▁▁"


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 80))
def test_texts_are_fitted_by_cells(left: str, right: str, width: int) -> None:
    """Wide characters count twice, and every line has exactly its width."""
    left, right = (part if part.isprintable() else "" for part in (left, right))
    assert cell_len(cells.fitted(Text(left), width).plain) == width
    assert cell_len(cells.spread(Text(left), Text(right), width).plain) == width
    assert cell_len(cells.title(left, width).plain) == width


@given(st.floats(allow_nan=False, min_value=-10, max_value=1e9), st.integers(0, 60))
def test_gauges_stay_in_their_frame(share: float, width: int) -> None:
    """A share beyond 1, as of a process with threads, fills the bar and no more."""
    assert len(cells.gauge(share, width)) == width
