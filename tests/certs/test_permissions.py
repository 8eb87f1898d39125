"""Tests of `certs.permissions`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from certs.errors import ConfigurationError
from certs.permissions import broad_readers, exposure, read_private_key, read_private_key_guard

if TYPE_CHECKING:
    from pathlib import Path

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    """A file that only its owner can read."""
    path = tmp_path / "key.pem"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    return path


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_private_files_pass(key_path: Path, mode: int) -> None:
    """A file without permissions for group and others is read."""
    key_path.chmod(mode)
    read_private_key_guard(key_path)

    assert exposure(key_path) is None
    assert read_private_key(key_path) == b"secret"


@posix_only
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o601, 0o777])
def test_files_open_to_others_are_refused(key_path: Path, mode: int) -> None:
    """Any permission of group or others refuses the key, with the command that mends it."""
    key_path.chmod(mode)

    for read in (read_private_key_guard, read_private_key):
        with pytest.raises(ConfigurationError, match=f"mode {mode:04o}") as caught:
            read(key_path)
        assert caught.value.remedy == f"run: chmod 600 {key_path}"


@posix_only
def test_a_link_is_judged_by_its_target(key_path: Path, tmp_path: Path) -> None:
    """A symbolic link to an open file is refused, one to a private file is not."""
    link = tmp_path / "link"
    link.symlink_to(key_path)
    read_private_key_guard(link)
    key_path.chmod(0o644)

    with pytest.raises(ConfigurationError, match="mode 0644"):
        read_private_key_guard(link)


@posix_only
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """A named pipe is refused instead of waited for."""
    pipe = tmp_path / "key.pem"
    os.mkfifo(pipe, 0o600)

    with pytest.raises(ConfigurationError, match="is not a file"):
        read_private_key_guard(pipe)


def test_missing_files_and_folders_are_refused(tmp_path: Path, key_path: Path) -> None:
    """What is no file at all is named as such."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_private_key_guard(tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_private_key_guard(key_path / "below-a-file")
    with pytest.raises(ConfigurationError, match="is a folder"):
        read_private_key_guard(tmp_path)


@pytest.mark.parametrize(
    ("sddl", "readers"),
    [
        # What Python's own mkdir(mode=0o700) sets on Windows (CPython, gh-118486).
        ("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)", []),
        # A file below C:\ as Windows makes it: users may read and execute.
        (
            "D:AI(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)",
            ["Users", "Authenticated Users"],
        ),
        ("O:BAG:SYD:(A;;FR;;;WD)S:(AU;SA;FA;;;WD)", ["Everyone"]),
        ("D:(A;;FA;;;S-1-5-21-1-2-3-1001)", []),
        ("D:(A;;GR;;;S-1-1-0)(A;;GA;;;WD)", ["Everyone"]),
        ("D:(A;;CCDCLC;;;BU)", ["Users"]),
        # Writing attributes alone lets nobody read.
        ("D:(A;;0x100;;;WD)(A;;WD;;;BU)", []),
        ("D:(D;;FA;;;WD)(A;;FA;;;SY)", []),
        ("D:(A;OICIIO;FA;;;WD)", []),
        ("D:NO_ACCESS_CONTROL", ["Everyone"]),
        ("O:BAG:SY", ["Everyone"]),
        ("D:P", []),
        ("D:PAI", []),
    ],
)
def test_windows_access_lists(sddl: str, readers: list[str]) -> None:
    """Grants of reading to broad groups are found; denials and other rights are not."""
    assert broad_readers(sddl) == readers
