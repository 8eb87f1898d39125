"""What a configuration wants in the account from the start: authorizers, templates, CAs, events.

Everything goes through the operations of the API, so that what a configuration makes is what a
script could have made, with the same checks. What is there already, because it was kept, is brought
to what the configuration says; what it does not name stays. Reads the files it names.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from certs.errors import ConfigurationError, StorageError
from certs.pem import certificate_id, load_certificate
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.iotcore.cloud import Cloud
    from simulator.iotcore.configuration.model import (
        CertificateAuthority,
        CoreConfiguration,
        CustomAuthorizer,
        ProvisioningTemplate,
    )

FILE_BYTES_MAX: Final = 256 * 1024


def furnish(cloud: Cloud, configuration: CoreConfiguration, now_s: float) -> None:
    """Put into an account what a configuration names. Nobody is connected yet.

    Args:
        cloud: The account.
        configuration: What it shall have.
        now_s: The time now, on the broker's clock.

    Raises:
        ConfigurationError: A file is missing or wrong, or the account refuses what it says.
        StorageError: A file cannot be read.
    """
    furnishing = _Furnishing(cloud, now_s)
    for authorizer in configuration.authorizers:
        furnishing.put_authorizer(authorizer)
    for template in configuration.provisioning_templates:
        furnishing.put_template(template)
    for authority in configuration.certificate_authorities:
        furnishing.put_authority(authority)
    if configuration.events:
        wanted = {kind: {"Enabled": True} for kind in configuration.events}
        furnishing.call("events", "UpdateEventConfigurations", eventConfigurations=wanted)


class _Furnishing:
    def __init__(self, cloud: Cloud, now_s: float) -> None:
        self._cloud = cloud
        self._now_s = now_s
        # Nothing assumes it: there is no IAM here. The API asks for one all the same.
        self._role_arn = f"arn:aws:iam::{cloud.account.account_id}:role/stand-in"

    def put_authorizer(self, wanted: CustomAuthorizer) -> None:
        where, registry = f"authorizers: {wanted.name}", self._cloud.registry
        if wanted.name in registry.authorizers:
            if registry.default_authorizer == wanted.name:
                self.call(where, "ClearDefaultAuthorizer")
            self.call(where, "DeleteAuthorizer", authorizerName=wanted.name)
        members: dict[str, Any] = {
            "authorizerName": wanted.name,
            "authorizerFunctionArn": wanted.function,
            "signingDisabled": not wanted.public_keys,
            "status": "ACTIVE",
        }
        if wanted.token_key is not None:
            members["tokenKeyName"] = wanted.token_key
        if wanted.public_keys:
            members["tokenSigningPublicKeys"] = {
                name: _read(where, path) for name, path in wanted.public_keys.items()
            }
        self.call(where, "CreateAuthorizer", **members)
        if wanted.is_default:
            self.call(where, "SetDefaultAuthorizer", authorizerName=wanted.name)

    def put_template(self, wanted: ProvisioningTemplate) -> None:
        where = f"provisioning_templates: {wanted.name}"
        service = self._cloud.provisioning
        named = {"templateName": wanted.name}
        members: dict[str, Any] = {
            **named,
            "templateBody": _read(where, wanted.body),
            "type": wanted.type,
            "enabled": wanted.enabled,
            "provisioningRoleArn": self._role_arn,
        }
        if wanted.hook is not None:
            members["preProvisioningHook"] = {"targetArn": wanted.hook}
        with _refused(where):
            if service.template_body(wanted.name) is not None:
                service.delete_provisioning_template(named)
            service.create_provisioning_template(members, self._now_s)

    def put_authority(self, wanted: CertificateAuthority) -> None:
        where = f"certificate_authorities: {wanted.certificate}"
        pem = _read(where, wanted.certificate)
        key = certificate_id(load_certificate(pem.encode(), str(wanted.certificate)))
        if key in self._cloud.registry.authorities:
            # It may have more or less than before, so it is told anew.
            self.call(where, "UpdateCACertificate", certificateId=key, newStatus="INACTIVE")
            self.call(where, "DeleteCACertificate", certificateId=key)
        members: dict[str, Any] = {
            "caCertificate": pem,
            # Whoever can name the file need not prove to have the key.
            "certificateMode": "SNI_ONLY",
            "setAsActive": True,
            "allowAutoRegistration": wanted.auto_registration,
        }
        if wanted.template is not None:
            members["registrationConfig"] = {
                "templateName": wanted.template,
                "roleArn": self._role_arn,
            }
        self.call(where, "RegisterCACertificate", **members)

    def call(self, where: str, operation: str, **members: Any) -> None:
        with _refused(where):
            self._cloud.control.operations()[operation](members, self._now_s)


@contextmanager
def _refused(where: str) -> Iterator[None]:
    """Turn a refusal of the account into an error about the configuration."""
    try:
        yield
    except ServiceFailure as failure:
        raise ConfigurationError(f"{where}: {failure}", "correct the configuration") from failure


def _read(where: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{where}: there is no {path}", "check the path") from error
    except OSError as error:
        raise StorageError(f"{where}: {path} cannot be read: {error}", "check the file") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(
            f"{where}: {path} has more than {FILE_BYTES_MAX:,} bytes", "name the right file"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where}: {path} is not text", "name the right file") from error
