"""Latency histograms kept as their used buckets only, for a run cut by metric, phase and group.

A dense histogram of the run's layout holds 21,504 counters (172 kB) however little was recorded; a
report needs thousands of them. Owns the sparse form, its exact addition, its percentiles (equal to
those of the dense form) and a decoder of the text form that is bounded in memory, because results
come from files. Knows nothing about what the latencies are of.

Format: HdrHistogram V2 compressed encoding (https://github.com/HdrHistogram, class
`EncodableHistogram`): an external header, then zlib over a 40-byte header and ZigZag LEB128 counts,
in which a negative number stands for that many empty buckets.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.load import histograms
from simulator.load.histograms import HIGHEST_US, HistogramError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hdrh.histogram import HdrHistogram
    from numpy.typing import NDArray

_LAYOUT: Final = histograms.empty()
_BUCKETS: Final = int(_LAYOUT.counts_len)
_HALF_BITS: Final = int(_LAYOUT.sub_bucket_half_count_magnitude)
_DIGITS: Final = int(_LAYOUT.significant_figures)

_EXTERNAL: Final = struct.Struct(">II")
_HEADER: Final = struct.Struct(">IIIIQQd")
_EXTERNAL_COOKIE: Final = 0x1C849314
_HEADER_COOKIE: Final = 0x1C849313
_LONGEST_COUNT: Final = 8
"""Bytes of a count at most: 56 bits, more than any run can record."""
_MAX_BYTES: Final = _HEADER.size + _BUCKETS * _LONGEST_COUNT
_MAX_TEXT: Final = 2 * _MAX_BYTES
_PARTS_AT_MOST: Final = 64
"""Added parts that are kept apart before they are merged."""

_EMPTY_INDICES: Final = np.empty(0, dtype=np.uint16)
_EMPTY_COUNTS: Final = np.empty(0, dtype=np.int64)


class SparseHistogram:
    """Latencies in microseconds, exact to three digits; a few bytes for each used bucket."""

    __slots__ = ("_counts", "_indices", "_parts")

    def __init__(self) -> None:
        self._indices: NDArray[np.uint16] = _EMPTY_INDICES
        self._counts: NDArray[np.int64] = _EMPTY_COUNTS
        self._parts: list[tuple[NDArray[np.uint16], NDArray[np.int64]]] = []

    @classmethod
    def decode(cls, text: str) -> SparseHistogram:
        """Read the text form (`simulator.load.histograms.encode`). Total, and bounded in memory.

        Raises:
            HistogramError: It is none, or of another layout.
        """
        histogram = cls()
        histogram._indices, histogram._counts = _decode(text)
        return histogram

    @classmethod
    def merged(cls, histograms: Iterable[SparseHistogram]) -> SparseHistogram:
        """The sum of some histograms."""
        total = cls()
        for histogram in histograms:
            total.add(histogram)
        return total

    def add(self, other: SparseHistogram) -> None:
        """Add another one; it is not changed by this nor tied to it later."""
        other._merge()
        if len(other._indices):
            self._parts.append((other._indices, other._counts))
        if len(self._parts) >= _PARTS_AT_MOST:
            self._merge()

    def _merge(self) -> None:
        if not self._parts:
            return
        indices = np.concatenate([self._indices, *(part[0] for part in self._parts)])
        counts = np.concatenate([self._counts, *(part[1] for part in self._parts)])
        self._parts.clear()
        sums = np.zeros(int(indices.max()) + 1, dtype=np.int64)
        np.add.at(sums, indices, counts)
        used = sums.nonzero()[0]
        self._indices, self._counts = used.astype(np.uint16), sums[used]

    @property
    def count(self) -> int:
        """Latencies recorded."""
        self._merge()
        return int(self._counts.sum())

    def percentiles_ms(self, percents: Sequence[float]) -> list[float]:
        """Percentiles in milliseconds; zeros when nothing was recorded.

        The same values as `HdrHistogram.get_value_at_percentile`: the highest value that cannot be
        told from the one at that rank.
        """
        self._merge()
        if not len(self._indices):
            return [0.0] * len(percents)
        upto = self._counts.cumsum()
        total = int(upto[-1])
        ranks = [max(1, int(min(percent, 100.0) * total / 100 + 0.5)) for percent in percents]
        found = self._indices[np.searchsorted(upto, ranks)]
        bounds_us = np.where(np.asarray(percents) > 0, _highest_us(found), _lowest_us(found))
        return [float(bound_us) / 1000 for bound_us in bounds_us]

    def percentile_ms(self, percent: float) -> float:
        """One percentile in milliseconds; 0 when nothing was recorded."""
        return self.percentiles_ms([percent])[0]

    @property
    def max_ms(self) -> float:
        """The largest latency in milliseconds; 0 when nothing was recorded."""
        self._merge()
        return float(_highest_us(self._indices[-1:])[0]) / 1000 if len(self._indices) else 0.0

    @property
    def min_ms(self) -> float:
        """The smallest latency in milliseconds; 0 when nothing was recorded."""
        self._merge()
        return float(_lowest_us(self._indices[:1])[0]) / 1000 if len(self._indices) else 0.0

    @property
    def mean_ms(self) -> float:
        """The mean latency in milliseconds; 0 when nothing was recorded."""
        self._merge()
        if not len(self._indices):
            return 0.0
        middles_us = (_lowest_us(self._indices) + _highest_us(self._indices) + 1) // 2
        return float(np.average(middles_us, weights=self._counts)) / 1000

    def dense(self) -> HdrHistogram:
        """The same as a histogram of `hdrhistogram`; each costs 172 kB and some microseconds."""
        self._merge()
        histogram = histograms.empty()
        if len(self._indices):
            np.frombuffer(histogram.counts, dtype=np.uint64)[self._indices] = self._counts
            histogram.set_internal_tacking_values(
                int(self._indices[0]), int(self._indices[-1]), self.count
            )
        return histogram


def _lowest_us(indices: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The smallest value that falls into each bucket."""
    wide = indices.astype(np.int64)
    bucket = np.maximum((wide >> _HALF_BITS) - 1, 0)
    half = 1 << _HALF_BITS
    sub_bucket = np.where(wide < half, wide, (wide & (half - 1)) + half)
    return np.asarray(sub_bucket << bucket)


