"""What stands and moves on the loop road at the start: the scenarios the stand-in can load by name.

Owns the built-in scenarios. It must not know how anything moves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """A place on the loop road.

    Attributes:
        s_m: Distance along the reference line.
        lane: Lane, 0 is the right one.
        speed_mps: Speed at the start; for a car also the speed it wants to drive.
    """

    s_m: float
    lane: int = 0
    speed_mps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that a scenario load can place.

    Attributes:
        name: What `ScenarioLoad` names it, at most 30 ASCII characters.
        ego: Where the ego starts.
        cars: Other cars.
        walkers_m: Places along the road where a pedestrian crosses.
        obstacles: Things that stand on the road.
    """

    name: str
    ego: Placement = Placement(20.0)
    cars: tuple[Placement, ...] = ()
    walkers_m: tuple[float, ...] = ()
    obstacles: tuple[Placement, ...] = ()


def _ring(count: int) -> tuple[Placement, ...]:
    """Cars spread around the loop, the left lane faster than the right one."""
    return tuple(
        Placement(70.0 + 720.0 * i / count, i % 2, 8.0 + 2.0 * (i % 2) + 0.3 * (i % 5))
        for i in range(count)
    )


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="open-road"),
        Scenario(name="city-loop", cars=_ring(8), walkers_m=(204.0, 604.0)),
        Scenario(name="busy-loop", cars=_ring(16), walkers_m=(202.0, 206.0, 602.0, 606.0)),
        Scenario(name="parked-car", obstacles=(Placement(120.0, 0),)),
    )
}
DEFAULT_SCENARIO = "city-loop"
