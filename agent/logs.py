"""Structured logs: one event per line on standard error, JSON for machines, colour for people.

Owns structlog's configuration, and nothing else.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from agent.configuration import LogSection


def configure_logs(section: LogSection, *, thing: str) -> None:
    """Set up structlog for this process.

    Args:
        section: Level and format; `auto` writes JSON unless standard error is a terminal.
        thing: Bound to every event as `thing`.
    """
    as_json = section.format == "json" or (section.format == "auto" and not sys.stderr.isatty())

    def name_thing(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        # Not a context variable: events are also logged from the SDK's threads.
        return {"thing": thing, **event}

    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ, pad_event_to=24)
    )
    processors: list[structlog.typing.Processor] = [
        name_thing,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=as_json),
    ]
    if as_json:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[section.level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
