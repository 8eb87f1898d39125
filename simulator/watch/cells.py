"""Lines of terminal cells: numbers in few characters, sparklines, bars, columns side by side.

Every function returns text of exactly the width asked for, or no more than it, counted in terminal
cells (an East Asian wide character takes two). Knows nothing about load tests. Pure.
"""

from __future__ import annotations

import math
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Final

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPARK: Final = "▁▂▃▄▅▆▇█"
_SUFFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
_PREFIXES: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_EXACT_BELOW: Final = 1_000_000
_MS_PER_S: Final = 1000.0
_THREE_DIGITS: Final = (10.0, 100.0, 1000.0)


def count(number: float) -> str:
    """A whole number in at most eight characters: `998`, `12,345`, `1.23M`."""
    if not math.isfinite(number):
        return "?"
    if abs(number) < _EXACT_BELOW:
        return f"{round(number):,}"
    return _scaled(number, 1000.0, _SUFFIXES)


def rate(per_s: float) -> str:
    """A rate in at most eight characters; one decimal below 10."""
    return f"{per_s:.1f}" if 0 < per_s < _THREE_DIGITS[0] else count(per_s)


def size(number: float) -> str:
    """An amount of bytes: `640 B`, `88.1 MB`."""
    return _scaled(number, 1000.0, _PREFIXES, " ")


def percent(share: float) -> str:
    """A share as `40 %`."""
    return f"{share * 100:,.0f} %" if math.isfinite(share) else "?"


def milliseconds(value: float) -> str:
    """A latency in milliseconds with three digits, at most seven characters."""
    if value < _THREE_DIGITS[0]:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < _THREE_DIGITS[1] else f"{value:,.0f}"


def clock(seconds: float) -> str:
    """A time as `4:07` or `1:02:33`; negative ones are 0."""
    whole = int(max(0.0, seconds)) if math.isfinite(seconds) else 0
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def sparkline(values: Sequence[float], width: int) -> str:
    """Values as a line of blocks, 0 at the bottom, the largest on top; NaN is a blank.

    More values than cells: a cell shows the largest of its share, so no peak is hidden. A value
    above 0 is never drawn as 0.
    """
    if width <= 0:
        return ""
    if len(values) > width:
        edges = [len(values) * cell // width for cell in range(width + 1)]
        shares = [values[low:high] for low, high in pairwise(edges)]
    else:
        shares = [[value] for value in values]
    # max() of a share with a NaN in it would depend on their order.
    tops = [max((v for v in share if not math.isnan(v)), default=math.nan) for share in shares]
    highest = max((top for top in tops if top > 0), default=1.0)
    return "".join(_block(top / highest) for top in tops).rjust(width)


def _block(share: float) -> str:
    if math.isnan(share):
        return " "
    last = len(_SPARK) - 1
    return _SPARK[max(1, round(share * last)) if share > 0 else 0]


def gauge(share: float, width: int) -> str:
    """A share from 0 to 1 as a bar of full and light blocks."""
    filled = min(width, max(0, round(share * width)))
    return "█" * filled + "░" * (width - filled)


def fitted(text: Text, width: int) -> Text:
    """The text in exactly this many cells: cut with an ellipsis, or filled with blanks."""
    if width <= 0:
        return Text()
    line = text.copy()
    line.truncate(width, overflow="ellipsis", pad=True)
    line.no_wrap = True
    return line


def spread(left: Text, right: Text, width: int) -> Text:
    """One text at each end; the left one is cut when they do not both fit."""
    room = width - right.cell_len - 1
    if room < 1:
        return fitted(left, width)
    return fitted(Text.assemble(fitted(left, room), " ", right), width)


def beside(left: Sequence[Text], right: Sequence[Text], widths: tuple[int, int]) -> list[Text]:
    """Two blocks of lines next to each other, three cells apart."""
    blank = Text()
    return [
        Text.assemble(fitted(one, widths[0]), "   ", fitted(other, widths[1]))
        for one, other in zip_longest(left, right, fillvalue=blank)
    ]


def title(name: str, width: int) -> Text:
    """A line with a name in it, as the head of a block."""
    head = Text.assemble(("─ ", "dim"), (name, "bold"), " ")
    return fitted(Text.assemble(head, ("─" * max(0, width - head.cell_len), "dim")), width)


def _scaled(number: float, step: float, units: Sequence[str], gap: str = "") -> str:
    value, index = float(number), 0
    # The limit is that of rounding up: 999.6k is written 1.00M.
    while abs(value) >= step - 0.5 and index < len(units) - 1:
        value /= step
        index += 1
    if index == 0:
        return f"{value:.0f}{gap}{units[0]}"
    if abs(value) >= step:
        return f"{value:.0e}{gap}{units[index]}"
    digits = 2 if abs(value) < _THREE_DIGITS[0] else 1 if abs(value) < _THREE_DIGITS[1] else 0
    return f"{value:.{digits}f}{gap}{units[index]}"
