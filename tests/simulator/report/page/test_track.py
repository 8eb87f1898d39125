from __future__ import annotations

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.report.page.track import MAX_POINTS, MAX_TRACKS, SHEET_WIDTH, Fix, draw, thinned

METRES_PER_DEGREE = 6_371_008.8 * math.pi / 180


def line(
    north_m: float, east_m: float, *, latitude_deg: float = 60.0, steps: int = 11
) -> list[Fix]:
    """A straight drive from a point at 10 degrees east, one fix a second."""
    shrink = math.cos(math.radians(latitude_deg))
    return [
        Fix(
            float(step) * 10,
            latitude_deg + north_m * step / (steps - 1) / METRES_PER_DEGREE,
            10.0 + east_m * step / (steps - 1) / METRES_PER_DEGREE / shrink,
        )
        for step in range(steps)
    ]


def points_of(path: str) -> list[tuple[int, int]]:
    """The absolute points of a path of `M x y` and `l dx dy ...`."""
    points: list[tuple[int, int]] = []
    for piece in re.findall(r"M(-?\d+) (-?\d+)(?:l([-\d ]+)|h0)", path):
        points.append((int(piece[0]), int(piece[1])))
        steps = [int(number) for number in piece[2].split()]
        for east, south in zip(steps[::2], steps[1::2], strict=True):
            points.append((points[-1][0] + east, points[-1][1] + south))
    return points


def test_a_degree_of_longitude_is_shorter_in_the_north() -> None:
    """At 60 degrees north, 1,000 m east and 500 m north are drawn twice as wide as high."""
    (place,) = draw({0: line(500.0, 1000.0)})
    first, last = points_of(place.tracks[0].path)

    metre = SHEET_WIDTH / place.width_m
    assert last[0] - first[0] == pytest.approx(1000 * metre, abs=2)
    assert first[1] - last[1] == pytest.approx(500 * metre, abs=2)
    assert place.driven_m == pytest.approx(math.hypot(1000, 500), rel=1e-3)
    assert place.latitude_deg == pytest.approx(60 + 250 / METRES_PER_DEGREE, abs=1e-6)


def test_the_scale_bar_is_a_round_length() -> None:
    """Its length is 1, 2 or 5 times a power of ten and a readable part of the sheet."""
    (place,) = draw({0: line(0.0, 7300.0)})

    assert place.scale_m == 1000.0
    assert place.scale_share == pytest.approx(1000.0 / (7300.0 * 1.1), rel=1e-3)


def test_everything_is_on_the_sheet() -> None:
    """No point of any track lies outside."""
    (place,) = draw({0: line(900.0, -300.0), 1: line(-20.0, 4000.0)})

    for track in place.tracks:
        for east, south in points_of(track.path):
            assert 0 <= east <= place.width
            assert 0 <= south <= place.height


def test_cars_in_different_cities_get_maps_of_their_own() -> None:
    """Two drives 1,100 km apart are two places; the one with more cars comes first."""
    places = draw({0: line(100, 100, latitude_deg=50.0), 1: line(100, 100), 2: line(-300, 50)})

    assert [len(place.tracks) for place in places] == [2, 1]


def test_a_car_that_crosses_the_date_line_drives_on() -> None:
    """From 179.999 to -179.999 degrees it is 222 m at the equator, not the way around."""
    fixes = [Fix(0.0, 0.0, 179.999), Fix(20.0, 0.0, -179.999)]

    (place,) = draw({0: fixes})

    assert place.driven_m == pytest.approx(0.002 * METRES_PER_DEGREE, rel=1e-3)


def test_a_jump_is_a_gap() -> None:
    """A car that is 5 km further a second later was not seen driving there."""
    near = line(0.0, 100.0)
    far = [Fix(fix.at_s + 101, fix.latitude_deg + 0.045, fix.longitude_deg) for fix in near]

    (place,) = draw({0: near + far})

    assert place.tracks[0].path.count("M") == 2
    assert place.driven_m == pytest.approx(200.0, rel=1e-3)


@pytest.mark.parametrize(
    "fixes",
    [
        [],
        [Fix(0, math.nan, 0)],
        [Fix(0, 0, math.inf)],
        [Fix(0, 91, 0)],
        [Fix(0, 1e300, 1e300)],
    ],
)
def test_positions_that_are_none_are_left_out(fixes: list[Fix]) -> None:
    """Nothing on Earth, nothing drawn."""
    assert draw({0: fixes}) == []


@pytest.mark.parametrize("latitude_deg", [90.0, -90.0, 0.0])
def test_a_parked_car_is_a_dot(latitude_deg: float) -> None:
    """One position, even at a pole, makes a map."""
    (place,) = draw({3: [Fix(0, latitude_deg, 0), Fix(1, latitude_deg, 0)]})

    assert place.tracks[0].start == place.tracks[0].end
    assert place.tracks[0].title == "car 3"
    assert place.driven_m == 0


def test_a_long_run_of_many_cars_stays_small() -> None:
    """60,000 wild positions of more cars than are drawn keep to the bounds."""
    chance = np.random.default_rng(5)
    steps = np.cumsum(chance.normal(0, 20, (510, 120, 2)), axis=1) / METRES_PER_DEGREE
    fixes = {
        car: [Fix(float(at), north, east) for at, (north, east) in enumerate(walk.tolist())]
        for car, walk in enumerate(steps)
    }

    (place,) = draw(fixes)

    assert len(place.tracks) == MAX_TRACKS
    assert sum(len(points_of(track.path)) for track in place.tracks) <= MAX_POINTS


@given(
    st.lists(st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)), min_size=1, max_size=60),
    st.floats(0.1, 300),
)
def test_thinning_stays_within_its_tolerance(
    walk: list[tuple[float, float]], tolerance_m: float
) -> None:
    """Every point left out is within the tolerance of what is drawn; the ends stay."""
    points = np.array(walk)

    kept = thinned(points, tolerance_m)

    def distance(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
        chord = end - start
        length2 = float(chord @ chord)
        along = min(max(float((point - start) @ chord) / length2, 0.0), 1.0) if length2 else 0.0
        return float(np.hypot(*(point - start - along * chord)))

    assert kept[0].tolist() == points[0].tolist()
    assert kept[-1].tolist() == points[-1].tolist()
    pairs = list(pairwise(kept)) or [(kept[0], kept[0])]
    for point in points:
        assert min(distance(point, *pair) for pair in pairs) <= tolerance_m + 1e-6
