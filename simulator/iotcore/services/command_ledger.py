"""The command executions that are kept, and for how long.

Owns the bounds on them, their order, who waits for an answer and until when. Knows nothing about
requests, topics or events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from simulator.iotcore.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.iotcore.services.command_execution import Execution

KEEP_S: Final = 180 * 86_400
"""How long an execution is kept; AWS IoT Device Management quota."""

EXECUTIONS_MAX: Final = 50_000
"""Executions kept. Beyond, the oldest is forgotten whatever its status."""

RESULT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Results and parameters kept, all executions together. Beyond, the oldest executions go."""


class ExecutionLedger:
    """Executions by id.

    Attributes:
        forgotten: How many were forgotten before their time because there were too many.
    """

    def __init__(self) -> None:
        self.forgotten = 0
        # Oldest first.
        self._executions: dict[str, Execution] = {}
        self._sizes: dict[str, int] = {}
        self._size = 0
        self._awaited: dict[str, set[str]] = {}
        self._time_outs: Deadlines[str] = Deadlines()
        self._expiries: Deadlines[str] = Deadlines()

    def __len__(self) -> int:
        return len(self._executions)

    def get(self, execution_id: str) -> Execution | None:
        """The execution with this id."""
        return self._executions.get(execution_id)

    def values(self) -> tuple[Execution, ...]:
        """All executions, oldest first."""
        return tuple(self._executions.values())

    @property
    def awaited(self) -> int:
        """Executions whose time is running."""
        return sum(map(len, self._awaited.values()))

    def awaited_of(self, target_arn: str) -> int:
        """Executions of one device whose time is running."""
        return len(self._awaited.get(target_arn, ()))

    def keep(self, execution: Execution, created_s: float) -> None:
        """Take a new execution in.

        Args:
            execution: The execution.
            created_s: When it was created, on the broker's clock.
        """
        key = execution.execution_id
        self._executions[key] = execution
        self._expiries.set(key, created_s + KEEP_S)
        if execution.is_awaited:
            self._awaited.setdefault(execution.target_arn, set()).add(key)
            self._time_outs.set(key, created_s + execution.timeout_s)
        self._weigh(execution)

    def changed(self, execution: Execution) -> None:
        """Note that an execution has another status or result."""
        if not execution.is_awaited:
            self._no_longer_awaited(execution)
        self._weigh(execution)

    def forget(self, execution_id: str) -> None:
        """Forget an execution; one that is unknown is ignored."""
        execution = self._executions.pop(execution_id, None)
        if execution is not None:
            self._size -= self._sizes.pop(execution_id, 0)
            self._expiries.cancel(execution_id)
            self._no_longer_awaited(execution)

    def timed_out(self, now_s: float) -> Iterator[Execution]:
        """The executions whose time is up, once each."""
        for execution_id in self._time_outs.due(now_s):
            yield self._executions[execution_id]

    def forget_expired(self, now_s: float) -> None:
        """Forget what is past keeping."""
        for execution_id in list(self._expiries.due(now_s)):
            self.forget(execution_id)

    @property
    def next_deadline_s(self) -> float | None:
        """When the next time is up or the next execution is past keeping."""
        times = (self._time_outs.next_s(), self._expiries.next_s())
        return min((time for time in times if time is not None), default=None)

    def _no_longer_awaited(self, execution: Execution) -> None:
        self._time_outs.cancel(execution.execution_id)
        awaited = self._awaited.get(execution.target_arn)
        if awaited is not None:
            awaited.discard(execution.execution_id)
            if not awaited:
                del self._awaited[execution.target_arn]

    def _weigh(self, execution: Execution) -> None:
        """Count an execution's documents and forget the oldest while there is too much."""
        key = execution.execution_id
        size = len(msgspec.json.encode((execution.result, execution.parameters)))
        self._size += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        while len(self._executions) > EXECUTIONS_MAX or self._size > RESULT_BYTES_MAX:
            self.forgotten += 1
            self.forget(next(iter(self._executions)))
