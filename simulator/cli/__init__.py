"""Command line of the simulator: one module per command, assembled here."""

from __future__ import annotations

from typing import NoReturn

import typer

from certs.terminal import run_app
from simulator.cli.core import core
from simulator.cli.demo import demo
from simulator.cli.host import host

app = typer.Typer(
    name="morai-sim",
    help="Stand-ins for MORAI SIM: Drive and AWS IoT Core, and a demo of the whole system.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start with: morai-sim demo",
)
for command in (demo, core, host):
    app.command()(command)


def main() -> NoReturn:
    """Entry point of `morai-sim` and `python -m simulator`."""
    run_app(app, "morai-sim")
