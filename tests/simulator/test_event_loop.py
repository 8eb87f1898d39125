from __future__ import annotations

import asyncio
import importlib.util

import pytest

from simulator import event_loop


async def answer() -> tuple[str, bool]:
    """Where the loop comes from, and whether it can watch sockets."""
    loop = asyncio.get_running_loop()
    return type(loop).__module__.partition(".")[0], hasattr(loop, "add_reader")


@pytest.mark.parametrize("watches_sockets", [False, True])
def test_it_runs_on_uvloop_where_that_exists(*, watches_sockets: bool) -> None:
    """The result comes back, and the loop is uvloop's wherever it is installed."""
    expected = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    assert event_loop.run(answer(), watches_sockets=watches_sockets) == (expected, True)


def test_what_the_coroutine_raises_is_raised() -> None:
    """An error is not swallowed, and the next run has a loop of its own."""

    async def fail() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        event_loop.run(fail())
    assert event_loop.run(asyncio.sleep(0, "again")) == "again"
