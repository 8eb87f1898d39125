"""`morai-agent init`: writes the commented configuration file."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from certs.errors import ConfigurationError, StorageError
from certs.terminal import console

TEMPLATE = "configuration_template.toml"


def render_template(
    *, thing: str, fleet: str, endpoint: str, port: int, store: str, ca: str
) -> str:
    """The configuration file as text, with identity and endpoint filled in."""
    template = Template(files("agent").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    values = {
        "thing": thing,
        "fleet": fleet,
        "endpoint": endpoint,
        "certificate": f"{store}/things/{thing}/cert.pem",
        "private_key": f"{store}/things/{thing}/key.pem",
        "ca": ca,
    }
    quoted = {name: _inside_quotes(value) for name, value in values.items()}
    return template.substitute(quoted, port=port)


def _inside_quotes(text: str) -> str:
    # The escapes of a JSON string are those of a TOML basic string (TOML 1.0, "String"), as long
    # as characters beyond ASCII are left alone. Paths of Windows are full of backslashes.
    return json.dumps(text, ensure_ascii=False)[1:-1]


def init(
    config: Annotated[Path, typer.Option("--config", "-c", help="File to write.")] = Path(
        "agent.toml"
    ),
    thing: Annotated[str, typer.Option(help="Thing name of the car.")] = "car-0001",
    fleet: Annotated[str, typer.Option(help="Fleet name, part of every topic.")] = "demo",
    endpoint: Annotated[str, typer.Option(help="Host name of the broker.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Its port.")] = 8883,
    store: Annotated[str, typer.Option(help="Folder of the identities.")] = "identities",
    ca: Annotated[
        str | None, typer.Option(help="Root that signs the broker; STORE/ca/ca.pem unless given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the file instead of writing it.")
    ] = False,
) -> None:
    r"""Write a configuration file with every key explained.

    Examples:

      morai-agent init --thing car-0001

      morai-agent init --endpoint abc-ats.iot.eu-central-1.amazonaws.com \
        --ca identities/roots/AmazonRootCA1.pem

      morai-agent init --print | less
    """
    from agent.configuration import parse_configuration  # noqa: PLC0415 - spares --help pydantic

    text = render_template(
        thing=thing,
        fleet=fleet,
        endpoint=endpoint,
        port=port,
        store=store,
        ca=ca or f"{store}/ca/ca.pem",
    )
    # Whatever the other commands would refuse is better refused here.
    parse_configuration(text, "the new configuration", {})
    if print_only:
        typer.echo(text, nl=False)
        return
    try:
        with config.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{config} exists", "name another file with --config, or overwrite it with --force"
        ) from error
    except OSError as error:
        raise StorageError(f"{config} cannot be written: {error.strerror}") from error
    out = console()
    out.print(f"Wrote [bold]{config}[/]. Next: [bold]morai-agent check -c {config}[/]")
