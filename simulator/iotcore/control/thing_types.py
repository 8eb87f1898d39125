"""Thing types: CreateThingType and its siblings.

Sources: AWS IoT API reference; developer guide, "Thing types" (three searchable attributes, five
minutes from deprecation to deletion). Propagating attributes are kept and shown; the broker does
not add them to messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.iotcore.control.failures import INVALID, AlreadyExists, invalid, not_found
from simulator.iotcore.control.reading import ControlMembers
from simulator.iotcore.registry import ThingType
from simulator.iotcore.services.members import Members, without_nulls

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result

DELETION_WAIT_S: Final = 300
SEARCHABLE_MAX: Final = 3
PROPAGATING_MAX: Final = 10


class ThingTypes:
    """The operations on thing types.

    Args:
        resources: What is shown and changed.
    """

    def __init__(self, resources: Resources) -> None:
        self._registry = resources.registry
        self._names = resources.names
        self._tags = resources.tags
        self._unix_s = resources.unix_s

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "CreateThingType": self.create_thing_type,
            "DescribeThingType": self.describe_thing_type,
            "UpdateThingType": self.update_thing_type,
            "ListThingTypes": self.list_thing_types,
            "DeprecateThingType": self.deprecate_thing_type,
            "DeleteThingType": self.delete_thing_type,
        }

    def create_thing_type(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreateThingType. The same type again is no error; another one of its name is."""
        members = ControlMembers(request)
        name, tags = members.name("thingTypeName"), members.tags()
        wanted = ThingType(name)
        _apply_properties(members, wanted)
        found = self._registry.types.get(name)
        if found is None:
            wanted.type_id = self._registry.fresh_id(name)
            wanted.created_s = self._unix_s(now_s)
            self._registry.types.put(name, wanted)
            self._tags.put(self._arn(name), tags)
            found = wanted
        elif _properties(found) != _properties(wanted):
            raise AlreadyExists(
                f"Thing type {name} already exists in account with different properties",
                found.type_id,
                self._arn(name),
            )
        return {
            "thingTypeName": name,
            "thingTypeArn": self._arn(name),
            "thingTypeId": found.type_id,
        }, []

    def describe_thing_type(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeThingType."""
        found = self._known(ControlMembers(request))
        return self._shown(found) | {"thingTypeId": found.type_id}, []

    def update_thing_type(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateThingType. Properties that are not named stay."""
        members = ControlMembers(request)
        found = self._known(members)
        _apply_properties(members, found)
        self._registry.types.put(found.name, found)
        return {}, []

    def list_thing_types(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListThingTypes."""
        members = ControlMembers(request)
        name = members.optional_name("thingTypeName")
        rows = (
            (one.name, self._shown(one))
            for one in self._registry.types.values()
            if name in {None, one.name}
        )
        return members.listing("thingTypes", rows), []

    def deprecate_thing_type(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeprecateThingType, or with `undoDeprecate` the contrary."""
        members = ControlMembers(request)
        found = self._known(members)
        if members.flag("undoDeprecate") is True:
            found.deprecated_s = None
        elif found.deprecated_s is None:
            found.deprecated_s = self._unix_s(now_s)
        self._registry.types.put(found.name, found)
        return {}, []

    def delete_thing_type(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteThingType: five minutes after its deprecation, and when no thing has it."""
        found = self._known(ControlMembers(request))
        since_s = found.deprecated_s
        if since_s is None:
            raise invalid(f"Cannot delete thing type {found.name}: it is not deprecated")
        if self._unix_s(now_s) < since_s + DELETION_WAIT_S:
            raise invalid(
                f"Cannot delete thing type {found.name}: wait for 5 minutes after its deprecation"
            )
        if any(thing.type_name == found.name for thing in self._registry.things()):
            raise invalid(f"Cannot delete thing type {found.name}: things are associated with it")
        self._registry.types.delete(found.name)
        self._tags.forget(self._arn(found.name))
        return {}, []

    def _known(self, members: ControlMembers) -> ThingType:
        name = members.name("thingTypeName")
        found = self._registry.types.get(name)
        if found is None:
            raise not_found(f"Thing type {name} not found.")
        return found

    def _arn(self, name: str) -> str:
        return self._names.arn("thingtype", name)

    def _shown(self, found: ThingType) -> Result:
        return {
            "thingTypeName": found.name,
            "thingTypeArn": self._arn(found.name),
            "thingTypeProperties": _properties(found),
            "thingTypeMetadata": without_nulls(
                {
                    "deprecated": found.deprecated_s is not None,
                    "deprecationDate": found.deprecated_s,
                    "creationDate": found.created_s,
                }
            ),
        }


def _properties(found: ThingType) -> Result:
    propagating = found.propagating_attributes
    return without_nulls(
        {
            "thingTypeDescription": found.description,
            "searchableAttributes": list(found.searchable_attributes),
            "mqtt5Configuration": (
                None if propagating is None else {"propagatingAttributes": propagating}
            ),
        }
    )


def _apply_properties(members: ControlMembers, target: ThingType) -> None:
    """Set what `thingTypeProperties` names; all or nothing."""
    properties = members.inside("thingTypeProperties")
    description = properties.description("thingTypeDescription")
    searchable = properties.texts("searchableAttributes")
    if len(set(searchable)) > SEARCHABLE_MAX:
        raise invalid(f"A thing type has at most {SEARCHABLE_MAX} searchable attributes")
    propagating = properties.inside("mqtt5Configuration").mappings("propagatingAttributes")
    if len(propagating) > PROPAGATING_MAX:
        raise invalid(f"A thing type has at most {PROPAGATING_MAX} propagating attributes")
    read = [_propagating(Members(entry, INVALID)) for entry in propagating]
    if description is not None:
        target.description = description
    if "searchableAttributes" in properties:
        target.searchable_attributes = list(dict.fromkeys(searchable))
    if "mqtt5Configuration" in properties:
        target.propagating_attributes = read


def _propagating(entry: Members) -> dict[str, str]:
    key = entry.required_text("userPropertyKey", longest=128)
    thing = entry.text("thingAttribute", longest=128)
    connection = entry.text("connectionAttribute", longest=128)
    if (thing is None) == (connection is None):
        raise invalid("A propagating attribute needs thingAttribute or connectionAttribute")
    return without_nulls(
        {"userPropertyKey": key, "thingAttribute": thing, "connectionAttribute": connection}
    )
