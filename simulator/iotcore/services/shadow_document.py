"""The document of one device shadow and its arithmetic: merge, metadata, delta, size.

Values only: documents are never changed in place, so the one before an update can be published
beside the one after it without copying. Sources: AWS IoT Core developer guide "Device Shadow
service documents" (delta state, empty properties, arrays). Knows nothing about requests, topics or
storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, Any]

DESIRED, REPORTED, DELTA = "desired", "reported", "delta"


@dataclass(frozen=True, slots=True)
class Section:
    """`desired` or `reported`: the values and when each was written.

    Attributes:
        values: The state. Holds no null.
        metadata: The same shape with `{"timestamp": seconds}` in place of every value that is
            neither object nor array.
        size_bytes: The values as compact JSON; 0 when there are none.
    """

    values: JsonObject
    metadata: JsonObject
    size_bytes: int

    def merged(self, patch: JsonObject | None, stamp: JsonObject) -> Section:
        """The section after an update.

        Objects merge member by member, null removes, everything else (arrays too) replaces. An
        object that its nulls leave empty stays when it was there before and does not come into
        being when it was not.

        Args:
            patch: The section of the request; None empties.
            stamp: Metadata of the values it writes, changed or not.
        """
        if patch is None:
            return EMPTY_SECTION
        values, metadata = _merge(self.values, self.metadata, patch, stamp)
        return section(values, metadata)


def section(values: JsonObject, metadata: JsonObject) -> Section:
    """A section of these values; without any, the empty one."""
    if not values:
        return EMPTY_SECTION
    return Section(values, metadata, len(msgspec.json.encode(values)))


EMPTY_SECTION = Section({}, {}, 0)


@dataclass(frozen=True, slots=True)
class ShadowDocument:
    """A shadow at one version.

    Attributes:
        desired: What applications want.
        reported: What the device says.
        version: 1 for the first, one more with every update.
    """

    desired: Section
    reported: Section
    version: int

    @property
    def size_bytes(self) -> int:
        """What counts for the size limit and the bill: both sections without metadata."""
        return self.desired.size_bytes + self.reported.size_bytes

    def updated(self, state: JsonObject | None, stamp: JsonObject) -> ShadowDocument:
        """The next version.

        Args:
            state: The `state` of the request, with `desired` and `reported` or neither; None
                empties both sections.
            stamp: Metadata of the values it writes.
        """
        if state is None:
            return ShadowDocument(EMPTY_SECTION, EMPTY_SECTION, self.version + 1)
        desired, reported = self.desired, self.reported
        if DESIRED in state:
            desired = desired.merged(state[DESIRED], stamp)
        if REPORTED in state:
            reported = reported.merged(state[REPORTED], stamp)
        return ShadowDocument(desired, reported, self.version + 1)

    def state(self) -> JsonObject:
        """The sections that hold anything."""
        return _present(self.desired.values, self.reported.values)

    def metadata(self) -> JsonObject:
        """The metadata of the sections that hold anything."""
        return _present(self.desired.metadata, self.reported.metadata)

    def snapshot(self) -> JsonObject:
        """`state`, `metadata` and `version`, as in `update/documents`."""
        return {"state": self.state(), "metadata": self.metadata(), "version": self.version}

    def delta(self) -> JsonObject:
        """What is desired and not reported; empty when everything desired is reported."""
        return difference(self.desired.values, self.reported.values)

    def delta_metadata(self, delta: JsonObject) -> JsonObject:
        """The metadata of `desired` in the shape of its delta."""
        return _along(self.desired.metadata, delta)


def blank(version: int) -> ShadowDocument:
    """A document without state, to be updated for the first time."""
    return ShadowDocument(EMPTY_SECTION, EMPTY_SECTION, version)


def stamped(value: Any, stamp: JsonObject) -> Any:
    """Metadata of a value all of which is written at once.

    Null gets a stamp too: the answer to an update shows when something was removed.
    """
    if isinstance(value, dict):
        return {name: stamped(member, stamp) for name, member in value.items()}
    if isinstance(value, list):
        return [stamped(element, stamp) for element in value]
    return stamp


def difference(desired: JsonObject, reported: JsonObject) -> JsonObject:
    """The members of `desired` that `reported` lacks or has otherwise.

    Objects on both sides are compared member by member and give the path to what differs. Arrays
    are values: one that differs is there whole. Members of `reported` alone do not count.
    """
    delta: JsonObject = {}
    for name, wanted in desired.items():
        if name not in reported:
            delta[name] = wanted
            continue
        found = reported[name]
        if isinstance(wanted, dict) and isinstance(found, dict):
            if inner := difference(wanted, found):
                delta[name] = inner
        elif not same(wanted, found):
            delta[name] = wanted
    return delta


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal. 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same(member, right[name]) for name, member in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _merge(
    values: JsonObject, metadata: JsonObject, patch: JsonObject, stamp: JsonObject
) -> tuple[JsonObject, JsonObject]:
    values, metadata = dict(values), dict(metadata)
    for name, change in patch.items():
        if isinstance(change, dict):
            old = values.get(name)
            if isinstance(old, dict):
                values[name], metadata[name] = _merge(old, metadata[name], change, stamp)
                continue
            fresh, times = _merge({}, {}, change, stamp)
            if fresh or not change:
                values[name], metadata[name] = fresh, times
                continue
        elif change is not None:
            values[name], metadata[name] = change, stamped(change, stamp)
            continue
        values.pop(name, None)
        metadata.pop(name, None)
    return values, metadata


def _along(metadata: JsonObject, delta: JsonObject) -> JsonObject:
    return {
        name: _along(metadata[name], value) if isinstance(value, dict) else metadata[name]
        for name, value in delta.items()
    }


def _present(desired: JsonObject, reported: JsonObject) -> JsonObject:
    found = {}
    if desired:
        found[DESIRED] = desired
    if reported:
        found[REPORTED] = reported
    return found
