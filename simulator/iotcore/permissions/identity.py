"""Who a client is, and what policies see of that.

A principal is a client certificate, the identity behind AWS credentials, or what a custom
authorizer made of a token. Pure: each was verified before it comes here. Names are read from a
certificate only when a policy asks for them. Knows nothing about sockets or packets.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from simulator.iotcore.permissions.policy import Policy, allows_everything

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulator.iotcore.registry import Registry, Thing

# Developer guide, "Certificate policy variables": variable name -> attribute type.
_NAME_FIELDS = {
    "CommonName": NameOID.COMMON_NAME,
    "Country": NameOID.COUNTRY_NAME,
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "GenerationQualifier": NameOID.GENERATION_QUALIFIER,
    "GivenName": NameOID.GIVEN_NAME,
    "Initials": NameOID.INITIALS,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "Pseudonym": NameOID.PSEUDONYM,
    "SerialNumber": NameOID.SERIAL_NUMBER,
    "State": NameOID.STATE_OR_PROVINCE_NAME,
    "Surname": NameOID.SURNAME,
    "Title": NameOID.TITLE,
}


IAM_ALLOWS_EVERYTHING: Final = allows_everything("iam")
"""In the place of IAM, which is not emulated."""


class Principal:
    """Who a client is, whichever way it proved that. What it may do hangs on this.

    Args:
        identifier: `principalIdentifier` of lifecycle events, and what AttachPolicy names.
    """

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier

    @property
    def policy_values(self) -> Mapping[str, tuple[str, ...]]:
        """Policy variables that only this kind of principal has, by lower-case name."""
        return {}

    def is_admitted(self, registry: Registry) -> bool:  # noqa: ARG002 - certificates ask it
        """Whether it may connect at all, policies aside."""
        return True

    def policies(self, registry: Registry, client_id: str | None = None) -> tuple[Policy, ...]:
        """The policies in force for it.

        Args:
            registry: Where they are attached.
            client_id: Of its connection, if it has one.
        """
        return registry.policies_of(self.identifier, client_id)

    def thing(self, registry: Registry, client_id: str) -> Thing | None:
        """The thing that its connection with this client id stands for."""
        return registry.thing_of(self.identifier, client_id)

    def exclusive_thing(self, registry: Registry) -> Thing | None:
        """The thing that its connections stand for whatever their client id."""
        return registry.exclusive_thing_of(self.identifier)


class ClientCertificate(Principal):
    """A client certificate that TLS accepted.

    Its identifier is the certificate id: the SHA-256 of the DER encoding in hexadecimal, as AWS
    IoT computes it.

    Args:
        der: The certificate, DER encoded.
    """

    def __init__(self, der: bytes) -> None:
        super().__init__(hashlib.sha256(der).hexdigest())
        self.der = der

    @property
    def certificate_id(self) -> str:
        """The identifier by its other name."""
        return self.identifier

    def is_admitted(self, registry: Registry) -> bool:
        """Whether it is registered and ACTIVE."""
        return registry.is_active(self.identifier)

    @cached_property
    def policy_values(self) -> dict[str, tuple[str, ...]]:
        """Policy variables taken from the certificate, by lower-case name.

        A name that cannot be read (TLS libraries accept more than X.509 allows) contributes
        nothing, so statements that need it do not match.
        """
        values: dict[str, tuple[str, ...]] = {"iot:certificateid": (self.identifier,)}
        try:
            certificate = x509.load_der_x509_certificate(self.der)
            for side, name in (("subject", certificate.subject), ("issuer", certificate.issuer)):
                values.update(_name_values(f"iot:certificate.{side}", name))
            values["iot:certificate.serialnumber"] = (f"{certificate.serial_number:x}",)
        except ValueError:
            return {"iot:certificateid": (self.identifier,)}
        return values


def _name_values(prefix: str, name: x509.Name) -> Iterator[tuple[str, tuple[str, ...]]]:
    for field, oid in _NAME_FIELDS.items():
        found = tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))
        if found:
            yield f"{prefix}.{field.lower()}", found


class SignedIdentity(Principal):
    """The identity behind AWS credentials, proved with a Signature Version 4.

    IAM is not emulated: it may do everything, unless IoT policies are attached to the identity;
    then those decide alone. At AWS an authenticated Cognito identity needs both the IAM role and
    the IoT policy (developer guide, "Authorization with Amazon Cognito identities").

    Args:
        identifier: The id of a Cognito identity, or whatever stands for the credentials.
    """

    def policies(self, registry: Registry, client_id: str | None = None) -> tuple[Policy, ...]:
        """What is attached, else everything."""
        return super().policies(registry, client_id) or (IAM_ALLOWS_EVERYTHING,)


class AuthorizedToken(Principal):
    """What a custom authorizer said of a client: a name of its choice and its own policies.

    The registry has no part in it. Without policies it may not even connect, which is also how a
    client that was not authenticated is refused.

    Args:
        identifier: The authorizer's `principalId`.
        granted: The policies; may be replaced when the authorizer is asked again.
    """

    def __init__(self, identifier: str, granted: tuple[Policy, ...] = ()) -> None:
        super().__init__(identifier)
        self.granted = granted

    def policies(
        self,
        registry: Registry,  # noqa: ARG002 - it has its own
        client_id: str | None = None,  # noqa: ARG002 - same
    ) -> tuple[Policy, ...]:
        """What the authorizer granted."""
        return self.granted

    def thing(self, registry: Registry, client_id: str) -> Thing | None:  # noqa: ARG002 - no thing
        """None: things have certificates and Cognito identities only."""
        return None

    def exclusive_thing(self, registry: Registry) -> Thing | None:  # noqa: ARG002 - no thing
        """None, as above."""
        return None
