"""What was executed, on disk, so that no command ever takes effect twice.

MQTT QoS 1 delivers at least once, brokers keep requests for sessions that are away, and the agent
can be killed at any instant. The ledger therefore writes an execution down *before* anything
happens (`begin`) and its outcome when it is over (`finish`). An execution that was begun and has no
outcome when the file is opened again was cut short: it becomes `FAILED INTERRUPTED` and is never
started again. An outcome that could not be sent, because there was no connection or no process any
more, waits here until it can.

A refusal has no effect that must not be repeated; it is kept for its sender's sake, so that it
stays refused when its reason has passed. Refusals have a small room of their own and push out each
other, never an execution. Beside the executions the ledger keeps one mark: whether the agent may
have left the car with a drive command in force.

Owns one SQLite file and its rules of retention; knows nothing about what a command does. Every
answer is on disk when the method returns (WAL, `synchronous=FULL`; SQLite documentation, "PRAGMA
synchronous"). One process at a time: the file is locked while it is open.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from agent.commands.protocol import ExecutionStatus, Outcome, ReasonCode, encode_outcome
from certs.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION: Final = 2
# Rows looked at for forgetting with each new execution, so that the cost of one stays bounded.
_SWEEP_ROWS: Final = 200
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS executions (
    origin     TEXT NOT NULL,
    id         TEXT NOT NULL,
    digest     BLOB NOT NULL,
    begun_s    REAL NOT NULL,
    outcome    BLOB,
    answered   INTEGER NOT NULL DEFAULT 0,
    refused    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (origin, id)
) STRICT;
CREATE INDEX IF NOT EXISTS executions_unanswered ON executions (answered) WHERE answered = 0;
CREATE INDEX IF NOT EXISTS executions_refused ON executions (refused) WHERE refused = 1;
CREATE TABLE IF NOT EXISTS control_held (id INTEGER PRIMARY KEY CHECK (id = 1)) STRICT;
"""
_FROM_VERSION_1: Final = "ALTER TABLE executions ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;"
_HOLD: Final = "INSERT OR IGNORE INTO control_held (id) VALUES (1)"
_INTERRUPTED: Final = encode_outcome(
    Outcome(
        ExecutionStatus.FAILED,
        ReasonCode.INTERRUPTED,
        "the agent ended before the command did; it was not started again",
    )
)


@dataclass(frozen=True, slots=True)
class ExecutionKey:
    """One execution: its id and the transport it came through, which have separate id spaces.

    Attributes:
        origin: Name of the transport.
        execution_id: The id.
    """

    origin: str
    execution_id: str


@dataclass(frozen=True, slots=True)
class New:
    """Never seen, and now on disk: execute it."""


@dataclass(frozen=True, slots=True)
class Replay:
    """It is over: send the recorded outcome again.

    Attributes:
        outcome: The status document as it was recorded.
        same_request: Whether this request is the one that was executed, by its digest.
    """

    outcome: bytes
    same_request: bool


@dataclass(frozen=True, slots=True)
class InFlight:
    """It is running: its outcome will follow by itself.

    Attributes:
        same_request: Whether this request is the one that runs, by its digest.
    """

    same_request: bool


@dataclass(frozen=True, slots=True)
class Full:
    """There is no room that could be freed without forgetting an id that may still come back."""


