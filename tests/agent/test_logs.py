"""Structured logs that cannot hold the agent up."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING

import structlog

from agent.configuration import LogSection
from agent.logs import MAX_WAITING_LINES, LineWriter, structured_logs

if TYPE_CHECKING:
    import pytest


class Stuck(io.StringIO):
    """A terminal that somebody has stopped with Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked = threading.Event()
        self.resumed = threading.Event()

    def write(self, text: str) -> int:
        """Wait until the person goes on reading."""
        self.blocked.set()
        assert self.resumed.wait(20)
        return super().write(text)


class Broken(io.StringIO):
    """A file on a disk that is full for a while."""

    full = True

    def write(self, text: str) -> int:
        """Fail while the disk is full."""
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_stuck_terminal_holds_nobody_up() -> None:
    """Lines wait up to the bound, the rest is counted, and the count is written afterwards."""
    stream = Stuck()
    writer = LineWriter(stream)
    writer.write("first\n")
    assert stream.blocked.wait(20)
    for number in range(MAX_WAITING_LINES + 50):
        writer.write(f"{number}\n")

    stream.resumed.set()
    writer.write("")
    writer.close()
    lines = stream.getvalue().splitlines()

    assert lines[: MAX_WAITING_LINES + 1] == ["first", *map(str, range(MAX_WAITING_LINES))]


def test_dropped_lines_are_counted_in_the_log() -> None:
    """The first line that finds room again is preceded by the number of those that did not."""
    stream = Stuck()
    writer = LineWriter(stream)
    writer.write("first\n")
    assert stream.blocked.wait(20)
    for number in range(MAX_WAITING_LINES + 50):
        writer.write(f"{number}\n")
    # Two places are needed: for the count and for the line.
    writer._lines.get_nowait()
    writer._lines.get_nowait()
    writer.write("after\n")

    stream.resumed.set()
    writer.close()
    lines = stream.getvalue().splitlines()

    assert lines[-1] == "after"
    assert json.loads(lines[-2]) == {
        "level": "warning",
        "event": "log_lines_dropped",
        "count": 50,
    }


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    """Nobody sees an exception, and lines are written again when there is room."""
    stream = Broken()
    writer = LineWriter(stream)
    writer.write("lost\n")
    while writer._lines.qsize():
        threading.Event().wait(0.001)
    stream.full = False
    writer.write("kept\n")
    writer.close()

    assert "kept\n" in stream.getvalue()


def test_events_are_json_with_the_thing(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object a line: event, level, thing, time, and an exception as text."""
    with structured_logs(LogSection(format="json"), thing="car-1"):
        log = structlog.get_logger("x")
        log.info("hello", count=1)
        log.debug("unseen")
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            log.exception("bad")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())

    assert (first["event"], first["level"], first["thing"], first["count"]) == (
        "hello",
        "info",
        "car-1",
        1,
    )
    assert first["timestamp"].endswith("Z")
    assert "ZeroDivisionError: division by zero" in second["exception"]


def test_the_console_form_has_no_colours_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A person's format, without escape sequences when standard error is no terminal."""
    with structured_logs(LogSection(format="console"), thing="car-1"):
        structlog.get_logger("x").warning("hello", reason="why not")
    line = capsys.readouterr().err

    assert "hello" in line
    assert "why not" in line
    assert "\x1b" not in line
