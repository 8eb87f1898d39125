"""Running pre-provisioning hooks: from the service that waits for one to the function and back.

The provisioning service is sans-I/O and only says that a hook is to be run. Owns the calls under
way; each has until the service's deadline, after which the service refuses the device by itself.
Knows nothing about templates.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, Self

import structlog

from simulator.iotcore.lambdas import LambdaFailure

if TYPE_CHECKING:
    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.clock import Clock
    from simulator.iotcore.lambdas import Lambdas
    from simulator.iotcore.services.provisioning import Provisioning
    from simulator.iotcore.services.provisioning_hook import HookCall

log = structlog.get_logger(__name__)


class HookedCore(Protocol):
    """What the answers go through: `CoreServer` has it."""

    @property
    def broker(self) -> Broker:
        """The broker that runs now."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    def wake(self) -> None:
        """Have the broker's outputs written."""
        ...


class HookPump:
    """Runs the hooks of one stand-in. Use it as `async with HookPump(...)` while that is entered.

    Args:
        provisioning: Whose hooks.
        lambdas: The functions, by ARN.
        core: Where the answers go.
    """

    def __init__(self, provisioning: Provisioning, lambdas: Lambdas, core: HookedCore) -> None:
        self._provisioning = provisioning
        self._lambdas = lambdas
        self._core = core
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._provisioning.hook_waits = self._wake
        return self

    async def __aexit__(self, *_: object) -> None:
        self._provisioning.hook_waits = _nobody
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _wake(self) -> None:
        # The service is in the middle of a request; its calls are taken when it is done.
        self._loop.call_soon(self._take)

    def _take(self) -> None:
        for call in self._provisioning.take_hook_calls():
            task = self._loop.create_task(self._run(call))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, call: HookCall) -> None:
        core = self._core
        answer: Any
        try:
            remaining_s = call.deadline_s - core.clock.now_s()
            answer = await self._lambdas.invoke(call.target_arn, call.event, max(remaining_s, 0.0))
        except LambdaFailure as failure:
            log.warning("core.hook_failed", arn=call.target_arn, why=str(failure))
            answer = failure
        now_s = core.clock.now_s()
        core.broker.answer(self._provisioning.finish_hook(call.call_id, answer, now_s), now_s)
        core.wake()


def _nobody() -> None:
    """Nobody runs hooks; the devices that wait are refused when it is too late."""
