"""Durations as people write them: `30s`, `500ms`, `2 min`, `1h`, or bare seconds.

Owns the notation, for command lines and configuration files alike. Knows nothing about bounds.
"""

from __future__ import annotations

import re
from typing import Final

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m|min|h|)", re.ASCII)
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Seconds of a duration text.

    Raises:
        ValueError: The text is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r:.60} is no duration; write 30s, 500ms, 2m or 1h")
    return float(match[1]) * _UNIT_S[match[2]]
