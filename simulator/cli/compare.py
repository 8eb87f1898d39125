"""`morai-sim compare`: two runs side by side."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated

import typer

from certs.errors import EXIT_CHECK_FAILED
from certs.terminal import console, error_console, printable
from simulator.report.comparison import compare as compare_results
from simulator.report.comparison import print_comparison
from simulator.report.result import Result
from simulator.report.writing import raw_result


def compare(
    before: Annotated[
        Path, typer.Argument(help="Folder or result file of the first run.", metavar="A")
    ],
    after: Annotated[
        Path, typer.Argument(help="Folder or result file of the second run.", metavar="B")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead.")] = False,
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PERCENT",
            help="End with 1 when a figure of B is worse than in A by more than this.",
        ),
    ] = None,
) -> None:
    """Show which figures of two runs differ, and which checks changed.

    It warns when scenario, seed or machine are not the same. Ends with 0 whatever differs, unless
    --fail-above is given.

    Examples:

      morai-sim compare results/city-1k-20260921-081500 results/city-1k-20260922-081500

      morai-sim compare base.jsonl change.jsonl --fail-above 20

      morai-sim compare base.jsonl change.jsonl --json
    """
    comparison = compare_results(Result.read(raw_result(before)), Result.read(raw_result(after)))
    if as_json:
        typer.echo(json.dumps(comparison.as_json(), indent=2, ensure_ascii=False))
    else:
        print_comparison(comparison, console())
    if fail_above is None:
        return
    worse = comparison.worse_than(fail_above)
    if worse:
        names = ", ".join(printable(item.name) for item in worse)
        error_console().print(
            f"Worse by more than {fail_above:g} %: {names}", soft_wrap=True, markup=False
        )
        raise typer.Exit(EXIT_CHECK_FAILED)
