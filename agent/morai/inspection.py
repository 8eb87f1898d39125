"""Any datagram as rows for a person or as plain values for a machine.

Owns the presentation of messages: offset, field, value, unit and what a number means. It must not
know terminals. Rows of framed messages come from the byte tables, so a dump shows exactly which
bytes a value was read from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.morai.catalogue import EnvelopeWarning, decode_with_warnings
from agent.morai.collision import CollidedVehicle, CollisionRecord
from agent.morai.dialect import Dialect
from agent.morai.ego_control import EgoControl
from agent.morai.ego_status import EgoStatus
from agent.morai.enums import (
    CommandMode,
    Direction,
    Gear,
    LongitudinalType,
    ObjectType,
    StatusMode,
    TrafficLightState,
    TrafficLightType,
    TurnSignal,
    meaning,
)
from agent.morai.objects import ObjectRecord
from agent.morai.setup import LampControl, MultiEgoRecord
from agent.morai.table import Field, Nested
from agent.morai.traffic import SetTrafficLight, TrafficLightStatus

if TYPE_CHECKING:
    import enum
    from collections.abc import Iterator

    from agent.morai.layout import Layout
    from agent.morai.table import Binding

DIAGNOSTIC_DIALECT = Dialect(tail_required=False, refuse_non_finite=False)
"""Reads whatever can be read, because a person is looking at it."""

_NAMED: dict[tuple[type[Any], str], type[enum.IntEnum]] = {
    (EgoStatus, "control_mode"): StatusMode,
    (EgoStatus, "gear"): Gear,
    (EgoControl, "control_mode"): CommandMode,
    (EgoControl, "gear"): Gear,
    (EgoControl, "longitudinal_type"): LongitudinalType,
    (ObjectRecord, "type"): ObjectType,
    (CollisionRecord, "type"): ObjectType,
    (CollidedVehicle, "type"): ObjectType,
    (LampControl, "turn_signal"): TurnSignal,
    (MultiEgoRecord, "gear"): Gear,
    (MultiEgoRecord, "control_mode"): CommandMode,
    (TrafficLightStatus, "type"): TrafficLightType,
    (TrafficLightStatus, "status"): TrafficLightState,
    (SetTrafficLight, "type"): TrafficLightType,
    (SetTrafficLight, "status"): TrafficLightState,
}
_UNITS = {
    "deg": "deg",
    "centideg": "0.01 deg",
    "m": "m",
    "2mm": "2 mm",
    "s": "s",
    "us": "us",
    "sec": "s",
    "nsec": "ns",
    "knots": "kn",
    "min": "px",
    "max": "px",
}
_SHOWN_BYTES = 16


class Row(msgspec.Struct, frozen=True):
    """One field of a datagram.

    Attributes:
        offset: Where its bytes begin; `None` in text and in the messages without a byte table.
        name: Path of the field, for example `objects[3].id`.
        value: Number, text, flag, or a tuple of numbers.
        unit: Wire unit, or empty.
        meaning: What the number says, or what the field is.
    """

    offset: int | None
    name: str
    value: Any
    unit: str
    meaning: str


class Inspection(msgspec.Struct, frozen=True):
    """A datagram taken apart.

    Attributes:
        message: Name of the message class.
        layout: Label of the generation or form, or empty.
        size: Bytes of the datagram.
        direction: Which way such a message travels.
        warnings: What is odd about it.
        rows: Every field, in the order of the bytes.
        fields: The message as plain values that JSON can hold, bytes as Base64.
    """

    message: str
    layout: str
    size: int
    direction: Direction
    warnings: tuple[EnvelopeWarning, ...]
    rows: tuple[Row, ...]
    fields: dict[str, Any]

    @property
    def title(self) -> str:
        """Name of the class and label."""
        return f"{self.message} {self.layout}".rstrip()

    def document(self) -> dict[str, Any]:
        """Everything but the rows, for JSON."""
        return {
            "message": self.message,
            "layout": self.layout,
            "size": self.size,
            "direction": self.direction.value,
            "warnings": [warning.value for warning in self.warnings],
            "fields": self.fields,
        }


def inspect(
    data: bytes,
    *,
    dialect: Dialect = DIAGNOSTIC_DIALECT,
    direction: Direction | None = None,
) -> Inspection:
    """Take a datagram apart.

    Args:
        data: The bytes of the datagram.
        dialect: How to read what the protocol leaves open.
        direction: Which way it travelled, if known.

    Raises:
        DecodeError: The bytes are no message.
    """
    decoded = decode_with_warnings(data, dialect=dialect, direction=direction)
    layout = decoded.layout
    rows = _message_rows(decoded.message) if layout is None else _rows(layout, data, dialect)
    return Inspection(
        message=type(decoded.message).__name__,
        layout="" if layout is None else layout.label,
        size=len(data),
        direction=Direction.FROM_SIMULATOR if layout is None else layout.direction,
        warnings=decoded.warnings,
        rows=tuple(rows),
        fields=msgspec.to_builtins(decoded.message),
    )


def _rows(layout: Layout[Any], data: bytes, dialect: Dialect) -> Iterator[Row]:
    yield from _table_rows(layout.binding, data, layout.start, "", dialect)
    if layout.records is not None:
        for number, at in enumerate(layout.record_offsets(data, dialect)):
            prefix = f"{layout.records.into}[{number}]."
            yield from _table_rows(layout.records.record, data, at, prefix, dialect)


def _table_rows(
    binding: Binding[Any], data: bytes, at: int, prefix: str, dialect: Dialect
) -> Iterator[Row]:
    table = binding.table
    for field, value in zip(table.fields, table.unpack(data, at, dialect), strict=True):
        offset = at + field.offset - table.start
        if isinstance(field.kind, Nested):
            inner = f"{prefix}{field.name}."
            yield from _table_rows(field.kind.binding, data, offset, inner, dialect)
        else:
            words = _words(binding.message, field, value)
            yield Row(offset, prefix + field.name, _shown(value), field.unit, words)


def _words(message: type[Any], field: Field, value: Any) -> str:
    named = _NAMED.get((message, field.name))
    return (meaning(named, value) if named else "") or field.meaning


def _message_rows(message: Any, prefix: str = "") -> Iterator[Row]:
    for name in type(message).__struct_fields__:
        value = getattr(message, name)
        path = prefix + name
        if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            for number, part in enumerate(value):
                kind = type(part).__name__
                yield Row(None, f"{path}[{number}]", kind, "", "")
                yield from _message_rows(part, f"{path}[{number}].")
        else:
            unit = _UNITS.get(name.rpartition("_")[2], "")
            yield Row(None, path, _shown(value), unit, "")


def _shown(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    more = " ..." if len(value) > _SHOWN_BYTES else ""
    return f"{len(value)} bytes: {value[:_SHOWN_BYTES].hex(' ')}{more}"
