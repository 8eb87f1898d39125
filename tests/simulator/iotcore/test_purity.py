from __future__ import annotations

import ast
from pathlib import Path

import pytest

import simulator.iotcore

FOLDER = Path(simulator.iotcore.__file__).parent
SHELL = {"server.py", "tls.py", "process.py", "registry_files.py"}
OUTSIDE = {"asyncio", "socket", "ssl", "time", "random", "secrets", "uuid", "logging", "structlog"}


@pytest.mark.parametrize(
    "path", sorted(p for p in FOLDER.rglob("*.py") if p.name not in SHELL), ids=lambda p: p.name
)
def test_the_core_does_not_reach_outside(path: Path) -> None:
    """No sockets, clock, randomness or logs: bytes and the time in, bytes and closes out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported.isdisjoint(OUTSIDE)
