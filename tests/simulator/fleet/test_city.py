import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.vehicle.frames import MapFrame
from simulator.fleet import build
from simulator.scenario.motion import CityMotion
from tests.simulator.fleet.driving import HERE, Drive, drive, follow

LANE_M = 1.75  # from the middle of a street to the middle of its right lane
MOUTH_M = 12.0  # from the middle of a crossing to where its streets begin
QUIET = {"gnss_noise_m": 0.0, "imu_noise": 0.0}


def crossing_of(position_m: NDArray[np.float64], blocks: int, block_m: float) -> NDArray[np.int64]:
    """Number of the crossing that each position lies in, or -1."""
    grid = position_m / block_m + blocks / 2.0
    nearest = np.round(grid)
    inside = (np.abs(grid - nearest) * block_m < MOUTH_M).all(axis=-1)
    numbers = nearest[..., 0] * (blocks + 1) + nearest[..., 1]
    return np.where(inside, numbers, -1).astype(np.int64)


def passages(numbers: NDArray[np.int64]) -> list[int]:
    """The crossings that one car came through, in order."""
    inside = numbers[numbers >= 0]
    fresh = np.diff(inside, prepend=-1) != 0
    return [int(number) for number in inside[fresh]]


def test_cars_keep_to_the_right_lane_of_a_street() -> None:
    """Outside of crossings a car is in the middle of its lane and heads along it."""
    run = drive(CityMotion(blocks=6, block_m=120, **QUIET), 40, 90)
    outside = crossing_of(run.position_m, 6, 120.0) < 0
    position, heading = run.position_m[outside], run.heading_rad[outside]
    quarter = np.round(heading / (math.pi / 2)).astype(int) % 4
    # Grid north is true north at the city's middle, and within 0.1 mrad of it 1 km away.
    turned = np.remainder(heading - quarter * math.pi / 2 + math.pi, math.tau) - math.pi
    assert np.abs(turned).max() < 0.001
    right = np.array([[1, 0], [0, -1], [-1, 0], [0, 1]])[quarter]  # of north, east, south, west
    streets = np.round(position / 120.0) * 120.0
    across = ((position - streets) * right).sum(axis=1)
    assert np.abs(across - LANE_M).max() < 0.001


@settings(max_examples=8, deadline=None)
@given(
    limit_kmh=st.integers(20, 110),
    lateral=st.floats(0.8, 5.0),
    accelerate=st.floats(0.5, 3.0),
    brake=st.floats(1.0, 5.0),
    dt_s=st.sampled_from([0.02, 0.1, 0.2]),
    seed=st.integers(0, 2**32),
)
def test_cars_stay_within_the_limits_they_are_given(
    limit_kmh: int, lateral: float, accelerate: float, brake: float, dt_s: float, seed: int
) -> None:
    """Speed, acceleration, braking, jerk and lateral acceleration keep to the chosen bounds."""
    motion = CityMotion(
        blocks=5,
        block_m=150,
        speed_limit=f"{limit_kmh} km/h",
        lateral_mps2=lateral,
        accelerate_mps2=accelerate,
        brake_mps2=brake,
        **QUIET,
    )
    run = drive(motion, 60, 40, seed=seed, dt_s=dt_s)
    assert run.speed_mps.min() >= 0
    assert run.speed_mps.max() <= limit_kmh / 3.6 * 1.001
    assert run.acceleration_mps2.max() <= accelerate * 1.001
    assert run.acceleration_mps2.min() >= -1.3 * brake
    assert np.abs(run.speed_mps * run.yaw_rate_radps).max() <= lateral * 1.05
    jerk = np.diff(run.acceleration_mps2, axis=0) / dt_s
    # A car that comes to rest stops decelerating at once, as cars do.
    rolling = run.speed_mps[1:] > 0
    assert np.abs(jerk[rolling]).max() <= 10.0 * 1.01


