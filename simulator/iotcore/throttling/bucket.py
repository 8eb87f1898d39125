"""Token buckets: how much may happen in any stretch of time.

A bucket holds at most `burst` tokens and gains `rate_per_s` of them each second, so that in any
window of t seconds no more than `rate_per_s * t + burst` are taken. Time is an argument. AWS
publishes rates only; how far its service lets a client run ahead of them is not known.
"""

from __future__ import annotations

import math
from typing import Final

_SWEEP_BUCKETS_MIN: Final = 1_024
_WHOLE: Final = 1.0 - 1e-6
"""What counts as a token: times are floating point, and a client at exactly the rate may go on."""


def burst_of(rate_per_s: float, burst_s: float) -> float:
    """What a rate of events gives in a time: one at least, unless nothing is allowed at all."""
    return max(1.0, rate_per_s * burst_s) if rate_per_s else 0.0


class TokenBucket:
    """One bucket, full at first.

    Args:
        rate_per_s: Tokens gained each second; `inf` never runs out, 0 gains none.
        burst: Most tokens it holds.
    """

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        if math.isinf(rate_per_s):
            # An infinite rate times no time at all would be no number.
            rate_per_s, burst = 0.0, math.inf
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at_s = -math.inf if rate_per_s else 0.0

    @classmethod
    def of_rate(cls, rate_per_s: float, burst_s: float) -> TokenBucket:
        """A bucket for events: it holds what its rate gives in a time, and one token at least."""
        return cls(rate_per_s, burst_of(rate_per_s, burst_s))

    def take(self, now_s: float) -> bool:
        """Take one token if there is one."""
        tokens = self._tokens + (now_s - self._at_s) * self._rate_per_s
        if tokens > self._burst:  # noqa: PLR1730 - min() costs a call on the path of every message
            tokens = self._burst
        self._at_s = now_s
        if tokens < _WHOLE:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True

    def give_back(self) -> None:
        """Return a token just taken, because something else refused the event."""
        self._tokens = min(self._tokens + 1.0, self._burst)

    def owe(self, amount: float, now_s: float) -> float:
        """Take any amount, into debt if need be.

        Returns:
            Seconds until the debt is paid; 0 when there is none.
        """
        tokens = self._tokens + (now_s - self._at_s) * self._rate_per_s
        if tokens > self._burst:  # noqa: PLR1730 - min() costs a call on the path of every message
            tokens = self._burst
        self._at_s = now_s
        self._tokens = tokens = tokens - amount
        if tokens >= 0.0:
            return 0.0
        return -tokens / self._rate_per_s if self._rate_per_s else math.inf

    def take_all(self, amount: float, now_s: float) -> bool:
        """Take an amount if all of it is there."""
        self._refill(now_s)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def wait_s(self, now_s: float) -> float:
        """Seconds until there is a token; 0 when there is one, `inf` when there never will be."""
        self._refill(now_s)
        missing = 1.0 - self._tokens
        if self._tokens >= _WHOLE:
            return 0.0
        if not self._rate_per_s or self._burst < _WHOLE:
            return math.inf
        return missing / self._rate_per_s

    def is_full(self, now_s: float) -> bool:
        """Whether it is as a new one would be."""
        self._refill(now_s)
        return self._tokens >= self._burst

    def _refill(self, now_s: float) -> None:
        tokens = self._tokens + (now_s - self._at_s) * self._rate_per_s
        self._tokens = min(tokens, self._burst)
        self._at_s = now_s


class KeyedBuckets:
    """A bucket for each key, such as a client id or a topic.

    Full buckets say nothing that a new one would not, so they are forgotten when the number of
    buckets has doubled: there are never more than twice those in use, plus 1,024.

    Args:
        rate_per_s: Tokens each bucket gains in a second.
        burst: Most tokens in each.
    """

    __slots__ = ("_buckets", "_burst", "_rate_per_s", "_sweep_at")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._buckets: dict[str, TokenBucket] = {}
        self._sweep_at = _SWEEP_BUCKETS_MIN

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: str, now_s: float) -> TokenBucket:
        """The bucket of a key."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._sweep_at:
                self._sweep(now_s)
            bucket = self._buckets[key] = TokenBucket(self._rate_per_s, self._burst)
        return bucket

    def _sweep(self, now_s: float) -> None:
        self._buckets = {
            key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now_s)
        }
        self._sweep_at = max(_SWEEP_BUCKETS_MIN, 2 * len(self._buckets))
