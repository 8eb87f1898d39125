"""Command line of the simulator: one module per command, assembled here."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from certs.errors import ConfigurationError
from certs.terminal import print_error, run_app


def assemble() -> typer.Typer:
    """The command line with all of its commands.

    Raises:
        ConfigurationError: The simulator's own dependencies are not installed.
    """
    try:
        from simulator.cli.check import check  # noqa: PLC0415 - may be missing
        from simulator.cli.compare import compare  # noqa: PLC0415 - same
        from simulator.cli.core import core  # noqa: PLC0415 - same
        from simulator.cli.demo import demo  # noqa: PLC0415 - same
        from simulator.cli.host import host  # noqa: PLC0415 - same
        from simulator.cli.report import report  # noqa: PLC0415 - same
        from simulator.cli.run import run  # noqa: PLC0415 - same
        from simulator.cli.schema import schema  # noqa: PLC0415 - same
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"morai-sim needs {error.name}, which is not installed",
            "install the project with its extra: pip install '.[sim]'",
        ) from error
    app = typer.Typer(
        name="morai-sim",
        help=(
            "Load tests with simulated cars, stand-ins for MORAI SIM: Drive and AWS IoT Core, "
            "and a demo of the whole system."
        ),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        epilog="Start with: morai-sim demo, or morai-sim run scenarios/smoke-10.yaml",
    )
    for command in (demo, run, check, report, compare, schema, core, host):
        app.command()(command)
    return app


def main() -> NoReturn:
    """Entry point of `morai-sim` and `python -m simulator`."""
    try:
        app = assemble()
    except ConfigurationError as error:
        print_error(error)
        sys.exit(error.exit_code)
    run_app(app, "morai-sim")
