"""What a person, or a program, sees of a run while it happens.

Owns the choice between a panel on a terminal, lines in a log, and JSON documents, and the rule that
nobody who stops listening (a closed pipe, a closed terminal, a full disk behind a redirection) can
stop a run. Knows nothing about engines, files or verdicts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Final, NoReturn

import typer
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from certs.terminal import console, error_console, printable
from simulator.watch.lines import document, event_line, line
from simulator.watch.panel import Panel

if sys.platform != "win32":
    import termios

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Task, TaskID

    from simulator.load.records import Event, Header
    from simulator.report.result import Result

NOBODY_LISTENS: Final = (OSError, SystemExit)
"""What printing raises when the other end is gone; rich ends the program when a pipe breaks
(`Console.on_broken_pipe`)."""

_LOCAL_FLAGS: Final = 3  # of what termios.tcgetattr returns
_PANEL_EVERY_S: Final = 0.5
_LINE_EVERY_S: Final = 5.0


class Show:
    """Shows one run: its preparation, and then the result as it grows.

    On a terminal that is a progress bar and then a panel, both of which leave nothing behind.
    Otherwise it is a line for each step of the preparation on standard error, and then, on standard
    output, a line every five seconds and for every event, or with `as_json` a document every five
    seconds.

    Args:
        result: The result, changed on the event loop only.
        as_json: Keep standard output for JSON.
    """

    def __init__(self, result: Result, *, as_json: bool) -> None:
        self._result = result
        self._as_json = as_json
        self._is_live = console().is_terminal and not as_json
        self._is_heard = True
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._zero_s = 0.0
        self._has_begun = asyncio.Event()

    # Before the run

    def stage(self, text: str, steps: int) -> None:
        """Say what is being prepared.

        Args:
            text: In words.
            steps: How many steps it has; 0 when that is not known.
        """
        if not self._is_live:
            with contextlib.suppress(*NOBODY_LISTENS):
                error_console().print(f"{text} ...", markup=False, soft_wrap=True)
            return
        if self._progress is None:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                _Bar(bar_width=30),
                _Steps(),
                console=console(),
                transient=True,
            )
            self._progress.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(text, total=steps or None)

    def step(self, number: int) -> None:
        """Advance the progress bar by this many steps."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, number)

    def end_preparation(self) -> None:
        """Take the progress bar away."""
        progress, self._progress = self._progress, None
        if progress is not None:
            with contextlib.suppress(*NOBODY_LISTENS):
                progress.stop()

    # During the run

    def begin(self, header: Header) -> None:
        """The run begins."""
        self.end_preparation()
        # From here on, a clock that is set does not matter.
        self._zero_s = time.monotonic() + header.unix_s_at_zero - time.time()
        self._has_begun.set()

    @property
    def now_s(self) -> float:
        """Time on the clock of the run; 0 before it."""
        return max(0.0, time.monotonic() - self._zero_s) if self._has_begun.is_set() else 0.0

    def event(self, event: Event) -> None:
        """Show an event, unless the panel or the next document has it anyway."""
        if not self._is_live and not self._as_json:
            self._say(event_line(event))

    async def keep(self) -> None:
        """Show the run from its beginning, until cancelled or until nobody can see it."""
        await self._has_begun.wait()
        if self._is_live:
            with contextlib.suppress(*NOBODY_LISTENS), _keys_unseen():
                await self._keep_panel()
        else:
            await self._keep_lines()

    async def _keep_panel(self) -> NoReturn:
        panel = Panel(self._result)
        # What is written to either stream meanwhile appears above the panel.
        with Live(panel, console=console(), auto_refresh=False, transient=True) as live:
            while True:
                panel.now_s = self.now_s
                live.refresh()
                await asyncio.sleep(_PANEL_EVERY_S)

    async def _keep_lines(self) -> NoReturn:
        while True:
            await asyncio.sleep(_LINE_EVERY_S)
            if self._as_json:
                moment = document(self._result, self.now_s)
                self._say(json.dumps(moment, ensure_ascii=False))
            else:
                self._say(line(self._result, self.now_s))

    def _say(self, text: str) -> None:
        if self._is_heard:
            try:
                typer.echo(text)
            except NOBODY_LISTENS:
                self._is_heard = False


def warn(text: str) -> None:
    """Say on standard error what is not as it should be."""
    with contextlib.suppress(*NOBODY_LISTENS):
        error_console().print(f"[bold yellow]warning:[/] {escape(printable(text))}", soft_wrap=True)


@contextlib.contextmanager
def _keys_unseen() -> Iterator[None]:
    """Keep the terminal from echoing keys: even the ^C of a Ctrl-C would tear the panel."""
    keyboard = _own_keyboard()
    if keyboard is None:
        yield
        return
    before = termios.tcgetattr(keyboard)
    silent = [*before]
    silent[_LOCAL_FLAGS] &= ~termios.ECHO
    termios.tcsetattr(keyboard, termios.TCSANOW, silent)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):
            # Not from the background, which would stop this process.
            if _own_keyboard() is not None:
                termios.tcsetattr(keyboard, termios.TCSANOW, before)


def _own_keyboard() -> int | None:
    """The terminal that keys come from, if this process is in its foreground."""
    if sys.platform == "win32":
        return None
    with contextlib.suppress(OSError, ValueError):
        keyboard = sys.stdin.fileno()
        if os.tcgetpgrp(keyboard) == os.getpgrp():
            return keyboard
    return None


class _Bar(BarColumn):
    """A bar for what has steps, nothing for the rest."""

    def render(self, task: Task) -> Text:  # type: ignore[override]  # either is a renderable
        return Text() if task.total is None else super().render(task)  # type: ignore[return-value]  # same


class _Steps(MofNCompleteColumn):
    """How many steps of how many, where that is known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)
