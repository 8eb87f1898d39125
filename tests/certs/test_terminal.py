"""Tests of `certs.terminal`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer
from rich.table import Table

from certs.errors import ConfigurationError, EdgeError, LinkError, PeerError, StorageError
from certs.terminal import let_help_flow, parse_duration_s, print_table, printable, run_app


def run_raising(error: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command that raises the error and return the exit code of the process."""
    app = typer.Typer()

    @app.command()
    def command() -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(sys, "argv", ["prog"])
    with pytest.raises(SystemExit) as ended:
        run_app(app, "prog")
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (typer.Exit(1), 1),
        (ConfigurationError("x"), 2),
        (PeerError("x"), 3),
        (LinkError("x"), 3),
        (StorageError("x"), 3),
        (OSError(28, "No space left on device"), 3),
        (ZeroDivisionError("x"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    error: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command ends with the documented exit code of what went wrong."""
    assert run_raising(error, monkeypatch) == code


def test_unknown_options_are_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt option ends with exit code 2."""
    app = typer.Typer()
    app.command()(lambda: None)
    monkeypatch.setattr(sys, "argv", ["prog", "--frobnicate"])

    with pytest.raises(SystemExit) as ended:
        run_app(app, "prog")

    assert ended.value.code == 2


def test_an_error_is_two_lines_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user reads what was wrong and what to do, on standard error, however long the lines."""
    error: EdgeError = ConfigurationError("the file " + "x" * 200 + " is [missing]", "make it")
    run_raising(error, monkeypatch)
    out, err = capsys.readouterr()

    assert out == ""
    assert err.splitlines() == [
        "configuration: the file " + "x" * 200 + " is [missing]",
        "     do: make it",
    ]


def test_a_bug_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A defect shows one line and how to get the traceback; with the variable set, that too."""
    monkeypatch.delenv("MORAI_EDGE_TRACEBACK", raising=False)
    run_raising(ZeroDivisionError("by zero"), monkeypatch)
    brief = capsys.readouterr().err
    monkeypatch.setenv("MORAI_EDGE_TRACEBACK", "1")
    run_raising(ZeroDivisionError("by zero"), monkeypatch)
    full = capsys.readouterr().err

    assert brief.startswith("bug: ZeroDivisionError: by zero\n")
    assert "MORAI_EDGE_TRACEBACK=1" in brief
    assert "Traceback" not in brief
    assert "Traceback" in full


def test_errors_cannot_command_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences inside a name arrive on the terminal as readable text."""
    run_raising(PeerError("the server is called \x1b]0;owned\x07"), monkeypatch)

    assert capsys.readouterr().err == "peer: the server is called \\x1b]0;owned\\x07\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("car-1", "car-1"),
        ("자동차 é", "자동차 é"),
        ("a\x1b[31m", "a\\x1b[31m"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\udc80", "\\udc80"),
    ],
)
def test_printable_escapes_what_is_invisible(text: str, shown: str) -> None:
    """Letters of any script stay, control and reordering characters become escapes."""
    assert printable(text) == shown


def test_printable_can_keep_line_breaks() -> None:
    """A text that is meant to have several lines keeps them."""
    assert printable("a\nb\r", multiline=True) == "a\nb\\r"


def test_tables_in_a_pipe_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Redirected, a table has one line a row, uncut and without padding at the end."""
    table = Table("name", "id", box=None, pad_edge=False)
    table.add_row("a", "f" * 300)
    table.add_row("bb", "1")
    print_table(table)

    assert capsys.readouterr().out.splitlines() == ["name  id", "a     " + "f" * 300, "bb    1"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("500ms", 0.5), ("2 min", 120.0), ("1.5", 1.5), ("1h", 3600.0)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """A number with a unit, seconds without one."""
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-1s", "soon", "10 s 5", "1d", "nan"])
def test_other_texts_are_no_durations(text: str) -> None:
    """A usage error, not a crash."""
    with pytest.raises(typer.BadParameter):
        parse_duration_s(text)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_went_away_does_not_change_the_exit_code(stream: str) -> None:
    """What is left in a buffer of a closed pipe is forgotten, and the command's own code stands."""
    program = (
        "import sys, typer; from certs.terminal import run_app; app = typer.Typer()\n"
        "@app.command()\n"
        "def go() -> None:\n"
        f"    sys.stdin.read(); sys.{stream}.write('x'); raise typer.Exit(1)\n"
        "run_app(app, 'go')\n"
    )
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    pipes = {"stdout": process.stdout, "stderr": process.stderr}
    closed = pipes.pop(stream)
    assert closed is not None
    assert process.stdin is not None
    closed.close()
    process.stdin.close()
    code = process.wait(30)
    for pipe in pipes.values():
        assert pipe is not None
        pipe.close()

    assert code == 1


def test_help_fills_any_width_and_keeps_examples() -> None:
    """Lines of a paragraph are joined; indented ones and those marked with a backspace stay."""
    app = typer.Typer()
    text = "Drive a car.\n\nFar away,\nand back.\n\n  drive --fast\n  drive --slow\n\n\b\nOne\nTwo"
    app.command(help=text)(lambda: None)

    let_help_flow(app)

    [command] = app.registered_commands
    assert command.help == text.replace("away,\nand", "away, and")
