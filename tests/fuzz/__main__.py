"""`python -m tests.fuzz`: hostile inputs into every parser that reads what others wrote.

Owns the list of fuzzers, the split of the inputs among them, and the command line. Every fuzzer
runs in portions with seeds of their own, so that a finding is repeated by running one portion.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from certs.errors import EXIT_CHECK_FAILED, ConfigurationError
from certs.terminal import console, error_console, print_table, run_app
from tests.fuzz import (
    agent_commands,
    agent_uplink,
    command_topics,
    morai_codec,
    morai_host,
    mqtt_broker,
    recording_file,
    telemetry_documents,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PORTION = 10_000
# Portions take seeds this far apart, so that runs with neighbouring seeds share none.
_SEED_STRIDE = 1_000_003


class Fuzz(Protocol):
    """One fuzzer."""

    def __call__(self, inputs: int, seed: int) -> None:
        """Try `inputs` inputs; raise `AssertionError` with the input when an invariant broke."""


class Fuzzer(NamedTuple):
    """A fuzzer and its part of the work.

    Attributes:
        fuzz: What to run.
        share: Its part of all inputs: more for what strangers can reach.
    """

    fuzz: Fuzz
    share: float


FUZZERS: Mapping[str, Fuzzer] = {
    "morai-codec": Fuzzer(morai_codec.fuzz, 0.25),
    "mqtt-broker": Fuzzer(mqtt_broker.fuzz, 0.25),
    "agent-commands": Fuzzer(agent_commands.fuzz, 0.15),
    "agent-uplink": Fuzzer(agent_uplink.fuzz, 0.1),
    "telemetry-documents": Fuzzer(telemetry_documents.fuzz, 0.1),
    "command-topics": Fuzzer(command_topics.fuzz, 0.05),
    "morai-host": Fuzzer(morai_host.fuzz, 0.05),
    "recording-file": Fuzzer(recording_file.fuzz, 0.05),
}


class Outcome(NamedTuple):
    """What became of one fuzzer.

    Attributes:
        name: Which.
        inputs: Inputs tried; with a finding, those of the portions before it.
        seconds: How long it took.
        finding: What broke and on which input, or `None`.
        command: Repeats the finding; empty without one.
    """

    name: str
    inputs: int
    seconds: float
    finding: str | None = None
    command: str = ""


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="For example: python -m tests.fuzz mqtt-broker --inputs 5000000 --seed 7")
def fuzz(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=f"{', '.join(FUZZERS)}.")
    ] = None,
    inputs: Annotated[
        int, typer.Option(min=1, help="How many in all; split among the fuzzers.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Makes the run repeatable.")] = 1,
) -> None:
    """Throw hostile inputs at every parser, or at those that are named.

    Exit code 0 when nothing was found, 1 otherwise; then the inputs are printed, and what repeats
    the finding.
    """
    split = shares(_chosen(names or []), inputs)
    progress = Progress(
        TextColumn("{task.description:20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=error_console(),
        disable=not sys.stderr.isatty(),
    )
    outcomes = []
    with progress:
        tasks = {name: progress.add_task(name, total=count) for name, count in split.items()}
        for name, count in split.items():
            if progress.disable:
                error_console().print(f"{name}: {count:,} inputs ...", style="dim")
            outcomes.append(run(name, count, seed, lambda n, t=tasks[name]: progress.advance(t, n)))  # type: ignore[misc] # default binds the loop variable
    print_table(_table(outcomes))
    found = [outcome for outcome in outcomes if outcome.finding is not None]
    for outcome in found:
        console().print(Text(f"{outcome.name}: {outcome.finding}"), soft_wrap=True)
        console().print(Text(f"  repeat it with: {outcome.command}"), soft_wrap=True)
    tried = sum(outcome.inputs for outcome in outcomes)
    if found:
        console().print(
            Text(f"{len(found)} of {len(outcomes)} fuzzers found something.", "bold red")
        )
        raise typer.Exit(EXIT_CHECK_FAILED)
    console().print(Text(f"{tried:,} inputs, seed {seed}: found nothing.", "green"))


def shares(names: Sequence[str], inputs: int) -> dict[str, int]:
    """How many of the inputs each of these fuzzers gets; at least one."""
    total = sum(FUZZERS[name].share for name in names)
    return {name: max(1, round(inputs * FUZZERS[name].share / total)) for name in names}


def run(name: str, inputs: int, seed: int, advance: Callable[[int], object]) -> Outcome:
    """Run one fuzzer to its end or to its first finding.

    Args:
        name: Which.
        inputs: How many.
        seed: Seed of the first portion; the others' follow from it.
        advance: Told after each portion how many inputs it had.
    """
    began_s = time.perf_counter()
    done = 0
    for portion_seed, count in _portions(inputs, seed):
        try:
            FUZZERS[name].fuzz(count, portion_seed)
        except AssertionError as error:
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            took_s = time.perf_counter() - began_s
            command = f"python -m tests.fuzz {name} --inputs {count} --seed {portion_seed}"
            return Outcome(name, done, took_s, str(error), command)
        done += count
        advance(count)
    return Outcome(name, done, time.perf_counter() - began_s)


def _portions(inputs: int, seed: int) -> Iterator[tuple[int, int]]:
    for first in range(0, inputs, PORTION):
        yield seed + first // PORTION * _SEED_STRIDE, min(PORTION, inputs - first)


def _chosen(names: Sequence[str]) -> list[str]:
    unknown = sorted(set(names) - FUZZERS.keys())
    if unknown:
        raise ConfigurationError(
            f"no fuzzer is called {', '.join(unknown)}", f"the fuzzers are {', '.join(FUZZERS)}"
        )
    return [name for name in FUZZERS if not names or name in names]


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table()
    table.add_column("fuzzer")
    for heading in ("inputs", "seconds", "inputs/s"):
        table.add_column(heading, justify="right")
    table.add_column("result")
    for outcome in outcomes:
        held = outcome.finding is None
        table.add_row(
            outcome.name,
            f"{outcome.inputs:,}",
            f"{outcome.seconds:.1f}",
            f"{outcome.inputs / max(outcome.seconds, 1e-9):,.0f}",
            Text("found nothing", "green") if held else Text("FOUND SOMETHING", "bold red"),
        )
    return table


if __name__ == "__main__":
    run_app(app, "python -m tests.fuzz")
