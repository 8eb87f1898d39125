"""Just-in-time registration and provisioning (JITR, JITP): certificates of one's own CA.

Owns the registered CAs and what happens when a certificate of theirs connects for the first time.
Sources: AWS IoT Core developer guide, "Register a client certificate when the client connects to
AWS IoT just-in-time registration" and "Just-in-time provisioning"; AWS IoT API reference,
RegisterCACertificate. Knows nothing about connections: the broker asks `first_connect` on the
CONNECT of a certificate that is not active, and closes the connection whatever comes of it.

What AWS does not say and was chosen here: the event is published for CAs with a template, too; a
device that cannot be provisioned stays PENDING_ACTIVATION and is tried again at its next CONNECT.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from certs.errors import ConfigurationError
from certs.pem import certificate_id, certificate_pem, load_certificate
from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.registry import CertificateStatus
from simulator.iotcore.services.provisioning_changes import apply
from simulator.iotcore.services.provisioning_template import (
    ProvisioningRefusal,
    ProvisioningTemplate,
    TemplateError,
)
from simulator.iotcore.services.saved import restored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry

AUTHORITIES_MAX: Final = 100
"""Registered CAs. AWS has a quota per subject name only."""

CERTIFICATES_MAX: Final = 100_000
"""Certificates registered by connecting. Beyond, further ones are ignored and counted."""

# Guide, "Just-in-time provisioning": parameter -> attribute type of the subject.
_PARAMETERS: Final = {
    "AWS::IoT::Certificate::Country": NameOID.COUNTRY_NAME,
    "AWS::IoT::Certificate::Organization": NameOID.ORGANIZATION_NAME,
    "AWS::IoT::Certificate::OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "AWS::IoT::Certificate::DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "AWS::IoT::Certificate::StateName": NameOID.STATE_OR_PROVINCE_NAME,
    "AWS::IoT::Certificate::CommonName": NameOID.COMMON_NAME,
    "AWS::IoT::Certificate::SerialNumber": NameOID.SERIAL_NUMBER,
}


class _Authority(msgspec.Struct):
    """A registered CA as it is kept."""

    certificate_pem: str
    auto_registration: bool = True
    template_body: str | None = None


class _Registered(msgspec.Struct):
    """A certificate that was registered by connecting."""

    ca_certificate_id: str
    registered_unix_ms: int


class _Saved(msgspec.Struct):
    authorities: list[_Authority]
    registered: dict[str, _Registered]


class JustInTime:
    """The registered CAs, at most 100, and the certificates that came with them.

    Args:
        registry: What is changed.
        account: Named in the events.
        unix_s_at_zero: Unix time when the broker's clock shows zero.

    Attributes:
        provisioned: How many devices were provisioned.
        failed: How many times provisioning failed.
        ignored: How many certificates were ignored because there were too many.
        last_failure: Why provisioning failed last.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        account: Account,
        unix_s_at_zero: float,
    ) -> None:
        self.provisioned = 0
        self.failed = 0
        self.ignored = 0
        self.last_failure: str | None = None
        self._registry = registry
        self._account_id = account.account_id
        self._unix_s_at_zero = unix_s_at_zero
        self._authorities: dict[str, _Authority] = {}
        self._certificates: dict[str, x509.Certificate] = {}
        self._registered: dict[str, _Registered] = {}

    # The registered CAs

    def register_authority(
        self,
        certificate_pem: str,
        *,
        auto_registration: bool = True,
        template_body: str | None = None,
    ) -> str:
        """Register a CA, or change one that is registered.

        Args:
            certificate_pem: Its certificate.
            auto_registration: Whether its certificates are registered when they connect.
            template_body: The provisioning template (JITP); without one, an event only (JITR).

        Returns:
            Its certificate id.

        Raises:
            ConfigurationError: The certificate is no CA, the template is invalid, or there are 100
                CAs.
        """
        certificate = load_certificate(certificate_pem.encode(errors="replace"), "the CA")
        if not _is_authority(certificate):
            raise ConfigurationError(
                "the certificate is no certificate authority", "name the certificate of a CA"
            )
        if template_body is not None:
            try:
                ProvisioningTemplate(template_body)
            except TemplateError as error:
                raise ConfigurationError(
                    f"the provisioning template is invalid: {error}", "correct the template"
                ) from error
        key = certificate_id(certificate)
        if key not in self._authorities and len(self._authorities) >= AUTHORITIES_MAX:
            raise ConfigurationError(
                f"{AUTHORITIES_MAX} CAs are registered", "remove one that is not needed"
            )
        self._authorities[key] = _Authority(certificate_pem, auto_registration, template_body)
        self._certificates[key] = certificate
        return key

    def remove_authority(self, ca_certificate_id: str) -> None:
        """Forget a CA; one that is unknown is ignored. Its certificates stay registered."""
        self._authorities.pop(ca_certificate_id, None)
        self._certificates.pop(ca_certificate_id, None)

    @property
    def authorities(self) -> tuple[str, ...]:
        """Certificate ids of the registered CAs."""
        return tuple(self._authorities)

    def authority_pems(self) -> list[str]:
        """The certificates of the CAs, which the broker's TLS must trust."""
        return [authority.certificate_pem for authority in self._authorities.values()]

    # Devices

    def first_connect(self, der: bytes, source_ip: str, now_s: float) -> Sequence[Answer]:
        """A CONNECT with a certificate that is not active.

        Nothing happens unless the certificate is unknown or was registered by an earlier CONNECT
        and is still PENDING_ACTIVATION, is valid now, and is signed by a registered CA with
        automatic registration.

        Args:
            der: The certificate, DER encoded.
            source_ip: Where the device connects from.
            now_s: The time now.

        Returns:
            The event on `$aws/events/certificates/registered/<caCertificateId>`.
        """
        try:
            certificate = load_certificate(der, "the device's certificate")
        except ConfigurationError:
            return ()
        key = certificate_id(certificate)
        ca_id = self._issuer(certificate, key, now_s)
        if ca_id is None:
            return ()
        # A certificate that was deleted meanwhile comes in anew.
        is_known = self._registry.certificate(key) is not None
        earlier = self._registered.get(key) if is_known else None
        if earlier is None:
            if len(self._registered) >= CERTIFICATES_MAX:
                self.ignored += 1
                return ()
            self._registry.register_certificate(
                key,
                CertificateStatus.PENDING_ACTIVATION,
                pem=certificate_pem(certificate).decode(),
                ca_id=ca_id,
                unix_s=now_s + self._unix_s_at_zero,
            )
            self._registered[key] = _Registered(ca_id, self._unix_ms(now_s))
        event = self._event(ca_id, key, earlier, source_ip, now_s)
        body = self._authorities[ca_id].template_body
        if body is not None:
            self._provision(ProvisioningTemplate(body), certificate, key)
        return [event]

    def _issuer(self, certificate: x509.Certificate, key: str, now_s: float) -> str | None:
        """The registered CA that may bring this certificate in."""
        known = self._registry.certificate(key)
        if known is not None and (
            known.status is not CertificateStatus.PENDING_ACTIVATION or key not in self._registered
        ):
            return None
        now = datetime.fromtimestamp(now_s + self._unix_s_at_zero, UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return None
        for ca_id, authority in self._certificates.items():
            if self._authorities[ca_id].auto_registration and _signed(certificate, authority):
                return ca_id
        return None

    def _provision(
        self, template: ProvisioningTemplate, certificate: x509.Certificate, key: str
    ) -> None:
        try:
            parameters = _parameters(template, certificate)
            apply(template.resolve(parameters, key), key, self._registry)
        except ProvisioningRefusal as refusal:
            self.failed += 1
            self.last_failure = f"{refusal.code}: {refusal.message}"
        else:
            self.provisioned += 1

    def _event(
        self, ca_id: str, key: str, earlier: _Registered | None, source_ip: str, now_s: float
    ) -> Answer:
        document = {
            "certificateId": key,
            "caCertificateId": ca_id,
            "timestamp": self._unix_ms(now_s),
            "certificateStatus": CertificateStatus.PENDING_ACTIVATION.value,
            "awsAccountId": self._account_id,
            "certificateRegistrationTimestamp": (
                None if earlier is None else str(earlier.registered_unix_ms)
            ),
            "sourceIp": source_ip,
        }
        topic = f"$aws/events/certificates/registered/{ca_id}"
        return Answer(Message(topic, msgspec.json.encode(document), 1, now_s))

    def _unix_ms(self, now_s: float) -> int:
        return round((now_s + self._unix_s_at_zero) * 1000)

    def status(self) -> dict[str, Any]:
        """CAs, and what became of devices that came with their certificates."""
        return {
            "authorities": len(self._authorities),
            "provisioned": self.provisioned,
            "failed": self.failed,
            "ignored": self.ignored,
            "last_failure": self.last_failure,
        }

    # Keeping

    def dump(self) -> dict[str, Any]:
        """The CAs, the certificates they brought in, and groups."""
        return {
            "authorities": msgspec.to_builtins(list(self._authorities.values())),
            "registered": msgspec.to_builtins(self._registered),
        }

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave. The registry is kept elsewhere.

        Raises:
            ValueError: The document is damaged.
        """
        saved = restored(document, _Saved, "just-in-time registration")
        self._authorities, self._certificates = {}, {}
        for authority in saved.authorities:
            self.register_authority(
                authority.certificate_pem,
                auto_registration=authority.auto_registration,
                template_body=authority.template_body,
            )
        self._registered = saved.registered


def _parameters(template: ProvisioningTemplate, certificate: x509.Certificate) -> dict[str, str]:
    """What a template may use of a certificate's subject.

    Raises:
        ProvisioningRefusal: The template declares a parameter that the certificate does not have.
    """
    parameters = {
        name: str(found[0].value)
        for name, oid in _PARAMETERS.items()
        if (found := certificate.subject.get_attributes_for_oid(oid))
    }
    for name in template.parameters:
        if name in _PARAMETERS and name not in parameters:
            raise ProvisioningRefusal(
                "InvalidParameters", f"The certificate has no value for {name}"
            )
    return parameters


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
