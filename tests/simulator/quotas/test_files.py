from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import ConfigurationError
from simulator.quotas import files

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 'format = "morai-edge/quotas/1"\n'


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    """Everything else is that of the table it is based on, names and units included."""
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + 'base = "low"\n[[quota]]\nid = "topic-slashes"\nlimit = 9\n')
    table, low = files.own_table(path, "us-east-1"), files.named_table("low", "us-east-1")
    assert table.name == str(path)
    assert table.limit("topic-slashes") == 9
    changed = {key for key, quota in table.quotas.items() if quota != low.quotas[key]}
    assert changed == {"topic-slashes"}
    assert table.quotas["topic-slashes"].name == low.quotas["topic-slashes"].name


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    """Without a `base` the default table holds."""
    path = tmp_path / "empty.toml"
    path.write_text(HEAD)
    assert files.own_table(path, "us-east-1").quotas == files.quota_table("us-east-1").quotas


@pytest.mark.parametrize(("region", "limit"), [("us-east-1", 5000), ("eu-north-1", 50)])
def test_exceptions_hold_for_their_region(tmp_path: Path, region: str, limit: float) -> None:
    """As in the shipped files."""
    path = tmp_path / "mine.toml"
    path.write_text(
        HEAD + '[[quota]]\nid = "connects-per-account"\nlimit = 5000\n'
        'exceptions = { "eu-north-1" = 50 }\n'
    )
    assert files.own_table(path, region).limit("connects-per-account") == limit


def test_a_copy_of_a_shipped_file_is_a_file_of_ones_own(tmp_path: Path) -> None:
    """Copy, change a number, use."""
    folder = resources.files("simulator.quotas") / "data"
    (shipped,) = (e for e in folder.iterdir() if e.name.startswith("quotas-low"))
    path = tmp_path / "copy.toml"
    path.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    table = files.own_table(path, "us-east-1")
    assert table.quotas == files.named_table("low", "us-east-1").quotas


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "format"),
        ('format = "something else"', "format"),
        (HEAD + "quota = 3", "quota"),
        (HEAD + "colour = 3", "colour"),
        (HEAD + 'base = "high"', "base"),
        (HEAD + '[[quota]]\nid = "topic-bytes"', "quota[0]"),
        (HEAD + '[[quota]]\nid = "topic-bytes"\nlimit = "many"', "quota[0].limit"),
        (HEAD + '[[quota]]\nid = "topic-bytes"\nlimit = -1', "quota[0].limit"),
        (HEAD + '[[quota]]\nid = "topic-bytes"\nlimit = nan', "quota[0].limit"),
        (HEAD + '[[quota]]\nid = "topic-bites"\nlimit = 1', "quota[0].id"),
        (HEAD + '[[quota]]\nid = "?"\nlimit = 1', "quota[0].id"),
        (HEAD + 2 * '[[quota]]\nid = "topic-bytes"\nlimit = 1\n', "quota[1].id"),
        (HEAD + '[[quota]]\nid = "topic-bytes"\nlimit = 1\nunit = "KB"', "quota[0].unit"),
        (HEAD + "[[quota", "TOML"),
    ],
)
def test_errors_name_the_file_and_the_key(tmp_path: Path, text: str, key: str) -> None:
    """And say what to do."""
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        files.own_table(path, "us-east-1")
    assert str(path) in caught.value.what
    assert key in caught.value.what
    assert caught.value.remedy


def test_a_misspelt_quota_gets_a_suggestion(tmp_path: Path) -> None:
    """The nearest names."""
    path = tmp_path / "wrong.toml"
    path.write_text(HEAD + '[[quota]]\nid = "connect-per-account"\nlimit = 1')
    with pytest.raises(ConfigurationError) as caught:
        files.own_table(path, "us-east-1")
    assert "connects-per-account" in caught.value.remedy


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (1024 * 1024 + 1)])
def test_files_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    """Binary and endless files are refused without a traceback."""
    path = tmp_path / "wrong.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        files.own_table(path, "us-east-1")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """It says so."""
    with pytest.raises(ConfigurationError, match="cannot read"):
        files.own_table(tmp_path, "us-east-1")


@given(text=st.text(max_size=200))
def test_any_text_is_a_table_or_one_kind_of_error(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Never a traceback."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(HEAD + text, encoding="utf-8", errors="surrogatepass")
    try:
        files.own_table(path, "us-east-1")
    except ConfigurationError as error:
        assert str(path) in error.what  # noqa: PT017 - either outcome is right
