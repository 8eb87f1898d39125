"""Starting a process that the terminal cannot interrupt, and noticing when either side is gone.

Owns what every process of a run has in common: a Ctrl-C reaches the whole process group, and only
the parent may act on it; a parent that dies must not leave children behind; a child that dies must
not leave its parent waiting. Knows nothing about what the processes say to each other.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Final, TypeVar

from simulator import event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

T = TypeVar("T")

_ORPHAN_GRACE_S: Final = 10.0


def start_apart(
    main: Callable[..., None], *arguments: Any, name: str
) -> tuple[SpawnProcess, Connection]:
    """Start a process that ignores Ctrl-C, a closed terminal and a polite kill of the whole group.

    It ends because its parent says so, or because its end of the pipe says that the parent is
    gone; `kill -9` ends it too. Whoever starts one also calls `finish`.

    Args:
        main: What it runs, called with its end of the pipe and the arguments. A function of a
            module; the arguments are pickled.
        arguments: The arguments.
        name: Name of the process, for messages.

    Returns:
        The process and the parent's end of the pipe.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(theirs, *arguments), name=name, daemon=True)
    with _signals_blocked():
        process.start()
    # Only then does reading from our end fail when the child is gone.
    theirs.close()
    # At its exit, multiprocessing would wait for a process that is still there.
    atexit.register(process.kill)
    return process, ours


async def finish(process: SpawnProcess, patience_s: float) -> int | None:
    """Wait until a process has ended, and kill it if it takes too long.

    Returns:
        Its exit code; None when it had to be killed.
    """
    has_ended = await ended_within(process, patience_s)
    if not has_ended:
        process.kill()
        await ended_within(process, None)
    atexit.unregister(process.kill)
    return process.exitcode if has_ended else None


async def ended_within(process: SpawnProcess, patience_s: float | None) -> bool:
    """Whether a process ends within a time.

    It is collected here, in the thread of the event loop: two threads that do so would race.
    """
    sentinels = [process.sentinel]
    has_ended = bool(await asyncio.to_thread(connection.wait, sentinels, patience_s))
    if has_ended:
        # The sentinel falls when the process closes its files, a moment before it is gone.
        process.join()
    return has_ended


def ending_text(exit_code: int | None) -> str:
    """How a process ended, in words.

    Args:
        exit_code: As `multiprocessing` gives it: negative for a signal, None while it is there.
    """
    if exit_code is None:
        return "its process closed the connection to this one"
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code}"
    try:
        name = f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        name = ""
    return f"its process was ended by signal {-exit_code}{name}"


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block what the child must not get; a process inherits the signal mask of its parent.

    Setting a handler in the child would leave a gap while its interpreter starts.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415 - has no purpose on Windows

    # Starting the tracker unblocks these signals, so it must be running already.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_child(main: Coroutine[Any, Any, T]) -> T:
    """Run the event loop of a child process.

    Windows has no signal masks; there this ignores Ctrl-C.
    """
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return event_loop.run(main)


def read_in_thread(
    pipe: Connection,
    on_message: Callable[[bytes], None],
    on_end: Callable[[], None],
    *,
    dies_with_peer: bool = False,
) -> None:
    """Read a pipe in a thread of its own and hand what arrives to the running event loop.

    Args:
        pipe: Read until its other end is gone or it is closed.
        on_message: Called in the event loop with each message.
        on_end: Called in the event loop once nothing more will come.
        dies_with_peer: For a child: once its parent is gone, this process has 10 s to end in
            order, and is then ended for good, even if its event loop hangs.
    """
    loop = asyncio.get_running_loop()

    def read() -> None:
        # A loop that is closed already needs no news.
        with contextlib.suppress(RuntimeError):
            with contextlib.suppress(EOFError, OSError):
                while True:
                    loop.call_soon_threadsafe(on_message, pipe.recv_bytes())
            loop.call_soon_threadsafe(on_end)
        if dies_with_peer:
            time.sleep(_ORPHAN_GRACE_S)
            os._exit(1)

    threading.Thread(target=read, name="pipe-reader", daemon=True).start()
