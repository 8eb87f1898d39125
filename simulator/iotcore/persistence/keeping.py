"""Keeping a broker's state in a data directory while it runs.

Owns the rhythm: everything is put back before the broker listens, then a save at once and every few
seconds when something changed, and one at the end when all connections are closed. A process that
is killed loses at most what happened since its last complete save. The event loop gives a save a
few milliseconds at a time; the disk is another thread's. A save that fails is logged, and the next
one writes everything.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from certs.errors import StorageError
from simulator.iotcore.persistence.directory import DataDirectory
from simulator.iotcore.persistence.mirror import Mirror
from simulator.iotcore.persistence.parts import Parts
from simulator.iotcore.persistence.restoring import Restoring, Stored, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.clock import Clock
    from simulator.iotcore.persistence.parts import Part
    from simulator.iotcore.persistence.records import Change

log = structlog.get_logger(__name__)

SAVE_EVERY_S: Final = 5.0
_SLICE_S: Final = 0.002
"""After this long the event loop is given back; one step may make it a little longer."""
_BATCH_BYTES: Final = 1024 * 1024
_BATCH_CHANGES: Final = 1_000


class Persistence:
    """The data directory of one stand-in. Use it as `with Persistence(path) as persistence`.

    Give it the parts of the account with `load`, then `start` it with a broker that does not listen
    yet, and `stop` it when the last connection is closed. It may be started again after that.

    Args:
        path: The data directory. It is made when missing, and this process's alone until `close`.
        every_s: Time from one save to the next.

    Attributes:
        saves: Complete saves.
        failed_saves: Saves that the system refused.
        saved_unix_s: When the last complete save was, by this process or an earlier one; None
            before the first.

    Raises:
        StorageError: Another process uses it, it cannot be used, or its content is damaged.
    """

    def __init__(self, path: Path, every_s: float = SAVE_EVERY_S) -> None:
        self.saves = 0
        self.failed_saves = 0
        self.saved_unix_s: float | None = None
        self._every_s = every_s
        self._parts = Parts()
        self._mirror: Mirror | None = None
        self._task: asyncio.Task[None] | None = None
        self._stored: Stored | None = None
        self._directory = DataDirectory(path)
        try:
            self._read()
        except BaseException:
            self._directory.close()
            raise

    @property
    def path(self) -> Path:
        """The data directory."""
        return self._directory.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the directory. Closing twice is harmless."""
        self._directory.close()

    def load(self, parts: Mapping[str, Part]) -> None:
        """Give parts of the account what they had, and keep them from now on.

        Call it as often as there is something new, before `start`; in the mapping's order, and once
        for each name.

        Raises:
            StorageError: What one of them had is damaged.
        """
        documents = self._read().documents
        for name, part in parts.items():
            try:
                self._parts.add(name, part, documents)
            except ValueError as error:
                raise self._directory.damaged(f"{name}: {error}") from error

    def start(self, broker: Broker, clock: Clock) -> None:
        """Put sessions and messages back, and save from now on.

        Args:
            broker: One that has none yet.
            clock: Its clock.

        Raises:
            StorageError: The content is damaged.
        """
        stored, self._stored = self._read(), None
        now_s = clock.now_s()
        restoring = Restoring(
            stored,
            broker.lifetimes,
            broker.retained,
            broker.counters,
            unix_s_at_zero=clock.unix_s_at_zero,
            now_s=now_s,
        )
        restoring.run()
        broker.advance(now_s)
        log.info(
            "core.restored",
            directory=str(self.path),
            sessions=len(broker.lifetimes.sessions),
            retained=len(broker.retained),
        )
        self._broker, self._clock, self._mirror = broker, clock, None
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Save what there is now, as the last thing.

        Raises:
            StorageError: The system refuses; what was saved before is still there.
        """
        if self._task is None:
            return
        self._stopping.set()
        task, self._task = self._task, None
        await task
        await self._save(is_last=True)

    def status(self) -> dict[str, Any]:
        """What it did, as a JSON document."""
        return {
            "directory": str(self.path),
            "every_s": self._every_s,
            "saves": self.saves,
            "failed_saves": self.failed_saves,
            "saved_unix_s": self.saved_unix_s,
        }

    def _read(self) -> Stored:
        """What the directory holds, read once until `start` has used it."""
        if self._stored is None:
            contents = self._directory.read()
            self.saved_unix_s = contents.saved_unix_s
            try:
                self._stored = read(contents.records, contents.saved_unix_s or 0.0)
            except ValueError as error:
                raise self._directory.damaged(str(error)) from error
        return self._stored

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._save(is_last=False)
            except StorageError as error:
                log.warning("core.save_failed", what=error.what, remedy=error.remedy)
            except Exception:
                # A defect of ours must not end the saving.
                log.exception("core.save_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._stopping.wait()

    async def _save(self, *, is_last: bool) -> None:
        directory = self._directory
        # Without a mirror the next save writes everything.
        mirror, self._mirror = self._mirror, None
        try:
            if mirror is None:
                mirror = Mirror(self._clock.unix_s_at_zero)
                self._parts.forget()
                await asyncio.to_thread(directory.clear)
            if await self._write(mirror, is_last=is_last) or mirror.open_sessions or is_last:
                unix_s = self._clock.unix_s()
                await asyncio.to_thread(directory.commit, unix_s)
                self.saves += 1
                self.saved_unix_s = unix_s
        except Exception:
            self.failed_saves += 1
            await asyncio.to_thread(directory.undo)
            raise
        self._mirror = mirror

    async def _write(self, mirror: Mirror, *, is_last: bool) -> bool:
        """Write every change, a little at a time; whether there was any."""
        has_changes = False
        batch: list[Change] = []
        batch_bytes = 0
        # At the end there is nobody left to be polite to.
        write = partial(self._directory.write, is_in_background=not is_last)
        broker = self._broker
        steps = chain(
            mirror.changes(broker.lifetimes, broker.retained),
            self._parts.changes(time.perf_counter, is_last=is_last),
        )
        pause_at_s = time.perf_counter() + _SLICE_S
        for step in steps:
            if step is not None:
                batch.append(step)
                batch_bytes += len(step.value or b"")
                if batch_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_CHANGES:
                    await asyncio.to_thread(write, batch)
                    has_changes, batch, batch_bytes = True, [], 0
            if time.perf_counter() >= pause_at_s:
                await asyncio.sleep(0)
                pause_at_s = time.perf_counter() + _SLICE_S
        if batch:
            await asyncio.to_thread(write, batch)
        return has_changes or bool(batch)
