"""Certificate authorities of one's own: RegisterCACertificate and its siblings.

Sources: AWS IoT API reference; developer guide, "Manage your CA certificates". CAs that are ACTIVE
and have automatic registration are made known to just-in-time registration; the template of a
`templateName` is the one in force when the CA is registered or updated. IAM roles are kept and
shown, never assumed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

from certs.errors import ConfigurationError
from certs.pem import certificate_id, load_certificate
from simulator.iotcore.control.certificates import is_signed_by, read_pem, validity
from simulator.iotcore.control.failures import (
    AlreadyExists,
    invalid,
    limit_exceeded,
    not_found,
    wrong_certificate,
    wrong_state,
)
from simulator.iotcore.control.reading import ControlMembers, dated
from simulator.iotcore.registry import CertificateMode, RegisteredAuthority
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.members import without_nulls
from simulator.iotcore.services.provisioning_template import (
    BODY_BYTES_MAX,
    ProvisioningTemplate,
    TemplateError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result

SAME_SUBJECT_MAX: Final = 10
"""AWS IoT Core quota "CA certificates with the same subject"."""

AUTHORITIES_MAX: Final = 100
"""CAs of the account. AWS has no such limit; beyond it, LimitExceededException."""

_TEMPLATE_NAME: Final = r"[0-9A-Za-z_-]{1,36}"
_ROLE: Final = r"[\s\S]{20,2048}"


class JustInTimeAuthorities(Protocol):
    """Where CAs with automatic registration are made known: `JustInTime`."""

    def register_authority(
        self,
        certificate_pem: str,
        *,
        auto_registration: bool = True,
        template_body: str | None = None,
    ) -> str:
        """Register a CA, or change one that is registered."""
        ...

    def remove_authority(self, ca_certificate_id: str) -> None:
        """Forget a CA; one that is unknown is ignored."""
        ...


class Authorities:
    """The operations on CAs and on the registration code.

    Args:
        resources: What is shown and changed.
        new_id: Makes registration codes.
        just_in_time: Is told of CAs with automatic registration.
        template_body: Body in force of a provisioning template, or None.
    """

    def __init__(
        self,
        resources: Resources,
        new_id: Callable[[], str],
        just_in_time: JustInTimeAuthorities | None,
        template_body: Callable[[str], str | None],
    ) -> None:
        self._registry = resources.registry
        self._names = resources.names
        self._tags = resources.tags
        self._unix_s = resources.unix_s
        self._new_id = new_id
        self._just_in_time = just_in_time
        self._template_body = template_body

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "GetRegistrationCode": self.get_registration_code,
            "DeleteRegistrationCode": self.delete_registration_code,
            "RegisterCACertificate": self.register_ca_certificate,
            "DescribeCACertificate": self.describe_ca_certificate,
            "UpdateCACertificate": self.update_ca_certificate,
            "DeleteCACertificate": self.delete_ca_certificate,
            "ListCACertificates": self.list_ca_certificates,
        }

    # The registration code

    def get_registration_code(
        self, _request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """GetRegistrationCode: the same until it is deleted."""
        code = self._registry.registration_code
        if code is None:
            code = hashlib.sha256(self._new_id().encode()).hexdigest()
            self._registry.set_registration_code(code)
        return {"registrationCode": code}, []

    def delete_registration_code(
        self, _request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """DeleteRegistrationCode."""
        if self._registry.registration_code is None:
            raise not_found("There is no registration code.")
        self._registry.set_registration_code(None)
        return {}, []

    # CAs

    def register_ca_certificate(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """RegisterCACertificate."""
        members = ControlMembers(request)
        mode = CertificateMode(
            members.choice("certificateMode", tuple(CertificateMode), CertificateMode.DEFAULT)
            or CertificateMode.DEFAULT
        )
        certificate, pem = read_pem(members, "caCertificate")
        if not _may_sign(certificate):
            raise wrong_certificate("The certificate is not a CA certificate.")
        self._check_possession(members, certificate, mode)
        key = certificate_id(certificate)
        if key in self._registry.authorities:
            raise AlreadyExists("CA certificate is already registered.", key, self._arn(key))
        self._check_room(certificate)
        tags, unix_s = members.tags(), self._unix_s(now_s)
        record = RegisteredAuthority(
            ca_id=key,
            pem=pem,
            is_active=members.flag("setAsActive") is True,
            mode=mode,
            auto_registration=members.flag("allowAutoRegistration") is True,
            created_s=unix_s,
            modified_s=unix_s,
            generation=self._registry.fresh_id(key),
        )
        record = self._configured(members, record)
        self._store(record)
        self._tags.put(self._arn(key), tags)
        return {"certificateArn": self._arn(key), "certificateId": key}, []

    def describe_ca_certificate(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """DescribeCACertificate."""
        found = self._known(ControlMembers(request))
        description = self._summary(found) | {
            "certificatePem": found.pem,
            "ownedBy": self._names.account_id,
            "autoRegistrationStatus": "ENABLE" if found.auto_registration else "DISABLE",
            "lastModifiedDate": found.modified_s,
            "customerVersion": found.version,
            "generationId": found.generation,
            "validity": validity(found.pem),
            "certificateMode": found.mode.value,
        }
        configuration = without_nulls(
            {
                "templateBody": found.template_body,
                "templateName": found.template_name,
                "roleArn": found.role_arn,
            }
        )
        shown = {
            "certificateDescription": without_nulls(description),
            "registrationConfig": configuration or None,
        }
        return without_nulls(shown), []

    def update_ca_certificate(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateCACertificate."""
        members = ControlMembers(request)
        found = self._known(members)
        status = members.choice("newStatus", ("ACTIVE", "INACTIVE"))
        automatic = members.choice("newAutoRegistrationStatus", ("ENABLE", "DISABLE"))
        changed = replace(
            found,
            is_active=found.is_active if status is None else status == "ACTIVE",
            auto_registration=(
                found.auto_registration if automatic is None else automatic == "ENABLE"
            ),
            modified_s=self._unix_s(now_s),
            version=found.version + 1,
        )
        if members.flag("removeAutoRegistration") is True:
            changed = replace(
                changed,
                auto_registration=False,
                template_body=None,
                template_name=None,
                role_arn=None,
            )
        self._store(self._configured(members, changed))
        return {}, []

    def delete_ca_certificate(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteCACertificate. Its certificates stay registered."""
        found = self._known(ControlMembers(request))
        if found.is_active:
            raise wrong_state(
                f"CA certificate must be deactivated before deletion (id={found.ca_id})"
            )
        if self._just_in_time is not None:
            self._just_in_time.remove_authority(found.ca_id)
        self._registry.authorities.delete(found.ca_id)
        self._tags.forget(self._arn(found.ca_id))
        return {}, []

    def list_ca_certificates(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListCACertificates."""
        members = ControlMembers(request)
        template = members.text("templateName", pattern=_TEMPLATE_NAME)
        rows = (
            (dated(one.created_s, one.ca_id), self._summary(one))
            for one in self._registry.authorities.values()
            if template in {None, one.template_name}
        )
        return members.marked_listing("certificates", rows, by_date=True), []

    # Inside

    def _check_possession(
        self, members: ControlMembers, certificate: x509.Certificate, mode: CertificateMode
    ) -> None:
        """The proof that the CA's key is one's own, in DEFAULT mode."""
        if mode is CertificateMode.SNI_ONLY:
            if "verificationCertificate" in members:
                raise invalid("verificationCertificate must be empty in the mode SNI_ONLY")
            return
        if "verificationCertificate" not in members:
            raise invalid("verificationCertificate is required in the mode DEFAULT")
        proof, _ = read_pem(members, "verificationCertificate")
        if not is_signed_by(proof, certificate):
            raise wrong_certificate("The CA certificate did not sign the verification certificate.")
        code = self._registry.registration_code
        names = proof.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if code is None or code not in {name.value for name in names}:
            raise ServiceFailure(
                "RegistrationCodeValidationException",
                "The common name of the verification certificate is not the registration code.",
            )

    def _check_room(self, certificate: x509.Certificate) -> None:
        known = self._registry.authorities.values()
        if len(known) >= AUTHORITIES_MAX:
            raise limit_exceeded(f"{AUTHORITIES_MAX} CA certificates are registered")
        same = sum(
            load_certificate(one.pem.encode(), one.ca_id).subject == certificate.subject
            for one in known
        )
        if same >= SAME_SUBJECT_MAX:
            raise limit_exceeded(f"{SAME_SUBJECT_MAX} CA certificates have the same subject")

    def _configured(
        self, members: ControlMembers, record: RegisteredAuthority
    ) -> RegisteredAuthority:
        """The record with the `registrationConfig` of a request, if it has one."""
        if "registrationConfig" not in members:
            return record
        given = members.inside("registrationConfig")
        body = given.text("templateBody", longest=BODY_BYTES_MAX)
        name = given.text("templateName", pattern=_TEMPLATE_NAME)
        role_arn = given.text("roleArn", pattern=_ROLE)
        if body and name:
            raise invalid("registrationConfig has either templateBody or templateName")
        if name is not None and self._template_body(name) is None:
            raise not_found(f"Unable to find template named {name}")
        if body:
            try:
                ProvisioningTemplate(body)
            except TemplateError as error:
                raise invalid(f"The template body is invalid: {error}") from error
        return replace(record, template_body=body or None, template_name=name, role_arn=role_arn)

    def _store(self, record: RegisteredAuthority) -> None:
        if self._just_in_time is not None:
            if record.is_active and record.auto_registration:
                name = record.template_name
                body = record.template_body if name is None else self._template_body(name)
                try:
                    self._just_in_time.register_authority(record.pem, template_body=body)
                except ConfigurationError as error:
                    raise invalid(f"The CA certificate cannot be used: {error.what}") from error
            else:
                self._just_in_time.remove_authority(record.ca_id)
        self._registry.authorities.put(record.ca_id, record)

    def _known(self, members: ControlMembers) -> RegisteredAuthority:
        key = members.certificate_id()
        found = self._registry.authorities.get(key)
        if found is None:
            raise not_found(f"CA certificate {key} not found.")
        return found

    def _arn(self, key: str) -> str:
        return self._names.arn("cacert", key)

    def _summary(self, found: RegisteredAuthority) -> Result:
        return {
            "certificateArn": self._arn(found.ca_id),
            "certificateId": found.ca_id,
            "status": "ACTIVE" if found.is_active else "INACTIVE",
            "creationDate": found.created_s,
        }


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
