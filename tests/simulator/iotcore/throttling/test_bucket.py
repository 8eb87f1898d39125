from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.throttling.bucket import KeyedBuckets, TokenBucket

RATES = st.floats(0.1, 10_000)
BURSTS = st.floats(1, 10_000)
STEPS_S = st.lists(st.floats(0, 2), min_size=1, max_size=200)


@given(rate_per_s=RATES, burst=BURSTS, steps_s=STEPS_S)
def test_no_window_holds_more_than_rate_times_time_plus_burst(
    rate_per_s: float, burst: float, steps_s: list[float]
) -> None:
    """Between any two events taken, ends included, there are at most rate * t + burst."""
    bucket = TokenBucket(rate_per_s, burst)
    now_s = 1000.0
    taken: list[float] = []
    for step_s in steps_s:
        now_s += step_s
        while len(taken) < 500 and bucket.take(now_s):
            taken.append(now_s)

    for first in range(len(taken)):
        for last in range(first, len(taken), 7):
            allowed = rate_per_s * (taken[last] - taken[first]) + burst
            # A millionth of a token is the slack for floating point, plus that of this sum.
            assert last - first + 1 <= allowed + 1e-5 * max(1.0, allowed)


@given(rate_per_s=st.integers(1, 1000), seconds=st.integers(1, 5))
def test_a_steady_stream_at_the_rate_is_never_refused(rate_per_s: int, seconds: int) -> None:
    """Even with nothing saved up."""
    bucket = TokenBucket(rate_per_s, 1.0)
    events = range(rate_per_s * seconds)
    assert all(bucket.take(1_000_000.0 + number / rate_per_s) for number in events)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2_000)), max_size=50))
def test_debt_is_paid_at_the_rate(spent: list[tuple[float, float]]) -> None:
    """After the wait it names, a bucket owes nothing; a moment before, it does."""
    bucket = TokenBucket(512.0, 512.0)
    now_s = 0.0
    for step_s, amount in spent:
        now_s += step_s
        wait_s = bucket.owe(amount, now_s)
        if wait_s:
            assert bucket.owe(0.0, now_s + 0.999 * wait_s) > 0.0
            now_s += wait_s + 1e-6
            assert bucket.owe(0.0, now_s) == 0.0


def test_a_full_bucket_gives_its_burst_at_once() -> None:
    """Ten tokens, then one every tenth of a second."""
    bucket = TokenBucket(10.0, 10.0)
    assert [bucket.take(5.0) for _ in range(11)] == [True] * 10 + [False]
    assert bucket.wait_s(5.0) == pytest.approx(0.1)
    assert not bucket.take(5.09)
    assert bucket.take(5.1)
    assert not bucket.take(5.1)


def test_a_token_can_be_given_back_but_not_beyond_the_burst() -> None:
    """What something else refused was not used."""
    bucket = TokenBucket(1.0, 2.0)
    assert bucket.take(0.0)
    bucket.give_back()
    bucket.give_back()
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]


def test_no_limit_and_no_allowance() -> None:
    """`inf` never runs out, 0 gives nothing, and neither is a division by zero."""
    endless = TokenBucket.of_rate(math.inf, 1.0)
    assert all(endless.take(0.0) for _ in range(1000))
    assert endless.owe(1e12, 0.0) == 0.0
    assert endless.wait_s(0.0) == 0.0
    empty = TokenBucket.of_rate(0.0, 1.0)
    assert not empty.take(0.0)
    assert not empty.take(1e9)
    assert empty.wait_s(1e9) == math.inf
    assert empty.owe(1.0, 1e9) == math.inf


def test_slow_rates_hold_one_token() -> None:
    """Once in ten seconds is possible at once, and then not for ten seconds."""
    bucket = TokenBucket.of_rate(0.1, 1.0)
    assert bucket.take(0.0)
    assert not bucket.take(9.9)
    assert bucket.take(10.0)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0, 0.01)), max_size=300))
def test_forgetting_full_buckets_changes_nothing(events: list[tuple[int, float]]) -> None:
    """Keyed buckets answer as if they kept every key for ever."""
    keyed = KeyedBuckets(50.0, 2.0)
    for number in range(1_024):
        keyed.of(f"earlier {number}", 0.0)
    kept: dict[str, TokenBucket] = {}
    now_s = 1.0
    for number, step_s in events:
        now_s += step_s
        key = str(number % 40)
        whole = kept.setdefault(key, TokenBucket(50.0, 2.0))
        assert keyed.of(key, now_s).take(now_s) is whole.take(now_s)


def test_many_keys_do_not_stay() -> None:
    """A hundred thousand client ids, one a millisecond, leave those of the last seconds."""
    keyed = KeyedBuckets(1.0, 1.0)
    for number in range(100_000):
        now_s = number / 1000
        assert keyed.of(f"client-{number}", now_s).take(now_s)
    assert len(keyed) <= 2 * 1_000 + 1_024
