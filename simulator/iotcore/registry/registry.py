"""The account's registry: certificates, policies, things, groups, CAs, and what hangs together.

The one truth of the stand-in: what the API creates is what the broker sees, and what provisioning
or a registry file brought in is what the API lists. Mutable at run time; every change that can
matter to a connection raises `revision`, which is how open connections notice that their
permissions must be computed again. Knows nothing about files, requests or connections.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from certs.errors import ConfigurationError
from simulator.iotcore.registry.groups import ThingGroups
from simulator.iotcore.registry.policies import Policies
from simulator.iotcore.registry.principals import Principals, is_certificate_id
from simulator.iotcore.registry.records import (
    CertificateMode,
    CertificateStatus,
    CustomAuthorizer,
    EventConfigurations,
    RegisteredAuthority,
    RegisteredCertificate,
    RoleAlias,
    Thing,
    ThingType,
)
from simulator.iotcore.registry.saved import Saved
from simulator.iotcore.registry.shelf import Shelf
from simulator.iotcore.registry.things import Things
from simulator.iotcore.registry.trust import needs_anchor, trust_anchors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.iotcore.permissions.policy import Policy
    from simulator.iotcore.registry.records import Identity, ThingGroup
    from simulator.iotcore.registry.watcher import Watcher

POLICIES_PER_CERTIFICATE_MAX: Final = 10
"""AWS IoT Core quota "policies attached to a certificate or Cognito identity"."""
THING_NAME_CHARACTERS_MAX: Final = 128


class Registry:
    """Everything the registry of one account in one Region holds.

    The number of things, types, groups, policies and certificates is unbounded, as at AWS: whoever
    may fill the registry may fill the memory.

    Args:
        unix_s: Creation date of what is stored without one.

    Attributes:
        revision: Rises with every change that can matter to a connection.
        trust_revision: Rises when `trust_anchors` may have changed.
        changes: Rises with every change.
        types: Thing types.
        groups: Thing groups and their members.
        policies: Policies with their versions.
        authorities: CAs of one's own, by certificate id.
        role_aliases: Role aliases.
        authorizers: Custom authorizers.
        tags: Tags by the ARN of what they are on.
        default_authorizer: Name of the authorizer of connections that name none.
        registration_code: What a verification certificate must be issued to, if one was asked for.
        events: Which events are published.
        watcher: Is told of changes of things and memberships; nobody by default.
    """

    def __init__(self, unix_s: float = 0.0) -> None:
        self.revision = 0
        self.trust_revision = 0
        self.changes = 0
        self.types: Shelf[ThingType] = Shelf(self._noted)
        self.groups = ThingGroups(self._changed, self._membership_changed)
        self.policies = Policies(self._changed)
        self.authorities: Shelf[RegisteredAuthority] = Shelf(self._trust_changed)
        self.role_aliases: Shelf[RoleAlias] = Shelf(self._noted)
        self.authorizers: Shelf[CustomAuthorizer] = Shelf(self._noted)
        self.tags: Shelf[dict[str, str]] = Shelf(self._noted)
        self.default_authorizer: str | None = None
        self.registration_code: str | None = None
        self.events = EventConfigurations()
        self.watcher: Watcher | None = None
        self._unix_s = unix_s
        self._serial = 0
        self._principals = Principals()
        self._things = Things()

    # Reading

    def certificate(self, certificate_id: str) -> RegisteredCertificate | None:
        """The registered certificate with this id."""
        return self._principals.certificates.get(certificate_id)

    def is_active(self, certificate_id: str) -> bool:
        """Whether this certificate is registered and ACTIVE."""
        found = self._principals.certificates.get(certificate_id)
        return found is not None and found.status is CertificateStatus.ACTIVE

    def thing(self, name: str) -> Thing | None:
        """The thing with this name."""
        return self._things.get(name)

    @property
    def certificate_ids(self) -> tuple[str, ...]:
        """Ids of all registered certificates."""
        return tuple(self._principals.certificates)

    def certificates(self) -> tuple[RegisteredCertificate, ...]:
        """All registered certificates, oldest first."""
        return tuple(self._principals.certificates.values())

    def things(self) -> tuple[Thing, ...]:
        """All things, oldest first."""
        return self._things.values()

    def things_after(self, name: str) -> Iterator[Thing]:
        """The things whose names come after this one, in order of names."""
        return self._things.after(name)

    def principal(self, principal_id: str) -> RegisteredCertificate | Identity | None:
        """The certificate or Cognito identity with this id, if it is known."""
        return self._principals.find(principal_id)

    def principals_of(self, thing_name: str) -> dict[str, bool]:
        """Principal ids attached to a thing -> whether exclusively."""
        return self._principals.of_thing(thing_name)

    def principals_with(self, policy_name: str) -> tuple[str, ...]:
        """Ids of the certificates and identities a policy is attached to."""
        return self._principals.with_policy(policy_name)

    def is_attached(self, policy_name: str) -> bool:
        """Whether a policy is attached to anything."""
        return bool(self.principals_with(policy_name) or self.groups.with_policy(policy_name))

    def policies_of(self, principal_id: str, client_id: str | None = None) -> tuple[Policy, ...]:
        """The policies in force for a principal; none when it is unknown.

        Args:
            principal_id: A certificate id or Cognito identity id.
            client_id: Of its connection. With it, the policies that the thing the connection
                stands for has from its groups are included.
        """
        found = self._principals.find(principal_id)
        if found is None:
            return ()
        direct = tuple(self.policies.in_force(name) for name in found.policies)
        if client_id is None or not found.things:
            return direct
        thing = self.thing_of(principal_id, client_id)
        inherited = () if thing is None else self.policies_of_groups(thing.name)
        return direct + tuple(policy for policy in inherited if policy not in direct)

    def policies_of_groups(self, thing_name: str) -> tuple[Policy, ...]:
        """The policies a thing has from its groups and the groups above them.

        They hold for a connection that stands for the thing (developer guide, "AWS IoT Core
        policies": they take effect when client id and thing name match).
        """
        return tuple(self.policies.in_force(name) for name in self.groups.policies_of(thing_name))

    def thing_of(self, principal_id: str, client_id: str) -> Thing | None:
        """The thing a connection stands for (developer guide, "Thing policy variables").

        An exclusive attachment serves any client id; an ordinary one serves the client id that
        equals the thing name.
        """
        exclusive = self.exclusive_thing_of(principal_id)
        if exclusive is not None:
            return exclusive
        found = self._principals.find(principal_id)
        if found is None or client_id not in found.things:
            return None
        return self._things[client_id]

    def exclusive_thing_of(self, principal_id: str) -> Thing | None:
        """The thing the principal is exclusively attached to."""
        found = self._principals.find(principal_id)
        for name, is_exclusive in found.things.items() if found else ():
            # It is the only attachment then.
            return self._things[name] if is_exclusive else None
        return None

    def trust_anchors(self) -> list[str]:
        """PEM of what the TLS listener must trust beside the account's own CA; see `trust`.

        Certificates of devices are among them: the verifying library must accept partial chains.
        """
        return trust_anchors(self.authorities.values(), self._principals.certificates.values())

    # Certificates

    def register_certificate(
        self,
        certificate_id: str,
        status: CertificateStatus = CertificateStatus.ACTIVE,
        *,
        pem: str | None = None,
        ca_id: str | None = None,
        mode: CertificateMode = CertificateMode.DEFAULT,
        unix_s: float | None = None,
    ) -> RegisteredCertificate:
        """Register a certificate; one that is known already only gets the status and its PEM.

        Args:
            certificate_id: SHA-256 of its DER encoding, hexadecimal.
            status: Whether it may connect.
            pem: The certificate.
            ca_id: Certificate id of the registered CA that signed it.
            mode: How it is registered.
            unix_s: The time now.

        Raises:
            ConfigurationError: The id is not 64 hexadecimal digits.
        """
        key = certificate_id.lower()
        if not is_certificate_id(key):
            raise ConfigurationError(
                f"certificate id {certificate_id!r} is not 64 hexadecimal digits",
                "use the SHA-256 of the certificate's DER encoding",
            )
        if key in self._principals.certificates:
            self.set_status(key, status, unix_s=unix_s)
            known = self._principals.certificates[key]
            known.pem = known.pem or pem
            return known
        created_s = self._unix_s if unix_s is None else unix_s
        found = RegisteredCertificate(
            key,
            status,
            pem=pem,
            ca_id=ca_id,
            mode=mode,
            created_s=created_s,
            modified_s=created_s,
            generation=self.fresh_id(key),
        )
        self._principals.certificates[key] = found
        if needs_anchor(found):
            self._trust_changed()
        self._changed()
        return found

    def set_status(
        self, certificate_id: str, status: CertificateStatus, *, unix_s: float | None = None
    ) -> None:
        """Change the status of a certificate. Leaving ACTIVE ends its connections.

        Raises:
            ConfigurationError: It is unknown.
        """
        found = self._principals.certificate(certificate_id)
        if found.status is not status:
            found.version += 1
            if unix_s is not None:
                found.modified_s = unix_s
        found.status = status
        self._changed()

    def delete_certificate(self, certificate_id: str) -> None:
        """Forget a certificate and end its connections; unknown ones are ignored."""
        found = self._principals.delete_certificate(certificate_id)
        if found is not None and needs_anchor(found):
            self._trust_changed()
        self._changed()

    # Policies

    def put_policy(self, policy: Policy, *, unix_s: float | None = None) -> None:
        """Put a policy in force under its name, as its new default version."""
        created_s = self._unix_s if unix_s is None else unix_s
        self.policies.put(policy, created_s, self.fresh_id(policy.name))

    def attach_policy(self, policy_name: str, principal_id: str) -> None:
        """Attach a policy to a certificate or identity; attaching it again changes nothing.

        Raises:
            ConfigurationError: Either is unknown, or it has ten policies already.
        """
        self.policies.in_force(policy_name)
        attached = self._principals.known(principal_id).policies
        if policy_name in attached:
            return
        if len(attached) >= POLICIES_PER_CERTIFICATE_MAX:
            raise ConfigurationError(
                f"certificate {principal_id} has {len(attached)} policies, the most AWS allows",
                "merge policies",
            )
        self._principals.attach_policy(policy_name, principal_id)
        self._changed()

    def detach_policy(self, policy_name: str, principal_id: str) -> None:
        """Detach a policy from a principal; one that is not attached is ignored.

        Raises:
            ConfigurationError: The certificate is unknown.
        """
        if self._principals.detach_policy(policy_name, principal_id):
            self._changed()

    def attach_group_policy(self, policy_name: str, group_name: str) -> None:
        """Attach a policy to a thing group; attaching it again changes nothing.

        Raises:
            ConfigurationError: Either is unknown, or the group has ten policies already.
        """
        self.policies.in_force(policy_name)
        self.groups.attach_policy(policy_name, group_name)

    def detach_group_policy(self, policy_name: str, group_name: str) -> None:
        """Detach a policy from a thing group; one that is not attached is ignored."""
        self.groups.detach_policy(policy_name, group_name)

    # Things

    def put_thing(self, thing: Thing) -> Thing:
        """Store a thing under its name, replacing an older version.

        A thing type that is not known is created, for things that come from a file or a template.

        Returns:
            The thing as it is stored, with its version and id.

        Raises:
            ConfigurationError: The name is empty or longer than 128 characters.
        """
        if not 0 < len(thing.name) <= THING_NAME_CHARACTERS_MAX:
            raise ConfigurationError(
                f"thing name {thing.name!r} must have 1 to {THING_NAME_CHARACTERS_MAX} characters",
                "choose another name",
            )
        if thing.type_name is not None and thing.type_name not in self.types:
            self.types.put(
                thing.type_name,
                ThingType(thing.type_name, self.fresh_id(thing.type_name), created_s=self._unix_s),
            )
        before = self._things.get(thing.name)
        stored = replace(
            thing,
            version=1 if before is None else before.version + 1,
            thing_id=self.fresh_id(thing.name) if before is None else before.thing_id,
        )
        self._things.put(stored)
        # What no connection stands for concerns no connection.
        (self._changed if self._principals.has_thing(thing.name) else self._noted)()
        if self.watcher is not None:
            self.watcher.thing_changed(stored, "CREATED" if before is None else "UPDATED")
        return stored

    def delete_thing(self, name: str) -> None:
        """Forget a thing, its attachments and memberships; unknown ones are ignored."""
        thing = self._things.get(name)
        if thing is None:
            return
        self.groups.forget_thing(name)
        self._things.delete(name)
        for principal_id in self._principals.of_thing(name):
            self.detach_thing(name, principal_id)
        self._noted()
        if self.watcher is not None:
            self.watcher.thing_changed(thing, "DELETED")

    def attach_thing(self, thing_name: str, principal_id: str, *, exclusive: bool = False) -> None:
        """Attach a certificate or identity to a thing.

        Args:
            thing_name: A stored thing.
            principal_id: A registered certificate, or a Cognito identity.
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
        things = self._principals.known(principal_id).things
        others = {name: is_exclusive for name, is_exclusive in things.items() if name != thing_name}
        if others and (exclusive or any(others.values())):
            raise ConfigurationError(
                f"certificate {principal_id} is attached to {sorted(others)}, which rules out an "
                f"exclusive attachment beside it",
                "detach the others first",
            )
        self._principals.attach_thing(thing_name, principal_id, exclusive=exclusive)
        self._changed()

    def detach_thing(self, thing_name: str, principal_id: str) -> None:
        """Detach a principal from a thing; one that is not attached is ignored.

        Raises:
            ConfigurationError: The certificate is unknown.
        """
        if self._principals.detach_thing(thing_name, principal_id):
            self._changed()

    # Small things

    def fresh_id(self, name: str) -> str:
        """An id for something new, in the form of a UUID.

        Ids do not repeat, also not when a name comes again; they are no secrets.
        """
        self._serial += 1
        digest = hashlib.sha256(f"{self._serial}/{name}".encode()).hexdigest()
        return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))

    def set_registration_code(self, code: str | None) -> None:
        """Keep or forget the registration code."""
        self.registration_code = code
        self._noted()

    def set_default_authorizer(self, name: str | None) -> None:
        """Choose the authorizer of connections that name none."""
        self.default_authorizer = name
        self._noted()

    def set_events(self, enabled: dict[str, bool], unix_s: float) -> None:
        """Switch events on and off; those not named stay as they are."""
        self.events = EventConfigurations(
            self.events.enabled | enabled, self.events.created_s or unix_s, unix_s
        )
        self._noted()

    # Keeping

    def dump(self) -> dict[str, Any]:
        """Everything, as a JSON document."""
        return self.saved().document()

    def saved(self) -> Saved:
        """The same without a copy: to be encoded before anything changes."""
        groups = [self.groups.get(name) for name in self.groups.names()]
        return Saved(
            serial=self._serial,
            registration_code=self.registration_code,
            things=list(self._things.values()),
            types=list(self.types.values()),
            groups=[group for group in groups if group is not None],
            members=self.groups.dump_members(),
            policies=list(self.policies.values()),
            certificates=list(self._principals.certificates.values()),
            identities=self._principals.identities,
            authorities=list(self.authorities.values()),
            role_aliases=list(self.role_aliases.values()),
            authorizers=list(self.authorizers.values()),
            default_authorizer=self.default_authorizer,
            tags={name: self.tags.get(name) or {} for name in self.tags.names()},
            events=self.events,
        )

    def load(self, document: Any) -> None:
        """Take over what `dump` gave, in place of everything held now.

        Raises:
            ValueError: The document is damaged; nothing has changed.
        """
        saved = Saved.read(document)
        fresh = Registry(self._unix_s)
        fresh._restore(saved)
        self._serial, self._principals = fresh._serial, fresh._principals
        self._things = fresh._things
        self.groups.adopt(fresh.groups)
        self.policies.adopt(fresh.policies)
        self.types.replace_all((one.name, one) for one in saved.types)
        self.authorities.replace_all((one.ca_id, one) for one in saved.authorities)
        self.role_aliases.replace_all((one.name, one) for one in saved.role_aliases)
        self.authorizers.replace_all((one.name, one) for one in saved.authorizers)
        self.tags.replace_all(saved.tags.items())
        self.registration_code = saved.registration_code
        self.default_authorizer = saved.default_authorizer
        self.events = saved.events
        self._trust_changed()
        self._changed()

    def _restore(self, saved: Saved) -> None:
        saved.check()
        self._serial = saved.serial
        self._things = Things(saved.things)
        for policy in saved.policies:
            self.policies.restore(policy)
        for group in saved.groups:
            self.groups.create(group)
        for name, things in saved.members.items():
            for thing_name in things:
                self.groups.add(thing_name, name)
        self._principals.restore(saved.certificates, saved.identities)

    # Inside

    def _membership_changed(self, thing_name: str, group: ThingGroup, operation: str) -> None:
        thing = self._things.get(thing_name)
        if self.watcher is not None and thing is not None:
            self.watcher.membership_changed(thing, group, operation)

    def _changed(self) -> None:
        self.revision += 1
        self.changes += 1

    def _noted(self) -> None:
        self.changes += 1

    def _trust_changed(self) -> None:
        self.trust_revision += 1
        self.changes += 1
