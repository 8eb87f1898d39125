"""Simulator datagrams by the published byte tables, independent of the codec.

Source: MORAI_UDP_NetworkModule 24.R2 and the MORAI SIM: Drive 24.R2 manual, "UDP messages".
"""

from __future__ import annotations

import struct
from functools import reduce
from operator import xor
from typing import NamedTuple

STAMP_S = 1_700_000_000


def framed(name: bytes, payload: bytes) -> bytes:
    """Name, payload length, twelve spare bytes, payload, CR LF."""
    return name + struct.pack("<i", len(payload)) + bytes(12) + payload + b"\r\n"


def ego_status(
    *,
    speed_kmh: float = 0.0,
    mode: int = 2,
    gear: int = 4,
    position_m: tuple[float, float, float] = (10.0, 20.0, 1.0),
    yaw_deg: float = 90.0,
    acceleration_mps2: tuple[float, float, float] = (0.5, 0.0, 0.0),
    steer_deg: float = 0.0,
    sec: int = STAMP_S,
) -> bytes:
    """Ego status E3 of 181 bytes. Mode 1 is the keyboard, 2 external; gear 4 is D."""
    payload = struct.pack("<iibbfi", sec, 250_000_000, mode, gear, speed_kmh, 10_003)
    payload += struct.pack("<ff", 0.25, 0.5)
    payload += struct.pack("<6f", 4.6, 1.8, 1.5, 0.8, 2.7, 1.1)
    payload += struct.pack("<3f", *position_m)
    payload += struct.pack("<3f", 0.0, 0.0, yaw_deg)
    payload += struct.pack("<3f", speed_kmh, 0.0, 0.0)
    payload += struct.pack("<3f", 0.0, 0.0, 0.0)
    payload += struct.pack("<3f", *acceleration_mps2)
    payload += struct.pack("<f38s", steer_deg, b"A2256W001086")
    return framed(b"#MoraiInfo$", payload)


def blanked_ego_status() -> bytes:
    """What a competition build sends: mode and speed, and zeros for everything that gives away."""
    return ego_status(speed_kmh=36.0, position_m=(0.0, 0.0, 0.0), acceleration_mps2=(0.0, 0.0, 0.0))


def objects(*records: tuple[int, int, float, float]) -> bytes:
    """Object info O3 of 2,160 bytes; a record is id, type, x and y. Type 1 is a vehicle."""
    slots = b"".join(
        struct.pack("<hh16f38s", number, kind, x, y, *(0.0,) * 14, b"L1")
        for number, kind, x, y in records
    )
    empty = struct.pack("<hh", 0, -1) + bytes(102)
    slots += empty * (20 - len(records))
    return framed(b"#MoraiObjInfo$", struct.pack("<ii", STAMP_S, 0) + slots)


def imu(yaw_rate_radps: float = 0.0) -> bytes:
    """IMU data with a stamp, 115 bytes."""
    values = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, yaw_rate_radps, 0.0, 0.0, 9.81)
    return framed(b"#IMUData$", struct.pack("<ii10d", STAMP_S, 0, *values))


def collision(*object_ids: int) -> bytes:
    """Collision data of 181 bytes: contacts with vehicles at (5, 6, 0)."""
    records = b"".join(
        struct.pack("<hh6f", 1, number, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0) for number in object_ids
    )
    spare = struct.pack("<ii", STAMP_S, 0) + records.ljust(140, b"\0")
    return framed(b"#CollisionData$", spare)


def traffic_light(index: bytes, status: int) -> bytes:
    """Traffic light status of 48 bytes. Status 16 is green, 1 red."""
    return framed(b"#TrafficLight$", struct.pack("<12shh", index, 0, status))


def gps(clock: str = "120000.00") -> bytes:
    """One RMC and one GGA sentence of the same instant: 37.5 N, 127 E (NMEA 0183)."""
    return _sentence(f"GPRMC,{clock},A,3730.0000,N,12700.0000,E,10.0,90.0,010124,,") + _sentence(
        f"GPGGA,{clock},3730.0000,N,12700.0000,E,1,9,1.0,50.0,M,20.0,M,,"
    )


def _sentence(body: str) -> bytes:
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


class Control(NamedTuple):
    """Ego control C1 as the simulator reads it. Mode 2 is external; gear 4 is D.

    `kind` says which of the values counts: 1 pedals, 2 velocity, 3 acceleration.
    """

    mode: int
    gear: int
    kind: int
    velocity_kmh: float
    acceleration_mps2: float
    accel: float
    brake: float
    steer: float

    @property
    def is_full_brake(self) -> bool:
        """Whether this brings any car to a stop."""
        return (self.kind, self.accel, self.brake) == (1, 0.0, 1.0)


def control(data: bytes) -> Control:
    """Read an ego control C1 of 55 bytes by its byte table."""
    assert len(data) == 55
    assert data.startswith(b"#MoraiCtrlCmd$" + struct.pack("<i", 23))
    assert data.endswith(b"\r\n")
    return Control(*struct.unpack_from("<bbbfffff", data, 30))


def lamps(data: bytes) -> tuple[int, int]:
    """Read a lamp control of 33 bytes: turn signal and hazard lamps."""
    assert len(data) == 33
    assert data.startswith(b"#LampControl$")
    turn, hazard = struct.unpack_from("<bb", data, 29)
    return turn, hazard
