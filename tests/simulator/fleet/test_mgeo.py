import itertools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.vehicle.frames import MapFrame
from certs.errors import ConfigurationError
from simulator.fleet import build, files, mgeo
from simulator.scenario.motion import MgeoMotion
from tests.simulator.fleet.driving import drive, follow

# A made-up map: a stadium of two 150 m straights and two half circles of 40 m radius, driven
# counter-clockwise, and a second lane that leaves the southern straight and comes back to it.
ORIGIN = (302_500.0, 4_123_000.0, 30.0)
QUIET = {"gnss_noise_m": 0.0, "imu_noise": 0.0}


def line(*corners: tuple[float, float]) -> list[list[float]]:
    """Points half a metre apart."""
    points: list[list[float]] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        n = max(1, round(math.dist((x0, y0), (x1, y1)) * 2))
        points += [[x0 + (x1 - x0) * k / n, y0 + (y1 - y0) * k / n, 2.0] for k in range(n)]
    return [*points, [*corners[-1], 2.0]]


def arc(x: float, y: float, begin: float) -> list[list[float]]:
    """Half a circle to the left about a point."""
    angles = np.linspace(begin, begin + math.pi, 252)
    return [[x + 40 * math.cos(a), y + 40 * math.sin(a), 2.0] for a in angles]


def swing(length: float, aside: float, x: float, y: float) -> list[list[float]]:
    """A lane that swings out to the right and back in, tangential at both ends."""
    at = np.linspace(0, length, 300)
    return [[x + s, y - aside * (1 - math.cos(math.tau * s / length)) / 2, 2.0] for s in at]


LINKS: dict[str, tuple[str, str, list[list[float]], Any, Any]] = {
    "S1": ("A", "B", line((0, 0), (30, 0)), 50, "km/h"),
    "S2": ("B", "C", line((30, 0), (120, 0)), 50, "km/h"),
    "X": ("B", "C", swing(90, 12, 30, 0), "30", None),
    "S3": ("C", "D", line((120, 0), (150, 0)), 50, "km/h"),
    "E": ("D", "E", arc(150, 40, -math.pi / 2), 50, "km/h"),
    "N": ("E", "F", line((150, 80), (0, 80)), None, "km/h"),
    "W": ("F", "A", arc(0, 40, math.pi / 2), 0, "km/h"),
}