def _highest_us(indices: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The largest value that falls into each bucket."""
    bucket = np.maximum((indices.astype(np.int64) >> _HALF_BITS) - 1, 0)
    return np.asarray(_lowest_us(indices) + (1 << bucket) - 1)


def _decode(text: str) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    payload = _inflate(text)
    if len(payload) < _HEADER.size:
        raise HistogramError(f"not a latency histogram: {len(payload)} bytes are too few")
    cookie, length, offset, digits, lowest, highest, _ = _HEADER.unpack_from(payload)
    if cookie & ~0xF0 != _HEADER_COOKIE & ~0xF0:
        raise HistogramError(f"not a latency histogram: its kind is {cookie:#x}")
    if (offset, digits, lowest, highest) != (0, _DIGITS, 1, HIGHEST_US):
        raise HistogramError(
            f"a histogram of another layout: {lowest} to {highest} with {digits} digits"
        )
    if length != len(payload) - _HEADER.size:
        raise HistogramError(f"not a latency histogram: it says it has {length} bytes of counts")
    return _used_buckets(_numbers(payload[_HEADER.size :]))


def _inflate(text: str) -> bytes:
    if len(text) > _MAX_TEXT:
        raise HistogramError(f"not a latency histogram: {len(text)} characters are too many")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
        cookie, length = _EXTERNAL.unpack_from(data)
        inflater = zlib.decompressobj()
        payload = inflater.decompress(data[_EXTERNAL.size :], _MAX_BYTES)
    except (UnicodeEncodeError, binascii.Error, struct.error, zlib.error) as error:
        raise HistogramError(f"not a latency histogram: {error}") from error
    if cookie & ~0xF0 != _EXTERNAL_COOKIE & ~0xF0 or length != len(data) - _EXTERNAL.size:
        raise HistogramError("not a latency histogram: its header is wrong")
    if not inflater.eof:
        raise HistogramError("not a latency histogram: cut off, or too long")
    return payload


def _numbers(data: bytes) -> NDArray[np.int64]:
    """The numbers of a sequence in ZigZag LEB128."""
    octets = np.frombuffer(data, dtype=np.uint8)
    if not len(octets):
        return _EMPTY_COUNTS
    ends = np.flatnonzero(octets < 0x80)  # noqa: PLR2004 - the bit that says another octet follows
    if not len(ends) or ends[-1] != len(octets) - 1:
        raise HistogramError("not a latency histogram: its last count is cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if int(lengths.max()) > _LONGEST_COUNT:
        raise HistogramError("not a latency histogram: a count is too large")
    places = np.arange(len(octets)) - np.repeat(starts, lengths)
    zigzag = np.add.reduceat((octets & 0x7F).astype(np.int64) << (7 * places), starts)
    return np.asarray((zigzag >> 1) ^ -(zigzag & 1))


def _used_buckets(numbers: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    # Steps are clipped before they are summed, so that no sum of hostile ones can wrap around.
    steps = np.where(numbers < 0, np.minimum(-numbers, _BUCKETS + 1), 1)
    after = np.cumsum(steps)
    if len(after) and int(after[-1]) > _BUCKETS:
        raise HistogramError("not a latency histogram: it has too many buckets")
    used = numbers > 0
    return (after[used] - 1).astype(np.uint16), numbers[used]
