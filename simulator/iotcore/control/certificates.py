"""Certificates: making one, registering one, changing its state, deleting it.

Sources: AWS IoT API reference; developer guide, "X.509 client certificates", "Manually register
client certificates" and "Register a client certificate signed by an unregistered CA". Transfers
between accounts are not served: there is one account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from certs.authority import key_weakness
from certs.errors import ConfigurationError
from certs.pem import certificate_id, load_certificate
from simulator.iotcore.control.failures import (
    AlreadyExists,
    delete_conflict,
    invalid,
    not_found,
    wrong_certificate,
    wrong_state,
)
from simulator.iotcore.control.reading import ControlMembers, dated
from simulator.iotcore.registry import CertificateMode, CertificateStatus
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from cryptography import x509

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.registry import RegisteredAuthority, RegisteredCertificate
    from simulator.iotcore.services.members import Request, Result
    from simulator.iotcore.services.provisioning_authority import (
        CertificateAuthority,
        IssuedCertificate,
    )

PEM_CHARACTERS_MAX: Final = 65_536
CSR_CHARACTERS_MAX: Final = 4_096
_SETTABLE: Final = (
    CertificateStatus.ACTIVE,
    CertificateStatus.INACTIVE,
    CertificateStatus.REVOKED,
)


class Certificates:
    """The operations on client certificates.

    Args:
        resources: What is shown and changed.
        authority: Makes certificates.
    """

    def __init__(self, resources: Resources, authority: CertificateAuthority) -> None:
        self._registry = resources.registry
        self._names = resources.names
        self._authority = authority
        self._unix_s = resources.unix_s

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "CreateKeysAndCertificate": self.create_keys_and_certificate,
            "CreateCertificateFromCsr": self.create_certificate_from_csr,
            "RegisterCertificate": self.register_certificate,
            "RegisterCertificateWithoutCA": self.register_certificate_without_ca,
            "DescribeCertificate": self.describe_certificate,
            "UpdateCertificate": self.update_certificate,
            "DeleteCertificate": self.delete_certificate,
            "ListCertificates": self.list_certificates,
            "ListCertificatesByCA": self.list_certificates_by_ca,
        }

    # Making

    def create_keys_and_certificate(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """CreateKeysAndCertificate."""
        status = _initial_status(ControlMembers(request))
        issued = self._authority.create(self._unix_s(now_s))
        keys = {"PublicKey": issued.public_key_pem, "PrivateKey": issued.private_key_pem}
        return self._issued(issued, status, now_s) | {"keyPair": without_nulls(keys)}, []

    def create_certificate_from_csr(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """CreateCertificateFromCsr."""
        members = ControlMembers(request)
        csr = members.required_text("certificateSigningRequest", longest=CSR_CHARACTERS_MAX)
        status = _initial_status(members)
        try:
            issued = self._authority.sign(csr, self._unix_s(now_s))
        except ConfigurationError as error:
            raise invalid(f"Certificate signing request is invalid: {error.what}") from error
        return self._issued(issued, status, now_s), []

    def _issued(self, issued: IssuedCertificate, status: CertificateStatus, now_s: float) -> Result:
        self._registry.register_certificate(
            issued.certificate_id,
            status,
            pem=issued.certificate_pem,
            unix_s=self._unix_s(now_s),
        )
        return self._named(issued.certificate_id) | {"certificatePem": issued.certificate_pem}

    # Registering

    def register_certificate(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """RegisterCertificate: one that a registered CA signed, in the mode of that CA."""
        members = ControlMembers(request)
        status = _registered_status(members)
        certificate, pem = read_pem(members, "certificatePem")
        authority = self._signer(members, certificate)
        if not authority.is_active:
            raise wrong_state(f"CA certificate {authority.ca_id} is not ACTIVE")
        return self._register(certificate, pem, status, now_s, authority.ca_id, authority.mode), []

    def register_certificate_without_ca(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """RegisterCertificateWithoutCA."""
        members = ControlMembers(request)
        status = _registered_status(members)
        certificate, pem = read_pem(members, "certificatePem")
        mode = CertificateMode.SNI_ONLY
        return self._register(certificate, pem, status, now_s, None, mode), []

    def _register(
        self,
        certificate: x509.Certificate,
        pem: str,
        status: CertificateStatus,
        now_s: float,
        ca_id: str | None,
        mode: CertificateMode,
    ) -> Result:
        weakness = key_weakness(certificate.public_key())
        if weakness is not None:
            raise wrong_certificate(f"The key of the certificate {weakness}")
        key = certificate_id(certificate)
        if self._registry.certificate(key) is not None:
            raise AlreadyExists(
                "The certificate is already registered.", key, self._names.arn("cert", key)
            )
        self._registry.register_certificate(
            key, status, pem=pem, ca_id=ca_id, mode=mode, unix_s=self._unix_s(now_s)
        )
        return self._named(key)

    def _signer(
        self, members: ControlMembers, certificate: x509.Certificate
    ) -> RegisteredAuthority:
        """The registered CA that signed a certificate."""
        if "caCertificatePem" in members:
            given, _ = read_pem(members, "caCertificatePem")
            found = self._registry.authorities.get(certificate_id(given))
            if found is None:
                raise wrong_certificate("CA certificate is not registered.")
            if not is_signed_by(certificate, given):
                raise wrong_certificate("The certificate is not signed by the CA certificate.")
            return found
        issuers = [
            authority
            for authority in self._registry.authorities.values()
            if load_certificate(authority.pem.encode(), authority.ca_id).subject
            == certificate.issuer
        ]
        if len(issuers) > 1:
            raise ServiceFailure(
                "CertificateConflictException",
                "Several CA certificates have this subject: caCertificatePem is required",
                409,
            )
        if not issuers or not is_signed_by(
            certificate, load_certificate(issuers[0].pem.encode(), issuers[0].ca_id)
        ):
            raise wrong_certificate("CA certificate is not registered.")
        return issuers[0]

    # Showing and changing

    def describe_certificate(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeCertificate."""
        found = self._known(ControlMembers(request))
        description = self._summary(found) | {
            "certificatePem": found.pem,
            "caCertificateId": found.ca_id,
            "ownedBy": self._names.account_id,
            "lastModifiedDate": found.modified_s,
            "customerVersion": found.version,
            "generationId": found.generation,
            "validity": None if found.pem is None else validity(found.pem),
        }
        return {"certificateDescription": without_nulls(description)}, []

    def update_certificate(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateCertificate. REVOKED is final (developer guide, "Revoke a client certificate")."""
        members = ControlMembers(request)
        found = self._known(members)
        wanted = members.required_text("newStatus")
        if wanted not in _SETTABLE:
            raise invalid(f"The status {wanted[:64]} cannot be set")
        status = CertificateStatus(wanted)
        if found.status is CertificateStatus.REVOKED and status is not found.status:
            raise wrong_state(f"Certificate {found.certificate_id} is revoked")
        self._registry.set_status(found.certificate_id, status, unix_s=self._unix_s(now_s))
        return {}, []

    def delete_certificate(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteCertificate. With `forceDelete` policies may still be attached, things not."""
        members = ControlMembers(request)
        force = members.flag("forceDelete") is True
        found = self._known(members)
        if found.status is CertificateStatus.ACTIVE:
            raise wrong_state(
                f"Certificate must be deactivated (not ACTIVE) before deletion "
                f"(id={found.certificate_id})"
            )
        if found.things:
            raise delete_conflict(
                f"Things must be detached before deletion (arn: {self._arn(found)})"
            )
        if found.policies and not force:
            raise delete_conflict(
                f"Certificate policies must be detached before deletion (arn: {self._arn(found)})"
            )
        self._registry.delete_certificate(found.certificate_id)
        return {}, []

    def list_certificates(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListCertificates."""
        return self._listing(ControlMembers(request), None), []

    def list_certificates_by_ca(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListCertificatesByCA."""
        members = ControlMembers(request)
        return self._listing(members, members.certificate_id("caCertificateId")), []

    # Inside

    def _listing(self, members: ControlMembers, ca_id: str | None) -> Result:
        rows = (
            (dated(one.created_s, one.certificate_id), one)
            for one in self._registry.certificates()
            if ca_id in {None, one.ca_id}
        )
        return members.marked_listing("certificates", rows, self._summary, by_date=True)

    def _known(self, members: ControlMembers) -> RegisteredCertificate:
        key = members.certificate_id()
        found = self._registry.certificate(key)
        if found is None:
            raise not_found(f"The certificate given in the principal does not exist. (id={key})")
        return found

    def _arn(self, found: RegisteredCertificate) -> str:
        return self._names.arn("cert", found.certificate_id)

    def _named(self, key: str) -> Result:
        return {"certificateArn": self._names.arn("cert", key), "certificateId": key}

    def _summary(self, found: RegisteredCertificate) -> Result:
        return self._named(found.certificate_id) | {
            "status": found.status.value,
            "certificateMode": found.mode.value,
            "creationDate": found.created_s,
        }


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether a CA signed a certificate: names and signature."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def validity(pem: str) -> Result | None:
    """`validity` of a certificate, or None when it cannot be read."""
    try:
        certificate = load_certificate(pem.encode(errors="replace"), "the certificate")
    except ConfigurationError:
        return None
    return {
        "notBefore": certificate.not_valid_before_utc.timestamp(),
        "notAfter": certificate.not_valid_after_utc.timestamp(),
    }


def read_pem(members: ControlMembers, name: str) -> tuple[x509.Certificate, str]:
    """A PEM member that must be there: the certificate and its text.

    Raises:
        ServiceFailure: CertificateValidationException: it cannot be read.
    """
    pem = members.required_text(name, longest=PEM_CHARACTERS_MAX)
    if "-----BEGIN" not in pem:
        raise wrong_certificate(f"{name} is not PEM")
    try:
        return load_certificate(pem.encode(errors="replace"), name), pem
    except ConfigurationError as error:
        raise wrong_certificate(f"{name} is invalid: {error.what}") from error


def _initial_status(members: ControlMembers) -> CertificateStatus:
    active = members.flag("setAsActive") is True
    return CertificateStatus.ACTIVE if active else CertificateStatus.INACTIVE


def _registered_status(members: ControlMembers) -> CertificateStatus:
    """The status a request to register asks for; INACTIVE when it does not say."""
    wanted = members.text("status")
    if wanted is None:
        return _initial_status(members)
    if wanted not in _SETTABLE:
        raise invalid(f"A certificate cannot be registered as {wanted[:64]}")
    return CertificateStatus(wanted)
