from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.load.connection.reconnecting import delay_s
from simulator.scenario.schema import Reconnect


def test_a_car_may_stay_away() -> None:
    """With policy none there is no next attempt."""
    assert delay_s(Reconnect(policy="none"), 0, 1, 1, 1) is None


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 0.0), (1, 0.1), (5, 0.5), (10, 1), (99, 1)])
def test_an_immediate_return_still_breathes(attempts: int, wait_s: float) -> None:
    """At once after a loss; a tenth of a second more after each refusal, a second at most."""
    assert delay_s(Reconnect(policy="immediate"), attempts, 1, 1, 1) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("attempts", "wait_s"), [(0, 1), (1, 2), (2, 4), (6, 64), (7, 100), (10_000, 100)]
)
def test_backoff_doubles_up_to_the_longest(attempts: int, wait_s: float) -> None:
    """1, 2, 4 seconds and so on, capped, without overflow."""
    exact = Reconnect(policy="backoff", first=1, longest=100, jitter=False)

    assert delay_s(exact, attempts, 1, 1, 1) == wait_s


@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.integers(-9, 9999), st.integers(0, 255))
def test_jitter_is_a_part_of_it_and_repeatable(
    attempts: int, seed: int, number: int, nth: int
) -> None:
    """Between 0 and the longest wait, the same for the same car and occasion."""
    wait_s = delay_s(Reconnect(), attempts, seed, number, nth)

    assert wait_s is not None
    assert 0 <= wait_s <= min(128.0, 2.0**attempts)
    assert wait_s == delay_s(Reconnect(), attempts, seed, number, nth)


def test_cars_come_back_spread_out() -> None:
    """A thousand cars that were lost together return evenly over the first second."""
    waits = sorted(delay_s(Reconnect(), 0, 1, number, 0) or 0.0 for number in range(1000))

    for rank, wait_s in enumerate(waits):
        assert wait_s == pytest.approx(rank / 1000, abs=0.06)  # Kolmogorov-Smirnov, 0.1 %
    assert delay_s(Reconnect(), 0, 1, 5, 0) != delay_s(Reconnect(), 0, 1, 5, 1)
