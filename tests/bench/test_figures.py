"""How figures are judged and shown; nothing here depends on how fast this machine is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from typer.testing import CliRunner

from certs.errors import ConfigurationError
from tests.bench import __main__ as command
from tests.bench import telemetry_cost
from tests.bench.figure import Figure, Missing, NotMeasurableError, document, table
from tests.bench.timing import Latencies

if TYPE_CHECKING:
    from pathlib import Path

runner = CliRunner()


def test_a_figure_is_the_median_of_its_runs() -> None:
    """One disturbed run among three does not move the figure."""
    figure = Figure("x", "us", (4.0, 90.0, 5.0), "how", 10.0)

    assert figure.value == 5.0
    assert figure.ratio == 0.5


@pytest.mark.parametrize(
    ("value", "colour", "shown"), [(9, "32", "0.90"), (10, "32", "1.00"), (11, "1;31", "1.10")]
)
def test_red_is_over_budget(value: float, colour: str, shown: str) -> None:
    """The ratio is green up to 1 and bold red above."""
    console = Console(force_terminal=True, color_system="standard", width=120)
    with console.capture() as lines:
        console.print(table([Figure("x", "us", (value,), "how", 10.0)]))

    assert re.search(rf"\x1b\[{colour}m *{shown}\x1b", lines.get())


def test_what_cannot_be_measured_says_why() -> None:
    """A benchmark that this machine cannot run stays in the table and in the document."""
    missing = Missing("agent-load", "no /proc here")
    console = Console(width=120)
    with console.capture() as lines:
        console.print(table([missing]))

    assert "not measured: no /proc here" in lines.get()
    assert document([missing]) == [{"what": "agent-load", "not_measured": "no /proc here"}]


def test_percentiles_are_in_milliseconds() -> None:
    """Of 1 to 100 ms, half are at most 50 ms and 99 at most 99 ms, to three digits."""
    latencies = Latencies()
    for number in range(1, 101):
        latencies.record(number * 1_000_000)

    assert len(latencies) == 100
    assert latencies.ms(50) == pytest.approx(50, rel=0.002)
    assert latencies.ms(99) == pytest.approx(99, rel=0.002)


def test_both_drives_keep_the_budget_of_metered_units() -> None:
    """Batches of the modelled and the recorded drive cost at most 1/40 of single messages."""
    figures = telemetry_cost.measure(quick=True)

    assert len(figures) == 2
    assert all(figure.value <= 1 / 40 for figure in figures)


def _fake(*, quick: bool) -> list[Figure]:
    return [Figure("fake", "us", (1.0 if quick else 30.0,), "made up", 10.0)]


def _impossible(*, quick: bool) -> list[Figure]:
    raise NotMeasurableError("quick" if quick else "slow")


def test_over_budget_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine comes first, the figure stands beside its budget, and the exit code is 0."""
    fakes = {"fake": _fake, "impossible": _impossible}
    monkeypatch.setattr(command, "BENCHMARKS", fakes)
    path = tmp_path / "figures.json"

    result = runner.invoke(command.app, ["--json", str(path)])

    assert result.exit_code == 0
    assert "cores of" in result.stdout.splitlines()[0]
    assert "not measured: slow" in result.stdout
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["machine"]["cores"] >= 1
    assert written["figures"][0] == {
        "what": "fake",
        "figure": 30.0,
        "unit": "us",
        "budget": 10.0,
        "ratio": 3.0,
        "runs": [30.0],
        "how": "made up",
    }


def test_one_benchmark_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is named is measured, quickly when asked to, and JSON alone goes to a pipe."""
    monkeypatch.setattr(command, "BENCHMARKS", {"fake": _fake, "impossible": _impossible})

    result = runner.invoke(command.app, ["fake", "--quick", "--json", "-"])

    assert [item["figure"] for item in json.loads(result.stdout)["figures"]] == [1.0]


def test_an_unknown_benchmark_is_named() -> None:
    """A misspelt name is a usage error that lists the right ones."""
    result = runner.invoke(command.app, ["codex"])

    assert isinstance(result.exception, ConfigurationError)
    assert "codec" in result.exception.remedy
