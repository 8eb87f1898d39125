from __future__ import annotations

import msgspec
import pytest

from agent.morai import Direction
from agent.morai.layout import Layout
from agent.morai.table import F32, I8, I16, Binding, Field, Table, moved


class Pair(msgspec.Struct, frozen=True):
    """Two numbers."""

    first: int
    second: float


ROWS = (Field(0, I16, "first"), Field(2, F32, "second"))


@pytest.mark.parametrize(
    ("rows", "size", "complaint"),
    [
        ((Field(0, I16, "first"), Field(3, F32, "second")), 7, "follows at 2"),
        ((Field(0, I16, "first"), Field(1, F32, "second")), 5, "follows at 2"),
        (ROWS, 7, "cover 6 bytes"),
        ((Field(1, I8, "first"),), 1, "declared at 1"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(
    rows: tuple[Field, ...], size: int, complaint: str
) -> None:
    """A gap, an overlap or a wrong sum is found when the table is declared."""
    with pytest.raises(ValueError, match=complaint):
        Table(rows, size)


def test_a_row_that_the_message_lacks_is_refused() -> None:
    """A misspelt row name is found when the table is declared."""
    with pytest.raises(ValueError, match="no field third"):
        Binding(Pair, (Field(0, I16, "first"), Field(2, F32, "third")), 6)


def test_a_layout_whose_sizes_contradict_each_other_is_refused() -> None:
    """Name, payload length and total size must add up."""
    with pytest.raises(ValueError, match="do not make 99"):
        Layout(
            Pair,
            b"#Pair$",
            99,
            moved(ROWS, 22),
            data_length=6,
            direction=Direction.TO_SIMULATOR,
        )


def test_moved_rows_keep_everything_but_the_offset() -> None:
    """Older generations are the same rows elsewhere."""
    assert moved(ROWS, 10) == (Field(10, I16, "first"), Field(12, F32, "second"))
