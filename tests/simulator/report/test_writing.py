"""The folder of a result, on disks that work and on disks that do not."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certs.errors import StorageError
from simulator.load.records import Event
from simulator.report.result import Result
from simulator.report.writing import ResultFile, ResultFolder, raw_result, write_report
from tests.simulator.report import records_of_a_run

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 9, 21, 8, 15, 0, tzinfo=UTC)


class FullDisk:
    """A file that takes so many bytes and then says that the disk is full."""

    def __init__(self, room: int) -> None:
        self.content = b""
        self._room = room

    def write(self, data: bytes) -> int:
        """Take what fits, as `write(2)` does."""
        taken = data[: self._room - len(self.content)]
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.content += taken
        return len(taken)

    def close(self) -> None:
        """Some file systems tell only here."""
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def test_every_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Also three that begin within one second; the folders above are made."""
    out = tmp_path / "a" / "b"
    folders = [ResultFolder(out, "city", NOW) for _ in range(3)]
    assert [folder.path.name for folder in folders] == [
        "city-20260921-081500",
        "city-20260921-081500-2",
        "city-20260921-081500-3",
    ]
    assert all(folder.path.is_dir() for folder in folders)
    assert folders[0].raw == folders[0].path / "run.jsonl"


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    """Neither its file, nor its folder, nor the folders that were made for it."""
    folder = ResultFolder(tmp_path / "a" / "b", "city", NOW)
    with ResultFile(folder.raw):
        pass
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_discarding_keeps_what_others_made(tmp_path: Path) -> None:
    """A folder that was there, or in which another run has its result, stays."""
    first = ResultFolder(tmp_path / "out", "city", NOW)
    second = ResultFolder(tmp_path / "out", "city", NOW)
    first.discard()
    assert not first.path.exists()
    assert second.path.is_dir()
    second.discard()
    assert (tmp_path / "out").is_dir()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With what to do, and without half of the way left behind."""
    (tmp_path / "taken").write_text("no folder")
    with pytest.raises(StorageError, match="taken") as caught:
        ResultFolder(tmp_path / "taken" / "out", "city", NOW)
    assert "--out" in caught.value.remedy
    with pytest.raises(StorageError, match="taken"):
        ResultFile(tmp_path / "taken" / "run.jsonl")


def test_records_are_in_the_file_at_once(tmp_path: Path) -> None:
    """A reader that looks while the run goes on finds every record so far."""
    records = records_of_a_run.records(seconds=3)
    with ResultFile(tmp_path / "run.jsonl") as file:
        for record in records:
            assert file.write(record)
        assert len(Result.read(file.path).events) == len(
            [each for each in records if isinstance(each, Event)]
        )
        assert len(file.path.read_bytes().splitlines()) == len(records)
    assert file.failure == ""


def test_a_raw_result_is_never_overwritten(tmp_path: Path) -> None:
    """It is what every report is made from."""
    path = tmp_path / "run.jsonl"
    path.write_text("precious")
    with pytest.raises(StorageError, match=r"run\.jsonl"):
        ResultFile(path)
    assert path.read_text() == "precious"


def test_a_full_disk_is_told_once(tmp_path: Path) -> None:
    """Later records are dropped in silence; what was written before can be read."""
    header, *others = records_of_a_run.records(seconds=3)
    file = ResultFile(tmp_path / "run.jsonl")
    file._file.close()
    disk = FullDisk(room=5_000)
    file._file = disk  # type: ignore[assignment]  # takes no more than it must
    with file:
        told = [file.write(record) for record in (header, *others)]
    assert told.count(False) == 1
    assert told[0] is True
    assert told[-1] is True
    assert file.failure == os.strerror(errno.ENOSPC)
    assert len(disk.content) == 5_000

    file.path.write_bytes(disk.content)
    read = Result.read(file.path)
    assert read.is_partial
    assert read.header == header


def test_a_disk_that_is_full_at_the_end_is_noticed(tmp_path: Path) -> None:
    """A file that cannot be closed may lack what was written to it."""
    file = ResultFile(tmp_path / "run.jsonl")
    file._file.close()
    file._file = FullDisk(room=10**6)  # type: ignore[assignment]  # same
    with file:
        file.write(records_of_a_run.records(seconds=1)[0])
    assert file.failure == os.strerror(errno.EDQUOT)


def test_a_folder_means_the_result_in_it(tmp_path: Path) -> None:
    """A file means itself, there or not."""
    assert raw_result(tmp_path) == tmp_path / "run.jsonl"
    assert raw_result(tmp_path / "other.jsonl") == tmp_path / "other.jsonl"


def test_a_report_is_replaced_whole(tmp_path: Path) -> None:
    """The old one stays when the new one cannot be written; nothing else is left behind."""
    path = tmp_path / "new" / "report.html"
    write_report(path, b"old")
    write_report(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(StorageError, match=r"report\.html/x"):
        write_report(path / "x", b"newer")
    assert path.read_bytes() == b"new"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is replaced."""
    (tmp_path / "latest.html").symlink_to(tmp_path / "report.html")
    write_report(tmp_path / "latest.html", b"new")
    assert (tmp_path / "latest.html").is_symlink()
    assert (tmp_path / "report.html").read_bytes() == b"new"


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A pipe, as /dev/stdout may be one, is still a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR)
    try:
        write_report(pipe, b"content")
        assert os.read(end, 100) == b"content"
    finally:
        os.close(end)
    assert pipe.is_fifo()