Begun: TypeAlias = New | Replay | InFlight | Full


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long ids are remembered.

    An id is forgotten only when it is older than `keep_s` *and* `keep_newest` newer ids exist *and*
    it is either older than `forget_after_s` or one of more than `max_rows`. Counting as well as
    dating protects the ledger from a clock that jumps ahead. When `max_rows` is reached and nothing
    may be forgotten, new executions are refused. Refusals are not counted among these; of them the
    newest `max_refusals` are kept.

    Attributes:
        max_rows: Bound of the executions, about 300 bytes a row.
        max_refusals: Bound of the refusals.
        keep_s: No id is forgotten before this age.
        keep_newest: Nor while it is among this many newest ids.
        forget_after_s: Older ids are not needed; MQTT brokers keep a message a week at most.
    """

    max_rows: int = 50_000
    max_refusals: int = 1_000
    keep_s: float = 24 * 3600.0
    keep_newest: int = 1_000
    forget_after_s: float = 7 * 24 * 3600.0


class Ledger:
    """The ledger in one SQLite file.

    Invariants: `begin` answers `New` at most once for a key for as long as the key is remembered,
    whatever happens to the process between any two statements; an outcome never changes.

    Args:
        path: The file; its folder is created.
        retention: How long ids are remembered.

    Attributes:
        warning: What was wrong with the file found at opening, or `None`. A damaged file is moved
            aside and a new ledger is begun.
        interrupted: Executions that were found without an outcome at opening. With any, control
            counts as held.
        control_is_held: Whether the agent, or one before it, answers for what the car does.
        forgotten: Ids forgotten since opening.

    Raises:
        StorageError: The file cannot be created or written, is open in another process, or was
            written by a newer release.
    """

    def __init__(self, path: Path, retention: Retention | None = None) -> None:
        self._path = path
        self._retention = retention or Retention()
        self._answered: set[ExecutionKey] = set()
        self.warning: str | None = None
        self.forgotten = 0
        with self._storage("be opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
            self.interrupted = self._close_interrupted()
            self._rows = self._count(refused=False)
            self._refusals = self._count(refused=True)
            held = self._db.execute("SELECT count(*) FROM control_held").fetchone()[0]
            self.control_is_held: bool = held > 0

    # -- executions -------------------------------------------------------------------------

    def look_up(self, key: ExecutionKey, digest: bytes) -> Replay | InFlight | None:
        """What is known of an execution, without beginning it.

        Raises:
            StorageError: The file cannot be read.
        """
        with self._storage("be read"):
            row = self._db.execute(
                "SELECT digest, outcome FROM executions WHERE origin = ? AND id = ?",
                (key.origin, key.execution_id),
            ).fetchone()
        if row is None:
            return None
        same = row[0] == digest
        return InFlight(same) if row[1] is None else Replay(row[1], same)

    def begin(
        self,
        key: ExecutionKey,
        digest: bytes,
        now_s: float,
        outcome: bytes | None = None,
        *,
        refused: bool = False,
    ) -> Begun:
        """Write down that an execution begins, unless it is known.

        Args:
            key: The execution.
            digest: Digest of the request, to tell a redelivery from an id used twice.
            now_s: Wall clock, Unix seconds.
            outcome: Its outcome, when it is over already.
            refused: Whether that outcome is a refusal, which takes none of the executions' room.

        Returns:
            `New` exactly once for a key; then `InFlight` until `finish`, then `Replay`.

        Raises:
            StorageError: It could not be written; it has not begun.
        """
        known = self.look_up(key, digest)
        if known is not None:
            return known
        with self._storage("be written"), self._transaction():
            forgotten = self._forget(now_s)
            pushed_out = self._push_out_refusals() if refused else 0
            has_room = refused or self._rows - forgotten < self._retention.max_rows
            if has_room:
                self._flush_answered()
                self._db.execute(
                    "INSERT INTO executions (origin, id, digest, begun_s, outcome, refused)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (key.origin, key.execution_id, digest, now_s, outcome, refused),
                )
        self.forgotten += forgotten
        self._rows -= forgotten
        if not has_room:
            return Full()
        self._rows += not refused
        self._refusals += refused - pushed_out
        return New()

    def finish(self, key: ExecutionKey, outcome: bytes, *, refused: bool = False) -> None:
        """Write down how an execution ended. The first outcome stands.

        Args:
            key: The execution.
            outcome: Its outcome.
            refused: Whether it never took effect; it then gives its room back.

        Raises:
            StorageError: It could not be written; after a restart the execution will read
                `FAILED INTERRUPTED`.
        """
        with self._storage("be written"), self._transaction():
            self._flush_answered()
            pushed_out = self._push_out_refusals() if refused else 0
            ended = self._db.execute(
                "UPDATE executions SET outcome = ?, refused = ?"
                " WHERE origin = ? AND id = ? AND outcome IS NULL",
                (outcome, refused, key.origin, key.execution_id),
            ).rowcount
        self._refusals -= pushed_out
        if refused:
            self._rows -= ended
            self._refusals += ended

    def hold_control(self, held: bool) -> None:
        """Note whether the agent answers for what the car does, also after it was killed.

        Raises:
            StorageError: It could not be written; the mark is as it was.
        """
        with self._storage("be written"), self._transaction():
            self._db.execute(_HOLD if held else "DELETE FROM control_held")
        self.control_is_held = held

    # -- answers that wait ------------------------------------------------------------------

    def mark_answered(self, key: ExecutionKey) -> None:
        """Note that the outcome was handed to the broker connection.

        It is written with the next execution or at `close`; a crash before that costs one repeated
        answer, which changes nothing for its receiver.
        """
        self._answered.add(key)

    def unanswered(self, limit: int = 100) -> list[tuple[ExecutionKey, bytes]]:
        """Outcomes that were not handed to a connection yet, oldest first, at most `limit`.

        Raises:
            StorageError: The file cannot be read.
        """
        with self._storage("be read"):
            rows = self._db.execute(
                "SELECT origin, id, outcome FROM executions"
                " WHERE answered = 0 AND outcome IS NOT NULL ORDER BY rowid LIMIT ?",
                (limit + len(self._answered),),
            ).fetchall()
        found = [(ExecutionKey(origin, id_), outcome) for origin, id_, outcome in rows]
        return [item for item in found if item[0] not in self._answered][:limit]

    def close(self) -> None:
        """Write what is pending and release the file. Closing twice is harmless."""
        with contextlib.suppress(sqlite3.Error), self._transaction():
            self._flush_answered()
        self._db.close()

    # -- inside -----------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._path)
        except sqlite3.OperationalError:
            # Locked, read-only, no space: the file itself may be sound.
            raise
        except sqlite3.DatabaseError as error:
            aside = _move_aside(self._path)
            self.warning = (
                f"the command ledger {self._path} was damaged ({error}) and was moved to {aside};"
                " commands executed before now are not remembered"
            )
            return _connect(self._path)

    def _close_interrupted(self) -> list[ExecutionKey]:
        with self._transaction():
            rows = self._db.execute(
                "UPDATE executions SET outcome = ?, answered = 0 WHERE outcome IS NULL"
                " RETURNING origin, id",
                (_INTERRUPTED,),
            ).fetchall()
            if rows:
                self._db.execute(_HOLD)
        return [ExecutionKey(origin, execution_id) for origin, execution_id in rows]

    def _count(self, *, refused: bool) -> int:
        query = "SELECT count(*) FROM executions WHERE refused = ?"
        count: int = self._db.execute(query, (refused,)).fetchone()[0]
        return count

    def _push_out_refusals(self) -> int:
        """Make room for one refusal; returns how many went."""
        excess = self._refusals + 1 - self._retention.max_refusals
        if excess <= 0:
            return 0
        return self._db.execute(
            "DELETE FROM executions WHERE rowid IN"
            " (SELECT rowid FROM executions WHERE refused = 1 ORDER BY rowid LIMIT ?)",
            (excess,),
        ).rowcount

    def _forget(self, now_s: float) -> int:
        rules = self._retention
        candidates = min(_SWEEP_ROWS, self._rows - rules.keep_newest)
        if candidates <= 0:
            return 0
        cursor = self._db.execute(
            "DELETE FROM executions WHERE rowid IN (SELECT rowid FROM ("
            " SELECT rowid, begun_s, outcome, row_number() OVER (ORDER BY rowid) AS place"
            " FROM (SELECT rowid, begun_s, outcome FROM executions WHERE refused = 0"
            " ORDER BY rowid LIMIT ?)"
            ") WHERE outcome IS NOT NULL AND begun_s < ? AND (begun_s < ? OR place <= ?))",
            (
                candidates,
                now_s - rules.keep_s,
                now_s - rules.forget_after_s,
                self._rows + 1 - rules.max_rows,
            ),
        )
        return cursor.rowcount

    def _flush_answered(self) -> None:
        self._db.executemany(
            "UPDATE executions SET answered = 1 WHERE origin = ? AND id = ?",
            [(key.origin, key.execution_id) for key in self._answered],
        )
        self._answered.clear()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # The statement that failed may have rolled back by itself.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _storage(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, StorageError):
                raise
            remedy = "check free space and permissions of its folder"
            if "locked" in str(error):
                remedy = "another agent uses it: stop that one, or give this one its own ledger"
            raise StorageError(
                f"the command ledger {self._path} cannot {verb}: {error}", remedy
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=0.0)
    try:
        # EXCLUSIVE keeps a second agent from declaring this one's running executions interrupted.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        upgrade = _FROM_VERSION_1 if _checked_version(db, path) == 1 else ""
        db.executescript(f"BEGIN; {upgrade} {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _checked_version(db: sqlite3.Connection, path: Path) -> int:
    verdict = db.execute("PRAGMA quick_check").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= _VERSION:
        raise StorageError(
            f"the command ledger {path} has format {version}; this release knows {_VERSION}",
            "use the release that wrote it, or give this one its own ledger",
        )
    return version


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        # A log without its database would be replayed into the new one.
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
