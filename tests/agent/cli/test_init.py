"""`morai-agent init` as a user types it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.configuration import load_configuration
from certs.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)


def test_the_file_is_written_and_accepted(tmp_path: Path) -> None:
    """What was asked for stands in the file, the next step is named, and the file loads."""
    result = RUNNER.invoke(
        app, ["init", "--thing", "car-7", "--fleet", "seoul", "--endpoint", "b.example"]
    )

    assert result.exit_code == 0
    assert "morai-agent check -c agent.toml" in result.output
    configuration = load_configuration(tmp_path / "agent.toml", {})
    assert (configuration.vehicle.thing, configuration.vehicle.fleet) == ("car-7", "seoul")
    assert configuration.broker.endpoint == "b.example"
    assert configuration.broker.certificate == tmp_path / "identities/things/car-7/cert.pem"
    assert configuration.broker.ca == tmp_path / "identities/ca/ca.pem"


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    """Without --force the file stays; with it, it is replaced."""
    path = tmp_path / "agent.toml"
    path.write_text("mine", encoding="utf-8")

    refused = RUNNER.invoke(app, ["init"])
    assert isinstance(refused.exception, ConfigurationError)
    assert refused.exception.exit_code == 2
    assert "--force" in refused.exception.remedy
    assert path.read_text(encoding="utf-8") == "mine"

    assert RUNNER.invoke(app, ["init", "--force"]).exit_code == 0
    assert tomllib.loads(path.read_text(encoding="utf-8"))["vehicle"]["thing"] == "car-0001"


def test_printing_writes_nothing(tmp_path: Path) -> None:
    """--print shows the file on standard output, ready for a pipe."""
    result = RUNNER.invoke(app, ["init", "--print"])

    assert tomllib.loads(result.stdout)["broker"]["port"] == 8883
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--thing", "car 1"], "vehicle.thing"),
        (["--thing", 'x"\nfleet = "y'], "vehicle.thing"),
        (["--fleet", "a/b"], "vehicle.fleet"),
        (["--endpoint", ""], "broker.endpoint"),
    ],
)
def test_what_the_agent_would_refuse_is_not_written(
    tmp_path: Path, arguments: list[str], part: str
) -> None:
    """A name that cannot be a thing name is refused here and not by the next command."""
    result = RUNNER.invoke(app, ["init", *arguments])

    assert isinstance(result.exception, ConfigurationError)
    assert part in result.exception.what
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_windows_survives(tmp_path: Path) -> None:
    r"""Backslashes in a store's path are no escapes: C:\new stays what it is."""
    result = RUNNER.invoke(app, ["init", "--store", r"C:\new\identities"])

    assert result.exit_code == 0
    broker = tomllib.loads((tmp_path / "agent.toml").read_text(encoding="utf-8"))["broker"]
    assert broker["ca"] == r"C:\new\identities/ca/ca.pem"


def test_a_folder_that_cannot_be_written_is_an_environment_error(tmp_path: Path) -> None:
    """A missing folder is named, with exit code 3."""
    result = RUNNER.invoke(app, ["init", "-c", str(tmp_path / "none" / "agent.toml")])

    assert isinstance(result.exception, StorageError)
    assert "cannot be written" in result.exception.what
