"""What policies are attached to: AttachPolicy and its siblings.

Source: AWS IoT API reference. The operations of an earlier API (AttachPrincipalPolicy,
ListPrincipalPolicies, ListPolicyPrincipals) are served with the same attachments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certs.errors import ConfigurationError
from simulator.iotcore.control.failures import limit_exceeded, not_found
from simulator.iotcore.control.names import Target
from simulator.iotcore.control.policies import policy_name
from simulator.iotcore.control.reading import ControlMembers
from simulator.iotcore.registry import is_certificate_id

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.services.members import Request, Result


class Attachments:
    """The operations on what policies are attached to.

    Args:
        resources: What is shown and changed.
    """

    def __init__(self, resources: Resources) -> None:
        self._registry = resources.registry
        self._names = resources.names

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "AttachPolicy": self.attach_policy,
            "DetachPolicy": self.detach_policy,
            "AttachPrincipalPolicy": self.attach_principal_policy,
            "DetachPrincipalPolicy": self.detach_principal_policy,
            "ListAttachedPolicies": self.list_attached_policies,
            "ListTargetsForPolicy": self.list_targets_for_policy,
            "ListPrincipalPolicies": self.list_principal_policies,
            "ListPolicyPrincipals": self.list_policy_principals,
        }

    def attach_policy(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """AttachPolicy, to a certificate, a Cognito identity or a thing group."""
        members = ControlMembers(request)
        self._attach(members, self._names.target(members.required_text("target")))
        return {}, []

    def attach_principal_policy(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """AttachPrincipalPolicy."""
        members = ControlMembers(request)
        self._attach(members, self._principal(members))
        return {}, []

    def detach_policy(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DetachPolicy. What is not attached or not known is no error."""
        members = ControlMembers(request)
        name = policy_name(members)
        self._detach(name, self._names.target(members.required_text("target")))
        return {}, []

    def detach_principal_policy(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """DetachPrincipalPolicy."""
        members = ControlMembers(request)
        name, target = self._policy(members), self._principal(members)
        self._check_target(target)
        self._detach(name, target)
        return {}, []

    def list_attached_policies(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListAttachedPolicies; with `recursive` also those of the groups above a group."""
        members = ControlMembers(request)
        target = self._names.target(members.required_text("target"))
        recursive = members.flag("recursive") is True
        return self._listed(members, self._attached(target, recursive=recursive)), []

    def list_principal_policies(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListPrincipalPolicies."""
        members = ControlMembers(request)
        return self._listed(members, self._attached(self._principal(members))), []

    def list_targets_for_policy(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListTargetsForPolicy."""
        members = ControlMembers(request)
        name = self._policy(members)
        principals = (Target(one) for one in self._registry.principals_with(name))
        groups = (Target(one, is_group=True) for one in self._registry.groups.with_policy(name))
        shown = (self._names.of_target(target) for target in (*principals, *groups))
        return members.marked_listing("targets", ((one, one) for one in shown)), []

    def list_policy_principals(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListPolicyPrincipals."""
        members = ControlMembers(request)
        name = self._policy(members)
        shown = (self._names.of_principal(one) for one in self._registry.principals_with(name))
        return members.marked_listing("principals", ((one, one) for one in shown)), []

    # Inside

    def _attach(self, members: ControlMembers, target: Target) -> None:
        name = self._policy(members)
        self._check_target(target)
        attach = (
            self._registry.attach_group_policy if target.is_group else self._registry.attach_policy
        )
        try:
            attach(name, target.name)
        except ConfigurationError as error:
            # Policy and target are known: what is left is the quota.
            raise limit_exceeded(f"Policy cannot be attached: {error.what}") from error

    def _detach(self, name: str, target: Target) -> None:
        if target.is_group:
            self._registry.detach_group_policy(name, target.name)
        elif self._registry.principal(target.name) is not None:
            self._registry.detach_policy(name, target.name)

    def _attached(self, target: Target, *, recursive: bool = False) -> list[str]:
        self._check_target(target)
        if not target.is_group:
            found = self._registry.principal(target.name)
            return list(found.policies) if found else []
        groups = self._registry.groups
        lineage = groups.lineage(target.name) if recursive else [target.name]
        chosen = (groups.get(name) for name in lineage)
        return list(dict.fromkeys(name for one in chosen if one for name in one.policies))

    def _listed(self, members: ControlMembers, policies: list[str]) -> Result:
        rows = (
            (name, {"policyName": name, "policyArn": self._names.arn("policy", name)})
            for name in policies
        )
        return members.marked_listing("policies", rows)

    def _principal(self, members: ControlMembers) -> Target:
        return Target(self._names.principal(members.required_text("principal")))

    def _policy(self, members: ControlMembers) -> str:
        name = policy_name(members)
        if name not in self._registry.policies:
            raise not_found(f"Policy not found (name={name})")
        return name

    def _check_target(self, target: Target) -> None:
        if target.is_group:
            if not self._registry.groups.exists(target.name):
                raise not_found(f"Thing group {target.name} not found.")
        elif is_certificate_id(target.name) and self._registry.principal(target.name) is None:
            raise not_found(f"Certificate not found (id={target.name})")
