"""Scenario files: from a path to a scenario, or every problem of the file at once.

Owns reading the file and joining what YAML, models and rules have to say about it. The only module
of this room that touches files. Bounds: 1 MiB of text, `document.MAX_VALUES` values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from certs.errors import ConfigurationError
from simulator.quotas.files import own_table
from simulator.scenario import document, rules
from simulator.scenario.cautions import warnings
from simulator.scenario.problem import Problem, ScenarioError, in_order, place
from simulator.scenario.schema import REGION_OF_STAND_IN, Name, Scenario
from simulator.scenario.wording import problems_of

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.scenario.document import Document
    from simulator.scenario.problem import Location

__all__ = ["MAX_BYTES", "LoadedScenario", "Problem", "ScenarioError", "load", "parse"]

MAX_BYTES: Final = 1024 * 1024
_NAME: Final = TypeAdapter[str](Name)
_FILLERS: Final[dict[str, dict[str, int]]] = {"vehicles": {"count": 1}, "phases": {"duration": 1}}


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario that can be run.

    Attributes:
        scenario: The scenario.
        path: Its file.
        text: What the file holds.
        warnings: What is allowed, but hardly meant.
    """

    scenario: Scenario
    path: Path
    text: str
    warnings: tuple[Problem, ...] = ()

    @property
    def base(self) -> Path:
        """The folder that relative paths in the scenario start from."""
        return self.path.parent


def load(path: Path) -> LoadedScenario:
    """Read a scenario file.

    Raises:
        ScenarioError: With every problem, in order of lines; also for files it names and that do
            not exist.
        ConfigurationError: There is no such file, or it cannot be read or is too large.
    """
    text = _read(path)
    scenario, problems, warnings = parse(text)
    missing = [
        (location, path.parent / file)
        for location, file in (_files(scenario) if scenario is not None else [])
        if not (path.parent / file).exists()
    ]
    if missing:
        read = document.read(text)
        problems += [
            Problem(read.line_of(location), place(location), f"there is no {file}")
            for location, file in missing
        ]
    if scenario is not None and not problems:
        problems += _quota_file_problems(scenario, path.parent, text)
    if scenario is None or problems:
        raise ScenarioError(str(path), problems)
    return LoadedScenario(scenario, path, text, in_order(warnings))


def parse(text: str) -> tuple[Scenario | None, list[Problem], list[Problem]]:
    """Read a scenario from text. Total.

    Returns:
        The scenario, or None if there are problems with its parts; the problems; the warnings.
    """
    read = document.read(text)
    if read.problems:
        return None, list(read.problems), []
    if not isinstance(read.value, dict):
        what = "the file is empty" if read.value is None else "this is no scenario"
        hint = "begin with name:, description:, vehicles: and phases:"
        return None, [Problem(None, "", f"{what}; {hint}")], []
    try:
        scenario = Scenario.model_validate(read.value)
    except ValidationError as error:
        problems = problems_of(error.errors(include_url=False), read)
        return None, problems + _placed(_problems_between_sound_parts(error, read), read), []
    found = _placed(rules.problems(scenario), read)
    return scenario, found, _placed(warnings(scenario), read)


def _placed(findings: list[rules.Finding], read: Document) -> list[Problem]:
    return [Problem(read.line_of(where), place(where), what) for where, what in findings]


def _read(path: Path) -> str:
    if not path.exists():
        raise ConfigurationError(
            f"there is no scenario {path}", "see scenarios/ for some that ship with the project"
        )
    if not path.is_file():
        raise ConfigurationError(f"{path} is no file", "name a scenario file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigurationError(
            f"{path} has more than {MAX_BYTES:,} bytes", "a scenario needs a few kilobytes"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(line, "", "this is not UTF-8 text; save the file as UTF-8")
        raise ScenarioError(str(path), [problem]) from error


def _files(scenario: Scenario) -> list[tuple[Location, str]]:
    """The files and folders a scenario names."""
    named: list[tuple[Location, str | None]] = [
        ((section, key), getattr(getattr(scenario, section), key, None))
        for section, key in (("target", "ca"), ("identities", "path"))
    ]
    named.append((("target", "quotas"), getattr(scenario.target, "quota_file", None)))
    named += [
        (("vehicles", index, "motion", "path"), getattr(group.motion, "path", None))
        for index, group in enumerate(scenario.vehicles)
    ]
    return [(location, file) for location, file in named if file is not None]


def _quota_file_problems(scenario: Scenario, base: Path, text: str) -> list[Problem]:
    """What is wrong within the quota file, so that nothing is started because of it."""
    file = getattr(scenario.target, "quota_file", None)
    if file is None:
        return []
    try:
        own_table(base / file, REGION_OF_STAND_IN)
    except ConfigurationError as error:
        line = document.read(text).line_of(("target", "quotas"))
        return [Problem(line, "target.quotas", error.what)]
    return []


def _problems_between_sound_parts(error: ValidationError, read: Document) -> list[rules.Finding]:
    """What the rules say about those sections that have no problem of their own.

    So a misspelt key in one section does not hide that another names a group that does not exist.
    Sections with problems are replaced by the little that is known of them: names.
    """
    wrong: dict[str, set[str | int | None]] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        section, *inner = item["loc"]
        wrong.setdefault(str(section), set()).add(inner[0] if inner else None)
    value = {key: part for key, part in read.value.items() if key in Scenario.model_fields}
    kept: dict[str, list[int]] = {}
    nameless = set()
    for key, items in wrong.items():
        part = value.pop(key, None)
        if key in _FILLERS:
            names = _names(part)
            nameless |= {key} if names is None else set()
            value[key] = [{"name": name, **_FILLERS[key]} for name in names or ["unknown"]]
        elif key in {"faults", "checks"} and isinstance(part, list):
            kept[key] = [index for index in range(len(part)) if index not in items]
            value[key] = [part[index] for index in kept[key]]
    value |= {"name": "unknown", "description": "unknown"}
    try:
        scenario = Scenario.model_validate(value)
    except ValidationError:
        return []
    broken = frozenset(wrong) - kept.keys()
    return [
        ((where[0], kept[str(where[0])][int(where[1])], *where[2:]), what)
        if where[0] in kept
        else (where, what)
        for where, what in rules.problems(scenario, broken=broken, nameless=frozenset(nameless))
    ]


def _names(part: Any) -> list[str] | None:
    """The names in a list of groups or phases; None when not all of them can be told."""
    if not isinstance(part, list) or not part:
        return None
    names = [item.get("name") if isinstance(item, dict) else None for item in part]
    try:
        return [_NAME.validate_python(name) for name in names]
    except ValidationError:
        return None
