"""`morai-sim host` as a user meets it, in its own process."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[3] / "scenarios" / "recordings" / "highway-minute.mcap"
RUN = """
import typer
from certs.terminal import run_app
from simulator.cli.host import host
app = typer.Typer()
app.command()(host)
run_app(app, "host")
"""
CHANNELS = [
    "ego_control",
    "lamps",
    "scenario_load",
    "multi_ego",
    "set_traffic_light",
    "set_intersection",
    "ego_ghost",
    "npc_ghost",
    "sensor_position",
    "save_sensor_data",
    "trajectory_tracking",
]
ANY_PORT = [
    *(part for name in CHANNELS for part in ("--port", f"{name}=0")),
    *(
        part
        for name in ("ego_status", "objects", "collision", "traffic_light", "imu", "gps")
        for part in ("--port", f"{name}=0:9")
    ),
]


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command on ports that are free."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *ANY_PORT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=SHIPPED.parents[2],
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
    )


def test_json_report_of_a_recording() -> None:
    """The last line is a JSON document with mode, counts and ports."""
    process = start("--for", "0.5s", "--json", "--drive", "recording", str(SHIPPED))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["final"]
    assert report["sent"]["ego_status"] >= 10
    assert 7.0 < report["speed_mps"] < 12.0  # the drive begins at about 8 m/s and speeds up
    assert report["ports"]["ego_control"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="sends a Unix signal")
def test_interrupt_ends_cleanly() -> None:
    """Ctrl-C ends the run with its summary and exit code 0."""
    process = start("--for", "60s")
    assert process.stdout is not None
    # The first line comes once it runs; then it certainly listens for Ctrl-C.
    watchdog = threading.Timer(50, process.kill)
    watchdog.start()
    try:
        assert "speed" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        watchdog.cancel()
    assert process.returncode == 0, err
    assert "gear P" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--drive", "recording"], "belong together"),
        (["--drive", "recording", "no-such-file.mcap"], "cannot be read"),
        (["--fault", "gremlins=1"], "no fault"),
        (["--rate", "imu=1000"], "200"),
        (["--steer-sign", "0"], "-1 or 1"),
        (["--scenario", "moon"], "choose among"),
        (["--origin", "here"], "EAST,NORTH,UP"),
        (["--crs", "EPSG:4326"], "not a projected"),
        (["--for", "soon"], "500ms"),
        (["--destination", "nowhere.example"], "IP addresses"),
        (["--keyboard"], "terminal"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], message: str) -> None:
    """A wrong option ends with exit code 2 and a sentence, not with a traceback."""
    process = start(*arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in err
    assert "Traceback" not in err
