"""How a figure is written on the page: digits, units, times, and JSON that is safe inside HTML.

Pure text; knows nothing about results or about the page's layout.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

NOTHING: Final = "\u2013"
"""A dash; stands where nothing was measured."""

_HTML_ESCAPES: Final = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_BYTE_STEPS: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_MILLISECOND_DIGITS: Final = ((0.0995, 3), (9.995, 2))
"""Below how many milliseconds how many digits stand behind the point; one from then on."""


def whole(number: float | None) -> str:
    """A count with thousands separated."""
    return NOTHING if number is None else f"{number:,.0f}"


def amount(number: float | None) -> str:
    """A number with about three significant digits, thousands separated."""
    if number is None or not math.isfinite(number):
        return NOTHING
    size = abs(number)
    if size == 0 or size >= 100:  # noqa: PLR2004 - three digits stand before the point
        return f"{number:,.0f}"
    digits = 2 - math.floor(math.log10(size))
    text = f"{number:,.{min(digits, 9)}f}"
    return text.rstrip("0").rstrip(".")


def milliseconds(value_ms: float | None) -> str:
    """A latency; the unit stands in the heading of its column."""
    if value_ms is None:
        return NOTHING
    digits = next((digits for below_ms, digits in _MILLISECOND_DIGITS if value_ms < below_ms), 1)
    return f"{value_ms:,.{digits}f}"


def share(value: float | None) -> str:
    """A share as per cent; only the whole is written as 100 %, and only nothing as 0 %."""
    if value is None:
        return NOTHING
    if value in {0.0, 1.0}:
        return f"{value:.0%}".replace("%", " %")
    for digits in (1, 2, 3, 4):
        text = f"{value * 100:,.{digits}f}"
        if float(text.replace(",", "")) not in {0.0, 100.0}:
            break
    return text + " %"


def octets(number: float | None) -> str:
    """Bytes with a decimal prefix."""
    if number is None:
        return NOTHING
    for step, unit in _BYTE_STEPS:
        if number >= step:
            return f"{amount(number / step)} {unit}"
    return f"{number:,.0f} B"


def dollars(value_usd: float | None) -> str:
    """US dollars; small sums keep the digits that say something."""
    if value_usd is None:
        return NOTHING
    if 0 < abs(value_usd) < 1:
        return f"${amount(value_usd)}"
    return f"${value_usd:,.2f}"


def clock(seconds: float) -> str:
    """A time of the run: minutes and seconds, with hours when there are any."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 10:04.1f}" if rest % 10 else f"{rest // 10:02d}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"


def sentence(text: str) -> str:
    """The text as a sentence: with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def plain(value: float | None) -> float | int | None:
    """A number as short as JSON can carry it: four significant digits, whole numbers whole."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.4g}") if abs(value) < 1e4 else float(round(value))  # noqa: PLR2004 - 4 digits
    return int(rounded) if rounded.is_integer() else rounded


def json_for_html(value: Any) -> str:
    """JSON that may stand in a `script` element: no text in it can end the element.

    Source: HTML Standard, 4.12.1.3 "Restrictions for contents of script elements".
    """
    return msgspec.json.encode(value).decode("utf-8").translate(_HTML_ESCAPES)
