"""What the ledger has to be told and was not told yet: it acts already, or the disk is full.

Owns the memory that stands in for the ledger meanwhile, so that a sender hears the same answer
however often it asks and nothing takes effect twice while the process lives. Holds at most
`MAX_UNWRITTEN` executions; one more pushes out the oldest the ledger has never heard of, and a
redelivery of that one is taken for new. Knows nothing of what a command does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.commands.ledger import Full, InFlight, Replay
from certs.errors import StorageError

if TYPE_CHECKING:
    from agent.commands.ledger import ExecutionKey, Ledger

MAX_UNWRITTEN: Final = 256
# How long a write that failed is not tried again: each failure doubles it up to the longest.
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0


@dataclass(slots=True)
class Unwritten:
    """One execution that the ledger does not know, or whose outcome it does not know.

    Attributes:
        digest: Digest of the request; empty when the ledger has it.
        arrived_s: Wall clock of its arrival.
        begun: Whether the ledger knows that it began.
        outcome: Its final status document; `None` while it runs.
        refused: Whether it never took effect.
        answered: Whether the outcome was handed to the broker connection.
    """

    digest: bytes
    arrived_s: float
    begun: bool = False
    outcome: bytes | None = None
    refused: bool = False
    answered: bool = False


class Backlog:
    """Writes that wait, tried again with growing pauses.

    Args:
        ledger: Where they go.

    Attributes:
        failures: Writes that failed.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._items: dict[ExecutionKey, Unwritten] = {}
        self._held = ledger.control_is_held
        self._retry_mono_s = -math.inf
        self._pause_s = FIRST_RETRY_S
        self.failures = 0

    def __len__(self) -> int:
        return len(self._items)

    def look_up(self, key: ExecutionKey, digest: bytes) -> Replay | InFlight | None:
        """What is known here of an execution; the ledger is asked after this."""
        item = self._items.get(key)
        if item is None:
            return None
        same = not item.digest or item.digest == digest
        return InFlight(same) if item.outcome is None else Replay(item.outcome, same)

    def add(self, key: ExecutionKey, item: Unwritten) -> None:
        """Remember an execution until it is written down."""
        if key not in self._items and len(self._items) >= MAX_UNWRITTEN:
            unknown = (old for old, kept in self._items.items() if not kept.begun)
            del self._items[next(unknown, next(iter(self._items)))]
        self._items[key] = item

    def finish(self, key: ExecutionKey, outcome: bytes, *, refused: bool, answered: bool) -> None:
        """Take the outcome of any execution, of which the ledger may know the beginning."""
        item = self._items.get(key) or Unwritten(b"", 0.0, begun=True)
        item.outcome, item.refused, item.answered = outcome, refused, answered
        self.add(key, item)

    def hold_control(self, held: bool) -> None:
        """Take the mark that the agent answers for what the car does."""
        self._held = held

    def unanswered(self) -> list[tuple[ExecutionKey, bytes]]:
        """Outcomes that were not handed to a connection yet; from now on they count as handed."""
        owed = []
        for key, item in self._items.items():
            if item.outcome is not None and not item.answered:
                item.answered = True
                owed.append((key, item.outcome))
        return owed

    def write(self, mono_s: float, *, at_once: bool = False) -> None:
        """Write down what waits, unless the last failure is too recent.

        Args:
            mono_s: Monotonic time, seconds.
            at_once: Try however recent it is.
        """
        if not self._is_due or (mono_s < self._retry_mono_s and not at_once):
            return
        try:
            if self._held != self._ledger.control_is_held:
                self._ledger.hold_control(self._held)
            full = [key for key in list(self._items) if not self._write(key)]
        except StorageError:
            self.failures += 1
            all_written = False
        else:
            all_written = not full
        if all_written:
            self._retry_mono_s, self._pause_s = -math.inf, FIRST_RETRY_S
        else:
            self._retry_mono_s = mono_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)

    @property
    def deadline_s(self) -> float:
        """Monotonic time at which `write` has something to do: minus infinity for now."""
        return self._retry_mono_s if self._is_due else math.inf

    @property
    def _is_due(self) -> bool:
        return bool(self._items) or self._held != self._ledger.control_is_held

    def _write(self, key: ExecutionKey) -> bool:
        item = self._items[key]
        if not item.begun:
            begun = self._ledger.begin(
                key, item.digest, item.arrived_s, item.outcome, refused=item.refused
            )
            if isinstance(begun, Full):
                return False
            item.begun = True
        elif item.outcome is not None:
            self._ledger.finish(key, item.outcome, refused=item.refused)
        if item.answered:
            self._ledger.mark_answered(key)
        del self._items[key]
        return True
