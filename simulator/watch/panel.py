"""The live panel of a load test: how it goes, at a glance, in whatever room the terminal has.

Owns which parts are shown and how many lines each gets: a part says how many lines it needs and how
many it could use, and when they do not all fit, the least important give way. Measures and decides
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text

from simulator.watch import sections
from simulator.watch.cells import beside, fitted, title
from simulator.watch.figures import RATES, Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from simulator.report.result import Result

_GAP: Final = 3
_SIDE_BY_SIDE: Final = 76
_SIDE_CELLS: Final = (32, 60)
_ROOMY: Final = (100, 30)
_REASONS: Final = 5
_GROUPS: Final = 6
_EVENTS: Final = 3
_EVENTS_ROOMY: Final = 12


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines of the panel.

    Attributes:
        rank: 0 is the most important.
        least: Lines it needs to say anything.
        most: Lines it has something for.
        draw: Its lines, given how many.
        luxury: Lines it can use besides, when nobody else wants them.
        is_titled: Whether a blank line before it looks better, if there is room.
    """

    rank: int
    least: int
    most: int
    draw: Callable[[int], list[Text]]
    luxury: int = 0
    is_titled: bool = False


class Panel:
    """Renders the state of a run for `rich.live.Live`.

    With `Live(panel, auto_refresh=False)`, set `now_s` and call `refresh()` a few times a second
    in the thread that folds the records: then no frame shows half of one.

    Args:
        result: The result, as it grows.

    Attributes:
        now_s: Time on the clock of the run.
    """

    def __init__(self, result: Result) -> None:
        self.now_s = 0.0
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as much as the terminal has room for."""
        del console
        # One row stays free: a terminal scrolls when its last row is filled.
        height = max(1, (options.height or options.max_height) - 1)
        yield self.render(options.max_width, height, self.now_s)

    def render(self, width: int, height: int, now_s: float) -> Group:
        """The panel at a time.

        Args:
            width: Cells of a line; every line has exactly this many.
            height: Lines at most.
            now_s: Time on the clock of the run.
        """
        blocks = _blocks(Moment(self._result, now_s), width, height)
        drawn = [
            (block, block.draw(rows)[:rows])
            for block, rows in zip(blocks, _allotted(blocks, height), strict=True)
            if rows
        ]
        gaps = sum(block.is_titled for block, _ in drawn)
        has_gaps = sum(len(lines) for _, lines in drawn) + gaps <= height
        frame: list[Text] = []
        for block, lines in drawn:
            if block.is_titled and has_gaps:
                frame.append(Text(" " * width))
            frame += [fitted(line, width) for line in lines]
        return Group(*frame)


def _allotted(blocks: Sequence[_Block], height: int) -> list[int]:
    """Rows of each block: first what each needs, then what it has lines for, then luxury."""
    rows = [0] * len(blocks)
    left = height
    by_rank = sorted(range(len(blocks)), key=lambda index: blocks[index].rank)
    for index in by_rank:
        if blocks[index].least <= left:
            rows[index] = blocks[index].least
            left -= rows[index]
    for is_luxury in (False, True):
        for index in by_rank:
            block = blocks[index]
            wanted = block.most + (block.luxury if is_luxury else 0)
            more = min(left, wanted - rows[index]) if rows[index] else 0
            rows[index] += more
            left -= more
    return rows


def _blocks(moment: Moment, width: int, height: int) -> list[_Block]:
    """All blocks, from top to bottom."""
    blocks = [
        _Block(0, 1, 1, lambda _: [sections.headline(moment, width)]),
        _Block(2, 1, 1, lambda _: [sections.what_and_when(moment, width)]),
        _Block(1, 1, 2, lambda _: sections.phase_bar(moment, width)),
        *_rates_and_troubles(moment, width),
    ]
    latencies = moment.latencies(with_history=sections.latency_history_cells(width) > 0)
    table = sections.latency_table(latencies, width)
    blocks.append(_Block(4, 2, len(table), lambda _: table, is_titled=True))
    is_roomy = width >= _ROOMY[0] and height >= _ROOMY[1]
    return blocks + (_roomy_blocks(moment, width) if is_roomy else _small_blocks(moment))


def _rates_and_troubles(moment: Moment, width: int) -> list[_Block]:
    rates, troubles = moment.rates(), moment.troubles()
    rate_rows, trouble_rows = 1 + len(RATES), 1 + len(troubles)
    if width < _SIDE_BY_SIDE:
        return [
            _Block(3, 3, rate_rows, lambda _: sections.rate_table(rates, width)),
            _Block(5, 2, trouble_rows, lambda rows: sections.trouble_table(troubles, rows, width)),
        ]
    left, right = _columns(width)

    def draw(rows: int) -> list[Text]:
        return beside(
            sections.rate_table(rates, left)[:rows],
            sections.trouble_table(troubles, rows, right),
            (left, right),
        )

    return [_Block(3, 3, rate_rows, draw, max(0, trouble_rows - rate_rows), is_titled=True)]


def _roomy_blocks(moment: Moment, width: int) -> list[_Block]:
    result, (left, right) = moment.result, _columns(width)
    reasons = sections.reason_table(moment.reasons(_REASONS), right)
    processes = 1 + (result.target is not None) + max(1, len(moment.workers()))

    def below(rows: int) -> list[Text]:
        drawn = sections.process_table(moment, rows, left)
        return beside(drawn[:rows], reasons[:rows], (left, right))

    def groups(rows: int) -> list[Text]:
        return sections.group_table(result, rows, width)

    return [
        _Block(
            8,
            2,
            1 + min(_GROUPS, max(1, len(result.groups))),
            groups,
            luxury=max(0, len(result.groups) - _GROUPS),
            is_titled=True,
        ),
        _Block(
            6, 3, min(1 + _REASONS, max(processes, len(reasons))), below, processes, is_titled=True
        ),
        _Block(
            7,
            2,
            1 + _event_rows(moment, _EVENTS_ROOMY),
            lambda rows: [title("events", width), *_events(moment, rows - 1)],
            is_titled=True,
        ),
    ]


def _small_blocks(moment: Moment) -> list[_Block]:
    return [
        _Block(7, 1, 1, lambda _: [sections.reason_line(moment.reasons(_REASONS))]),
        _Block(9, 1, 1, lambda _: [sections.target_line(moment)]),
        _Block(8, 1, 1, lambda _: [sections.worker_line(moment)]),
        _Block(6, 1, _event_rows(moment, _EVENTS), lambda rows: _events(moment, rows)),
    ]


def _event_rows(moment: Moment, most: int) -> int:
    known = len(moment.result.events) + (moment.next_fault() is not None)
    return min(most, max(1, known))


def _events(moment: Moment, rows: int) -> list[Text]:
    """The last events, and the fault that is due next when there is a line for it."""
    events, coming = moment.result.events, moment.next_fault()
    if rows == 1 and events:
        coming = None
    past = rows - (coming is not None)
    return sections.event_lines(events[-past:] if past else [], coming, moment.now_s)


def _columns(width: int) -> tuple[int, int]:
    """Widths of a wide left and a narrow right column."""
    least, most = _SIDE_CELLS
    right = min(most, least + (width - _SIDE_BY_SIDE) // 4)
    return width - right - _GAP, right
