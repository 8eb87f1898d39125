from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.commands.ledger import ExecutionKey, Full, InFlight, Ledger, New, Replay, Retention
from agent.commands.protocol import decode_outcome
from certs.errors import StorageError

KEY = ExecutionKey("aws", "id-1")
DIGEST = b"d" * 32
HOUR_S = 3600.0


def _key(number: int) -> ExecutionKey:
    return ExecutionKey("aws", f"id-{number}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger may be made."""
    return tmp_path / "data" / "commands.sqlite"


def test_an_execution_is_new_once(path: Path) -> None:
    """The first delivery is new, a second in flight, and after the end each is a replay."""
    ledger = Ledger(path)

    assert ledger.begin(KEY, DIGEST, 0.0) == New()
    assert ledger.begin(KEY, DIGEST, 1.0) == InFlight(same_request=True)
    ledger.finish(KEY, b"outcome")
    assert ledger.begin(KEY, DIGEST, 2.0) == Replay(b"outcome", same_request=True)
    assert ledger.look_up(KEY, DIGEST) == Replay(b"outcome", same_request=True)
    ledger.close()


def test_an_id_used_for_another_request_is_told_apart(path: Path) -> None:
    """The digest says whether a known id came with the same request."""
    ledger = Ledger(path)
    ledger.begin(KEY, DIGEST, 0.0)

    assert ledger.begin(KEY, b"other", 0.0) == InFlight(same_request=False)
    ledger.finish(KEY, b"outcome")
    assert ledger.begin(KEY, b"other", 0.0) == Replay(b"outcome", same_request=False)
    ledger.close()


def test_transports_have_separate_ids(path: Path) -> None:
    """The same id through another transport is another execution."""
    ledger = Ledger(path)
    ledger.begin(KEY, DIGEST, 0.0)

    assert ledger.begin(ExecutionKey("plain", "id-1"), DIGEST, 0.0) == New()
    ledger.close()


def test_the_first_outcome_stands(path: Path) -> None:
    """A second finish changes nothing."""
    ledger = Ledger(path)
    ledger.begin(KEY, DIGEST, 0.0)
    ledger.finish(KEY, b"first")
    ledger.finish(KEY, b"second")

    assert ledger.look_up(KEY, DIGEST) == Replay(b"first", same_request=True)
    ledger.close()


def test_a_refusal_is_recorded_in_one_step(path: Path) -> None:
    """An execution may begin with its outcome."""
    ledger = Ledger(path)

    assert ledger.begin(KEY, DIGEST, 0.0, b"rejected") == New()
    assert ledger.begin(KEY, DIGEST, 0.0) == Replay(b"rejected", same_request=True)
    ledger.close()


def test_everything_survives_reopening(path: Path) -> None:
    """A finished execution is remembered, an unfinished one reads FAILED INTERRUPTED."""
    ledger = Ledger(path)
    ledger.begin(_key(1), DIGEST, 0.0)
    ledger.finish(_key(1), b"done")
    ledger.begin(_key(2), DIGEST, 0.0)
    ledger.close()

    ledger = Ledger(path)

    assert ledger.interrupted == [_key(2)]
    assert ledger.look_up(_key(1), DIGEST) == Replay(b"done", same_request=True)
    interrupted = ledger.look_up(_key(2), DIGEST)
    assert isinstance(interrupted, Replay)
    outcome = decode_outcome(interrupted.outcome)
    assert (outcome.status, outcome.reason) == ("FAILED", "INTERRUPTED")
    ledger.close()


def test_answers_wait_until_they_were_handed_over(path: Path) -> None:
    """Unanswered outcomes are listed oldest first, also by the next process, until marked."""
    ledger = Ledger(path)
    for number in range(3):
        ledger.begin(_key(number), DIGEST, 0.0, b"%d" % number)
    ledger.mark_answered(_key(1))
    assert ledger.unanswered() == [(_key(0), b"0"), (_key(2), b"2")]
    assert ledger.unanswered(limit=1) == [(_key(0), b"0")]
    ledger.close()

    ledger = Ledger(path)
    assert ledger.unanswered() == [(_key(0), b"0"), (_key(2), b"2")]
    ledger.close()


def test_ids_are_kept_and_forgotten_by_rule(path: Path) -> None:
    """Of old ids only those beyond the row bound go, oldest first, and each is counted."""
    rules = Retention(max_rows=10, keep_s=HOUR_S, keep_newest=2, forget_after_s=100 * HOUR_S)
    ledger = Ledger(path, rules)
    for number in range(10):
        ledger.begin(_key(number), DIGEST, 0.0, b"x")
    assert ledger.begin(_key(10), DIGEST, 2 * HOUR_S, b"x") == New()

    assert ledger.forgotten == 1
    assert ledger.look_up(_key(0), DIGEST) is None
    assert ledger.look_up(_key(1), DIGEST) is not None
    ledger.close()


def test_very_old_ids_go_without_pressure(path: Path) -> None:
    """Ids older than any broker keeps a message are forgotten, but never the newest ones."""
    rules = Retention(max_rows=100, keep_s=HOUR_S, keep_newest=2, forget_after_s=10 * HOUR_S)
    ledger = Ledger(path, rules)
    for number in range(5):
        ledger.begin(_key(number), DIGEST, 0.0, b"x")
    ledger.begin(_key(5), DIGEST, 11 * HOUR_S, b"x")

    assert ledger.forgotten == 3
    assert [ledger.look_up(_key(number), DIGEST) is None for number in range(6)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    ledger.close()


def test_a_full_ledger_refuses_rather_than_forgets(path: Path) -> None:
    """When every id is young there is no room, and known ids still answer."""
    ledger = Ledger(path, Retention(max_rows=3, keep_newest=0))
    for number in range(3):
        ledger.begin(_key(number), DIGEST, 0.0, b"x")

    assert ledger.begin(_key(3), DIGEST, 1.0) == Full()
    assert ledger.look_up(_key(3), DIGEST) is None
    assert ledger.begin(_key(0), DIGEST, 1.0) == Replay(b"x", same_request=True)
    ledger.close()


def test_a_clock_that_jumps_ahead_does_not_empty_the_ledger(path: Path) -> None:
    """The newest ids stay whatever date it is."""
    ledger = Ledger(path, Retention(keep_newest=50))
    for number in range(50):
        ledger.begin(_key(number), DIGEST, 0.0, b"x")

    ledger.begin(_key(50), DIGEST, 2_000_000_000.0)

    assert ledger.forgotten == 0
    ledger.close()


def test_a_running_execution_is_never_forgotten(path: Path) -> None:
    """An execution without an outcome stays, however old."""
    ledger = Ledger(path, Retention(max_rows=100, keep_newest=0))
    ledger.begin(_key(0), DIGEST, 0.0)
    ledger.begin(_key(1), DIGEST, 1e9)

    assert ledger.look_up(_key(0), DIGEST) == InFlight(same_request=True)
    ledger.close()


@pytest.mark.parametrize(
    "damage", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_moved_aside(path: Path, damage: bytes) -> None:
    """The agent starts with an empty ledger, says so, and keeps the damaged file."""
    path.parent.mkdir()
    path.write_bytes(damage)

    ledger = Ledger(path)

    assert ledger.warning is not None
    assert "damaged-1" in ledger.warning
    assert ledger.begin(KEY, DIGEST, 0.0) == New()
    assert path.with_name("commands.sqlite.damaged-1").read_bytes() == damage
    ledger.close()


def test_a_second_damaged_file_does_not_replace_the_first(path: Path) -> None:
    """Each damaged file gets its own number."""
    path.parent.mkdir()
    for content in (b"first" * 300, b"second" * 300):
        path.write_bytes(content)
        Ledger(path).close()
        path.unlink()

    assert path.with_name("commands.sqlite.damaged-1").read_bytes() == b"first" * 300
    assert path.with_name("commands.sqlite.damaged-2").read_bytes() == b"second" * 300


def test_a_sound_ledger_gives_no_warning(path: Path) -> None:
    """Opening twice in a row finds nothing wrong."""
    Ledger(path).close()
    ledger = Ledger(path)

    assert ledger.warning is None
    assert ledger.interrupted == []
    ledger.close()


def test_only_one_process_may_have_it(path: Path) -> None:
    """A second opening is refused and leaves the running executions alone."""
    ledger = Ledger(path)
    ledger.begin(KEY, DIGEST, 0.0)

    with pytest.raises(StorageError, match="another agent"):
        Ledger(path)

    assert ledger.look_up(KEY, DIGEST) == InFlight(same_request=True)
    ledger.close()


def test_a_newer_format_is_not_touched(path: Path) -> None:
    """A file of a later release is an error with its version, not a damaged file."""
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(StorageError, match="format 99"):
        Ledger(path)
    assert not list(path.parent.glob("*.damaged*"))


def test_an_unusable_place_is_a_storage_error(tmp_path: Path) -> None:
    """A folder that is a file, and a file that is a folder, are told with a remedy."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()

    for place in (tmp_path / "file" / "ledger", tmp_path / "folder"):
        with pytest.raises(StorageError, match="check free space"):
            Ledger(place)


def test_a_closed_ledger_raises_storage_errors_only(path: Path) -> None:
    """Using it after the end is a StorageError, and closing twice is harmless."""
    ledger = Ledger(path)
    ledger.close()
    ledger.close()

    for call in (
        lambda: ledger.look_up(KEY, DIGEST),
        lambda: ledger.begin(KEY, DIGEST, 0.0),
        lambda: ledger.finish(KEY, b"x"),
        ledger.unanswered,
    ):
        with pytest.raises(StorageError):
            call()


def test_refusals_have_a_room_of_their_own(path: Path) -> None:
    """A flood of refusals pushes out the oldest of them and takes no room of the executions."""
    ledger = Ledger(path, Retention(max_rows=2, max_refusals=3, keep_newest=0))
    ledger.begin(_key(0), DIGEST, 0.0, b"done")
    for number in range(1, 11):
        assert ledger.begin(_key(number), DIGEST, 0.0, b"no", refused=True) == New()

    known = [number for number in range(11) if ledger.look_up(_key(number), DIGEST) is not None]
    assert known == [0, 8, 9, 10]
    assert ledger.begin(_key(11), DIGEST, 0.0) == New()
    assert ledger.begin(_key(12), DIGEST, 0.0) == Full()
    ledger.close()


def test_an_execution_that_ends_as_a_refusal_gives_its_room_back(path: Path) -> None:
    """What never took effect counts as a refusal, also after reopening."""
    rules = Retention(max_rows=1, max_refusals=2, keep_newest=0)
    ledger = Ledger(path, rules)
    for number in range(4):
        assert ledger.begin(_key(number), DIGEST, 0.0) == New()
        ledger.finish(_key(number), b"no", refused=True)
    ledger.close()

    ledger = Ledger(path, rules)

    assert [ledger.look_up(_key(number), DIGEST) is None for number in range(4)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert ledger.begin(_key(4), DIGEST, 0.0) == New()
    assert ledger.begin(_key(5), DIGEST, 0.0) == Full()
    ledger.close()


@pytest.mark.parametrize("orderly", [True, False])
def test_the_mark_of_control_survives_until_it_is_taken_back(path: Path, orderly: bool) -> None:
    """A killed agent's successor finds that control was held; a released one's does not."""
    ledger = Ledger(path)
    found = [ledger.control_is_held]
    for held in (True, True, False):
        ledger.hold_control(held)
        if orderly:
            ledger.close()
        else:
            ledger._db.close()
        ledger = Ledger(path)
        found.append(ledger.control_is_held)

    assert found == [False, True, True, False]
    ledger.close()


def test_an_interrupted_execution_counts_as_control(path: Path) -> None:
    """Who finds an execution without outcome also finds the mark, and so does who comes next."""
    ledger = Ledger(path)
    ledger.begin(KEY, DIGEST, 0.0)
    ledger.close()

    for _ in range(2):
        ledger = Ledger(path)
        assert ledger.control_is_held
        ledger.close()


def test_the_first_format_is_brought_up_to_date(path: Path) -> None:
    """A ledger without refusals and mark keeps its executions."""
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE executions (origin TEXT NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL,"
            " begun_s REAL NOT NULL, outcome BLOB, answered INTEGER NOT NULL DEFAULT 0,"
            " PRIMARY KEY (origin, id)) STRICT"
        )
        db.execute("INSERT INTO executions VALUES ('aws', 'id-1', ?, 0.0, ?, 1)", (DIGEST, b"done"))
        db.execute("PRAGMA user_version = 1")
    db.close()

    ledger = Ledger(path)

    assert ledger.look_up(KEY, DIGEST) == Replay(b"done", same_request=True)
    assert ledger.begin(_key(2), DIGEST, 0.0, b"no", refused=True) == New()
    assert not ledger.control_is_held
    ledger.close()


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against a dictionary, with restarts that lose nothing but the running."""

    @initialize()
    def start(self) -> None:
        """Open a fresh ledger beside an empty model."""
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.ledger = Ledger(self.path)
        self.model: dict[int, bytes | None] = {}
        self.answered: set[int] = set()

    @rule(number=st.integers(0, 8))
    def begin(self, number: int) -> None:
        """A delivery is new exactly when the model does not know it."""
        found = self.ledger.begin(_key(number), DIGEST, 0.0)
        if number not in self.model:
            assert found == New()
            self.model[number] = None
        elif self.model[number] is None:
            assert found == InFlight(same_request=True)
        else:
            assert isinstance(found, Replay)
            assert found.outcome == self.model[number]

    @rule(number=st.integers(0, 8), outcome=st.binary(max_size=5))
    def finish(self, number: int, outcome: bytes) -> None:
        """The first outcome of a begun execution is the one that stays."""
        self.ledger.finish(_key(number), outcome)
        if number in self.model and self.model[number] is None:
            self.model[number] = outcome

    @rule(number=st.integers(0, 8))
    def answer(self, number: int) -> None:
        """Mark a finished execution as answered."""
        if self.model.get(number) is not None:
            self.ledger.mark_answered(_key(number))
            self.answered.add(number)

    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        """Reopen after an orderly end, or after one in which nothing was flushed."""
        if orderly:
            self.ledger.close()
        else:
            self.ledger._db.close()
        self.ledger = Ledger(self.path)
        running = {number for number, outcome in self.model.items() if outcome is None}
        assert {key.execution_id for key in self.ledger.interrupted} == {
            f"id-{number}" for number in running
        }
        for number in running:
            found = self.ledger.look_up(_key(number), DIGEST)
            assert isinstance(found, Replay)
            assert b"INTERRUPTED" in found.outcome
            self.model[number] = found.outcome
        listed = {key.execution_id for key, _ in self.ledger.unanswered()}
        finished = {f"id-{number}" for number in self.model}
        known_answered = {f"id-{number}" for number in self.answered}
        assert finished - known_answered <= listed <= finished
        if orderly:
            assert listed == finished - known_answered
        self.answered = {number for number in self.answered if f"id-{number}" not in listed}

    @invariant()
    def unanswered_are_finished(self) -> None:
        """Only finished executions that were not answered are owed an answer."""
        if not hasattr(self, "ledger"):
            return
        owed = {key.execution_id for key, _ in self.ledger.unanswered()}
        assert owed == {
            f"id-{number}"
            for number, outcome in self.model.items()
            if outcome is not None and number not in self.answered
        }

    def teardown(self) -> None:
        """Release the file."""
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
