"""Python functions in the place of AWS Lambda functions: hooks and custom authorizers.

A function takes what a Lambda handler takes, `(event, context)`, so that the handler deployed in
the cloud runs here unchanged. Handlers may block: each call has a thread, of which there are a few.
Whatever a handler does, even to end the interpreter, is no more than a failed call. Knows nothing
about what the functions are for.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = structlog.get_logger(__name__)

_CALLS_AT_ONCE = 16
"""Beyond, calls wait for a thread; the time they wait counts against their time-out."""


class LambdaFailure(Exception):  # noqa: N818 - an outcome that callers expect
    """A function does not exist, raised, or took too long."""


class _EndedError(Exception):
    """A function raised something that would end a thread or the process."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(type(raised).__name__)
        self.raised = raised


@dataclass(frozen=True, slots=True)
class Context:
    """The second argument of a handler, with the members most handlers use.

    Attributes:
        function_name: Last part of the ARN.
        invoked_function_arn: The ARN.
        aws_request_id: A new id for each call.
    """

    function_name: str
    invoked_function_arn: str
    aws_request_id: str


class Lambdas:
    """Functions by ARN.

    Args:
        functions: ARN -> handler. A coroutine function runs on the event loop.
    """

    def __init__(self, functions: Mapping[str, Callable[[Any, Any], Any]] | None = None) -> None:
        self._functions = dict(functions or {})
        self._free = asyncio.Semaphore(_CALLS_AT_ONCE)
        self._is_closed = False

    def __contains__(self, arn: object) -> bool:
        return arn in self._functions

    async def invoke(self, arn: str, event: dict[str, Any], timeout_s: float) -> Any:
        """Call a function and wait for what it returns.

        A function in a thread cannot be stopped: after a time-out it runs on, keeps its thread
        until it ends, and what it returns is thrown away.

        Raises:
            LambdaFailure: The function does not exist, raised, or took longer than `timeout_s`.
        """
        function = self._functions.get(arn)
        if function is None or self._is_closed:
            raise LambdaFailure(f"there is no function {arn}")
        context = Context(arn.rpartition(":")[2], arn, str(uuid.uuid4()))
        try:
            async with asyncio.timeout(timeout_s):
                if inspect.iscoroutinefunction(function):
                    return await function(event, context)
                return await self._in_thread(function, event, context)
        except TimeoutError as error:
            raise LambdaFailure(f"{arn} did not answer within {timeout_s:g} seconds") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise _failed(arn, error) from error
        except (Exception, SystemExit) as error:
            # A handler is the user's code: whatever it raises is its answer, "failed".
            raise _failed(arn, error) from error

    async def _in_thread(
        self, function: Callable[[Any, Any], Any], event: Any, context: Any
    ) -> Any:
        """What a function returns that may block.

        A thread of its own and none of a pool, because the interpreter would wait at its end for
        the threads of a pool, however long a function hangs.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def finish(returned: Any, raised: BaseException | None) -> None:
            self._free.release()
            if answer.done():
                return
            if raised is None:
                answer.set_result(returned)
            elif isinstance(raised, Exception) and not isinstance(raised, StopIteration):
                answer.set_exception(raised)
            else:
                # A future does not take it, or it would end the event loop.
                answer.set_exception(_EndedError(raised))

        def run() -> None:
            returned, raised = None, None
            try:
                returned = function(event, context)
            except BaseException as error:  # noqa: BLE001 - handed to who waits for the answer
                raised = error
            # The loop may have ended before the function did.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, returned, raised)

        threading.Thread(target=run, name="lambda", daemon=True).start()
        return await answer

    def close(self) -> None:
        """Start nothing more. Functions that run are not waited for."""
        self._is_closed = True


def _failed(arn: str, error: BaseException) -> LambdaFailure:
    """The failure for what a function raised.

    Logs where it happened and not what it says: texts of exceptions quote their input, and that is
    passwords and tokens.
    """
    raised = error.raised if isinstance(error, _EndedError) else error
    kind = type(raised).__name__
    frames = traceback.extract_tb(raised.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    log.warning("lambda.failed", arn=arn, error=kind, where=where)
    return LambdaFailure(f"{arn} raised {kind}")
