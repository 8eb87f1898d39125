"""What tests of connections share: the event loops that workers use, and an ear for complaints."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Links are tested on both loops that watch sockets, each in its own way."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop
    }
    if sys.platform != "win32" and item.path.name == "test_link.py":
        import uvloop  # noqa: PLC0415 - not on Windows

        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest_asyncio.fixture
async def no_complaints() -> AsyncIterator[None]:
    """Fail when a callback let an exception out to the event loop."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    await asyncio.sleep(0)
    # The servers are the standard library's; their remarks about peers that vanish are no defect.
    assert not [each for each in complaints if "callback" in each["message"]]
