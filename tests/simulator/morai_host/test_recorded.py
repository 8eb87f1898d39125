"""Driving from a recording."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from agent.morai import Dialect
from simulator.morai_host.host import Host
from simulator.morai_host.recorded import MAX_BEHIND, RecordedDrive
from simulator.replay.recording import (
    EgoTrack,
    GnssTrack,
    ImuTrack,
    MapOrigin,
    Recording,
    read,
)
from tests.simulator.morai_host import bytes_by_table as wire

SHIPPED = Path(__file__).parents[3] / "scenarios" / "recordings" / "highway-minute.mcap"
START = 1_700_000_000.0


def straight(seconds: float = 4.0, rate_hz: float = 20.0) -> Recording:
    """East at 10 m/s from (100, 50), recorded at another rate than 50 Hz; a fix every second."""
    t = np.arange(round(seconds * rate_hz) + 1) / rate_hz
    zero = np.zeros_like(t)
    forward = np.stack([zero + 10.0, zero, zero], axis=-1)
    fixes = np.arange(int(seconds) + 1, dtype=np.float64)
    return Recording(
        name="straight",
        start_unix_s=1_500_000_000.0,
        map_origin=MapOrigin("EPSG:32652", 300_000.0, 4_100_000.0, 0.0),
        wheelbase_m=2.65,
        ego=EgoTrack(
            t_s=t,
            position_m=np.stack([100.0 + 10.0 * t, zero + 50.0, zero + 7.0], axis=-1),
            orientation_rad=np.stack([zero, zero, zero + 7.0], axis=-1),
            speed_mps=zero + 10.0,
            velocity_mps=forward,
            angular_velocity_radps=np.zeros((len(t), 3)),
            acceleration_mps2=np.zeros((len(t), 3)),
            wheel_angle_rad=zero + 0.1,
            accel_pedal=zero + np.nan,
            brake_pedal=zero + np.nan,
        ),
        gnss=GnssTrack(
            t_s=fixes,
            latitude_deg=37.0 + fixes / 1000.0,
            longitude_deg=127.0 + 0.0 * fixes,
            altitude_m=30.0 + fixes,
            speed_mps=0.0 * fixes + 10.0,
            course_rad=0.0 * fixes + 1.0,
            utc_s=1_500_000_000.0 + fixes,
        ),
        imu=ImuTrack(
            t_s=t,
            angular_velocity_radps=np.zeros((len(t), 3)),
            acceleration_mps2=np.stack([zero, zero, zero + 9.8], axis=-1),
        ),
    )


def play(drive: RecordedDrive, times: list[float]) -> dict[str, list[bytes]]:
    """Tick a host at these times and give what it sent, by channel."""
    host = Host(drive)
    sent: dict[str, list[bytes]] = {}
    for time in times:
        for item in host.tick(START + time):
            sent.setdefault(item.channel, []).append(item.data)
    return sent


def test_every_sample_once_with_its_stamp() -> None:
    """At 50 Hz sample k is at 100 + 10 k/50 m and stamped start + k/50 s, whatever the jitter."""
    jitter = [0.0, 0.021, 0.039, 0.06, 0.084, 0.1, 0.119, 0.14, 0.161, 0.18]
    states = [
        wire.ego(data) for data in play(RecordedDrive(straight(), Dialect()), jitter)["ego_status"]
    ]
    assert [round((state.stamp_s - START) * 1000) for state in states] == list(range(0, 200, 20))
    assert [state.x_m for state in states] == pytest.approx([100 + 0.2 * k for k in range(10)])
    assert {state.y_m for state in states} == {50.0}
    assert states[0].speed_kmh == pytest.approx(36.0)
    # 7 rad is 7 - 2 pi once wrapped.
    assert math.radians(states[0].yaw_deg) == pytest.approx(7.0 - math.tau, abs=1e-6)
    assert states[0].steer_deg == pytest.approx(math.degrees(0.1), abs=1e-4)


def test_late_ticks_lose_nothing() -> None:
    """After a gap the missed samples are sent together, none twice."""
    drive = RecordedDrive(straight(), Dialect())
    states = [wire.ego(data) for data in play(drive, [0.0, 1.0, 1.02])["ego_status"]]
    assert [round((state.stamp_s - START) * 50) for state in states] == list(range(52))
    assert drive.skipped == 0


def test_long_gap_is_bounded() -> None:
    """Beyond the bound the oldest samples are skipped and counted."""
    drive = RecordedDrive(straight(seconds=20.0), Dialect())
    sent = play(drive, [0.0, 10.0])["ego_status"]
    assert len(sent) == 1 + MAX_BEHIND
    assert drive.skipped == 500 - MAX_BEHIND


def test_finishes_after_the_last_sample() -> None:
    """4 s at 50 Hz are 201 samples, then the drive is over and silent."""
    drive = RecordedDrive(straight(), Dialect())
    sent = play(drive, [k * 0.02 for k in range(300)])["ego_status"]
    assert len(sent) == drive.sample_count == 201
    assert drive.finished


def test_loop_begins_again() -> None:
    """In a loop stamps go on while the car is back at the start."""
    drive = RecordedDrive(straight(), Dialect(), loop=True)
    states = [wire.ego(data) for data in play(drive, [k * 0.02 for k in range(250)])["ego_status"]]
    assert not drive.finished
    assert [round((state.stamp_s - START) * 50) for state in states] == list(range(250))
    assert states[201].x_m == pytest.approx(100.0)


def test_each_fix_once() -> None:
    """The GPS channel polls at 20 Hz and sends each recorded fix once, as RMC and GGA."""
    sent = play(RecordedDrive(straight(), Dialect()), [k * 0.02 for k in range(180)])["gps"]
    assert [data[:6] for data in sent] == [b"$GPRMC", b"$GPGGA"] * 4
    assert [data.split(b",")[3] for data in sent[::2]] == [
        b"3700.0000", b"3700.0600", b"3700.1200", b"3700.1800",
    ]  # fmt: skip


def test_imu_is_the_recorded_one() -> None:
    """Inertial samples carry the recorded force and no sample is sent twice."""
    sent = play(RecordedDrive(straight(), Dialect()), [k * 0.02 for k in range(100)])["imu"]
    # 20 Hz were recorded, so 50 Hz can send no more than 20 a second.
    assert len(sent) == pytest.approx(40, abs=1)
    assert struct.unpack_from("<3d", sent[0], 33 + 56) == (0.0, 0.0, 9.8)
    stamps = [data[25:33] for data in sent]
    assert len(set(stamps)) == len(stamps)


def test_commands_change_the_mode_but_not_the_path() -> None:
    """A stop command is accepted and reported as external mode; the car stays on its path."""
    drive = RecordedDrive(straight(), Dialect())
    host = Host(drive)
    host.tick(START)
    host.receive("ego_control", wire.control_c1(brake=1.0), START)
    host.receive("scenario_load", wire.scenario(b"open-road"), START)
    data = [i.data for i in host.tick(START + 1.0) if i.channel == "ego_status"]
    state = wire.ego(data[-1])
    assert (state.mode, state.speed_kmh) == pytest.approx((2, 36.0))
    assert state.x_m == pytest.approx(110.0)
    assert host.counters.outcomes == {"obeyed": 1, "no_effect_here": 1}


def test_shipped_recording_plays_within_the_wires_resolution() -> None:
    """Every sample of the shipped minute arrives as recorded, within f32 rounding."""
    recording = read(SHIPPED)
    drive = RecordedDrive(recording, Dialect())
    sent = play(drive, [k * 0.02 for k in range(drive.sample_count + 5)])["ego_status"]
    states = [wire.ego(data) for data in sent]
    assert len(states) == len(recording.ego.t_s) == 2998
    positions = np.array([(s.x_m, s.y_m, s.z_m) for s in states])
    # f32 has 24 bits: half a step at 1,300 m is 6e-5 m.
    assert np.abs(positions - recording.ego.position_m).max() < 1e-4
    speeds = np.array([s.speed_kmh for s in states]) / 3.6
    assert np.abs(speeds - recording.ego.speed_mps).max() < 1e-5
