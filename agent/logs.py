"""Structured logs: one event per line on standard error, JSON for machines, colour for people.

Owns structlog's configuration and the thread that writes. The thread is there because a write may
block for as long as somebody likes: a terminal stopped with Ctrl-S, a Windows console with a
selection in it, a full pipe. The event loop that keeps a car under control must not wait for that.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.configuration import LogSection

# Lines that wait for a reader who has stopped reading.
MAX_WAITING_LINES = 1000
_CLOSING_S = 1.0


class LineWriter:
    """Writes lines from a thread of its own, so that the caller never waits and never fails.

    At most `MAX_WAITING_LINES` wait; beyond that the newest are dropped, and their number is
    written once there is room again. A stream that fails, such as a full disk, costs its lines.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Hand one line over."""
        try:
            if self._dropped:
                gap = {"level": "warning", "event": "log_lines_dropped", "count": self._dropped}
                self._lines.put_nowait(json.dumps(gap) + "\n")
                self._dropped = 0
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def flush(self) -> None:
        """Do nothing: the thread flushes after each line."""

    def close(self) -> None:
        """Write what waits; a stream that is stuck is given up after a second."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_CLOSING_S)
            self._thread.join(_CLOSING_S)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line)
                self._stream.flush()


@contextlib.contextmanager
def structured_logs(section: LogSection, *, thing: str) -> Iterator[None]:
    """Log events of this process to standard error until the block is left.

    Args:
        section: Level and format; `auto` writes JSON unless standard error is a terminal.
        thing: Bound to every event as `thing`.
    """
    as_json = section.format == "json" or (section.format == "auto" and not sys.stderr.isatty())
    writer = LineWriter(sys.stderr)
    structlog.configure(
        processors=[
            _naming(thing),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=as_json),
            *_rendering(as_json=as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[section.level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=writer),  # type: ignore[arg-type] # it uses write and flush only
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
        writer.close()


def _naming(thing: str) -> structlog.typing.Processor:
    def name_thing(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        # Not a context variable: events are also logged from the SDK's threads.
        return {"thing": thing, **event}

    return name_thing


def _rendering(*, as_json: bool) -> list[structlog.typing.Processor]:
    if as_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    colors = "NO_COLOR" not in os.environ and sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24)]
