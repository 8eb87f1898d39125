"""Sparse histograms against the histograms of the hdrhistogram package."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from simulator.load.histograms import HIGHEST_US, HistogramError, empty, encode
from simulator.report.sparse import SparseHistogram

MICROSECONDS = st.lists(st.integers(1, HIGHEST_US), max_size=20)
PERCENTS = (0, 1, 50, 90, 99, 99.9, 100)


def dense(values_us: list[int]) -> HdrHistogram:
    """A histogram of the package, recorded value by value."""
    histogram = empty()
    for value in values_us:
        histogram.record_value(value)
    return histogram


def payload(counts: bytes, *, highest: int = HIGHEST_US, cookie: int = 0x1C849313) -> str:
    """The text form with any content."""
    header = struct.pack(">IIIIQQd", cookie, len(counts), 0, 3, 1, highest, 1.0)
    packed = zlib.compress(header + counts)
    return base64.b64encode(struct.pack(">II", 0x1C849314, len(packed)) + packed).decode()


@given(MICROSECONDS)
def test_it_says_what_the_package_says(values_us: list[int]) -> None:
    """Count, percentiles, extremes and mean equal those of the decoded dense histogram."""
    text = encode(dense(values_us))
    found, expected = SparseHistogram.decode(text), HdrHistogram.decode(text)
    assert found.count == len(values_us)
    assert found.percentiles_ms(PERCENTS) == [
        expected.get_value_at_percentile(percent) / 1000 for percent in PERCENTS
    ]
    if values_us:
        assert found.max_ms == expected.get_max_value() / 1000
        assert found.min_ms == expected.get_min_value() / 1000
        assert found.mean_ms == pytest.approx(expected.get_mean_value() / 1000)


@given(st.lists(MICROSECONDS, max_size=5))
def test_sums_are_exact(lists_us: list[list[int]]) -> None:
    """Adding histograms equals recording all values in one, to the last byte."""
    total = SparseHistogram.merged(
        SparseHistogram.decode(encode(dense(values))) for values in lists_us
    )
    everything = dense([value for values in lists_us for value in values])
    assert encode(total.dense()) == encode(everything)


def test_many_parts_add_up() -> None:
    """Merging now and then loses nothing."""
    total = SparseHistogram()
    for value in range(1, 1001):
        total.add(SparseHistogram.decode(encode(dense([value]))))
    assert total.count == 1000
    assert total.percentiles_ms([50, 100]) == [0.5, 1.0]


def test_an_added_histogram_stays_what_it_is() -> None:
    """Adding to a total does not change what was added."""
    part = SparseHistogram.decode(encode(dense([1000])))
    total = SparseHistogram()
    total.add(part)
    total.add(part)
    assert (part.count, total.count) == (1, 2)


def test_nothing_recorded_is_zero() -> None:
    """An empty histogram has no latencies and says 0 for every figure."""
    nothing = SparseHistogram()
    assert (nothing.count, nothing.max_ms, nothing.min_ms, nothing.mean_ms) == (0, 0, 0, 0)
    assert nothing.percentile_ms(99) == 0
    assert nothing.dense().get_total_count() == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a latency histogram"),
        ("no base64!", "not a latency histogram"),
        ("ü", "not a latency histogram"),
        (base64.b64encode(b"12345678").decode(), "not a latency histogram"),
        (payload(b"", highest=10**12), "another layout"),
        (payload(b"", cookie=0x1C849301), "its kind"),
        (payload(b"\x80"), "cut off"),
        (payload(b"\xff" * 9 + b"\x01"), "too large"),
        (payload(b"\x02" * 21_505), "too many buckets"),
        # Minus 2^55 empty buckets, again and again: their sum would wrap around to a small one.
        (payload((b"\xff" * 7 + b"\x7f") * 512 + b"\x02"), "too many buckets"),
    ],
)
def test_what_is_none_is_refused(text: str, why: str) -> None:
    """Whatever is no histogram of the layout is one typed error."""
    with pytest.raises(HistogramError, match=why):
        SparseHistogram.decode(text)


def test_a_zip_bomb_is_refused_unread() -> None:
    """A text of a few kilobytes cannot become megabytes."""
    bomb = payload(b"\x00" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(HistogramError, match="too long"):
        SparseHistogram.decode(bomb)


@given(st.binary(max_size=200))
def test_any_counts_are_numbers_or_refused(counts: bytes) -> None:
    """Any content behind a correct header is read or refused; nothing else happens."""
    try:
        histogram = SparseHistogram.decode(payload(counts))
    except HistogramError:
        return
    assert histogram.count >= 0
