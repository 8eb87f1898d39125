"""The time a car takes over a command has the marks of the scenario and an end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario.answer_time import AnswerTime
from simulator.scenario.schema import CommandHandling


def time_of(**handling: Any) -> AnswerTime:
    """The time of cars that handle commands so."""
    return AnswerTime.of(CommandHandling(**handling))


def test_its_marks_are_those_of_the_scenario() -> None:
    """Half of the commands stay within the median and 95 % within the percentile."""
    time = time_of(takes=0.3, takes_p95=1.0)
    assert time.at(0.5) == pytest.approx(0.3)
    assert time.at(0.95) == pytest.approx(1.0)
    assert time.share_beyond(1.0) == pytest.approx(0.05)


def test_rare_times_keep_their_digits() -> None:
    """4.75342 standard deviations above the median lies one in a million."""
    # ln 2 / 1.644854 is the standard deviation of the default spread: 0.421404.
    assert time_of(takes=1.0).share_beyond(7.4121) == pytest.approx(1e-6, rel=0.01)


def test_nothing_lies_beyond_the_bound() -> None:
    """A bound is the longest time, and no share is left above it."""
    time = time_of(takes=0.3, takes_p95=1.0, takes_max=2.0)
    assert time.at(0.999999) == pytest.approx(2.0)
    assert time.share_beyond(2.0) == 0
    assert time.share_beyond(1.9) > 0


def test_without_spread_every_command_takes_the_median() -> None:
    """Equal marks leave one time."""
    time = time_of(takes=0.4, takes_p95=0.4)
    assert time.at(0.001) == time.at(0.999) == pytest.approx(0.4)
    assert (time.share_beyond(0.39), time.share_beyond(0.41)) == (1, 0)


@given(
    quantile=st.floats(0.001, 0.999),
    takes=st.floats(0.001, 100),
    spread=st.floats(1.01, 50),
)
def test_time_and_share_are_each_other_s_inverse(
    quantile: float, takes: float, spread: float
) -> None:
    """The share beyond the time of a quantile is what the quantile leaves."""
    time = time_of(takes=takes, takes_p95=takes * spread)
    assert time.share_beyond(time.at(quantile)) == pytest.approx(1 - quantile, abs=1e-6)
