"""The shadows of an account, and the versions of deleted ones.

Bounded in number and bytes; what does not fit is refused, never dropped, except versions of deleted
shadows, of which the oldest go first. Times are Unix times, so that they mean the same after a
restart. Knows nothing about requests or topics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import msgspec

from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.shadow_document import (
    JsonObject,
    Section,
    ShadowDocument,
    blank,
    section,
)
from simulator.iotcore.services.shadow_request import (
    ShadowAddress,
    check_nodes,
    invalid,
)


@dataclass(frozen=True, slots=True)
class ShadowLimits:
    """Bounds of the shadow service.

    Attributes:
        document_bytes: Both sections of a shadow as compact JSON without metadata (AWS quota 8 KB,
            adjustable there). Beyond: 413.
        payload_bytes: A request (the broker's payload limit). Beyond: 413.
        levels: Objects and arrays inside each other in a section, the section being the first.
            AWS's quota page says 8 while its error text says 6. Beyond: 400.
        deleted_version_memory_s: How long the version of a deleted shadow is continued
            (developer guide "Interacting with shadows": 48 hours).
        deletion_takes_a_version: Whether a deletion counts as a version, so that the shadow made
            next after version 4 has version 6 and not 5. AWS's text leaves it open; AWS's own
            Greengrass shadow manager says the cloud does it.
        things_must_exist: Whether requests for a thing that is not in the registry fail with 404
            `Thing not found`. AWS's error table has the text, yet its guide enforces no mapping
            between things and shadows, and a shadow outlives its thing.
        shadows: Shadows in all. AWS has no such limit. Beyond: 500.
        state_bytes: `document_bytes` over all shadows, likewise; a byte of state takes 20 to 40
            bytes of memory. Beyond: 500.
        deleted_versions: Deleted shadows whose version is remembered. Beyond: the oldest are
            forgotten and start at 1 again.
    """

    document_bytes: int = 8 * 1024
    payload_bytes: int = 128 * 1024
    levels: int = 8
    deleted_version_memory_s: float = 48 * 3600.0
    deletion_takes_a_version: bool = True
    things_must_exist: bool = False
    shadows: int = 100_000
    state_bytes: int = 32 * 1024 * 1024
    deleted_versions: int = 100_000


@dataclass(frozen=True, slots=True)
class _Tombstone:
    version: int
    deleted_at_unix_s: float


class ShadowStore:
    """All shadows.

    Args:
        limits: What it may hold.

    Attributes:
        shadows: How many there are.
        state_bytes: What they weigh without metadata.
        versions_forgotten: Versions of deleted shadows dropped for lack of room.
        changes: Rises with every change.
    """

    def __init__(self, limits: ShadowLimits) -> None:
        self._limits = limits
        self._things: dict[str, dict[str | None, ShadowDocument]] = {}
        # In order of deletion, so the first is the oldest.
        self._deleted: dict[ShadowAddress, _Tombstone] = {}
        self.shadows = 0
        self.state_bytes = 0
        self.versions_forgotten = 0
        self.changes = 0

    def get(self, address: ShadowAddress) -> ShadowDocument | None:
        """The shadow, or None."""
        names = self._things.get(address.thing)
        return None if names is None else names.get(address.name)

    def names(self, thing: str, after: str | None, most: int) -> list[str]:
        """Names of the named shadows of a thing in order.

        Args:
            thing: Any name.
            after: Only names that come later than this one.
            most: At most so many.
        """
        names = sorted(name for name in self._things.get(thing, ()) if name is not None)
        later = (name for name in names if after is None or name > after)
        return list(islice(later, most))

    def predecessor(self, address: ShadowAddress, unix_s: float) -> ShadowDocument:
        """What an update starts from: the shadow, or a blank one at its last known version."""
        found = self.get(address)
        if found is not None:
            return found
        tombstone = self._deleted.get(address)
        if tombstone is None or self._is_forgotten(tombstone, unix_s):
            return blank(0)
        return blank(tombstone.version)

    def put(self, address: ShadowAddress, document: ShadowDocument) -> None:
        """Store a shadow in place of the one it follows.

        Raises:
            ServiceFailure: It does not fit; nothing has changed.
        """
        old = self.get(address)
        growth = document.size_bytes - (old.size_bytes if old else 0)
        if old is None and self.shadows >= self._limits.shadows:
            raise _full(f"{self._limits.shadows} shadows")
        if growth > 0 and self.state_bytes + growth > self._limits.state_bytes:
            raise _full(f"{self._limits.state_bytes} bytes of shadow state")
        self.changes += 1
        self._things.setdefault(address.thing, {})[address.name] = document
        self.shadows += old is None
        self.state_bytes += growth
        self._deleted.pop(address, None)

    def delete(self, address: ShadowAddress, unix_s: float) -> ShadowDocument | None:
        """Remove a shadow, remember its version and give it; None when there is none."""
        found = self.get(address)
        if found is None:
            return None
        self.changes += 1
        names = self._things[address.thing]
        del names[address.name]
        if not names:
            del self._things[address.thing]
        self.shadows -= 1
        self.state_bytes -= found.size_bytes
        version = found.version + self._limits.deletion_takes_a_version
        self._bury(address, _Tombstone(version, unix_s))
        return found

    def forget(self, unix_s: float) -> None:
        """Forget the versions of shadows deleted long enough ago."""
        while self._deleted:
            address, tombstone = next(iter(self._deleted.items()))
            if not self._is_forgotten(tombstone, unix_s):
                return
            self.changes += 1
            del self._deleted[address]

    @property
    def next_forgotten_unix_s(self) -> float | None:
        """When `forget` has something to do next."""
        first = next(iter(self._deleted.values()), None)
        if first is None:
            return None
        return first.deleted_at_unix_s + self._limits.deleted_version_memory_s

    def dump(self) -> dict[str, Any]:
        """Everything, as a JSON document. It shares the sections, which never change."""
        return {
            "shadows": [
                {
                    "thing": thing,
                    "name": name,
                    "version": document.version,
                    "desired": _dumped(document.desired),
                    "reported": _dumped(document.reported),
                }
                for thing, names in self._things.items()
                for name, document in names.items()
            ],
            "deleted": [
                {
                    "thing": address.thing,
                    "name": address.name,
                    "version": gone.version,
                    "deleted_at_unix_s": gone.deleted_at_unix_s,
                }
                for address, gone in self._deleted.items()
            ],
        }

    def load(self, document: dict[str, Any]) -> None:
        """Take over what `dump` gave, in place of everything there is.

        Raises:
            ValueError: The document is damaged or does not fit; nothing has changed.
        """
        loaded = ShadowStore(self._limits)
        try:
            stored = msgspec.convert(document, _Stored)
            for entry in stored.shadows:
                self._load_shadow(loaded, entry)
            for gone in sorted(stored.deleted, key=lambda gone: gone.deleted_at_unix_s):
                self._load_tombstone(loaded, gone)
        except (msgspec.ValidationError, ServiceFailure) as error:
            raise ValueError(f"the shadows are damaged: {error}") from error
        self.changes += 1
        self._things, self._deleted = loaded._things, loaded._deleted
        self.shadows, self.state_bytes = loaded.shadows, loaded.state_bytes

    def _load_shadow(self, loaded: ShadowStore, stored: _StoredShadow) -> None:
        address = ShadowAddress(stored.thing, stored.name)
        address.check()
        if loaded.get(address) is not None:
            raise invalid(f"{address.label} is there twice")
        desired, reported = self._section(stored.desired), self._section(stored.reported)
        loaded.put(address, ShadowDocument(desired, reported, stored.version))

    def _load_tombstone(self, loaded: ShadowStore, stored: _StoredTombstone) -> None:
        address = ShadowAddress(stored.thing, stored.name)
        address.check()
        if loaded.get(address) is not None or not math.isfinite(stored.deleted_at_unix_s):
            raise invalid(f"the deletion of {address.label} is wrong")
        loaded._bury(address, _Tombstone(stored.version, stored.deleted_at_unix_s))

    def _section(self, stored: _StoredSection) -> Section:
        check_nodes(stored.values, self._limits.levels, "state")
        if not _mirrors(stored.metadata, stored.values):
            raise invalid("metadata does not fit its state")
        return section(stored.values, stored.metadata)

    def _bury(self, address: ShadowAddress, tombstone: _Tombstone) -> None:
        self._deleted[address] = tombstone
        while len(self._deleted) > self._limits.deleted_versions:
            del self._deleted[next(iter(self._deleted))]
            self.versions_forgotten += 1

    def _is_forgotten(self, tombstone: _Tombstone, unix_s: float) -> bool:
        age_s = unix_s - tombstone.deleted_at_unix_s
        return age_s >= self._limits.deleted_version_memory_s


def _dumped(part: Section) -> JsonObject:
    return {"values": part.values, "metadata": part.metadata}


def _full(what: str) -> ServiceFailure:
    return ServiceFailure(
        "InternalFailureException", f"The stand-in holds at most {what}; raise its limit", 500
    )


def _mirrors(metadata: Any, value: Any) -> bool:
    """Whether metadata has the shape of its state, and the state no null."""
    if isinstance(value, dict):
        return (
            isinstance(metadata, dict)
            and metadata.keys() == value.keys()
            and all(_mirrors(metadata[name], member) for name, member in value.items())
        )
    if isinstance(value, list):
        return (
            isinstance(metadata, list)
            and len(metadata) == len(value)
            and all(map(_mirrors, metadata, value))
        )
    return (
        value is not None
        and isinstance(metadata, dict)
        and metadata.keys() == {"timestamp"}
        and isinstance(metadata["timestamp"], int)
    )


_Version = Annotated[int, msgspec.Meta(ge=1)]


class _StoredSection(msgspec.Struct):
    values: JsonObject
    metadata: JsonObject


class _StoredShadow(msgspec.Struct):
    thing: str
    name: str | None
    version: _Version
    desired: _StoredSection
    reported: _StoredSection


class _StoredTombstone(msgspec.Struct):
    thing: str
    name: str | None
    version: _Version
    deleted_at_unix_s: float


class _Stored(msgspec.Struct):
    shadows: list[_StoredShadow]
    deleted: list[_StoredTombstone]
