"""Things by name: found one at a time, in the order they came, and in the order of their names.

Knows nothing about what is attached to a thing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simulator.iotcore.registry.records import Thing


class Things:
    """The things of one account. Unbounded, as at AWS.

    Args:
        things: Those there are, oldest first.
    """

    def __init__(self, things: Iterable[Thing] = ()) -> None:
        self._things = {thing.name: thing for thing in things}
        self._names = sorted(self._things)

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __getitem__(self, name: str) -> Thing:
        return self._things[name]

    def get(self, name: str) -> Thing | None:
        """The thing of this name."""
        return self._things.get(name)

    def values(self) -> tuple[Thing, ...]:
        """All things, oldest first."""
        return tuple(self._things.values())

    def after(self, name: str) -> Iterator[Thing]:
        """The things whose names come after this one, in order of names."""
        for index in range(bisect_right(self._names, name), len(self._names)):
            yield self._things[self._names[index]]

    def put(self, thing: Thing) -> None:
        """Store a thing in place of an earlier one of its name."""
        if thing.name not in self._things:
            insort(self._names, thing.name)
        self._things[thing.name] = thing

    def delete(self, name: str) -> bool:
        """Forget a thing; False when it is unknown."""
        if self._things.pop(name, None) is None:
            return False
        del self._names[bisect_left(self._names, name)]
        return True
