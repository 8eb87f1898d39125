"""Command line of the simulator: one module per command, loaded when it is asked for.

A stand-in that starts need not wait for the load engine, nor `--help` of one command for all the
others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from certs.errors import ConfigurationError
from certs.terminal import let_help_flow, run_app

COMMANDS: Final = (
    "demo",
    "run",
    "check",
    "report",
    "compare",
    "schema",
    "core",
    "status",
    "host",
)
"""In the order of the help. Each is a function in the module of its name."""


class _CommandsOnDemand(Mapping[str, Any]):
    """The commands by name; one is imported when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = _load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(TyperGroup):
    """All commands of the simulator."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _CommandsOnDemand()  # type: ignore[assignment] # nobody adds to it

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature of the base
        """The names, without loading anything."""
        return list(COMMANDS)


def _load(name: str) -> Any:
    """A command by its name.

    Raises:
        ConfigurationError: The simulator's own dependencies are not installed.
    """
    try:
        module = import_module(f"simulator.cli.{name}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"morai-sim needs {error.name}, which is not installed",
            "install the project with its extra: pip install '.[sim]'",
        ) from error
    alone = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    alone.command(name)(getattr(module, name))
    let_help_flow(alone)
    return typer.main.get_command(alone)


def assemble() -> typer.Typer:
    """The command line with all of its commands."""
    app = typer.Typer(
        name="morai-sim",
        cls=_Commands,
        help=(
            "Load tests with simulated cars, stand-ins for MORAI SIM: Drive and AWS IoT Core, "
            "and a demo of the whole system."
        ),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        epilog="Start with: morai-sim demo, or morai-sim run scenarios/smoke-10.yaml",
    )
    # Makes it a group, whose commands are found elsewhere.
    app.callback()(lambda: None)
    return app


def main() -> NoReturn:
    """Entry point of `morai-sim` and `python -m simulator`."""
    run_app(assemble(), "morai-sim")
