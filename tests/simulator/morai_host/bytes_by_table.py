"""Datagrams by the published byte tables, independent of the codec under test."""

import struct
from typing import NamedTuple


def frame(name: bytes, payload: bytes) -> bytes:
    """The common envelope: name, payload length, twelve zero bytes, payload, CR LF."""
    return name + struct.pack("<i", len(payload)) + bytes(12) + payload + b"\r\n"


def control_c1(
    mode: int = 2,
    gear: int = 4,
    kind: int = 1,
    velocity_kmh: float = 0.0,
    acceleration: float = 0.0,
    accel: float = 0.0,
    brake: float = 0.0,
    steer: float = 0.0,
) -> bytes:
    """Ego control of 22.R1 to 24.R2, 55 bytes."""
    payload = struct.pack(
        "<bbbfffff", mode, gear, kind, velocity_kmh, acceleration, accel, brake, steer
    )
    return frame(b"#MoraiCtrlCmd$", payload)


def control_c2(velocity_kmh: float) -> bytes:
    """Ego control of 26.R1, 59 bytes: a rear steer follows the front steer."""
    payload = struct.pack("<bbbffffff", 2, 4, 2, velocity_kmh, 0.0, 0.0, 0.0, 0.0, 0.0)
    return frame(b"#MoraiCtrlCmd$", payload)


def lamps(turn: int, emergency: int) -> bytes:
    """Lamp control, 33 bytes."""
    return frame(b"#LampControl$", struct.pack("<bb", turn, emergency))


def scenario(
    name: bytes, flags: tuple[int, int, int, int, int, int, int] = (1, 1, 1, 1, 1, 1, 0)
) -> bytes:
    """Scenario load, 69 bytes: delete all, network, ego, npc, pedestrian, object, pause."""
    return frame(b"#ScenarioLoad$", name.ljust(30) + bytes(flags))


def ego_ghost(*values: float) -> bytes:
    """Ego ghost, 63 bytes: x, y, z, roll, pitch, yaw (deg), velocity (km/h), steer (deg)."""
    return frame(b"#EgoGhostCmd$", struct.pack("<8f", *values))


def multi_ego(camera: int, *egos: tuple[int, float, float, float, float, int, int]) -> bytes:
    """Multi ego setting, 683 bytes; an ego is index, x, y, yaw deg, km/h, gear, mode."""
    records = b"".join(
        struct.pack("<h7fbb", i, x, y, 0.0, 0.0, 0.0, yaw, kmh, gear, mode)
        for i, x, y, yaw, kmh, gear, mode in egos
    )
    return frame(
        b"#MultiEgoSetting$", struct.pack("<ii", len(egos), camera) + records.ljust(640, b"\0")
    )


def set_light(index: bytes, status: int) -> bytes:
    """Set traffic light, 46 bytes."""
    return frame(b"#TrafficLight$", index.ljust(12) + struct.pack("<h", status))


class Ego(NamedTuple):
    """What a test reads from an ego status of 181 bytes."""

    stamp_s: float
    mode: int
    gear: int
    speed_kmh: float
    x_m: float
    y_m: float
    z_m: float
    yaw_deg: float
    velocity_kmh: tuple[float, float, float]
    acceleration: tuple[float, float, float]
    steer_deg: float


def ego(data: bytes) -> Ego:
    """Read an ego status E3 by its byte table."""
    assert len(data) == 181
    assert data.startswith(b"#MoraiInfo$")
    sec, nsec, mode, gear, speed = struct.unpack_from("<iibbf", data, 27)
    x, y, z, _, _, yaw = struct.unpack_from("<6f", data, 77)
    return Ego(
        sec + nsec / 1e9,
        mode,
        gear,
        speed,
        x,
        y,
        z,
        yaw,
        struct.unpack_from("<3f", data, 101),
        struct.unpack_from("<3f", data, 125),
        struct.unpack_from("<f", data, 137)[0],
    )
