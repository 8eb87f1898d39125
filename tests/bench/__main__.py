"""`python -m tests.bench`: figures beside their budgets.

Owns the list of benchmarks and the command line. A figure over its budget is shown in red and is no
failure: machines differ, and a budget is judged by a person.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer
from rich.text import Text

from certs.errors import ConfigurationError, StorageError
from certs.terminal import console, error_console, print_table, run_app
from tests.bench import (
    agent_load,
    broker,
    codec,
    command_latency,
    core_long,
    fan_out,
    fleet,
    fleet_long,
    host_tick,
    telemetry_cost,
    uplink_latency,
)
from tests.bench.figure import Figure, Missing, NotMeasurableError, document, table
from tests.bench.machine import machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Benchmark(Protocol):
    """One benchmark."""

    def __call__(self, *, quick: bool) -> Sequence[Figure | Missing]:
        """Measure; quickly and roughly when asked to."""


BENCHMARKS: Mapping[str, Benchmark] = {
    "codec": codec.measure,
    "telemetry-cost": telemetry_cost.measure,
    "uplink-latency": uplink_latency.measure,
    "agent-load": agent_load.measure,
    "command-latency": command_latency.measure,
    "broker": broker.measure,
    "fan-out": fan_out.measure,
    "host-tick": host_tick.measure,
    "fleet": fleet.measure,
    "fleet-10k": fleet_long.measure,
    "core-10k": core_long.measure,
}

ONLY_WHEN_NAMED: Final = frozenset({"fleet-10k", "core-10k"})
"""Too long for every run of all."""

_STDOUT = Path("-")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="For example: python -m tests.bench codec broker --json figures.json")
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=f"{', '.join(BENCHMARKS)}.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures; - is standard output.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short and rough: does every benchmark still run?")
    ] = False,
) -> None:
    """Measure everything that has a budget, or what is named, and print figure, budget and ratio.

    A figure is the median of its runs. The whole takes about twenty minutes; let nothing else run
    beside it. fleet-10k takes twelve minutes more and core-10k four, and only when named.
    """
    chosen = _chosen(names or [])
    to_stdout = json_file == _STDOUT
    here = machine()
    progress = error_console()
    results: list[Figure | Missing] = []
    for name in chosen:
        progress.print(f"measuring {name} ...", style="dim")
        try:
            results += BENCHMARKS[name](quick=quick)
        except NotMeasurableError as error:
            results.append(Missing(name, str(error)))
    if not to_stdout:
        console().print(Text(here.line()), soft_wrap=True)
        print_table(table(results))
    if json_file is not None:
        _write({"machine": asdict(here), "quick": quick, "figures": document(results)}, json_file)


def _chosen(names: Sequence[str]) -> list[str]:
    unknown = sorted(set(names) - BENCHMARKS.keys())
    if unknown:
        raise ConfigurationError(
            f"no benchmark is called {', '.join(unknown)}",
            f"the benchmarks are {', '.join(BENCHMARKS)}",
        )
    wanted = names or BENCHMARKS.keys() - ONLY_WHEN_NAMED
    return [name for name in BENCHMARKS if name in wanted]


def _write(results: dict[str, object], path: Path) -> None:
    text = json.dumps(results, indent=2) + "\n"
    if path == _STDOUT:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}") from error


if __name__ == "__main__":
    run_app(app, "python -m tests.bench")