@pytest.mark.parametrize(("blocks", "block_m", "count"), [(2, 60.0, 12), (4, 100.0, 50)])
def test_cars_never_touch(blocks: int, block_m: float, count: int) -> None:
    """Bodies 1.8 m wide and 4.6 m long stay apart, also inside crossings, in dense traffic."""
    cars = build(CityMotion(blocks=blocks, block_m=block_m, **QUIET), count, seed=5, base=HERE)
    layers = cars.network.zones // (blocks + 1) ** 2  # type: ignore[attr-defined]  # road cars
    layer = cars.link // (cars.network.count // layers)  # type: ignore[attr-defined]  # same
    run = follow(cars, 150)
    # Three discs cover the axis of a body: from 0.9 m behind the rear axle to 3.7 m before it.
    axis = np.stack([np.sin(run.heading_rad), np.cos(run.heading_rad)], axis=-1)
    discs = run.position_m[:, :, None] + np.array([0.0, 1.4, 2.8])[:, None] * axis[:, :, None]
    one, other = np.triu_indices(count, 1)
    together = layer[one] == layer[other]
    one, other = one[together], other[together]
    near = np.hypot(*(run.position_m[:, one] - run.position_m[:, other]).transpose(2, 0, 1)) < 9
    sample, pair = np.nonzero(near)
    a, b = discs[sample, one[pair]], discs[sample, other[pair]]
    apart = np.hypot(*(a[:, :, None] - b[:, None, :]).transpose(3, 0, 1, 2)).min(axis=(1, 2))
    assert len(apart) > 1000
    assert apart.min() > 1.9


def test_dense_traffic_does_not_lock() -> None:
    """In a full small city every car still gets somewhere in every five minutes."""
    motion = CityMotion(blocks=3, block_m=80, stop_s=4, **QUIET)
    run = drive(motion, 60, 900, dt_s=0.2)
    for part in np.array_split(run.speed_mps, 3):
        assert (part.sum(axis=0) * run.dt_s).min() > 300


def stops_and_passages(run: Drive, blocks: int, block_m: float) -> tuple[int, int, list[float]]:
    """How many crossings were passed, before how many cars stood, and for how long each time."""
    numbers = crossing_of(run.position_m, blocks, block_m)
    passed = stopped = 0
    lengths = []
    for car in range(numbers.shape[1]):
        inside = numbers[:, car] >= 0
        entries = np.flatnonzero(~inside[:-1] & inside[1:])
        for begin, end in itertools.pairwise(entries):
            standing = run.speed_mps[begin:end, car] < 0.1
            passed += 1
            stopped += bool(standing.any())
            if standing.any():
                lengths.append(float(standing.sum() * run.dt_s))
    return passed, stopped, lengths


def test_cars_stop_at_the_asked_share_of_crossings() -> None:
    """In light traffic the share and the mean length of stops are those of the scenario."""
    motion = CityMotion(blocks=20, stop_share=0.3, stop_s=8, **QUIET)
    passed, stopped, lengths = stops_and_passages(drive(motion, 60, 600), 20, 200.0)
    assert passed > 900
    assert stopped / passed == pytest.approx(0.3, abs=0.05)
    assert np.mean(lengths) == pytest.approx(8.0, abs=1.0)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0.0, 0.02), (1.0, 1.0, 1.0)])
def test_cars_stop_nowhere_or_everywhere(share: float, least: float, most: float) -> None:
    """With a share of 0 a lone car never stops, with 1 it stops at every crossing."""
    motion = CityMotion(blocks=20, stop_share=share, stop_s=2, **QUIET)
    passed, stopped, _ = stops_and_passages(drive(motion, 8, 300), 20, 200.0)
    assert passed > 30
    assert least <= stopped / passed <= most


def test_the_route_of_a_car_does_not_depend_on_the_others() -> None:
    """Car 7 passes the same crossings among 10 cars and among 400."""
    motion = CityMotion(blocks=10, **QUIET)
    routes = []
    for count in (10, 400):
        run = drive(motion, count, 300, dt_s=0.2)
        routes.append(passages(crossing_of(run.position_m[:, 7], 10, 200.0)))
    shorter = min(map(len, routes))
    assert shorter > 5
    assert routes[0][:shorter] == routes[1][:shorter]


