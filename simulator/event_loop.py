"""The event loop on which every process of the simulator runs: uvloop where it exists.

Owns that choice and nothing else, so that commands, workers and the stand-in's own process cannot
differ in it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, watches_sockets: bool = False) -> T:
    """Run a coroutine to its end on a new event loop.

    Args:
        main: The coroutine.
        watches_sockets: Whether it uses `add_reader`, which the usual loop of Windows lacks, as
            aiomqtt does.

    Returns:
        What it returns; what it raises is raised.
    """
    with asyncio.Runner(loop_factory=_loop_factory(watches_sockets=watches_sockets)) as runner:
        return runner.run(main)


def _loop_factory(*, watches_sockets: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop if watches_sockets else None
    try:
        import uvloop  # noqa: PLC0415 - exists on Unix only
    except ImportError:
        return None
    return uvloop.new_event_loop
