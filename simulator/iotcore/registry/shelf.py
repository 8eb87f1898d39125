"""Records that are found by one name and have no relations, in the order they were stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Record = TypeVar("Record")


class Shelf(Generic[Record]):
    """Records by name. Unbounded: its users state how many may be stored.

    Args:
        changed: Called after every change.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._records: dict[str, Record] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __len__(self) -> int:
        return len(self._records)

    def get(self, name: str) -> Record | None:
        """The record of this name."""
        return self._records.get(name)

    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(self._records)

    def values(self) -> tuple[Record, ...]:
        """All records."""
        return tuple(self._records.values())

    def put(self, name: str, record: Record) -> None:
        """Store a record in place of an earlier one of this name."""
        self._records[name] = record
        self._changed()

    def delete(self, name: str) -> None:
        """Forget a record; one that is unknown is ignored."""
        if self._records.pop(name, None) is not None:
            self._changed()

    def replace_all(self, records: Iterable[tuple[str, Record]]) -> None:
        """Forget everything and store these, without a call of `changed`."""
        self._records = dict(records)
