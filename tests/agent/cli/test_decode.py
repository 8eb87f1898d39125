from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from agent.cli.decode import decode, value_text
from certs.errors import ConfigurationError
from tests.agent.morai.datagrams import ego_status_e3, framed

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(decode)
runner = CliRunner()


def test_a_binary_file_is_shown_as_a_table(tmp_path: Path) -> None:
    """Offset, field, value and unit of every field."""
    file = tmp_path / "ego.bin"
    file.write_bytes(ego_status_e3())
    result = runner.invoke(app, [str(file)])
    assert result.exit_code == 0
    assert "EgoStatus E3 - 181 bytes, from simulator" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if " yaw_deg " in line]
    assert row.split()[:4] == ["97", "yaw_deg", "14", "deg"]


def test_hexadecimal_text_from_standard_input_as_json() -> None:
    """Several datagrams give one JSON document a line; a bad one gives exit code 1."""
    lamps = framed(b"#LampControl$", b"\1\0")
    text = f"{ego_status_e3().hex(' ')}\n{lamps.hex()}\n23 24\n"
    result = runner.invoke(app, ["--json", "-"], input=text)
    assert result.exit_code == 1
    ego, lamp, refused = [json.loads(line) for line in result.stdout.splitlines()]
    assert ego["fields"]["link_id"] == "A2256W001086"
    assert ego["fields"]["yaw_deg"] == 14.0
    assert lamp == {
        "message": "LampControl",
        "layout": "",
        "size": 33,
        "direction": "to_simulator",
        "warnings": [],
        "fields": {"turn_signal": 1, "emergency": False},
    }
    assert refused["error"] == "unknown_name"


def test_a_refused_datagram_is_named_on_standard_error(tmp_path: Path) -> None:
    """The reason and the sizes that would have been right."""
    file = tmp_path / "cut.bin"
    file.write_bytes(ego_status_e3()[:100])
    result = runner.invoke(app, [str(file)])
    assert result.exit_code == 1
    assert "datagram 1: wrong_size" in result.stderr
    assert "181" in result.stderr


def test_the_direction_can_be_given(tmp_path: Path) -> None:
    """For the one name that is used both ways."""
    file = tmp_path / "light.bin"
    file.write_bytes(framed(b"#TrafficLight$", bytes(16)))
    result = runner.invoke(app, ["--direction", "to-simulator", "--json", str(file)])
    assert json.loads(result.stdout)["message"] == "SetTrafficLight"


@pytest.mark.parametrize("content", [None, b"", b"123", b"\0" * 70_000])
def test_a_file_without_a_datagram_is_a_mistake_of_the_user(
    tmp_path: Path, content: bytes | None
) -> None:
    """Missing, empty, half a byte of text, larger than any datagram."""
    file = tmp_path / "input"
    if content is not None:
        file.write_bytes(content)
    result = runner.invoke(app, [str(file)])
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 2


def test_control_characters_of_the_network_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """The bytes of an unknown datagram are shown escaped."""
    file = tmp_path / "evil.bin"
    file.write_bytes(b"\x1b]0;owned\x07[bold]")
    result = runner.invoke(app, [str(file)])
    assert "\x1b" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.10000000149011612, "0.1"),
        (12345.6787109375, "12345.679"),
        (37.123456789, "37.123456789"),
        (1e300, "1e+300"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("", "(empty)"),
        (None, "-"),
        (True, "True"),
        ((1, 2.5), "1, 2.5"),
        (tuple(range(20)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (20 values)"),
    ],
)
def test_values_are_shown_in_the_digits_they_have(value: object, text: str) -> None:
    """The shortest text with the same value, and cut lists."""
    assert value_text(value) == text
