from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

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


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration()])
async def test_a_handler_cannot_end_the_process(error: BaseException) -> None:
    """What would end an interpreter or never reach a future is a failed call."""

    def ending(_event: Any, _context: Any) -> Any:
        raise error

    with pytest.raises(LambdaFailure, match=f"raised {type(error).__name__}"):
        await Lambdas({ARN: ending}).invoke(ARN, {}, 5)


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_a_coroutine_cannot_end_the_process(error: BaseException) -> None:
    """Nor can a handler on the event loop end its caller."""

    async def ending(_event: Any, _context: Any) -> Any:
        raise error

    with pytest.raises(LambdaFailure, match=f"raised {type(error).__name__}"):
        await Lambdas({ARN: ending}).invoke(ARN, {}, 5)


async def test_who_waits_for_a_function_can_be_cancelled() -> None:
    """A cancellation from outside stays one."""

    async def waiting(_event: Any, _context: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    task = asyncio.create_task(Lambdas({ARN: waiting}).invoke(ARN, {}, 5))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_log_says_where_a_function_failed_and_not_what_it_said(lambdas: Lambdas) -> None:
    """Texts of exceptions quote their input, which holds tokens and passwords."""
    with capture_logs() as logs, pytest.raises(LambdaFailure):
        await lambdas.invoke("failing", {}, 5)
    (entry,) = logs
    assert (entry["error"], entry["where"].partition(":")[0]) == ("RuntimeError", "test_lambdas.py")
    assert "1234" not in str(logs)


def test_a_function_that_hangs_does_not_keep_the_process() -> None:
    """The interpreter ends although a handler never does."""
    code = """
import asyncio, threading
from simulator.iotcore.lambdas import LambdaFailure, Lambdas
lambdas = Lambdas({"f": lambda event, context: threading.Event().wait()})
try:
    asyncio.run(lambdas.invoke("f", {}, 0.01))
except LambdaFailure:
    lambdas.close()
    print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "ended\n"
