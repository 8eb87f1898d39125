"""The data directory: one SQLite file in which everything is kept, and its lock.

Why SQLite and not a file that is replaced: a save then costs what changed and not what there is,
and is still one step, since it is one transaction. Whoever is killed at any instant, also while
saving, leaves the last save that was complete (WAL journal; SQLite documentation, "Atomic commit").
`synchronous=FULL` makes that true of a power cut as well, for one flush per save.

One process at a time: the file is locked while it is open, by the system, so that the lock is gone
with its process however that ended, on Windows too (`locking_mode=EXCLUSIVE`). The file holds what
devices sent and is readable by its owner only.

Every record carries a checksum over its key and value; damage is reported, never guessed around.
Knows nothing about what records mean. Methods block; one thread at a time may use an object.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from certs.errors import StorageError
from simulator.iotcore.persistence.records import FORMAT_VERSION, Change, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FILE_NAME: Final = "core.sqlite3"
RECORDS_MAX: Final = 20_000_000
"""More records than this are not read; the broker's own bounds are far below."""

# "MCOR": tells the file from other SQLite files.
_APPLICATION_ID: Final = 0x4D43_4F52
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS records (
    kind  TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;
CREATE TABLE IF NOT EXISTS save (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    unix_s  REAL NOT NULL
) STRICT;
"""
# An upsert keeps the place of a row, so that sessions come back in the order they were made.
_PUT: Final = """
INSERT INTO records (kind, key, value) VALUES (?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value
"""
_TAKE: Final = "DELETE FROM records WHERE kind = ? AND key = ?"
_SAVED: Final = """
INSERT INTO save (id, unix_s) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET unix_s = excluded.unix_s
"""
_CHECKSUM_BYTES: Final = 4
_ROWS_A_TURN: Final = 32
_SMALLEST_BYTES: Final = 4096
"""A page, of which every database has one."""
_JOURNAL_BYTES_MAX: Final = 16 * 1024 * 1024
"""To this the journal is cut after a save that took more."""


class Contents(NamedTuple):
    """What a data directory held when it was opened.

    Attributes:
        saved_unix_s: When it was saved last; None when it never was.
        records: Every record, in the order they were first written.
    """

    saved_unix_s: float | None
    records: list[tuple[Kind, str, bytes]]


class DataDirectory:
    """A data directory, opened by this process.

    Args:
        path: The folder. It is made when missing.

    Raises:
        StorageError: Another process uses it, it cannot be used, or its file is damaged or of
            another release.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / FILE_NAME
        self._in_transaction = False
        with self._storage("opened"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
                os.close(os.open(self.file, flags, 0o600))
            self.file.chmod(0o600)
            if 0 < self.file.stat().st_size < _SMALLEST_BYTES:
                # SQLite would take it for a new one.
                raise self.damaged("it is cut off")
            self._db = sqlite3.connect(
                self.file, isolation_level=None, timeout=0.0, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def read(self) -> Contents:
        """Everything in it.

        Raises:
            StorageError: The file is damaged.
        """
        records: list[tuple[Kind, str, bytes]] = []
        with self._storage("read"):
            saved = self._db.execute("SELECT unix_s FROM save").fetchone()
            for kind, key, sealed in self._db.execute(
                "SELECT kind, key, value FROM records ORDER BY rowid"
            ):
                value = sealed[_CHECKSUM_BYTES:]
                if sealed[:_CHECKSUM_BYTES] != _checksum(kind, key, value):
                    raise self.damaged(f"the record of {kind} {key[:80]!r} has a wrong checksum")
                if len(records) >= RECORDS_MAX:
                    raise self.damaged(f"it has more than {RECORDS_MAX} records")
                records.append((Kind(kind), key, value))
        return Contents(saved[0] if saved else None, records)

    def clear(self) -> None:
        """Take everything out, as a part of the next `commit`.

        Raises:
            StorageError: The system refuses.
        """
        with self._changing():
            self._db.execute("DELETE FROM records")

    def write(self, changes: Iterable[Change], *, is_in_background: bool = True) -> None:
        """Put records in and take records out, as a part of the next `commit`.

        Args:
            changes: In order.
            is_in_background: Whether another thread has more important things to do.

        Raises:
            StorageError: The system refuses; what was written since the last `commit` is undone.
        """
        with self._changing():
            for position, (kind, key, value) in enumerate(changes, start=1):
                if is_in_background and not position % _ROWS_A_TURN:
                    # Without a pause a waiting thread gets its turn only every 5 ms.
                    time.sleep(0.0001)
                if value is None:
                    self._db.execute(_TAKE, (kind.value, key))
                else:
                    sealed = _checksum(kind.value, key, value) + value
                    self._db.execute(_PUT, (kind.value, key, sealed))

    def commit(self, saved_unix_s: float) -> None:
        """Make everything written since the last time durable, in one step.

        Args:
            saved_unix_s: The time now.

        Raises:
            StorageError: The system refuses; what was written since the last `commit` is undone.
        """
        with self._changing():
            self._db.execute(_SAVED, (saved_unix_s,))
            self._db.execute("COMMIT")
            self._in_transaction = False

    def undo(self) -> None:
        """Forget what was written since the last `commit`."""
        if self._in_transaction:
            self._in_transaction = False
            # The statement that failed may have rolled back by itself.
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Release the file, without what was not committed. Closing twice is harmless."""
        self.undo()
        self._db.close()

    def damaged(self, why: str) -> StorageError:
        """The error to raise when what was read makes no sense."""
        return StorageError(
            f"the data file {self.file} is damaged: {why}",
            "move it away to start with nothing, or put a copy of it back",
        )

    # Inside

    def _prepare(self) -> None:
        db = self._db
        db.execute(f"PRAGMA page_size = {_SMALLEST_BYTES}")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES_MAX}")
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise self.damaged(verdict)
        (application_id,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if (application_id, version) == (_APPLICATION_ID, FORMAT_VERSION):
            return
        is_new = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if not is_new and application_id != _APPLICATION_ID:
            raise StorageError(
                f"{self.file} was not made by this program", "name another data directory"
            )
        if not is_new:
            raise StorageError(
                f"the data file {self.file} has format {version}; this release knows "
                f"{FORMAT_VERSION}",
                "use the release that wrote it, or name another data directory",
            )
        db.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
            f" PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
        )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._storage("written"):
            try:
                if not self._in_transaction:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._in_transaction = True
                yield
            except BaseException:
                self.undo()
                raise

    @contextmanager
    def _storage(self, participle: str) -> Iterator[None]:
        try:
            yield
        except StorageError:
            # It is an OSError too, and says already what is wrong.
            raise
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StorageError(
                    f"the data directory {self.path} is in use by another process",
                    "stop that one, or name another data directory",
                ) from error
            raise self._failed(participle, error) from error
        except (sqlite3.Error, ValueError) as error:
            raise self.damaged(str(error)) from error
        except OSError as error:
            raise self._failed(participle, error) from error

    def _failed(self, participle: str, error: Exception) -> StorageError:
        return StorageError(
            f"the data directory {self.path} cannot be {participle}: {error}",
            "check that the folder exists, its permissions and the free space",
        )


def _checksum(kind: str, key: str, value: bytes) -> bytes:
    seed = zlib.crc32(f"{kind}\0{key}\0".encode("utf-8", "surrogatepass"))
    return zlib.crc32(value, seed).to_bytes(_CHECKSUM_BYTES, "big")
