"""`morai-sim run`: runs a scenario, shows it while it happens, and ends with a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from certs.errors import (
    EXIT_ENVIRONMENT,
    EXIT_OK,
    EXIT_USAGE,
    ConfigurationError,
    StorageError,
)
from certs.terminal import console, error_console, print_error, printable
from simulator import event_loop
from simulator.cli.outcome import EXIT_INTERRUPTED, exit_code
from simulator.cli.showing import NOBODY_LISTENS, Show, warn
from simulator.forecast.outlook import of as forecast
from simulator.forecast.presentation import outlook_brief
from simulator.forecast.prices import needs_confirmation
from simulator.iotcore.throttling.account import Mode  # noqa: TC001 - typer reads the annotations
from simulator.load.records import Event, Header
from simulator.load.run import Listener, Plan, check_machine, workers_for
from simulator.load.run import run as run_plan
from simulator.load.target import machine
from simulator.load.target.quota_books import table_of
from simulator.quotas.files import DEFAULT, LOW
from simulator.report import documents, junit
from simulator.report.result import Result
from simulator.report.summary import print_summary
from simulator.report.verdict import judge
from simulator.report.writing import (
    HTML_NAME,
    JSON_NAME,
    JUNIT_NAME,
    RAW_NAME,
    ResultFile,
    ResultFolder,
    write_report,
)
from simulator.scenario.loader import load
from simulator.scenario.roster import Roster
from simulator.scenario.rules import problems
from simulator.scenario.schema import OFF, StandInTarget
from simulator.watch.exporter import Exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.forecast.outlook import Outlook
    from simulator.load.records import Record
    from simulator.report.verdict import Verdict
    from simulator.scenario.schema import Scenario

_DEFAULT_OUT: Final = Path("results")


def run(
    file: Annotated[Path, typer.Argument(help="Scenario file (YAML).", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="Folder for results; each run makes a folder of its own in it.")
    ] = _DEFAULT_OUT,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Worker processes; by default one a core that is free."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the scenario's seed.")
    ] = None,
    prometheus: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Serve metrics at /metrics; 0: any."),
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="Also write the checks as JUnit XML here.")
    ] = None,
    max_cost: Annotated[
        float,
        typer.Option(min=0, metavar="USD", help="AWS only: run without asking up to this cost."),
    ] = 1.0,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="AWS only: run whatever it costs.")
    ] = False,
    quotas: Annotated[
        str | None,
        typer.Option(
            metavar="default|low|off|FILE",
            help="Quotas of the stand-in, instead of the scenario's.",
        ),
    ] = None,
    quota_mode: Annotated[
        Mode | None,
        typer.Option(help="Refuse what breaks a quota of the stand-in, or only count it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Run a scenario: connect its cars, drive them, and judge what was measured.

    First it says what would break a quota of AWS IoT Core and what the run would cost there. While
    it runs it shows rates, latencies and failures; at the end a summary with a verdict. The raw
    result and the reports made from it (HTML, JSON, JUnit) are left in a folder of their own.

    Ends with 0 when every check held, 1 when one failed, 2 when the scenario or an option is wrong
    or the cost was not agreed to, 3 when the machine, the network or the target failed, 130 when it
    was interrupted. Ctrl-C ends the run in order, and a second one at once; the result of a run
    that was cut short is marked as a partial one.

    Examples:

      morai-sim run scenarios/smoke-10.yaml

      morai-sim run scenarios/city-1k.yaml --workers 4 --prometheus 9100

      morai-sim run scenarios/city-100.yaml --quotas low --quota-mode enforce

      morai-sim run my-scenario.yaml --out ci-results --junit checks.xml --json
    """
    loaded = load(file)
    scenario = loaded.scenario
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    scenario = _with_quotas(scenario, quotas, quota_mode)
    roster = Roster(scenario)
    outlook = forecast(scenario, roster, table_of(scenario.target, loaded.base))
    plan = Plan(
        scenario,
        loaded.base,
        workers or workers_for(scenario, machine.usable_cores()),
        importlib.metadata.version("morai-edge"),
        outlook.quotas.as_json(),
        outlook.cost.as_json(),
    )
    for warning in loaded.warnings:
        warn(warning.text(str(loaded.path)))
    for finding in check_machine(plan, roster):
        warn(f"{finding.text}; {finding.remedy}")
    if not as_json:
        err = error_console()
        err.print(outlook_brief(outlook), soft_wrap=not err.is_terminal)
    if not _is_agreed(outlook, max_cost, yes=yes):
        error_console().print("Not run; nothing was contacted.")
        raise typer.Exit(EXIT_USAGE)
    code = _run_and_judge(plan, out, prometheus, junit_file, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _with_quotas(scenario: Scenario, quotas: str | None, mode: Mode | None) -> Scenario:
    """The scenario with other quotas of its stand-in.

    Raises:
        ConfigurationError: Its target is no stand-in, or what it has to have is taken away.
    """
    changes: dict[str, str] = {}
    if quotas is not None:
        # A path on the command line is relative to where the command is given.
        is_name = quotas in {DEFAULT, LOW, OFF}
        changes["quotas"] = quotas if is_name else str(Path(quotas).resolve())
    if mode is not None:
        changes["quota_mode"] = mode.value
    if not changes:
        return scenario
    if not isinstance(scenario.target, StandInTarget):
        raise ConfigurationError(
            f"--quotas and --quota-mode are of the stand-in; the target is {scenario.target.kind}",
            "leave them out, or write target: {kind: stand-in}",
        )
    changed = scenario.model_copy(update={"target": scenario.target.model_copy(update=changes)})
    found = problems(changed)
    if found:
        raise ConfigurationError(
            f"with these quotas the scenario cannot be run: {found[0][1]}", "choose other quotas"
        )
    return changed


def _is_agreed(outlook: Outlook, max_cost_usd: float, *, yes: bool) -> bool:
    """Whether the run may cost what it costs; asks, when that is more than the limit.

    Raises:
        ConfigurationError: There is nobody to ask.
    """
    if not outlook.is_aws or yes:
        return True
    question = needs_confirmation(outlook.cost, max_cost_usd)
    if question is None:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError(
            question, "allow it with --yes, or with a higher --max-cost in USD"
        )
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        error_console().print()
        return False


def _run_and_judge(
    plan: Plan, out: Path, prometheus: int | None, junit_file: Path | None, *, as_json: bool
) -> int:
    """Run, and then judge, show and save, however the run ended; the exit code."""
    result = Result()
    show = Show(result, as_json=as_json)
    stop = asyncio.Event()
    folder = ResultFolder(out, plan.scenario.name, datetime.now(UTC))
    defect: Exception | None = None
    try:
        with ResultFile(folder.raw) as raw:
            recorder = _Recorder(raw, result, show)
            event_loop.run(_run(plan, recorder, show, stop, prometheus))
    except (asyncio.CancelledError, KeyboardInterrupt):
        stop.set()
    except Exception as error:
        if result.header is None:
            raise
        # What was measured so far is worth its verdict; the defect is said after it.
        defect = error
    finally:
        if result.header is None:
            folder.discard()
    if result.header is None:
        error_console().print("Interrupted before the run began; there is no result.")
        return EXIT_INTERRUPTED
    saved = _conclude(result, folder, raw.failure, junit_file, as_json=as_json)
    if defect is not None:
        raise defect
    code = exit_code(result, judge(result), is_stopped=stop.is_set())
    return code or (EXIT_OK if saved and not raw.failure else EXIT_ENVIRONMENT)


# While it runs


class _Recorder:
    """Takes every record: into the file, and into the figures that are shown."""

    def __init__(self, file: ResultFile, result: Result, show: Show) -> None:
        self.result = result
        self._file = file
        self._show = show

    def take(self, record: Record) -> None:
        """Take a record."""
        is_written = self._file.write(record)
        self._fold(record)
        if not is_written:
            text = f"{self._file.path} takes no more: {self._file.failure}; the run goes on without"
            self._fold(Event(self._show.now_s, "storage", text))

    def _fold(self, record: Record) -> None:
        self.result.add(record)
        if isinstance(record, Header):
            self._show.begin(record)
        elif isinstance(record, Event):
            self._show.event(record)


async def _run(
    plan: Plan, recorder: _Recorder, show: Show, stop: asyncio.Event, prometheus: int | None
) -> None:
    current = asyncio.current_task()

    def interrupt() -> None:
        # The first signal ends the run in order; a second one ends it at once.
        if stop.is_set() and current is not None:
            current.cancel()
        stop.set()

    _on_signals(interrupt)
    async with contextlib.AsyncExitStack() as stack:
        if prometheus is not None:
            exporter = await stack.enter_async_context(Exporter(recorder.result, port=prometheus))
            with contextlib.suppress(*NOBODY_LISTENS):
                error_console().print(f"Metrics: {exporter.url}", markup=False, soft_wrap=True)
        showing = asyncio.create_task(show.keep())
        try:
            await run_plan(plan, Listener(recorder.take, show.stage, show.step), stop)
        finally:
            show.end_preparation()
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


def _on_signals(interrupt: Callable[[], None]) -> None:
    """Call something on Ctrl-C, a polite kill, and the end of the terminal."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Whoever runs it with nohup means it. A shell that starts it in the background ignores
        # SIGINT for it too, but whoever sends one all the same wants the run to end.
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        # Where a loop has no signal handlers, Ctrl-C ends the process as usual.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, interrupt)


# After the run


def _conclude(
    result: Result, folder: ResultFolder, failure: str, junit_file: Path | None, *, as_json: bool
) -> bool:
    """Judge, save and show, in this order: whoever closed the output still has the reports.

    Returns:
        Whether all reports could be written.
    """
    verdict = judge(result)
    written: list[Path] = []
    errors: list[StorageError] = []
    try:
        for path, content in _reports(result, verdict, folder.path, junit_file).items():
            try:
                write_report(path, content())
                written.append(path)
            except StorageError as error:
                errors.append(error)
    finally:
        _show_verdict(result, verdict, written, as_json=as_json)
    with contextlib.suppress(*NOBODY_LISTENS):
        for failed in errors:
            print_error(failed)
        if not as_json:
            _show_files([*written, folder.raw], failure)
    return not errors


def _reports(
    result: Result, verdict: Verdict, folder: Path, junit_file: Path | None
) -> dict[Path, Callable[[], bytes]]:
    """What makes each report, in the order in which they are named."""
    from simulator.report.page import render  # noqa: PLC0415 - templates are slow to import

    reports: dict[Path, Callable[[], bytes]] = {
        folder / HTML_NAME: lambda: render(result, verdict).encode(),
        folder / JSON_NAME: lambda: documents.to_text(result, verdict).encode(),
        folder / JUNIT_NAME: lambda: junit.to_xml(result, verdict),
    }
    if junit_file is not None:
        reports[junit_file] = lambda: junit.to_xml(result, verdict)
    return reports


def _show_verdict(
    result: Result, verdict: Verdict, written: Sequence[Path], *, as_json: bool
) -> None:
    try:
        if as_json:
            files = [str(path) for path in written]
            final = {**documents.as_json(result, verdict), "files": files, "final": True}
            typer.echo(json.dumps(final, ensure_ascii=False))
        else:
            print_summary(result, verdict, console())
    except NOBODY_LISTENS as reason:
        # Standard output may lead to the disk that is full.
        if isinstance(reason, OSError):
            warn(f"standard output takes no more: {reason.strerror}")
        warn(verdict.first_line)


def _show_files(paths: Sequence[Path], failure: str) -> None:
    for path in paths:
        title = _TITLES.get(path.suffix, "")
        note = f" (cut off: {failure})" if failure and path.name == RAW_NAME else ""
        text = f"{title:7} {printable(str(path))}{note}"
        error_console().print(text, soft_wrap=True, markup=False)


_TITLES: Final = {".html": "Report", ".json": "JSON", ".xml": "JUnit", ".jsonl": "Raw"}
