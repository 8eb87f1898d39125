from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.services.shadow_document import (
    ShadowDocument,
    blank,
    difference,
    same,
    section,
)

STAMP = {"timestamp": 7}
NAMES = st.sampled_from(["a", "b", "c", "timestamp"])
SCALARS = st.one_of(st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0, "x", ""]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
SECTIONS = st.dictionaries(NAMES, VALUES, max_size=4)
PATCH_VALUES = st.recursive(
    st.one_of(st.none(), VALUES),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
PATCHES = st.dictionaries(NAMES, PATCH_VALUES, max_size=4)
STATES = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "desired": st.one_of(st.none(), PATCHES),
            "reported": st.one_of(st.none(), PATCHES),
        },
    ),
)


def document(desired: dict[str, Any], reported: dict[str, Any]) -> ShadowDocument:
    """A shadow with these sections."""
    return blank(0).updated({"desired": desired, "reported": reported}, STAMP)


def merged(values: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """What a section becomes."""
    return section(values, stamps(values)).merged(patch, STAMP).values


def stamps(value: Any) -> Any:
    """Metadata of a value, all from one time."""
    if isinstance(value, dict):
        return {name: stamps(member) for name, member in value.items()}
    return [stamps(element) for element in value] if isinstance(value, list) else STAMP


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every path to something that is no object with members."""
    if isinstance(value, dict) and value:
        found: dict[tuple[str, ...], Any] = {}
        for name, member in value.items():
            found |= leaves(member, (*path, name))
        return found
    return {path: value} if path else {}


def at(value: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path; None for nothing, which a section cannot hold otherwise."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


# The developer guide's examples, and what moto's maintainers recorded from the live service.
@pytest.mark.parametrize(
    ("desired", "reported", "delta"),
    [
        (
            {"color": "RED", "state": "STOP"},
            {"color": "GREEN", "engine": "ON"},
            {"color": "RED", "state": "STOP"},
        ),
        (
            {"lights": {"color": {"r": 255, "g": 255, "b": 255}}},
            {"lights": {"color": {"r": 255, "g": 0, "b": 255}}},
            {"lights": {"color": {"g": 255}}},
        ),
        ({"online": True}, {"online": False}, {"online": True}),
        ({"enabled": True}, {"online": False, "enabled": True}, {}),
        ({"list": ["v1"]}, {"list": ["v1", "v2"]}, {"list": ["v1"]}),
        ({"list": [["v1"]]}, {"list": [["v1"], ["v2"]]}, {"list": [["v1"]]}),
        ({"a": {"b": ["c", "d"]}}, {"a": {"b": ["d"]}}, {"a": {"b": ["c", "d"]}}),
        (
            {"a1": {"b1": {"c": "d"}}, "a2": {"b2": "s"}},
            {"a1": {"b1": {"c": "d"}}},
            {"a2": {"b2": "s"}},
        ),
        ({"a": 1, "d": {}}, {}, {"a": 1, "d": {}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1}}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": 5}),
        ({"n": 1}, {"n": 1.0}, {}),
        ({"n": 1}, {"n": True}, {"n": 1}),
        ({"n": [0]}, {"n": [False]}, {"n": [0]}),
        ({"d": {}}, {"d": {"x": 1}}, {}),
    ],
)
def test_delta(desired: dict[str, Any], reported: dict[str, Any], delta: dict[str, Any]) -> None:
    """What is desired and not reported, with the path to it; arrays whole."""
    found = document(desired, reported).delta()
    assert same(found, delta)


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"colors": ["R", "G", "B"]}, {"colors": ["R"]}, {"colors": ["R"]}),
        (
            {"a": 1, "b": {"c": 3}},
            {"a": 1, "b": {"c": {}}, "d": {}},
            {"a": 1, "b": {"c": {}}, "d": {}},
        ),
        ({"b": {"c": 3}}, {"b": {"c": {"d": 3}}}, {"b": {"c": {"d": 3}}}),
        ({"b": {"c": 3}}, {"b": 4}, {"b": 4}),
        ({"b": {"c": 3}}, {"b": {}}, {"b": {"c": 3}}),
        ({"b": {"c": 3}}, {"b": {"c": None}}, {"b": {}}),
        ({}, {"b": {"c": None}}, {}),
        ({}, {"b": {"c": {"d": None}}}, {}),
        ({}, {"b": {"c": None, "d": 1}}, {"b": {"d": 1}}),
        ({"b": 3}, {"b": {"c": None}}, {}),
        ({"a": 1}, {"z": None}, {"a": 1}),
        ({"a": 1}, {}, {"a": 1}),
    ],
)
def test_merge(before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]) -> None:
    """Objects merge, null removes, everything else replaces."""
    assert merged(before, patch) == after


@given(SECTIONS, PATCHES)
def test_merging_twice_is_merging_once(values: dict[str, Any], patch: dict[str, Any]) -> None:
    """The same update again changes nothing but the version."""
    once = merged(values, patch)
    assert same(merged(once, patch), once)


@given(SECTIONS, PATCHES)
def test_a_patch_decides_what_it_names_and_nothing_else(
    values: dict[str, Any], patch: dict[str, Any]
) -> None:
    """Every leaf of the patch is there afterwards, nulls are gone, the rest is as before."""
    after = merged(values, patch)
    for path, wanted in leaves(patch).items():
        if wanted is None:
            assert at(after, path) is None
        elif wanted == {}:
            assert isinstance(at(after, path), dict)
        else:
            assert same(at(after, path), wanted)
    for path, value in leaves(values).items():
        named = any(path[: len(other)] == other[: len(path)] for other in leaves(patch))
        if not named:
            assert same(at(after, path), value)


@given(SECTIONS, PATCHES)
def test_a_section_never_holds_null(values: dict[str, Any], patch: dict[str, Any]) -> None:
    """Null means removal at any depth."""
    assert None not in leaves(merged(values, patch)).values()


@given(SECTIONS)
def test_merging_into_nothing_gives_the_patch(values: dict[str, Any]) -> None:
    """A first update stores what it says."""
    assert same(merged({}, values), values)


@given(SECTIONS)
def test_removing_every_member_empties(values: dict[str, Any]) -> None:
    """Nulls for all members leave the empty section."""
    assert merged(values, dict.fromkeys(values)) == {}


@given(SECTIONS, SECTIONS)
def test_delta_is_empty_exactly_when_reported_covers_desired(
    desired: dict[str, Any], reported: dict[str, Any]
) -> None:
    """Covered: merging desired into reported would change nothing."""
    covered = same(merged(reported, desired), reported)
    assert (difference(desired, reported) == {}) == covered


@given(SECTIONS, SECTIONS)
def test_reporting_the_delta_ends_it(desired: dict[str, Any], reported: dict[str, Any]) -> None:
    """A device that does what the delta says has nothing left to do."""
    delta = difference(desired, reported)
    assert difference(desired, merged(reported, delta)) == {}


@given(SECTIONS, SECTIONS)
def test_a_delta_is_part_of_desired(desired: dict[str, Any], reported: dict[str, Any]) -> None:
    """Each of its leaves is desired, and none is what reported has."""
    for path, value in leaves(difference(desired, reported)).items():
        assert same(at(desired, path), value)
        assert at(reported, path) is None or not same(at(reported, path), value)


@given(SECTIONS)
def test_nothing_differs_from_itself(values: dict[str, Any]) -> None:
    """Equal sections have no delta."""
    assert difference(values, copy.deepcopy(values)) == {}


@given(st.lists(STATES, max_size=5))
def test_metadata_has_the_shape_of_its_state(states: list[dict[str, Any] | None]) -> None:
    """After any updates, for both sections and the delta; members called `timestamp` included."""
    shadow = blank(0)
    for state in states:
        shadow = shadow.updated(state, STAMP)
    assert shadow.metadata() == stamps(shadow.state())
    delta = shadow.delta()
    assert shadow.delta_metadata(delta) == stamps(delta)


@given(SECTIONS, PATCHES)
def test_an_update_stamps_what_it_names(values: dict[str, Any], patch: dict[str, Any]) -> None:
    """Leaves of the patch carry the new time, leaves it does not touch the old one."""
    later = {"timestamp": 8}
    after = section(values, stamps(values)).merged(patch, later)
    for path, value in leaves(after.values).items():
        if isinstance(value, dict | list):
            continue
        written = any(
            path[: len(named)] == named and change != {} for named, change in leaves(patch).items()
        )
        assert at(after.metadata, path) == (later if written else STAMP)


@given(SECTIONS, SECTIONS, STATES)
def test_documents_are_never_changed_in_place(
    desired: dict[str, Any], reported: dict[str, Any], state: dict[str, Any] | None
) -> None:
    """The document before an update reads the same after it."""
    shadow = document(desired, reported)
    before = copy.deepcopy(shadow.snapshot())
    request = copy.deepcopy(state)
    shadow.updated(state, {"timestamp": 9})
    assert shadow.snapshot() == before
    assert state == request


def test_size_is_that_of_both_sections_as_compact_json() -> None:
    """{"a":1} is 7 bytes, {"b":[1,2]} is 11, an empty section none."""
    assert document({"a": 1}, {"b": [1, 2]}).size_bytes == 18
    assert document({}, {"b": [1, 2]}).size_bytes == 11
    assert document({}, {}).size_bytes == 0
