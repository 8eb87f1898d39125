"""The batch document: the JSON that one telemetry message carries.

Owns the envelope around the columns and the way back from bytes to samples. The published schema is
`agent/telemetry/schema/telemetry-1.schema.json`; the forms of a column are described in
`agent.telemetry.columns`. Applications and the simulator read batches with `decode_batch`, which
takes any bytes and either returns a batch whose parts agree with each other or raises one typed
error. This module must not know which streams exist or when a batch closes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import msgspec

from agent.telemetry.columns import Item
from agent.vehicle.vss import VSS_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_COLUMNS",
    "MAX_PAYLOAD_BYTES",
    "MAX_SAMPLES",
    "METERING_UNIT_BYTES",
    "SCHEMA_NAME",
    "Batch",
    "Clock",
    "PayloadError",
    "decode_batch",
    "document_head",
    "mark_replayed",
]

SCHEMA_NAME: Final = "morai-edge/telemetry/1"

METERING_UNIT_BYTES: Final = 5120
"""AWS IoT Core meters a message, topic and payload together, in units of 5 KB (AWS IoT Core
pricing, "Messaging")."""

MAX_PAYLOAD_BYTES: Final = 128 * 1024
"""Largest MQTT payload (AWS IoT Core endpoints and quotas, "Maximum inbound publish payload")."""

MAX_SAMPLES: Final = 4096
"""Bound on the samples of one batch: a small hostile document must not expand to gigabytes."""

MAX_COLUMNS: Final = 256
"""Bound on the columns of one batch, for the same reason."""

ClockSource: TypeAlias = Literal["receive", "simulator"]
ClockQuality: TypeAlias = Literal["synchronised", "unsynchronised", "unknown"]

# One step is at least `"0":0`, so this is no restriction within MAX_SAMPLES.
_Steps: TypeAlias = dict[str, Item | list[Item]]
_Column: TypeAlias = Item | list[Item | list[Item]] | _Steps

# The integers every JSON reader keeps exactly (RFC 8259, section 6).
_Counter: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Offset: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**53) + 1, le=2**53 - 1)]

_NOT_REPLAYED: Final = b'"replayed":false'
_REPLAYED: Final = b'"replayed":true'


class PayloadError(ValueError):
    """Bytes that are not a telemetry batch. The text says which rule was broken."""


class Clock(msgspec.Struct, frozen=True):
    """What the times of a batch mean.

    Attributes:
        source: `receive`, the agent's clock when the datagram arrived; `simulator`, the stamp in
            the datagram, which is the clock of the simulator's host.
        quality: Whether that clock is known to be synchronised.
    """

    source: ClockSource = "receive"
    quality: ClockQuality = "unknown"


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded batch whose parts agree with each other.

    Attributes:
        schema: Name and version of the document's format.
        vss: VSS version the column names are taken from.
        replayed: The batch was stored on the vehicle and is sent late.
        thing: Thing name of the vehicle.
        stream: Stream name.
        boot: Identity of the agent's run; `seq` and `first` count within it.
        seq: Number of this batch in its stream since boot, from 0, without gaps.
        first: Number of the first sample since boot; a jump tells how many samples were lost.
        count: Number of samples.
        t0: Unix time in seconds that the offsets count from.
        dt: Offset of each sample in milliseconds.
        clock: What the times mean.
        columns: The columns as written; read them through `column` or `rows`.
    """

    schema: Literal["morai-edge/telemetry/1"]
    vss: str
    replayed: bool
    thing: str
    stream: str
    boot: str
    seq: _Counter
    first: _Counter
    count: _Counter
    t0: float
    dt: list[_Offset]
    clock: Clock
    columns: dict[str, _Column]

    @property
    def times_s(self) -> list[float]:
        """Unix time of each sample, in seconds."""
        return [self.t0 + offset / 1000 for offset in self.dt]

    def column(self, path: str) -> Sequence[Item | list[Item]]:
        """One value a sample for a signal, whatever form the column was written in.

        Raises:
            KeyError: The batch does not carry the signal.
        """
        return _expanded(self.columns[path], self.count)

    def rows(self) -> list[dict[str, Item | list[Item]]]:
        """The samples, each as signal path to value: at most `MAX_SAMPLES` by `MAX_COLUMNS`."""
        expanded = [_expanded(column, self.count) for column in self.columns.values()]
        paths = list(self.columns)
        return [
            dict(zip(paths, values, strict=True)) for values in zip(*expanded, strict=True)
        ] or [{} for _ in self.dt]


