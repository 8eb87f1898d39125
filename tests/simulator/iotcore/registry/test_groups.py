from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from certs.errors import ConfigurationError
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry, Thing, ThingGroup
from simulator.iotcore.registry.groups import ThingGroups

POLICY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
}
THINGS = ("a", "b", "c")
NAMES = [f"g{number}" for number in range(12)]


class Groups(RuleBasedStateMachine):
    """Groups created, deleted, joined and left in any order, beside sets that know it too."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = ThingGroups(lambda: None)
        self.parents: dict[str, str | None] = {}
        self.members: set[tuple[str, str]] = set()

    @rule(name=st.sampled_from(NAMES), parent=st.none() | st.sampled_from(NAMES))
    def create(self, name: str, parent: str | None) -> None:
        """A group, unless its name is taken, its parent unknown or on the seventh level."""
        possible = name not in self.parents and (
            parent is None or (parent in self.parents and len(self.above(parent)) < 7)
        )
        if not possible:
            with pytest.raises(ConfigurationError):
                self.groups.create(ThingGroup(name, parent=parent))
            return
        self.groups.create(ThingGroup(name, parent=parent))
        self.parents[name] = parent

    @precondition(lambda self: self.parents)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """A group, unless another one is in it."""
        name = data.draw(st.sampled_from(sorted(self.parents)))
        if name in self.parents.values():
            with pytest.raises(ConfigurationError):
                self.groups.delete(name)
            return
        self.groups.delete(name)
        del self.parents[name]
        self.members = {(thing, group) for thing, group in self.members if group != name}

    @precondition(lambda self: self.parents)
    @rule(data=st.data(), thing=st.sampled_from(THINGS), joins=st.booleans())
    def move(self, data: st.DataObject, thing: str, joins: bool) -> None:
        """A thing into a group or out of it."""
        group = data.draw(st.sampled_from(sorted(self.parents)))
        if joins:
            self.groups.add(thing, group)
            self.members.add((thing, group))
        else:
            self.groups.remove(thing, group)
            self.members.discard((thing, group))

    @rule(thing=st.sampled_from(THINGS))
    def forget(self, thing: str) -> None:
        """A thing that is deleted."""
        self.groups.forget_thing(thing)
        self.members = {(one, group) for one, group in self.members if one != thing}

    def above(self, name: str) -> list[str]:
        """A group and its ancestors."""
        found = [name]
        while (parent := self.parents[found[-1]]) is not None:
            found.append(parent)
        return found

    @invariant()
    def both_sides_agree(self) -> None:
        """Groups of things, things of groups, lineages and everything below."""
        assert set(self.groups.names()) == set(self.parents)
        for thing in THINGS:
            joined = {group for one, group in self.members if one == thing}
            assert set(self.groups.of(thing)) == joined
        for name in self.parents:
            assert self.groups.lineage(name) == self.above(name)
            below = {one for one in self.parents if name in self.above(one)}
            assert set(self.groups.descendants(name)) == below
            direct = {thing for thing, group in self.members if group == name}
            assert set(self.groups.things_in(name)) == direct
            everything = {thing for thing, group in self.members if group in below}
            assert set(self.groups.things_in(name, recursive=True)) == everything


TestGroups = Groups.TestCase


@given(st.lists(st.sampled_from(NAMES), max_size=12))
def test_a_thing_may_join_one_group_of_each_hierarchy(wanted: list[str]) -> None:
    """`obstacle` lets a thing join until it shares a root or has ten groups."""
    groups = ThingGroups(lambda: None)
    roots = {name: NAMES[number % 3] for number, name in enumerate(NAMES)}
    for name in NAMES:
        parent = None if roots[name] == name else roots[name]
        groups.create(ThingGroup(name, parent=parent))
    taken: set[str] = set()
    for name in wanted:
        if groups.has(name, "thing"):
            continue
        free = roots[name] not in taken
        assert (groups.obstacle("thing", name) is None) is free
        if free:
            groups.add("thing", name)
            taken.add(roots[name])


def test_a_hundred_groups_are_in_a_group() -> None:
    """The hundred and first is refused."""
    groups = ThingGroups(lambda: None)
    groups.create(ThingGroup("top"))
    for number in range(100):
        groups.create(ThingGroup(f"g{number}", parent="top"))
    with pytest.raises(ConfigurationError, match="100"):
        groups.create(ThingGroup("one-more", parent="top"))


def test_a_group_has_ten_policies() -> None:
    """Of known policies; the eleventh is refused."""
    registry = Registry()
    registry.groups.create(ThingGroup("g"))
    for name in "abcdefghijk":
        registry.put_policy(Policy.parse(name, POLICY))
    for name in "abcdefghijj":
        registry.attach_group_policy(name, "g")
    for policy, group in (("k", "g"), ("none", "g"), ("a", "none")):
        with pytest.raises(ConfigurationError):
            registry.attach_group_policy(policy, group)


def test_an_exclusive_thing_brings_the_policies_of_its_groups() -> None:
    """Whatever the client id, as the connection stands for the thing."""
    registry = Registry()
    registry.register_certificate("ab" * 32)
    registry.put_thing(Thing("car"))
    registry.put_policy(Policy.parse("p", POLICY))
    registry.groups.create(ThingGroup("g"))
    registry.groups.add("car", "g")
    registry.attach_group_policy("p", "g")
    registry.attach_thing("car", "ab" * 32, exclusive=True)
    assert [one.name for one in registry.policies_of("ab" * 32, "anything")] == ["p"]
