"""Durations and speeds as people write them in a scenario file.

`30s`, `500ms`, `2m`, `1h` and bare seconds become seconds; `50 km/h` and `14 m/s` become metres per
second. Pure; the types carry their own JSON Schema, so that editors complete and check them.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from certs.durations import duration_s

_NUMBER: Final = r"(\d{1,9}(?:\.\d{1,9})?)"
_SPEED: Final = re.compile(rf"{_NUMBER}\s*(km/h|kmh|m/s|mps)", re.ASCII)
_PERCENTAGE: Final = re.compile(rf"{_NUMBER}\s*%", re.ASCII)
_UNIT_MPS: Final = {"km/h": 1 / 3.6, "kmh": 1 / 3.6, "m/s": 1.0, "mps": 1.0}


def parse_duration_s(value: Any) -> Any:
    """Seconds of a duration text; numbers are seconds already, anything else is left to pydantic.

    Raises:
        ValueError: The text is no duration.
    """
    return duration_s(value) if isinstance(value, str) else value


def parse_speed_mps(value: Any) -> Any:
    """Metres per second of a speed text; a bare number is refused because its unit is a guess.

    Raises:
        ValueError: The text is no speed with a unit.
    """
    match = _SPEED.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r:.60} is no speed; write 50 km/h or 14 m/s")
    return float(match[1]) * _UNIT_MPS[match[2]]


def parse_share(value: Any) -> Any:
    """A share of 1 from a text with a per cent sign; anything else is left to pydantic.

    Raises:
        ValueError: The text is no percentage.
    """
    if not isinstance(value, str):
        return value
    match = _PERCENTAGE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r:.60} is no share; write 0.3 or 30 %")
    return float(Decimal(match[1]) / 100)


def duration_text(seconds: float) -> str:
    """A duration as a person would write it: `500 ms`, `2.5 s`, `90 s`, `5 min`, `1 h 30 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120 or (seconds < 600 and seconds % 60):  # noqa: PLR2004 - below, seconds read best
        return f"{seconds:.4g} s"
    hours, rest_s = divmod(round(seconds), 3600)
    minutes, left_s = divmod(rest_s, 60)
    parts = [(hours, "h"), (minutes, "min"), (left_s, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


_DURATION_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|min|h)?\s*$"},
        ]
    }
)

Duration = Annotated[
    float, BeforeValidator(parse_duration_s), Field(gt=0, le=30 * 86_400), _DURATION_SCHEMA
]
"""Seconds above zero, at most thirty days."""

Moment = Annotated[
    float, BeforeValidator(parse_duration_s), Field(ge=0, le=30 * 86_400), _DURATION_SCHEMA
]
"""Seconds from zero, at most thirty days."""

Speed = Annotated[
    float,
    BeforeValidator(parse_speed_mps),
    Field(gt=0, le=100),
    WithJsonSchema({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(km/h|kmh|m/s|mps)\s*$"}),
]
"""Metres per second above zero, at most 100."""

_SHARE_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"},
        ]
    }
)

Share = Annotated[float, BeforeValidator(parse_share), Field(gt=0, le=1), _SHARE_SCHEMA]
"""A part of a whole, above 0 and at most 1; `30 %` is 0.3."""

Portion = Annotated[float, BeforeValidator(parse_share), Field(ge=0, le=1), _SHARE_SCHEMA]
"""A part of a whole, from 0 to 1."""