def document_head(
    *, thing: str, stream: str, boot: str, seq: int, first: int, t0_s: float, clock: Clock
) -> tuple[str, str]:
    """The text in front of the sample count, and the text between offsets and columns.

    A document is `head + count + ',"dt":[' + offsets + ']' + tail + columns + '}'`.

    Args:
        thing: Thing name.
        stream: Stream name.
        boot: Identity of the agent's run.
        seq: Number of the batch.
        first: Number of its first sample.
        t0_s: Base time, written to the millisecond.
        clock: What the times mean.
    """
    head = (
        f'{{"schema":"{SCHEMA_NAME}","vss":"{VSS_VERSION}","replayed":false,'
        f'"thing":{json.dumps(thing)},"stream":{json.dumps(stream)},"boot":{json.dumps(boot)},'
        f'"seq":{seq},"first":{first},"t0":{t0_s:.3f},"count":'
    )
    tail = f',"clock":{{"source":"{clock.source}","quality":"{clock.quality}"}},"columns":'
    return head, tail


def mark_replayed(payload: bytes) -> bytes:
    """The same batch with its `replayed` flag set, without decoding it. Never longer."""
    return payload.replace(_NOT_REPLAYED, _REPLAYED, 1)


_DECODER: Final = msgspec.json.Decoder(Batch)


def decode_batch(payload: bytes) -> Batch:
    """Read one batch document.

    Args:
        payload: Any bytes.

    Raises:
        PayloadError: It is larger than `MAX_PAYLOAD_BYTES`, is not JSON, lacks a key, has a value
            of another type, or its parts disagree (offsets or a column of another length than
            `count`, steps out of order). Unknown keys are ignored.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadError(f"{len(payload)} bytes are more than {MAX_PAYLOAD_BYTES}")
    try:
        batch = _DECODER.decode(payload)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise PayloadError(f"not a telemetry batch: {error}") from error
    if not 1 <= batch.count <= MAX_SAMPLES:
        raise PayloadError(f"count is {batch.count}, not 1 to {MAX_SAMPLES}")
    if len(batch.dt) != batch.count:
        raise PayloadError(f"{len(batch.dt)} offsets for {batch.count} samples")
    if len(batch.columns) > MAX_COLUMNS:
        raise PayloadError(f"{len(batch.columns)} columns are more than {MAX_COLUMNS}")
    for path, column in batch.columns.items():
        problem = _column_problem(column, batch.count)
        if problem:
            raise PayloadError(f"column {path!r:.80} {problem}")
    return batch


def _column_problem(column: _Column, count: int) -> str | None:
    if isinstance(column, list):
        return None if len(column) == count else f"has {len(column)} values for {count} samples"
    if not isinstance(column, dict):
        return None
    previous = -1
    for key in column:
        # Canonical decimal only: no sign, no blanks, no leading zero, no other script's digits.
        if not (key.isascii() and key.isdigit() and len(key) <= len(str(MAX_SAMPLES))):
            return f"has a step at {key!r:.20}"
        at = int(key)
        if str(at) != key or not previous < at < count or (previous < 0 and at != 0):
            return f"has a step at {key!r:.20} out of order"
        previous = at
    return None if previous >= 0 else "has no steps"


def _expanded(column: _Column, count: int) -> Sequence[Item | list[Item]]:
    if isinstance(column, list):
        return column
    if not isinstance(column, dict):
        return [column] * count
    values: list[Item | list[Item]] = []
    current: Item | list[Item] = None
    for key, following in column.items():
        values += [current] * (int(key) - len(values))
        current = following
    return values + [current] * (count - len(values))
