"""The contract of every command line: help, examples, wrong options, exit codes, completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import agent.cli
import certs.cli
import certs.errors
import simulator.cli

ROOT = Path(__file__).parents[2]
APPS: dict[str, typer.Typer] = {
    "morai-agent": agent.cli.app,
    "morai-sim": simulator.cli.assemble(),
    "morai-certs": certs.cli.app,
}
MODULES = {"morai-agent": "agent", "morai-sim": "simulator", "morai-certs": "certs"}
# Continuous integration and terminals announce themselves here, and typer colours for them.
COLOURFUL = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "CLICOLOR_FORCE")


def group(name: str) -> typer.core.TyperGroup:
    """The parser of a command line."""
    command = typer.main.get_command(APPS[name])
    assert isinstance(command, typer.core.TyperGroup)
    return command


SUBCOMMANDS = [(name, sub) for name in APPS for sub in group(name).commands]
LINES = [(name, "") for name in APPS] + SUBCOMMANDS


def environment(**extra: str) -> dict[str, str]:
    """The environment of a user whose output is neither a terminal nor a build log."""
    plain = {name: value for name, value in os.environ.items() if name not in COLOURFUL}
    return {**plain, "COLUMNS": "100", **extra}


def run(name: str, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in its own process."""
    return subprocess.run(
        [sys.executable, "-m", MODULES[name], *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def invoke(name: str, *arguments: str) -> tuple[int, str]:
    """Run a command line in this process: exit code, and everything it printed."""
    plain: dict[str, str | None] = {**dict.fromkeys(COLOURFUL), "TERMINAL_WIDTH": "100"}
    result = CliRunner().invoke(APPS[name], arguments, prog_name=name, env=plain)
    return result.exit_code, result.output


def commands_in(text: str) -> list[list[str]]:
    """The calls of our command lines in a piece of shell, each as a list of words.

    Lines are joined where they continue, comments left out, and pipelines and lists taken apart.
    """
    calls: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if token and set(token) <= set("|&;<>()"):
                calls.append(words)
                words = []
            elif not (token == "2" and words):
                words.append(token)
    named = [next((n for n, word in enumerate(call) if word in APPS), None) for call in calls]
    return [call[at:] for call, at in zip(calls, named, strict=True) if at is not None]


def parse(call: list[str]) -> None:
    """Parse a call with the parser of its command line, and do nothing else."""
    name, *arguments = call
    parser = group(name)
    context = parser.make_context(name, list(arguments))
    sub, command, rest = parser.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    command.make_context(sub, rest, parent=context)


def examples(name: str, sub: str) -> list[list[str]]:
    """The calls in the help of a subcommand."""
    text = group(name).commands[sub].help or ""
    _, marker, shown = re.sub("\b", "", text).partition("Example")
    return commands_in(shown.partition(":")[2]) if marker else []


def test_the_three_command_lines_are_installed() -> None:
    """The names in the package's metadata are the names that help and README use."""
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    for name, module in MODULES.items():
        assert f'{name} = "{module}.cli:main"' in scripts


@pytest.mark.parametrize(("name", "sub"), LINES)
def test_help_says_what_it_does(name: str, sub: str) -> None:
    """`--help` succeeds everywhere, names the call and says something about it."""
    code, out = invoke(name, *filter(None, [sub]), "--help")

    assert code == 0
    assert f"Usage: {name} {sub}".rstrip() in " ".join(out.split())
    described = group(name).commands[sub].help if sub else group(name).help
    assert described is not None
    first = described.split("\n\n")[0].split()
    assert len(first) >= 4
    assert " ".join(first[:4]) in " ".join(out.split())


@pytest.mark.parametrize(("name", "sub"), SUBCOMMANDS)
def test_help_has_examples_that_parse(name: str, sub: str) -> None:
    """Every example in the help is a call of this very subcommand that its parser takes."""
    shown = [call for call in examples(name, sub) if call[:2] == [name, sub]]

    assert shown
    for call in examples(name, sub):
        parse(call)
    _, out = invoke(name, sub, "--help")
    assert " ".join(shown[0][:3]) in " ".join(out.split())


@pytest.mark.parametrize("name", APPS)
def test_the_first_step_named_under_the_help_exists(name: str) -> None:
    """The line "Start with" names subcommands that there are."""
    epilog = group(name).epilog or ""

    named = re.findall(rf"{name} ([a-z]+)", epilog)
    assert named
    assert set(named) <= set(group(name).commands)


@pytest.mark.parametrize(("name", "sub"), LINES)
def test_a_wrong_option_is_a_usage_error(name: str, sub: str) -> None:
    """An unknown option ends with exit code 2, names the option, and shows no traceback."""
    code, out = invoke(name, *filter(None, [sub]), "--no-such-option")

    assert code == 2
    assert "--no-such-option" in out
    assert "Traceback" not in out


@pytest.mark.parametrize("name", APPS)
def test_an_unknown_command_is_a_usage_error(name: str) -> None:
    """A subcommand that does not exist is refused by name."""
    code, out = invoke(name, "levitate")

    assert code == 2
    assert "levitate" in out
    assert "Traceback" not in out


@pytest.mark.parametrize("name", APPS)
def test_without_arguments_it_helps(name: str) -> None:
    """The bare command shows its subcommands and fails, because nothing was done."""
    code, out = invoke(name)

    assert code == 2
    for sub in group(name).commands:
        assert f" {sub} " in out


@pytest.mark.parametrize("name", APPS)
def test_it_runs_as_a_module(name: str) -> None:
    """`python -m` gives the same command line under the same name, without colours in a pipe."""
    result = run(name, "--help")

    assert (result.returncode, result.stderr) == (0, "")
    assert f"Usage: {name} [OPTIONS]" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("quiet", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_errors_carry_no_colours_when_unwanted(name: str, quiet: dict[str, str]) -> None:
    """A usage error in a process of its own: exit code 2, on standard error, no escapes."""
    result = run(name, "--no-such-option", **quiet)

    assert (result.returncode, result.stdout) == (2, "")
    assert "--no-such-option" in result.stderr
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(name: str, shell: str) -> None:
    """Each shell gets a script that asks this command for completions."""
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"

    result = run(name, **{variable: f"source_{shell}"})

    assert result.returncode == 0
    assert f"complete_{shell}" in result.stdout
    assert name in result.stdout


@pytest.mark.parametrize("name", APPS)
def test_completion_offers_every_subcommand(name: str) -> None:
    """What a shell is answered for an empty word are the subcommands."""
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"

    result = run(name, **{variable: "complete_bash"}, COMP_WORDS=f"{name} ", COMP_CWORD="1")

    assert set(result.stdout.split()) == set(group(name).commands)


def test_exit_codes_in_the_readme_are_those_of_the_code() -> None:
    """The README's table lists every exit code there is, and none that there is not."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Exit codes")[2].partition("\n## ")[0]
    documented = {int(code): text for code, text in re.findall(r"\| (\d+) \| (.+) \|", section)}

    constants = {value for name, value in vars(certs.errors).items() if name.startswith("EXIT_")}
    interrupted = 128 + 2  # as shells report a process that SIGINT ended
    assert set(documented) == constants | {interrupted}
    assert "check failed" in documented[certs.errors.EXIT_CHECK_FAILED]
    assert "configuration" in documented[certs.errors.EXIT_USAGE]
    assert "environment" in documented[certs.errors.EXIT_ENVIRONMENT]
    assert "bug" in documented[certs.errors.EXIT_BUG]
    for error in certs.errors.EdgeError.__subclasses__():
        assert error.exit_code in documented


def test_without_the_extra_the_simulator_says_what_to_install() -> None:
    """A missing dependency of the simulator is a configuration error, not a traceback."""
    code = (
        "import sys; sys.modules['aiomqtt'] = None; sys.argv = ['morai-sim', 'demo'];"
        "from simulator.cli import main; main()"
    )

    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=60,
        check=False,
    )

    assert (result.returncode, result.stdout) == (2, "")
    assert "aiomqtt" in result.stderr
    assert "[sim]" in result.stderr
    assert "Traceback" not in result.stderr
