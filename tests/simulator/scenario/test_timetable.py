from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simulator.scenario.schema import Phase
from simulator.scenario.timetable import AFTER, Timetable

RATES = st.one_of(st.just(0.0), st.floats(0.01, 100))
PHASES = st.lists(
    st.builds(
        lambda duration, rate, rate_to: Phase(
            name="p", duration=duration, rate=rate, rate_to=rate_to
        ),
        st.floats(0.1, 1000),
        RATES,
        st.none() | RATES,
    ),
    min_size=1,
    max_size=6,
)
# 10 s at factor 1, 20 s from 1 to 3, 5 s of silence, 10 s from 2 to 0.
DAY = Timetable(
    [
        Phase(name="night", duration=10),
        Phase(name="morning", duration=20, rate=1, rate_to=3),
        Phase(name="pause", duration=5, rate=0),
        Phase(name="evening", duration=10, rate=2, rate_to=0),
    ]
)


@pytest.mark.parametrize(
    ("time_s", "integral"),
    [
        (-1, 0),
        (0, 0),
        (5, 5),
        (10, 10),
        (20, 25),
        (30, 50),
        (33, 50),
        (40, 57.5),
        (45, 60),
        (99, 60),
    ],
)
def test_the_integral_is_the_area_under_the_factor(time_s: float, integral: float) -> None:
    """Rectangles, trapezoids and nothing, as one adds them up by hand."""
    assert DAY.integral_at(time_s) == pytest.approx(integral)


@pytest.mark.parametrize(("integral", "time_s"), [(0, 0), (5, 5), (25, 20), (57.5, 40), (60, 45)])
def test_the_time_of_an_integral_is_found_again(integral: float, time_s: float) -> None:
    """The inverse of the same areas."""
    assert DAY.time_of(integral) == pytest.approx(time_s)


def test_what_is_due_when_a_pause_begins_is_due_before_it() -> None:
    """While the factor is 0 the integral stands still, and the earliest time counts."""
    assert DAY.time_of(50) == pytest.approx(30)


def test_phases_have_their_times() -> None:
    """A phase begins when the one before has ended, and after the last comes the drain."""
    names = [DAY.phase_at(time_s) for time_s in (0, 9.99, 10, 29.99, 30, 35, 44.99, 45, 1e6)]

    assert names == [
        "night", "night", "morning", "morning", "pause", "evening", "evening", AFTER, AFTER,
    ]  # fmt: skip
    assert DAY.end_s == 45


@given(PHASES, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_integral_never_falls(phases: list[Phase], shares: list[float]) -> None:
    """Later times have no smaller integral, and none is above that of the end."""
    timetable = Timetable(phases)

    found = [timetable.integral_at(share * timetable.end_s) for share in sorted(shares)]

    slack = 1e-9 * (1 + timetable.integral_end)
    assert all(later >= earlier - slack for earlier, later in pairwise(found))
    assert 0 <= found[0] <= found[-1] <= timetable.integral_end + slack


@given(PHASES, st.floats(0, 1))
def test_time_and_integral_are_inverse(phases: list[Phase], share: float) -> None:
    """Whatever has a time has that integral then."""
    timetable = Timetable(phases)
    assume(timetable.integral_end > 0)
    integral = share * timetable.integral_end

    time_s = timetable.time_of(integral)

    assert 0 <= time_s <= timetable.end_s
    assert timetable.integral_at(time_s) == pytest.approx(
        integral, rel=1e-6, abs=1e-6 * timetable.integral_end
    )


@given(PHASES, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_messages_stay_in_order(phases: list[Phase], shares: list[float]) -> None:
    """A larger integral is never due earlier."""
    timetable = Timetable(phases)

    times = [timetable.time_of(share * timetable.integral_end) for share in sorted(shares)]

    slack = 1e-6 * timetable.end_s
    assert all(later >= earlier - slack for earlier, later in pairwise(times))