def test_cars_take_different_routes() -> None:
    """Cars and seeds differ in where they go."""
    run, other = (drive(CityMotion(blocks=8, **QUIET), 20, 60, seed=seed) for seed in (1, 2))
    last = np.concatenate([run.position_m[-1], other.position_m[-1]])
    assert len(np.unique(np.round(last), axis=0)) > 35


def test_equal_seeds_and_steps_give_equal_cars() -> None:
    """Every array is the same to the last bit, noise and all."""
    one, two = (build(CityMotion(blocks=5), 50, seed=9, base=HERE) for _ in range(2))
    for step in range(1, 200):
        one.advance(step * 0.1)
        two.advance(step * 0.1)
    for name, values in vars(one).items():
        if isinstance(values, np.ndarray) and not name.startswith("_"):
            assert np.array_equal(values, getattr(two, name)), name


def test_the_length_of_steps_hardly_matters() -> None:
    """A car that is advanced 50, 10 or 5 times a second goes the same way, about as far."""
    motion = CityMotion(blocks=10, **QUIET)
    routes, lengths = [], []
    for dt_s in (0.02, 0.1, 0.2):
        run = drive(motion, 10, 180, dt_s=dt_s)
        routes.append([passages(crossing_of(run.position_m[:, c], 10, 200.0)) for c in range(10)])
        lengths.append(run.speed_mps.sum(axis=0) * dt_s)
    for car in range(10):
        shorter = min(len(route[car]) for route in routes)
        assert len({tuple(route[car][:shorter]) for route in routes}) == 1
    assert np.ptp(np.mean(lengths, axis=1)) < 0.02 * np.mean(lengths)


def test_a_long_step_is_divided() -> None:
    """Advancing by a second at once is advancing by a fifth of a second five times."""
    one, two = (build(CityMotion(blocks=5, **QUIET), 50, seed=9, base=HERE) for _ in range(2))
    for step in range(1, 150):
        two.advance(step * 0.2)
        if step % 5 == 0:
            one.advance(step * 0.2)
            assert one.position_m == pytest.approx(two.position_m, abs=1e-6)


def test_going_back_in_time_does_nothing() -> None:
    """A time that is not later leaves everything as it is."""
    cars = build(CityMotion(blocks=3), 5, seed=1, base=HERE)
    cars.advance(3.0)
    position = cars.position_m.copy()
    for to_s in (3.0, 1.0, math.nan):
        cars.advance(to_s)
    assert cars.now_s == 3.0
    assert np.array_equal(cars.position_m, position)


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(37.5665, 126.978), (-33.9, 179.9999), (70, 0)]
)
def test_places_and_headings_are_those_of_the_projection(latitude: float, longitude: float) -> None:
    """Latitude, longitude and heading agree with PROJ anywhere in the city."""
    motion = CityMotion(
        blocks=40, origin={"latitude_deg": latitude, "longitude_deg": longitude}, **QUIET
    )
    cars = build(motion, 200, seed=3, base=HERE)
    cars.advance(20.0)
    frame = MapFrame(f"+proj=tmerc +lat_0={latitude} +lon_0={longitude} +k=1 +datum=WGS84 +units=m")
    for car, (x, y) in enumerate(cars.position_m.tolist()):
        north, east, _ = frame.to_wgs84(x, y)
        assert abs(cars.latitude_deg[car] - north) * 111_320 < 0.1
        off = math.remainder(cars.longitude_deg[car] - east, 360.0)
        assert abs(off) * 111_320 * math.cos(math.radians(north)) < 0.1
        assert -180 <= cars.longitude_deg[car] < 180
        yaw = math.pi / 2 - cars.heading_rad[car] + frame.convergence_rad(x, y)
        quarters = yaw / (math.pi / 2)
        assert abs(quarters - round(quarters)) < 0.002 or abs(cars.yaw_rate_radps[car]) > 0


