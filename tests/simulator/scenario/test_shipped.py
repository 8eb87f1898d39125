from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario.explanation import plan
from simulator.scenario.loader import load
from simulator.scenario.roster import Roster
from simulator.scenario.schema import StandInTarget

FOLDER = Path(__file__).parents[3] / "scenarios"
NAMES = (
    "smoke-10",
    "city-100",
    "city-1k",
    "commute-ramp",
    "reconnect-storm",
    "command-storm",
    "real-drive-fleet",
    "quota-edge",
)


def test_these_are_all() -> None:
    """The list above and the folder agree."""
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_run(name: str) -> None:
    """Without problems and warnings, named as its file, saying which question it answers."""
    loaded = load(FOLDER / f"{name}.yaml")

    assert loaded.warnings == ()
    assert loaded.scenario.name == name
    assert "?" in loaded.scenario.description
    assert loaded.text.splitlines()[2].startswith("# ")


@pytest.mark.parametrize("name", NAMES)
def test_it_fits_on_a_laptop(name: str) -> None:
    """Offline, at most three minutes, 60 new cars and 4,000 messages a second."""
    scenario = load(FOLDER / f"{name}.yaml").scenario
    roster = Roster(scenario)

    arrivals_s = roster.arrivals_s().tolist()
    busiest = max(sum(at <= other < at + 1 for other in arrivals_s) for at in arrivals_s)
    assert isinstance(scenario.target, StandInTarget)
    assert scenario.duration_s + scenario.drain <= 180
    assert busiest <= 60
    assert max(each.rate_hz for each in plan(scenario, roster)) <= 4000


@pytest.mark.parametrize("name", NAMES)
def test_it_promises_that_cars_connect_and_nothing_is_lost(name: str) -> None:
    """Asked for and connected cars are compared, and observers look for losses."""
    scenario = load(FOLDER / f"{name}.yaml").scenario

    assert "connected_share == 100 %" in scenario.checks
    assert "lost == 0" in scenario.checks
    assert any(observers.share == 1 for observers in scenario.applications.observers)
    assert any(check.percentile is not None for check in scenario.parsed_checks)
