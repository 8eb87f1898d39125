"""Declarative byte tables, compiled.

A message is described the way a manual describes it: rows of offset, type, name and unit. This
module checks the rows against each other when they are declared (no gap, no overlap, the published
size) and compiles them to one `struct.Struct` and a short list of edits that turn the unpacked
numbers into the positional arguments of the message class. It knows no message and no frame.

Two rules hold for every table. A message is written without loss or refused: a field that the
table lacks must hold the value that reading would give it. And reading is total: bytes of the right
size give a message or a `DecodeError`.
"""

from __future__ import annotations

import functools
import math
import operator
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

from agent.morai.errors import DecodeError, DecodeReason, EncodeError, EncodeReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.morai.dialect import Dialect

M = TypeVar("M", bound=msgspec.Struct)

NUL = b"\0"
SPACE = b" "


@dataclass(frozen=True, slots=True)
class Number:
    """A little-endian number; `code` is its character in the `struct` module."""

    code: str
    size: int


@dataclass(frozen=True, slots=True)
class Flag:
    """One byte, zero or not."""

    code: str = "?"
    size: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    """Printable ASCII in a fixed width.

    Read up to the first NUL, without trailing spaces. `pad` fills it up on writing: the simulator
    uses NUL, MORAI's command examples use spaces.
    """

    size: int
    pad: bytes = NUL


@dataclass(frozen=True, slots=True)
class Several:
    """A tuple of numbers."""

    of: Number
    count: int

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return self.of.size * self.count


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that the message keeps as they are."""

    size: int


@dataclass(frozen=True, slots=True)
class Pad:
    """Bytes that carry nothing: ignored on reading, zero on writing."""

    size: int


@dataclass(frozen=True, slots=True)
class Nested:
    """A message part with its own table."""

    binding: Binding[Any]

    @property
    def size(self) -> int:
        """Bytes of the part."""
        return self.binding.table.size


Kind: TypeAlias = Number | Flag | Text | Several | Raw | Pad | Nested

I8 = Number("b", 1)
U8 = Number("B", 1)
I16 = Number("h", 2)
U16 = Number("H", 2)
I32 = Number("i", 4)
U32 = Number("I", 4)
F32 = Number("f", 4)
F64 = Number("d", 8)
BOOL = Flag()


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a byte table.

    Attributes:
        offset: From the start of the datagram, or of the record.
        kind: Its type.
        name: The attribute of the message class.
        unit: Wire unit, empty when it has none.
        meaning: What a reader of a dump wants to know.
    """

    offset: int
    kind: Kind
    name: str
    unit: str = ""
    meaning: str = ""

    @property
    def end(self) -> int:
        """Offset behind the field."""
        return self.offset + self.kind.size


def moved(fields: Sequence[Field], by: int) -> tuple[Field, ...]:
    """The same rows at other offsets."""
    return tuple(replace(field, offset=field.offset + by) for field in fields)


@functools.lru_cache(maxsize=1024)
def _read_text(raw: bytes) -> str | None:
    # Cached because a car reads the same few dozen link ids for minutes.
    content, _, _ = raw.partition(NUL)
    text = content.rstrip(SPACE).decode("latin-1")
    return text if text.isascii() and text.isprintable() else None


def _write_text(value: object, kind: Text, name: str) -> bytes:
    if value is None:
        raise EncodeError(EncodeReason.MISSING_VALUE, f"{name} is None")
    if not isinstance(value, str):
        raise EncodeError(EncodeReason.BAD_VALUE, f"{name} must be text, not {value!r}")
    if not (value.isascii() and value.isprintable()):
        raise EncodeError(EncodeReason.BAD_TEXT, f"{name} must be printable ASCII: {value!a}")
    if value.endswith(" "):
        raise EncodeError(EncodeReason.BAD_TEXT, f"{name} ends with a space, which is padding")
    if len(value) > kind.size:
        raise EncodeError(
            EncodeReason.BAD_TEXT, f"{name} has {len(value)} characters, at most {kind.size} fit"
        )
    return value.encode("ascii").ljust(kind.size, kind.pad)


def _finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


