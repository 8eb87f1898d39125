"""Whether an observation is as expected, and where two observations differ.

Pure. A difference is looked up in the expectation, so the table says by itself who is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.second_opinion.script import ABSENT, OPEN, WORDS, Maybe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.second_opinion.script import Document

HERE, THERE = "here", "there"
IN_WORDS, NOBODY, BOTH, UNSAID = "words", "neither", "either", "open"


class Finding(NamedTuple):
    """An observation is not as expected."""

    path: str
    expected: Document
    observed: Any


class Difference(NamedTuple):
    """Two observations differ.

    Attributes:
        path: Where.
        here: Ours.
        there: The other's.
        right: Who is right by the documentation: here, there, either, neither, open, or words.
    """

    path: str
    here: Any
    there: Any
    right: str


def findings(expected: Document, observed: Any, path: str = "") -> list[Finding]:
    """Where an observation is not as expected; nothing when it is."""
    if expected is OPEN:
        return []
    if isinstance(expected, Maybe):
        return [] if observed is ABSENT else findings(expected.value, observed, path)
    if expected is WORDS:
        is_text = isinstance(observed, str) and bool(observed)
        return [] if is_text else [Finding(path, expected, observed)]
    if isinstance(expected, dict) and isinstance(observed, dict):
        return [
            finding
            for name in [*expected, *(name for name in observed if name not in expected)]
            for finding in findings(
                expected.get(name, ABSENT), observed.get(name, ABSENT), _join(path, name)
            )
        ]
    if isinstance(expected, list) and isinstance(observed, list) and len(expected) == len(observed):
        return [
            finding
            for index, (one, other) in enumerate(zip(expected, observed, strict=True))
            for finding in findings(one, other, _join(path, str(index)))
        ]
    return [] if _same(expected, observed) else [Finding(path, expected, observed)]


def differences(here: Any, there: Any, expected: Document, path: str = "") -> Iterator[Difference]:
    """Where two observations differ, as deep down as possible."""
    if isinstance(here, dict) and isinstance(there, dict):
        for name in [*here, *(name for name in there if name not in here)]:
            yield from differences(
                here.get(name, ABSENT),
                there.get(name, ABSENT),
                _member(expected, name),
                _join(path, name),
            )
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        inner = expected.value if isinstance(expected, Maybe) else expected
        for index, (one, other) in enumerate(zip(here, there, strict=True)):
            fits = isinstance(inner, list) and len(inner) == len(here)
            below = inner[index] if fits else (OPEN if inner is OPEN else ABSENT)
            yield from differences(one, other, below, _join(path, str(index)))
    elif not _same(here, there):
        yield Difference(path, here, there, _right(here, there, expected))


def _member(expected: Document, name: str) -> Document:
    if expected is OPEN:
        return OPEN
    if isinstance(expected, Maybe):
        return _member(expected.value, name)
    return expected.get(name, ABSENT) if isinstance(expected, dict) else ABSENT


def _right(here: Any, there: Any, expected: Document) -> str:
    if expected is OPEN or (isinstance(expected, Maybe) and expected.value is OPEN):
        return UNSAID
    is_here, is_there = not findings(expected, here), not findings(expected, there)
    if is_here and is_there:
        return IN_WORDS if expected is WORDS else BOTH
    if is_here:
        return HERE
    return THERE if is_there else NOBODY


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _join(path: str, name: str) -> str:
    return f"{path} > {name}" if path else name
