"""Byte tables of whole datagrams: the common frame, rows, and the record slots behind them.

Owns what a datagram adds to a table: name, declared length, tail, and the two ways in which the
protocol says how many of its fixed record slots are used. It knows no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from agent.morai import envelope
from agent.morai.errors import DecodeError, DecodeReason, EncodeError, EncodeReason
from agent.morai.table import NUL, Binding, M

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.morai.dialect import Dialect
    from agent.morai.enums import Direction
    from agent.morai.table import Field


@dataclass(frozen=True, slots=True)
class Slotted:
    """Record slots of which each says itself whether it is used.

    Attributes:
        into: The message's field that takes the used ones.
        record: Table of one record.
        slots: How many there are.
        is_unused: Tells from the bytes of a slot whether it is unused.
        unused_slot: Makes such bytes, given their number.
    """

    into: str
    record: Binding[Any]
    slots: int
    is_unused: Callable[[bytes, Dialect], bool]
    unused_slot: Callable[[int, Dialect], bytes]


@dataclass(frozen=True, slots=True)
class Counted:
    """Record slots of which a count in front says how many are used.

    Attributes:
        into: The message's field that takes the used ones.
        record: Table of one record.
        slots: How many there are.
        counted_by: The row that holds the count. It is no field of the message.
    """

    into: str
    record: Binding[Any]
    slots: int
    counted_by: str


Records: TypeAlias = Slotted | Counted


class Layout(Generic[M]):
    """The byte table of one datagram with the common frame.

    Args:
        message: The class of the message.
        name: The `#Name$` at offset 0.
        size: The published size of the whole datagram.
        fields: The rows in front of the records, if there are records.
        data_length: The published payload length, written into the frame.
        direction: Which way it travels.
        label: Tells layouts of one name apart, for people.
        constants: Values of the message's fields that are not on the wire.
        records: The record slots behind the rows, up to the tail.

    Raises:
        ValueError: Rows, size and length contradict each other.
    """

    def __init__(
        self,
        message: type[M],
        name: bytes,
        size: int,
        fields: Sequence[Field],
        *,
        data_length: int,
        direction: Direction,
        label: str = "",
        constants: Mapping[str, object] | None = None,
        records: Records | None = None,
    ) -> None:
        if len(name) + data_length + envelope.FRAME_BYTES != size:
            raise ValueError(f"{name!r}: {data_length} bytes of payload do not make {size}")
        self.message = message
        self.name = name
        self.size = size
        self.data_length = data_length
        self.direction = direction
        self.label = label
        self.records = records
        self.start = fields[0].offset if fields else envelope.payload_offset(name)
        records_size = records.record.table.size * records.slots if records else 0
        self.first_record = size - len(envelope.TAIL) - records_size
        self.binding = Binding(
            message,
            fields,
            self.first_record - self.start,
            start=self.start,
            constants=constants,
            into=records.into if records else None,
            counted_by=records.counted_by if isinstance(records, Counted) else None,
        )
        self._opening = envelope.opening(name, data_length, self.start)

    def __repr__(self) -> str:
        return f"<Layout {self.title}, {self.size} bytes>"

    @property
    def title(self) -> str:
        """Name of the message class and the label."""
        return f"{self.message.__name__} {self.label}".rstrip()

    def decode(self, data: bytes, dialect: Dialect) -> M:
        """Read a datagram whose name and size have been matched.

        Args:
            data: `size` bytes, or two less when the dialect lets the tail be absent.
            dialect: The rules of reading.

        Raises:
            DecodeError: The tail is wrong or a value is refused.
        """
        if not data.endswith(envelope.TAIL) and len(data) == self.size:
            raise DecodeError(DecodeReason.BAD_TAIL, f"ends with {data[-2:].hex(' ')}, not 0d 0a")
        if self.records is None:
            return self.binding.read(data, self.start, dialect)
        return self._decode_records(self.records, data, dialect)

    def encode(self, message: M, dialect: Dialect) -> bytes:
        """Write a message.

        Raises:
            EncodeError: The layout cannot carry it without loss.
        """
        if self.records is None:
            payload = self.binding.write(message, dialect)
        else:
            payload = self._encode_records(self.records, message, dialect)
        return self._opening + payload + envelope.TAIL

    def record_offsets(self, data: bytes, dialect: Dialect) -> list[int]:
        """Where the used records of a datagram begin.

        Raises:
            DecodeError: The count in front of them is larger than the number of slots.
        """
        records = self.records
        if records is None:
            return []
        size = records.record.table.size
        first = self.first_record
        if isinstance(records, Slotted):
            is_unused = records.is_unused
            return [
                at
                for at in range(first, first + size * records.slots, size)
                if not is_unused(data[at : at + size], dialect)
            ]
        index = self.binding.table.names.index(records.counted_by)
        count = self.binding.table.unpack(data, self.start, dialect)[index]
        if not 0 <= count <= records.slots:
            raise DecodeError(
                DecodeReason.BAD_COUNT,
                f"{records.counted_by} is {count}, there are {records.slots} slots",
            )
        return [first + number * size for number in range(count)]

    def _decode_records(self, records: Records, data: bytes, dialect: Dialect) -> M:
        values = self.binding.table.unpack(data, self.start, dialect)
        if isinstance(records, Counted):
            del values[self.binding.table.names.index(records.counted_by)]
        arguments = self.binding.arguments(values)
        read = records.record.read
        arguments[self.message.__struct_fields__.index(records.into)] = tuple(
            [read(data, at, dialect) for at in self.record_offsets(data, dialect)]
        )
        return self.message(*arguments)

    def _encode_records(self, records: Records, message: M, dialect: Dialect) -> bytes:
        chosen = _checked(records, getattr(message, records.into))
        values: Iterable[Any] = self.binding.values(message)
        if isinstance(records, Counted):
            values = list(values)
            values.insert(self.binding.table.names.index(records.counted_by), len(chosen))
        parts = [self.binding.table.pack(values, dialect)]
        for number, record in enumerate(chosen):
            slot = records.record.write(record, dialect)
            if isinstance(records, Slotted) and records.is_unused(slot, dialect):
                raise EncodeError(
                    EncodeReason.EMPTY_SLOT,
                    f"{records.into}[{number}] would be read as an unused slot",
                )
            parts.append(slot)
        size = records.record.table.size
        unused = records.unused_slot(size, dialect) if isinstance(records, Slotted) else NUL * size
        parts.append(unused * (records.slots - len(chosen)))
        return b"".join(parts)


def _checked(records: Records, chosen: object) -> Sequence[Any]:
    """The records of a message, if they are what the slots take."""
    kind = records.record.message
    if not isinstance(chosen, tuple | list):
        raise EncodeError(EncodeReason.BAD_VALUE, f"{records.into} must be a tuple of records")
    if len(chosen) > records.slots:
        raise EncodeError(
            EncodeReason.BAD_COUNT,
            f"{records.into} has {len(chosen)} records, at most {records.slots} fit",
        )
    for record in chosen:
        if not isinstance(record, kind):
            raise EncodeError(
                EncodeReason.BAD_VALUE,
                f"{records.into} must hold {kind.__name__}, not {record!r:.60}",
            )
    return chosen
