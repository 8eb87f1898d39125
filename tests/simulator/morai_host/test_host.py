"""The host as a controller sees it: bytes in, bytes out, both by the published byte tables."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.morai import Dialect, EgoStatusVariant, Gear, StatusMode
from agent.vehicle.frames import MapFrame
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.faults import FaultPlan
from simulator.morai_host.host import COMMAND_CHANNELS, Host
from simulator.morai_host.scenarios import SCENARIOS, Placement, Scenario
from simulator.morai_host.simulation import Simulation
from tests.simulator.morai_host import bytes_by_table as wire

START = 1_700_000_000.0
FRAME = MapFrame("EPSG:32652", 302595.0, 4124145.0, 0.0)
ALL_OFF = dict.fromkeys(("objects", "collision", "traffic_light", "imu", "gps"), 0.0)


class Bench:
    """A host that is ticked at 50 Hz of its own time."""

    def __init__(
        self,
        scenario: str = "open-road",
        *,
        mode: StatusMode = StatusMode.KEYBOARD,
        dialect: Dialect | None = None,
        scenarios: dict[str, Scenario] = SCENARIOS,
        variant: EgoStatusVariant = EgoStatusVariant.E3,
        faults: FaultPlan | None = None,
        **rates: float,
    ) -> None:
        reading = dialect or Dialect()
        self.scene = Simulation(scenario, scenarios=scenarios, mode=mode, gear=Gear.P)
        self.host = Host(
            ModelDrive(self.scene, FRAME, reading),
            rates_hz={**ALL_OFF, **rates},
            variant=variant,
            dialect=reading,
            faults=faults,
        )
        self.now_s = START
        self.sent: dict[str, list[bytes]] = {}
        self.run(0.0)

    def send(self, channel: str, data: bytes) -> None:
        """Deliver a datagram."""
        self.host.receive(channel, data, self.now_s)

    def run(self, seconds: float) -> wire.Ego | None:
        """Let time pass and give the last ego status."""
        for _ in range(round(seconds / 0.02) or 1):
            for item in self.host.tick(self.now_s):
                self.sent.setdefault(item.channel, []).append(item.data)
            self.now_s += 0.02
        states = self.sent.get("ego_status")
        return wire.ego(states[-1]) if states and len(states[-1]) == 181 else None

    def ego(self, seconds: float = 0.0) -> wire.Ego:
        """Let time pass and give the last ego status, which must exist."""
        state = self.run(seconds)
        assert state is not None
        return state


def test_obeys_a_target_velocity() -> None:
    """36 km/h by type 2 makes 3 m/s after 3 s and 10 m/s after 12 s, straight ahead."""
    bench = Bench()
    before = bench.ego()
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    after = bench.ego(3.0)
    assert after.speed_kmh == pytest.approx(10.8, abs=0.15)
    assert (after.mode, after.gear) == (2, 4)
    # v^2 / 2a = 4.5 m on a road that runs east there.
    assert after.x_m - before.x_m == pytest.approx(4.5, abs=0.15)
    assert after.y_m == pytest.approx(before.y_m, abs=1e-3)
    assert bench.ego(9.0).speed_kmh == pytest.approx(36.0, abs=1e-3)


def test_obeys_the_26r1_command() -> None:
    """The 59-byte command of 26.R1 does the same."""
    bench = Bench()
    bench.send("ego_control", wire.control_c2(36.0))
    assert bench.ego(3.0).speed_kmh == pytest.approx(10.8, abs=0.15)


def test_last_command_latches_for_ever() -> None:
    """Without any further command the car goes on at the commanded speed."""
    bench = Bench()
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=18.0))
    bench.run(10.0)
    assert bench.ego(30.0).speed_kmh == pytest.approx(18.0, abs=1e-3)


def test_stops_on_the_brake() -> None:
    """Type 1 with brake 1 stops the car and it stays stopped."""
    bench = Bench()
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    bench.run(12.0)
    bench.send("ego_control", wire.control_c1(brake=1.0))
    # At least 8 m/s2 from 10 m/s: gone within 1.25 s.
    assert bench.ego(1.3).speed_kmh == 0.0
    assert bench.ego(1.0).speed_kmh == 0.0


def test_ignores_commands_in_keyboard_mode() -> None:
    """Mode 0 leaves keyboard mode, and a car in keyboard mode does not listen."""
    bench = Bench()
    bench.send("ego_control", wire.control_c1(mode=0, kind=2, velocity_kmh=36.0))
    state = bench.ego(3.0)
    assert (state.mode, state.speed_kmh) == (1, 0.0)
    assert bench.host.counters.outcomes == {"not_in_external_mode": 1}


def test_takeover_key_takes_the_car() -> None:
    """After `Q` the car is in manual mode, rolls on with pedals up, and mode 0 does not help."""
    bench = Bench()
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    bench.run(6.0)
    bench.host.take_over()
    bench.send("ego_control", wire.control_c1(mode=0, kind=2, velocity_kmh=36.0))
    state = bench.ego(1.0)
    assert state.mode == 1
    assert state.speed_kmh < 21.6


@pytest.mark.parametrize("gear", [1, 3])
def test_no_drive_in_park_and_neutral(gear: int) -> None:
    """Pedals in P and N give no drive."""
    bench = Bench()
    bench.send("ego_control", wire.control_c1(gear=gear, accel=1.0))
    assert bench.ego(3.0).speed_kmh == 0.0


@pytest.mark.parametrize("sign", [-1, 1])
def test_steer_sign_is_the_dialects(sign: int) -> None:
    """A steer of 0.2 turns the wheels to 7.25 degrees, to the side that the dialect says."""
    bench = Bench(dialect=Dialect(command_steer_sign=sign))  # type: ignore[arg-type] # parametrised
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=10.0, steer=0.2))
    state = bench.ego(3.0)
    assert state.steer_deg == pytest.approx(sign * 0.2 * 36.25, abs=1e-3)
    assert math.copysign(1.0, state.yaw_deg) == sign


def test_reported_steer_sign_is_separate() -> None:
    """The sign of the reported wheel angle is a choice of its own."""
    bench = Bench(dialect=Dialect(command_steer_sign=1, status_steer_sign=-1))
    bench.send("ego_control", wire.control_c1(steer=0.2))
    assert bench.ego(1.0).steer_deg == pytest.approx(-7.25, abs=1e-3)


def test_stamps_are_whole_milliseconds_of_the_host_clock() -> None:
    """Seconds and nanoseconds tell the wall clock in steps of a millisecond."""
    bench = Bench()
    bench.now_s = START + 1.2345678
    bench.run(0.02)
    sec, nsec = struct.unpack_from("<ii", bench.sent["ego_status"][-1], 27)
    assert (sec, nsec) == (1_700_000_001, 234_000_000)


@pytest.mark.parametrize(
    ("variant", "size"),
    [("E0", 61), ("E1", 123), ("E2", 161), ("E3", 181), ("E4", 229), ("E5", 245)],
)
def test_every_generation_of_ego_status(variant: str, size: int) -> None:
    """Each generation has its documented size."""
    bench = Bench(variant=EgoStatusVariant[variant])
    assert len(bench.sent["ego_status"][-1]) == size


def test_sizes_and_rates_of_all_channels() -> None:
    """Ten seconds give 50 Hz where 50 Hz is set, in the documented sizes."""
    bench = Bench("city-loop", objects=50, collision=50, traffic_light=50, imu=50, gps=20,
                  intersection=10, competition_status=5)  # fmt: skip
    bench.run(9.98)
    sizes = {channel: {len(data) for data in items} for channel, items in bench.sent.items()}
    del sizes["gps"]
    assert sizes == {
        "ego_status": {181},
        "competition_status": {181},
        "objects": {2160},
        "collision": {181},
        "traffic_light": {48},
        "intersection": {37},
        "imu": {115},
    }
    counts = {channel: len(items) for channel, items in bench.sent.items()}
    assert counts["ego_status"] == counts["objects"] == counts["imu"] == 500
    assert counts["gps"] == pytest.approx(400, abs=2)
    assert counts["intersection"] == pytest.approx(100, abs=1)


def test_competition_channel_blanks() -> None:
    """Competition status has zero position, lateral velocity and acceleration, but the speed."""
    bench = Bench(competition_status=50)
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    bench.run(3.0)
    state = wire.ego(bench.sent["competition_status"][-1])
    assert (state.x_m, state.y_m, state.z_m) == (0.0, 0.0, 0.0)
    assert state.acceleration == (0.0, 0.0, 0.0)
    assert state.velocity_kmh[1:] == (0.0, 0.0)
    assert state.velocity_kmh[0] == state.speed_kmh == pytest.approx(10.8, abs=0.15)


def test_blank_fault_can_be_switched() -> None:
    """The ego status itself is blanked while the fault is on, and not after."""
    bench = Bench(faults=FaultPlan(blank=True))
    assert bench.ego().x_m == 0.0
    bench.host.faults.plan = FaultPlan()
    assert bench.ego().x_m == pytest.approx(80.0)  # 20 m along a road that begins at 60 m


def test_gps_tells_the_place() -> None:
    """RMC and GGA are separate datagrams with valid checksums and K-City's latitude."""
    bench = Bench(gps=20)
    rmc, gga = bench.sent["gps"][:2]
    assert rmc.startswith(b"$GPRMC,")
    assert gga.startswith(b"$GPGGA,")
    for text in (rmc, gga):
        body, _, rest = text[1:].partition(b"*")
        value = 0
        for byte in body:
            value ^= byte
        assert rest == b"%02X\r\n" % value
    fields = rmc.split(b",")
    latitude = int(fields[3][:2]) + float(fields[3][2:]) / 60
    longitude = int(fields[5][:3]) + float(fields[5][3:]) / 60
    # Forward UTM of the result by the series of Snyder (1987) gives the map's origin plus the car.
    east, north = utm_52n(latitude, longitude)
    assert east == pytest.approx(302595 + 80.0, abs=0.2)
    assert north == pytest.approx(4124145 + 38.25, abs=0.2)


