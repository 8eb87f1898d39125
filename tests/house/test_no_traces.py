"""Nothing in the project points at the machine or the network it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_ABSOLUTE = r"(?<![\w.~-])"


def joined(*pieces: str) -> str:
    """A pattern put together here, so that this file does not contain what it looks for."""
    return "".join(pieces)


FORBIDDEN = {
    "home folders": joined("/ho", r"me/\w|/Us", r"ers/\w|[A-Z]:\\\\?Us", "ers"),
    "working folders": joined(_ABSOLUTE, "/(?:wo", "rk|ro", "ot|buil", "ds)/"),
    "package hosts": joined(r"py", r"pi\.org|python", "hosted|arti", "factory|jfr", "og"),
    "package settings": joined("index", "-url|trusted", "-host|PIP_IND", "EX|find", "-links"),
    "addresses in lock files": joined("--ha", r'sh=|resolved" *: *"ht', "tp"),
    "private keys": joined("-----BEGIN [A-Z ]*PRIV", r"ATE KEY-----\s+[A-Za-z0-9+/]{40}"),
    # AWS's own documentation writes key ids that end in EXAMPLE; secrets have 40 characters.
    "cloud secrets": joined(
        "AK", r"IA(?!\w*EXAMPLE)[0-9A-Z]{16}|aws_sec", r"ret\w*[\"']?\s*[=:]\s*[\"']?[\w/+]{40}"
    ),
}
LARGEST = 2_000_000


def project_files() -> list[Path]:
    """What belongs to the project: what git knows and does not ignore, or all in an archive."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        paths = [
            path
            for top in ("agent", "certs", "docs", "scenarios", "simulator", "tests")
            for path in (ROOT / top).rglob("*")
        ] + list(ROOT.glob("*.*"))
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def texts() -> list[tuple[str, str]]:
    """Name and content of every text file of the project."""
    found = []
    for path in project_files():
        data = path.read_bytes()
        if len(data) <= LARGEST and b"\0" not in data:
            found.append((str(path.relative_to(ROOT)), data.decode("utf-8", errors="replace")))
    return found


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_traces_of_where_it_was_made(what: str) -> None:
    """No file names a folder, a package host or a secret of somebody's machine."""
    pattern = re.compile(FORBIDDEN[what])

    traces = [f"{name}: {found[0]}" for name, text in texts() if (found := pattern.search(text))]

    assert traces == []


def test_the_search_sees_the_project() -> None:
    """The list of files is the project's, this one included."""
    names = {name for name, _ in texts()}

    assert {"README.md", "pyproject.toml", "agent/__main__.py"} <= names
    assert "tests/house/test_no_traces.py" in names


@pytest.mark.parametrize(
    ("what", "sample"),
    [
        ("home folders", joined("/ho", "me/somebody/x")),
        ("working folders", joined("cd /wo", "rk/project")),
        ("package hosts", joined("py", "pi.org/simple")),
        ("package settings", joined("pip --index", "-url x")),
        ("addresses in lock files", joined("--ha", "sh=sha256:00")),
        ("cloud secrets", joined("AK", "IA0123456789ABCDEF")),
    ],
)
def test_the_search_finds_what_it_looks_for(what: str, sample: str) -> None:
    """Each pattern would notice the obvious case."""
    assert re.search(FORBIDDEN[what], sample)
