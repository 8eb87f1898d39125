"""Map-local metres, projected coordinates and WGS 84."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.vehicle.frames import MAX_EXTENT_M, MapFrame, OutsideMapError
from certs.errors import ConfigurationError

UTM_52N = "+proj=utm +zone=52 +datum=WGS84 +units=m +no_defs"
K_CITY = {
    "maj_ver": 2,
    "min_ver": 9,
    "global_coordinate_system": UTM_52N,
    "local_origin_in_global": [302459.942, 4122635.537, 28.991],
    "workspace_origin": [40.0, -174.0, -925.0],
    "mgeo_file_hash": "{'link_set.json': '4f53'}",
}
VIRTUAL = "+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +units=m +no_defs"


def test_origin_is_added_and_workspace_origin_is_not() -> None:
    """Projected = local + local_origin_in_global; the editor's workspace origin plays no part."""
    frame = MapFrame.from_mgeo(K_CITY)
    assert frame.to_projected(10.0, 20.0, 1.0) == pytest.approx(
        (302469.942, 4122655.537, 29.991), abs=1e-9
    )
    assert frame.from_projected(302459.942, 4122635.537, 28.991) == pytest.approx((0, 0, 0))


def test_published_transverse_mercator_example() -> None:
    """EPSG Guidance Note 7-2, section 3.5.3, British National Grid: 577274.99 E, 69740.50 N."""
    frame = MapFrame(
        "+proj=tmerc +lat_0=49 +lon_0=-2 +k=0.9996012717 +x_0=400000 +y_0=-100000 "
        "+a=6377563.396 +rf=299.32496 +units=m +no_defs",
        577_000.0,
        69_000.0,
    )
    latitude_deg, longitude_deg, _ = frame.to_wgs84(274.99, 740.50)
    # 0.01 m in the published easting and northing are about 1e-7 degrees.
    assert latitude_deg == pytest.approx(50.5, abs=2e-7)
    assert longitude_deg == pytest.approx(0.5, abs=2e-7)


def test_epsg_code_and_proj_string_are_the_same_place() -> None:
    """A map may name its system as a number, an EPSG code or a PROJ string."""
    places = [
        MapFrame(crs, 302_595, 4_124_145).to_wgs84(100, 200, 3)
        for crs in (32652, "EPSG:32652", UTM_52N)
    ]
    assert places[1] == pytest.approx(places[0], abs=1e-10)
    assert places[2] == pytest.approx(places[0], abs=1e-10)


def test_virtual_map_lies_at_the_null_point() -> None:
    """On an invented map 1 km east at the equator is 1000 / 6378137 rad of longitude."""
    frame = MapFrame.from_mgeo(
        {"global_coordinate_system": VIRTUAL, "local_origin_in_global": [-7e-10, 0, 0]}
    )
    latitude_deg, longitude_deg, height_m = frame.to_wgs84(1000.0, 0.0, 5.0)
    assert longitude_deg == pytest.approx(math.degrees(1000 / 6378137.0), abs=1e-8)
    assert latitude_deg == pytest.approx(0.0, abs=1e-12)
    assert height_m == 5.0


@given(st.floats(-20_000, 20_000), st.floats(-20_000, 20_000), st.floats(-100, 1000))
def test_wgs84_round_trip(x_m: float, y_m: float, z_m: float) -> None:
    """There and back is within a hundredth of a millimetre."""
    assert FRAME.from_wgs84(*FRAME.to_wgs84(x_m, y_m, z_m)) == pytest.approx(
        (x_m, y_m, z_m), abs=1e-5
    )


FRAME = MapFrame.from_mgeo(K_CITY)


def test_many_points_equal_one_by_one() -> None:
    """The call for whole batches gives what single calls give, for lists and for arrays."""
    x, y, z = [0.0, 120.5, -33.0], [5.0, -7.5, 900.0], [0.0, 1.0, 2.0]
    expected = [FRAME.to_wgs84(*point) for point in zip(x, y, z, strict=True)]
    for given_x, given_y, given_z in ((x, y, z), (np.array(x), np.array(y), np.array(z))):
        many = FRAME.many_to_wgs84(given_x, given_y, given_z)
        assert np.allclose(np.array(many).T, np.array(expected), rtol=0, atol=1e-11)
    assert x == [0.0, 120.5, -33.0]


@pytest.mark.parametrize("east_m", [302_459.942, 500_000.0, 720_000.0])
def test_convergence_follows_the_textbook_formula(east_m: float) -> None:
    """Convergence is atan(tan(dlon) sin(lat)): negative west of the central meridian."""
    frame = MapFrame(UTM_52N, east_m, 4_122_635.537)
    latitude_deg, longitude_deg, _ = frame.to_wgs84(0, 0)
    expected = math.atan(
        math.tan(math.radians(longitude_deg - 129)) * math.sin(math.radians(latitude_deg))
    )
    assert frame.convergence_rad(0, 0) == pytest.approx(expected, abs=1e-5)


