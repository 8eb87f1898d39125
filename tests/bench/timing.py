"""Time of a piece of code and of many events: repetitions of the first, percentiles of the second.

Owns warm-up and repetition, and the histogram settings. It must not know what is measured.
"""

from __future__ import annotations

import timeit
from typing import TYPE_CHECKING

from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Callable

HIGHEST_US = 60_000_000
_DIGITS = 3


def cost_us(
    action: Callable[[], object], *, repetitions: int = 9, seconds: float = 0.2
) -> tuple[float, ...]:
    """What one call costs, once for each repetition, in microseconds.

    The first repetition only warms up and is not counted. The garbage collector is off, as always
    with `timeit`.

    Args:
        action: What to call.
        repetitions: How many results to give.
        seconds: Length of each.
    """
    timer = timeit.Timer(action)
    count, took_s = timer.autorange()
    count = max(1, round(count * seconds / max(took_s, 1e-9)))
    timer.timeit(count)
    return tuple(timer.timeit(count) / count * 1e6 for _ in range(repetitions))


class Latencies:
    """Durations of one repetition."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, HIGHEST_US, _DIGITS)

    def record(self, nanoseconds: int) -> None:
        """Take one duration in; more than a minute counts as a minute."""
        self._histogram.record_value(min(max(1, round(nanoseconds / 1000)), HIGHEST_US))

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def ms(self, percent: float) -> float:
        """The percentile in milliseconds; 0 when nothing was recorded."""
        return float(self._histogram.get_value_at_percentile(percent)) / 1000
