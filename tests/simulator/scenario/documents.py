"""Scenario documents for tests."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from simulator.scenario.loader import parse

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

SMALLEST = """\
name: small
description: The least there can be.
vehicles:
  - name: cars
    count: 10
    streams:
      state: {rate_hz: 2, qos: 1}
phases:
  - {name: steady, duration: 10s}
"""


def scenario(text: str) -> Scenario:
    """The scenario of a text without problems."""
    found, problems, _ = parse(textwrap.dedent(text))
    assert problems == []
    assert found is not None
    return found


def small(**parts: Any) -> Scenario:
    """The smallest scenario with other parts."""
    return scenario(SMALLEST).model_validate(
        {**scenario(SMALLEST).model_dump(exclude_unset=True), **parts}
    )


def problems(text: str) -> list[str]:
    """All problems of a text, as a user sees them, in a file called x."""
    found = sorted(parse(textwrap.dedent(text))[1], key=lambda problem: problem.line or 0)
    return [problem.text("x") for problem in found]


def warnings(text: str) -> list[str]:
    """All warnings of a text, as a user sees them, in a file called x."""
    return [problem.text("x") for problem in parse(textwrap.dedent(text))[2]]
