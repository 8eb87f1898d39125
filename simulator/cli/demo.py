"""`morai-sim demo`: the whole system on this machine, with a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import tempfile
import time
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.live import Live
from rich.text import Text

from certs.errors import EXIT_CHECK_FAILED, ConfigurationError, StorageError
from certs.terminal import console, error_console, parse_duration_s, printable
from simulator import event_loop
from simulator.demo.panel import DemoPanel
from simulator.demo.performance import perform_recording, perform_story
from simulator.replay.recording import read

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from rich.console import Console

    from simulator.demo.application import Application
    from simulator.demo.stage import Stage
    from simulator.demo.verdict import Check, Verdict

_FRAMES_HZ = 5.0
_SHORTEST_S = 15.0
_USUAL_S = 30.0
_EXIT_INTERRUPTED = 130


class DriveKind(StrEnum):
    """What moves the car."""

    MODEL = "model"
    RECORDING = "recording"


_FULL_SCALE_KMH = {DriveKind.MODEL: 40.0, DriveKind.RECORDING: 120.0}


def demo(
    duration: Annotated[
        float | None,
        typer.Option(
            "--for", parser=parse_duration_s, metavar="DURATION", help="About how long: 30s, 1m."
        ),
    ] = None,
    drive: Annotated[
        DriveKind,
        typer.Option(help="Drive the simulated car by command, or play a real recorded minute."),
    ] = DriveKind.MODEL,
    headless: Annotated[
        bool, typer.Option("--headless", help="One line a step instead of the live panel.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the verdict as JSON; - is standard output.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep identities, configuration and logs in this new folder."),
    ] = None,
) -> None:
    """Watch a MORAI car, an edge agent, IoT Core and an application work together, offline.

    Everything runs on the loopback interface with keys made for this run. The application commands
    the car over MQTT; at the end every promise is judged. Exit code 0 only if all of them held.

    Examples:

      morai-sim demo

      morai-sim demo --headless --for 20s --json verdict.json

      morai-sim demo --drive recording
    """
    if drive is DriveKind.MODEL and duration is not None and duration < _SHORTEST_S:
        raise ConfigurationError(
            f"--for {duration:g}s is too short for the story", f"give {_SHORTEST_S:g}s or more"
        )
    to_standard_output = json_file is not None and str(json_file) == "-"
    if json_file is not None and not to_standard_output:
        _check_target(json_file)
    # The verdict alone may go to standard output when it is to be read by a machine.
    out = error_console() if to_standard_output else console()
    # A dumb terminal cannot move its cursor, so a panel would never show there.
    live = out.is_terminal and not out.is_dumb_terminal and not headless
    recording = read(shipped_recording()) if drive is DriveKind.RECORDING else None
    folder, is_temporary = _folder(keep)
    audience = _Watching(out, _FULL_SCALE_KMH[drive]) if live else _Listening(out)
    performance: Coroutine[Any, Any, Verdict]
    if recording is not None:
        performance = perform_recording(folder, duration, recording, audience)
    else:
        performance = perform_story(folder, duration or _USUAL_S, audience)
    finished = False
    try:
        with _logging_to(folder / "stand-ins.log"):
            verdict = _run(performance, audience)
        finished = verdict.held
        verdict.print(out, only_failed=not live)
        if json_file is not None:
            _write_json(verdict, json_file)
    except (KeyboardInterrupt, asyncio.CancelledError):
        finished = True
        out.print("Interrupted.")
        raise typer.Exit(_EXIT_INTERRUPTED) from None
    finally:
        # Where nobody reads, nobody would learn where the folder is.
        if is_temporary and (finished or out.quiet):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            out.print(Text(f"Identities, configuration and logs are in {folder}"), soft_wrap=True)
    if not verdict.held:
        raise typer.Exit(EXIT_CHECK_FAILED)


def shipped_recording() -> Path:
    """The real minute that ships with the project.

    Raises:
        ConfigurationError: It is not there.
    """
    relative = Path("scenarios/recordings/highway-minute.mcap")
    package = Path(str(files("simulator")))
    for root in (package.parent, Path.cwd()):
        if (root / relative).is_file():
            return root / relative
    raise ConfigurationError(
        f"the recording {relative} is not beside the package",
        "run it from a checkout of the project",
    )


class _Listening:
    """Tells the story in lines."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._started_s = time.monotonic()

    def opened(self, application: Application, stage: Stage) -> None:
        del application
        self._say(f"IoT Core stand-in on port {stage.core.port}, agent online.")

    def began(self, title: str) -> None:
        del title

    def decided(self, check: Check) -> None:
        mark = "ok    " if check.held else "FAILED"
        elapsed_s = time.monotonic() - self._started_s
        self._say(f"{elapsed_s:5.1f} s  {mark}  {check.name}: {printable(check.detail)}")

    def _say(self, line: str) -> None:
        try:
            self._out.print(line, soft_wrap=True, markup=False)
        except SystemExit:
            # So rich ends a program whose output nobody reads. Within a task that would tear the
            # event loop down and leave the agent behind.
            raise StorageError("nobody reads the output any more") from None

    async def follow(self) -> None:
        """Nothing moves between lines."""


