from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from typer.testing import CliRunner

from agent.cli.sniff import sniff, survey_table
from agent.morai.survey import Survey
from certs.errors import LinkError
from tests.agent.morai.datagrams import ego_status_e3, framed

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(sniff)
PROGRAM = """
import typer
from agent.cli.sniff import sniff
from certs.terminal import run_app
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(sniff)
run_app(app, "sniff")
"""


@contextmanager
def _sniffing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in its own process, and the port it listens on."""
    command = [sys.executable, "-c", PROGRAM, "0", "--host", "127.0.0.1", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        match = re.fullmatch(r"listening on 127\.0\.0\.1, UDP (\d+)\n", line)
        assert match, line
        try:
            yield process, int(match[1])
        finally:
            process.kill()


def _send(port: int, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in datagrams:
            sender.sendto(data, ("127.0.0.1", port))


def test_every_datagram_becomes_a_line_of_json() -> None:
    """A message, a refused datagram, and the end after the asked number."""
    with _sniffing("--json", "--count", "2") as (process, port):
        _send(port, ego_status_e3(), b"garbage")
        output, _ = process.communicate(timeout=30)
    ego, refused = [json.loads(line) for line in output.splitlines()]
    assert (ego["message"], ego["fields"]["yaw_deg"], ego["port"]) == ("EgoStatus", 14.0, port)
    assert ego["source"].startswith("127.0.0.1:")
    assert refused["error"] == "unknown_name"
    assert process.returncode == 0


def test_a_summary_counts_kinds() -> None:
    """With --summary the datagrams themselves are not printed."""
    lamps = framed(b"#LampControl$", b"\0\0")
    with _sniffing("--summary", "--json", "--count", "3") as (process, port):
        _send(port, ego_status_e3(), lamps, ego_status_e3())
        output, _ = process.communicate(timeout=30)
    kinds = {kind["kind"]: kind["count"] for kind in json.loads(output)}
    assert kinds == {"EgoStatus E3": 2, "LampControl": 1}


def test_a_table_is_printed_for_a_person() -> None:
    """The sender, the port and the fields."""
    with _sniffing("--count", "1") as (process, port):
        _send(port, framed(b"#LampControl$", b"\2\1"))
        output, _ = process.communicate(timeout=30)
    assert f"-> port {port}" in output
    assert "turn_signal" in output
    assert "right" in output


def test_silence_ends_with_a_hint_and_exit_code_1() -> None:
    """The usual reason is that host and destination port were mixed up."""
    result = CliRunner().invoke(app, ["0", "--host", "127.0.0.1", "--for", "50ms"])
    assert result.exit_code == 1
    assert "destination" in result.stderr


def test_a_port_in_use_is_a_link_error() -> None:
    """The error says what to do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        result = CliRunner().invoke(app, [str(port), "--host", "127.0.0.1", "--for", "50ms"])
    assert isinstance(result.exception, LinkError)
    assert "already in use" in result.exception.what
    assert result.exception.remedy


def test_the_summary_table_names_kind_rate_and_sender() -> None:
    """Ten per second for one second."""
    survey = Survey()
    for number in range(11):
        survey.observe(909, ego_status_e3(), "10.0.0.1:908", number / 10)
    out = Console(width=120)
    with out.capture() as captured:
        out.print(survey_table(survey, 3.0))
    (row,) = [line.split() for line in captured.get().splitlines() if "EgoStatus" in line]
    assert row == ["909", "EgoStatus", "E3", "181", "11", "10.0", "2.0", "10.0.0.1:908"]
