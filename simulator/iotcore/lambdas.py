"""Python functions in the place of AWS Lambda functions: hooks and custom authorizers.

A function takes what a Lambda handler takes, `(event, context)`, so that the handler deployed in
the cloud runs here unchanged. Handlers may block: each call has a thread, of which there are a few.
Knows nothing about what the functions are for.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = structlog.get_logger(__name__)

_CALLS_AT_ONCE = 16
"""Beyond, calls wait for a thread; the time they wait counts against their time-out."""


class LambdaFailure(Exception):  # noqa: N818 - an outcome that callers expect
    """A function does not exist, raised, or took too long."""


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
        self._threads = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="lambda")

    def __contains__(self, arn: object) -> bool:
        return arn in self._functions

    @property
    def arns(self) -> tuple[str, ...]:
        """Which functions there are."""
        return tuple(self._functions)

    async def invoke(self, arn: str, event: dict[str, Any], timeout_s: float) -> Any:
        """Call a function and wait for what it returns.

        A function in a thread cannot be stopped: after a time-out it runs on, and what it returns
        is thrown away.

        Raises:
            LambdaFailure: The function does not exist, raised, or took longer than `timeout_s`.
        """
        function = self._functions.get(arn)
        if function is None:
            raise LambdaFailure(f"there is no function {arn}")
        context = Context(arn.rpartition(":")[2], arn, str(uuid.uuid4()))
        try:
            async with asyncio.timeout(timeout_s):
                if inspect.iscoroutinefunction(function):
                    return await function(event, context)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, function, event, context)
        except TimeoutError as error:
            raise LambdaFailure(f"{arn} did not answer within {timeout_s:g} seconds") from error
        except Exception as error:
            # A handler is the user's code: whatever it raises is its answer, "failed".
            log.warning("lambda.failed", arn=arn, error=f"{type(error).__name__}: {error}")
            raise LambdaFailure(f"{arn} raised {type(error).__name__}") from error

    def close(self) -> None:
        """Start nothing more. Functions that run are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
