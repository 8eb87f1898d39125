"""What the commands that run until they are stopped have in common.

Owns the wait for whatever ends them first, and the text of a set of counters. Knows nothing about
what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping


async def attend(
    stop: asyncio.Event, duties: Iterable[Coroutine[Any, Any, None]], limit_s: float | None
) -> None:
    """Run duties side by side until `stop` is set, a signal comes, time is up or one of them ends.

    Args:
        stop: Ends it; also set by SIGINT and SIGTERM.
        duties: What runs meanwhile; all of it is cancelled and awaited at the end.
        limit_s: How long at most, or `None`.

    Raises:
        Exception: The first that a duty ended with.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where a loop has no signal handlers, Ctrl-C ends the process as usual.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(duty) for duty in (stop.wait(), *duties)]
    try:
        await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def counts_text(counts: Mapping[str, int]) -> str:
    """Counters in one line; `none` when nothing was counted."""
    return ", ".join(f"{name} {number}" for name, number in counts.items()) or "none"
