"""How long a car that lost its connection stays away. Pure."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulator.scenario.schema import Reconnect

_DOUBLINGS_MAX: Final = 30


def delay_s(reconnect: Reconnect, attempts: int, seed: int, number: int, nth: int) -> float | None:
    """Seconds until the next attempt; None when there is to be none.

    With backoff the longest wait doubles with each failed attempt, and with jitter a car waits a
    random part of it ("full jitter": Brooker, Exponential Backoff And Jitter, AWS Architecture
    Blog, 2015).

    Args:
        reconnect: What the scenario says.
        attempts: Consecutive attempts that failed, 0 right after a connection was lost.
        seed: Seed of the scenario.
        number: Number of the car.
        nth: How often this car has asked before, so that each wait is drawn anew.
    """
    if reconnect.policy == "none":
        return None
    if reconnect.policy == "immediate":
        # Even the rudest client does not hammer a server that refuses it without any pause.
        return min(0.1 * attempts, 1.0)
    longest_s = min(reconnect.longest, reconnect.first * 2.0 ** min(attempts, _DOUBLINGS_MAX))
    if not reconnect.jitter:
        return longest_s
    return longest_s * random.Random(f"{seed}/{number}/{nth}").random()  # noqa: S311 - not a secret
