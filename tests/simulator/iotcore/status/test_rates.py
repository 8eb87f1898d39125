"""Rates of totals over a window."""

from __future__ import annotations

import pytest

from simulator.iotcore.status.rates import WINDOW_S, Rates, Traffic


def test_a_rate_looks_back_ten_seconds() -> None:
    """Ten a second, then none: after ten seconds of silence the rate is zero."""
    rates = Rates(0.0, {"in": 0})
    for second in range(1, 21):
        rates.sample(float(second), {"in": 10 * second})
    assert rates.per_s(20.0, {"in": 200}) == {"in": 10.0}
    for second in range(21, 31):
        rates.sample(float(second), {"in": 200})
    assert rates.per_s(25.0 + 5.0, {"in": 200}) == {"in": 0.0}


def test_a_young_rate_looks_back_to_the_start() -> None:
    """Before ten seconds have passed all of the time counts."""
    rates = Rates(100.0, {"in": 5})
    assert rates.per_s(104.0, {"in": 25}) == {"in": 5.0}


def test_no_time_is_no_division_by_zero() -> None:
    """Asked at once, the rate is finite."""
    assert Rates(1.0, {"in": 0}).per_s(1.0, {"in": 0}) == {"in": 0.0}


def test_the_rate_of_a_client_looks_back_one_to_two_windows() -> None:
    """Two snapshots take turns; the older one is what is compared with."""
    traffic = Traffic(0.0)
    assert not traffic.is_due(WINDOW_S - 0.1)
    assert traffic.is_due(WINDOW_S)
    traffic.sample(10.0, {"car": (100, 50)})
    traffic.sample(20.0, {"car": (100, 250)})
    assert traffic.per_s("car", 30.0, (100, 450)) == (0.0, 20.0)


@pytest.mark.parametrize("before", [{}, {"car": (1_000, 1_000)}])
def test_a_client_that_came_anew_counts_from_zero(before: dict[str, tuple[int, int]]) -> None:
    """Also one whose totals are lower than they were, since it connected again."""
    traffic = Traffic(0.0)
    traffic.sample(10.0, before)
    traffic.sample(20.0, before)
    assert traffic.per_s("car", 20.0, (40, 20)) == (4.0, 2.0)
