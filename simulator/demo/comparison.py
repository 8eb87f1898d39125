"""Compares what the application received with the recording that was played, sample by sample.

The simulator stamps the k-th sample of a recording start + k / 50 s, and telemetry carries that
stamp, so each received sample names the recorded one it must equal. Equal means within the
resolution of the wire and of the signal table: MORAI's datagrams carry 32-bit floats, and published
numbers are rounded. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.vehicle.vss import SIGNALS
from simulator.demo.verdict import Check
from simulator.morai_host.recorded import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from agent.telemetry.payload import Batch
    from agent.vehicle.state import EgoState
    from simulator.morai_host.recorded import RecordedDrive

# IEEE 754 binary32 has a 24-bit significand; conversions around it (km/h, degrees) add a rounding.
_FLOAT32_SHARE: Final = 2.0**-23


def _component(
    vector: Callable[[EgoState], tuple[float, float, float] | None], axis: int, scale: float = 1.0
) -> Callable[[EgoState], float | None]:
    def read(state: EgoState) -> float | None:
        values = vector(state)
        return None if values is None else values[axis] * scale

    return read


def _degrees(angle: Callable[[EgoState], float | None]) -> Callable[[EgoState], float | None]:
    def read(state: EgoState) -> float | None:
        value = angle(state)
        return None if value is None else math.degrees(value)

    return read


# What each signal must say, from the recorded state; written out here and not taken from the agent,
# because it is the agent that is being judged.
_EXPECTED: Final[dict[str, Callable[[EgoState], float | None]]] = {
    "Vehicle.Speed": lambda state: state.speed_mps * 3.6,
    "Morai.Pose.X": _component(lambda state: state.position_m, 0),
    "Morai.Pose.Y": _component(lambda state: state.position_m, 1),
    "Vehicle.Acceleration.Longitudinal": _component(lambda state: state.acceleration_mps2, 0),
    "Vehicle.Acceleration.Lateral": _component(lambda state: state.acceleration_mps2, 1),
    "Vehicle.AngularVelocity.Yaw": _component(
        lambda state: state.angular_velocity_radps, 2, 180 / math.pi
    ),
    "Vehicle.Chassis.Axle.Row1.SteeringAngle": _degrees(lambda state: state.wheel_angle_rad),
}


@dataclass(slots=True)
class _Column:
    """How one signal compared."""

    compared: int = 0
    wrong: int = 0
    worst: float = 0.0

    def add(self, error: float, tolerance: float) -> None:
        self.compared += 1
        self.wrong += not error <= tolerance
        self.worst = max(self.worst, error)


def compare_with_recording(
    drive: RecordedDrive, batches: Iterable[Batch], sent: int
) -> Iterator[Check]:
    """Judge the received `state` batches against the recording.

    Args:
        drive: The drive that was played.
        batches: All new `state` batches in the order they arrived.
        sent: Samples that were played; without faults they are the first ones of the recording.

    Yields:
        One check for the identity of the samples, one for each signal.
    """
    columns = {path: _Column() for path in _EXPECTED}
    seen: set[int] = set()
    foreign = 0
    for batch in batches:
        offsets_ms = _column(batch, "Morai.StampOffset")
        values = {path: _column(batch, path) for path in _EXPECTED}
        for row, time_s in enumerate(batch.times_s):
            number = _sample_number(drive, time_s, offsets_ms[row])
            if number is None or number in seen:
                foreign += 1
                continue
            seen.add(number)
            state = drive.sample(number)
            for path, expected in _EXPECTED.items():
                _compare(columns[path], path, values[path][row], expected(state))
    missing = max(sent, *(number + 1 for number in seen), 0) - len(seen)
    yield Check(
        "each received sample is one recorded sample",
        bool(seen) and not foreign and not missing,
        f"{len(seen):,} samples, {missing} missing, {foreign} unknown or repeated",
    )
    for path, column in columns.items():
        resolution = SIGNALS[path].resolution or 0.0
        yield Check(
            f"{path} equals the recording",
            column.compared == len(seen) > 0 and not column.wrong,
            f"worst difference {column.worst:.3g}, resolution {resolution:g},"
            f" {column.wrong} of {column.compared:,} beyond it",
        )


def _column(batch: Batch, path: str) -> Sequence[object]:
    """The values of a signal; unknown ones when the batch lacks it."""
    return batch.column(path) if path in batch.columns else [None] * batch.count


def _sample_number(drive: RecordedDrive, time_s: float, offset_ms: object) -> int | None:
    if drive.start_s is None or not isinstance(offset_ms, int | float):
        return None
    elapsed_s = time_s + offset_ms / 1000 - drive.start_s
    if not 0 <= elapsed_s + 0.5 / RATE_HZ < (drive.sample_count + 1) / RATE_HZ:
        return None
    number = round(elapsed_s * RATE_HZ)
    # Stamps are whole milliseconds, and so are the times they travel relative to.
    on_grid = abs(elapsed_s - number / RATE_HZ) < 0.25 / RATE_HZ
    return number if on_grid and 0 <= number < drive.sample_count else None


def _compare(column: _Column, path: str, found: object, expected: float | None) -> None:
    if expected is None:
        column.add(0.0 if found is None else math.inf, 0.0)
        return
    if not isinstance(found, int | float):
        column.add(math.inf, 0.0)
        return
    tolerance = (SIGNALS[path].resolution or 0.0) / 2 + abs(expected) * _FLOAT32_SHARE + 1e-9
    column.add(abs(found - expected), tolerance)