def utm_52n(latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
    """UTM forward projection, J. P. Snyder, Map Projections, USGS PP 1395, eq. 8-9 to 8-15."""
    a, f, k0 = 6378137.0, 1 / 298.257223563, 0.9996
    e2 = f * (2 - f)
    ep2 = e2 / (1 - e2)
    phi, lam = math.radians(latitude_deg), math.radians(longitude_deg - 129.0)
    n = a / math.sqrt(1 - e2 * math.sin(phi) ** 2)
    t, c, big_a = math.tan(phi) ** 2, ep2 * math.cos(phi) ** 2, lam * math.cos(phi)
    m = a * (
        (1 - e2 / 4 - 3 * e2**2 / 64 - 5 * e2**3 / 256) * phi
        - (3 * e2 / 8 + 3 * e2**2 / 32 + 45 * e2**3 / 1024) * math.sin(2 * phi)
        + (15 * e2**2 / 256 + 45 * e2**3 / 1024) * math.sin(4 * phi)
        - (35 * e2**3 / 3072) * math.sin(6 * phi)
    )
    east = (
        k0
        * n
        * (
            big_a
            + (1 - t + c) * big_a**3 / 6
            + (5 - 18 * t + t**2 + 72 * c - 58 * ep2) * big_a**5 / 120
        )
    )
    north = k0 * (
        m
        + n
        * math.tan(phi)
        * (
            big_a**2 / 2
            + (5 - t + 9 * c + 4 * c**2) * big_a**4 / 24
            + (61 - 58 * t + t**2 + 600 * c - 330 * ep2) * big_a**6 / 720
        )
    )
    return east + 500_000.0, north


def test_gps_blackout_sends_zeros_with_status_a() -> None:
    """In a blackout latitude and longitude are zero while the status stays A."""
    bench = Bench(gps=20, faults=FaultPlan(gps_blackout=True))
    fields = bench.sent["gps"][0].split(b",")
    assert fields[2:7] == [b"A", b"0000.0000", b"N", b"00000.0000", b"E"]


def test_imu_at_rest() -> None:
    """A standing car measures one g upwards, no rotation, and the identity quaternion."""
    bench = Bench(imu=50)
    values = struct.unpack_from("<10d", bench.sent["imu"][0], 33)
    assert values == pytest.approx((1, 0, 0, 0, 0, 0, 0, 0, 0, 9.80665), abs=1e-9)


def test_objects_are_nearest_first_and_bounded() -> None:
    """At most 20 slots, ordered by distance, with the cars' published types."""
    many = Scenario(name="many", cars=tuple(Placement(30.0 + 25 * i, i % 2, 5) for i in range(27)))
    bench = Bench("many", scenarios={"many": many}, objects=50)
    data = bench.sent["objects"][0]
    slots = [struct.unpack_from("<hh3f", data, 38 + 106 * k) for k in range(20)]
    distances = [math.hypot(x - 80.0, y - 38.25) for _, _, x, y, _ in slots]
    assert distances == sorted(distances)
    assert {kind for _, kind, *_ in slots} == {1}
    assert all(number > 0 for number, *_ in slots)


def test_collision_with_a_parked_car() -> None:
    """Running into an obstacle is reported with its type and takes the speed away."""
    bench = Bench("parked-car", collision=50)
    none = struct.unpack_from("<hh", bench.sent["collision"][-1], 39)
    assert none[0] == -1
    bench.send("ego_control", wire.control_c1(accel=1.0))
    seen = None
    for _ in range(500):
        state = bench.ego(0.02)
        kind, number = struct.unpack_from("<hh", bench.sent["collision"][-1], 39)
        if kind != -1:
            seen = (kind, number, state)
            break
    assert seen is not None
    assert seen[:2] == (2, 201)
    # The obstacle is 4.2 m long with its centre 120 m along the road, the car's front is 3.58 m
    # ahead of its rear axle: they touch with the axle at 60 + 120 - 2.1 - 3.58 = 174.32 m.
    assert seen[2].x_m == pytest.approx(174.32, abs=0.6)
    assert seen[2].speed_kmh == 0.0


def test_scenario_load_resets() -> None:
    """A known name puts the ego back to its start; an unknown one changes nothing and counts."""
    bench = Bench(objects=50)
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    away = bench.ego(8.0)
    bench.send("scenario_load", wire.scenario(b"no-such-scenario"))
    assert bench.ego(0.02).x_m > away.x_m
    bench.send("scenario_load", wire.scenario(b"busy-loop"))
    # The latched command still drives the car; half a second of 1 m/s2 is 0.125 m.
    assert bench.ego(0.5).x_m == pytest.approx(80.125, abs=0.05)
    assert len([i for i in bench.scene.objects() if i.kind == 1]) >= 15
    outcomes = bench.host.counters.outcomes
    assert (outcomes["unknown_scenario"], outcomes["applied"]) == (1, 1)


def test_scenario_load_can_pause() -> None:
    """A paused scene keeps sending and stands still until a load without pause."""
    bench = Bench()
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    bench.send("scenario_load", wire.scenario(b"open-road", (1, 1, 1, 1, 1, 1, 1)))
    before = len(bench.sent["ego_status"])
    assert bench.ego(2.0).speed_kmh == 0.0
    assert len(bench.sent["ego_status"]) == before + 100
    bench.send("scenario_load", wire.scenario(b"open-road"))
    assert bench.ego(2.0).speed_kmh == pytest.approx(7.2, abs=0.15)


def test_ego_ghost_is_shown_until_a_command() -> None:
    """A ghost command puts the car anywhere; the next obeyed command drives it from there."""
    bench = Bench()
    bench.send("ego_ghost", wire.ego_ghost(500.0, 300.0, 7.0, 0.0, 0.0, 90.0, 36.0, 5.0))
    ghost = bench.ego(2.0)
    assert (ghost.x_m, ghost.y_m, ghost.z_m, ghost.speed_kmh) == pytest.approx((500, 300, 7, 36))
    assert ghost.yaw_deg == pytest.approx(90.0, abs=1e-4)
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    driven = bench.ego(1.0)
    assert (driven.x_m, driven.y_m) == pytest.approx((500.0, 310.0), abs=0.5)


def test_ghost_off_the_map_is_refused() -> None:
    """A place that no map holds is counted and changes nothing."""
    bench = Bench()
    bench.send("ego_ghost", wire.ego_ghost(1e30, 0, 0, 0, 0, 0, 0, 0))
    assert bench.ego(0.1).x_m == pytest.approx(80.0)
    assert bench.host.counters.outcomes == {"out_of_map": 1}


def test_multi_ego_reports_the_camera_ego() -> None:
    """Extra egos stand where they are put, the camera's ego is reported, others are objects."""
    bench = Bench(objects=50)
    bench.send(
        "multi_ego",
        wire.multi_ego(2, (1, 200.0, 38.0, 0.0, 0.0, 4, 1), (2, 150.0, 41.0, 0.0, 18.0, 4, 2)),
    )
    state = bench.ego(0.02)
    assert (state.x_m, state.y_m) == pytest.approx((150.0, 41.0), abs=0.3)
    assert state.mode == 2
    types = [struct.unpack_from("<hh", bench.sent["objects"][-1], 38 + 106 * k) for k in range(3)]
    assert sorted(types) == [(0, 0), (601, -1), (602, -1)]
    bench.send("ego_control", wire.control_c1(brake=1.0))
    assert bench.ego(2.0).speed_kmh == 0.0


@pytest.mark.parametrize(
    "data",
    [
        wire.multi_ego(5, (1, 200.0, 38.0, 0.0, 0.0, 4, 1)),
        wire.multi_ego(1, (1, 1e9, 38.0, 0.0, 0.0, 4, 1)),
        wire.multi_ego(1, (1, 200.0, 38.0, 0.0, 0.0, 9, 1)),
        wire.multi_ego(21, (21, 200.0, 38.0, 0.0, 0.0, 4, 1)),
    ],
    ids=["no such camera", "off the map", "no such gear", "index above 20"],
)
def test_senseless_multi_ego_is_refused(data: bytes) -> None:
    """A setting with anything senseless in it leaves the egos as they were."""
    bench = Bench()
    bench.send("multi_ego", data)
    assert list(bench.scene.egos) == [0]
    assert "applied" not in bench.host.counters.outcomes


def test_lamps() -> None:
    """Turn signal and hazard lamps are kept; a turn signal of 7 is refused."""
    bench = Bench()
    bench.send("lamps", wire.lamps(1, 1))
    bench.send("lamps", wire.lamps(7, 0))
    assert (bench.scene.ego.turn_signal, bench.scene.ego.hazard_lamps) == (1, True)
    assert bench.host.counters.outcomes == {"applied": 1, "bad_value": 1}


def test_traffic_light_ahead_can_be_set() -> None:
    """The light ahead shows what it was told; an unknown light is counted."""
    bench = Bench(traffic_light=50)
    name = bench.sent["traffic_light"][0][30:42].rstrip(b"\0")
    bench.send("set_traffic_light", wire.set_light(name, 1))
    bench.send("set_traffic_light", wire.set_light(b"nowhere", 1))
    bench.run(0.02)
    assert struct.unpack_from("<hh", bench.sent["traffic_light"][-1], 42) == (0, 1)
    assert bench.host.counters.outcomes == {"applied": 1, "unknown_traffic_light": 1}


def test_built_in_driver_goes_around() -> None:
    """The built-in driver keeps its lane for a whole round and passes both lights."""
    bench = Bench(mode=StatusMode.BUILT_IN)
    road = bench.scene.world.road
    passed = 0.0
    last_s, _ = road.locate(80.0, 38.25)
    for _ in range(600):
        state = bench.ego(0.2)
        s, offset = road.locate(state.x_m, state.y_m)
        assert offset == pytest.approx(-1.75, abs=0.6)
        passed += (s - last_s) % road.length_m
        last_s = s
    assert passed > road.length_m


def test_duplicate_stamps_reach_the_wire() -> None:
    """With the fault certain, every ego status after the first repeats its stamp."""
    bench = Bench(faults=FaultPlan(duplicate_stamp=1.0))
    bench.run(0.2)
    assert len({data[27:35] for data in bench.sent["ego_status"]}) == 1


def test_stall_silences_and_freezes() -> None:
    """During a stall nothing is sent and nothing moves, afterwards both go on."""
    bench = Bench()
    bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=36.0))
    before = bench.ego(11.0)
    sent = len(bench.sent["ego_status"])
    bench.host.faults.plan = FaultPlan(stall=1.0, stall_s=2.0)
    bench.run(0.02)
    bench.host.faults.plan = FaultPlan()
    bench.run(1.9)
    assert len(bench.sent["ego_status"]) == sent
    after = bench.ego(0.2)
    # 10 m/s for the quarter of a second a gap may count, and for the ticks after it.
    assert 0.0 < after.x_m - before.x_m < 5.5


