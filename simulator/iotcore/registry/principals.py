"""Who may connect: certificates and Cognito identities, and what is attached to each.

Keeps the attachments and finds them from both sides. That the policies and things exist is the
registry's business, and so are the rules of what may be attached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from certs.errors import ConfigurationError
from simulator.iotcore.registry.records import Identity, RegisteredCertificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Principal: TypeAlias = RegisteredCertificate | Identity

CERTIFICATE_ID_CHARACTERS: Final = 64
_HEX: Final = frozenset("0123456789abcdef")


class Principals:
    """Certificates by id and identities by id.

    Attributes:
        certificates: Registered certificates, oldest first.
        identities: Identities that something is attached to.
    """

    def __init__(self) -> None:
        self.certificates: dict[str, RegisteredCertificate] = {}
        self.identities: dict[str, Identity] = {}
        # The same attachments seen from the other side.
        self._of_thing: dict[str, dict[str, None]] = {}
        self._with_policy: dict[str, dict[str, None]] = {}

    # Finding

    def find(self, principal_id: str) -> Principal | None:
        """The certificate or identity with this id."""
        return self.certificates.get(principal_id) or self.identities.get(principal_id)

    def certificate(self, certificate_id: str) -> RegisteredCertificate:
        """A registered certificate.

        Raises:
            ConfigurationError: It is unknown.
        """
        found = self.certificates.get(certificate_id)
        if found is None:
            raise ConfigurationError(
                f"certificate {certificate_id} is not registered", "register it first"
            )
        return found

    def known(self, principal_id: str) -> Principal:
        """A registered certificate, or an identity, which may be one nothing is attached to.

        Raises:
            ConfigurationError: It is a certificate and unknown.
        """
        if is_certificate_id(principal_id):
            return self.certificate(principal_id)
        return self.identities.get(principal_id) or Identity()

    def of_thing(self, thing_name: str) -> dict[str, bool]:
        """Principal ids attached to a thing -> whether exclusively."""
        return {
            principal_id: self.known(principal_id).things[thing_name]
            for principal_id in self._of_thing.get(thing_name, ())
        }

    def has_thing(self, thing_name: str) -> bool:
        """Whether anything is attached to a thing."""
        return thing_name in self._of_thing

    def with_policy(self, policy_name: str) -> tuple[str, ...]:
        """Ids of those a policy is attached to."""
        return tuple(self._with_policy.get(policy_name, ()))

    # Changing

    def delete_certificate(self, certificate_id: str) -> RegisteredCertificate | None:
        """Forget a certificate and its attachments; None when it is unknown."""
        found = self.certificates.pop(certificate_id, None)
        if found is not None:
            for name in found.policies:
                _discard(self._with_policy, name, certificate_id)
            for name in found.things:
                _discard(self._of_thing, name, certificate_id)
        return found

    def attach_policy(self, policy_name: str, principal_id: str) -> None:
        """Attach a policy that is not attached yet."""
        self._kept(principal_id).policies.append(policy_name)
        self._with_policy.setdefault(policy_name, {})[principal_id] = None

    def detach_policy(self, policy_name: str, principal_id: str) -> bool:
        """Detach a policy.

        Returns:
            Whether it was attached.

        Raises:
            ConfigurationError: The certificate is unknown.
        """
        found = self.known(principal_id)
        if policy_name not in found.policies:
            return False
        found.policies.remove(policy_name)
        _discard(self._with_policy, policy_name, principal_id)
        self._drop_if_empty(principal_id)
        return True

    def attach_thing(self, thing_name: str, principal_id: str, *, exclusive: bool) -> None:
        """Attach a thing, or change the kind of its attachment."""
        self._kept(principal_id).things[thing_name] = exclusive
        self._of_thing.setdefault(thing_name, {})[principal_id] = None

    def detach_thing(self, thing_name: str, principal_id: str) -> bool:
        """Detach a thing.

        Returns:
            Whether it was attached.

        Raises:
            ConfigurationError: The certificate is unknown.
        """
        if self.known(principal_id).things.pop(thing_name, None) is None:
            return False
        _discard(self._of_thing, thing_name, principal_id)
        self._drop_if_empty(principal_id)
        return True

    # Keeping

    def restore(
        self, certificates: Iterable[RegisteredCertificate], identities: Mapping[str, Identity]
    ) -> None:
        """Take over what a document holds."""
        self.certificates = {one.certificate_id: one for one in certificates}
        self.identities = dict(identities)
        everybody: dict[str, Principal] = {**self.certificates, **self.identities}
        for key, principal in everybody.items():
            for name in principal.policies:
                self._with_policy.setdefault(name, {})[key] = None
            for name in principal.things:
                self._of_thing.setdefault(name, {})[key] = None

    def _kept(self, principal_id: str) -> Principal:
        if is_certificate_id(principal_id):
            return self.certificate(principal_id)
        return self.identities.setdefault(principal_id, Identity())

    def _drop_if_empty(self, principal_id: str) -> None:
        found = self.identities.get(principal_id)
        if found is not None and not found.policies and not found.things:
            del self.identities[principal_id]


def is_certificate_id(text: str) -> bool:
    """Whether text is 64 hexadecimal digits in lower case."""
    return len(text) == CERTIFICATE_ID_CHARACTERS and _HEX.issuperset(text)


def _discard(index: dict[str, dict[str, None]], name: str, principal_id: str) -> None:
    """Take an entry out of an index, and its name with the last one."""
    del index[name][principal_id]
    if not index[name]:
        del index[name]
