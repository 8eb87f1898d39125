"""The check of this machine: clock, ports, buffer, ledger."""

from __future__ import annotations

import socket
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.clock import clock_is_synchronised
from agent.preflight.machine import (
    check_clock,
    check_ledger,
    check_ports,
    check_receive_buffer,
)
from certs.inspection import Verdict

if TYPE_CHECKING:
    from pathlib import Path


def test_a_clock_from_before_the_release_is_wrong() -> None:
    """A machine that woke up in 1970 cannot judge certificates or expiry."""
    finding = check_clock(0.0)

    assert finding.verdict is Verdict.FAILED
    assert "1970-01-01 00:00:00 UTC" in finding.what
    assert finding.remedy


def test_a_plausible_clock_is_shown_in_utc() -> None:
    """The time is printed, so that a person can compare; only synchronisation is left to judge."""
    finding = check_clock(datetime(2027, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp())

    assert finding.verdict is not Verdict.FAILED
    assert finding.what.startswith("2027-05-06 07:08:09 UTC")


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex is a call of Linux")
def test_the_kernel_tells_whether_the_clock_is_disciplined() -> None:
    """On Linux the answer is yes or no."""
    assert clock_is_synchronised() in {True, False}


def test_ports_are_free_or_taken() -> None:
    """A taken port fails with its channel and number; a free one is left free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        findings = list(check_ports("127.0.0.1", {"ego_status": port, "imu": 0}))

    assert [(f.check, f.verdict) for f in findings] == [
        ("port ego_status", Verdict.FAILED),
        ("port imu", Verdict.OK),
    ]
    assert str(port) in findings[0].what
    assert "stop the program" in findings[0].remedy


@pytest.mark.parametrize(
    ("granted", "verdict"),
    [(208 * 1024, Verdict.NOTE), (4 * 1024 * 1024, Verdict.OK)],
)
def test_the_receive_buffer_is_judged(granted: int, verdict: Verdict) -> None:
    """Linux's default of 208 KiB is worth a note for camera and LiDAR, no more."""
    finding = check_receive_buffer(granted)

    assert finding.verdict is verdict
    assert f"{granted // 1024} KiB" in finding.what


def test_a_ledger_that_can_be_made(tmp_path: Path) -> None:
    """Nothing is written by looking."""
    finding = check_ledger(tmp_path / "new" / "folder" / "commands.sqlite")

    assert finding.verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_below_a_file(tmp_path: Path) -> None:
    """A file where a folder should be is named."""
    (tmp_path / "data").write_text("", encoding="utf-8")
    finding = check_ledger(tmp_path / "data" / "commands.sqlite")

    assert finding.verdict is Verdict.FAILED
    assert str(tmp_path / "data") in finding.what


def test_a_ledger_in_a_folder_that_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to write, no command could be recorded; the finding says so."""
    # The tests may run as root, whom no permission stops.
    monkeypatch.setattr("os.access", lambda *_arguments: False)
    finding = check_ledger(tmp_path / "commands.sqlite")

    assert finding.verdict is Verdict.FAILED
    assert "not writable" in finding.what
