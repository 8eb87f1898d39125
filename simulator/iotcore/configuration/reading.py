"""Reading the configuration: a YAML file, then the options of the command line, which beat it.

Owns the bound of the file and joining what YAML, model and rules have to say about it: every
problem at once, with file, line, key, value and what is allowed. YAML is read as in scenario files
(`simulator.scenario.document`). Secrets are never quoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from certs.errors import ConfigurationError
from simulator.iotcore.configuration import rules
from simulator.iotcore.configuration.model import CoreConfiguration
from simulator.scenario import document
from simulator.scenario.problem import Problem, in_order, place
from simulator.scenario.wording import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

MAX_BYTES: Final = 256 * 1024
_SECRETS: Final = ("api", "access_keys")
_REMEDY: Final = "correct the file; 'morai-sim core --write-config -' shows every key there is"


def read(path: Path) -> CoreConfiguration:
    """Read a configuration file. Relative paths in it start from its folder.

    Raises:
        ConfigurationError: There is no such file, it cannot be read or is too large, or something
            in it is wrong; then with every problem, in order of lines.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the configuration {path} cannot be read: {error.strerror or error}",
            "name an existing file; 'morai-sim core --write-config core.yaml' makes one",
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigurationError(
            f"the configuration {path} has more than {MAX_BYTES:,} bytes", "name the right file"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = "this is not UTF-8 text; save the file as UTF-8"
        raise _error(path, [Problem(line, "", what)]) from error
    configuration, problems = parse(text, path.parent)
    if configuration is None or problems:
        raise _error(path, problems)
    return configuration


def parse(text: str, base: Path | None = None) -> tuple[CoreConfiguration | None, list[Problem]]:
    """Read a configuration from text. Total.

    Args:
        text: YAML.
        base: Where relative paths start; None leaves them as they are.

    Returns:
        The configuration, or None if there are problems with its parts; the problems.
    """
    found = document.read(text, "configuration")
    if found.problems:
        return None, list(found.problems)
    value = {} if found.value is None else found.value
    if not isinstance(value, dict):
        return None, [Problem(None, "", "this is no configuration; write keys with values")]
    try:
        configuration = CoreConfiguration.model_validate(value, context={"base": base})
    except ValidationError as error:
        errors = error.errors(include_url=False)
        open_errors = [each for each in errors if each["loc"][:2] != _SECRETS]
        problems = problems_of(open_errors, found, CoreConfiguration)
        return None, problems + [
            _secret_problem(each, found) for each in errors if each["loc"][:2] == _SECRETS
        ]
    return configuration, [
        Problem(found.line_of(where), place(where), what)
        for where, what in rules.problems(configuration)
    ]


def overlaid(configuration: CoreConfiguration, given: Mapping[str, Any]) -> CoreConfiguration:
    """A configuration with some of its values replaced.

    Args:
        configuration: What holds where nothing is given.
        given: Values by key, those of a section with a dot: `status.enabled`.

    Raises:
        ConfigurationError: A value is not allowed.
    """
    values = {name: getattr(configuration, name) for name in CoreConfiguration.model_fields}
    for name, value in given.items():
        section, dot, key = name.partition(".")
        values[section] = values[section].model_copy(update={key: value}) if dot else value
    try:
        return CoreConfiguration.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = place(first["loc"]).replace("_", "-")
        what = str(first.get("ctx", {}).get("error", first["msg"]))
        raise ConfigurationError(f"--{where}: {what}", "correct the option") from error


def _secret_problem(error: ErrorDetails, found: document.Document) -> Problem:
    """A problem with an access key in words that do not hold its secret."""
    location = tuple(element for element in error["loc"] if element != "[key]")
    if error["type"] == "value_error":
        what = str(error["ctx"]["error"])
    elif len(location) == len(_SECRETS):
        what = "write access key ids, each with its secret"
    else:
        what = "the secret must be a text; put it into quotes"
    return Problem(found.line_of(location), place(location), what)


def _error(path: Path, problems: list[Problem]) -> ConfigurationError:
    count = len(problems)
    lines = [problem.text(str(path)) for problem in in_order(problems)]
    heading = f"{count} problem{'s' if count != 1 else ''} in this configuration"
    return ConfigurationError("\n".join([heading, *lines]), _REMEDY)
