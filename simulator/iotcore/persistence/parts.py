"""The parts of the account besides the broker, such as registry and shadows, as documents.

A part is asked for its document, which is written when it differs from the last one; of long lists
in it only the stretches that differ. A part that counts its changes is left alone until there is
one. A part that takes long to answer is asked more seldom, so that all this stays a small share of
the time; a kill may then lose more of it than of the rest. The last save before a stop asks all.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from simulator.iotcore.persistence.records import (
    Change,
    DocumentRecord,
    Kind,
    encode,
    stretch_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from simulator.iotcore.cloud import Cloud
    from simulator.iotcore.persistence.mirror import Step

_SHARE: Final = 0.01
"""Most of the time that asking one part may take."""
_STRETCH: Final = 128
"""Elements of a list that are written as one."""


class Part(Protocol):
    """Something of the account that remembers."""

    def dump(self) -> dict[str, Any]:
        """Everything it remembers, as a JSON document that does not change afterwards."""
        ...

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged.
        """
        ...


@runtime_checkable
class SharingPart(Protocol):
    """A part that can save itself the copy."""

    def saved(self) -> Any:
        """What `dump` gives, to be encoded before anything changes."""
        ...


@runtime_checkable
class CountingPart(Protocol):
    """A part that knows whether it changed."""

    @property
    def changes(self) -> int:
        """Rises with every change."""
        ...


REGISTRY: Final = "registry"
"""Name of the registry, which may be loaded before the rest."""


def parts_of(cloud: Cloud) -> dict[str, Part]:
    """The parts of an account in the order they are to be loaded."""
    return {
        REGISTRY: cloud.registry,
        "shadows": cloud.shadows,
        "jobs": cloud.jobs,
        "commands": cloud.commands,
        "provisioning": cloud.provisioning,
        "just-in-time": cloud.just_in_time,
        "streams": cloud.streams,
        "defender": cloud.defender,
    }


@dataclass(slots=True)
class _Kept:
    """A part that is kept.

    Attributes:
        part: The part.
        ask_at_s: Before this it is not asked again.
        changes: How many changes it had counted when it was asked last.
        written: Key of each record on disk -> hash of its value.
    """

    part: Part
    ask_at_s: float = 0.0
    changes: int | None = None
    written: dict[str, int] = field(default_factory=dict)


class Parts:
    """The parts that are kept."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def add(self, name: str, part: Part, documents: Mapping[str, Any]) -> None:
        """Keep a part, after giving it what it had; a name that is known already is ignored.

        Raises:
            ValueError: What it had is damaged.
        """
        if name not in self._kept:
            if name in documents:
                part.load(documents[name])
            self._kept[name] = _Kept(part)

    def forget(self) -> None:
        """Write everything anew at the next occasion."""
        self._kept = {name: _Kept(kept.part) for name, kept in self._kept.items()}

    def changes(self, clock_s: Callable[[], float], *, is_last: bool) -> Iterator[Step]:
        """Every record that differs, and a pause after each piece of work.

        Args:
            clock_s: Tells how long a part takes to answer.
            is_last: Whether those are asked too whose time has not come.
        """
        for name, kept in self._kept.items():
            begun_s = clock_s()
            if begun_s < kept.ask_at_s and not is_last:
                continue
            part = kept.part
            changes = part.changes if isinstance(part, CountingPart) else None
            if changes is not None and changes == kept.changes:
                continue
            kept.changes = changes
            took_s = 0.0
            gone = dict.fromkeys(kept.written)
            for kind, key, value in _records(name, part):
                gone.pop(key, None)
                digest = hash(value)
                took_s += clock_s() - begun_s
                if kept.written.get(key) == digest:
                    yield None
                else:
                    kept.written[key] = digest
                    yield Change(kind, key, value)
                begun_s = clock_s()
            for key in gone:
                del kept.written[key]
                yield Change(Kind.STRETCH, key, None)
            kept.ask_at_s = begun_s + took_s / _SHARE


def _records(name: str, part: Part) -> Iterator[tuple[Kind, str, bytes]]:
    """The document of a part in records, each made when it is asked for."""
    with _without_collector():
        if isinstance(part, SharingPart):
            document, lists = part.saved(), {}
            value = encode(DocumentRecord(document, {}))
        else:
            document = part.dump()
            lists = {
                key: value
                for key, value in document.items()
                if isinstance(value, list) and len(value) > _STRETCH
            }
            rest = {key: value for key, value in document.items() if key not in lists}
            counts = {key: -(-len(value) // _STRETCH) for key, value in lists.items()}
            value = encode(DocumentRecord(rest, counts))
    yield Kind.DOCUMENT, name, value
    for key, elements in lists.items():
        for number, start in enumerate(range(0, len(elements), _STRETCH)):
            stretch = encode(elements[start : start + _STRETCH])
            yield Kind.STRETCH, stretch_key(name, key, number), stretch


@contextmanager
def _without_collector() -> Iterator[None]:
    """A large document is many new objects, and none of them is garbage before it is written."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
