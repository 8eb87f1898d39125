from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from simulator.scenario.units import (
    Duration,
    Moment,
    Speed,
    duration_text,
    parse_duration_s,
    parse_speed_mps,
)

DURATION = TypeAdapter[float](Duration)
MOMENT = TypeAdapter[float](Moment)
SPEED = TypeAdapter[float](Speed)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("2m", 120), ("2 min", 120), ("1h", 3600), ("7", 7), (7, 7)],
)
def test_durations_are_read(text: object, seconds: float) -> None:
    """Each unit, blanks before it, and bare seconds are understood."""
    assert DURATION.validate_python(text) == seconds


@pytest.mark.parametrize("text", ["1:30", "30 sec", "-5s", "", "s", "1d", "1e3s", "٣s", "0s", 0])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """Other units, signs, other digits and nothing at all are no durations."""
    with pytest.raises(ValidationError):
        DURATION.validate_python(text)


def test_a_moment_may_be_the_start() -> None:
    """Zero is a moment, though no duration."""
    assert MOMENT.validate_python("0s") == 0


@pytest.mark.parametrize(("text", "mps"), [("36 km/h", 10), ("14 m/s", 14), ("72kmh", 20)])
def test_speeds_are_read(text: str, mps: float) -> None:
    """Kilometres an hour are divided by 3.6, metres a second are taken as they are."""
    assert SPEED.validate_python(text) == pytest.approx(mps)


@pytest.mark.parametrize("value", [50, 50.0, "50", "50 mph", "0 km/h", "500 km/h"])
def test_a_speed_without_a_unit_or_out_of_bounds_is_refused(value: object) -> None:
    """The unit of a bare number would be a guess; more than 100 m/s is no car."""
    with pytest.raises(ValidationError):
        SPEED.validate_python(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "500 ms"), (2.5, "2.5 s"), (90, "90 s"), (300, "5 min"), (5400, "1 h 30 min")],
)
def test_durations_are_written_as_people_write_them(seconds: float, text: str) -> None:
    """Short ones in milliseconds and seconds, long ones in hours and minutes."""
    assert duration_text(seconds) == text


@given(st.text(max_size=30))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    """Parsing ends with a number or a ValueError, whatever the text."""
    for parse in (parse_duration_s, parse_speed_mps):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
