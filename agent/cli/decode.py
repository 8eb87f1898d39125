"""`morai-agent decode`: shows what the bytes of a datagram say."""

from __future__ import annotations

import enum
import struct
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation at run time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from agent.links.datagram import MAX_DATAGRAM_BYTES
from agent.morai import DecodeError, Direction
from agent.morai.dumps import HexTextError, is_hex_text, split_hex_text
from agent.morai.inspection import Inspection, inspect
from certs.errors import EXIT_CHECK_FAILED, ConfigurationError
from certs.terminal import console, error_console

if TYPE_CHECKING:
    from collections.abc import Sequence

_BINARY32 = struct.Struct("<f")
MAX_INPUT_BYTES = 64 * 1024 * 1024
_LISTED_NUMBERS = 12


class DirectionOption(enum.StrEnum):
    """Which way the datagrams travelled, as typed on the command line."""

    FROM_SIMULATOR = "from-simulator"
    TO_SIMULATOR = "to-simulator"

    @property
    def direction(self) -> Direction:
        """The codec's word for it."""
        return Direction[self.name]


def _float_text(value: float) -> str:
    try:
        single = _BINARY32.pack(value)
    except OverflowError:
        return f"{value:.12g}"
    if _BINARY32.unpack(single) != (value,):
        return f"{value:.12g}"
    shortest = (f"{value:.{digits}g}" for digits in range(6, 9))
    return next(
        (text for text in shortest if _BINARY32.pack(float(text)) == single), f"{value:.9g}"
    )


def value_text(value: object) -> str:
    """A field's value for a table: floats in the digits they have, long tuples cut."""
    match value:
        case float():
            return _float_text(value)
        case str():
            return value or "(empty)"
        case None:
            return "-"
        case tuple() if len(value) > _LISTED_NUMBERS:
            shown = ", ".join(value_text(item) for item in value[:_LISTED_NUMBERS])
            return f"{shown}, ... ({len(value)} values)"
        case tuple():
            return ", ".join(value_text(item) for item in value)
    return str(value)


def inspection_table(inspection: Inspection) -> Table:
    """A datagram as a table of offset, field, value, unit and meaning."""
    way = inspection.direction.value.replace("_", " ")
    notes = "".join(f", {warning.value}" for warning in inspection.warnings)
    table = Table(
        title=Text(f"{inspection.title} - {inspection.size} bytes, {way}{notes}"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("offset", justify="right")
    table.add_column("field", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("meaning", style="dim", overflow="fold")
    for row in inspection.rows:
        offset = "" if row.offset is None else str(row.offset)
        cells = (offset, row.name, value_text(row.value), row.unit, row.meaning)
        # Text, not markup: the content came from the network.
        table.add_row(*(Text(cell) for cell in cells))
    return table


def refusal_document(error: DecodeError, size: int) -> dict[str, object]:
    """A refused datagram for JSON."""
    return {"error": error.reason.value, "detail": error.detail, "size": size}


def _read_input(file: Path) -> bytes:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}", "name a file of bytes or hexadecimal text"
        ) from error
    if len(data) > MAX_INPUT_BYTES:
        raise ConfigurationError(
            f"{file} is larger than {MAX_INPUT_BYTES // 1024 // 1024} MiB", "decode a part of it"
        )
    if not data:
        raise ConfigurationError(f"{file} is empty", "give it the bytes of at least one datagram")
    return data


def _datagrams(data: bytes, file: Path) -> Sequence[bytes]:
    if is_hex_text(data):
        try:
            return split_hex_text(data.decode("ascii"))
        except HexTextError as error:
            raise ConfigurationError(f"{file}: {error}", "write two digits a byte") from error
    if len(data) > MAX_DATAGRAM_BYTES:
        raise ConfigurationError(
            f"{file} has {len(data)} bytes, a datagram at most {MAX_DATAGRAM_BYTES}",
            "several datagrams can be given as hexadecimal text",
        )
    return [data]


def decode(
    file: Annotated[
        Path, typer.Argument(help="Bytes of one datagram, or hexadecimal text; - reads input.")
    ],
    direction: Annotated[
        DirectionOption | None,
        typer.Option(help="Which way it travelled, for the name that is used both ways."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line and datagram.")
    ] = False,
) -> None:
    r"""Show what the bytes of a MORAI datagram say.

    Hexadecimal text may be spaced and wrapped in any way. A new datagram begins behind an empty
    line and on a line that opens like one. Exit code 1 when any of them is no message.

    Examples:

      morai-agent decode capture.bin

      xxd -p capture.bin | morai-agent decode -

      morai-agent decode --json datagrams.txt | jq .fields.yaw_deg
    """
    refused = 0
    out = console()
    way = direction.direction if direction else None
    for number, data in enumerate(_datagrams(_read_input(file), file), start=1):
        try:
            inspection = inspect(data, direction=way)
        except DecodeError as error:
            refused += 1
            if as_json:
                typer.echo(msgspec.json.encode(refusal_document(error, len(data))))
            else:
                error_console().print(Text(f"datagram {number}: {error}"), soft_wrap=True)
            continue
        if as_json:
            typer.echo(msgspec.json.encode(inspection.document()))
        else:
            out.print(inspection_table(inspection))
    if refused:
        raise typer.Exit(EXIT_CHECK_FAILED)
