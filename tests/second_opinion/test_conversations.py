"""Every conversation, held with the stand-in, goes as AWS documents it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from certs.errors import ConfigurationError
from tests.second_opinion.__main__ import app, compared
from tests.second_opinion.comparing import findings
from tests.second_opinion.conversations import CONVERSATIONS
from tests.second_opinion.parties import StandIn, hold

if TYPE_CHECKING:
    from tests.second_opinion.script import Conversation


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda one: one.name)
def test_goes_as_documented(conversation: Conversation) -> None:
    """At every step the expected messages arrive and no others; the API gives what it should."""
    observed = hold(conversation, StandIn())
    wrong = [
        (number, step.title, *finding)
        for number, (step, outcome) in enumerate(zip(conversation.steps, observed, strict=True), 1)
        for finding in findings(step.expected(), outcome)
    ]
    assert wrong == []


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda one: one.name)
def test_goes_the_same_way_twice(conversation: Conversation) -> None:
    """Two stand-ins differ in nothing once times, ids and keys are masked."""
    one, other = hold(conversation, StandIn()), hold(conversation, StandIn())
    assert [row for rows in compared(conversation, one, other) for row in rows] == []


def test_the_command_says_how_far_it_goes_as_documented() -> None:
    """Without MiniStack it speaks with the stand-in alone; a wrong address is refused."""
    alone = CliRunner().invoke(app, [])
    steps = sum(len(conversation.steps) for conversation in CONVERSATIONS)
    assert (alone.exit_code, alone.stdout.strip()) == (0, f"{steps} steps: {steps} as documented.")
    wrong = CliRunner().invoke(app, ["--ministack", "localhost"])
    assert isinstance(wrong.exception, ConfigurationError)
