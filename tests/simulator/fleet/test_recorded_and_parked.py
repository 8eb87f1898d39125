import math
from pathlib import Path

import numpy as np
import pytest

from certs.errors import ConfigurationError
from simulator.fleet import build, recorded
from simulator.replay import recording
from simulator.scenario.motion import ParkedMotion, RecordingMotion
from tests.simulator.fleet.driving import HERE, follow

SHIPPED = Path(__file__).parents[3] / "scenarios" / "recordings" / "highway-minute.mcap"
MINUTE = RecordingMotion(kind="recording")


def test_each_car_repeats_the_speed_profile_from_its_own_moment() -> None:
    """Every car's speed is the recorded one, shifted in time; the shifts are spread."""
    cars = build(MINUTE, 12, seed=3, base=HERE)
    run = follow(cars, 70, dt_s=0.02)
    ego = recording.read(SHIPPED).ego
    recorded_speed = np.interp(np.arange(0, 59.9, 0.02), ego.t_s - ego.t_s[0], ego.speed_mps)
    shifts = []
    for car in range(12):
        lags = np.arange(0, len(recorded_speed), 5)
        mine = run.speed_mps[: len(recorded_speed), car]
        errors = [np.abs(np.roll(recorded_speed, -lag) - mine).mean() for lag in lags]
        best = int(np.argmin(errors))
        shifts.append(best)
        assert errors[best] < 0.2
    assert len(set(shifts)) > 8


def test_a_shifted_drive_keeps_its_size_and_direction() -> None:
    """What a car covers on the Earth is what its speed says, wherever the car was put."""
    far = RecordingMotion(kind="recording", spread_m=400_000)
    cars = build(far, 50, seed=1, base=HERE)
    cars.advance(1.0)
    before = [v.copy() for v in (cars.latitude_deg, cars.longitude_deg, cars.heading_rad)]
    speed = cars.speed_mps.copy()
    cars.advance(1.2)
    # Radii of the WGS 84 ellipsoid at 38 degrees; 4 degrees to each side they differ by 0.1 %.
    north = np.radians(cars.latitude_deg - before[0]) * 6_359_600
    east = np.radians(cars.longitude_deg - before[1]) * 6_386_200
    east *= np.cos(np.radians(cars.latitude_deg))
    distance = np.hypot(north, east)
    usual = distance < 100  # a car at the recording's end jumps
    assert usual.sum() > 45
    assert distance[usual] / 0.2 == pytest.approx(speed[usual], rel=0.02, abs=0.1)
    course = np.arctan2(east, north)
    off = np.remainder(course - before[2] + math.pi, math.tau) - math.pi
    assert np.abs(off[usual]).max() < 0.05
    assert np.ptp(cars.latitude_deg) > 5
    assert np.ptp(cars.longitude_deg) > 5


def test_an_unshifted_drive_is_where_it_was_recorded() -> None:
    """Without a spread the cars are where the recorded receiver was, within its error."""
    cars = build(RecordingMotion(kind="recording", spread_m=0), 30, seed=1, base=HERE)
    gnss = recording.read(SHIPPED).gnss
    for car in range(30):
        north = (gnss.latitude_deg - cars.latitude_deg[car]) * 111_000
        east = (gnss.longitude_deg - cars.longitude_deg[car]) * 88_000
        assert np.hypot(north, east).min() < 10


def test_a_recording_goes_round() -> None:
    """After its duration every car is where it began."""
    cars = build(MINUTE, 5, seed=1, base=HERE)
    begin = cars.position_m.copy()
    samples = math.floor(recording.read(SHIPPED).duration_s * 50)
    for step in range(1, 601):
        cars.advance(step * samples / 50 / 600)
    assert cars.position_m == pytest.approx(begin, abs=0.5)


def test_no_command_moves_a_recorded_car() -> None:
    """A set speed is taken and changes nothing."""
    cars, other = (build(MINUTE, 2, seed=1, base=HERE) for _ in range(2))
    cars.set_speed(0, 0.0)
    for group in (cars, other):
        group.advance(5.0)
    assert np.array_equal(cars.speed_mps, other.speed_mps)


def test_a_recording_that_is_none_is_named(tmp_path: Path) -> None:
    """A missing and a damaged file are configuration errors with the key and the file."""
    (tmp_path / "broken.mcap").write_bytes(b"no recording")
    for name in ("missing.mcap", "broken.mcap"):
        motion = RecordingMotion(kind="recording", path=name)
        with pytest.raises(ConfigurationError, match=rf"motion\.path.*{name}"):
            build(motion, 1, seed=1, base=tmp_path)


def test_an_installation_without_the_shipped_drive_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the drive is not installed, the error says to set `path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recorded, "_SHIPPED", Path("elsewhere", "none.mcap"))
    with pytest.raises(ConfigurationError, match=r"motion\.path") as error:
        build(MINUTE, 1, seed=1, base=tmp_path)
    assert "`path`" in error.value.remedy


def test_parked_cars_stand_spread_over_their_square() -> None:
    """Nothing moves; places fill the square evenly and lie where their position says."""
    motion = ParkedMotion(kind="parked", spread_m=10_000)
    cars = build(motion, 2000, seed=1, base=HERE)
    before = cars.latitude_deg.copy()
    cars.set_speed(3, 10.0)
    cars.advance(100.0)
    assert np.array_equal(cars.latitude_deg, before)
    assert not cars.speed_mps.any()
    assert np.abs(cars.position_m).max() <= 10_000
    assert np.std(cars.position_m, axis=0) == pytest.approx([5773.5, 5773.5], rel=0.05)
    north = (cars.latitude_deg - 37.5665) * 110_985  # length of a degree at 37.6 degrees
    assert north == pytest.approx(cars.position_m[:, 1], abs=30)
    assert cars.imu_acceleration_mps2 == pytest.approx(np.tile([0, 0, 9.80665], (2000, 1)))
    assert np.array_equal(cars.gnss_longitude_deg, cars.longitude_deg)
