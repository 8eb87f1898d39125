from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.permissions.wildcard import Wildcard

_ALPHABET = "ab/*?"


def _expected(parts: list[tuple[str, bool]], text: str) -> bool:
    """The same question to the regular expression engine."""
    expression = "".join(
        re.escape(piece)
        if literal
        else "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in piece)
        for piece, literal in parts
    )
    return re.fullmatch(expression, text, re.DOTALL) is not None


@given(
    parts=st.lists(st.tuples(st.text(_ALPHABET, max_size=6), st.booleans()), max_size=4),
    text=st.text("ab/*?", max_size=14),
)
def test_agrees_with_regular_expressions(parts: list[tuple[str, bool]], text: str) -> None:
    """Any pattern, literal pieces included, matches exactly what the equal expression matches."""
    assert Wildcard(parts).matches(text) is _expected(parts, text)


@given(pattern=st.text("ab*?", max_size=8), runs=st.lists(st.text("ab", max_size=3), max_size=8))
def test_matches_every_text_made_from_it(pattern: str, runs: list[str]) -> None:
    """Filling in the wildcards of a pattern gives a text that it matches."""
    fill = iter([*runs, *[""] * len(pattern)])
    text = "".join(next(fill) if c == "*" else "a" if c == "?" else c for c in pattern)
    assert Wildcard.parse(pattern).matches(text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("topic/a*", "topic/a/b/c", True),
        ("topic/a*", "topic/b", False),
        ("topic/?", "topic/", False),
        ("topic/+", "topic/x", False),
        ("topic/#", "topic/#", True),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab?b", "ababab", True),
    ],
)
def test_follows_the_policy_language(pattern: str, text: str, expected: bool) -> None:
    """`*` crosses levels, `?` is one character, `+` and `#` mean nothing."""
    assert Wildcard.parse(pattern).matches(text) is expected


def test_is_quick_on_hostile_patterns() -> None:
    """A pattern that explodes in a backtracking engine is answered, and the answer is no."""
    assert not Wildcard.parse("*a" * 60 + "b").matches("a" * 256)


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("*", ""),
        ("a*", "a"),
        ("a/b*", "a/b"),
        ("a", None),
        ("", None),
        ("?*", None),
        ("a?b*", None),
        ("*a", None),
        ("a*b*", None),
        ("a*?", None),
    ],
)
def test_knows_when_it_is_only_a_prefix(pattern: str, prefix: str | None) -> None:
    """Text and one star at the end; anything else is no prefix."""
    assert Wildcard.parse(pattern).prefix == prefix
