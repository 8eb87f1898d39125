"""Files that appear whole or not at all: atomic writes, bounded reads, refusals in words.

Owns the order of create, flush and rename, file modes, and the translation of what the operating
system refuses into `StorageError`. Knows nothing about identities or certificates.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError, StorageError
from certs.permissions import MAX_PEM_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
PUBLIC_FILE: Final = 0o644
_TAKEN: Final = {errno.EEXIST, errno.ENOTEMPTY}
_REMEDIES: Final = {
    errno.EACCES: "run as the owner of the folder, or choose another with --store",
    errno.EPERM: "run as the owner of the folder, or choose another with --store",
    errno.EROFS: "choose a folder on a writable disk with --store",
    errno.ENOSPC: "free some space on the disk",
    errno.EDQUOT: "free some space in your quota",
    errno.ENOTDIR: "a file is in the way of the folder: choose another with --store",
    errno.EEXIST: "a file is in the way of the folder: choose another with --store",
    errno.ENAMETOOLONG: "choose a shorter name, or a shorter path with --store",
}


@contextmanager
def disk_errors(path: Path, verb: str = "written") -> Iterator[None]:
    """Turn what the operating system refuses into a `StorageError` that names the path.

    Args:
        path: What is being written or read.
        verb: `written` or `read`, for the sentence.
    """
    try:
        yield
    except (ConfigurationError, StorageError):
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the disk and its permissions")
        raise StorageError(f"{path} cannot be {verb}: {error.strerror or error}", remedy) from error


def read_public(path: Path) -> bytes:
    """Read a file that is no secret, at most `MAX_PEM_BYTES` + 1 bytes of it.

    Raises:
        ConfigurationError: The file is missing or is a folder.
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_PEM_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(f"{path} does not exist", "check the path") from error
    except OSError as error:
        if path.is_dir():  # EISDIR on POSIX, EACCES on Windows
            raise ConfigurationError(f"{path} is a folder", "name a PEM file") from error
        raise StorageError(
            f"{path} cannot be read: {error.strerror or error}", "check its permissions"
        ) from error


def create_file(path: Path, data: bytes, mode: int) -> None:
    """Write a new file that has its final mode from the start; it is not flushed.

    Raises:
        OSError: As the system says; `FileExistsError` if there is one.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(data)


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Write a file that readers see either as before or whole.

    Raises:
        StorageError: The system refuses; the file is as before.
    """
    with disk_errors(path):
        temporary = path.with_name(f".new-{secrets.token_hex(8)}")
        try:
            create_file(temporary, data, mode)
            _flush(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def install_folders(
    folders: Sequence[tuple[Path, Mapping[str, bytes]]],
    *,
    private: Collection[str],
    replace: bool,
) -> None:
    """Write whole folders, each appearing in one step under its final name.

    Everything is written and flushed before the first folder appears. A process that is killed may
    leave folders called `.new-...` and `.old-...` behind, never a folder with half its files.

    Args:
        folders: Path and files of each folder, in which nobody but the owner can look.
        private: The names of files that get mode 0600; the others get 0644.
        replace: Put a new folder in the place of one that exists.

    Raises:
        ConfigurationError: A folder exists and `replace` is not set.
        StorageError: The system refuses.
    """
    staged: list[tuple[Path, Path]] = []
    parents = {folder.parent for folder, _ in folders}
    try:
        for parent in parents:
            with disk_errors(parent):
                parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        for folder, files in folders:
            temporary = folder.with_name(f".new-{secrets.token_hex(8)}")
            staged.append((temporary, folder))
            with disk_errors(folder):
                temporary.mkdir(mode=PRIVATE_FOLDER)
                for name, data in files.items():
                    mode = PRIVATE_FILE if name in private else PUBLIC_FILE
                    create_file(temporary / name, data, mode)
        # All is written before anything is flushed: the first flush then carries most of it to the
        # disk, and the others find little left to do.
        for temporary, folder in staged:
            with disk_errors(folder):
                for path in temporary.iterdir():
                    _flush(path)
        for temporary, folder in staged:
            with disk_errors(folder):
                _move_into_place(temporary, folder, replace=replace)
        for parent in parents:
            _flush_folder(parent)
    finally:
        for temporary, _ in staged:
            shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, folder: Path, *, replace: bool) -> None:
    if not replace or not os.path.lexists(folder):
        try:
            temporary.rename(folder)
        except OSError as error:
            # Somebody else was faster. POSIX says "not empty", Windows "exists".
            if error.errno not in _TAKEN:
                raise
            raise ConfigurationError(
                f"{folder} exists already", "choose another name, or use --force"
            ) from error
        return
    replaced = folder.with_name(f".old-{secrets.token_hex(8)}")
    folder.rename(replaced)
    try:
        temporary.rename(folder)
    except BaseException:
        replaced.rename(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _flush(path: Path) -> None:
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(path: Path) -> None:
    # Makes renames durable where a folder can be flushed; on Windows it cannot even be opened.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
