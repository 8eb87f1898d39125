r"""What a service model demands of a value, and how AWS words that it is not met.

Length, range, pattern and enumeration of one value; which values a request has is told by
`reading`. Patterns are Java's; the classes they use that Python lacks (`\p{C}` and the like) are
written out for the Basic Multilingual Plane. Beyond it everything counts as a letter.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHOWN_CHARACTERS: Final = 256
"""Of a value that is quoted in an error."""

_CLASS: Final = re.compile(r"\\p\{(\w+)\}")
_ASCII_CLASSES: Final = {
    "Alpha": "a-zA-Z",
    "Cntrl": r"\x00-\x1f\x7f",
    "Digit": "0-9",
    "Graph": r"\x21-\x7e",
    "Lower": "a-z",
    "Print": r"\x20-\x7e",
    "Upper": "A-Z",
}
_ASTRAL: Final = 0x10000


def faults(shape: Any, value: Any) -> Iterator[str]:
    """Why a value breaks its shape, as AWS says it after "failed to satisfy constraint".

    Args:
        shape: Shape in botocore's model.
        value: Its value: text, bytes, number, list or mapping.
    """
    limits = shape.metadata
    kind = shape.type_name
    if kind in {"string", "blob", "list", "map"}:
        yield from _bounds(limits, len(value), "have length")
    elif kind in {"integer", "long", "float", "double"}:
        yield from _bounds(limits, value, "have value")
    if kind == "string":
        options = limits.get("enum")
        if options and value not in options:
            yield f"Member must satisfy enum value set: [{', '.join(options)}]"
        pattern = limits.get("pattern")
        if pattern is not None and not _matcher(pattern)(value):
            yield f"Member must satisfy regular expression pattern: {pattern}"


def _bounds(limits: dict[str, Any], size: float, verb: str) -> Iterator[str]:
    least, most = limits.get("min"), limits.get("max")
    if least is not None and size < least:
        yield f"Member must {verb} greater than or equal to {least}"
    if most is not None and size > most:
        yield f"Member must {verb} less than or equal to {most}"


def shown(shape: Any, value: Any) -> str:
    """A value as an error quotes it, with a blank before; nothing when the model calls it secret.

    Blobs and values that are long are cut.
    """
    if shape.metadata.get("sensitive"):
        return ""
    text = str(value)
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}..."
    return f" '{text}'"


def python_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of a service model for Python.

    Raises:
        re.error: It uses what is not known here.
    """
    return re.compile(_CLASS.sub(lambda found: _class(found[1]), pattern), re.ASCII)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> Callable[[str], Any]:
    try:
        return python_pattern(pattern).fullmatch
    except re.error:
        # A newer botocore may bring a construct that is not known here. Such a member is taken as
        # it comes.
        return lambda _: True


@lru_cache(maxsize=64)
def _class(name: str) -> str:
    r"""The inside of a character class for `\p{name}`."""
    if name in _ASCII_CLASSES:
        return _ASCII_CLASSES[name]
    if not any(name.startswith(major) for major in "CLMNPSZ"):
        raise re.error(f"unknown character class {name}")
    ranges: list[list[int]] = []
    for code in range(_ASTRAL):
        if unicodedata.category(chr(code)).startswith(name):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    if name == "L":
        ranges.append([_ASTRAL, sys.maxunicode])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