def test_motion_is_consistent_with_itself() -> None:
    """Positions move with the speed along the heading, and the heading with the yaw rate."""
    run = drive(CityMotion(blocks=6, block_m=100, **QUIET), 40, 90, dt_s=0.05)
    step = np.diff(run.position_m, axis=0)
    mean = (run.speed_mps[1:] + run.speed_mps[:-1]) / 2
    assert np.abs(np.hypot(*step.transpose(2, 0, 1)) - mean * run.dt_s).max() < 0.02
    fast = mean > 3
    course = np.arctan2(step[..., 0], step[..., 1])
    turned = np.remainder(np.diff(run.heading_rad, axis=0) + math.pi, math.tau) - math.pi
    off = np.remainder(course - run.heading_rad[:-1] - turned / 2 + math.pi, math.tau) - math.pi
    assert np.abs(off[fast]).max() < 0.05
    assert run.heading_rad.min() >= 0
    assert run.heading_rad.max() < math.tau
    # Compass headings grow to the right, yaw rates to the left.
    middle = (run.yaw_rate_radps[1:] + run.yaw_rate_radps[:-1]) / 2
    assert np.abs(turned / run.dt_s + middle).max() < 0.06
    gained = np.diff(run.speed_mps, axis=0) / run.dt_s
    assert gained == pytest.approx(run.acceleration_mps2[1:], abs=1e-9)


def test_perfect_sensors_feel_the_motion() -> None:
    """Without noise the IMU shows acceleration, centripetal acceleration, gravity and yaw rate."""
    cars = build(CityMotion(blocks=4, **QUIET), 30, seed=2, base=HERE)
    follow(cars, 25)
    force, rate = cars.imu_acceleration_mps2, cars.imu_rate_radps
    assert force[:, 0] == pytest.approx(cars.acceleration_mps2)
    assert force[:, 1] == pytest.approx(cars.speed_mps * cars.yaw_rate_radps)
    assert force[:, 2] == pytest.approx(np.full(30, 9.80665))
    assert rate == pytest.approx(np.stack([np.zeros(30), np.zeros(30), cars.yaw_rate_radps], 1))
    assert np.array_equal(cars.gnss_latitude_deg, cars.latitude_deg)


def test_a_commanded_speed_is_kept_until_it_is_taken_back() -> None:
    """A car told to stop brakes comfortably, stands, and drives again when it is free."""
    motion = CityMotion(blocks=20, stop_share=0.0, brake_mps2=2.0, **QUIET)
    cars = build(motion, 3, seed=4, base=HERE)
    follow(cars, 30)
    cars.set_speed(1, 0.0)
    run = follow(cars, 15)
    assert run.speed_mps[-1, 1] < 0.01
    assert run.acceleration_mps2[:, 1].min() >= -2.0 * 1.001
    assert run.speed_mps[-1, 0] > 1
    cars.set_speed(1, 4.0)
    assert 3.0 < follow(cars, 15).speed_mps[-30:, 1].max() <= 4.0
    cars.set_speed(1, None)
    assert follow(cars, 40).speed_mps[:, 1].max() > 8


def test_a_command_names_a_car_and_a_speed() -> None:
    """An index out of range and a speed that is none are refused."""
    cars = build(CityMotion(blocks=2), 3, seed=1, base=HERE)
    for index in (-1, 3):
        with pytest.raises(IndexError):
            cars.set_speed(index, 1.0)
    for speed in (-1.0, math.nan):
        with pytest.raises(ValueError, match="cannot be"):
            cars.set_speed(0, speed)


def test_more_cars_than_the_city_holds_drive_on_layers() -> None:
    """A small city takes any number of cars, and they all drive."""
    run = drive(CityMotion(blocks=2, block_m=50, **QUIET), 500, 60, dt_s=0.2)
    assert (run.speed_mps.sum(axis=0) * run.dt_s).min() > 20


def test_a_car_takes_less_than_a_kilobyte() -> None:
    """The arrays of a large fleet stay within the memory that is promised per car."""
    cars = build(CityMotion(), 5000, seed=1, base=HERE)
    cars.advance(1.0)
    held: dict[int, int] = {}
    for owner in (cars, cars._noise, cars._crossings):  # type: ignore[attr-defined]  # road cars
        for values in vars(owner).values():
            if isinstance(values, np.ndarray) and len(values) == 5000:
                held[id(values)] = values.nbytes
    assert sum(held.values()) / 5000 < 1000
