"""`morai-sim schema`: the JSON Schema of scenario files, or an example of one with every field."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from certs.errors import ConfigurationError, StorageError
from certs.terminal import error_console, printable
from simulator.scenario import example as scenario_example
from simulator.scenario import json_schema


def schema(
    out: Annotated[
        Path | None, typer.Option(help="Write to this file; by default to standard output.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="A commented scenario with every field instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of scenario files, or a commented scenario to start from.

    With the schema beside a scenario, editors that know the YAML language server complete keys
    and mark mistakes while you type.

    Examples:

      morai-sim schema --out scenarios/scenario.schema.json

      morai-sim schema --example --out my-scenario.yaml
    """
    text = scenario_example.text() if example else json_schema.text()
    if out is None:
        typer.echo(text, nl=False)
        return
    _write(out, text)
    error_console().print(f"Wrote {printable(str(out))}", soft_wrap=True, markup=False)


def _write(path: Path, text: str) -> None:
    """Replace a file at once, so that an editor that watches it never reads half of it."""
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path} is no file", "name a file, or leave --out out")
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=path.name, delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror}", "name a file in a folder you can write to"
        ) from error
