"""`morai-sim run` as a user meets it, in its own process: good days and bad ones."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from certs.store import Store
from simulator.cli.compare import compare
from simulator.cli.report import report
from simulator.report.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT_S = 60
ORPHAN_S = 12
FILE_NAMES = ["junit.xml", "report.html", "report.json", "run.jsonl"]


@pytest.fixture(autouse=True)
def _signals_as_in_a_terminal() -> Iterator[None]:
    """Processes of these tests hear of signals, however the tests themselves were started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a scenario of three cars and one second; parts can be replaced."""

    def to_file(**changes: Any) -> Path:
        document: dict[str, Any] = {
            "name": "three",
            "description": "for a test",
            "vehicles": [{"name": "cars", "count": 3, "streams": {"state": {"rate_hz": 5}}}],
            "arrival": {"kind": "at-once"},
            "phases": [{"name": "hold", "duration": 1}],
            "drain": 0.5,
            # Begins at 0.2 s and so says on standard output that the run is under way.
            "faults": [{"kind": "clock-skew", "at": 0.2, "share": 0.4, "duration": 0.2}],
            "applications": {"observers": [{}]},
            "checks": ["connected_share == 100 %", "lost == 0"],
        }
        path = tmp_path / "three.yaml"
        path.write_text(yaml.safe_dump(document | changes, sort_keys=False))
        return path

    return to_file


def command(*arguments: object) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "simulator", "run", *map(str, arguments)]


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with nobody at the keyboard."""
    settings = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": TIMEOUT_S}
    return subprocess.run(command(*arguments), text=True, check=False, **settings | options)


@contextlib.contextmanager
def started(*arguments: object, until: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has printed a text; both streams go into one, of which the rest can be read."""
    with subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if until in line:
                    break
            else:
                pytest.fail(f"it ended before {until!r}: {said}")
            yield process
        finally:
            process.kill()


def descendants(pid: int) -> list[int]:
    """Its processes, except the one that multiprocessing keeps for itself."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "resource_tracker" not in (entry / "cmdline").read_text():
                found.append(int(entry.name))
    return found


def all_end(pids: list[int]) -> bool:
    """Whether the processes end, waiting for each as long as an orphan may live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if not select.select([descriptor], [], [], ORPHAN_S)[0]:
                    return False
            finally:
                os.close(descriptor)
    return True


def only_folder(out: Path) -> Path:
    """The folder of the only run in a folder."""
    [folder] = out.iterdir()
    return folder


# Good days


def test_a_run_leaves_a_verdict_and_reports(write: Callable[..., Path], tmp_path: Path) -> None:
    """Standard output is JSON lines that end with the verdict; the files are named, HTML first."""
    out, checks = tmp_path / "out", tmp_path / "ci" / "checks.xml"

    done = run(write(), "--out", out, "--junit", checks, "--json", "--workers", 2)

    assert done.returncode == 0, done.stderr
    *moments, final = map(json.loads, done.stdout.splitlines())
    assert all("final" not in moment for moment in moments)
    assert final["final"] is True
    assert final["held"] is True
    assert final["first_line"].startswith("3 of 3 cars connected; ")
    folder = only_folder(out)
    assert sorted(path.name for path in folder.iterdir()) == FILE_NAMES
    assert final["files"] == [
        *(str(folder / name) for name in ("report.html", "report.json", "junit.xml")),
        str(checks),
    ]
    assert len(list(ET.parse(checks).iter("testcase"))) == 2
    assert "\x1b" not in done.stderr
    read = Result.read(folder / "run.jsonl")
    assert read.connected() == 3
    assert read.header is not None
    assert read.header.workers == 2

    app = typer.Typer()
    app.command()(report)
    app.command()(compare)
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 0
    assert CliRunner().invoke(app, ["compare", str(folder), str(folder)]).exit_code == 0


def test_a_failed_check_ends_with_one(write: Callable[..., Path], tmp_path: Path) -> None:
    """In a pipe there are plain lines: events, the summary, and no escapes."""
    done = run(write(checks=["connected > 3"]), "--out", tmp_path / "out", "--seed", 7)
    assert done.returncode == 1, done.stderr
    assert "0:00 fault: clock-skew for 200 ms: 40 % of all cars (1 cars)" in done.stdout
    assert "3 of 3 cars connected; " in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.count("making identities") == 1
    paths = [line.split()[1] for line in done.stderr.splitlines() if str(tmp_path / "out") in line]
    assert [Path(path).name for path in paths] == [
        "report.html",
        "report.json",
        "junit.xml",
        "run.jsonl",
    ]
    header = Result.read(only_folder(tmp_path / "out") / "run.jsonl").header
    assert header is not None
    assert header.scenario["seed"] == 7


# Nothing to run


def test_an_absent_broker_is_explained(write: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 3, what to do, and no folder."""
    target = {"kind": "broker", "host": "127.0.0.1", "port": 1, "tls": False}
    done = run(write(target=target, identities={"kind": "none"}), "--out", tmp_path / "a" / "out")
    assert done.returncode == 3
    assert "127.0.0.1 port 1 refuses connections" in done.stderr
    assert "do: start the broker" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "a").exists()


