"""What README and docs promise exists: files, headings, make targets, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

import agent.cli
import certs.cli
import simulator.cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "scenarios").rglob("*.md")]
)
APPS = {
    "morai-agent": typer.main.get_command(agent.cli.app),
    "morai-sim": typer.main.get_command(simulator.cli.assemble()),
    "morai-certs": typer.main.get_command(certs.cli.app),
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"\b(morai-(?:agent|sim|certs)) ([a-z][a-z-]*)((?: +[^|;&#\n`]+)?)")


def name_of(path: Path) -> str:
    """A document's name in the list of tests."""
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """A document without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as code hosting sites make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options(name: str, sub: str) -> set[str]:
    """The options of a subcommand; none when it does not exist."""
    command = getattr(APPS[name], "commands", {}).get(sub)
    if command is None:
        return set()
    return {"--help"}.union(*((*p.opts, *p.secondary_opts) for p in command.params))


def test_there_are_documents() -> None:
    """The list is not empty by accident."""
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= set(map(name_of, DOCUMENTS))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file of the project, and its anchor a heading there."""
    broken = []
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_and_options_exist(path: Path) -> None:
    """Every call of our commands in a document names a subcommand and options that there are."""
    unknown = []
    for name, sub, rest in CALL.findall(path.read_text(encoding="utf-8").replace("\\\n", " ")):
        given = re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)
        unknown += [
            f"{name} {sub} {option}" for option in given if option not in options(name, sub)
        ]
        if not options(name, sub):
            unknown.append(f"{name} {sub}")

    assert unknown == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_make_targets_exist(path: Path) -> None:
    """Every `make` target a document speaks of is one of the Makefile's."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    code = "\n".join(
        [*re.findall(r"`([^`\n]+)`", text), *(body for _, body in FENCE.findall(text))]
    )

    assert set(re.findall(r"^\s*make ([a-z]+)", code, re.MULTILINE)) <= targets
