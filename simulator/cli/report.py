"""`morai-sim report`: every report of a run, made again from its result file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from certs.terminal import console, error_console, printable
from simulator.cli.outcome import exit_code
from simulator.report import documents, junit
from simulator.report.result import Result
from simulator.report.summary import print_summary
from simulator.report.verdict import judge
from simulator.report.writing import raw_result, write_report

if TYPE_CHECKING:
    from simulator.report.verdict import Verdict


def report(
    result: Annotated[
        Path, typer.Argument(help="Folder of a run, or the run.jsonl in it.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead.")] = False,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="Also write the checks as JUnit XML.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Also write one self-contained HTML page.")
    ] = None,
) -> None:
    """Show what a run found out, from its result file.

    Ends as the run did: with 0 when every check held, 1 when one failed, 3 when the run failed or
    its result was cut off, 130 when it was interrupted.

    Examples:

      morai-sim report results/city-1k-20260921-081500

      morai-sim report results/city-1k-20260921-081500 --html city-1k.html --junit city-1k.xml

      morai-sim report city-1k.jsonl --json
    """
    folded = Result.read(raw_result(result))
    verdict = judge(folded)
    if junit_file is not None:
        _write(junit_file, junit.to_xml(folded, verdict))
    if html_file is not None:
        _write(html_file, _page(folded, verdict).encode())
    if as_json:
        typer.echo(documents.to_text(folded, verdict))
    else:
        print_summary(folded, verdict, console())
    code = exit_code(folded, verdict)
    if code:
        raise typer.Exit(code)


def _page(result: Result, verdict: Verdict) -> str:
    from simulator.report.page import render  # noqa: PLC0415 - templates are slow to import

    return render(result, verdict)


def _write(path: Path, content: bytes) -> None:
    write_report(path, content)
    error_console().print(f"Wrote {printable(str(path))}", soft_wrap=True, markup=False)
