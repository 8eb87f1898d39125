"""Folders in the place of S3 buckets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from simulator.iotcore.buckets import OBJECT_BYTES_MAX, Buckets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    """One bucket with a file, beside a file that is none of its objects."""
    (tmp_path / "firmware" / "v2").mkdir(parents=True)
    (tmp_path / "firmware" / "v2" / "image.bin").write_bytes(b"image")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return Buckets({"firmware": tmp_path / "firmware"})


def test_an_object_is_a_file_under_the_folder(buckets: Buckets) -> None:
    """A key with slashes names a file in a folder in it."""
    assert buckets("firmware", "v2/image.bin") == b"image"


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("firmware", "v3/image.bin"),
        ("firmware", "v2"),
        ("firmware", ""),
        ("firmware", "../secret.txt"),
        ("firmware", "v2/../../secret.txt"),
        ("firmware", "nul\0.bin"),
        ("firmware", "x" * 5_000),
        ("other", "v2/image.bin"),
    ],
)
def test_anything_else_is_no_object(buckets: Buckets, bucket: str, key: str) -> None:
    """Unknown buckets and keys, folders, and every way out of the folder."""
    assert buckets(bucket, key) is None


def test_an_absolute_key_stays_outside(buckets: Buckets, tmp_path: Path) -> None:
    """A key may be a path of the machine; it opens nothing."""
    assert buckets("firmware", str(tmp_path / "secret.txt")) is None


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_out_of_the_folder_is_not_followed(buckets: Buckets, tmp_path: Path) -> None:
    """What lies elsewhere is no object, also through a link."""
    (tmp_path / "firmware" / "link").symlink_to(tmp_path / "secret.txt")
    assert buckets("firmware", "link") is None


def test_an_object_is_at_most_as_large_as_a_stream_takes(buckets: Buckets, tmp_path: Path) -> None:
    """24 MB, the quota of AWS; a larger file is not read."""
    path = tmp_path / "firmware" / "large.bin"
    with path.open("wb") as file:
        file.truncate(OBJECT_BYTES_MAX + 1)
    assert OBJECT_BYTES_MAX == 24 * 1024 * 1024
    assert buckets("firmware", "large.bin") is None
