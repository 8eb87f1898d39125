"""Validation errors of the models, in the words of somebody who writes scenario files.

Owns the sentence for every kind of error, with suggestions for misspelt keys, kinds and metrics.
Pure. Knows the models through `anatomy`, and nothing about YAML but the lines of a `Document`.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from simulator.scenario.anatomy import KIND, Spot, find, kinds_of
from simulator.scenario.checks import METRICS
from simulator.scenario.problem import Location, Problem, place
from simulator.scenario.schema import Scenario
from simulator.scenario.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from simulator.scenario.anatomy import Model
    from simulator.scenario.document import Document

_QUOTED: Final = re.compile(r"'([^']*)'")
_NO_NAME: Final = (
    "is no name; write 1 to 32 lower-case letters, digits and hyphens, beginning and ending with "
    "a letter or digit"
)
_NO_ENDPOINT: Final = (
    "is no data endpoint; it reads like a1b2c3d4e5-ats.iot.eu-central-1.amazonaws.com"
)
_BOUNDS: Final = {
    "greater_than": ("gt", "is too small; it must be more than"),
    "greater_than_equal": ("ge", "is too small; the least is"),
    "less_than": ("lt", "is too large; it must be less than"),
    "less_than_equal": ("le", "is too large; the most is"),
}
_WANTED: Final = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "path_type": "a path",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
}


def problems_of(
    errors: Iterable[ErrorDetails], document: Document, root: Model = Scenario
) -> list[Problem]:
    """The problems that validation errors stand for.

    A required key that was only misspelt is one problem, not a missing and an unknown key.

    Args:
        errors: Of validating the document.
        document: What was validated.
        root: The model it was validated against.
    """
    found = [(error, find(error["loc"], root)) for error in errors]
    misspelt = {
        (*spot.location[:-1], guess)
        for error, spot in found
        if error["type"] == "extra_forbidden" and (guess := _guess_key(spot)) is not None
    }
    return [
        _problem(error, spot, document)
        for error, spot in found
        if error["type"] != "missing" or spot.location not in misspelt
    ]


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that somebody meant who wrote another; None when none is near."""
    near = difflib.get_close_matches(name.lower().replace("_", "-"), _alike(known), 1, 0.6)
    return _alike(known)[near[0]] if near else None


def choices(name: str, known: Iterable[str]) -> str:
    """What to write in place of an unknown name: the nearest, or all of them."""
    names = list(known)
    if (guess := closest(name, names)) is not None:
        return f"did you mean {guess}?"
    return f"write one of {', '.join(names)}" if names else "there are none"


def shown(value: Any) -> str:
    """A value as it stands in a file, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, list):
        return "a list"
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits into a line
    return f"'{text}'" if isinstance(value, str) else text


def _alike(known: Iterable[str]) -> dict[str, str]:
    return {name.lower().replace("_", "-"): name for name in known}


def _guess_key(spot: Spot) -> str | None:
    return closest(str(spot.location[-1]), spot.owner.model_fields)


def _problem(error: ErrorDetails, spot: Spot, document: Document) -> Problem:
    location = spot.location
    if error["type"].startswith("union_tag_invalid"):
        location = (*location, KIND)
    what = _what(error, spot, document.at(location))
    return Problem(document.line_of(location), place(location), what)


def _what(error: ErrorDetails, spot: Spot, value: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return _own_error(str(context["error"]), spot.location, value)
    if kind == "missing":
        means = spot.field.description if spot.field is not None else None
        return f"is missing{f' ({means})' if means else ''}"
    if kind == "extra_forbidden":
        return f"is no key here; {choices(str(spot.location[-1]), spot.owner.model_fields)}"
    if kind in {"literal_error", "enum"}:
        known = _QUOTED.findall(context["expected"])
        hint = choices(str(value), known) if known else f"write {context['expected']}"
        return f"{shown(value)} is not known here; {hint}"
    if kind.startswith("union_tag"):
        kinds = list(kinds_of(spot.shape)) if spot.shape is not None else []
        if kind == "union_tag_not_found":
            return f"has no kind; add one of {', '.join(f'kind: {name}' for name in kinds)}"
        return f"{shown(value)} is no kind of {spot.location[-1]}; {choices(str(value), kinds)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{shown(value)} {words} {_bound(context[key], value)}"
    if kind in {"too_short", "too_long", "string_too_short", "string_too_long"}:
        return _wrong_length(kind, context)
    if kind == "string_pattern_mismatch":
        text = error["input"]
        return f"{shown(text)} {_NO_ENDPOINT if spot.location[-1] == 'endpoint' else _NO_NAME}"
    if kind in _WANTED:
        return _wrong_type(kind, spot, value)
    return error["msg"]


def _own_error(text: str, location: Location, value: Any) -> str:
    """An error of the models' own validators; a misspelt metric gets a suggestion."""
    metric = re.match(r"[A-Za-z0-9_]*", str(value).strip())
    if location[0] == "checks" and "is no metric" in text and metric is not None:
        return f"{metric[0]!r} is no metric; {choices(metric[0], METRICS)}"
    return text


def _bound(bound: float, value: Any) -> str:
    # A bound on a duration that was written with a unit is shown with one.
    return duration_text(bound) if isinstance(value, str) and bound else f"{bound:,.15g}"


def _wrong_length(kind: str, context: dict[str, Any]) -> str:
    unit = "characters" if kind.startswith("string") else "entries"
    if kind.endswith("short"):
        least = context["min_length"]
        return "is empty" if least == 1 else f"is too short; at least {least} {unit}"
    return f"is too long; at most {context['max_length']:,} {unit}"


def _wrong_type(kind: str, spot: Spot, value: Any) -> str:
    if value is None:
        return "is empty; give it a value or leave the key out"
    if kind == "string_type" and isinstance(value, int | float):
        return f'{shown(value)} is a number where a text is wanted; write "{shown(value)}"'
    if isinstance(value, str) and spot.shape is not None and spot.shape.form == "choice":
        kinds = kinds_of(spot.shape)
        if value in kinds:
            return f"is {shown(value)} where keys are wanted; write kind: {value} under it"
        return f"is {shown(value)} where keys are wanted; kind: {', '.join(kinds)}"
    if isinstance(value, dict | list):
        return f"is {shown(value)} where {_WANTED[kind]} should stand"
    return f"{shown(value)} is not {_WANTED[kind]}"
