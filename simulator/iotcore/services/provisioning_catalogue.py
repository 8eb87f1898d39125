"""The account's provisioning templates and their versions, as the API sees them.

Sources: AWS IoT API reference, CreateProvisioningTemplate and its siblings; AWS IoT Core quotas.
Knows nothing about devices or certificates.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.members import Members, Request, Result, without_nulls
from simulator.iotcore.services.provisioning_template import (
    BODY_BYTES_MAX,
    ProvisioningTemplate,
    TemplateError,
)
from simulator.iotcore.services.saved import restored

if TYPE_CHECKING:
    from collections.abc import Callable

INVALID: Final = "InvalidRequestException"
TEMPLATES_MAX: Final = 256
VERSIONS_MAX: Final = 5
"""AWS IoT Core quotas on fleet provisioning templates."""

LIST_MAX: Final = 250
FLEET: Final = "FLEET_PROVISIONING"
JITP: Final = "JITP"
HOOK_VERSION: Final = "2020-04-01"
_NAME: Final = r"[0-9A-Za-z_-]{1,36}"
_ROLE: Final = r"[\s\S]{20,2048}"
_DESCRIPTION_CHARACTERS_MAX: Final = 500
_VERSION_ID_MAX: Final = 2**31 - 1


class _Version(msgspec.Struct):
    body: str
    created_unix_s: float


class Template(msgspec.Struct):
    """A provisioning template. Times are Unix time in seconds.

    Attributes:
        name: Its name.
        kind: `FLEET_PROVISIONING` or `JITP`.
        enabled: Whether devices may use it.
        role_arn: Kept and shown, never assumed: there is no IAM here.
        versions: Version id -> body.
        default_version: The version in force.
        last_version: The highest id ever given.
        created_unix_s: When it was created.
        updated_unix_s: When it was last changed.
        description: For people.
        hook_arn: Target of the pre-provisioning hook.
        hook_version: Version of the hook's payload.
    """

    name: str
    kind: str
    enabled: bool
    role_arn: str
    versions: dict[int, _Version]
    default_version: int
    last_version: int
    created_unix_s: float
    updated_unix_s: float
    description: str | None = None
    hook_arn: str | None = None
    hook_version: str = HOOK_VERSION

    @property
    def body(self) -> str:
        """The body in force."""
        return self.versions[self.default_version].body


class TemplateCatalogue:
    """Every provisioning template of the account, at most 256 with at most 5 versions each.

    Args:
        arn: Makes the ARN of a template of its name.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
    """

    def __init__(self, arn: Callable[[str], str], unix_s_at_zero: float) -> None:
        self._arn = arn
        self._unix_s_at_zero = unix_s_at_zero
        self._templates: dict[str, Template] = {}

    def find(self, name: str) -> Template | None:
        """The template with this name."""
        return self._templates.get(name)

    def create(self, request: Request, now_s: float) -> Result:
        """CreateProvisioningTemplate.

        Raises:
            ServiceFailure: InvalidRequestException, ResourceAlreadyExistsException or
                LimitExceededException.
        """
        members = Members(request, INVALID)
        name = _template_name(members)
        body = _body(members)
        kind = members.choice("type", (FLEET, JITP), FLEET) or FLEET
        role_arn = members.required_text("provisioningRoleArn", pattern=_ROLE)
        hook_arn, hook_version = _hook(members, kind)
        description = _description(members)
        if name in self._templates:
            raise ServiceFailure(
                "ResourceAlreadyExistsException", f"Template with name {name} already exists", 409
            )
        if len(self._templates) >= TEMPLATES_MAX:
            raise ServiceFailure(
                "LimitExceededException", f"The account has {TEMPLATES_MAX} templates", 410
            )
        unix_s = now_s + self._unix_s_at_zero
        self._templates[name] = Template(
            name=name,
            kind=kind,
            enabled=bool(members.flag("enabled")),
            role_arn=role_arn,
            versions={1: _Version(body, unix_s)},
            default_version=1,
            last_version=1,
            created_unix_s=unix_s,
            updated_unix_s=unix_s,
            description=description,
            hook_arn=hook_arn,
            hook_version=hook_version,
        )
        return {"templateArn": self._arn(name), "templateName": name, "defaultVersionId": 1}

    def describe(self, request: Request) -> Result:
        """DescribeProvisioningTemplate.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        template = self.known(Members(request, INVALID))
        hook = {"payloadVersion": template.hook_version, "targetArn": template.hook_arn}
        return self._summary(template) | without_nulls(
            {
                "defaultVersionId": template.default_version,
                "templateBody": template.body,
                "provisioningRoleArn": template.role_arn,
                "preProvisioningHook": hook if template.hook_arn else None,
            }
        )

    def list_all(self, request: Request) -> Result:
        """ListProvisioningTemplates, in the order they were created.

        Raises:
            ServiceFailure: InvalidRequestException.
        """
        entries = [
            (template.name, self._summary(template)) for template in self._templates.values()
        ]
        page, token = Members(request, INVALID).page(entries, LIST_MAX)
        return without_nulls({"templates": page, "nextToken": token})

    def update(self, request: Request, now_s: float) -> Result:
        """UpdateProvisioningTemplate.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        members = Members(request, INVALID)
        template = self.known(members)
        version = members.integer("defaultVersionId", 1, _VERSION_ID_MAX)
        if version is not None and version not in template.versions:
            raise members.failure(f"The template has no version {version}")
        hook_arn, hook_version = _hook(members, template.kind)
        role_arn = members.text("provisioningRoleArn", pattern=_ROLE)
        enabled, remove_hook = members.flag("enabled"), members.flag("removePreProvisioningHook")
        description = _description(members)
        template.description = template.description if description is None else description
        template.enabled = template.enabled if enabled is None else enabled
        template.role_arn = role_arn or template.role_arn
        template.default_version = version or template.default_version
        if hook_arn is not None:
            template.hook_arn, template.hook_version = hook_arn, hook_version
        if remove_hook:
            template.hook_arn = None
        template.updated_unix_s = now_s + self._unix_s_at_zero
        return {}

    def delete(self, request: Request) -> Result:
        """DeleteProvisioningTemplate, with all of its versions.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        del self._templates[self.known(Members(request, INVALID)).name]
        return {}

    def create_version(self, request: Request, now_s: float) -> Result:
        """CreateProvisioningTemplateVersion. Ids count up and are never used again.

        Raises:
            ServiceFailure: InvalidRequestException, ResourceNotFoundException or
                VersionsLimitExceededException.
        """
        members = Members(request, INVALID)
        template = self.known(members)
        body = _body(members)
        if len(template.versions) >= VERSIONS_MAX:
            raise ServiceFailure(
                "VersionsLimitExceededException",
                f"The template {template.name} has {VERSIONS_MAX} versions",
                409,
            )
        is_default = bool(members.flag("setAsDefault"))
        template.last_version += 1
        template.updated_unix_s = now_s + self._unix_s_at_zero
        template.versions[template.last_version] = _Version(body, template.updated_unix_s)
        if is_default:
            template.default_version = template.last_version
        return {
            "templateArn": self._arn(template.name),
            "templateName": template.name,
            "versionId": template.last_version,
            "isDefaultVersion": is_default,
        }

    def describe_version(self, request: Request) -> Result:
        """DescribeProvisioningTemplateVersion.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        template, version_id = self._version(request)
        body = template.versions[version_id].body
        return _version_summary(template, version_id) | {"templateBody": body}

    def list_versions(self, request: Request) -> Result:
        """ListProvisioningTemplateVersions, oldest first.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        members = Members(request, INVALID)
        template = self.known(members)
        entries = [
            (str(version_id), _version_summary(template, version_id))
            for version_id in template.versions
        ]
        page, token = members.page(entries, LIST_MAX)
        return without_nulls({"versions": page, "nextToken": token})

    def delete_version(self, request: Request) -> Result:
        """DeleteProvisioningTemplateVersion.

        Raises:
            ServiceFailure: InvalidRequestException, ResourceNotFoundException, or
                DeleteConflictException for the version in force.
        """
        template, version_id = self._version(request)
        if version_id == template.default_version:
            raise ServiceFailure(
                "DeleteConflictException", f"Version {version_id} is the default version", 409
            )
        del template.versions[version_id]
        return {}

    def known(self, members: Members) -> Template:
        """The template a request names.

        Raises:
            ServiceFailure: InvalidRequestException or ResourceNotFoundException.
        """
        name = _template_name(members)
        template = self._templates.get(name)
        if template is None:
            raise ServiceFailure(
                "ResourceNotFoundException", f"Unable to find template named {name}", 404
            )
        return template

    def __len__(self) -> int:
        return len(self._templates)

    def dump(self) -> list[Any]:
        """Every template, as JSON."""
        dumped: list[Any] = msgspec.to_builtins(list(self._templates.values()), str_keys=True)
        return dumped

    def load(self, document: Any) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged.
        """
        templates = restored(document, list[Template], "provisioning templates")
        for template in templates:
            if template.default_version not in template.versions:
                raise ValueError(f"provisioning template {template.name} has no default version")
            for version in template.versions.values():
                ProvisioningTemplate(version.body)
        self._templates = {template.name: template for template in templates}

    def _version(self, request: Request) -> tuple[Template, int]:
        members = Members(request, INVALID)
        template = self.known(members)
        version_id = members.integer("versionId", 1, _VERSION_ID_MAX)
        if version_id is None:
            raise members.failure("versionId is required")
        if version_id not in template.versions:
            raise ServiceFailure(
                "ResourceNotFoundException",
                f"Template {template.name} has no version {version_id}",
                404,
            )
        return template, version_id

    def _summary(self, template: Template) -> Result:
        return without_nulls(
            {
                "templateArn": self._arn(template.name),
                "templateName": template.name,
                "description": template.description,
                "creationDate": template.created_unix_s,
                "lastModifiedDate": template.updated_unix_s,
                "enabled": template.enabled,
                "type": template.kind,
            }
        )


def _version_summary(template: Template, version_id: int) -> Result:
    return {
        "versionId": version_id,
        "creationDate": template.versions[version_id].created_unix_s,
        "isDefaultVersion": version_id == template.default_version,
    }


def _template_name(members: Members) -> str:
    return members.required_text("templateName", pattern=_NAME)


def _description(members: Members) -> str | None:
    return members.text("description", longest=_DESCRIPTION_CHARACTERS_MAX, printable=True)


def _body(members: Members) -> str:
    body = members.required_text("templateBody", longest=BODY_BYTES_MAX)
    try:
        ProvisioningTemplate(body)
    except TemplateError as error:
        raise members.failure(f"The template body is invalid: {error}") from error
    return body


def _hook(members: Members, kind: str) -> tuple[str | None, str]:
    """Target and payload version of the hook a request asks for."""
    if "preProvisioningHook" not in members:
        return None, HOOK_VERSION
    if kind == JITP:
        raise members.failure(f"Provisioning hook is not supported for template type: {JITP}")
    hook = members.within("preProvisioningHook")
    version = hook.text("payloadVersion", pattern=r"[0-9-]{10,32}") or HOOK_VERSION
    if version != HOOK_VERSION:
        raise members.failure(f"The hook version {version} is not supported: use {HOOK_VERSION}")
    target = hook.required_text("targetArn", longest=2048)
    if re.fullmatch(r"[\x21-\x7e]+", target) is None:
        raise members.failure("targetArn must be an ARN")
    return target, version
