"""The comparison with a recording, fed with real datagrams through the agent's own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.morai import DEFAULT_DIALECT, Direction, EgoStatus, decode, encode
from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.payload import Batch, decode_batch
from agent.telemetry.streams import state_stream
from agent.vehicle.morai_view import ego_state, ego_status
from simulator.demo.comparison import compare_with_recording
from simulator.morai_host.recorded import RecordedDrive
from simulator.replay.recording import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from simulator.demo.verdict import Check

SHIPPED = Path(__file__).parents[3] / "scenarios" / "recordings" / "highway-minute.mcap"
START_S = 1_700_000_000.25
SAMPLES = 100
IDENTITY = "each received sample is one recorded sample"
# Signal and its resolution, as docs/signals.md publishes them.
RESOLUTIONS = {
    "Vehicle.Speed": 0.01,
    "Morai.Pose.X": 0.01,
    "Morai.Pose.Y": 0.01,
    "Vehicle.Acceleration.Longitudinal": 0.01,
    "Vehicle.Acceleration.Lateral": 0.01,
    "Vehicle.AngularVelocity.Yaw": 0.01,
    "Vehicle.Chassis.Axle.Row1.SteeringAngle": 0.01,
}


def play(max_samples: int) -> tuple[RecordedDrive, list[Batch]]:
    """Two seconds of the shipped drive, through the wire and the agent, as the cloud gets them."""
    drive = RecordedDrive(read(SHIPPED), DEFAULT_DIALECT)
    drive.advance(START_S)
    drive.advance(START_S + (SAMPLES - 1) / 50)
    batcher = Batcher(
        state_stream(), "boot-1", BatchLimits(max_samples=max_samples, max_bytes=9000)
    )
    payloads: list[bytes] = []
    for number, state in enumerate(drive.ego_states()):
        message = decode(
            encode(ego_status(state, dialect=DEFAULT_DIALECT)), direction=Direction.FROM_SIMULATOR
        )
        assert isinstance(message, EgoStatus)
        # Half a millisecond on the way, and a little more now and then.
        received_s = START_S + number / 50 + 0.0005 + 0.0017 * (number % 3)
        payloads += batcher.add(ego_state(message, DEFAULT_DIALECT), received_s)
    payloads += batcher.flush()
    return drive, [decode_batch(payload) for payload in payloads]


DRIVE, BATCHES = play(max_samples=10)
_, SINGLES = play(max_samples=1)


def failed(batches: Iterable[Batch], sent: int = SAMPLES) -> set[str]:
    """Names of the checks that do not hold, without what they all end with."""
    checks: list[Check] = list(compare_with_recording(DRIVE, batches, sent))
    assert len(checks) == 1 + len(RESOLUTIONS)
    return {check.name.removesuffix(" equals the recording") for check in checks if not check.held}


def changed(path: str, number: int, change: Callable[[Any], Any]) -> list[Batch]:
    """The batches with one signal of one sample changed."""
    batches = list(BATCHES)
    index, row = divmod(number, 10)
    batch = batches[index]
    values = list(batch.column(path))
    values[row] = change(values[row])
    batches[index] = msgspec.structs.replace(batch, columns={**batch.columns, path: values})
    return batches


def test_a_faithful_chain_passes() -> None:
    """Datagrams with 32-bit floats and rounded telemetry still equal the recording."""
    assert len(BATCHES) == SAMPLES / 10
    assert failed(BATCHES) == set()


@given(
    st.sampled_from(sorted(RESOLUTIONS)),
    st.integers(0, SAMPLES - 1),
    st.floats(1.01, 1e6),
    st.sampled_from([-1, 1]),
)
def test_one_wrong_value_fails_exactly_its_check(
    path: str, number: int, steps: float, sign: int
) -> None:
    """More than the resolution off in a single sample of a single signal is found."""
    off = sign * steps * RESOLUTIONS[path]

    assert failed(changed(path, number, lambda value: value + off)) == {path}


@pytest.mark.parametrize("path", sorted(RESOLUTIONS))
@pytest.mark.parametrize("wrong", [None, "fast", [1.0]])
def test_a_value_that_is_no_number_fails_exactly_its_check(path: str, wrong: object) -> None:
    """Unknown, text or a list where the recording has a number is wrong."""
    assert failed(changed(path, 42, lambda _: wrong)) == {path}


@pytest.mark.parametrize("path", sorted(RESOLUTIONS))
def test_a_signal_that_is_missing_fails_exactly_its_check(path: str) -> None:
    """A batch without a signal is a wrong one, and no crash."""
    columns = {name: column for name, column in BATCHES[3].columns.items() if name != path}
    batches = [*BATCHES]
    batches[3] = msgspec.structs.replace(BATCHES[3], columns=columns)

    assert failed(batches) == {path}


@given(st.sets(st.integers(0, SAMPLES - 1), min_size=1, max_size=SAMPLES - 1))
def test_missing_samples_fail_the_identity_check(missing: set[int]) -> None:
    """A sample that did not arrive is noticed, the first and the last ones included."""
    kept = [batch for number, batch in enumerate(SINGLES) if number not in missing]

    assert failed(kept) == {IDENTITY}


@given(st.integers(0, SAMPLES - 1), st.integers(0, SAMPLES))
def test_a_repeated_sample_fails_the_identity_check(number: int, at: int) -> None:
    """The same sample twice is one too many, wherever the second one arrives."""
    assert failed([*SINGLES[:at], SINGLES[number], *SINGLES[at:]]) == {IDENTITY}


@given(
    st.integers(0, SAMPLES - 1),
    # 6 ms is off the grid of 20 ms; the others are before the start and beyond the end.
    st.sampled_from([0.006, -0.008, -3600.0, 3600.0, 1e12, -1e300, 1e300]),
)
def test_a_foreign_sample_fails_the_identity_check(number: int, shift_s: float) -> None:
    """A sample whose stamp is none of the recording's is not taken for one."""
    stranger = msgspec.structs.replace(SINGLES[number], t0=SINGLES[number].t0 + shift_s)

    assert failed([*SINGLES, stranger]) == {IDENTITY}


@pytest.mark.parametrize("offset", [None, "soon", 1e300])
def test_a_sample_without_a_usable_stamp_is_foreign(offset: object) -> None:
    """Without the simulator's stamp a sample cannot be told, so it counts as unknown."""
    columns = {**SINGLES[7].columns, "Morai.StampOffset": offset}
    batches = [*SINGLES]
    batches[7] = msgspec.structs.replace(SINGLES[7], columns=columns)

    assert failed(batches) == {IDENTITY}


def test_nothing_received_passes_nothing() -> None:
    """An empty delivery fails every check instead of passing all of them."""
    assert failed([]) == {IDENTITY, *RESOLUTIONS}
    assert failed([], sent=0) == {IDENTITY, *RESOLUTIONS}
