"""Thing groups: a hierarchy, the things in each, and the policies things get from them.

Sources: AWS IoT Core developer guide, "Static thing groups" (a group's policies and jobs reach the
things of its child groups; a thing is in at most ten groups and in one of a hierarchy) and AWS IoT
quotas (depth and breadth). Knows nothing about requests, nor whether a thing exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulator.iotcore.registry.records import ThingGroup

GROUPS_PER_THING_MAX: Final = 10
DEPTH_MAX: Final = 7
CHILDREN_MAX: Final = 100
"""AWS IoT quotas: groups of a thing, levels of a hierarchy, direct children of a group."""
POLICIES_MAX: Final = 10
"""Policies of a group. AWS publishes no number; this is that of a certificate."""


class ThingGroups:
    """The account's thing groups, for the API, for jobs and for provisioning.

    Args:
        changed: Called after every change.
        moved: Called with (thing name, group, "ADDED" or "REMOVED") after a thing joined or left.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        moved: Callable[[str, ThingGroup, str], None] = lambda _thing, _group, _operation: None,
    ) -> None:
        self._changed = changed
        self._moved = moved
        self._groups: dict[str, ThingGroup] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._things: dict[str, dict[str, None]] = {}
        self._of: dict[str, dict[str, None]] = {}

    # Groups

    def get(self, name: str) -> ThingGroup | None:
        """The group with this name."""
        return self._groups.get(name)

    def exists(self, group: str, /) -> bool:
        """Whether there is such a group."""
        return group in self._groups

    def names(self) -> tuple[str, ...]:
        """All groups, in the order they were created."""
        return tuple(self._groups)

    def children(self, group: str) -> tuple[str, ...]:
        """The groups directly in a group."""
        return tuple(self._children.get(group, ()))

    def lineage(self, group: str) -> list[str]:
        """A group and the groups it is in, from itself up to the root."""
        names: list[str] = []
        found: str | None = group
        while found is not None:
            names.append(found)
            found = self._groups[found].parent
        return names

    def descendants(self, group: str) -> Iterator[str]:
        """A group and everything in it, parents before children."""
        waiting = [group]
        while waiting:
            name = waiting.pop()
            yield name
            waiting.extend(reversed(self._children.get(name, {})))

    def create(self, group: ThingGroup) -> None:
        """Store a new group.

        Raises:
            ConfigurationError: The name is taken, the parent is unknown or has 100 groups, or the
                hierarchy would have more than seven levels.
        """
        if group.name in self._groups:
            raise ConfigurationError(f"thing group {group.name} exists", "choose another name")
        if group.parent is not None:
            if group.parent not in self._groups:
                raise ConfigurationError(
                    f"thing group {group.parent} does not exist", "create the parent first"
                )
            if len(self.lineage(group.parent)) >= DEPTH_MAX:
                raise ConfigurationError(
                    f"thing group {group.parent} is on level {DEPTH_MAX}, the last one AWS allows",
                    "choose another parent",
                )
            if len(self._children.get(group.parent, ())) >= CHILDREN_MAX:
                raise ConfigurationError(
                    f"thing group {group.parent} has {CHILDREN_MAX} groups, the most AWS allows",
                    "choose another parent",
                )
            self._children.setdefault(group.parent, {})[group.name] = None
        self._groups[group.name] = group
        self._changed()

    def delete(self, name: str) -> None:
        """Forget a group with its memberships; unknown ones are ignored.

        Raises:
            ConfigurationError: There are groups in it.
        """
        if self._children.get(name):
            raise ConfigurationError(f"thing group {name} has child groups", "delete them first")
        group = self._groups.pop(name, None)
        if group is None:
            return
        members = self._things.pop(name, {})
        for thing in members:
            self._leave(thing, name)
        self._children.pop(name, None)
        if group.parent is not None:
            del self._children[group.parent][name]
        self._changed()
        for thing in members:
            self._moved(thing, group, "REMOVED")

    def touched(self) -> None:
        """Description or attributes of a group have changed."""
        self._changed()

    # Members

    def of(self, thing_name: str, /) -> tuple[str, ...]:
        """The groups a thing is directly in, in the order it joined them."""
        return tuple(self._of.get(thing_name, ()))

    def has(self, group: str, thing_name: str) -> bool:
        """Whether a thing is directly in a group."""
        return group in self._of.get(thing_name, ())

    def things_in(self, group: str, *, recursive: bool = False) -> list[str]:
        """The things of a group, each once; `recursive` also those of its child groups."""
        names = self.descendants(group) if recursive else (group,)
        found: dict[str, None] = {}
        for name in names:
            found.update(self._things.get(name, {}))
        return list(found)

    def obstacle(
        self,
        thing_name: str,
        group: str,
        leaving: Iterable[str] = (),
        joining: Iterable[str] = (),
    ) -> str | None:
        """Why AWS would not let a thing join a group, or None.

        Args:
            thing_name: The thing.
            group: A known group it is not in.
            leaving: Groups it leaves at the same time.
            joining: Other known groups it joins at the same time.
        """
        left = set(leaving)
        rest = [*(name for name in self.of(thing_name) if name not in left), *joining]
        if len(rest) >= GROUPS_PER_THING_MAX:
            return f"a thing can be in at most {GROUPS_PER_THING_MAX} thing groups"
        root = self.lineage(group)[-1]
        for name in rest:
            if self.lineage(name)[-1] == root:
                return f"it is in thing group {name} of the same hierarchy"
        return None

    def add(self, thing_name: str, group: str, /) -> None:
        """Put a thing into a group; a second time changes nothing.

        `obstacle` is not asked: whoever adds has asked it.

        Raises:
            ConfigurationError: There is no such group.
        """
        found = self._known(group)
        if not self.has(group, thing_name):
            self._of.setdefault(thing_name, {})[group] = None
            self._things.setdefault(group, {})[thing_name] = None
            self._changed()
            self._moved(thing_name, found, "ADDED")

    def remove(self, thing_name: str, group: str, /) -> None:
        """Take a thing out of a group; one that is not in it stays out."""
        if self.has(group, thing_name):
            self._leave(thing_name, group)
            del self._things[group][thing_name]
            self._changed()
            self._moved(thing_name, self._groups[group], "REMOVED")

    def forget_thing(self, thing_name: str) -> None:
        """Take a thing out of all of its groups."""
        for group in self.of(thing_name):
            self.remove(thing_name, group)

    def _known(self, group: str) -> ThingGroup:
        found = self._groups.get(group)
        if found is None:
            raise ConfigurationError(f"thing group {group} does not exist", "create it first")
        return found

    def _leave(self, thing_name: str, group: str) -> None:
        del self._of[thing_name][group]
        if not self._of[thing_name]:
            del self._of[thing_name]

    # Policies

    def policies_of(self, thing_name: str) -> list[str]:
        """Names of the policies that reach a thing, each once."""
        if thing_name not in self._of:
            return []
        found: dict[str, None] = {}
        for group in self._of[thing_name]:
            for name in self.lineage(group):
                found.update(dict.fromkeys(self._groups[name].policies))
        return list(found)

    def attach_policy(self, policy_name: str, group: str) -> None:
        """Attach a policy to a group; attaching it again changes nothing.

        Raises:
            ConfigurationError: There is no such group, or it has ten policies already.
        """
        attached = self._known(group).policies
        if policy_name in attached:
            return
        if len(attached) >= POLICIES_MAX:
            raise ConfigurationError(
                f"thing group {group} has {POLICIES_MAX} policies, the most that are allowed",
                "merge policies",
            )
        attached.append(policy_name)
        self._changed()

    def detach_policy(self, policy_name: str, group: str) -> None:
        """Detach a policy from a group; one that is not attached is ignored."""
        found = self._groups.get(group)
        if found is not None and policy_name in found.policies:
            found.policies.remove(policy_name)
            self._changed()

    def with_policy(self, policy_name: str) -> tuple[str, ...]:
        """The groups a policy is attached to."""
        return tuple(g.name for g in self._groups.values() if policy_name in g.policies)

    # Keeping

    def dump_members(self) -> dict[str, list[str]]:
        """Group -> the things directly in it; groups without things are left out."""
        return {group: list(things) for group, things in self._things.items() if things}

    def adopt(self, other: ThingGroups) -> None:
        """Take over everything another one holds, without a call of `changed`."""
        self._groups, self._children = other._groups, other._children
        self._things, self._of = other._things, other._of
