"""The folder of a run's result: made, written while the run happens, and filled with its reports.

A disk that takes no more must not cost the run its verdict: from the first failure on nothing more
is written to the raw result, the failure is told once, and everything else goes on in memory. Owns
names and writes of these files; knows nothing about what is in them.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Final

from certs.errors import StorageError
from simulator.load.records import encode_record

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from simulator.load.records import Record

RAW_NAME: Final = "run.jsonl"
HTML_NAME: Final = "report.html"
JSON_NAME: Final = "report.json"
JUNIT_NAME: Final = "junit.xml"

_MOST_ALIKE: Final = 1000


class ResultFolder:
    """A new folder for one run, which no other run uses.

    It is called after the scenario and the time in UTC, and numbered when there is one already.

    Args:
        out: Where it is made; missing folders above it are made as well.
        name: Name of the scenario.
        now: The time.

    Attributes:
        path: The folder.
        raw: Where the raw result belongs.

    Raises:
        StorageError: It cannot be made.
    """

    def __init__(self, out: Path, name: str, now: datetime) -> None:
        above = [folder for folder in (out, *out.parents) if not folder.exists()]
        try:
            out.mkdir(parents=True, exist_ok=True)
            self.path = _make_unique(out / f"{name}-{now:%Y%m%d-%H%M%S}")
        except OSError as error:
            _remove_empty(above)
            raise _cannot_make(out, error) from error
        self.raw = self.path / RAW_NAME
        self._made = [self.path, *above]

    def discard(self) -> None:
        """Leave nothing behind of a run that never began."""
        with contextlib.suppress(OSError):
            self.raw.unlink(missing_ok=True)
        _remove_empty(self._made)


class ResultFile:
    """The raw result of a run: one record a line, in the file as soon as it is known.

    Use it as `with ResultFile(path) as file`.

    Args:
        path: Where; a file that is there already is never overwritten.

    Attributes:
        path: Where.
        failure: Why nothing more is written; empty while all is well.

    Raises:
        StorageError: The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure = ""
        try:
            # Unbuffered: a run that is killed has lost at most the line in writing.
            self._file: BinaryIO = path.open("xb", buffering=0)
        except OSError as error:
            raise _cannot_make(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Network file systems tell only now that something did not fit.
        try:
            self._file.close()
        except OSError as reason:
            self.failure = self.failure or _words(reason)

    def write(self, record: Record) -> bool:
        """Append a record; False when that failed just now, for the first time."""
        if self.failure:
            return True
        line = encode_record(record)
        try:
            while line:
                line = line[self._file.write(line) or 0 :]
        except OSError as error:
            self.failure = _words(error)
            return False
        return True


def raw_result(path: Path) -> Path:
    """The raw result that a path means: the file itself, or the one in the folder of a run."""
    return path / RAW_NAME if path.is_dir() else path


def write_report(path: Path, content: bytes) -> None:
    """Replace a file at once, so that nothing that watches it reads half of it.

    What is no regular file, such as a pipe or `/dev/stdout`, is written to and not replaced.

    Raises:
        StorageError: That failed; a file that was there before is still whole.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            temporary.write_bytes(content)
            temporary.replace(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {_words(error)}",
            "name a file in a folder you can write to; morai-sim report makes it from a raw result",
        ) from error


def _make_unique(path: Path) -> Path:
    """Make a folder that did not exist, with a number at its end if need be."""
    for number in range(1, _MOST_ALIKE):
        unique = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with contextlib.suppress(FileExistsError):
            unique.mkdir()
            return unique
    raise FileExistsError(f"{path} and {_MOST_ALIKE - 1} like it exist")


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders from the innermost outwards, until one is in use."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _cannot_make(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write the result to {path}: {_words(error)}",
        "name a folder you can write to: --out FOLDER",
    )


def _words(error: OSError) -> str:
    return str(error.strerror or error)
