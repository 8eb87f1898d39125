import math
from pathlib import Path

import numpy as np
import pytest

from certs.errors import ConfigurationError
from simulator.fleet import build, lines
from simulator.scenario.motion import LineMotion
from tests.simulator.fleet.driving import drive, follow

QUIET = {"gnss_noise_m": 0.0, "imu_noise": 0.0}
LATITUDE, LONGITUDE = 36.0, 128.0
# Metres per degree there, on the WGS 84 ellipsoid.
NORTH_M, EAST_M = 110_959.0, 90_163.0


def gpx(points: list[tuple[float, float]], tag: str = "trk") -> str:
    """A GPX 1.1 file with one track or route through points given in metres."""
    inner = {"trk": ("<trkseg>", "trkpt", "</trkseg>"), "rte": ("", "rtept", "")}[tag]
    rows = "".join(
        f'<{inner[1]} lat="{LATITUDE + y / NORTH_M:.9f}" lon="{LONGITUDE + x / EAST_M:.9f}">'
        f"<ele>55</ele></{inner[1]}>"
        for x, y in points
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<{tag}>{inner[0]}{rows}{inner[2]}</{tag}></gpx>"
    )


CORNER = [(float(x), 0.0) for x in range(0, 301, 10)] + [
    (300.0, float(y)) for y in range(10, 201, 10)
]


def motion(path: str, *, closed: bool = False) -> LineMotion:
    """Cars on a line of a file."""
    return LineMotion(kind="line", path=path, closed=closed, **QUIET)


@pytest.mark.parametrize("tag", ["trk", "rte"])
def test_cars_drive_there_and_back(tmp_path: Path, tag: str) -> None:
    """They keep right of the line both ways, turn at its ends, and never jump."""
    (tmp_path / "way.gpx").write_text(gpx(CORNER, tag))
    run = drive(motion("way.gpx"), 3, 240, base=tmp_path)
    # The frame's origin is the middle of the box: 150 m east and 100 m north of the first point.
    x, y = run.position_m[..., 0] + 150, run.position_m[..., 1] + 100
    east = run.heading_rad
    straight = (x > 30) & (x < 250) & (np.abs(y) < 3)
    outward = straight & (np.abs(east - math.pi / 2) < 0.1)
    homeward = straight & (np.abs(east - 3 * math.pi / 2) < 0.1)
    assert outward.any()
    assert homeward.any()
    assert y[outward] == pytest.approx(np.full(outward.sum(), -1.75), abs=0.1)
    assert y[homeward] == pytest.approx(np.full(homeward.sum(), 1.75), abs=0.1)
    step = np.hypot(*np.diff(run.position_m, axis=0).transpose(2, 0, 1))
    assert step.max() <= run.speed_mps.max() * 0.1 + 0.05
    assert np.abs(run.speed_mps * run.yaw_rate_radps).max() <= 2.5 * 1.05
    for values, low, high in ((x, -20, 320), (y, -15, 220)):
        assert low < values.min()
        assert values.max() < high


def test_a_closed_line_goes_round(tmp_path: Path) -> None:
    """The end joins the start, the direction stays, and heights are those of the file."""
    angles = np.linspace(0, 1.95 * math.pi, 80)
    circle = [(200 * math.cos(a), 200 * math.sin(a)) for a in angles]
    (tmp_path / "ring.gpx").write_text(gpx(circle))
    cars = build(motion("ring.gpx", closed=True), 4, seed=1, base=tmp_path)
    run = follow(cars, 150)
    radius = np.hypot(*(run.position_m.transpose(2, 0, 1)))
    assert np.abs(radius - 200).max() < 3
    assert (run.yaw_rate_radps[50:] > 0).mean() > 0.95
    assert cars.altitude_m == pytest.approx(np.full(4, 55.0))
    north = (cars.latitude_deg - LATITUDE) * NORTH_M
    east = (cars.longitude_deg - LONGITUDE) * EAST_M
    assert np.abs(np.hypot(north, east) - 200).max() < 3


