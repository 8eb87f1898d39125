"""Rate limiting without drift, and the onset of contacts."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.sampler import OnsetFilter, RateSampler


def kept(sampler: RateSampler, times: list[float]) -> list[float]:
    """The times at which a sampler keeps the sample."""
    return [at for at in times if sampler.take(at)]


def test_decimation_keeps_the_average_rate_exactly() -> None:
    """From 50 Hz to 30 Hz over a hundred seconds are 3,000 samples, not one period's drift."""
    times = [1_790_000_000 + n / 50 for n in range(5000)]
    assert len(kept(RateSampler(30), times)) == pytest.approx(3000, abs=2)


def test_decimated_samples_are_evenly_spaced() -> None:
    """From 50 Hz to 10 Hz every fifth sample is kept, once the grid is set."""
    times = kept(RateSampler(10), [n / 50 for n in range(500)])
    gaps = [round(b - a, 6) for a, b in itertools.pairwise(times[1:])]
    assert set(gaps) == {0.1}


@given(st.lists(st.floats(-0.0049, 0.0049), min_size=50, max_size=200))
def test_source_at_the_very_rate_loses_nothing_to_jitter(jitter: list[float]) -> None:
    """50 Hz with 5 ms of jitter either way passes a 50 Hz sampler whole."""
    times = [100 + n / 50 + shift for n, shift in enumerate(jitter)]
    assert len(kept(RateSampler(50), times)) == len(times)


def test_slower_source_passes_whole() -> None:
    """A sampler never invents or waits: 33 Hz into 50 Hz keeps everything."""
    times = [n * 0.03 for n in range(300)]
    assert kept(RateSampler(50), times) == times


def test_burst_after_a_stall_is_thinned() -> None:
    """Twenty samples within 2 ms after a pause are not twenty times the rate."""
    sampler = RateSampler(50)
    sampler.take(0.0)
    assert len(kept(sampler, [5 + n / 10_000 for n in range(20)])) == 1


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=200), st.floats(1, 100))
def test_rate_is_never_exceeded(steps: list[float], rate_hz: float) -> None:
    """Over any run the kept samples are at most duration times rate, plus two."""
    times, now_s = [], 0.0
    for step_s in steps:
        now_s += step_s
        times.append(now_s)
    assert len(kept(RateSampler(rate_hz), times)) <= (times[-1] - times[0]) * rate_hz + 2


def test_clock_stepping_back_does_not_silence_the_stream() -> None:
    """After the clock went back an hour the very next sample is kept."""
    sampler = RateSampler(10)
    assert sampler.take(10_000.0)
    assert sampler.take(6_400.0)
    assert not sampler.take(6_400.01)


@pytest.mark.parametrize("rate_hz", [0, -1, math.nan, math.inf])
def test_rate_must_be_positive(rate_hz: float) -> None:
    """A rate of nothing is a mistake, not a stream switched off."""
    with pytest.raises(ValueError, match="rate_hz"):
        RateSampler(rate_hz)


def test_lasting_contact_is_one_event() -> None:
    """A contact reported at 50 Hz for three seconds begins once."""
    contacts = OnsetFilter(quiet_s=1.0)
    assert [contacts.is_onset(7, n / 50) for n in range(150)] == [True] + [False] * 149


def test_contact_after_quiet_is_a_new_event() -> None:
    """Two contacts with the same object more than the quiet time apart are two events."""
    contacts = OnsetFilter(quiet_s=1.0)
    assert [contacts.is_onset(7, at) for at in (0.0, 1.0, 2.5)] == [True, False, True]


def test_objects_are_told_apart() -> None:
    """A second object hit during the first contact is an event of its own."""
    contacts = OnsetFilter()
    assert contacts.is_onset(7, 0.0)
    assert contacts.is_onset(8, 0.1)
    assert not contacts.is_onset(7, 0.2)


def test_memory_is_bounded() -> None:
    """Only the newest `capacity` events are remembered."""
    contacts = OnsetFilter(quiet_s=100, capacity=2)
    assert [contacts.is_onset(event, 0.0) for event in (1, 2, 3)] == [True] * 3
    assert not contacts.is_onset(3, 1.0)
    assert contacts.is_onset(1, 1.0)


def test_nonsense_settings_are_refused() -> None:
    """A negative quiet time or no memory at all is a mistake."""
    with pytest.raises(ValueError, match="quiet_s"):
        OnsetFilter(quiet_s=-1)
    with pytest.raises(ValueError, match="capacity"):
        OnsetFilter(capacity=0)
