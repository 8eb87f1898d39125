"""Pacing of the channels."""

import random

from simulator.morai_host.schedule import Schedule


def count(schedule: Schedule, times: list[float]) -> dict[str, int]:
    """How often each channel was due."""
    names = [name for now in times for name in schedule.due(now)]
    return {name: names.count(name) for name in set(names)}


def test_rates_hold_over_time() -> None:
    """At 50 ticks a second for 10 s, 50 Hz is due 501 times (both ends), 20 Hz 201 times."""
    assert count(Schedule({"a": 50.0, "b": 20.0, "c": 0.0}), [i * 0.02 for i in range(501)]) == {
        "a": 501,
        "b": 201,
    }


def test_jitter_does_not_lower_the_rate() -> None:
    """Ticks that come up to 4 ms early or late still give one message each."""
    chance = random.Random(3)
    times = [1000.0] + [1000.0 + i * 0.02 + chance.uniform(-0.004, 0.004) for i in range(1, 500)]
    assert count(Schedule({"a": 50.0}), times) == {"a": 500}


def test_gap_is_not_made_up_for() -> None:
    """After a pause of a second the channel is due once, and then at its rate again."""
    schedule = Schedule({"a": 50.0})
    assert count(schedule, [0.0, 1.0, 1.001, 1.02]) == {"a": 3}


def test_clock_that_jumps_back_restarts() -> None:
    """A clock set back by an hour does not silence the channel."""
    schedule = Schedule({"a": 50.0})
    assert count(schedule, [5000.0, 1400.0, 1400.02]) == {"a": 3}


def test_deadline_is_the_next_due_time() -> None:
    """The shell may sleep until the earliest due time."""
    schedule = Schedule({"a": 50.0, "b": 10.0})
    schedule.due(100.0)
    assert abs(schedule.deadline_s() - 100.02) < 1e-9
