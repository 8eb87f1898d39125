"""The guide `docs/scenarios.md` against the models and the files it speaks of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from simulator.scenario.anatomy import kinds_of, shape_of
from simulator.scenario.checks import METRICS
from simulator.scenario.document import read
from simulator.scenario.loader import load, parse
from simulator.scenario.schema import LASTING_FAULTS, Fault, Scenario, VehicleGroup

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
WHOLE = SNIPPETS[0]


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of a section's table by their first cell, without marks of code."""
    section = re.split(rf"^#+ {heading}$", GUIDE, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    return {re.sub(r"[`|]| \(default\)", "", first).strip(): others for first, *others in cells[1:]}


def test_metrics_are_those_of_the_code() -> None:
    """Name, kind, cuts and meaning of every metric, and no other."""
    assert rows("Checks") == {
        name: [metric.kind, ", ".join(sorted(metric.cuts)) or "nothing", f"{metric.meaning}"]
        for name, metric in METRICS.items()
    }


def test_faults_are_those_of_the_code() -> None:
    """Every kind of fault has a row, and those that last say so."""
    table = rows("Faults")

    assert set(table) == set(get_args(Fault.model_fields["kind"].annotation))
    assert {kind for kind, cells in table.items() if "`duration`" in cells[-1]} == LASTING_FAULTS


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("Motion", VehicleGroup.model_fields["motion"]),
        ("Arrivals", Scenario.model_fields["arrival"]),
        ("Where the load goes: target and identities", Scenario.model_fields["target"]),
    ],
    ids=["motion", "arrival", "target"],
)
def test_kinds_are_those_of_the_code(heading: str, field: object) -> None:
    """Every kind of motion, arrival and target has a row, and there are no other rows."""
    shape = shape_of(getattr(field, "annotation", None))

    assert set(rows(heading)) == set(kinds_of(shape))


def test_shipped_scenarios_are_listed() -> None:
    """Each file of the folder has a row with its number of cars and its length."""
    table = {
        re.sub(r"\[(.+)\].*", r"\1", name): cells
        for name, cells in rows("The scenarios that are shipped").items()
    }

    for path in (ROOT / "scenarios").glob("*.yaml"):
        scenario = load(path).scenario
        assert table.pop(path.stem)[1:] == [
            f"{scenario.vehicle_count:,}",
            f"{scenario.duration_s:g} s",
        ]
    assert table == {}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split(":")[0][:20])
def test_snippets_can_be_used(snippet: str) -> None:
    """Each piece of YAML is a scenario, or makes one together with the whole one above it."""
    parts = set(read(snippet).value or {})
    others = [
        block
        for block in re.split(r"^(?=\S)", WHOLE, flags=re.MULTILINE)
        if block and block.split(":")[0] not in parts
    ]
    # A phase `steady` and vans that take commands are what the checks and faults speak of.
    text = "".join(others).replace("count: 2\n", "count: 20\n    commands: {}\n") + snippet
    if "phases" in parts:
        text = text.replace(" during steady of vans", "")

    assert parse(text)[1] == []
