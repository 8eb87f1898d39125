"""Small scenarios for the tests of the forecast, with payloads of a known size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.forecast import demand
from simulator.scenario.roster import Roster
from simulator.scenario.schema import Scenario, Stream

if TYPE_CHECKING:
    from simulator.forecast.demand import Demand

PAYLOAD_BYTES = 250


def scenario(**changes: Any) -> Scenario:
    """A scenario of ten silent cars that are there from the start, for one minute."""
    document: dict[str, Any] = {
        "name": "small",
        "description": "a test",
        "vehicles": [{"name": "cars", "count": 10, "streams": {}}],
        "arrival": {"kind": "at-once"},
        "phases": [{"name": "all", "duration": 60}],
        "drain": 0,
    }
    return Scenario.model_validate(document | changes)


def known_bytes(name: str, stream: Stream, thing: str) -> int:
    """Payload of a stream: as the scenario says, else `PAYLOAD_BYTES`."""
    del name, thing
    return stream.payload_bytes or PAYLOAD_BYTES


def demand_of(**changes: Any) -> Demand:
    """The demand of a scenario with payloads of a known size."""
    made = scenario(**changes)
    return demand.of(made, Roster(made), known_bytes)
