"""What the broker knows about the other end of a connection: its certificate and its address.

Pure: a certificate arrives as DER bytes that TLS has already verified. The certificate id is the
SHA-256 of the DER encoding in hexadecimal, as AWS IoT computes it. Names are read from the
certificate only when a policy asks for them.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class ClientCertificate:
    """A client certificate that TLS accepted.

    Args:
        der: The certificate, DER encoded.
    """

    def __init__(self, der: bytes) -> None:
        self._der = der
        self.certificate_id = hashlib.sha256(der).hexdigest()

    @cached_property
    def policy_values(self) -> dict[str, tuple[str, ...]]:
        """Policy variables taken from the certificate, by lower-case name.

        A name that cannot be read (TLS libraries accept more than X.509 allows) contributes
        nothing, so statements that need it do not match.
        """
        values: dict[str, tuple[str, ...]] = {"iot:certificateid": (self.certificate_id,)}
        try:
            certificate = x509.load_der_x509_certificate(self._der)
            for side, name in (("subject", certificate.subject), ("issuer", certificate.issuer)):
                values.update(_name_values(f"iot:certificate.{side}", name))
            values["iot:certificate.serialnumber"] = (f"{certificate.serial_number:x}",)
        except ValueError:
            return {"iot:certificateid": (self.certificate_id,)}
        return values


def _name_values(prefix: str, name: x509.Name) -> Iterator[tuple[str, tuple[str, ...]]]:
    for field, oid in _NAME_FIELDS.items():
        found = tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))
        if found:
            yield f"{prefix}.{field.lower()}", found


class Peer:
    """The other end of a connection.

    Args:
        certificate: None when the transport is not mutual TLS, which the broker refuses.
        source_ip: The address as text.
    """

    __slots__ = ("certificate", "source_ip")

    def __init__(self, certificate: ClientCertificate | None, source_ip: str) -> None:
        self.certificate = certificate
        self.source_ip = source_ip