def test_true_heading_of_grid_north_at_k_city() -> None:
    """At K-City grid north points 1.35 degrees west of true north."""
    *_, heading_rad = FRAME.pose_to_wgs84(0, 0, 0, math.pi / 2)
    assert math.degrees(heading_rad) == pytest.approx(358.65, abs=0.01)


@given(st.floats(-3.1, 3.1), st.floats(-5_000, 5_000), st.floats(-5_000, 5_000))
def test_heading_is_the_direction_of_travel(yaw_rad: float, x_m: float, y_m: float) -> None:
    """Driving a metre along the yaw moves latitude and longitude along the heading."""
    latitude_deg, longitude_deg, _, heading_rad = FRAME.pose_to_wgs84(x_m, y_m, 0, yaw_rad)
    ahead = FRAME.to_wgs84(x_m + math.cos(yaw_rad), y_m + math.sin(yaw_rad))
    # Metres per degree at 37.2 degrees north on WGS 84: 110,989 north, 88,806 east.
    north_m = (ahead[0] - latitude_deg) * 110_989
    east_m = (ahead[1] - longitude_deg) * 88_806
    error = math.remainder(math.atan2(east_m, north_m) - heading_rad, 2 * math.pi)
    assert abs(error) < 2e-3


@given(st.floats(-3.1, 3.1))
def test_yaw_comes_back_from_the_true_heading(yaw_rad: float) -> None:
    """The way back from heading to map yaw undoes the convergence."""
    *_, heading_rad = FRAME.pose_to_wgs84(250, -90, 0, yaw_rad)
    back = FRAME.yaw_from_true_heading_rad(250, -90, heading_rad)
    assert math.remainder(back - yaw_rad, 2 * math.pi) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, MAX_EXTENT_M * 1.01, 1e300])
def test_impossible_positions_are_refused(bad: float) -> None:
    """Neither NaN nor a million kilometres becomes a place on Earth."""
    for point in ((bad, 0, 0), (0, bad, 0), (0, 0, bad)):
        with pytest.raises(OutsideMapError):
            FRAME.to_wgs84(*point)


@pytest.mark.parametrize("bad", [(91, 127), (math.nan, 127), (37, 181), (37, -127), (-37, 127)])
def test_places_off_the_map_are_refused(bad: tuple[float, float]) -> None:
    """What is no place on Earth, or thousands of kilometres away, has no map-local position."""
    with pytest.raises(OutsideMapError):
        FRAME.from_wgs84(*bad)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"global_coordinate_system": None}, "global_coordinate_system"),
        ({"global_coordinate_system": "no such thing"}, "global_coordinate_system"),
        ({"global_coordinate_system": "EPSG:4326"}, "not a projected"),
        ({"global_coordinate_system": "+proj=utm +zone=52 +units=us-ft"}, "not in metres"),
        ({"global_coordinate_system": "x" * 5000}, "global_coordinate_system"),
        ({"global_coordinate_system": True}, "global_coordinate_system"),
        ({"local_origin_in_global": None}, "local_origin_in_global"),
        ({"local_origin_in_global": [1, 2]}, "local_origin_in_global"),
        ({"local_origin_in_global": "123"}, "local_origin_in_global"),
        ({"local_origin_in_global": [1, "2", 3]}, "north"),
        ({"local_origin_in_global": [math.nan, 2, 3]}, "east"),
        ({"local_origin_in_global": [1, 2, math.inf]}, "up"),
        ({"local_origin_in_global": [True, 2, 3]}, "east"),
        ({"local_origin_in_global": [10**400, 2, 3]}, "east"),
    ],
)
def test_bad_map_file_is_a_configuration_error_naming_the_key(
    change: dict[str, Any], named: str
) -> None:
    """A wrong value in global_info.json is reported with its key and a remedy."""
    with pytest.raises(ConfigurationError) as caught:
        MapFrame.from_mgeo({**K_CITY, **change})
    assert named in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["global_coordinate_system", "local_origin_in_global"])
def test_missing_key_is_named(key: str) -> None:
    """A map file without a needed key says which."""
    with pytest.raises(ConfigurationError, match=key):
        MapFrame.from_mgeo({name: value for name, value in K_CITY.items() if name != key})


def test_unknown_keys_of_newer_map_formats_are_tolerated() -> None:
    """Version 3.0 adds keys; they change nothing."""
    newer = {**K_CITY, "workspace_coordinate_system": "x", "node_set_grids": [1], "maj_ver": 3}
    assert MapFrame.from_mgeo(newer).origin_m == MapFrame.from_mgeo(K_CITY).origin_m


def test_origin_outside_the_projection_is_refused() -> None:
    """An origin that is no place in its coordinate system is an error of configuration."""
    with pytest.raises(ConfigurationError, match="origin"):
        MapFrame("EPSG:32652", 9.9e7, 0, 0)
