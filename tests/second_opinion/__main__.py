"""`python -m tests.second_opinion`: the same conversations with the stand-in and with MiniStack.

Prints where the two differ and who is right by the documentation. Without MiniStack it says how
far the stand-in goes as documented.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from certs.errors import EXIT_CHECK_FAILED, ConfigurationError
from certs.terminal import console, print_table, run_app
from tests.second_opinion.comparing import IN_WORDS, Difference, differences, findings
from tests.second_opinion.conversations import CONVERSATIONS
from tests.second_opinion.ministack import ministack
from tests.second_opinion.parties import THING, StandIn, hold
from tests.second_opinion.script import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.second_opinion.script import Conversation

_SHOWN_CHARACTERS = 70
_OWN_TOPICS = f"$aws/things/{THING}/"


class Row(NamedTuple):
    """A difference and where it was seen."""

    conversation: str
    step: str
    difference: Difference


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    epilog="For example: python -m tests.second_opinion --ministack http://localhost:4566 --words"
)
def compare(
    ministack_url: Annotated[
        str | None,
        typer.Option(
            "--ministack",
            metavar="URL",
            help="Gateway of a running MiniStack. Everything it holds is thrown away.",
        ),
    ] = None,
    words: Annotated[
        bool, typer.Option(help="Also texts that differ where AWS leaves the words open.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Hold every conversation with the stand-in, and with MiniStack when there is one.

    Exit code 0 when the stand-in goes as documented, 1 otherwise.
    """
    if ministack_url is not None and not ministack_url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"{ministack_url} is no address of a gateway", "give one like http://localhost:4566"
        )
    steps = agreed = wrong = 0
    rows: list[Row] = []
    for conversation in CONVERSATIONS:
        here = hold(conversation, StandIn())
        steps += len(here)
        wrong += sum(
            bool(findings(step.expected(), outcome))
            for step, outcome in zip(conversation.steps, here, strict=True)
        )
        if ministack_url is None:
            continue
        with ministack(ministack_url) as party:
            there = hold(conversation, party)
        for found in compared(conversation, here, there):
            agreed += all(row.difference.right == IN_WORDS for row in found)
            rows += [row for row in found if words or row.difference.right != IN_WORDS]
    if as_json:
        console().print_json(json.dumps([_json(row) for row in rows]))
    elif ministack_url is not None:
        print_table(_table(rows))
    summary = f"{steps} steps: {steps - wrong} as documented"
    if ministack_url is not None:
        summary += f", {agreed} the same with MiniStack but for words"
    if not as_json:
        console().print(Text(f"{summary}.", "bold red" if wrong else "green"))
    if wrong:
        raise typer.Exit(EXIT_CHECK_FAILED)


def compared(
    conversation: Conversation, here: Sequence[dict[str, Any]], there: Sequence[dict[str, Any]]
) -> Iterator[list[Row]]:
    """The differences of every step."""
    for number, (step, ours, theirs) in enumerate(
        zip(conversation.steps, here, there, strict=True), 1
    ):
        yield [
            Row(conversation.name, f"{number}. {step.title}", difference)
            for difference in differences(ours, theirs, step.expected())
        ]


def _json(row: Row) -> dict[str, Any]:
    difference = row.difference
    sides = {"here": difference.here, "there": difference.there}
    return {
        "conversation": row.conversation,
        "step": row.step,
        "path": difference.path,
        **{name: value for name, value in sides.items() if value is not ABSENT},
        "right": difference.right,
    }


def _place(path: str) -> str:
    """A path without what every path of a message has."""
    return path.removeprefix("messages > ").removeprefix(_OWN_TOPICS)


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _table(rows: Sequence[Row]) -> Table:
    table = Table()
    for heading in ("conversation", "step", "where", "here", "MiniStack", "right"):
        table.add_column(heading, overflow="fold")
    last = ""
    for row in rows:
        difference = row.difference
        table.add_row(
            row.conversation if row.conversation != last else "",
            row.step,
            _place(difference.path),
            Text(_shown(difference.here)),
            Text(_shown(difference.there)),
            difference.right,
        )
        last = row.conversation
    return table


if __name__ == "__main__":
    run_app(app, "python -m tests.second_opinion")
