"""Reading files that a motion names: a bound on the size, and errors that say which key named them.

Owns the wording, so that every wrong file is reported alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

MIB: Final = 1024 * 1024


def read_bounded(path: Path, max_bytes: int, remedy: str) -> bytes:
    """The bytes of a file.

    Raises:
        ConfigurationError: It cannot be read, or is larger than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ConfigurationError(
            f"motion.path: {path} cannot be read: {error.strerror or error}", remedy
        ) from error
    if len(data) > max_bytes:
        raise ConfigurationError(
            f"motion.path: {path} is larger than the {max_bytes // MIB} MiB that are read",
            "cut it into smaller parts",
        )
    return data
