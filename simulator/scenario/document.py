"""YAML text to plain values, with the line of every value.

Owns which YAML a scenario may be written in: one document of mappings, lists and scalars. Anchors,
aliases and tags are refused (an alias can make a small text enormous, a tag can name a Python
object), so are repeated keys. Plain scalars become numbers and null by the rules of YAML 1.2's core
schema (section 10.3.2); everything else stays the text it is, so that `on`, `1:30` and `2026-11-20`
are not turned into something else as YAML 1.1 would. `true` and `false` stay text as well: only a
field that wants a truth value reads one, and a number cannot be given as `true` by accident.

Pure and total: values, or problems with their lines. Knows nothing about what a scenario means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from simulator.scenario.problem import Location, Problem, place

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH: Final = 24
MAX_VALUES: Final = 50_000
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,3})?", re.ASCII
)
_SYNTAX: Final = (
    (r"character '\\t'", "a tab stands where only spaces may be; indent with spaces"),
    (
        r"mapping values are not allowed",
        (
            "a colon is out of place: the indentation is wrong here or above, or a text that holds "
            "a colon followed by a blank needs quotes"
        ),
    ),
    (r"could not find expected ':'", "a key without a colon, or the text above is not finished"),
    (
        r"expected <block end>|did not find expected",
        "the indentation does not fit the lines above",
    ),
    (r"character '(.)' that cannot start", r"a text that begins with \1 needs quotes"),
    (r"unexpected end of stream", "a quoted text is not finished"),
    (r"expected ',' or '([\]}])'", r"a comma or the closing \1 is missing"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """What a text holds.

    Attributes:
        value: Dicts with text keys, lists, texts, numbers and None.
        lines: Line of every value from 1; that of the key for a value of a mapping.
        problems: What is wrong with the YAML; the value is not to be used when there are any.
    """

    value: Any
    lines: dict[Location, int]
    problems: tuple[Problem, ...]

    def line_of(self, location: Location) -> int | None:
        """Line of a value, or of the nearest part around it that is there."""
        for end in range(len(location), 0, -1):
            if (line := self.lines.get(location[:end])) is not None:
                return line
        return self.lines.get(())

    def at(self, location: Location) -> Any:
        """The value at a location; None where nothing is."""
        value = self.value
        for element in location:
            try:
                value = value[element]
            except (KeyError, IndexError, TypeError):
                return None
        return value


class _TooMuchError(Exception):
    """Reading on makes no sense."""


def read(text: str, kind: str = "scenario") -> Document:
    """Read a text. Total.

    Args:
        text: Of any content; the caller bounds its length.
        kind: What it is one of, for the words of problems.
    """
    reader = _Reader(text, kind)
    try:
        value = reader.document()
    except _TooMuchError:
        value = None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        reader.problems.append(Problem(line, "", _in_words(error)))
        value = None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"the control character U+{error.character:04X}"
        reader.problems.append(Problem(line, "", f"{character} must not stand in YAML"))
        value = None
    return Document(value, reader.lines, tuple(reader.problems))


class _Reader:
    def __init__(self, text: str, kind: str) -> None:
        self._text = text
        self._kind = kind
        self._events: Iterator[Any] = iter(())
        self._values = 0
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []

    def document(self) -> Any:
        self._events = iter(yaml.parse(self._text, Loader=yaml.SafeLoader))
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            what = f"a second document begins; a file holds one {self._kind}"
            self.problems.append(Problem(event.start_mark.line + 1, "", what))
        return value

    def _value(self, event: Any, location: Location) -> Any:
        self.lines.setdefault(location, event.start_mark.line + 1)
        self._values += 1
        if self._values > MAX_VALUES:
            self._give_up(event, f"more than {MAX_VALUES:,} values")
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, location, f"write the value out; aliases (*{event.anchor}) are not")
            return None
        if event.anchor is not None:
            self._refuse(event, location, f"leave &{event.anchor} out; anchors are not")
        if event.tag not in {None, "!"}:
            self._refuse(event, location, f"leave {event.tag!r:.60} out; tags are not")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if len(location) >= MAX_DEPTH:
            self._give_up(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(location)
        return self._mapping(location)

    def _list(self, location: Location) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*location, len(values))))
        return values

    def _mapping(self, location: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                self._give_up(key, "a key must be a text")
            line, here = key.start_mark.line + 1, (*location, key.value)
            if key.anchor is not None or key.tag not in {None, "!"}:
                self._refuse(key, here, "write the key alone; anchors and tags are not")
            repeated = key.value in values
            if repeated:
                first = self.lines[here]
                self.problems.append(Problem(line, place(here), f"stands already on line {first}"))
            else:
                self.lines[here] = line
            value = self._value(next(self._events), here)
            if not repeated:
                values[key.value] = value
        return values

    def _refuse(self, event: Any, location: Location, what: str) -> None:
        text = f"{what} read in a {self._kind}"
        self.problems.append(Problem(event.start_mark.line + 1, place(location), text))

    def _give_up(self, event: Any, what: str) -> None:
        self.problems.append(Problem(event.start_mark.line + 1, "", what))
        raise _TooMuchError


def _scalar(event: yaml.ScalarEvent) -> str | int | float | None:
    text: str = event.value
    if event.style is not None or not event.implicit[0]:
        return text
    if _NULL.fullmatch(text):
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _in_words(error: yaml.MarkedYAMLError) -> str:
    found = str(error.problem)
    for pattern, words in _SYNTAX:
        if (match := re.search(pattern, found)) is not None:
            return f"not YAML: {match.expand(words)}"
    return f"not YAML: {found}"