class _Watching:
    """Shows the live panel."""

    def __init__(self, out: Console, full_scale_kmh: float) -> None:
        self._out = out
        self._full_scale_kmh = full_scale_kmh
        self._panel: DemoPanel | None = None

    def opened(self, application: Application, stage: Stage) -> None:
        del stage
        self._panel = DemoPanel(application, self._full_scale_kmh)

    def began(self, title: str) -> None:
        if self._panel is not None:
            self._panel.step = title

    def decided(self, check: Check) -> None:
        if self._panel is not None:
            self._panel.step = ""
            self._panel.decided(check)

    async def follow(self) -> None:
        """Redraw until cancelled."""
        started_s = time.monotonic()
        with Live(
            "Making certificates, starting IoT Core, MORAI and the agent ...",
            console=self._out,
            auto_refresh=False,
            transient=True,
        ) as live:
            while True:
                if self._panel is not None:
                    self._panel.tick(time.monotonic() - started_s)
                    # Drawing takes tens of milliseconds, which the event loop must not stand
                    # still for: it would show as latency that is not there.
                    await asyncio.to_thread(live.update, self._panel, refresh=True)
                else:
                    live.refresh()
                await asyncio.sleep(1 / _FRAMES_HZ)


def _run(performance: Coroutine[Any, Any, Verdict], audience: _Listening | _Watching) -> Verdict:
    async def play() -> Verdict:
        with _stopped_by_signals():
            following = asyncio.create_task(audience.follow(), name="demo:panel")
            try:
                return await performance
            finally:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following

    return event_loop.run(play(), watches_sockets=True)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal take the stage down in order, agent included."""
    loop = asyncio.get_running_loop()
    playing = asyncio.current_task()
    asked = False

    def stop() -> None:
        nonlocal asked
        # Once: asked again, taking down what is half down would leave the agent behind.
        if playing is not None and not asked:
            asked = True
            playing.cancel()

    names = ("SIGINT", "SIGTERM", "SIGHUP") if sys.platform != "win32" else ("SIGINT", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names]
    if sys.platform == "win32":
        # No add_signal_handler there; the handler runs between bytecodes of the main thread.
        for number in numbers:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
        yield
        return
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _logging_to(file: Path) -> Iterator[None]:
    """Warnings of the stand-ins go to a file: they would break the panel and the JSON."""
    with file.open("w", encoding="utf-8") as log:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                # The default shows local variables, and those are keys, tokens and passwords.
                structlog.dev.ConsoleRenderer(
                    colors=False, exception_formatter=structlog.dev.plain_traceback
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.WriteLoggerFactory(file=log),
        )
        try:
            yield
        finally:
            structlog.reset_defaults()


def _folder(keep: Path | None) -> tuple[Path, bool]:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="morai-demo-")).resolve(), True
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise ConfigurationError(f"{keep} is not empty", "name a new or empty folder")
    except OSError as error:
        raise StorageError(f"{keep} cannot be used: {error.strerror}") from error
    return keep.resolve(), False


def _check_target(target: Path) -> None:
    """Say before the run, not after it, that its result could not be written."""
    if target.is_dir():
        raise ConfigurationError(f"{target} is a folder", "name a file with --json")
    if not target.absolute().parent.is_dir():
        raise ConfigurationError(
            f"the folder of {target} does not exist", "make it, or name another file with --json"
        )


def _write_json(verdict: Verdict, target: Path) -> None:
    text = json.dumps(verdict.document(), indent=2) + "\n"
    if str(target) == "-":
        typer.echo(text, nl=False)
        return
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}") from error
