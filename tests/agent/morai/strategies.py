"""Hypothesis strategies for every message that has a byte table."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from agent.morai import SetTrafficLight
from agent.morai.catalogue import LAYOUTS
from agent.morai.collision import COLLISION_DATA, VEHICLE_COLLISION
from agent.morai.ghost import NPC_GHOST
from agent.morai.layout import Layout, Slotted
from agent.morai.table import F32, F64, Binding, Flag, Nested, Number, Raw, Several, Text

_INTEGERS = {
    "b": st.integers(-(2**7), 2**7 - 1),
    "B": st.integers(0, 2**8 - 1),
    "h": st.integers(-(2**15), 2**15 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
}
_printable = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def _values(kind: object) -> st.SearchStrategy[Any]:
    match kind:
        case Number() if kind is F32:
            return st.floats(width=32, allow_nan=False, allow_infinity=False)
        case Number() if kind is F64:
            return st.floats(allow_nan=False, allow_infinity=False)
        case Number():
            return _INTEGERS[kind.code]
        case Flag():
            return st.booleans()
        case Text():
            return st.text(_printable, max_size=kind.size).map(lambda text: text.rstrip(" "))
        case Raw():
            return st.binary(min_size=kind.size, max_size=kind.size)
        case Several():
            return st.tuples(*[_values(kind.of)] * kind.count)
        case Nested():
            return bound(kind.binding)
    raise AssertionError(kind)


def bound(binding: Binding[Any], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Messages or records of a table."""
    fields = {
        field.name: _values(field.kind)
        for field in binding.table.fields
        if field.name in binding.message.__struct_fields__
    }
    absent = {
        name: st.just(value)
        for name, value in zip(binding._absent_names, binding._absent_values, strict=True)
    }
    return st.builds(binding.message, **(absent | fields | more))


def _used(layout: Layout[Any], record: Any) -> bool:
    """Whether the record is one that a slot can tell from an unused one."""
    if layout is COLLISION_DATA:
        return bool(record.type != -1 and record.id)
    if layout is VEHICLE_COLLISION:
        return bool(record.first.type != -1 and record.first.id)
    if layout is NPC_GHOST:
        return bool(record.model_name.strip())
    return bool(record.id)


def messages(layout: Layout[Any]) -> st.SearchStrategy[Any]:
    """Messages that a layout carries."""
    if layout.records is not None:
        records = bound(layout.records.record)
        if isinstance(layout.records, Slotted):
            records = records.filter(lambda record: _used(layout, record))
        several = st.lists(records, max_size=3).map(tuple)
        return bound(layout.binding, **{layout.records.into: several})
    return bound(layout.binding)


ROUND_TRIP_LAYOUTS = [
    layout
    for layout in LAYOUTS
    # With the default dialect this name and size mean the status; tested with its direction.
    if not (layout.message is SetTrafficLight and layout.size == 48)
]
