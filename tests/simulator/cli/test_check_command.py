from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from certs.errors import ConfigurationError
from simulator.cli.check import check
from simulator.cli.schema import schema
from simulator.scenario import json_schema
from simulator.scenario.loader import ScenarioError, parse

SCENARIOS = Path(__file__).parents[3] / "scenarios"
BAD = "name: bad\ndescripton: x\nvehicles: [{name: cars, count: 0}]\nphases: []\n"
app = typer.Typer()
app.command()(check)
app.command()(schema)


def invoke(*arguments: str) -> tuple[int, str]:
    """Exit code and standard output of a call."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "100", "NO_COLOR": "1"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_check_explains_a_scenario() -> None:
    """In words: who connects where, what must hold, and what it would cost at AWS."""
    code, out = invoke("check", str(SCENARIOS / "smoke-10.yaml"))

    words = " ".join(out.split())
    assert code == 0
    assert "10 cars connect to the IoT Core stand-in" in words
    assert "- lost is exactly 0" in words
    assert "per month" in words
    assert "\x1b" not in out


def test_check_gives_machines_one_document() -> None:
    """Explanation, phases, forecast, and the scenario with all its defaults."""
    code, out = invoke("check", str(SCENARIOS / "city-100.yaml"), "--json")

    found = json.loads(out)
    assert (code, found["ok"], found["cars"], found["duration_s"]) == (0, True, 100, 60)
    assert [phase["name"] for phase in found["phases"]] == ["arriving", "steady"]
    assert found["phases"][1]["messages_per_s_at_end"] == 60 * 1 + 30 * 3 + 10
    assert found["scenario"]["vehicles"][0]["motion"]["kind"] == "city"
    assert set(found["forecast"]) >= {"quotas", "cost"}


def test_check_refuses_a_bad_file_with_all_problems(tmp_path: Path) -> None:
    """The error names file and line of each; its exit code is that of a wrong configuration."""
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)

    with pytest.raises(ScenarioError) as caught:
        invoke("check", str(file))

    assert caught.value.exit_code == 2
    for line in (2, 3, 4):
        assert f"{file}:{line}: " in caught.value.what


def test_check_gives_machines_the_problems_too(tmp_path: Path) -> None:
    """With --json they are a list on standard output, and the exit code is 2 as well."""
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)

    code, out = invoke("check", str(file), "--json")

    found = json.loads(out)
    assert (code, found["ok"]) == (2, False)
    assert [problem["where"] for problem in found["problems"]] == [
        "descripton",
        "vehicles[0].count",
        "phases",
    ]
    assert [problem["line"] for problem in found["problems"]] == [2, 3, 4]


def test_terminal_commands_in_a_scenario_do_nothing(tmp_path: Path) -> None:
    """Control characters of a description are shown, not obeyed."""
    file = tmp_path / "x.yaml"
    file.write_text(
        'name: x\ndescription: "a\\e[2Jb"\nvehicles: [{name: cars, count: 1}]\n'
        "phases: [{name: p, duration: 1}]\n"
    )

    _, out = invoke("check", str(file))

    assert "\x1b" not in out
    assert "a\\x1b[2Jb" in out


def test_schema_is_printed() -> None:
    """On standard output, as one JSON document that is the schema."""
    code, out = invoke("schema")

    assert code == 0
    assert json.loads(out) == json_schema.build()


def test_an_example_is_printed() -> None:
    """A scenario that can be run as it is."""
    code, out = invoke("schema", "--example")

    assert code == 0
    assert parse(out)[1:] == ([], [])


def test_schema_is_written_to_a_file(tmp_path: Path) -> None:
    """The file is replaced, nothing else is left behind, and standard output stays empty."""
    file = tmp_path / "scenario.schema.json"
    file.write_text("old")

    code, out = invoke("schema", "--out", str(file))

    assert (code, out) == (0, "")
    assert file.read_text(encoding="utf-8") == json_schema.text()
    assert list(tmp_path.iterdir()) == [file]


def test_only_files_are_replaced(tmp_path: Path) -> None:
    """A folder, or a device, under the name given is left alone."""
    with pytest.raises(ConfigurationError, match="no file"):
        invoke("schema", "--out", str(tmp_path))


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    """Writing where there is no folder is an error of storage with the path in it."""
    with pytest.raises(OSError, match="no-such-folder"):
        invoke("schema", "--out", str(tmp_path / "no-such-folder" / "x.json"))
