"""Reads a result file line by line, as something that may be damaged, huge, or no result at all.

Owns the difference between a result that was cut off (the last line is incomplete, which is what a
full disk or a killed process leaves) and one that is damaged. Knows nothing about what records
mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from certs.errors import ConfigurationError, StorageError
from simulator.load.records import FORMAT, MAX_LINE_BYTES, Header, RecordError, decode_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.load.records import Record

_REMEDY = "give the .jsonl file that morai-sim run wrote"


def read_records(path: Path, add: Callable[[Record], None]) -> bool:
    """Give every record of a file to `add`.

    Args:
        path: The file.
        add: Takes a record, or raises `RecordError`.

    Returns:
        Whether the last line was cut off.

    Raises:
        ConfigurationError: It is missing, no result, of another version, or damaged; the text
            names the line.
        StorageError: It could not be read.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if not _take(path, number, line, add):
                    return True
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", _REMEDY) from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    if not number:
        raise ConfigurationError(f"{path} is empty", _REMEDY)
    return False


def _take(path: Path, number: int, line: bytes, add: Callable[[Record], None]) -> bool:
    """Add the record of a line; False when the line is cut off."""
    try:
        record = decode_record(line)
        if number == 1:
            _require_format(record)
        add(record)
    except RecordError as error:
        if number == 1:
            _require_our_version(path, line)
        elif not line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES:
            return False
        what = "no result of a run" if number == 1 else "damaged"
        raise ConfigurationError(f"{path}:{number}: {what}: {error}", _REMEDY) from error
    return True


def _require_format(record: Record) -> None:
    if not isinstance(record, Header):
        raise RecordError("the header is missing")
    if record.format != FORMAT:
        raise RecordError(f"its format is {record.format!r:.60}, not {FORMAT}")


def _require_our_version(path: Path, line: bytes) -> None:
    """Say so plainly when a line is the header of another version.

    Raises:
        ConfigurationError: It is.
    """
    try:
        document: Any = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    version = document.get("format") if isinstance(document, dict) else None
    if isinstance(version, str) and version != FORMAT:
        raise ConfigurationError(
            f"{path}:1: its format is {version!r:.60}, this version reads {FORMAT}",
            "read it with the version of morai-sim that wrote it",
        )
