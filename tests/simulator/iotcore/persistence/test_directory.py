"""The data directory itself: one transaction, one process, no silent damage."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.errors import StorageError
from simulator.iotcore.persistence.directory import FILE_NAME, DataDirectory
from simulator.iotcore.persistence.keeping import Persistence
from simulator.iotcore.persistence.records import Change, Kind
from simulator.iotcore.persistence.restoring import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    """A new one."""
    found = DataDirectory(tmp_path / "data")
    yield found
    found.close()


def reopened(directory: DataDirectory) -> list[tuple[Kind, str, bytes]]:
    """What it holds for the next process."""
    directory.close()
    again = DataDirectory(directory.path)
    try:
        return again.read().records
    finally:
        again.close()


def test_what_was_committed_is_there(directory: DataDirectory) -> None:
    """In order of first writing, with the time of the save, and keys of any text."""
    assert directory.read() == (None, [])
    directory.write([Change(Kind.SESSION, "ü/ 'x'", b"1"), Change(Kind.SESSION, "b", b"2")])
    directory.write([Change(Kind.RETAINED, "b", b"\x00"), Change(Kind.SESSION, "b", None)])
    directory.commit(1234.5)
    directory.write([Change(Kind.SESSION, "ü/ 'x'", b"3")])
    directory.commit(1235.5)
    assert directory.read().saved_unix_s == 1235.5
    assert reopened(directory) == [
        (Kind.SESSION, "ü/ 'x'", b"3"),
        (Kind.RETAINED, "b", b"\x00"),
    ]


@pytest.mark.parametrize("ending", ["undo", "close"])
def test_what_was_not_committed_never_happened(directory: DataDirectory, ending: str) -> None:
    """A save is one step: a process that ends in the middle of one leaves the one before."""
    directory.write([Change(Kind.SESSION, "a", b"1")])
    directory.commit(1.0)
    directory.clear()
    directory.write([Change(Kind.SESSION, "b", b"2")])
    getattr(directory, ending)()
    assert reopened(directory) == [(Kind.SESSION, "a", b"1")]


def test_a_second_user_is_refused(directory: DataDirectory) -> None:
    """Also in the same process; the message says who must go."""
    with pytest.raises(StorageError, match="in use by another process") as refused:
        DataDirectory(directory.path)
    assert "name another data directory" in refused.value.remedy
    directory.write([Change(Kind.SESSION, "a", b"1")])
    directory.commit(1.0)
    assert reopened(directory) == [(Kind.SESSION, "a", b"1")]


HOLDER = """
import sys
from pathlib import Path
from simulator.iotcore.persistence.directory import DataDirectory
from simulator.iotcore.persistence.records import Change, Kind
directory = DataDirectory(Path(sys.argv[1]))
directory.write([Change(Kind.SESSION, "saved", b"1")])
directory.commit(1.0)
directory.write([Change(Kind.SESSION, "lost", b"2")])
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_its_last_save_and_no_lock(tmp_path: Path) -> None:
    """While it runs nobody else gets in; once it is dead nothing is in the way."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready" + os.linesep.encode()
        with pytest.raises(StorageError, match="in use"):
            DataDirectory(tmp_path)
        holder.kill()
    directory = DataDirectory(tmp_path)
    assert directory.read() == (1.0, [(Kind.SESSION, "saved", b"1")])
    directory.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
def test_only_the_owner_can_read_it(directory: DataDirectory) -> None:
    """The folder, the file and the journal beside it."""
    directory.write([Change(Kind.SESSION, "a", b"1")])
    directory.commit(1.0)
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert len(modes) > 1
    assert directory.path.stat().st_mode & 0o777 == 0o700


def filled(path: Path) -> list[tuple[Kind, str, bytes]]:
    """A directory with records on many pages; gives them."""
    directory = DataDirectory(path)
    draw = random.Random(1)
    changes = [Change(Kind.SESSION, f"c{n}", draw.randbytes(1000)) for n in range(50)]
    directory.write(changes)
    directory.commit(1.0)
    directory.close()
    return [(kind, key, value or b"") for kind, key, value in changes]


def test_any_damaged_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Either the error names the file and says what to do, or everything is as it was."""
    expected = filled(tmp_path)
    file = tmp_path / FILE_NAME
    whole = file.read_bytes()
    draw = random.Random(2)
    errors = []
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= draw.randrange(1, 256)
        file.write_bytes(damaged)
        try:
            with closing(DataDirectory(tmp_path)) as directory:
                assert directory.read().records == expected
        except StorageError as error:
            errors.append(error)
    assert len(errors) > 50
    assert all(str(tmp_path) in error.what and error.remedy for error in errors)


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 4095, 5000, 30_000])
def test_a_truncated_file_is_noticed(tmp_path: Path, size: int) -> None:
    """Only an empty file is taken as a new one."""
    filled(tmp_path)
    file = tmp_path / FILE_NAME
    file.write_bytes(file.read_bytes()[:size])
    if size:
        with pytest.raises(StorageError, match="damaged"):
            Persistence(tmp_path)
    else:
        Persistence(tmp_path).close()


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    """A database of another program is not written to."""
    file = tmp_path / FILE_NAME
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = file.read_bytes()[100:]
    with pytest.raises(StorageError, match="not made by this program"):
        DataDirectory(tmp_path)
    assert file.read_bytes()[100:] == before


def test_a_file_of_a_later_release_is_refused(tmp_path: Path) -> None:
    """It says which format it has and which ones are known."""
    DataDirectory(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(StorageError, match="format 7; this release knows 1"):
        DataDirectory(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_to_act_on(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError) as refused:
        DataDirectory(tmp_path / "file" / "data")
    assert "check that the folder exists" in refused.value.remedy


@settings(deadline=None)
@given(kind=st.sampled_from(Kind), key=st.text(max_size=5), data=st.binary(max_size=200))
def test_reading_records_is_total(kind: Kind, key: str, data: bytes) -> None:
    """Any bytes are a record or a ValueError."""
    try:
        stored = read([(kind, key, data)], 0.0)
    except ValueError:
        return
    assert stored.stopped_unix_s == 0.0
