"""Role aliases, under which devices ask the credentials provider for a role.

Sources: AWS IoT API reference, CreateRoleAlias and its siblings; AWS IoT Core quota "role aliases".
There is no IAM here: role ARNs are kept and shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from simulator.iotcore.control.failures import AlreadyExists, limit_exceeded, not_found
from simulator.iotcore.control.reading import ControlMembers, dated
from simulator.iotcore.registry import RoleAlias

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result

ALIASES_MAX: Final = 100
DURATION_S_MIN: Final = 900
DURATION_S_MAX: Final = 43_200
_DEFAULT_DURATION_S: Final = 3_600
_NAME: Final = r"[\w=,@-]{1,128}"
_ROLE: Final = r"[\s\S]{20,2048}"


class RoleAliases:
    """The operations on role aliases.

    Args:
        resources: What is shown and changed.
    """

    def __init__(self, resources: Resources) -> None:
        self._aliases = resources.registry.role_aliases
        self._names = resources.names
        self._tags = resources.tags
        self._unix_s = resources.unix_s

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "CreateRoleAlias": self.create_role_alias,
            "DescribeRoleAlias": self.describe_role_alias,
            "UpdateRoleAlias": self.update_role_alias,
            "DeleteRoleAlias": self.delete_role_alias,
            "ListRoleAliases": self.list_role_aliases,
        }

    def create_role_alias(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreateRoleAlias."""
        members = ControlMembers(request)
        name, unix_s = _name(members), self._unix_s(now_s)
        role_arn = members.required_text("roleArn", pattern=_ROLE)
        duration_s, tags = _duration(members) or _DEFAULT_DURATION_S, members.tags()
        if name in self._aliases:
            raise AlreadyExists(f"Role alias {name} already exists", name, self._arn(name))
        if len(self._aliases) >= ALIASES_MAX:
            raise limit_exceeded(f"The account has {ALIASES_MAX} role aliases")
        self._aliases.put(name, RoleAlias(name, role_arn, duration_s, unix_s, unix_s))
        self._tags.put(self._arn(name), tags)
        return self._named(name), []

    def describe_role_alias(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeRoleAlias."""
        found = self._known(ControlMembers(request))
        return {
            "roleAliasDescription": self._named(found.name)
            | {
                "roleArn": found.role_arn,
                "owner": self._names.account_id,
                "credentialDurationSeconds": found.duration_s,
                "creationDate": found.created_s,
                "lastModifiedDate": found.modified_s,
            }
        }, []

    def update_role_alias(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateRoleAlias."""
        members = ControlMembers(request)
        found = self._known(members)
        changed = replace(
            found,
            role_arn=members.text("roleArn", pattern=_ROLE) or found.role_arn,
            duration_s=_duration(members) or found.duration_s,
            modified_s=self._unix_s(now_s),
        )
        self._aliases.put(found.name, changed)
        return self._named(found.name), []

    def delete_role_alias(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteRoleAlias."""
        found = self._known(ControlMembers(request))
        self._aliases.delete(found.name)
        self._tags.forget(self._arn(found.name))
        return {}, []

    def list_role_aliases(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListRoleAliases."""
        rows = ((dated(one.created_s, one.name), one.name) for one in self._aliases.values())
        return ControlMembers(request).marked_listing("roleAliases", rows, by_date=True), []

    def _known(self, members: ControlMembers) -> RoleAlias:
        name = _name(members)
        found = self._aliases.get(name)
        if found is None:
            raise not_found(f"Role alias {name} not found.")
        return found

    def _arn(self, name: str) -> str:
        return self._names.arn("rolealias", name)

    def _named(self, name: str) -> Result:
        return {"roleAlias": name, "roleAliasArn": self._arn(name)}


def _name(members: ControlMembers) -> str:
    return members.required_text("roleAlias", pattern=_NAME)


def _duration(members: ControlMembers) -> int | None:
    return members.integer("credentialDurationSeconds", DURATION_S_MIN, DURATION_S_MAX)
