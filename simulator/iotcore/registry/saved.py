"""The registry as a document: its form, and that every name in it refers to something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from simulator.iotcore.registry.principals import is_certificate_id
from simulator.iotcore.registry.records import (
    CustomAuthorizer,
    EventConfigurations,
    Identity,
    RegisteredAuthority,
    RegisteredCertificate,
    RoleAlias,
    StoredPolicy,
    Thing,
    ThingGroup,
    ThingType,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable


class Saved(msgspec.Struct, forbid_unknown_fields=True):
    """Everything a registry holds."""

    serial: int = 0
    registration_code: str | None = None
    things: list[Thing] = []
    types: list[ThingType] = []
    groups: list[ThingGroup] = []
    members: dict[str, list[str]] = {}
    policies: list[StoredPolicy] = []
    certificates: list[RegisteredCertificate] = []
    identities: dict[str, Identity] = {}
    authorities: list[RegisteredAuthority] = []
    role_aliases: list[RoleAlias] = []
    authorizers: list[CustomAuthorizer] = []
    default_authorizer: str | None = None
    tags: dict[str, dict[str, str]] = {}
    events: EventConfigurations = msgspec.field(default_factory=EventConfigurations)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        return document

    @classmethod
    def read(cls, document: Any) -> Saved:
        """From JSON.

        Raises:
            ValueError: The document has another form.
        """
        try:
            return msgspec.convert(document, cls, str_keys=True)
        except msgspec.ValidationError as error:
            raise ValueError(f"registry: {error}") from error

    def check(self) -> None:
        """Check that what is named exists. Groups and policies are checked when they are stored.

        Raises:
            ValueError: A name refers to nothing.
        """
        things, types = {one.name for one in self.things}, {one.name for one in self.types}
        policies = {one.name for one in self.policies}
        _check("thing type", (one.type_name for one in self.things if one.type_name), types)
        for group in self.groups:
            _check("policy", group.policies, policies)
        for members in self.members.values():
            _check("thing", members, things)
        for identity in self.identities.values():
            _check("policy", identity.policies, policies)
            _check("thing", identity.things, things)
        for certificate in self.certificates:
            _check("policy", certificate.policies, policies)
            _check("thing", certificate.things, things)
            if not is_certificate_id(certificate.certificate_id):
                raise ValueError("registry: a certificate id is not 64 hexadecimal digits")
        default = () if self.default_authorizer is None else (self.default_authorizer,)
        _check("authorizer", default, {one.name for one in self.authorizers})


def _check(kind: str, names: Iterable[str], known: Container[str]) -> None:
    missing = next((name for name in names if name not in known), None)
    if missing is not None:
        raise ValueError(f"registry: {kind} {missing} is named and does not exist")
