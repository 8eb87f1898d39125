"""Folders in the place of S3 buckets: the bytes of an object, for the files of streams.

Owns the way from a bucket and a key to a file, which never leaves the folder. Knows nothing about
streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OBJECT_BYTES_MAX: Final = 24 * 1024 * 1024
"""AWS IoT quota "file size" of streams; larger objects are not read."""


class Buckets:
    """Folders by name of their bucket. Calling it gives an object.

    Args:
        folders: Which there are. What is put into them is there at once.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    def __call__(self, bucket: str, key: str) -> bytes | None:
        """The bytes of an object; None when there is none, or it cannot be read or is too large."""
        folder = self._folders.get(bucket)
        if folder is None or "\0" in key:
            return None
        try:
            root = folder.resolve()
            path = (root / key).resolve()
            if not path.is_relative_to(root) or not path.is_file():
                return None
            with path.open("rb") as file:
                data = file.read(OBJECT_BYTES_MAX + 1)
        except (OSError, ValueError):
            return None
        return data if len(data) <= OBJECT_BYTES_MAX else None
