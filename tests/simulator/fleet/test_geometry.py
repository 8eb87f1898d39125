import ast
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator.fleet
from agent.vehicle.frames import MapFrame
from certs.errors import ConfigurationError
from simulator.fleet import curves
from simulator.fleet.draws import Purpose, uniform
from simulator.fleet.places import Places, degrees_per_metre

OUTSIDE = {"asyncio", "socket", "ssl", "time", "random", "secrets", "uuid", "logging", "structlog"}


@pytest.mark.parametrize("path", sorted(Path(simulator.fleet.__file__).parent.glob("*.py")))
def test_the_fleet_does_not_reach_outside(path: Path) -> None:
    """No sockets, clock, logs, nor randomness without a seed."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported.isdisjoint(OUTSIDE)


@pytest.mark.parametrize("side", [1, -1])
def test_a_turn_meets_both_lanes_tangentially(side: int) -> None:
    """A quarter turn ends ahead and aside by what was asked, at a right angle, without a kink."""
    shape = curves.turn(side * math.pi / 2, 10.0)
    assert (shape.x_m[0], shape.y_m[0]) == (0, 0)
    assert shape.x_m[-1] == pytest.approx(10, abs=1e-6)
    assert shape.y_m[-1] == pytest.approx(side * 10, abs=1e-3)
    assert shape.yaw_rad[-1] == pytest.approx(side * math.pi / 2)
    assert shape.curvature[[0, -1]] == pytest.approx([0, 0])
    assert np.abs(np.diff(shape.curvature)).max() < 0.03
    # The mean curvature times the length is the angle turned.
    step = shape.length_m / (len(shape.x_m) - 1)
    turned = (shape.curvature[1:] + shape.curvature[:-1]).sum() / 2 * step
    assert turned == pytest.approx(side * math.pi / 2, rel=0.01)


def test_a_circle_of_points_has_the_curvature_of_the_circle() -> None:
    """Points on a circle of 50 m give 1/50 per metre everywhere, and a full turn of yaw."""
    angle = np.linspace(0, math.tau, 700)
    points = np.stack([50 * np.cos(angle), 50 * np.sin(angle), 0 * angle], axis=1)
    shape = curves.from_points(points, closed=True)
    assert shape.length_m == pytest.approx(math.tau * 50, rel=1e-3)
    assert shape.curvature == pytest.approx(np.full(len(shape.curvature), 0.02), abs=0.001)
    assert shape.yaw_rad[-1] - shape.yaw_rad[0] == pytest.approx(math.tau)


@given(
    st.lists(
        st.tuples(st.floats(-300, 300), st.floats(-300, 300)), min_size=2, max_size=12, unique=True
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_line_becomes_a_road_of_finite_curvature(
    corners: list[tuple[float, float]], closed: bool
) -> None:
    """Whatever corners a line has, its shape is finite, evenly spaced and bends gently."""
    points = np.array([(x, y, 0.0) for x, y in corners])
    if closed:
        points = np.concatenate([points, points[:1]])
    if np.hypot(*np.diff(points[:, :2], axis=0).T).sum() < 30:
        return
    shape = curves.from_points(points, smooth_m=4.0, closed=closed)
    for values in (shape.x_m, shape.y_m, shape.yaw_rad, shape.curvature):
        assert np.all(np.isfinite(values))
    assert np.abs(shape.curvature).max() < math.pi
    steps = np.hypot(np.diff(shape.x_m), np.diff(shape.y_m))
    assert steps.sum() == pytest.approx(shape.length_m)


KOREA = ("EPSG:32652", 302459.942, 4122635.537, 28.991)


@settings(max_examples=30, deadline=None)
@given(
    frame=st.sampled_from(
        [
            KOREA,
            ("EPSG:32610", 552232.0385, 4180770.5784, 14.6296),
            ("+proj=tmerc +lat_0=0 +lon_0=0 +k=0.9996 +datum=WGS84 +units=m", 0.0, 0.0, 0.0),
            ("+proj=tmerc +lat_0=64 +lon_0=-21 +datum=WGS84 +units=m", 0.0, 0.0, 0.0),
            ("+proj=tmerc +lat_0=-17 +lon_0=180 +datum=WGS84 +units=m", 0.0, 0.0, 0.0),
        ]
    ),
    reach_m=st.sampled_from([100.0, 2_000.0, 40_000.0, 150_000.0]),
    parts=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_places_follow_the_projection(
    frame: tuple[str, float, float, float], reach_m: float, parts: tuple[float, float]
) -> None:
    """Within the map, positions are within 0.1 m of PROJ and headings within 3 mrad."""
    there = MapFrame(*frame)
    places = Places(there, (-reach_m, -reach_m, reach_m, reach_m))
    x, y = parts[0] * reach_m, parts[1] * reach_m
    latitude, longitude, convergence = places.locate(np.array([x]), np.array([y]))
    north, east, up = there.to_wgs84(x, y, 0.0)
    assert abs(latitude[0] - north) * 111_700 < 0.1
    off_deg = math.remainder(longitude[0] - east, 360)
    assert abs(off_deg) * 111_400 * math.cos(math.radians(north)) < 0.1
    assert convergence[0] == pytest.approx(there.convergence_rad(x, y), abs=0.003)
    assert places.origin_up_m == up


def test_a_map_beyond_its_projection_is_refused() -> None:
    """A box that reaches over a third of the globe is a configuration error."""
    frame = MapFrame("+proj=tmerc +lat_0=60 +lon_0=0 +datum=WGS84 +units=m")
    with pytest.raises(ConfigurationError, match="projection"):
        Places(frame, (-9e6, -9e6, 9e6, 9e6))


def test_degrees_per_metre_are_those_of_the_ellipsoid() -> None:
    """A degree is 110,574 m at the equator and 111,694 m at a pole; along the equator 111,320 m."""
    north, east = degrees_per_metre(np.array([0.0, 89.9999]))
    assert 1 / north == pytest.approx([110_574.3, 111_694.0], abs=0.5)
    assert 1 / east[0] == pytest.approx(111_319.5, abs=0.5)


def test_draws_are_even_and_independent() -> None:
    """Numbers of cars and of counters fill the interval evenly and do not go together."""
    cars = np.arange(20_000)
    one = uniform(5, Purpose.TURN, cars, 0)
    assert one.min() >= 0
    assert one.max() < 1
    counts, _ = np.histogram(one, bins=20, range=(0, 1))
    # Chi-square with 19 degrees of freedom; 43.8 is exceeded once in a thousand seeds.
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8
    others = [
        uniform(6, Purpose.TURN, cars, 0),
        uniform(5, Purpose.STOP, cars, 0),
        uniform(5, Purpose.TURN, cars, 1),
        uniform(5, Purpose.TURN, cars + 1, 0),
    ]
    for other in others:
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.03


def test_a_draw_depends_on_its_arguments_only() -> None:
    """The number of car 9 is the same alone and in company, for any integer as a seed."""
    for seed in (0, -1, 2**70):
        alone = uniform(seed, Purpose.DWELL, np.array([9]), np.array([4]))
        company = uniform(seed, Purpose.DWELL, np.arange(20), 4)
        assert alone[0] == company[9]
