"""Things: CreateThing and its siblings, and the principals attached to them.

Sources: AWS IoT API reference and the quotas on attributes. What AWS does not say and was chosen
here: lists are in order of names, principals in order of ids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError
from simulator.iotcore.control.failures import (
    AlreadyExists,
    invalid,
    not_found,
    version_conflict,
)
from simulator.iotcore.control.reading import ControlMembers
from simulator.iotcore.registry import Thing, is_certificate_id
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result

ATTRIBUTES_MAX: Final = 3
TYPED_ATTRIBUTES_MAX: Final = 50
"""AWS IoT Core quotas "attributes of a thing without / with a thing type"."""

EXCLUSIVE: Final = "EXCLUSIVE_THING"
NON_EXCLUSIVE: Final = "NON_EXCLUSIVE_THING"
_KINDS: Final = (EXCLUSIVE, NON_EXCLUSIVE)


class Things:
    """The operations on things.

    Args:
        resources: What is shown and changed.
        deleted: Called with (thing name, now_s) after a thing was deleted.
    """

    def __init__(
        self,
        resources: Resources,
        deleted: Callable[[str, float], Sequence[Answer]],
    ) -> None:
        self._registry = resources.registry
        self._names = resources.names
        self._deleted = deleted

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "CreateThing": self.create_thing,
            "DescribeThing": self.describe_thing,
            "UpdateThing": self.update_thing,
            "DeleteThing": self.delete_thing,
            "ListThings": self.list_things,
            "AttachThingPrincipal": self.attach_thing_principal,
            "DetachThingPrincipal": self.detach_thing_principal,
            "ListThingPrincipals": self.list_thing_principals,
            "ListThingPrincipalsV2": self.list_thing_principals_v2,
            "ListPrincipalThings": self.list_principal_things,
            "ListPrincipalThingsV2": self.list_principal_things_v2,
        }

    # Things

    def create_thing(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """CreateThing. The same thing again is no error; another one of its name is."""
        members = ControlMembers(request)
        name = members.name("thingName")
        if "billingGroupName" in members:
            raise not_found(f"Billing group {members.text('billingGroupName')} not found.")
        thing = Thing(name, self._type(members), members.attributes() or {})
        _check_attributes(thing)
        before = self._registry.thing(name)
        if before is None:
            before = self._registry.put_thing(thing)
        elif before != thing:
            raise AlreadyExists(
                f"Thing {name} already exists in account with different attributes",
                before.thing_id,
                self._names.arn("thing", name),
            )
        return {
            "thingName": name,
            "thingArn": self._names.arn("thing", name),
            "thingId": before.thing_id,
        }, []

    def describe_thing(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeThing."""
        thing = self._known(ControlMembers(request))
        return self._shown(thing) | {"defaultClientId": thing.name, "thingId": thing.thing_id}, []

    def update_thing(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateThing."""
        members = ControlMembers(request)
        thing = self._known(members)
        _check_version(members, thing)
        removes, type_name = members.flag("removeThingType") is True, self._type(members)
        if removes and type_name is not None:
            raise invalid("thingTypeName and removeThingType cannot be used together")
        attributes = members.attributes(thing.attributes)
        changed = replace(
            thing,
            type_name=None if removes else type_name or thing.type_name,
            attributes=thing.attributes if attributes is None else attributes,
        )
        _check_attributes(changed)
        self._registry.put_thing(changed)
        return {}, []

    def delete_thing(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteThing. A thing that does not exist is no error."""
        members = ControlMembers(request)
        thing = self._registry.thing(members.name("thingName"))
        if thing is None:
            return {}, []
        _check_version(members, thing)
        if self._registry.principals_of(thing.name):
            raise invalid(
                f"Cannot delete. Thing {thing.name} is still attached to one or more principals"
            )
        self._registry.delete_thing(thing.name)
        return {}, list(self._deleted(thing.name, now_s))

    def list_things(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListThings."""
        members = ControlMembers(request)
        type_name = members.optional_name("thingTypeName")
        name, value = members.text("attributeName"), members.text("attributeValue")
        by_prefix = members.flag("usePrefixAttributeValue") is True
        if value is not None and name is None:
            raise invalid("attributeValue needs attributeName")

        def matches(thing: Thing) -> bool:
            if type_name is not None and thing.type_name != type_name:
                return False
            if name is None:
                return True
            found = thing.attributes.get(name)
            if found is None or value is None:
                return found is not None
            return found.startswith(value) if by_prefix else found == value

        def rows_after(name: str) -> Iterator[tuple[str, Thing]]:
            things = self._registry.things_after(name)
            return ((thing.name, thing) for thing in things if matches(thing))

        return members.ordered_listing("things", rows_after, self._shown), []

    # Principals

    def attach_thing_principal(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """AttachThingPrincipal."""
        members = ControlMembers(request)
        thing = self._known(members)
        principal = self._principal(members)
        if is_certificate_id(principal) and self._registry.certificate(principal) is None:
            raise not_found(f"The principal {self._names.of_principal(principal)} does not exist")
        kind = members.choice("thingPrincipalType", _KINDS, NON_EXCLUSIVE)
        try:
            self._registry.attach_thing(thing.name, principal, exclusive=kind == EXCLUSIVE)
        except ConfigurationError as error:
            raise invalid(f"Cannot attach: {error.what}") from error
        return {}, []

    def detach_thing_principal(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """DetachThingPrincipal. What is not attached is no error."""
        members = ControlMembers(request)
        thing = self._known(members)
        principal = self._principal(members)
        if principal in self._registry.principals_of(thing.name):
            self._registry.detach_thing(thing.name, principal)
        return {}, []

    def list_thing_principals(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListThingPrincipals."""
        members = ControlMembers(request)
        rows = ((one, self._names.of_principal(one)) for one, _ in self._attached(members))
        return members.listing("principals", rows), []

    def list_thing_principals_v2(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListThingPrincipalsV2."""
        members = ControlMembers(request)
        kind = members.choice("thingPrincipalType", _KINDS)
        rows = (
            (one, {"principal": self._names.of_principal(one), "thingPrincipalType": found})
            for one, found in self._attached(members)
            if kind in {None, found}
        )
        return members.listing("thingPrincipalObjects", rows), []

    def list_principal_things(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListPrincipalThings."""
        members = ControlMembers(request)
        rows = ((name, name) for name, _ in self._attached_things(members))
        return members.listing("things", rows), []

    def list_principal_things_v2(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListPrincipalThingsV2."""
        members = ControlMembers(request)
        kind = members.choice("thingPrincipalType", _KINDS)
        rows = (
            (name, {"thingName": name, "thingPrincipalType": found})
            for name, found in self._attached_things(members)
            if kind in {None, found}
        )
        return members.listing("principalThingObjects", rows), []

    # Inside

    def _known(self, members: ControlMembers) -> Thing:
        name = members.name("thingName")
        thing = self._registry.thing(name)
        if thing is None:
            raise not_found(f"Thing {name} not found.")
        return thing

    def _type(self, members: ControlMembers) -> str | None:
        name = members.optional_name("thingTypeName")
        if name is None:
            return None
        found = self._registry.types.get(name)
        if found is None:
            raise not_found(f"Thing type {name} not found.")
        if found.deprecated_s is not None:
            raise invalid(f"Thing type {name} is deprecated: no thing can be associated with it")
        return name

    def _principal(self, members: ControlMembers) -> str:
        return self._names.principal(members.required_text("principal"))

    def _attached(self, members: ControlMembers) -> Iterator[tuple[str, str]]:
        thing = self._known(members)
        for principal, is_exclusive in self._registry.principals_of(thing.name).items():
            yield principal, _KINDS[not is_exclusive]

    def _attached_things(self, members: ControlMembers) -> Iterator[tuple[str, str]]:
        principal = self._principal(members)
        found = self._registry.principal(principal)
        if found is None and is_certificate_id(principal):
            raise not_found(f"The principal {self._names.of_principal(principal)} does not exist")
        for name, is_exclusive in found.things.items() if found else ():
            yield name, _KINDS[not is_exclusive]

    def _shown(self, thing: Thing) -> Result:
        return without_nulls(
            {
                "thingName": thing.name,
                "thingTypeName": thing.type_name,
                "thingArn": self._names.arn("thing", thing.name),
                "attributes": dict(thing.attributes),
                "version": thing.version,
            }
        )


def _check_version(members: ControlMembers, thing: Thing) -> None:
    expected = members.expected_version()
    if expected is not None and expected != thing.version:
        raise version_conflict("thing", thing.name, expected)


def _check_attributes(thing: Thing) -> None:
    most = ATTRIBUTES_MAX if thing.type_name is None else TYPED_ATTRIBUTES_MAX
    if len(thing.attributes) > most:
        raise invalid(
            f"A thing {'without' if thing.type_name is None else 'with'} a thing type has at most "
            f"{most} attributes"
        )