def written(
    folder: Path,
    links: dict[str, tuple[str, str, list[list[float]], Any, Any]] = LINKS,
    crs: Any = "EPSG:32652",
) -> Path:
    """A folder with the three files that matter."""
    places = {}
    for start, end, points, _, _ in links.values():
        places[start], places[end] = points[0], points[-1]
    files = {
        "global_info.json": {
            "maj_ver": 3,
            "min_ver": 0,
            "global_coordinate_system": crs,
            "local_origin_in_global": ORIGIN,
            "workspace_origin": [40, -174, -925],
        },
        "node_set.json": [
            {"idx": name, "node_type": None, "point": point, "on_stop_line": False}
            for name, point in places.items()
        ],
        "link_set.json": [
            {
                "idx": name,
                "from_node_idx": start,
                "to_node_idx": end,
                "points": points,
                "max_speed": speed,
                "speed_unit": unit,
                "related_signal": None,
            }
            for name, (start, end, points, speed, unit) in links.items()
        ],
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def motion(**choices: Any) -> MgeoMotion:
    """Cars on the map in the scenario's own folder."""
    return MgeoMotion.model_validate({"kind": "mgeo", "path": ".", **QUIET, **choices})


def away_m(points: np.ndarray, *lanes: list[list[float]]) -> np.ndarray:
    """How far each point is from the nearest lane's nearest point."""
    known = np.array([p for lane in lanes for p in lane])[:, :2]
    flat = points.reshape(-1, 2)
    return np.array([np.hypot(*(known - p).T).min() for p in flat])


def test_cars_stay_on_the_lanes_of_the_map(tmp_path: Path) -> None:
    """Positions lie on the links' points, at their height, where the map's origin puts them."""
    cars = build(motion(), 6, seed=1, base=written(tmp_path))
    run = follow(cars, 120)
    sampled = run.position_m[::10]
    assert away_m(sampled, *(points for _, _, points, _, _ in LINKS.values())).max() < 0.35
    assert cars.altitude_m == pytest.approx(np.full(6, 32.0))
    frame = MapFrame("EPSG:32652", *ORIGIN)
    for car, (x, y) in enumerate(cars.position_m.tolist()):
        latitude, longitude, _ = frame.to_wgs84(x, y)
        assert abs(cars.latitude_deg[car] - latitude) * 111_000 < 0.1
        assert abs(cars.longitude_deg[car] - longitude) * 88_000 < 0.1


def test_the_lanes_speed_and_the_curves_speed_are_kept(tmp_path: Path) -> None:
    """A slow lane is driven slowly, a bend of 40 m within the lateral limit, a straight fast."""
    run = drive(motion(stop_share=0, speed_limit="80 km/h"), 4, 240, base=written(tmp_path))
    x, y = run.position_m[..., 0], run.position_m[..., 1]
    swung = (y < -2) & (x > 30) & (x < 120)
    assert swung.any()
    assert run.speed_mps[swung].max() <= 30 / 3.6 * 1.01
    assert np.abs(run.speed_mps * run.yaw_rate_radps).max() <= 2.5 * 1.05
    assert run.speed_mps[(x > 155) | (x < -5)].max() <= math.sqrt(2.5 * 40) * 1.02
    assert run.speed_mps[(y > 79.9)].max() > 50 / 3.6  # no limit of its own: the scenario's
    assert run.acceleration_mps2.min() > -2.5 * 1.3


def test_both_ways_are_taken_and_merging_cars_do_not_meet(tmp_path: Path) -> None:
    """Where the two lanes join, cars on the common road stay a car's length apart."""
    run = drive(motion(stop_share=0), 4, 300, base=written(tmp_path))
    x, y = run.position_m[..., 0], run.position_m[..., 1]
    ways = (x > 60) & (x < 90) & (y < 5)
    assert 0.2 < (y[ways] < -5).mean() < 0.8
    after = (x > 120) & (x < 150) & (y < 1)
    for row, here in zip(x, after, strict=True):
        places = np.sort(row[here])
        assert np.all(np.diff(places) > 4.6)


def test_stops_stand_at_the_ends_of_the_asked_share(tmp_path: Path) -> None:
    """With a share of 1 every car stands somewhere; with 0 no lone car ever does."""
    written(tmp_path)
    always = drive(motion(stop_share=1, stop_s=5), 1, 200, base=tmp_path)
    never = drive(motion(stop_share=0), 1, 200, base=tmp_path)
    rolling = slice(100, None)  # everybody starts from rest
    assert (always.speed_mps[rolling] < 0.1).mean() > 0.1
    assert never.speed_mps[rolling].min() > 1


def test_dead_ends_are_left_out(tmp_path: Path) -> None:
    """A cul-de-sac at the ring is never driven on."""
    spur = {"D1": ("D", "G", line((150, 0), (250, 0)), 50, "km/h")}
    run = drive(motion(), 4, 120, base=written(tmp_path, {**LINKS, **spur}))
    assert run.position_m[..., 0].max() < 195


def test_a_motorway_with_two_ends_is_driven_again_and_again(tmp_path: Path) -> None:
    """Whoever reaches the end goes on at the beginning at the same speed."""
    way = {
        "M1": ("P", "Q", line((0, 0), (400, 0)), 90, "km/h"),
        "M2": ("Q", "R", line((400, 0), (900, 0)), 90, "km/h"),
    }
    run = drive(motion(stop_share=0), 3, 120, base=written(tmp_path, way))
    jumps = np.diff(run.position_m[..., 0], axis=0) < -700
    assert jumps.any(axis=0).all()
    assert run.speed_mps[-1].min() > 15
    assert np.abs(run.position_m[..., 1]).max() < 0.01


def test_a_seam_without_length_joins_its_nodes(tmp_path: Path) -> None:
    """A link of a millimetre between two links is no road but still connects them."""
    links = dict(LINKS)
    links["S3"] = ("C2", "D", LINKS["S3"][2], 50, "km/h")
    links["seam"] = ("C", "C2", [[120, 0, 2], [120.001, 0, 2]], 50, "km/h")
    run = drive(motion(), 4, 60, base=written(tmp_path, links))
    assert run.position_m[..., 0].max() > 160


def test_a_ring_of_links_without_any_choice(tmp_path: Path) -> None:
    """A map whose links all follow each other becomes one round."""
    links = {name: link for name, link in LINKS.items() if name != "X"}
    run = drive(motion(stop_share=0), 3, 120, base=written(tmp_path, links))
    assert (run.speed_mps.sum(axis=0) * 0.1).min() > 600
    step = np.hypot(*np.diff(run.position_m, axis=0).transpose(2, 0, 1))
    assert step.max() < 2.5  # the seam of the round is no jump


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("link_set.json", None, "link_set.json cannot be read"),
        ("node_set.json", None, "node_set.json cannot be read"),
        ("global_info.json", None, "global_info.json cannot be read"),
        ("link_set.json", "{", "link_set.json: "),
        ("link_set.json", "[]", "holds no links"),
        ("link_set.json", '[{"idx": 1}]', "missing required field `points`"),
        ("link_set.json", '[{"idx": 1, "points": [[0, 0]]}]', r"\$\[0\].points\[0\]"),
        ("link_set.json", '[{"idx": 1, "points": [[0, 0, 1e9], [1, 1, 1]]}]', r"points\[0\]\[2\]"),
        (
            "link_set.json",
            '[{"idx": 1, "points": [], "from_node_idx": "nowhere"}]',
            r"\$\[0\].from_node_idx` is 'nowhere'",
        ),
        (
            "link_set.json",
            '[{"idx": 1, "points": [[0,0,0],[9,9,0]], "max_speed": "fast"}]',
            r"\$\[0\].max_speed` is 'fast'",
        ),
        (
            "link_set.json",
            '[{"idx": 1, "points": [[0,0,0],[9,9,0]], "max_speed": 5, "speed_unit": "knots"}]',
            "max_speed` is 5.0 knots",
        ),
        ("link_set.json", '[{"idx": 1, "points": []}]', "no link with a length"),
        ("node_set.json", "[{}]", "missing required field `idx`"),
        ("global_info.json", "{}", "global_coordinate_system"),
        ("global_info.json", "[1]", "global_info.json"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path: Path, name: str, text: str | None, expected: str) -> None:
    """The error names the file and what in it is wrong."""
    written(tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=expected):
        build(motion(), 1, seed=1, base=tmp_path)


def test_a_map_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes, links, points and ways at a node are bounded."""
    written(tmp_path)
    for name, bound in (
        ("MAX_FILE_BYTES", 100),
        ("MAX_LINKS", 3),
        ("MAX_POINTS", 50),
        ("MAX_ROAD_M", 500),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(mgeo, name, bound)
            with pytest.raises(ConfigurationError, match=r"motion\.path"):
                build(motion(), 1, seed=1, base=tmp_path)
    star = {f"S{k}": ("A", "A", arc(0, 40, k), 50, "km/h") for k in range(17)}
    written(tmp_path, star)
    with pytest.raises(ConfigurationError, match="more than 16 links"):
        build(motion(), 1, seed=1, base=tmp_path)


def test_a_bounded_read_names_the_bound(tmp_path: Path) -> None:
    """A file one byte over the bound is refused, at the bound it is read."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read_bounded(path, 5, "") == b"12345"
    with pytest.raises(ConfigurationError, match="larger than"):
        files.read_bounded(path, 4, "")


@settings(max_examples=12, deadline=None)
@given(
    corners=st.lists(
        # On a grid, so that no road is shorter than a car and its gap.
        st.tuples(
            st.integers(0, 30).map(lambda tens: 10 * tens),
            st.integers(0, 30).map(lambda tens: 10 * tens),
        ),
        min_size=2,
        max_size=8,
        unique=True,
    ),
    pairs=st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] != pair[1]),
        min_size=1,
        max_size=20,
    ),
    count=st.integers(1, 25),
    stop_share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_any_map_of_roads_is_driven_in_order(
    corners: list[tuple[int, int]],
    pairs: list[tuple[int, int]],
    count: int,
    stop_share: float,
) -> None:
    """However nodes are connected, cars of one road keep a car's length and brake within bounds."""
    size = len(corners)
    links = {
        f"L{number}": (f"N{a % size}", f"N{b % size}", line(corners[a % size], corners[b % size]))
        for number, (a, b) in enumerate(pairs)
        if a % size != b % size
    }
    if not links:
        return
    with tempfile.TemporaryDirectory() as name:
        written(Path(name), {key: (*link, 50, "km/h") for key, link in links.items()})
        choices = motion(stop_share=stop_share, stop_s=2)
        cars = build(choices, count, seed=1, base=Path(name))
    for step in range(1, 400):
        cars.advance(step * 0.1)
        order = np.lexsort((cars.along_m, cars.link))  # type: ignore[attr-defined]  # road cars
        same = np.diff(cars.link[order]) == 0  # type: ignore[attr-defined]  # same
        apart = np.diff(cars.along_m[order])[same]  # type: ignore[attr-defined]  # same
        assert np.all(apart > 4.6)
        assert np.all(np.isfinite(cars.latitude_deg + cars.longitude_deg + cars.heading_rad))
        # Somebody who merges close in front makes a driver brake half as hard again at most.
        assert cars.acceleration_mps2.min() > -2.5 * 1.5
