"""`morai-sim demo` as a user meets it, in its own process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PATIENCE_S = 100
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")


class Demo:
    """A running demo.

    Args:
        folder: Where it may leave temporary files, which is also where it runs.
        arguments: Options of the command.
    """

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                "TMPDIR": str(folder),
                "PYTHONPATH": str(ROOT),
                "NO_COLOR": "1",
                "COLUMNS": "100",
                **environment,
            },
        )
        self._watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        self._watchdog.start()

    def wait_for(self, text: str) -> None:
        """Read lines of standard output until one holds the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} never came: {self.lines} {self.process.communicate()}")

    def child(self) -> int:
        """Process id of the agent."""
        pid = self.process.pid
        files = Path(f"/proc/{pid}/task").glob("*/children")
        (child,) = {int(word) for file in files for word in file.read_text().split()}
        return child

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, standard output, standard error."""
        out, err = self.process.communicate()
        self.close()
        return self.process.returncode, "".join(self.lines) + out, err

    def close(self) -> None:
        """Make sure nothing is left."""
        self._watchdog.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def demo(folder: Path, *arguments: str, **environment: str) -> Iterator[Demo]:
    """A demo that is gone at the end of the test."""
    running = Demo(folder, *arguments, **environment)
    try:
        yield running
    finally:
        running.close()


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run it to its end: exit code, standard output, standard error."""
    with demo(folder, *arguments, **environment) as running:
        return running.end()


def is_alive(pid: int) -> bool:
    """Whether a process is running; one that ended and was not collected is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def names(document: dict[str, Any], *, held: bool) -> set[str]:
    """Names of the checks that held, or did not."""
    return {check["name"] for check in document["checks"] if check["held"] is held}


def test_the_whole_story_on_standard_output_as_json(tmp_path: Path) -> None:
    """One command runs everything, every promise is kept, and a program can read the verdict."""
    code, out, err = run(tmp_path, "--headless", "--for", "15s", "--json", "-")

    assert code == 0, err
    document = json.loads(out)  # nothing but the document
    assert document["format"] == "morai-edge/demo-verdict/1"
    assert document["held"] is True
    assert names(document, held=False) == set()
    assert len(document["checks"]) == 13
    streams = {item["stream"]: item for item in document["streams"]}
    assert set(streams) >= {"state", "objects", "imu", "gnss", "traffic-light"}
    for name in ("state", "objects", "imu", "traffic-light"):
        assert streams[name]["received"] == streams[name]["sent"] > 300
    for item in streams.values():
        assert item["lost"] == item["repeated"] == item["out_of_order"] == 0
    assert document["command_round_trip_ms"]["count"] >= 10
    # A person watches the same on standard error.
    for check in document["checks"]:
        assert f"ok      {check['name']}: " in err
    assert "agent online" in err
    assert "Every check held (13)" in err
    assert "\x1b" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_recorded_drive(tmp_path: Path) -> None:
    """Five seconds of the real drive arrive sample by sample; the verdict goes into a file."""
    code, out, err = run(
        tmp_path,
        *("--drive", "recording", "--headless", "--for", "5s", "--json", "verdict.json"),
        MORAI_AGENT_BROKER__ENDPOINT="not.the.users.broker.invalid",
    )

    assert code == 0, out + err
    document = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert document["held"] is True
    assert "Vehicle.Speed equals the recording" in names(document, held=True)
    (state,) = (item for item in document["streams"] if item["stream"] == "state")
    # 50 Hz for the time it was asked for, give or take the start.
    assert 230 <= state["received"] == state["sent"] <= 260
    assert "every sample arrived once and in order" in out
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


@on_linux
def test_a_killed_agent_makes_the_verdict_fail(tmp_path: Path) -> None:
    """Exit code 1, a failed verdict in the file, and the folder with the agent's log is named."""
    keep = tmp_path / "kept"
    with demo(tmp_path, "--headless", "--keep", str(keep), "--json", "verdict.json") as running:
        running.wait_for("external control is engaged")
        os.kill(running.child(), signal.SIGKILL)
        code, out, err = running.end()

    assert code == 1, err
    document = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert document["held"] is False
    assert "the agent runs until it is told to stop" in names(document, held=False)
    assert "external control is engaged" in names(document, held=True)
    assert "FAILED  the agent runs until it is told to stop" in out
    assert "checks failed." in out
    assert str(keep) in out
    assert (keep / "agent.log").is_file()
    assert "Traceback" not in out + err


@on_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal: exit code 130, no agent left, no files left."""
    with demo(tmp_path, "--headless", "--for", "60s") as running:
        running.wait_for("agent online")
        child = running.child()
        assert is_alive(child)
        running.process.send_signal(number)
        code, out, err = running.end()

    assert code == 130, err
    assert not is_alive(child)
    assert out.endswith("Interrupted.\n")
    assert err == ""
    assert list(tmp_path.iterdir()) == []


@on_linux
def test_a_kept_folder_is_kept_and_named_after_an_interrupt(tmp_path: Path) -> None:
    """What the user asked to keep stays, and the agent's log tells that it was stopped in order."""
    keep = tmp_path / "kept"
    with demo(tmp_path, "--headless", "--keep", str(keep)) as running:
        running.wait_for("agent online")
        # An impatient user: the second one must not cut the stopping of the agent short.
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGINT)
        code, out, _ = running.end()

    assert code == 130
    assert str(keep) in out
    assert "agent_stopped" in (keep / "agent.log").read_text(encoding="utf-8")


@on_linux
def test_a_closed_pipe_ends_it_without_an_agent_left(tmp_path: Path) -> None:
    """`morai-sim demo --headless | head -3` ends soon, quietly, and takes the agent along."""
    with demo(tmp_path, "--headless", "--for", "15s") as running:
        running.wait_for("agent online")
        child = running.child()
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.process.wait()

        assert running.process.stderr is not None
        assert "Traceback" not in running.process.stderr.read()
        assert running.process.returncode == 3
        assert not is_alive(child)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--for", "5s"], "too short"),
        (["--for", "soon"], "no duration"),
        (["--drive", "by-wire"], "by-wire"),
        (["--json", "missing/verdict.json"], "missing"),
        (["--json", "."], "is a folder"),
        (["--keep", "full"], "is not empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_refused_before_anything_starts(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    """Exit code 2 at once, with what is wrong, and nothing left behind."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()

    code, out, err = run(tmp_path, "--headless", *arguments)

    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
