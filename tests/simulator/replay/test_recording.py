"""The recording's file: what it holds, and that hostile ones do no harm."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from certs.errors import ConfigurationError, PeerError
from simulator.replay import recording as module
from simulator.replay.mcap_file import to_bytes
from simulator.replay.recording import METADATA_NAME, Recording, parse, read

SHIPPED = Path(__file__).parents[3] / "scenarios" / "recordings" / "highway-minute.mcap"


@pytest.fixture(name="minute", scope="module")
def _minute() -> Recording:
    return read(SHIPPED)


def test_shipped_recording_is_a_minute_at_50_hz(minute: Recording) -> None:
    """Sixty seconds of poses every 20 ms, fixes at 10 Hz, inertial samples at 104 Hz."""
    assert minute.duration_s == pytest.approx(59.94, abs=0.05)
    assert np.diff(minute.ego.t_s) == pytest.approx(0.02, abs=1e-9)
    assert len(minute.gnss.t_s) == pytest.approx(580, abs=5)
    assert len(minute.imu.t_s) == pytest.approx(60 * 104, abs=60)
    assert SHIPPED.stat().st_size < 2_000_000
    # 2018-08-02 16:14:48 UTC
    assert minute.start_unix_s == pytest.approx(1_533_226_488.4, abs=0.1)


def test_licence_stands_beside_it() -> None:
    """The MIT notice of the data ships with it."""
    text = (SHIPPED.parent / "highway-minute.LICENSE").read_text()
    assert "MIT License" in text
    assert "comma.ai" in text


def test_positions_agree_with_the_raw_receiver(minute: Recording) -> None:
    """The fused path is within 2.6 m of the raw fixes, which arrive about 0.1 s late."""
    from pyproj import Transformer  # noqa: PLC0415 - slow to import, used here only

    forward = Transformer.from_crs("EPSG:4326", minute.map_origin.crs, always_xy=True)
    east, north = forward.transform(minute.gnss.longitude_deg, minute.gnss.latitude_deg)
    ego, origin = minute.ego, minute.map_origin

    def farthest_m(latency_s: float) -> float:
        at = minute.gnss.t_s - latency_s
        x = np.interp(at, ego.t_s, ego.position_m[:, 0]) + origin.origin_east_m
        y = np.interp(at, ego.t_s, ego.position_m[:, 1]) + origin.origin_north_m
        return float(np.hypot(x - east, y - north).max())

    assert farthest_m(0.0) < 2.6
    assert farthest_m(0.08) < 1.1
    assert np.abs(ego.position_m[:, 2].mean() - minute.gnss.altitude_m.mean()) < 2.0


def test_speed_agrees_with_the_receiver_and_the_path(minute: Recording) -> None:
    """Speed matches the receiver's within 0.7 m/s and the path's own within 0.05 m/s."""
    ego = minute.ego
    at_fix = np.interp(minute.gnss.t_s - 0.1, ego.t_s, ego.speed_mps)
    assert np.abs(at_fix - minute.gnss.speed_mps).max() < 0.7
    steps = np.linalg.norm(np.diff(ego.position_m, axis=0), axis=1) * 50.0
    assert np.abs(steps - (ego.speed_mps[1:] + ego.speed_mps[:-1]) / 2).max() < 0.05
    assert ego.speed_mps.min() > 7.5
    assert ego.speed_mps.max() < 20.5


def test_yaw_points_along_the_path(minute: Recording) -> None:
    """Yaw is the direction of travel in the map, within half a degree; the road runs north."""
    step = np.diff(minute.ego.position_m, axis=0)
    course = np.arctan2(step[:, 1], step[:, 0])
    error = np.degrees(course - minute.ego.orientation_rad[:-1, 2])
    assert abs(error.mean()) < 0.05
    assert np.abs(error).max() < 0.6
    # Against the receiver's course over true ground: grid north is 0.32 degrees east of it there.
    grid_course = np.pi / 2 - minute.gnss.course_rad + np.radians(0.324)
    yaw = np.interp(minute.gnss.t_s, minute.ego.t_s, minute.ego.orientation_rad[:, 2])
    assert abs(np.degrees((yaw - grid_course).mean())) < 0.1


def test_inertial_axes(minute: Recording) -> None:
    """Gravity is up, forward force follows the speed's change, and yaw rate the turning."""
    force, ego = minute.imu.acceleration_mps2, minute.ego
    assert force[:, 2].mean() == pytest.approx(9.8, abs=0.2)
    assert abs(force[:, 0].mean()) < 0.25
    kernel = np.ones(52) / 52
    smooth = np.convolve(force[:, 0], kernel, "same")
    gained = np.interp(ego.t_s, minute.imu.t_s, smooth)
    assert np.corrcoef(gained[50:-50], ego.acceleration_mps2[50:-50, 0])[0, 1] > 0.85
    turning = np.gradient(ego.orientation_rad[:, 2], ego.t_s)
    assert np.corrcoef(turning, ego.angular_velocity_radps[:, 2])[0, 1] > 0.85
    assert np.corrcoef(ego.wheel_angle_rad, ego.angular_velocity_radps[:, 2])[0, 1] > 0.75


def test_no_sample_is_near_the_origin(minute: Recording) -> None:
    """No position is near (0, 0, 0), which receivers take for a blanked one."""
    assert minute.ego.position_m[:, :2].min() > 90.0


