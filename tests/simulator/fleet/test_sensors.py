import math

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.fleet import build
from simulator.fleet.noise import SensorNoise
from simulator.scenario.motion import CityMotion
from tests.simulator.fleet.driving import HERE

SIZE = 4000
M_PER_DEG = (111_000.0, 88_000.0)


def noise(gnss_m: float, imu: float, seed: int = 1) -> SensorNoise:
    """Sensors whose degrees are easy to turn back into metres."""
    return SensorNoise(
        SIZE,
        np.random.default_rng(seed),
        gnss_m=gnss_m,
        imu=imu,
        deg_per_m=(1 / M_PER_DEG[0], 1 / M_PER_DEG[1]),
    )


def fix_errors_m(sensors: SensorNoise) -> NDArray[np.float64]:
    """Errors to the north, east and up, shape (3, SIZE)."""
    zero = np.zeros(SIZE)
    latitude, longitude, altitude = sensors.fix(zero, zero, zero)
    return np.stack([latitude * M_PER_DEG[0], longitude * M_PER_DEG[1], altitude])


def test_a_fix_errs_as_much_as_asked() -> None:
    """East and north errors have the asked standard deviation at the start and much later."""
    sensors = noise(2.0, 0.0)
    for _ in range(3):
        north, east, up = fix_errors_m(sensors)
        assert np.std(north) == pytest.approx(2.0, rel=0.05)
        assert np.std(east) == pytest.approx(2.0, rel=0.05)
        assert np.std(up) > 1.2 * 2.0
        assert abs(np.mean(north)) < 0.15
        assert abs(np.corrcoef(north, east)[0, 1]) < 0.06
        for _ in range(1000):
            sensors.advance(0.5)


def test_the_error_of_a_fix_wanders() -> None:
    """After 60 s a tenth is white and the rest has decayed to 1/e; after 10 min nothing is left."""
    sensors = noise(1.0, 0.0)
    before = fix_errors_m(sensors)[0]
    for _ in range(600):
        sensors.advance(0.1)
    after = fix_errors_m(sensors)[0]
    assert np.corrcoef(before, after)[0, 1] == pytest.approx(0.9 / math.e, abs=0.06)
    for _ in range(600):
        sensors.advance(1.0)
    assert abs(np.corrcoef(before, fix_errors_m(sensors)[0])[0, 1]) < 0.06


def test_the_bias_of_an_imu_stays_while_its_noise_does_not() -> None:
    """Samples a second apart share their bias: 0.03 of 0.034 m/s2, 0.002 of 0.0023 rad/s."""
    sensors = noise(0.0, 1.0)
    samples = []
    for _ in range(2):
        force, rate = np.zeros((SIZE, 3)), np.zeros((SIZE, 3))
        sensors.inertial(force, rate)
        samples.append((force, rate))
        for _ in range(10):
            sensors.advance(0.1)
    for before, after, bias, white in (
        (samples[0][0], samples[1][0], 0.03, 0.016),
        (samples[0][1], samples[1][1], 0.002, 0.0011),
    ):
        total = bias**2 + white**2
        assert np.std(before) == pytest.approx(math.sqrt(total), rel=0.03)
        together = np.corrcoef(before.ravel(), after.ravel())[0, 1]
        assert together == pytest.approx(bias**2 / total, abs=0.03)


def test_noise_scales_with_its_factor() -> None:
    """Ten times the factor is ten times the error, draw for draw."""
    errors = []
    for factor in (1.0, 10.0):
        force, rate = np.zeros((SIZE, 3)), np.zeros((SIZE, 3))
        noise(0.0, factor).inertial(force, rate)
        errors.append((force, rate))
    assert errors[1][0] == pytest.approx(10 * errors[0][0])
    assert errors[1][1] == pytest.approx(10 * errors[0][1])


def test_noise_of_cars_is_reproducible_and_theirs() -> None:
    """The same seed gives the same fixes, another seed others; the truth has no noise."""
    motion = CityMotion(blocks=4, gnss_noise_m=3.0, imu_noise=1.0)
    cars = [build(motion, 40, seed=seed, base=HERE) for seed in (1, 1, 2)]
    silent = build(CityMotion(blocks=4, gnss_noise_m=0.0, imu_noise=0.0), 40, seed=1, base=HERE)
    for step in range(1, 50):
        for group in (*cars, silent):
            group.advance(step * 0.1)
    one, two, other = cars
    assert np.array_equal(one.gnss_latitude_deg, two.gnss_latitude_deg)
    assert np.array_equal(one.imu_rate_radps, two.imu_rate_radps)
    assert not np.array_equal(one.gnss_latitude_deg, other.gnss_latitude_deg)
    assert np.array_equal(one.latitude_deg, silent.latitude_deg)
    error_m = (one.gnss_latitude_deg - one.latitude_deg) * 111_000
    assert 1.5 < np.std(error_m) < 5
    assert one.imu_acceleration_mps2[:, 2] == pytest.approx(np.full(40, 9.80665), abs=0.3)
    assert np.std(one.imu_acceleration_mps2[:, 2]) > 0.01


def test_one_car_has_sensors_too() -> None:
    """The turns in which errors drift work for fewer cars than there are turns."""
    cars = build(CityMotion(blocks=2), 1, seed=1, base=HERE)
    seen = set()
    for step in range(1, 40):
        cars.advance(step * 0.1)
        seen.add(float(cars.gnss_latitude_deg[0] - cars.latitude_deg[0]))
    assert len(seen) == 39
