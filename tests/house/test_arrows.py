"""The house rules that can be checked by reading imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "simulator", "certs")
MAY_IMPORT = {
    "certs": {"certs"},
    "agent": {"agent", "certs"},
    "simulator": {"simulator", "agent", "certs"},
}
# Rooms whose modules take bytes, numbers and `now` as arguments and never fetch them.
PURE_ROOMS = (
    "agent/morai",
    "agent/vehicle",
    "agent/telemetry",
    "simulator/scenario",
    "simulator/fleet",
    "simulator/forecast",
    "simulator/load/traffic",
    "simulator/report",
    "simulator/quotas",
    "simulator/iotcore/throttling",
    "simulator/iotcore/services",
)
IMPURE_MODULES = {"asyncio", "socket", "ssl", "time", "logging", "structlog", "threading", "random"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def modules(package: str) -> list[Path]:
    """All modules of a package or room."""
    return sorted((ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """Dotted names of everything a module imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    """`simulator` may import `agent` may import `certs`, and never the other way round."""
    forbidden = set(PACKAGES) - MAY_IMPORT[package]

    wrong = {
        (str(path.relative_to(ROOT)), name)
        for path in modules(package)
        for name in imported_modules(path)
        if name.split(".")[0] in forbidden | {"tests"}
    }

    assert wrong == set()


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_rooms_fetch_nothing(room: str) -> None:
    """The rooms of arithmetic import no event loop, socket, clock, log or random source."""
    wrong = {
        (path.name, name)
        for path in modules(room)
        for name in imported_modules(path)
        if name.split(".")[0] in IMPURE_MODULES
    }

    assert modules(room)
    assert wrong == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_a_drawer(package: str) -> None:
    """No module or folder is named after nothing in particular."""
    names = {
        part for path in modules(package) for part in path.relative_to(ROOT).with_suffix("").parts
    }

    assert names & FORBIDDEN_NAMES == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_owns(package: str) -> None:
    """Every module opens with a docstring."""
    silent = [
        str(path.relative_to(ROOT))
        for path in modules(package)
        if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]

    assert silent == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_longer_than_one_idea(package: str) -> None:
    """No module is longer than 600 lines."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in modules(package)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }

    assert long == {}
