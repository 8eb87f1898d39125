"""How long a car takes over a command: the distribution that a scenario describes.

Owns the log-normal time with its median, its 95th percentile and its bound, so that cars draw from
the one that warnings reckon with. Pure; knows nothing about cars, commands or random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulator.scenario.schema import CommandHandling

__all__ = ["AnswerTime"]

_NORMAL: Final = NormalDist()
_P95: Final = _NORMAL.inv_cdf(0.95)
_LOG_LONGEST: Final = math.log(30 * 86_400)
"""No command takes longer than any scenario may last."""


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """A log-normal time with an end.

    Attributes:
        log_median: Natural logarithm of the median in seconds.
        sigma: Standard deviation of the logarithm; 0 takes the median every time.
        log_longest: Natural logarithm of the longest time; what is drawn above it takes that long.
    """

    log_median: float
    sigma: float
    log_longest: float

    @classmethod
    def of(cls, handling: CommandHandling) -> AnswerTime:
        """The time that a scenario describes."""
        p95_s = handling.takes * 2 if handling.takes_p95 is None else handling.takes_p95
        longest = math.inf if handling.takes_max is None else math.log(handling.takes_max)
        # The median is exp(mu), and a share of 95 % lies below exp(mu + 1.645 sigma).
        return cls(
            math.log(handling.takes),
            math.log(p95_s / handling.takes) / _P95,
            min(longest, _LOG_LONGEST),
        )

    def at(self, quantile: float) -> float:
        """Seconds that a share of `quantile`, above 0 and below 1, of all commands stays within."""
        drawn = self.log_median + self.sigma * _NORMAL.inv_cdf(quantile)
        return math.exp(min(drawn, self.log_longest))

    def share_beyond(self, limit_s: float) -> float:
        """The share of commands that take longer than `limit_s` seconds, above 0."""
        log_limit = math.log(limit_s)
        if log_limit >= self.log_longest:
            return 0.0
        if not self.sigma:
            return float(self.log_median > log_limit)
        # By symmetry, so that a small share keeps its digits.
        return _NORMAL.cdf((self.log_median - log_limit) / self.sigma)