HOSTILE = [
    (b"", "empty"),
    (b"#MoraiCtrlCmd$", "wrong_size"),
    (wire.control_c1()[:-1], "wrong_size"),
    (wire.control_c1() + b"x", "wrong_size"),
    (wire.control_c1()[:-2] + b"xx", "bad_tail"),
    (wire.control_c1(steer=math.nan), "non_finite"),
    (wire.control_c1(kind=2, velocity_kmh=math.inf), "non_finite"),
    (b"#MoraiInfo$" + bytes(170), "wrong_direction"),
    (wire.lamps(1, 0), "wrong_channel"),
    (b"\xff" * 2000, "unknown_name"),
]


@pytest.mark.parametrize(("data", "reason"), HOSTILE, ids=[str(i) for i in range(len(HOSTILE))])
def test_bad_datagrams_are_counted_by_reason(data: bytes, reason: str) -> None:
    """Whatever is wrong with a datagram, it is dropped and counted, and the car does not move."""
    bench = Bench(mode=StatusMode.EXTERNAL)
    bench.send("ego_control", data)
    assert bench.host.counters.dropped == {reason: 1}
    assert bench.ego(0.5).speed_kmh == 0.0


@pytest.mark.parametrize(
    "data", [wire.control_c1(gear=9), wire.control_c1(kind=0), wire.control_c1(kind=4)]
)
def test_senseless_commands_are_not_obeyed(data: bytes) -> None:
    """An unknown gear or longitudinal type leaves mode and car alone."""
    bench = Bench()
    bench.send("ego_control", data)
    assert bench.host.counters.outcomes == {"bad_value": 1}
    assert bench.ego(0.1).mode == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*COMMAND_CHANNELS, "nonsense"]),
            st.one_of(
                st.binary(max_size=200),
                st.builds(
                    wire.control_c1,
                    st.integers(-128, 127),
                    st.integers(-128, 127),
                    st.integers(-128, 127),
                    st.floats(width=32),
                    st.floats(width=32),
                    st.floats(width=32),
                    st.floats(width=32),
                    st.floats(width=32),
                ),
                st.builds(wire.ego_ghost, *[st.floats(width=32)] * 8),
                st.builds(wire.lamps, st.integers(-128, 127), st.integers(-128, 127)),
                st.builds(wire.set_light, st.just(b"LOOP-TL-01"), st.integers(-32768, 32767)),
            ),
        ),
        max_size=8,
    )
)
def test_never_raises(datagrams: list[tuple[str, bytes]]) -> None:
    """Any datagrams on any channels leave a host that still ticks and sends finite numbers."""
    bench = Bench(objects=50, imu=50, gps=20, collision=50, traffic_light=50)
    for channel, data in datagrams:
        bench.send(channel, data)
    state = bench.ego(0.1)
    assert all(map(math.isfinite, (state.x_m, state.y_m, state.yaw_deg, state.speed_kmh)))
    assert not bench.host.counters.unsent


def test_same_seed_same_datagrams() -> None:
    """Two hosts with the same seed, commands and times send the same bytes."""
    plan = FaultPlan(loss=0.1, burst=0.02, duplicate_stamp=0.1)
    twins = [Bench("busy-loop", faults=plan, objects=50) for _ in range(2)]
    for bench in twins:
        bench.send("ego_control", wire.control_c1(kind=2, velocity_kmh=30.0, steer=0.05))
        bench.run(5.0)
    assert twins[0].sent == twins[1].sent
