"""The road and what moves on it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.vehicle.state import ObjectKind, TrafficLamp
from simulator.morai_host.road import LoopRoad
from simulator.morai_host.scenarios import SCENARIOS, Placement, Scenario
from simulator.morai_host.world import World

ROAD = LoopRoad(west_m=0.0, south_m=0.0, straight_m=100.0, radius_m=50.0)


def test_road_by_hand() -> None:
    """Corners of a loop of 100 m straights and bends of 50 m radius."""
    assert ROAD.length_m == pytest.approx(200.0 + 100.0 * math.pi)
    assert ROAD.pose(30.0) == pytest.approx((30.0, 0.0, 0.0))
    # A quarter turn into the first bend: heading north, at its outermost point.
    assert ROAD.pose(100.0 + 25.0 * math.pi) == pytest.approx((150.0, 50.0, math.pi / 2))
    assert ROAD.pose(100.0 + 50.0 * math.pi + 30.0) == pytest.approx((70.0, 100.0, math.pi))
    # To the left of a car that heads west is south.
    x, y, _ = ROAD.pose(100.0 + 50.0 * math.pi + 30.0, 2.0)
    assert (x, y) == pytest.approx((70.0, 98.0))


@given(st.floats(0, 500), st.floats(-8, 8))
def test_locate_is_the_way_back(s: float, offset: float) -> None:
    """A place on the road is found again from its coordinates."""
    x, y, _ = ROAD.pose(s, offset)
    found_s, found_offset = ROAD.locate(x, y)
    gap = (found_s - s) % ROAD.length_m
    assert min(gap, ROAD.length_m - gap) == pytest.approx(0.0, abs=1e-6)
    assert found_offset == pytest.approx(offset, abs=1e-6)


def test_road_is_smooth() -> None:
    """Small steps along the road move small distances in the direction of the yaw."""
    steps = round(ROAD.length_m / 0.5)
    for i in range(steps):
        x, y, yaw = ROAD.pose(i * 0.5)
        nx, ny, _ = ROAD.pose(i * 0.5 + 0.5)
        assert math.hypot(nx - x, ny - y) == pytest.approx(0.5, abs=1e-3)
        assert math.remainder(math.atan2(ny - y, nx - x) - yaw, math.tau) == pytest.approx(
            0, abs=0.02
        )


def busy() -> World:
    """A world with the busy scenario."""
    world = World()
    world.place_cars(SCENARIOS["busy-loop"])
    world.place_walkers(SCENARIOS["busy-loop"])
    return world


def test_cars_never_overlap_and_obey_red() -> None:
    """For three minutes of dense traffic no two cars of a lane touch and the traffic moves."""
    world = busy()
    travelled = 0.0
    for _ in range(1800):
        world.step(0.1, [])
        cars = [item for item in world.objects() if item.kind is ObjectKind.VEHICLE]
        travelled += sum(item.velocity_mps[0] for item in cars) / len(cars) * 0.1
        for lane in (0, 1):
            places = sorted(
                world.road.locate(*item.position_m[:2])[0]
                for item in cars
                if item.link_id is not None and item.link_id.endswith(str(lane))
            )
            gaps = [
                (after - before) % world.road.length_m
                for before, after in zip(places, [*places[1:], places[0]], strict=True)
            ]
            assert min(gaps) > 4.635
    assert travelled > 300.0


def test_car_stops_behind_the_ego() -> None:
    """A car behind a standing ego comes to rest without touching it."""
    world = World()
    world.place_cars(Scenario(name="one", cars=(Placement(0.0, 0, 10.0),)))
    x, y, _ = world.road.pose(80.0, world.road.lane_offset(0))
    for _ in range(400):
        world.step(0.05, [(x, y)])
    car = world.objects()[0]
    assert car.velocity_mps[0] == pytest.approx(0.0, abs=0.05)
    s, _ = world.road.locate(*car.position_m[:2])
    # Its front is 3.845 m ahead of its axle; the ego's rear end 0.79 m behind its own.
    assert s + 3.845 < 80.0 - 0.79


def test_lights_cycle() -> None:
    """A light shows 20 s green, 3 s yellow and 15 s red, then green again."""
    light = World().lights[0]
    shown = [light.lamps(t) for t in (0.0, 19.9, 20.1, 22.9, 23.1, 37.9, 38.1)]
    green, yellow, red = TrafficLamp.GREEN, TrafficLamp.YELLOW, TrafficLamp.RED
    assert shown == [green, green, yellow, yellow, red, red, green]


def test_nearest_light_ahead() -> None:
    """Past the first light the second one is reported, past the second the first again."""
    world = World()
    lights = [
        world.light_ahead(*world.road.pose(s)[:2]).light_id for s in (190.0, 210.0, 590.0, 610.0)
    ]
    first, second = (light.light_id for light in world.lights)
    assert lights == [first, second, second, first]


def test_intersection_can_be_set() -> None:
    """Setting phase 2 with 5 s elapsed leaves 10 of its 15 s of red."""
    world = World()
    world.step(7.0, [])
    assert world.set_intersection(1, 2, 5.0)
    light = world.lights[0]
    assert light.phase(world.time_s) == pytest.approx((2, 5.0))
    assert light.lamps(world.time_s + 9.9) is TrafficLamp.RED
    assert light.lamps(world.time_s + 10.1) is TrafficLamp.GREEN
    assert not world.set_intersection(1, 3, 0.0)
    assert not world.set_intersection(77, 0, 0.0)


def test_walkers_cross_on_red_only() -> None:
    """A pedestrian is on the carriageway only while the cars' light is red, and does cross."""
    world = busy()
    sides = set()
    for _ in range(1600):
        world.step(0.05, [])
        walker = next(item for item in world.objects() if item.id == 101)
        _, offset = world.road.locate(*walker.position_m[:2])
        if abs(offset) < 3.5:
            assert world.lights[0].lamps(world.time_s) is TrafficLamp.RED
            assert walker.velocity_mps[0] == pytest.approx(1.4)
        if abs(offset) > 5.9:
            sides.add(offset > 0)
    assert sides == {True, False}


def test_clear_empties_the_road() -> None:
    """Clearing removes cars, pedestrians, obstacles and ghosts, and releases held lights."""
    world = busy()
    world.place_obstacles(SCENARIOS["parked-car"])
    world.place_ghosts([(1, 5.0, 5.0, 0.0, 0.0)])
    world.hold_light(world.lights[0].light_id, TrafficLamp.DARK)
    world.clear()
    assert world.objects() == []
    assert world.lights[0].held is None


def test_ghosts_are_bounded() -> None:
    """No more than 20 ghosts are kept; known ones still move."""
    world = World()
    world.place_ghosts([(i, float(i), 0.0, 0.0, 0.0) for i in range(30)])
    world.place_ghosts([(3, 99.0, 0.0, 0.0, 0.0)])
    assert len(world.objects()) == 20
    assert 99.0 in {item.position_m[0] for item in world.objects()}