def test_a_csv_file_is_a_line_too(tmp_path: Path) -> None:
    """Columns are found by name, in any order, with a byte order mark and blank lines."""
    rows = ["altitude_m, longitude_deg ,latitude_deg,note"]
    rows += [f"{k},{LONGITUDE + k / EAST_M * 10:.8f},{LATITUDE},x" for k in range(40)]
    (tmp_path / "way.csv").write_text("\ufeff" + "\n\n".join(rows), encoding="utf-8")
    cars = build(motion("way.csv"), 5, seed=1, base=tmp_path)
    follow(cars, 30)
    assert np.abs((cars.latitude_deg - LATITUDE) * NORTH_M).max() < 8
    assert cars.altitude_m.min() > -1e-6
    assert cars.altitude_m.max() <= 39


def test_noisy_tracks_make_drivable_roads(tmp_path: Path) -> None:
    """Metres of noise on a track bend the road only as far as cars can follow at some speed."""
    noise = np.random.default_rng(4).normal(0, 2, (len(CORNER), 2))
    points = [(x + a, y + b) for (x, y), (a, b) in zip(CORNER, noise, strict=True)]
    (tmp_path / "way.gpx").write_text(gpx(points))
    run = drive(motion("way.gpx"), 2, 120, base=tmp_path)
    assert run.speed_mps[50:].mean() > 3
    assert np.abs(run.speed_mps * run.yaw_rate_radps).max() <= 2.5 * 1.05


HEADER = "latitude_deg,longitude_deg\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "", "neither .gpx nor .csv"),
        ("a.csv", "", "no column latitude_deg"),
        ("a.csv", "latitude_deg,lon\n1,2\n", "no column longitude_deg"),
        ("a.csv", HEADER, "holds 0 points"),
        ("a.csv", HEADER + "36,128\n", "holds 1 points"),
        ("a.csv", HEADER + "36,128\n36,x\n", "line 3 does not hold numbers"),
        ("a.csv", HEADER + "36\n", "line 2 does not hold numbers"),
        ("a.csv", HEADER + "36,128\n91,128\n", "line 3 is at latitude 91"),
        ("a.csv", HEADER + "36,nan\n", "line 2 is at latitude 36, longitude nan"),
        ("a.csv", HEADER + "36,128\n36,128\n", "is 0 m long"),
        ("a.csv", HEADER + "36,128\n-36,-128\n", "too far from end to end"),
        ("a.gpx", "no xml", "is not GPX"),
        ("a.gpx", gpx([]), "holds 0 points"),
        ("a.gpx", gpx(CORNER).replace('lat="36', 'lat="96', 1), "point 1 is at latitude 96"),
        (
            "a.gpx",
            '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + gpx(CORNER),
            "document type",
        ),
    ],
)
def test_a_wrong_line_is_refused(tmp_path: Path, name: str, text: str, expected: str) -> None:
    """The error names the key, the file, and the line or point."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=expected) as error:
        build(motion(name), 1, seed=1, base=tmp_path)
    assert error.value.what.startswith("motion.path: ")
    assert name in error.value.what


def test_a_line_that_is_missing_too_large_or_binary_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes and points are bounded, and text is UTF-8."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        build(motion("none.gpx"), 1, seed=1, base=tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        build(motion("binary.csv"), 1, seed=1, base=tmp_path)
    (tmp_path / "way.gpx").write_text(gpx(CORNER))
    with monkeypatch.context() as patch:
        patch.setattr(lines, "MAX_POINTS", 10)
        with pytest.raises(ConfigurationError, match="more than 10 points"):
            build(motion("way.gpx"), 1, seed=1, base=tmp_path)
    monkeypatch.setattr(lines, "MAX_FILE_BYTES", 10)
    with pytest.raises(ConfigurationError, match="larger than"):
        build(motion("way.gpx"), 1, seed=1, base=tmp_path)
