"""The account's registry: certificates, policies, things, and what is attached to what.

Mutable at run time; every change raises `revision`, which is how open connections notice that
their permissions must be computed again. Knows nothing about files or connections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.iotcore.policy import Policy

CERTIFICATE_ID_CHARACTERS = 64
POLICIES_PER_CERTIFICATE_MAX = 10
"""AWS IoT Core quota "policies attached to a certificate or Cognito identity"."""
THING_NAME_CHARACTERS_MAX = 128


class CertificateStatus(StrEnum):
    """State of a registered certificate. Only ACTIVE ones may connect."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


@dataclass(slots=True)
class RegisteredCertificate:
    """A certificate the registry knows.

    Attributes:
        certificate_id: SHA-256 of the DER encoding, hexadecimal.
        status: Whether it may connect.
        policies: Names of the attached policies, in order of attachment.
        things: Attached thing name -> whether the attachment is exclusive.
    """

    certificate_id: str
    status: CertificateStatus
    policies: list[str] = field(default_factory=list)
    things: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing of the registry."""

    name: str
    type_name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """Certificates, policies and things of one account in one Region.

    Attributes:
        revision: Rises with every change.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._certificates: dict[str, RegisteredCertificate] = {}
        self._policies: dict[str, Policy] = {}
        self._things: dict[str, Thing] = {}

    # Reading

    def certificate(self, certificate_id: str) -> RegisteredCertificate | None:
        """The registered certificate with this id."""
        return self._certificates.get(certificate_id)

    def is_active(self, certificate_id: str) -> bool:
        """Whether this certificate is registered and ACTIVE."""
        found = self._certificates.get(certificate_id)
        return found is not None and found.status is CertificateStatus.ACTIVE

    def thing(self, name: str) -> Thing | None:
        """The thing with this name."""
        return self._things.get(name)

    @property
    def certificate_ids(self) -> tuple[str, ...]:
        """Ids of all registered certificates."""
        return tuple(self._certificates)

    def policies_of(self, certificate_id: str) -> tuple[Policy, ...]:
        """The policies attached to a certificate; none when it is unknown."""
        found = self._certificates.get(certificate_id)
        if found is None:
            return ()
        return tuple(self._policies[name] for name in found.policies)

    def thing_of(self, certificate_id: str, client_id: str) -> Thing | None:
        """The thing a connection stands for (developer guide, "Thing policy variables").

        An exclusive attachment serves any client id; an ordinary one serves the client id that
        equals the thing name.
        """
        found = self._certificates.get(certificate_id)
        if found is None:
            return None
        for name, is_exclusive in found.things.items():
            if is_exclusive:
                return self._things[name]
        return self._things[client_id] if client_id in found.things else None

    def exclusive_thing_of(self, certificate_id: str) -> Thing | None:
        """The thing the certificate is exclusively attached to."""
        found = self._certificates.get(certificate_id)
        for name, is_exclusive in found.things.items() if found else ():
            if is_exclusive:
                return self._things[name]
        return None

    # Changing

    def register_certificate(
        self, certificate_id: str, status: CertificateStatus = CertificateStatus.ACTIVE
    ) -> RegisteredCertificate:
        """Register a certificate; one that is known already only gets the status.

        Raises:
            ConfigurationError: The id is not 64 hexadecimal digits.
        """
        key = certificate_id.lower()
        if len(key) != CERTIFICATE_ID_CHARACTERS or set(key) - set("0123456789abcdef"):
            raise ConfigurationError(
                f"certificate id {certificate_id!r} is not 64 hexadecimal digits",
                "use the SHA-256 of the certificate's DER encoding",
            )
        found = self._certificates.setdefault(key, RegisteredCertificate(key, status))
        found.status = status
        self.revision += 1
        return found

    def set_status(self, certificate_id: str, status: CertificateStatus) -> None:
        """Change the status of a certificate. Leaving ACTIVE ends its connections."""
        self._known_certificate(certificate_id).status = status
        self.revision += 1

    def delete_certificate(self, certificate_id: str) -> None:
        """Forget a certificate and end its connections; unknown ones are ignored."""
        self._certificates.pop(certificate_id, None)
        self.revision += 1

    def put_policy(self, policy: Policy) -> None:
        """Store a policy under its name, replacing an older version."""
        self._policies[policy.name] = policy
        self.revision += 1

    def attach_policy(self, policy_name: str, certificate_id: str) -> None:
        """Attach a policy to a certificate; attaching it again changes nothing.

        Raises:
            ConfigurationError: Either is unknown, or the certificate has ten policies already.
        """
        if policy_name not in self._policies:
            raise ConfigurationError(
                f"policy {policy_name!r} is not known", f"known: {sorted(self._policies)}"
            )
        attached = self._known_certificate(certificate_id).policies
        if policy_name in attached:
            return
        if len(attached) >= POLICIES_PER_CERTIFICATE_MAX:
            raise ConfigurationError(
                f"certificate {certificate_id} has {len(attached)} policies, the most AWS allows",
                "merge policies",
            )
        attached.append(policy_name)
        self.revision += 1

    def detach_policy(self, policy_name: str, certificate_id: str) -> None:
        """Detach a policy from a certificate; one that is not attached is ignored."""
        attached = self._known_certificate(certificate_id).policies
        if policy_name in attached:
            attached.remove(policy_name)
            self.revision += 1

    def put_thing(self, thing: Thing) -> None:
        """Store a thing under its name, replacing an older version.

        Raises:
            ConfigurationError: The name is empty or longer than 128 characters.
        """
        if not 0 < len(thing.name) <= THING_NAME_CHARACTERS_MAX:
            raise ConfigurationError(
                f"thing name {thing.name!r} must have 1 to {THING_NAME_CHARACTERS_MAX} characters",
                "choose another name",
            )
        self._things[thing.name] = thing
        self.revision += 1

    def attach_thing(
        self, thing_name: str, certificate_id: str, *, exclusive: bool = False
    ) -> None:
        """Attach a certificate to a thing.

        Args:
            thing_name: A stored thing.
            certificate_id: A registered certificate.
            exclusive: EXCLUSIVE_THING: connections with this certificate stand for this thing
                whatever their client id.

        Raises:
            ConfigurationError: Either is unknown, or an exclusive attachment would not be the
                only one of the certificate.
        """
        if thing_name not in self._things:
            raise ConfigurationError(
                f"thing {thing_name!r} is not known", "create it before attaching a certificate"
            )
        things = self._known_certificate(certificate_id).things
        others = {name: is_exclusive for name, is_exclusive in things.items() if name != thing_name}
        if others and (exclusive or any(others.values())):
            raise ConfigurationError(
                f"certificate {certificate_id} is attached to {sorted(others)}, which rules out an "
                f"exclusive attachment beside it",
                "detach the others first",
            )
        things[thing_name] = exclusive
        self.revision += 1

    def detach_thing(self, thing_name: str, certificate_id: str) -> None:
        """Detach a certificate from a thing; one that is not attached is ignored."""
        if self._known_certificate(certificate_id).things.pop(thing_name, None) is not None:
            self.revision += 1

    def _known_certificate(self, certificate_id: str) -> RegisteredCertificate:
        found = self._certificates.get(certificate_id)
        if found is None:
            raise ConfigurationError(
                f"certificate {certificate_id} is not registered", "register it first"
            )
        return found