def test_a_wrong_scenario_is_explained(write: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 2, and every problem with its line."""
    path = write(phases=[], seed=-1)
    done = run(path, "--out", tmp_path / "out")
    assert done.returncode == 2
    lines = path.read_text().splitlines()
    for key in ("phases", "seed"):
        [number] = [n for n, line in enumerate(lines, 1) if line.startswith(f"{key}:")]
        assert f"three.yaml:{number}: {key}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_low_limit_is_explained_before_the_run(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """Exit code 2: which limit, how much is needed, and the command that raises it."""
    limit = (64, 64)
    done = run(
        write(),
        "--out",
        tmp_path / "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
    )
    assert done.returncode == 2
    assert "open files" in done.stderr
    assert "64 allowed" in done.stderr
    assert "ulimit -n" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_explained(write: Callable[..., Path]) -> None:
    """Exit code 3 before anything starts."""
    path = write()
    done = run(path, "--out", path / "out")
    assert done.returncode == 3
    assert "--out FOLDER" in done.stderr
    assert "opening the target" not in done.stderr


def test_a_taken_port_for_metrics_is_explained(write: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 3, and no folder."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(write(), "--out", tmp_path / "out", "--prometheus", port)
    assert done.returncode == 3
    assert f"port {port}" in done.stderr
    assert not (tmp_path / "out").exists()


# What costs money


@pytest.fixture
def aws(write: Callable[..., Path], tmp_path: Path) -> Path:
    """A scenario against an endpoint that nobody has."""
    store = Store(tmp_path / "identities")
    store.init_authority()
    list(store.issue_things(["car-1", "car-2", "car-3", "app-1"]))
    return write(
        target={"kind": "aws", "endpoint": "nobody-ats.iot.eu-west-1.amazonaws.com"},
        identities={"kind": "store", "path": "identities"},
    )


def test_nobody_to_ask_is_a_no(aws: Path, tmp_path: Path) -> None:
    """Exit code 2, with the options that allow it; nothing was opened."""
    done = run(aws, "--out", tmp_path / "out", "--max-cost", 0)
    assert done.returncode == 2
    assert "costs about" in done.stderr
    assert "--yes" in done.stderr
    assert "opening the target" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("answer", [b"n\n", b"\x04"])
def test_a_no_is_taken_for_one(aws: Path, tmp_path: Path, answer: bytes) -> None:
    """Also the end of the input; exit code 2, and nothing was contacted."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, answer)
        done = run(aws, "--out", tmp_path / "out", "--max-cost", 0, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert "Go on?" in done.stderr
    assert "nothing was contacted" in done.stderr
    assert "opening the target" not in done.stderr
    assert not (tmp_path / "out").exists()


# Bad days


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_is_a_partial_one(
    write: Callable[..., Path], tmp_path: Path, number: signal.Signals
) -> None:
    """Exit code 130, a verdict on what was measured, every report, and no process left."""
    path = write(phases=[{"name": "hold", "duration": 600}])
    with started(path, "--out", tmp_path / "out", until="clock-skew") as process:
        children = descendants(process.pid)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, rest
    assert "PARTIAL RESULT: interrupted after" in rest
    assert "Traceback" not in rest
    folder = only_folder(tmp_path / "out")
    assert sorted(each.name for each in folder.iterdir()) == FILE_NAMES
    assert "PARTIAL RESULT" in (folder / "report.html").read_text()
    assert len(children) == 2
    assert all_end(children)


def test_a_terminal_that_is_gone_does_not_cost_the_reports(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """The live panel has nowhere to go any more; the run still ends in order."""
    path = write(phases=[{"name": "hold", "duration": 600}])
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(
        command(path, "--out", tmp_path / "out"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as process:
        try:
            os.close(theirs)
            shown = b""
            while b"3 of 3 cars connected" not in shown:
                shown += os.read(ours, 65_536)
            os.close(ours)
            process.send_signal(signal.SIGHUP)
            process.wait(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert process.returncode == 130
    folder = only_folder(tmp_path / "out")
    assert sorted(each.name for each in folder.iterdir()) == FILE_NAMES
    assert "PARTIAL RESULT" in (folder / "report.html").read_text()


def test_a_second_interruption_ends_it_at_once(write: Callable[..., Path], tmp_path: Path) -> None:
    """Even when worker and stand-in do not answer any more; the verdict is on what is known."""
    path = write(phases=[{"name": "hold", "duration": 600}])
    with started(path, "--out", tmp_path / "out", until="clock-skew") as process:
        children = descendants(process.pid)
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        while "interrupted" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, rest
    assert "PARTIAL RESULT: cut off after" in rest
    assert all_end(children)


def test_an_interruption_before_the_run_leaves_nothing(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """Exit code 130, no folder, no process."""
    streams = {"state": {"rate_hz": 1}}
    path = write(vehicles=[{"name": "cars", "count": 10_000, "streams": streams}])
    with started(path, "--out", tmp_path / "out", until="making identities") as process:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=TIMEOUT_S)
        assert descendants(process.pid) == []
    assert process.returncode == 130, rest
    assert "before the run began" in rest
    assert not (tmp_path / "out").exists()


def test_a_killed_run_leaves_no_orphans(write: Callable[..., Path], tmp_path: Path) -> None:
    """All of its processes end by themselves, and the raw result can be read."""
    path = write(phases=[{"name": "hold", "duration": 600}])
    with started(path, "--out", tmp_path / "out", until="clock-skew") as process:
        children = descendants(process.pid)
        process.kill()
        process.wait(timeout=TIMEOUT_S)
        assert len(children) == 2
        assert all_end(children)
    assert Result.read(only_folder(tmp_path / "out") / "run.jsonl").is_partial


def test_a_run_that_lost_its_processes_has_a_verdict(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """Exit code 3, whatever the checks say: this was no test of the target."""
    path = write(phases=[{"name": "hold", "duration": 600}], checks=[])
    with started(path, "--out", tmp_path / "out", until="clock-skew") as process:
        for pid in descendants(process.pid):
            os.kill(pid, signal.SIGKILL)
        rest, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 3, rest
    assert "PARTIAL RESULT: failed after" in rest
    assert "SIGKILL" in rest
    assert "Traceback" not in rest
    assert (only_folder(tmp_path / "out") / "report.html").exists()


def test_a_full_disk_does_not_cost_the_verdict(write: Callable[..., Path], tmp_path: Path) -> None:
    """Every check held, which is printed; exit code 3 because the result is not whole."""
    limit = (6_000, 6_000)
    done = run(
        write(),
        "--out",
        tmp_path / "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.returncode == 3, done.stderr
    assert "2 of 2 checks held" in done.stdout
    assert "takes no more: File too large" in done.stdout
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    folder = only_folder(tmp_path / "out")
    assert sorted(each.name for each in folder.iterdir()) == ["junit.xml", "run.jsonl"]


def test_a_reader_that_goes_away_does_not_stop_a_run(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """As with `| head`: the reports are written, and the exit code is that of the verdict."""
    with started(write(), "--out", tmp_path / "out", until="connecting") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(timeout=TIMEOUT_S)
    assert process.returncode == 0
    folder = only_folder(tmp_path / "out")
    assert sorted(each.name for each in folder.iterdir()) == FILE_NAMES
    assert not Result.read(folder / "run.jsonl").is_partial


# Quotas of the stand-in


def test_quotas_can_be_given_on_the_command_line(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """A file from where the command is given, enforced: 15 messages a second become 5."""
    quotas = tmp_path / "mine" / "own.toml"
    quotas.parent.mkdir()
    quotas.write_text(
        'format = "morai-edge/quotas/1"\n[[quota]]\nid = "publishes-in-per-account"\nlimit = 5\n'
    )

    scenario = write(checks=["quota_refusals == 0"])
    arguments = ("--quotas", "own.toml", "--quota-mode", "enforce", "--out", tmp_path / "out")
    done = run(scenario, *arguments, cwd=quotas.parent)

    assert done.returncode == 1, done.stderr
    assert "IoT Core refused " in done.stdout
    assert "quota inbound publishes per account (5 publishes/s)" in done.stdout
    assert f"breaks 1 of the quotas of {quotas}" in done.stderr
    result = Result.read(only_folder(tmp_path / "out") / "run.jsonl")
    assert result.value("lost") == result.value("quota_refusals")
    assert result.header is not None
    assert result.header.scenario["target"]["quotas"] == str(quotas)


@pytest.mark.parametrize(
    ("changes", "options", "what"),
    [
        (
            {
                "target": {"kind": "broker", "host": "127.0.0.1", "port": 1, "tls": False},
                "identities": {"kind": "none"},
            },
            ["--quotas", "low"],
            "--quotas and --quota-mode are of the stand-in",
        ),
        ({"probes": [{}]}, ["--quotas", "off"], "with these quotas the scenario cannot be run"),
        ({}, ["--quotas", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_quotas_that_cannot_be_are_explained(
    write: Callable[..., Path],
    tmp_path: Path,
    changes: dict[str, Any],
    options: list[str],
    what: str,
) -> None:
    """Exit code 2 and what is wrong; nothing is started and no folder is made."""
    done = run(write(**changes), *options, "--out", tmp_path / "out")

    assert done.returncode == 2
    assert what in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()