def test_file_is_plain_mcap_for_other_tools() -> None:
    """The stock reader finds the topics, JSON schemas and Foxglove's location type."""
    with SHIPPED.open("rb") as stream:
        reader = make_reader(stream)
        summary = reader.get_summary()
        assert summary is not None
        found = {
            channel.topic: (channel.message_encoding, summary.schemas[channel.schema_id])
            for channel in summary.channels.values()
        }
        assert set(found) == {"/ego", "/gnss", "/imu"}
        assert {(kind, schema.encoding) for kind, schema in found.values()} == {
            ("json", "jsonschema")
        }
        assert found["/gnss"][1].name == "foxglove.LocationFix"
        _, _, message = next(iter(reader.iter_messages(topics=["/ego"])))
        ego = json.loads(message.data)
        assert ego["accel_pedal"] is None
        assert json.loads(found["/ego"][1].data)["properties"].keys() == ego.keys()


def test_writing_and_reading_is_exact(minute: Recording) -> None:
    """Written again, the recording gives the same bytes."""
    assert to_bytes(minute) == to_bytes(parse(to_bytes(minute), "copy"))


def test_missing_file() -> None:
    """A path that does not exist is the user's mistake."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(Path("/no/such/file.mcap"))


def test_oversized_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the bound is refused before it is read."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    big = tmp_path / "big.mcap"
    big.write_bytes(bytes(101))
    with pytest.raises(ConfigurationError, match="101 bytes"):
        read(big)


def small(messages: list[tuple[str, object]], metadata: dict[str, str] | None = None) -> bytes:
    """A recording with these messages, written with the stock writer."""
    out = io.BytesIO()
    writer = Writer(out, compression=CompressionType.ZSTD)
    writer.start()
    schema = writer.register_schema(name="x", encoding="jsonschema", data=b"{}")
    channels = {
        topic: writer.register_channel(topic=topic, message_encoding="json", schema_id=schema)
        for topic in ("/ego", "/gnss", "/imu", "/other")
    }
    good = {
        "format": "morai-edge/recording/1", "name": "x", "start_unix_s": "1.0",
        "crs": "EPSG:32652", "origin_east_m": "0", "origin_north_m": "0", "origin_up_m": "0",
        "wheelbase_m": "2.7",
    }  # fmt: skip
    writer.add_metadata(METADATA_NAME, good if metadata is None else {**good, **metadata})
    for topic, message in messages:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        writer.add_message(channels[topic], 0, data, 0)
    writer.finish()  # type: ignore[no-untyped-call] # mcap leaves it unannotated
    return out.getvalue()


def pose(t_s: float, **changes: object) -> tuple[str, object]:
    """A good ego message."""
    vector = {"x": 1.0, "y": 2.0, "z": 3.0}
    message = {
        "t_s": t_s, "position_m": vector, "speed_mps": 1.0, "velocity_mps": vector,
        "orientation_rad": {"roll": 0.0, "pitch": 0.0, "yaw": 0.0},
        "angular_velocity_radps": vector, "acceleration_mps2": vector,
    }  # fmt: skip
    return "/ego", {**message, **changes}


def test_foreign_topics_are_skipped() -> None:
    """Other channels in the file do not disturb."""
    found = parse(small([pose(0), ("/other", b"\xff"), pose(1)]), "x")
    assert found.ego.t_s.tolist() == [0.0, 1.0]
    assert np.isnan(found.ego.wheel_angle_rad).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a whole MCAP file"),
        (b"\x89MCAP0\r\n", "not a whole MCAP file"),
        (bytes(10_000), "not a whole MCAP file"),
        (small([pose(0)]), "fewer than two"),
        (small([pose(0), pose(0)]), "do not increase"),
        (small([pose(0), ("/ego", b"not json"), pose(1)]), "does not fit its topic"),
        (small([pose(0), pose(1, speed_mps="fast")]), "does not fit its topic"),
        (small([pose(0), ("/ego", b'{"t_s": NaN}')]), "does not fit its topic"),
        (small([pose(0), pose(1)], {"format": "other/9"}), "not a recording of this product"),
        (small([pose(0), pose(1)], {"crs": ""}), "crs"),
        (small([pose(0), pose(1)], {"crs": "x" * 2000}), "crs"),
        (small([pose(0), pose(1)], {"origin_up_m": "inf"}), "origin_up_m"),
        (small([pose(0), pose(1)], {"start_unix_s": "noon"}), "start_unix_s"),
    ],
)  # fmt: skip
def test_bad_files_are_peer_errors(data: bytes, message: str) -> None:
    """Damaged, foreign and senseless files give one clear error."""
    with pytest.raises(PeerError, match=message):
        parse(data, "x.mcap")


def test_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that claims to unpack to more than the bound is refused before it is unpacked."""
    monkeypatch.setattr(module, "MAX_CHUNK_BYTES", 1000)
    with pytest.raises(PeerError, match="unpacks to more"):
        parse(small([pose(i) for i in range(50)]), "x")


def test_too_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of samples is bounded."""
    monkeypatch.setattr(module, "MAX_SAMPLES", 10)
    with pytest.raises(PeerError, match="more than 10 samples"):
        parse(small([pose(i) for i in range(11)]), "x")


GOOD = small([pose(i) for i in range(20)])


@given(st.data())
def test_any_damage_is_survived(data: st.DataObject) -> None:
    """Cut or overwritten anywhere, the file is read or refused, and nothing else happens."""
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(GOOD) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(GOOD)))
    try:
        found = parse(bytes(damaged[:cut] if data.draw(st.booleans()) else damaged), "x")
    except PeerError:
        return
    assert len(found.ego.t_s) >= 2
