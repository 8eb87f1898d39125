from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.commands.control_states import REQUESTS, State, Wish
from agent.commands.drive_stream import SetPoint, parse_set_point
from agent.commands.protocol import ReasonCode, decode_outcome
from agent.commands.requests import COMMANDS, Request, parse_request
from agent.commands.safety import Limits

DOCUMENT = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```json\n(.*?)^```", DOCUMENT, flags=re.MULTILINE | re.DOTALL)
REQUEST_EXAMPLES = [text for text in EXAMPLES if "command" in json.loads(text)]
ANSWER_EXAMPLES = [text for text in EXAMPLES if "status" in json.loads(text)]
SET_POINT_EXAMPLES = [text for text in EXAMPLES if "seq" in json.loads(text)]


@pytest.mark.parametrize("example", REQUEST_EXAMPLES)
def test_documented_requests_are_accepted(example: str) -> None:
    """A reader can send every documented request as it stands, within its time."""
    answer = parse_request(example.encode(), message_expiry_s=None, now_s=1_767_225_601.0)

    assert isinstance(answer, Request)


@pytest.mark.parametrize("example", ANSWER_EXAMPLES)
def test_documented_answers_are_real(example: str) -> None:
    """Every documented answer reads as an outcome."""
    assert decode_outcome(example.encode()).status in json.loads(example)["status"]


@pytest.mark.parametrize("example", SET_POINT_EXAMPLES)
def test_documented_set_points_are_accepted(example: str) -> None:
    """Every documented set point parses."""
    assert isinstance(parse_set_point(example.encode()), SetPoint)


def test_every_example_is_checked_and_every_command_has_one() -> None:
    """No JSON block escapes the checks, and each command is shown and has its own heading."""
    assert len(REQUEST_EXAMPLES) + len(ANSWER_EXAMPLES) + len(SET_POINT_EXAMPLES) == len(EXAMPLES)
    assert {json.loads(text)["command"] for text in REQUEST_EXAMPLES} == set(COMMANDS)
    assert re.findall(r"^### (\w+)$", DOCUMENT, flags=re.MULTILINE) == list(COMMANDS)


def test_every_parameter_is_named() -> None:
    """Each parameter of each command appears in the document."""
    names = {name for model in COMMANDS.values() for name in model.model_fields}

    assert {name for name in names if name not in DOCUMENT} == set()


def test_every_reason_is_explained() -> None:
    """The table of reasons is complete and names nothing that does not exist."""
    table = DOCUMENT.split("| reason | status | meaning |")[1].split("\n\n")[0]

    assert set(re.findall(r"`([A-Z_]+)`", table)) == {code.value for code in ReasonCode}


def test_the_table_of_states_is_the_one_that_is_executed() -> None:
    """Each documented cell says what the state table does."""
    header, _, *lines = DOCUMENT.split("in each state:\n\n")[1].split("\n\n")[0].splitlines()
    wishes = [Wish[name.strip().upper()] for name in header.strip("| ").split("|")[1:]]
    found = {}
    for line in lines:
        name, *cells = (cell.strip() for cell in line.strip("| ").split("|"))
        state = State[name.upper()]
        for wish, cell in zip(wishes, cells, strict=True):
            refused = cell.startswith("`")
            found[state, wish] = (
                state
                if cell == "stays"
                else ReasonCode(cell.strip("`"))
                if refused
                else State[cell.upper()]
            )

    assert found == {
        (state, wish): row[wish]
        for state, row in REQUESTS.items()
        for wish in Wish
        if wish is not Wish.RESUME_RELEASED
    }


def test_documented_limits_are_the_defaults() -> None:
    """The table of limits gives the default values."""
    defaults = Limits()
    rows = re.findall(r"^\| `(max_\w+)` \| ([\d.]+) \|", DOCUMENT, flags=re.MULTILINE)

    assert len(rows) == 4
    assert all(getattr(defaults, name) == float(value) for name, value in rows)
