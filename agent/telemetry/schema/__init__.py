"""The published JSON Schemas of the telemetry documents, as package data."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

__all__ = ["HEALTH_SCHEMA", "TELEMETRY_SCHEMA", "load_schema"]

TELEMETRY_SCHEMA: Final = "telemetry-1.schema.json"
HEALTH_SCHEMA: Final = "health-1.schema.json"


def load_schema(name: str) -> dict[str, Any]:
    """Read a schema by file name.

    Raises:
        FileNotFoundError: There is no schema of that name.
    """
    document: dict[str, Any] = json.loads(
        files(__name__).joinpath(name).read_text(encoding="utf-8")
    )
    return document
