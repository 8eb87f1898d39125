"""Command line of the agent: one module per command, assembled here."""

from __future__ import annotations

from typing import NoReturn

import typer

from agent.cli.check import check
from agent.cli.decode import decode
from agent.cli.init import init
from agent.cli.run import run
from agent.cli.sniff import sniff
from certs.terminal import run_app

app = typer.Typer(
    name="morai-agent",
    help="Joins a car simulated by MORAI SIM: Drive to AWS IoT Core.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start with: morai-agent init, then check, then run.",
)
for command in (init, check, run, decode, sniff):
    app.command()(command)


def main() -> NoReturn:
    """Entry point of `morai-agent` and `python -m agent`."""
    run_app(app, "morai-agent")
