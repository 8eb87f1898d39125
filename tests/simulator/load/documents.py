"""Scenarios for tests of the load room."""

from __future__ import annotations

from typing import Any

from simulator.scenario.schema import Scenario


def scenario(**changes: Any) -> Scenario:
    """Three cars, one observer, two commanders; parts can be replaced."""
    document: dict[str, Any] = {
        "name": "small",
        "description": "for a test",
        "fleet": "load",
        "vehicles": [{"name": "city", "count": 3, "streams": {"state": {"rate_hz": 1}}}],
        "phases": [{"name": "hold", "duration": 100}],
        "applications": {"observers": [{}], "commanders": [{"count": 2}]},
    }
    return Scenario.model_validate(document | changes)
