"""What is wrong with a scenario file: problems with their line, and the error that holds them all.

Owns the text form `file:line: place: what`. Knows nothing about YAML or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

Location: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of a scenario, such as `("vehicles", 0, "count")`."""

MAX_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        line: Line of the file from 1; None when it belongs to no line.
        where: Place in the scenario, such as `vehicles[0].streams.state.rate_hz`; may be empty.
        what: What is wrong there and what to write instead.
    """

    line: int | None
    where: str
    what: str

    def text(self, file: str) -> str:
        """The problem in one line, in the form that editors and terminals turn into a link."""
        place = file if self.line is None else f"{file}:{self.line}"
        return f"{place}: {self.where}: {self.what}" if self.where else f"{place}: {self.what}"


class ScenarioError(ConfigurationError):
    """A scenario file that cannot be run, with everything that is wrong with it.

    Args:
        file: The file as the user named it.
        problems: At least one.
    """

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = in_order(problems)
        count = len(self.problems)
        lines = [problem.text(file) for problem in self.problems[:MAX_SHOWN]]
        if count > MAX_SHOWN:
            lines.append(f"and {count - MAX_SHOWN} more")
        super().__init__(
            "\n".join([f"{count} problem{'s' if count > 1 else ''} in this scenario", *lines]),
            "correct the file; 'morai-sim schema --example' shows every field there is",
        )


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems from the top of the file to its end; those without a line first."""
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def place(location: Location) -> str:
    """A location as people write it: `vehicles[0].streams.state`."""
    text = ""
    for element in location:
        if isinstance(element, int):
            text += f"[{element}]"
        else:
            text += f".{element}" if text else element
    return text
