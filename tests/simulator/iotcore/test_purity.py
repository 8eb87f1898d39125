from __future__ import annotations

import ast
from pathlib import Path

import pytest

import simulator.iotcore

FOLDER = Path(simulator.iotcore.__file__).parent
SHELL = {
    "assembly.py",
    "clock.py",
    "gateway.py",
    "hooks.py",
    "lambdas.py",
    "process.py",
    "registry_files.py",
    "server.py",
    "tls.py",
}
"""Modules that may reach outside, and the rooms below that are all shell."""
SHELL_ROOMS = {"transports", "status", "persistence"}
OUTSIDE = {"asyncio", "socket", "ssl", "time", "random", "secrets", "uuid", "logging", "structlog"}


@pytest.mark.parametrize(
    "path",
    sorted(
        path
        for path in FOLDER.rglob("*.py")
        if path.name not in SHELL and path.relative_to(FOLDER).parts[0] not in SHELL_ROOMS
    ),
    ids=lambda path: path.name,
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
