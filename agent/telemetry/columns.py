"""The samples of an open batch as columns of finished JSON text, with their exact size.

Owns the three written forms of a column and the arithmetic of their lengths, so that the size of
the document is known after every sample without encoding it. It must not know what a signal means,
when a batch closes, or what surrounds the columns.

The forms, from which a reader tells them apart by JSON type alone:

    bare value   the same in every sample (never a list, never an object)
    list         one value a sample
    object       steps: `{"0": a, "17": b}` is `a` in samples 0 to 16 and `b` from 17 on

Numbers that hardly ever repeat (position, speed) use the first two. Texts, modes and per-sample
lists use whichever form is shortest; a per-sample list that never changes is one step, because a
bare list would be taken for one value a sample.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.vehicle.vss import Signal

__all__ = ["Columns", "Item", "PreparedRow", "Row", "Value"]

Item: TypeAlias = str | int | float | bool | None
Value: TypeAlias = "Item | Sequence[Item]"
Row: TypeAlias = "tuple[Sequence[float | None], Sequence[Value]]"
"""One sample: the values of the measured columns, then those of the stepped columns."""

_NULL: Final = "null"


class PreparedRow(NamedTuple):
    """A sample as text, and what it would add to the columns it was prepared for."""

    measured: list[str]
    broken: list[int]
    stepped: list[tuple[Value, str]]
    growth: int


class Columns:
    """The columns of one open batch.

    Args:
        measured: Signals whose values are plain numbers that change with nearly every sample.
        stepped: Signals whose values are texts, modes, or lists.
    """

    __slots__ = ("_constant", "_measured", "_row_format", "_rows", "_specs", "_stepped", "size")

    size: int
    """Length in bytes of what `render` returns."""

    def __init__(self, measured: Sequence[Signal], stepped: Sequence[Signal]) -> None:
        self._measured = [f"{json.dumps(item.path)}:" for item in measured]
        # The z option turns -0.00 into 0.00.
        self._specs = [f"z.{item.decimals}f" for item in measured]
        self._row_format = ",".join(f"{{:{spec}}}" for spec in self._specs).format
        self._stepped = [_Stepped(item) for item in stepped]
        self.clear()

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Forget all samples."""
        self._rows: list[list[str]] = []
        self._constant: dict[int, str] = {}
        for column in self._stepped:
            column.clear()
        # Braces and the commas between the columns; values are added as they come.
        names = [*self._measured, *(column.name for column in self._stepped)]
        self.size = 1 + sum(map(len, names)) + max(1, len(names))

    def prepare(self, row: Row) -> PreparedRow:
        """Turn a sample into text and say by how much `size` would grow.

        A number that is not finite becomes null. The result is valid until the columns change.
        """
        texts = self._texts(row[0])
        count = len(self._rows)
        broken: list[int] = []
        if count:
            growth = sum(map(len, texts)) + len(texts)
            for index, text in self._constant.items():
                if texts[index] == text:
                    growth -= len(text) + 1
                else:
                    broken.append(index)
                    growth += count * (len(text) + 1) + 1 - len(text)
        else:
            growth = sum(map(len, texts))
        stepped = []
        for column, value in zip(self._stepped, row[1], strict=True):
            text = column.text(value)
            growth += column.size_with(text, count) - column.size
            stepped.append((value, text))
        return PreparedRow(texts, broken, stepped, growth)

    def append(self, prepared: PreparedRow) -> None:
        """Take a sample in that was prepared for these columns as they are."""
        if self._rows:
            for index in prepared.broken:
                del self._constant[index]
        else:
            self._constant = dict(enumerate(prepared.measured))
        count = len(self._rows)
        for column, (value, text) in zip(self._stepped, prepared.stepped, strict=True):
            column.append(value, text, count)
        self._rows.append(prepared.measured)
        self.size += prepared.growth

    def render(self) -> str:
        """The columns as one JSON object, ASCII only."""
        parts = []
        for index, texts in enumerate(zip(*self._rows, strict=True)):
            constant = self._constant.get(index)
            parts.append(
                self._measured[index] + (f"[{','.join(texts)}]" if constant is None else constant)
            )
        parts += [column.render() for column in self._stepped]
        return "{" + ",".join(parts) + "}"

    def _texts(self, values: Sequence[float | None]) -> list[str]:
        try:
            line = self._row_format(*values)
        except TypeError:  # a None among them
            line = "n"
        # "nan" and "inf" share the letter; finite numbers have none.
        if "n" not in line:
            return line.split(",") if line else []
        return [
            _NULL if value is None or not math.isfinite(value) else format(value, spec)
            for value, spec in zip(values, self._specs, strict=True)
        ]


class _Stepped:
    """One column that changes now and then, in whichever form is shortest."""

    __slots__ = (
        "_encode",
        "_is_array",
        "_last_text",
        "_last_value",
        "_list_size",
        "_steps",
        "_steps_size",
        "_texts",
        "name",
        "size",
    )

    def __init__(self, signal: Signal) -> None:
        self.name = f"{json.dumps(signal.path)}:"
        self._is_array = signal.is_array
        self._encode = _encoder(signal)
        self._last_value: Value = None
        self._last_text = ""
        self.clear()

    def clear(self) -> None:
        self._texts: list[str] = []
        self._steps: list[tuple[int, str]] = []
        self._list_size = 1
        self._steps_size = 1
        self.size = 0

    def text(self, value: Value) -> str:
        if self._last_text and value == self._last_value:
            return self._last_text
        return self._encode(value)

    def size_with(self, text: str, count: int) -> int:
        """What `size` would be with this value after `count` others."""
        steps, steps_size = len(self._steps), self._steps_size
        if not steps or self._steps[-1][1] != text:
            steps += 1
            steps_size += len(str(count)) + 4 + len(text)
        if steps == 1 and not self._is_bare_list(text):
            return len(text)
        return min(self._list_size + len(text) + 1, steps_size)

    def append(self, value: Value, text: str, count: int) -> None:
        self.size = self.size_with(text, count)
        self._last_value, self._last_text = value, text
        self._texts.append(text)
        self._list_size += len(text) + 1
        if not self._steps or self._steps[-1][1] != text:
            self._steps.append((count, text))
            self._steps_size += len(str(count)) + 4 + len(text)

    def render(self) -> str:
        if len(self._steps) == 1 and not self._is_bare_list(self._steps[0][1]):
            return self.name + self._steps[0][1]
        if self._list_size <= self._steps_size:
            return f"{self.name}[{','.join(self._texts)}]"
        return self.name + "{" + ",".join(f'"{at}":{text}' for at, text in self._steps) + "}"

    def _is_bare_list(self, text: str) -> bool:
        return self._is_array and text != _NULL


def _encoder(signal: Signal) -> Callable[[Value], str]:
    item = _number_encoder(signal.decimals) if signal.is_number else _text_encoder
    if not signal.is_array:
        return item

    def array(value: Value) -> str:
        if value is None or not isinstance(value, tuple | list):
            return _NULL
        return f"[{','.join(map(item, value))}]"

    return array


def _number_encoder(decimals: int) -> Callable[[Value], str]:
    spec = f"{{:z.{decimals}f}}".format

    def encode(value: Value) -> str:
        if not isinstance(value, int | float) or not math.isfinite(value):
            return _NULL
        return spec(value)

    return encode


def _text_encoder(value: Value) -> str:
    if isinstance(value, str) and not value.isascii():
        # Half of a surrogate pair is no character, and JSON readers refuse it.
        value = value.encode("utf-8", "replace").decode("utf-8")
    return _NULL if value is None else json.dumps(value)
