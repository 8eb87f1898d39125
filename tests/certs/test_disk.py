"""Tests of `certs.disk`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from certs.disk import create_file, disk_errors, install_folders, read_public, replace_file
from certs.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from pathlib import Path


def test_replacing_a_file_is_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file has the old content until the new one is safely on the disk."""
    path = tmp_path / "file"
    replace_file(path, b"old", 0o644)

    def broken_disk(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken_disk)
        with pytest.raises(StorageError, match="Input/output error"):
            replace_file(path, b"new", 0o644)
    assert path.read_bytes() == b"old"
    replace_file(path, b"new", 0o644)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_is_created_once(tmp_path: Path) -> None:
    """Creating never writes into a file that exists."""
    create_file(tmp_path / "file", b"first", 0o600)

    with pytest.raises(FileExistsError):
        create_file(tmp_path / "file", b"second", 0o600)
    assert (tmp_path / "file").read_bytes() == b"first"


def test_folders_of_one_call_appear_together_or_not_at_all(tmp_path: Path) -> None:
    """If one folder of several cannot be written, none appears."""
    folders = [(tmp_path / "a", {"f": b"1"}), (tmp_path / "b", {"no/such/folder": b"2"})]

    with pytest.raises(StorageError):
        install_folders(folders, private=(), replace=False)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    """Without leave the old folder stays; with leave nothing of it remains."""
    install_folders([(tmp_path / "a", {"old": b"1"})], private=(), replace=False)

    with pytest.raises(ConfigurationError, match="exists already"):
        install_folders([(tmp_path / "a", {"new": b"2"})], private=(), replace=False)
    assert (tmp_path / "a" / "old").read_bytes() == b"1"
    install_folders([(tmp_path / "a", {"new": b"2"})], private=(), replace=True)
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_reading_is_bounded(tmp_path: Path) -> None:
    """However large a file is, one byte more than the limit of 256 KiB is read."""
    (tmp_path / "large").write_bytes(bytes(1_000_000))

    assert len(read_public(tmp_path / "large")) == 262_145


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are mistakes in a path."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigurationError, match="does not exist"):
        read_public(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_public(tmp_path / "file" / "below")
    with pytest.raises(ConfigurationError, match="is a folder"):
        read_public(tmp_path)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "run as the owner"),
        (errno.EROFS, "writable disk"),
        (errno.ENOSPC, "free some space"),
        (errno.ENOTDIR, "in the way"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EIO, "check the disk"),
    ],
)
def test_refusals_have_a_remedy(tmp_path: Path, number: int, remedy: str) -> None:
    """Each way a disk refuses is told with the path and what to do."""
    with pytest.raises(StorageError, match="cannot be written") as caught, disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))

    assert str(tmp_path) in caught.value.what
    assert remedy in caught.value.remedy
