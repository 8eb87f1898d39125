from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from simulator.iotcore.lambdas import LambdaFailure, Lambdas

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:hook"


def answering(event: Any, context: Any) -> Any:
    """A handler as it is deployed."""
    return {"got": event, "name": context.function_name, "arn": context.invoked_function_arn}


async def answering_later(event: Any, _context: Any) -> Any:
    """A handler written for this process."""
    await asyncio.sleep(0)
    return event


def failing(_event: Any, _context: Any) -> Any:
    """A handler with a defect."""
    raise RuntimeError("secret token 1234")


@pytest.fixture
def lambdas() -> Iterator[Lambdas]:
    """Three functions."""
    found = Lambdas({ARN: answering, "later": answering_later, "failing": failing})
    yield found
    found.close()


async def test_a_handler_gets_event_and_context(lambdas: Lambdas) -> None:
    """As the cloud calls it; the context knows the function."""
    answer = await lambdas.invoke(ARN, {"a": 1}, 5)
    assert answer == {"got": {"a": 1}, "name": "hook", "arn": ARN}
    assert await lambdas.invoke("later", {"b": 2}, 5) == {"b": 2}


async def test_a_failure_names_the_function_and_not_what_it_said(lambdas: Lambdas) -> None:
    """Texts of exceptions may hold secrets, so they do not travel to devices."""
    with pytest.raises(LambdaFailure, match="raised RuntimeError") as failure:
        await lambdas.invoke("failing", {}, 5)
    assert "1234" not in str(failure.value)
    with pytest.raises(LambdaFailure, match="no function"):
        await lambdas.invoke("unknown", {}, 5)


async def test_a_handler_that_hangs_does_not_hang_the_caller() -> None:
    """After the time-out the caller goes on."""
    release = threading.Event()
    lambdas = Lambdas({ARN: lambda _event, _context: release.wait()})
    try:
        with pytest.raises(LambdaFailure, match="did not answer"):
            await lambdas.invoke(ARN, {}, 0.01)
    finally:
        release.set()
        lambdas.close()
