"""Result files that are whole, cut off, damaged, or something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.errors import ConfigurationError
from simulator.load.records import MAX_LINE_BYTES, encode_record
from simulator.report.result import Result
from tests.simulator.report import records_of_a_run

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_gives_what_the_records_give(tmp_path: Path) -> None:
    """A result that was written and read equals the one that was folded live."""
    live = records_of_a_run.result(seconds=65)
    read = Result.read(records_of_a_run.write(tmp_path / "run.jsonl", seconds=65))
    for metric in ("published", "lost", "target_refusals", "generator_cpu_share"):
        assert read.value(metric) == live.value(metric)
    assert read.value("connect_ms", "p99") == live.value("connect_ms", "p99")
    assert read.end == live.end
    assert not read.is_truncated
    assert not read.is_partial


def test_a_cut_off_last_line_gives_a_partial_result(tmp_path: Path) -> None:
    """What a full disk leaves is read as far as it goes, wherever it was cut."""
    path = records_of_a_run.write(tmp_path / "run.jsonl", seconds=3)
    whole = path.read_bytes()
    for missing in (2, 50, len(whole.splitlines()[-1]) - 1):
        path.write_bytes(whole[:-missing])
        result = Result.read(path)
        assert result.is_truncated
        assert result.is_partial
        assert result.count("connects") == 24


def test_a_last_line_without_its_line_break_is_whole(tmp_path: Path) -> None:
    """Only the line break is missing, so nothing is."""
    path = records_of_a_run.write(tmp_path / "run.jsonl", seconds=3)
    path.write_bytes(path.read_bytes()[:-1])
    result = Result.read(path)
    assert not result.is_truncated
    assert not result.is_partial


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"name: city-1k\n", ":1: no result of a run"),
        (b"\x00\xff\n", ":1: no result of a run"),
        (b'{"record":"end","at_s":1}\n', ":1: no result of a run"),
        (b'{"record":"run","format":"morai-edge/run/9"}\n', "its format is 'morai-edge/run/9'"),
        (encode_record(records_of_a_run.header()) + b"garbage\n{}\n", ":2: damaged"),
        (encode_record(records_of_a_run.header()) * 2, ":2: damaged: it is a second header"),
        (encode_record(records_of_a_run.records()[1]), "the header is missing"),
        (b"[" * 100_000 + b"\n", ":1: no result of a run"),
    ],
)
def test_what_is_no_result_is_named(content: bytes, why: str, tmp_path: Path) -> None:
    """Anything else is the user's mistake, with file and line."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"run\.jsonl") as caught:
        Result.read(path)
    assert why in caught.value.what


def test_an_endless_line_is_refused(tmp_path: Path) -> None:
    """A line is read up to its bound and no further."""
    path = tmp_path / "run.jsonl"
    with path.open("wb") as file:
        file.write(encode_record(records_of_a_run.header()))
        # Sparse on disk.
        file.truncate(MAX_LINE_BYTES * 4)
    with pytest.raises(ConfigurationError, match=":2: damaged: the line has"):
        Result.read(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    """A path that is no file is the user's mistake."""
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot read"):
            Result.read(path)
