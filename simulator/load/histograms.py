"""Latency histograms: microseconds from 1 to ten minutes, exact to three digits.

Owns the one layout every histogram of a run has, so that any two can be added, and their text form.
Recording is done in bulk: a worker collects plain numbers and turns them into a histogram once a
snapshot, which costs a few hundred nanoseconds per value less than recording each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable

HIGHEST_US: Final = 600_000_000
"""Ten minutes; anything longer is recorded as ten minutes."""
_DIGITS: Final = 3
_EXACT_BITS: Final = 11
# A value of more than 11 bits loses its lower bits in a histogram of three digits anyway
# (2,048 sub-buckets), so they can be dropped before equal values are counted.


class HistogramError(ValueError):
    """A text that is no histogram of this layout."""


def empty() -> HdrHistogram:
    """An empty histogram of microseconds."""
    return HdrHistogram(1, HIGHEST_US, _DIGITS)


def of_seconds(latencies_s: Iterable[float]) -> HdrHistogram:
    """A histogram of latencies in seconds.

    Negative ones (clocks differ) and NaN count as the smallest, what exceeds ten minutes as that.
    """
    seconds = np.fromiter(latencies_s, dtype=np.float64)
    histogram = empty()
    if not len(seconds):
        return histogram
    bounded = np.clip(np.nan_to_num(seconds), 1e-6, HIGHEST_US / 1e6)
    micros = (bounded * 1e6).round().astype(np.int64)
    bits = np.frexp(micros.astype(np.float64))[1]
    shift = np.maximum(bits - _EXACT_BITS, 0)
    values, counts = np.unique((micros >> shift) << shift, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return histogram


def encode(histogram: HdrHistogram) -> str:
    """The histogram as text (HdrHistogram V2, compressed, base64)."""
    text: bytes = histogram.encode()
    return text.decode("ascii")


def add_encoded(total: HdrHistogram, text: str) -> None:
    """Add a histogram in text form.

    Raises:
        HistogramError: It is none, or of another layout.
    """
    try:
        total.decode_and_add(text.encode("ascii"))
    except Exception as error:
        # The decoder raises whatever zlib, base64, ctypes or its own checks raise.
        raise HistogramError(f"not a latency histogram: {error}") from error


def percentile_ms(histogram: HdrHistogram, percent: float) -> float:
    """A percentile in milliseconds; 0 for an empty histogram."""
    return float(histogram.get_value_at_percentile(percent)) / 1000
