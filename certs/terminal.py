"""How every command of the product meets a terminal: colours, errors, exit codes.

Owns the consoles and the outermost frame of a command line. Knows nothing about any command.
`NO_COLOR`, `FORCE_COLOR`, `TERM=dumb` and redirected output are honoured by rich.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from certs.durations import duration_s
from certs.errors import EXIT_BUG, EXIT_ENVIRONMENT, EXIT_OK, EdgeError

if TYPE_CHECKING:
    from rich.console import RenderableType

TRACEBACK_VARIABLE = "MORAI_EDGE_TRACEBACK"
_UNBOUNDED_WIDTH = 10_000


def console() -> Console:
    """A console on standard output, for results."""
    return Console(highlight=False)


def error_console() -> Console:
    """A console on standard error, for progress, warnings and errors."""
    return Console(stderr=True, highlight=False)


def parse_duration_s(text: str) -> float:
    """Seconds of a duration above zero; see `durations`. For use as the `parser` of a typer option.

    Raises:
        typer.BadParameter: The text is no duration above zero.
    """
    try:
        seconds = duration_s(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not seconds:
        raise typer.BadParameter(f"{text!r} is no time at all; write 30s, 500ms, 2m or 1h")
    return seconds


def printable(text: str, *, multiline: bool = False) -> str:
    """The text with everything invisible written as an escape, such as ESC as backslash x1b.

    Names in certificates, file names and answers of peers may hold terminal commands or characters
    that reorder a line; shown through this they can do nothing.

    Args:
        text: From any source.
        multiline: Keep line breaks.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or (multiline and character == "\n")
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def print_table(table: RenderableType) -> None:
    """Print results with tables: fitted to a terminal, but whole when they go to a file or pipe."""
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    out.width = _UNBOUNDED_WIDTH
    with out.capture() as lines:
        out.print(table)
    # Cells are padded to their column; in a file that is only noise.
    out.file.writelines(line.rstrip() + "\n" for line in lines.get().splitlines())


def print_error(error: EdgeError) -> None:
    """Print what was wrong and what to do, on standard error, without a traceback."""
    out = error_console()
    what = printable(error.what, multiline=True)
    out.print(Text.assemble((f"{error.who}: ", "bold red"), what), soft_wrap=True)
    if error.remedy:
        remedy = printable(error.remedy, multiline=True)
        out.print(Text.assemble(("     do: ", "bold"), remedy), soft_wrap=True)


def let_help_flow(app: typer.Typer) -> None:
    """Let the paragraphs of every command's help fill the width of the terminal, whatever it is.

    Typer keeps the line breaks that a docstring has after its first paragraph. Paragraphs with
    indented lines, such as examples, and those marked with a backspace keep them here as well.

    Args:
        app: The typer application; its commands are given their help.
    """
    for command in app.registered_commands:
        text = inspect.cleandoc(command.help or inspect.getdoc(command.callback) or "")
        command.help = "\n\n".join(
            paragraph
            if paragraph.startswith((" ", "\b")) or "\n " in paragraph
            else paragraph.replace("\n", " ")
            for paragraph in text.split("\n\n")
        )


def run_app(app: typer.Typer, prog_name: str) -> NoReturn:
    """Run a command line and leave the process with the documented exit code.

    Args:
        app: The typer application.
        prog_name: The name shown in usage lines, also under `python -m`.

    Exit codes: 0 done; 1 a check failed; 2 usage or configuration; 3 peer, link or storage;
    70 a bug; 130 interrupted.
    """
    let_help_flow(app)
    try:
        app(prog_name=prog_name)
        code = EXIT_OK
    except EdgeError as error:
        print_error(error)
        code = error.exit_code
    except OSError as error:
        text = printable(str(error), multiline=True)
        error_console().print(Text.assemble(("environment: ", "bold red"), text), soft_wrap=True)
        code = EXIT_ENVIRONMENT
    except Exception as error:  # noqa: BLE001 - the outermost frame turns a defect into one clear line
        _print_bug(error)
        code = EXIT_BUG
    finally:
        _let_go_of_broken_streams()
    sys.exit(code)


def _let_go_of_broken_streams() -> None:
    """Forget output that nobody can take, which would turn the exit code into 120.

    Python flushes both streams once more on its way out and reports a failure there as 120
    (documentation of `sys.exit`); a reader that went away must not hide how the command ended.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_bug(error: Exception) -> None:
    out = error_console()
    if os.environ.get(TRACEBACK_VARIABLE):
        out.print("".join(traceback.format_exception(error)), markup=False)
    kind = type(error).__name__
    text = printable(f"{kind}: {error}", multiline=True)
    out.print(Text.assemble(("bug: ", "bold red"), text), soft_wrap=True)
    out.print(
        Text.assemble(
            ("     do: ", "bold"),
            f"run it again with {TRACEBACK_VARIABLE}=1 and report what it prints",
        ),
        soft_wrap=True,
    )
