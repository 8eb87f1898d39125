"""The table of what the stand-in does as AWS does points at tests and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from simulator.iotcore.configuration import CoreConfiguration

TESTS = Path(__file__).parents[2]
TABLE = (TESTS.parent / "docs" / "iot-core-stand-in.md").read_text(encoding="utf-8")
COLUMNS = ("aws", "here", "how", "test")
VERDICTS = {"yes", "no", "partly", "configurable"}


def rows() -> list[dict[str, str]]:
    """The rows of every table with a verdict."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in TABLE.splitlines()
        if line.startswith("| ")
    ]
    wide = [dict(zip(COLUMNS, row, strict=True)) for row in found if len(row) == len(COLUMNS)]
    return [row for row in wide if row["here"] in VERDICTS]


def test_there_are_rows() -> None:
    """The table is not empty by accident, and no verdict is misspelt."""
    assert len(rows()) > 100
    sections = TABLE.split("\n## What it is not")[0]
    bodies = [
        line
        for line in sections.splitlines()
        if line.startswith("| ") and not line.startswith("| AWS |")
    ]
    assert len(bodies) == len(rows())


def test_every_test_that_is_named_exists() -> None:
    """File and function, below these tests unless another folder is named."""
    missing = []
    for file, function in re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE):
        places = [TESTS / "simulator" / "iotcore" / file, TESTS / file]
        text = next((path.read_text(encoding="utf-8") for path in places if path.exists()), "")
        if f"def {function}(" not in text:
            missing.append(f"{file}::{function}")
    assert missing == []


def test_what_is_done_is_shown() -> None:
    """Every yes and every switch names a test."""
    bare = [row["aws"] for row in rows() if row["here"] in {"yes", "configurable"}]
    shown = {row["aws"] for row in rows() if "::" in row["test"]}
    assert [name for name in bare if name not in shown] == []


@pytest.mark.parametrize("key", sorted(set(re.findall(r"`([a-z]+\.[a-z0-9_]+)`", TABLE))))
def test_settings_exist(key: str) -> None:
    """A key with a dot is one of the configuration file."""
    part, _, name = key.partition(".")
    if part == "metadata":  # of a shadow, not a setting
        return
    section: Any = CoreConfiguration.model_fields[part].annotation
    assert issubclass(section, BaseModel)
    assert name in section.model_fields
