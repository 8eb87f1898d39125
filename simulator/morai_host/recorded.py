"""A drive that comes from a recording instead of the model.

Owns the resampling of a recording and its place on the wall clock. Every sample is reported exactly
once and carries the stamp start + k / 50 s, so a receiver can compare what it got with the
recording sample by sample. Commands are accepted, and modes change as they do in the simulator,
but nothing moves the car off its recorded path. It must not know bytes, channels or faults.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from agent.morai import EgoControl, Gear, LampControl, StatusMode
from agent.vehicle.angles import wrap_rad
from agent.vehicle.state import Dimensions, DriveMode, EgoState, GnssFix, ImuSample
from simulator.morai_host.control import Command, Control
from simulator.morai_host.drive import obey
from simulator.morai_host.sensors import HDOP, QUALITY, SATELLITES, quaternion
from simulator.morai_host.simulation import Outcome

if TYPE_CHECKING:
    from agent.morai import Dialect, Message
    from agent.vehicle.state import TrackedObject, TrafficLight
    from simulator.replay.recording import FloatArray, Recording

RATE_HZ = 50.0
# A tick this part of a period early already gets the sample that is about to be due.
_EARLY = 0.25
MAX_BEHIND = 250
"""Samples that are reported late after a gap in the calls; older ones are skipped and counted."""

# Outer size of the recorded car model, a Toyota RAV4 (XA40), without its wheelbase.
_LENGTH_M, _WIDTH_M, _HEIGHT_M = 4.605, 1.845, 1.675


class RecordedDrive:
    """A drive through a recording.

    Args:
        recording: What to play.
        dialect: How a commanded steer is read (it moves nothing, but it is reported).
        loop: Begin again at the end; the car then jumps back to the start.

    Attributes:
        start_s: Unix time of the recording's first sample on the wall clock, `None` before the
            first call of `advance`. It is a whole millisecond, like every stamp of the simulator.
        skipped: Samples that were never reported because the calls paused for too long.
    """

    def __init__(self, recording: Recording, dialect: Dialect, *, loop: bool = False) -> None:
        self.start_s: float | None = None
        self.skipped = 0
        self.recording = recording
        self._dialect = dialect
        self._loop = loop
        self._control = Control(
            mode=StatusMode.KEYBOARD,
            keyboard=Command(gear=Gear.D),
            external=Command(gear=Gear.D),
        )
        ego = recording.ego
        first = float(ego.t_s[0])
        count = math.floor((float(ego.t_s[-1]) - first) * RATE_HZ + 1e-6) + 1
        self._t_s = np.arange(count) / RATE_HZ
        at = first + self._t_s
        self._position = _resampled(at, ego.t_s, ego.position_m)
        self._attitude = _resampled(at, ego.t_s, ego.orientation_rad)
        self._speed = np.interp(at, ego.t_s, ego.speed_mps)
        self._velocity = _resampled(at, ego.t_s, ego.velocity_mps)
        self._rates = _resampled(at, ego.t_s, ego.angular_velocity_radps)
        self._acceleration = _resampled(at, ego.t_s, ego.acceleration_mps2)
        self._wheel = np.interp(at, ego.t_s, ego.wheel_angle_rad)
        self._pedals = np.stack(
            [np.interp(at, ego.t_s, ego.accel_pedal), np.interp(at, ego.t_s, ego.brake_pedal)], -1
        )
        self._imu_t_s = recording.imu.t_s - first
        self._gnss_t_s = recording.gnss.t_s - first
        overhang_m = (_LENGTH_M - recording.wheelbase_m) / 2.0
        self._dimensions = Dimensions(
            length_m=_LENGTH_M,
            width_m=_WIDTH_M,
            height_m=_HEIGHT_M,
            wheelbase_m=recording.wheelbase_m,
            front_overhang_m=overhang_m,
            rear_overhang_m=overhang_m,
        )
        self._elapsed_s = 0.0
        self._next = 0
        self._next_imu = 0
        self._next_fix = 0

    @property
    def sample_count(self) -> int:
        """Number of ego samples in one pass of the recording."""
        return len(self._t_s)

    def sample(self, k: int) -> EgoState:
        """Sample `k` as it is reported, counted over all passes of the recording.

        Its stamp follows the wall clock once the drive has started, the recording's before.
        """
        row = k % self.sample_count
        roll, pitch, yaw = self._attitude[row].tolist()
        accel, brake = (None if math.isnan(p) else p for p in self._pedals[row].tolist())
        wheel = float(self._wheel[row])
        start_s = self.start_s if self.start_s is not None else self.recording.start_unix_s
        return EgoState(
            speed_mps=float(self._speed[row]),
            stamp_s=round(start_s + k / RATE_HZ, 3),
            drive_mode=DriveMode(int(self._control.mode)),
            gear=self._control.command.gear,
            position_m=_triple(self._position[row]),
            roll_rad=wrap_rad(roll),
            pitch_rad=wrap_rad(pitch),
            yaw_rad=wrap_rad(yaw),
            velocity_mps=_triple(self._velocity[row]),
            angular_velocity_radps=_triple(self._rates[row]),
            acceleration_mps2=_triple(self._acceleration[row]),
            wheel_angle_rad=None if math.isnan(wheel) else wheel,
            accel_pedal=accel,
            brake_pedal=brake,
            dimensions=self._dimensions,
        )

    @property
    def control(self) -> Control:
        """See `Drive`."""
        return self._control

    @property
    def finished(self) -> bool:
        """Whether the last sample was reported."""
        return not self._loop and self._next >= self.sample_count

    def advance(self, now_s: float) -> None:
        """See `Drive`. The first call starts the recording; a clock that jumps back waits."""
        if self.start_s is None:
            self.start_s = math.floor(now_s * 1000.0) / 1000.0
        self._elapsed_s = max(self._elapsed_s, now_s - self.start_s)

    def command(self, message: Message) -> str:
        """See `Drive`."""
        if isinstance(message, EgoControl):
            return obey(self._control, message, self._dialect)
        return Outcome.APPLIED if isinstance(message, LampControl) else Outcome.NO_EFFECT

    def present(self) -> EgoState:
        """See `Drive`."""
        return self.sample(max(0, self._next - 1))

    def ego_states(self) -> list[EgoState]:
        """See `Drive`: every sample up to now that was not yet reported."""
        end = math.floor(self._elapsed_s * RATE_HZ + _EARLY) + 1
        if not self._loop:
            end = min(end, self.sample_count)
        if end - self._next > MAX_BEHIND:
            self.skipped += end - self._next - MAX_BEHIND
            self._next = end - MAX_BEHIND
        states = [self.sample(k) for k in range(self._next, end)]
        self._next = max(self._next, end)
        return states

    def imu_samples(self) -> list[ImuSample]:
        """See `Drive`: the newest sample, if it was not yet reported."""
        index, self._next_imu = self._newest(self._imu_t_s, self._next_imu)
        if index is None:
            return []
        imu = self.recording.imu
        row = index % len(imu.t_s)
        stamp_s = self._stamp(self._imu_t_s, index)
        attitude = self._attitude[
            min(round(float(self._imu_t_s[row]) * RATE_HZ), self.sample_count - 1)
        ]
        return [
            ImuSample(
                orientation=quaternion(*attitude.tolist()),
                angular_velocity_radps=_triple(imu.angular_velocity_radps[row]),
                acceleration_mps2=_triple(imu.acceleration_mps2[row]),
                stamp_s=stamp_s,
            )
        ]

    def fixes(self) -> list[GnssFix]:
        """See `Drive`: the newest fix, if it was not yet reported."""
        index, self._next_fix = self._newest(self._gnss_t_s, self._next_fix)
        if index is None:
            return []
        gnss = self.recording.gnss
        row = index % len(gnss.t_s)
        return [
            GnssFix(
                latitude_deg=float(gnss.latitude_deg[row]),
                longitude_deg=float(gnss.longitude_deg[row]),
                altitude_m=float(gnss.altitude_m[row]),
                speed_mps=float(gnss.speed_mps[row]),
                course_rad=float(gnss.course_rad[row]) % math.tau,
                quality=QUALITY,
                satellites=SATELLITES,
                hdop=HDOP,
                utc_s=self._stamp(self._gnss_t_s, index),
            )
        ]

    def objects(self) -> list[TrackedObject]:
        """The recording holds no objects."""
        return []

    def collisions(self) -> list[TrackedObject]:
        """The recording holds no collisions."""
        return []

    def traffic_light(self) -> TrafficLight | None:
        """The recording holds no traffic lights."""
        return None

    def intersection(self) -> tuple[int, int, float] | None:
        """The recording holds no intersections."""
        return None

    def _newest(self, times_s: FloatArray, already: int) -> tuple[int | None, int]:
        """Index, counted over all passes, of the newest sample that was not yet reported."""
        if not len(times_s):
            return None, already
        period_s = self.sample_count / RATE_HZ
        passes, within_s = divmod(self._elapsed_s, period_s)
        if not self._loop and passes >= 1.0:
            passes, within_s = 0.0, period_s
        upto = int(np.searchsorted(times_s, within_s, side="right")) + int(passes) * len(times_s)
        return (upto - 1, upto) if upto > already else (None, already)

    def _stamp(self, times_s: FloatArray, index: int) -> float:
        passes, row = divmod(index, len(times_s))
        elapsed_s = passes * self.sample_count / RATE_HZ + float(times_s[row])
        return round((self.start_s or 0.0) + elapsed_s, 3)


def _resampled(at: FloatArray, t_s: FloatArray, values: FloatArray) -> FloatArray:
    return np.stack([np.interp(at, t_s, column) for column in values.T], axis=-1)


def _triple(row: FloatArray) -> tuple[float, float, float]:
    x, y, z = row.tolist()
    return x, y, z
