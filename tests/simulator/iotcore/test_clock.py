from __future__ import annotations

import pytest

from certs.errors import ConfigurationError
from simulator.iotcore.clock import Clock


def test_a_journey_moves_both_times() -> None:
    """An hour ahead on the broker's clock is an hour ahead in Unix time."""
    clock = Clock(lambda: 50.0, lambda: 1_700_000_000.0)
    assert (clock.now_s(), clock.unix_s()) == (50.0, 1_700_000_000.0)
    clock.travel(3_600)
    assert (clock.now_s(), clock.unix_s()) == (3_650.0, 1_700_003_600.0)
    assert clock.travelled_s == 3_600.0


@pytest.mark.parametrize("seconds", [-1.0, 1e12, float("nan")])
def test_nobody_travels_back_or_out_of_sight(seconds: float) -> None:
    """The clock says what is allowed and stays."""
    clock = Clock(lambda: 50.0, lambda: 0.0)
    with pytest.raises(ConfigurationError, match="travel"):
        clock.travel(seconds)
    assert clock.now_s() == 50.0


def test_the_machine_s_clock_does_not_run_backwards() -> None:
    """Two readings are in order, and Unix time is of this century."""
    clock = Clock.of_machine()
    assert clock.now_s() <= clock.now_s()
    assert clock.unix_s() > 1_700_000_000
