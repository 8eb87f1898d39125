"""Policies and their versions: CreatePolicy and its siblings.

Source: AWS IoT API reference. A document must be one that `permissions.policy` can apply, so
NotAction and NotResource are refused as malformed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError
from simulator.iotcore.control.failures import (
    AlreadyExists,
    delete_conflict,
    not_found,
)
from simulator.iotcore.control.names import POLICY_NAME
from simulator.iotcore.control.reading import ControlMembers, dated
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry.policies import VERSIONS_MAX
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.registry import StoredPolicy
    from simulator.iotcore.services.members import Request, Result

DOCUMENT_CHARACTERS_MAX: Final = 404_600
"""Of the `iot` service model. The quota of 2,048 does not count blanks."""


class PolicyCatalogue:
    """The operations on policies and policy versions.

    Args:
        resources: What is shown and changed.
    """

    def __init__(self, resources: Resources) -> None:
        self._registry = resources.registry
        self._policies = resources.registry.policies
        self._names = resources.names
        self._tags = resources.tags
        self._unix_s = resources.unix_s

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "CreatePolicy": self.create_policy,
            "GetPolicy": self.get_policy,
            "ListPolicies": self.list_policies,
            "DeletePolicy": self.delete_policy,
            "CreatePolicyVersion": self.create_policy_version,
            "ListPolicyVersions": self.list_policy_versions,
            "GetPolicyVersion": self.get_policy_version,
            "SetDefaultPolicyVersion": self.set_default_policy_version,
            "DeletePolicyVersion": self.delete_policy_version,
        }

    # Policies

    def create_policy(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreatePolicy."""
        members = ControlMembers(request)
        name = policy_name(members)
        policy, tags = _read_policy(members, name), members.tags()
        if name in self._policies:
            raise AlreadyExists(
                f"Policy cannot be created - name already exists (name={name})",
                name,
                self._arn(name),
            )
        self._registry.put_policy(policy, unix_s=self._unix_s(now_s))
        self._tags.put(self._arn(name), tags)
        return {
            "policyName": name,
            "policyArn": self._arn(name),
            "policyDocument": policy.document,
            "policyVersionId": "1",
        }, []

    def get_policy(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """GetPolicy."""
        found = self._known(ControlMembers(request))
        return self._dated(found) | {
            "policyDocument": found.versions[found.default_version].document,
            "defaultVersionId": str(found.default_version),
        }, []

    def list_policies(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListPolicies."""
        rows = (
            (
                dated(one.created_s, one.name),
                {"policyName": one.name, "policyArn": self._arn(one.name)},
            )
            for one in self._policies.values()
        )
        return ControlMembers(request).marked_listing("policies", rows, by_date=True), []

    def delete_policy(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DeletePolicy. It must have one version and be attached to nothing."""
        found = self._known(ControlMembers(request))
        if len(found.versions) > 1:
            raise delete_conflict(
                f"Cannot delete the policy because it has one or more policy versions attached to "
                f"it (name={found.name})"
            )
        if self._registry.is_attached(found.name):
            raise delete_conflict(
                f"The policy cannot be deleted as the policy is attached to one or more principals "
                f"(name={found.name})"
            )
        self._policies.delete(found.name)
        self._tags.forget(self._arn(found.name))
        return {}, []

    # Versions

    def create_policy_version(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreatePolicyVersion. Ids count up and are never used again."""
        members = ControlMembers(request)
        found = self._known(members)
        policy = _read_policy(members, found.name)
        is_default = members.flag("setAsDefault") is True
        if len(found.versions) >= VERSIONS_MAX:
            raise ServiceFailure(
                "VersionsLimitExceededException",
                f"The policy {found.name} already has the maximum number of versions "
                f"({VERSIONS_MAX})",
                409,
            )
        version = self._policies.add_version(policy, self._unix_s(now_s), is_default=is_default)
        return {
            "policyArn": self._arn(found.name),
            "policyDocument": policy.document,
            "policyVersionId": str(version),
            "isDefaultVersion": is_default,
        }, []

    def list_policy_versions(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListPolicyVersions, oldest first."""
        found = self._known(ControlMembers(request))
        versions = [
            {
                "versionId": str(number),
                "isDefaultVersion": number == found.default_version,
                "createDate": version.created_s,
            }
            for number, version in found.versions.items()
        ]
        return {"policyVersions": versions}, []

    def get_policy_version(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """GetPolicyVersion."""
        members = ControlMembers(request)
        found = self._known(members)
        number = _version(members, found)
        version = found.versions[number]
        return self._dated(found) | {
            "policyDocument": version.document,
            "policyVersionId": str(number),
            "isDefaultVersion": number == found.default_version,
            "creationDate": version.created_s,
            "lastModifiedDate": version.created_s,
        }, []

    def set_default_policy_version(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """SetDefaultPolicyVersion."""
        members = ControlMembers(request)
        found = self._known(members)
        number = _version(members, found)
        self._policies.set_default(found.name, number, self._unix_s(now_s))
        return {}, []

    def delete_policy_version(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeletePolicyVersion. The default version stays."""
        members = ControlMembers(request)
        found = self._known(members)
        number = _version(members, found)
        if number == found.default_version:
            raise delete_conflict(
                f"Cannot delete the default version of a policy (name={found.name})"
            )
        self._policies.delete_version(found.name, number, self._unix_s(now_s))
        return {}, []

    # Inside

    def _known(self, members: ControlMembers) -> StoredPolicy:
        name = policy_name(members)
        found = self._policies.get(name)
        if found is None:
            raise not_found(f"Policy not found (name={name})")
        return found

    def _arn(self, name: str) -> str:
        return self._names.arn("policy", name)

    def _dated(self, found: StoredPolicy) -> Result:
        return {
            "policyName": found.name,
            "policyArn": self._arn(found.name),
            "creationDate": found.created_s,
            "lastModifiedDate": found.modified_s,
            "generationId": found.generation,
        }


def policy_name(members: ControlMembers) -> str:
    """`policyName`, which must be there."""
    return members.required_text("policyName", pattern=POLICY_NAME)


def _version(members: ControlMembers, policy: StoredPolicy) -> int:
    text = members.required_text("policyVersionId", pattern="[0-9]{1,9}")
    if int(text) not in policy.versions:
        raise not_found(f"The policy {policy.name} has no version {text}")
    return int(text)


def _read_policy(members: ControlMembers, name: str) -> Policy:
    document = members.required_text("policyDocument", longest=DOCUMENT_CHARACTERS_MAX)
    try:
        return Policy.parse(name, document)
    except ConfigurationError as error:
        raise ServiceFailure("MalformedPolicyException", f"Malformed {error.what}") from error
