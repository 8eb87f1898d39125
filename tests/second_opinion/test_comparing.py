"""Expectations find what is wrong, differences say who is right, masks hide little."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.second_opinion.comparing import Difference, differences, findings
from tests.second_opinion.masking import masked, picked
from tests.second_opinion.script import ABSENT, MILLISECONDS, OPEN, TIME, WORDS, Maybe

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(DOCUMENTS)
def test_what_is_the_same_has_no_findings(document: Any) -> None:
    """Neither against itself nor compared with itself."""
    assert findings(document, document) == []
    assert list(differences(document, document, OPEN)) == []


@given(DOCUMENTS, DOCUMENTS)
def test_what_is_not_the_same_is_found(one: Any, other: Any) -> None:
    """Every difference of two documents is a finding, and the other way round."""
    is_found = bool(findings(one, other))
    assert is_found == bool(list(differences(one, other, OPEN)))
    if one != other:
        assert is_found


@pytest.mark.parametrize(
    ("expected", "observed", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, ["b"]),
        ({"a": 1, "b": 2}, {"a": 1}, ["b"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["a > b > 1"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": OPEN}, {}, []),
        ({"a": WORDS}, {"a": "text"}, []),
        ({"a": WORDS}, {"a": ""}, ["a"]),
        ({"a": WORDS}, {}, ["a"]),
        ({"a": Maybe(1)}, {}, []),
        ({"a": Maybe(1)}, {"a": 2}, ["a"]),
    ],
)
def test_findings_name_the_place(expected: Any, observed: Any, paths: list[str]) -> None:
    """One finding for every member that is wrong, missing or too many."""
    assert [finding.path for finding in findings(expected, observed)] == paths


@pytest.mark.parametrize(
    ("here", "there", "expected", "right"),
    [
        (1, 2, 1, "here"),
        (1, 2, 2, "there"),
        (1, 2, 3, "neither"),
        (1, 2, OPEN, "open"),
        ("one", "two", WORDS, "words"),
        ("one", 2, WORDS, "here"),
        (1, ABSENT, Maybe(1), "either"),
        (2, ABSENT, Maybe(1), "there"),
        (1, ABSENT, Maybe(OPEN), "open"),
    ],
)
def test_the_expectation_says_who_is_right(
    here: Any, there: Any, expected: Any, right: str
) -> None:
    """By the expectation at the place where two observations differ."""
    ours = {"a": {"b": here}} if here is not ABSENT else {"a": {}}
    theirs = {"a": {"b": there}} if there is not ABSENT else {"a": {}}
    found = list(differences(ours, theirs, {"a": {"b": expected}}))
    assert found == [Difference("a > b", here, there, right)]


def test_a_difference_is_looked_up_in_lists_too() -> None:
    """Element by element when both have as many."""
    found = list(differences([{"a": 1}], [{"a": 2}], [{"a": 2}]))
    assert found == [Difference("0 > a", 1, 2, "there")]


def test_masks_hide_only_what_has_the_right_form() -> None:
    """Seconds are times, milliseconds are told apart, other members stay."""
    document = {
        "timestamp": 1_700_000_000,
        "queuedAt": 1_700_000_000_000,
        "startedAt": "soon",
        "createdAt": datetime(2026, 1, 1, tzinfo=UTC),
        "certificateId": "short",
        "arn": "arn:aws:iot:us-east-1:123456789012:thing/car-1",
        "on": True,
    }
    assert masked(document) == {
        "timestamp": TIME,
        "queuedAt": MILLISECONDS,
        "startedAt": "soon",
        "createdAt": TIME,
        "certificateId": "short",
        "arn": "arn:aws:iot:<region>:<account>:thing/car-1",
        "on": True,
    }


def test_members_are_picked_by_path() -> None:
    """Those that are missing are left out."""
    document = {"job": {"status": "COMPLETED", "counts": {"done": 1}}}
    paths = ("job.status", "job.counts.done", "job.other", "job.status.more")
    assert picked(document, paths) == {"job.status": "COMPLETED", "job.counts.done": 1}
