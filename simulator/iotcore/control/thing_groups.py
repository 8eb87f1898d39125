"""Thing groups: CreateThingGroup and its siblings, and who is in them.

Sources: AWS IoT API reference; developer guide, "Static thing groups". Dynamic and billing groups
are not served. What AWS does not say and was chosen here: without `parentGroup`, ListThingGroups
gives every group, or with `recursive` false those without a parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError
from simulator.iotcore.control.failures import (
    AlreadyExists,
    invalid,
    not_found,
    version_conflict,
)
from simulator.iotcore.control.reading import ControlMembers
from simulator.iotcore.registry import ThingGroup
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result

ATTRIBUTES_MAX: Final = 50
"""AWS IoT quota "attributes of a thing group"."""


class ThingGroups:
    """The operations on thing groups.

    Args:
        resources: What is shown and changed.
        changed: Called with (now_s) after memberships changed.
    """

    def __init__(self, resources: Resources, changed: Callable[[float], Sequence[Answer]]) -> None:
        self._registry = resources.registry
        self._groups = resources.registry.groups
        self._names = resources.names
        self._tags = resources.tags
        self._unix_s = resources.unix_s
        self._changed = changed

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "CreateThingGroup": self.create_thing_group,
            "DescribeThingGroup": self.describe_thing_group,
            "UpdateThingGroup": self.update_thing_group,
            "DeleteThingGroup": self.delete_thing_group,
            "ListThingGroups": self.list_thing_groups,
            "AddThingToThingGroup": self.add_thing_to_thing_group,
            "RemoveThingFromThingGroup": self.remove_thing_from_thing_group,
            "ListThingsInThingGroup": self.list_things_in_thing_group,
            "ListThingGroupsForThing": self.list_thing_groups_for_thing,
            "UpdateThingGroupsForThing": self.update_thing_groups_for_thing,
        }

    # Groups

    def create_thing_group(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreateThingGroup. The same group again is no error; another one of its name is."""
        members = ControlMembers(request)
        name, parent = members.name("thingGroupName"), members.optional_name("parentGroupName")
        description, attributes = _properties(members, {})
        tags = members.tags()
        found = self._groups.get(name)
        if found is None:
            found = ThingGroup(
                name,
                self._registry.fresh_id(name),
                parent,
                description,
                attributes,
                created_s=self._unix_s(now_s),
            )
            try:
                self._groups.create(found)
            except ConfigurationError as error:
                raise invalid(f"Cannot create thing group {name}: {error.what}") from error
            self._tags.put(self._arn(name), tags)
        elif (found.parent, found.description, found.attributes) != (
            parent,
            description,
            attributes,
        ):
            raise AlreadyExists(
                f"Thing group {name} already exists in account with different properties",
                found.group_id,
                self._arn(name),
            )
        return {
            "thingGroupName": name,
            "thingGroupArn": self._arn(name),
            "thingGroupId": found.group_id,
        }, []

    def describe_thing_group(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeThingGroup."""
        found = self._known(ControlMembers(request).name("thingGroupName"))
        above = self._groups.lineage(found.name)[:0:-1]
        properties = without_nulls({"thingGroupDescription": found.description})
        if found.attributes:
            properties["attributePayload"] = {"attributes": dict(found.attributes)}
        metadata = {
            "parentGroupName": found.parent,
            "rootToParentThingGroups": [self._row(name) for name in above] or None,
            "creationDate": found.created_s,
        }
        return {
            "thingGroupName": found.name,
            "thingGroupId": found.group_id,
            "thingGroupArn": self._arn(found.name),
            "version": found.version,
            "thingGroupProperties": properties,
            "thingGroupMetadata": without_nulls(metadata),
        }, []

    def update_thing_group(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateThingGroup."""
        members = ControlMembers(request)
        found = self._known(members.name("thingGroupName"))
        _check_version(members, found)
        description, attributes = _properties(members, found.attributes)
        if description is not None:
            found.description = description
        found.attributes = attributes
        found.version += 1
        self._groups.touched()
        return {"version": found.version}, []

    def delete_thing_group(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteThingGroup. A group that does not exist is no error."""
        members = ControlMembers(request)
        found = self._groups.get(members.name("thingGroupName"))
        if found is None:
            return {}, []
        _check_version(members, found)
        try:
            self._groups.delete(found.name)
        except ConfigurationError as error:
            raise invalid(f"Cannot delete thing group {found.name}: {error.what}") from error
        self._tags.forget(self._arn(found.name))
        return {}, list(self._changed(now_s))

    def list_thing_groups(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListThingGroups."""
        members = ControlMembers(request)
        parent = members.optional_name("parentGroup")
        prefix = members.optional_name("namePrefixFilter") or ""
        recursive = members.flag("recursive")
        names: Iterable[str]
        if parent is not None:
            self._known(parent)
            everything = list(self._groups.descendants(parent))[1:]
            names = everything if recursive else self._groups.children(parent)
        else:
            names = self._groups.names()
            if recursive is False:
                names = (name for name in names if self._known(name).parent is None)
        rows = ((name, self._row(name)) for name in names if name.startswith(prefix))
        return members.listing("thingGroups", rows), []

    # Members

    def add_thing_to_thing_group(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """AddThingToThingGroup. A thing that is in the group already stays in it."""
        members = ControlMembers(request)
        thing, group = self._thing_and_group(members)
        self._join(thing, [group], ())
        return {}, list(self._changed(now_s))

    def remove_thing_from_thing_group(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """RemoveThingFromThingGroup. A thing that is not in the group stays out."""
        members = ControlMembers(request)
        thing, group = self._thing_and_group(members)
        self._groups.remove(thing, group)
        return {}, list(self._changed(now_s))

    def update_thing_groups_for_thing(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """UpdateThingGroupsForThing: all of it or nothing."""
        members = ControlMembers(request)
        thing = self._thing(members.name("thingName"))
        join, leave = members.texts("thingGroupsToAdd"), members.texts("thingGroupsToRemove")
        for group in (*join, *leave):
            self._known(group)
        if set(join) & set(leave):
            raise invalid("A thing group cannot be added and removed at the same time")
        self._join(thing, list(dict.fromkeys(join)), leave)
        return {}, list(self._changed(now_s))

    def list_things_in_thing_group(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListThingsInThingGroup."""
        members = ControlMembers(request)
        group = self._known(members.name("thingGroupName"))
        recursive = members.flag("recursive") is True
        rows = ((name, name) for name in self._groups.things_in(group.name, recursive=recursive))
        return members.listing("things", rows), []

    def list_thing_groups_for_thing(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListThingGroupsForThing."""
        members = ControlMembers(request)
        thing = self._thing(members.name("thingName"))
        rows = ((name, self._row(name)) for name in self._groups.of(thing))
        return members.listing("thingGroups", rows), []

    # Inside

    def _join(self, thing: str, join: Sequence[str], leave: Sequence[str]) -> None:
        """Leave and join groups, unless one of the joins is refused."""
        before = self._groups.of(thing)
        for group in leave:
            self._groups.remove(thing, group)
        for group in join:
            obstacle = None if group in before else self._groups.obstacle(thing, group)
            if obstacle is not None:
                self._restore(thing, before)
                raise invalid(f"Thing {thing} cannot be added to group {group}: {obstacle}")
            self._groups.add(thing, group)

    def _restore(self, thing: str, before: Sequence[str]) -> None:
        self._groups.forget_thing(thing)
        for group in before:
            self._groups.add(thing, group)

    def _thing_and_group(self, members: ControlMembers) -> tuple[str, str]:
        thing = members.optional_name("thingName")
        group = members.optional_name("thingGroupName")
        thing_arn, group_arn = members.text("thingArn"), members.text("thingGroupArn")
        if thing is None and thing_arn is not None:
            thing = self._names.named(thing_arn, "thing")
        if group is None and group_arn is not None:
            group = self._names.named(group_arn, "thinggroup")
        if thing is None or group is None:
            raise invalid("A thing and a thing group must be named")
        return self._thing(thing), self._known(group).name

    def _thing(self, name: str) -> str:
        if self._registry.thing(name) is None:
            raise not_found(f"Thing {name} not found.")
        return name

    def _known(self, name: str) -> ThingGroup:
        found = self._groups.get(name)
        if found is None:
            raise not_found(f"Thing group {name} not found.")
        return found

    def _arn(self, name: str) -> str:
        return self._names.arn("thinggroup", name)

    def _row(self, name: str) -> Result:
        return {"groupName": name, "groupArn": self._arn(name)}


def _check_version(members: ControlMembers, group: ThingGroup) -> None:
    expected = members.expected_version()
    if expected is not None and expected != group.version:
        raise version_conflict("thing group", group.name, expected)


def _properties(
    members: ControlMembers, attributes: dict[str, str]
) -> tuple[str | None, dict[str, str]]:
    """Description and attributes after `thingGroupProperties`."""
    properties = members.inside("thingGroupProperties")
    description = properties.description("thingGroupDescription")
    changed = properties.attributes(attributes)
    if changed is not None and len(changed) > ATTRIBUTES_MAX:
        raise invalid(f"A thing group has at most {ATTRIBUTES_MAX} attributes")
    return description, attributes if changed is None else changed
