from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario.checks import METRICS, Check


def test_a_latency_is_compared_in_milliseconds() -> None:
    """A bare bound is milliseconds; s and us are converted to it."""
    assert Check.parse("publish_ack_ms.p99 < 250").bound == 250
    assert Check.parse("publish_ack_ms.p99 < 2.5s").bound == 2500
    assert Check.parse("publish_ack_ms.max < 800 us").bound == pytest.approx(0.8)


def test_shares_may_be_written_in_per_cent() -> None:
    """99.9 % is the share 0.999."""
    check = Check.parse("connected_share >= 99.9 %")

    assert check.bound == pytest.approx(0.999)
    assert check.holds(1.0)
    assert not check.holds(0.998)


def test_a_check_is_cut_by_phase_and_group() -> None:
    """`during` names a phase and `of` a group."""
    check = Check.parse("end_to_end_ms.p99.9 <= 1s during rush-hour of vans")

    assert (check.metric.name, check.percentile) == ("end_to_end_ms", 99.9)
    assert (check.phase, check.group) == ("rush-hour", "vans")


def test_refusals_are_cut_by_quota() -> None:
    """`of` names a quota where there is no group, also one with a long id."""
    check = Check.parse("quota_refusals == 0 of connection-requests-per-client-id")

    assert (check.quota, check.group) == ("connection-requests-per-client-id", None)
    assert Check.parse("lost == 0 of vans").quota is None


@pytest.mark.parametrize(
    ("operator", "below", "equal", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
        (">=", False, True, True),
        (">", False, False, True),
    ],
)
def test_operators_compare(operator: str, below: bool, equal: bool, above: bool) -> None:
    """Each operator means what it means in mathematics."""
    check = Check.parse(f"published {operator} 5")

    assert [check.holds(value) for value in (4, 5, 6)] == [below, equal, above]


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("lost = 0", "is no check"),
        ("lost", "is no check"),
        ("0 == lost", "is no check"),
        ("lots == 0", "no metric"),
        ("publish_ack_ms < 250", "publish_ack_ms.p99"),
        ("lost.p99 == 0", "write lost"),
        ("publish_ack_ms.p101 < 5", "100th percentile"),
        ("publish_ack_ms.p99 < 5 %", "not measured in %"),
        ("lost == 0 ms", "not measured in ms"),
        ("lost == 0 during storm", "no value for one phase"),
        ("generator_cpu_share < 1 of cars", "no value for one group"),
        ("quota_refusals == 0 during storm", "no value for one phase"),
    ],
)
def test_what_is_no_check_is_refused(text: str, because: str) -> None:
    """Another form, an unknown metric, a wrong unit and an impossible cut are told apart."""
    with pytest.raises(ValueError, match=because):
        Check.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_check_or_refused(text: str) -> None:
    """Parsing ends with a check or a ValueError."""
    try:
        check = Check.parse(text)
    except ValueError:
        return
    assert check.metric.name in METRICS
