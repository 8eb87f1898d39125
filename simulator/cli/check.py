"""`morai-sim check`: what a scenario will do, in words, or everything that is wrong with it."""

from __future__ import annotations

import functools
import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from certs.terminal import console, error_console, print_table, printable
from simulator.forecast.outlook import of as forecast
from simulator.forecast.presentation import outlook_view
from simulator.load.target.quota_books import table_of
from simulator.load.traffic.payloads import typical_bytes
from simulator.scenario.explanation import explain, plan
from simulator.scenario.loader import ScenarioError, load
from simulator.scenario.roster import Roster

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.forecast.outlook import Outlook
    from simulator.scenario.explanation import PhasePlan
    from simulator.scenario.loader import LoadedScenario, Problem
    from simulator.scenario.schema import Stream


def check(
    file: Annotated[Path, typer.Argument(help="Scenario file (YAML).", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Explain in words what a scenario will do, without doing any of it.

    Says who connects where and when, what is published in each phase, what goes wrong, what must
    hold, whether it fits the quotas of AWS IoT Core, and what it would cost there. A file with
    mistakes is refused with all of them, each with its line; the exit code is 2 then.

    Examples:

      morai-sim check scenarios/smoke-10.yaml

      morai-sim check my-scenario.yaml --json
    """
    try:
        loaded = load(file)
    except ScenarioError as error:
        if not as_json:
            raise
        document = {"file": str(file), "ok": False, "problems": _as_json(error.problems)}
        typer.echo(json.dumps(document, ensure_ascii=False))
        raise typer.Exit(error.exit_code) from error
    roster = Roster(loaded.scenario)
    paragraphs = explain(loaded.scenario, roster, _message_bytes)
    plans = plan(loaded.scenario, roster, _message_bytes)
    outlook = forecast(loaded.scenario, roster, table_of(loaded.scenario.target, loaded.base))
    if as_json:
        document = _document(loaded, paragraphs, plans, outlook)
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        _print(loaded, paragraphs, outlook)


@functools.lru_cache(maxsize=1024)
def _message_bytes(name: str, stream: Stream, thing: str) -> int:
    return typical_bytes(name, stream, thing)


def _print(loaded: LoadedScenario, paragraphs: list[str], outlook: Outlook) -> None:
    out, scenario = console(), loaded.scenario
    out.print(Text(scenario.name, style="bold"))
    # Texts of a scenario may come from anywhere and hold terminal commands.
    for paragraph in [" ".join(scenario.description.split()), *paragraphs]:
        _print_paragraph(out, printable(paragraph, multiline=True))
    for part in outlook_view(outlook).renderables:
        if isinstance(part, Table):
            print_table(part)
        else:
            out.print(part)
    for warning in loaded.warnings:
        text = printable(warning.text(str(loaded.path)))
        error_console().print(Text.assemble(("warning: ", "bold yellow"), text), soft_wrap=True)


def _print_paragraph(out: Console, text: str) -> None:
    """A paragraph, or a list with the lines of an item below each other."""
    for line in text.splitlines():
        if line.startswith("- "):
            item = Table.grid(padding=(0, 1))
            item.add_row("-", Text(line[2:]))
            print_table(item)
        else:
            out.print(Text(line))
    out.print()


def _document(
    loaded: LoadedScenario, paragraphs: list[str], plans: list[PhasePlan], outlook: Outlook
) -> dict[str, Any]:
    scenario = loaded.scenario
    return {
        "file": str(loaded.path),
        "ok": True,
        "name": scenario.name,
        "cars": scenario.vehicle_count,
        "duration_s": scenario.duration_s,
        "explanation": paragraphs,
        "phases": [
            {
                "name": each.name,
                "start_s": each.start_s,
                "end_s": each.end_s,
                "cars": each.cars,
                "connects": each.connects,
                "messages": each.messages,
                "messages_per_s_at_end": round(each.rate_hz, 3),
                "bytes_per_s_at_end": round(each.bytes_per_s),
            }
            for each in plans
        ],
        "forecast": outlook.as_json(),
        "warnings": _as_json(loaded.warnings),
        "scenario": scenario.model_dump(mode="json"),
    }


def _as_json(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    return [{"line": each.line, "where": each.where, "what": each.what} for each in problems]