class Table:
    """Rows compiled for reading and writing.

    Args:
        fields: The rows, in order, without gaps.
        size: The published number of bytes; must be what the rows add up to.
        start: Offset of the first row.

    Raises:
        ValueError: The rows contradict each other or the size.
    """

    def __init__(self, fields: Sequence[Field], size: int, start: int = 0) -> None:
        self.fields = tuple(field for field in fields if not isinstance(field.kind, Pad))
        self.names = tuple(field.name for field in self.fields)
        self.size = size
        self.start = start
        at = start
        codes: list[str] = []
        raw_index = 0
        # Spans of unpacked values that are numbers: their sum is finite exactly when all are.
        spans: list[list[int]] = [[0, 0]]
        edits: list[tuple[int, Field]] = []
        for field in fields:
            if field.offset != at:
                raise ValueError(f"{field.name} is declared at {field.offset}, follows at {at}")
            at = field.end
            kind = field.kind
            if isinstance(kind, Pad):
                codes.append(f"{kind.size}x")
            elif isinstance(kind, Text | Raw | Nested):
                codes.append(f"{kind.size}s")
                edits.append((raw_index, field))
                raw_index += 1
                spans.append([raw_index, raw_index])
            else:
                number = kind.of if isinstance(kind, Several) else kind
                count = kind.count if isinstance(kind, Several) else 1
                codes.append(number.code * count)
                if isinstance(kind, Several):
                    edits.append((raw_index, field))
                raw_index += count
                spans[-1][1] = raw_index
        if at - start != size:
            raise ValueError(f"the rows cover {at - start} bytes, published are {size}")
        self.struct = struct.Struct("<" + "".join(codes))
        self._spans = tuple(slice(a, b) for a, b in spans if b > a)
        # From the back, so that an edit does not move the ones that follow.
        self._edits = tuple(reversed(edits))
        self._write_edits = tuple(
            (index, field)
            for index, field in reversed(tuple(enumerate(self.fields)))
            if not isinstance(field.kind, Number)
        )

    def unpack(self, data: bytes, at: int, dialect: Dialect) -> list[Any]:
        """The values of the named rows, in order.

        Args:
            data: At least `at + size` bytes.
            at: Where the table begins.
            dialect: Says whether NaN and infinity are refused.

        Raises:
            DecodeError: `non_finite` or `bad_text`.
        """
        raw = self.struct.unpack_from(data, at)
        if dialect.refuse_non_finite:
            for span in self._spans:
                if not math.isfinite(sum(raw[span])):
                    self._refuse_non_finite(raw)
        values = list(raw)
        for index, field in self._edits:
            kind = field.kind
            if isinstance(kind, Text):
                text = _read_text(values[index])
                if text is None:
                    raise DecodeError(DecodeReason.BAD_TEXT, f"{field.name} is not printable ASCII")
                values[index] = text
            elif isinstance(kind, Several):
                values[index : index + kind.count] = [tuple(values[index : index + kind.count])]
            elif isinstance(kind, Nested):
                values[index] = kind.binding.read(values[index], 0, dialect)
        return values

    def _refuse_non_finite(self, raw: tuple[Any, ...]) -> None:
        # A sum of huge but finite doubles overflows too, hence the second look.
        if not all(_finite(value) for value in raw):
            raise DecodeError(
                DecodeReason.NON_FINITE, f"{self._first_non_finite(raw)} is not a finite number"
            )

    def _first_non_finite(self, raw: tuple[Any, ...]) -> str:
        index = 0
        for field in self.fields:
            count = field.kind.count if isinstance(field.kind, Several) else 1
            if not all(_finite(value) for value in raw[index : index + count]):
                return field.name
            index += count
        return "a value"

    def pack(self, values: Iterable[Any], dialect: Dialect) -> bytes:
        """The bytes for the values of the named rows, in order.

        Raises:
            EncodeError: A value is missing, of the wrong type, out of range or not finite.
        """
        raw = list(values)
        for index, field in self._write_edits:
            self._write_edit(raw, index, field, dialect)
        try:
            data = self.struct.pack(*raw)
        except (struct.error, OverflowError, TypeError):
            raise self._explain(raw) from None
        if dialect.refuse_non_finite:
            for span in self._spans:
                if not math.isfinite(sum(raw[span])) and not all(map(_finite, raw)):
                    name = self._first_non_finite(tuple(raw))
                    raise EncodeError(EncodeReason.NON_FINITE, f"{name} is not a finite number")
        return data

    @staticmethod
    def _write_edit(raw: list[Any], index: int, field: Field, dialect: Dialect) -> None:
        value = raw[index]
        match field.kind:
            case Text() as kind:
                raw[index] = _write_text(value, kind, field.name)
            case Several() as kind:
                if value is None:
                    raise EncodeError(EncodeReason.MISSING_VALUE, f"{field.name} is None")
                if not isinstance(value, tuple | list) or len(value) != kind.count:
                    raise EncodeError(
                        EncodeReason.BAD_COUNT, f"{field.name} must hold {kind.count} numbers"
                    )
                raw[index : index + 1] = value
            case Raw() as kind:
                if not isinstance(value, bytes) or len(value) != kind.size:
                    raise EncodeError(
                        EncodeReason.BAD_COUNT, f"{field.name} must be {kind.size} bytes"
                    )
            case Flag():
                if value is None:
                    raise EncodeError(EncodeReason.MISSING_VALUE, f"{field.name} is None")
                if not isinstance(value, bool):
                    raise EncodeError(
                        EncodeReason.BAD_VALUE, f"{field.name} must be true or false, not {value!r}"
                    )
            case Nested() as kind:
                if not isinstance(value, kind.binding.message):
                    raise EncodeError(
                        EncodeReason.BAD_VALUE,
                        f"{field.name} must be a {kind.binding.message.__name__}",
                    )
                raw[index] = kind.binding.write(value, dialect)

    def _explain(self, raw: Sequence[Any]) -> EncodeError:
        """Find the value that `struct` refused."""
        index = 0
        for field in self.fields:
            kind = field.kind
            number = kind.of if isinstance(kind, Several) else kind
            count = kind.count if isinstance(kind, Several) else 1
            for value in raw[index : index + count]:
                if not isinstance(number, Number):
                    continue
                if value is None:
                    return EncodeError(EncodeReason.MISSING_VALUE, f"{field.name} is None")
                try:
                    struct.pack("<" + number.code, value)
                except (struct.error, OverflowError, TypeError):
                    fits = isinstance(value, int | float) and (
                        isinstance(value, int) or number in (F32, F64)
                    )
                    reason = EncodeReason.OUT_OF_RANGE if fits else EncodeReason.BAD_VALUE
                    return EncodeError(reason, f"{field.name} cannot hold {value!r:.60}")
            index += count
        return EncodeError(EncodeReason.BAD_COUNT, "the values do not match the table")


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Read several attributes at once, always as a tuple."""
    if not names:
        return lambda _message: ()
    if len(names) == 1:
        single = operator.attrgetter(names[0])
        return lambda message: (single(message),)
    return operator.attrgetter(*names)


class Binding(Generic[M]):
    """A table bound to the message class whose attributes its rows name.

    Args:
        message: The class.
        fields: The rows, each naming a field of the class.
        size: The published number of bytes of the rows.
        start: Offset of the first row.
        constants: Values of the message's fields that are not on the wire; `None` when not named.
        into: The message's field for the records that follow the table, if any.
        counted_by: The row that counts those records. It is no field of the message.
    """

    def __init__(
        self,
        message: type[M],
        fields: Sequence[Field],
        size: int,
        *,
        start: int = 0,
        constants: Mapping[str, object] | None = None,
        into: str | None = None,
        counted_by: str | None = None,
    ) -> None:
        self.message = message
        self.table = Table(fields, size, start)
        carried = [name for name in self.table.names if name != counted_by]
        order = message.__struct_fields__
        unknown = [name for name in carried if name not in order]
        if unknown:
            raise ValueError(f"{message.__name__} has no field {unknown[0]}")
        self._reorder = self._permutation(order, carried)
        given = dict(constants or {})
        absent = [name for name in order if name not in carried and name != into]
        self._absent_names = tuple(absent)
        self._absent_values = tuple(given.get(name) for name in absent)
        self._get_absent = _getter(absent)
        self._get = _getter(carried)
        self._inserts = self._plan(order, carried, given)

    @staticmethod
    def _permutation(
        order: Sequence[str], carried: Sequence[str]
    ) -> Callable[[list[Any]], tuple[Any, ...]] | None:
        wanted = [carried.index(name) for name in order if name in carried]
        if wanted == list(range(len(wanted))):
            return None
        return operator.itemgetter(*wanted)

    @staticmethod
    def _plan(
        order: Sequence[str], carried: Sequence[str], given: Mapping[str, object]
    ) -> tuple[tuple[int, tuple[object, ...]], ...]:
        """Where runs of values that are not on the wire go, in order of insertion."""
        runs: list[tuple[int, list[object]]] = []
        for position, name in enumerate(order):
            if name in carried:
                continue
            if runs and runs[-1][0] + len(runs[-1][1]) == position:
                runs[-1][1].append(given.get(name))
            else:
                runs.append((position, [given.get(name)]))
        return tuple((position, tuple(values)) for position, values in runs)

    def arguments(self, values: list[Any]) -> list[Any]:
        """Unpacked values as positional arguments of the message class."""
        if self._reorder is not None:
            values = list(self._reorder(values))
        for position, constant in self._inserts:
            values[position:position] = constant
        return values

    def read(self, data: bytes, at: int, dialect: Dialect) -> M:
        """The message at an offset.

        Raises:
            DecodeError: A value that the rules refuse.
        """
        return self.message(*self.arguments(self.table.unpack(data, at, dialect)))

    def values(self, message: M) -> tuple[Any, ...]:
        """The message's values in the order of the rows.

        Raises:
            EncodeError: `not_carried`, when a value would be lost.
        """
        if self._get_absent(message) != self._absent_values:
            found = zip(
                self._absent_names, self._get_absent(message), self._absent_values, strict=True
            )
            name, value, expected = next(row for row in found if row[1] != row[2])
            raise EncodeError(
                EncodeReason.NOT_CARRIED,
                f"this layout has no {name}, so it must be {expected!r}, not {value!r:.60}",
            )
        return self._get(message)

    def write(self, message: M, dialect: Dialect) -> bytes:
        """The bytes of a message.

        Raises:
            EncodeError: The table cannot carry the message.
        """
        return self.table.pack(self.values(message), dialect)
