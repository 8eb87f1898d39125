"""`morai-sim report` and `morai-sim compare`: what they print, write and end with."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from certs.errors import ConfigurationError, StorageError
from simulator.cli.compare import compare
from simulator.cli.report import report
from tests.simulator.report import records_of_a_run

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result as Outcome

APP = typer.Typer()
APP.command()(report)
APP.command()(compare)


def run(*arguments: object) -> Outcome:
    """Run a command; errors of ours are raised."""
    outcome = CliRunner().invoke(APP, list(map(str, arguments)))
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def test_a_failed_check_ends_with_one(tmp_path: Path) -> None:
    """The exit code says whether all checks held."""
    failed = records_of_a_run.write(tmp_path / "failed.jsonl", seconds=65)
    held = records_of_a_run.write(tmp_path / "held.jsonl", seconds=65, checks=["connected > 9"])
    outcome = run("report", failed)
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines()[0].startswith("98 of 100 cars connected; ")
    assert run("report", held).exit_code == 0


@pytest.mark.parametrize(("outcome", "code"), [("interrupted", 130), ("failed", 3), ("cut off", 3)])
def test_a_run_that_was_not_completed_ends_as_it_did(
    tmp_path: Path, outcome: str, code: int
) -> None:
    """Whatever its checks say, the report of a partial run ends as the run itself."""
    for checks in (["connected > 9"], ["connected > 1000"]):
        raw = records_of_a_run.write(tmp_path / "run.jsonl", outcome=outcome, checks=checks)
        assert run("report", raw).exit_code == code


def test_every_form_comes_from_the_file(tmp_path: Path) -> None:
    """JSON goes to standard output alone, JUnit and HTML to their files."""
    raw = records_of_a_run.write(tmp_path / "run.jsonl", seconds=65)
    junit, page = tmp_path / "run.xml", tmp_path / "run.html"
    outcome = run("report", raw, "--json", "--junit", junit, "--html", page)
    document = json.loads(outcome.stdout)
    assert document["format"] == "morai-edge/report/1"
    assert len(list(ET.parse(junit).iter("testcase"))) == 6
    assert document["first_line"] in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.html", "run.jsonl", "run.xml"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder that is none is an error of storage that names the file."""
    raw = records_of_a_run.write(tmp_path / "run.jsonl")
    (tmp_path / "taken").write_text("no folder")
    with pytest.raises(StorageError, match=r"taken/run\.xml"):
        run("report", raw, "--junit", tmp_path / "taken" / "run.xml")


def test_comparing_ends_with_zero_unless_asked(tmp_path: Path) -> None:
    """A difference is no failure without a bound, and one with it."""
    before = records_of_a_run.write(tmp_path / "a.jsonl", seconds=65)
    after = records_of_a_run.write(tmp_path / "b.jsonl", seconds=65, lateness_s=0.005)
    assert run("compare", before, after).exit_code == 0
    assert run("compare", before, after, "--fail-above", 900).exit_code == 0
    outcome = run("compare", before, after, "--fail-above", 100)
    assert outcome.exit_code == 1
    assert "lateness_ms.p99" in outcome.stderr


def test_comparing_gives_json(tmp_path: Path) -> None:
    """With --json there is one document and nothing else on standard output."""
    raw = records_of_a_run.write(tmp_path / "run.jsonl")
    document = json.loads(run("compare", raw, raw, "--json").stdout)
    assert document["format"] == "morai-edge/comparison/1"
    assert document["warnings"] == []


def test_files_that_are_no_results_are_refused(tmp_path: Path) -> None:
    """Both commands refuse what is no result, with its name."""
    raw = records_of_a_run.write(tmp_path / "run.jsonl")
    other = tmp_path / "scenario.yaml"
    other.write_text("name: city-1k\n")
    for arguments in (("report", other), ("compare", raw, other)):
        with pytest.raises(ConfigurationError, match=r"scenario\.yaml:1"):
            run(*arguments)
