"""The published JSON Schema of the JSON report, as package data."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

REPORT_SCHEMA: Final = "report-1.schema.json"


def load_schema() -> dict[str, Any]:
    """Read the schema of the report."""
    document: dict[str, Any] = json.loads(
        files(__name__).joinpath(REPORT_SCHEMA).read_text(encoding="utf-8")
    )
    return document
