"""Waiting in tests for what another task or process does without giving an event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 20.0
_TURN_S = 0.005


async def until(condition: Callable[[], bool]) -> None:
    """Come back once the condition holds.

    Raises:
        TimeoutError: It did not within `PATIENCE_S`.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - counters and files have no event to wait for
            await asyncio.sleep(_TURN_S)
