"""What policies would allow: TestAuthorization and GetEffectivePolicies.

Source: AWS IoT API reference. The same rules decide as for a connection. The policies named as the
reason for an implicit deny are all that were looked at, as none of them matched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import ConfigurationError
from certs.pem import load_certificate
from simulator.iotcore.control.failures import invalid, not_found
from simulator.iotcore.control.names import POLICY_NAME
from simulator.iotcore.control.reading import ControlMembers
from simulator.iotcore.permissions.identity import ClientCertificate
from simulator.iotcore.permissions.policy import Action, Permissions, Policy, allows_everything
from simulator.iotcore.permissions.variables import thing_values
from simulator.iotcore.registry import is_certificate_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.names import Target
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.control.resources import Resources
    from simulator.iotcore.registry import Thing
    from simulator.iotcore.services.members import Request, Result

INFOS_MAX: Final = 10
RESOURCES_MAX: Final = 100
_ACTIONS: Final = {
    "CONNECT": Action.CONNECT,
    "PUBLISH": Action.PUBLISH,
    "SUBSCRIBE": Action.SUBSCRIBE,
    "RECEIVE": Action.RECEIVE,
}
_EVERYTHING: Final = allows_everything("everything")


class Evaluation:
    """The operations that look at what policies allow.

    Args:
        resources: What is looked at.
    """

    def __init__(self, resources: Resources) -> None:
        self._registry = resources.registry
        self._names = resources.names

    def operations(self) -> dict[str, Operation]:
        """The operations by AWS's name."""
        return {
            "TestAuthorization": self.test_authorization,
            "GetEffectivePolicies": self.get_effective_policies,
        }

    def get_effective_policies(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """GetEffectivePolicies: those of the principal and of the groups of the thing."""
        members = ControlMembers(request)
        thing = members.optional_name("thingName")
        found: dict[str, None] = {}
        if "principal" in members:
            found.update(dict.fromkeys(self._policies_of(members)))
        if thing is not None:
            if self._registry.thing(thing) is None:
                raise not_found(f"Thing {thing} not found.")
            found.update(dict.fromkeys(self._registry.groups.policies_of(thing)))
        effective = [
            self._named(name) | {"policyDocument": self._registry.policies.in_force(name).document}
            for name in found
        ]
        return {"effectivePolicies": effective}, []

    def test_authorization(
        self,
        request: Request,
        _now_s: float,  # noqa: PT019 - an operation of AWS, no test of pytest
    ) -> tuple[Result, list[Answer]]:
        """TestAuthorization."""
        members = ControlMembers(request)
        infos = [ControlMembers(entry) for entry in members.mappings("authInfos")]
        if not 1 <= len(infos) <= INFOS_MAX:
            raise invalid(f"authInfos must have 1 to {INFOS_MAX} entries")
        client_id = members.text("clientId")
        principal = self._principal(members)
        policies = self._tested(members, principal, client_id)
        values = self._values(principal, client_id)
        results = [self._result(info, policies, values) for info in infos]
        return {"authResults": results}, []

    # Inside

    def _result(
        self, info: ControlMembers, policies: Sequence[Policy], values: Mapping[str, Any]
    ) -> Result:
        kind = info.choice("actionType", tuple(_ACTIONS))
        resources = info.texts("resources")
        if kind is None or not 1 <= len(resources) <= RESOURCES_MAX:
            raise invalid(f"authInfos need an actionType and 1 to {RESOURCES_MAX} resources")
        action = _ACTIONS[kind]
        denying = [policy for policy in policies if _denies(policy, action, resources, values)]
        allowing = [policy for policy in policies if _allows(policy, action, resources, values)]
        together = Permissions(policies, values)
        is_allowed = all(together.allows(action, resource) for resource in resources)
        decision = "EXPLICIT_DENY" if denying else "ALLOWED" if is_allowed else "IMPLICIT_DENY"
        implicit = policies if decision == "IMPLICIT_DENY" else ()
        return {
            "authInfo": {"actionType": kind, "resources": resources},
            "allowed": self._reasons(allowing),
            "denied": {
                "implicitDeny": self._reasons(implicit),
                "explicitDeny": self._reasons(denying),
            },
            "authDecision": decision,
            "missingContextValues": [],
        }

    def _tested(
        self, members: ControlMembers, principal: str | None, client_id: str | None
    ) -> list[Policy]:
        """The policies in force, with those to add and without those to skip."""
        in_force = self._registry.policies_of(principal, client_id or "") if principal else ()
        skipped = set(members.texts("policyNamesToSkip"))
        found = {policy.name: policy for policy in in_force if policy.name not in skipped}
        for name in members.texts("policyNamesToAdd"):
            checked = ControlMembers({"name": name}).required_text("name", pattern=POLICY_NAME)
            if checked not in self._registry.policies:
                raise not_found(f"Policy not found (name={checked})")
            found[checked] = self._registry.policies.in_force(checked)
        return list(found.values())

    def _values(self, principal: str | None, client_id: str | None) -> dict[str, tuple[str, ...]]:
        """The policy variables a connection of this principal would have."""
        values: dict[str, tuple[str, ...]] = {}
        certificate = self._registry.certificate(principal) if principal else None
        if certificate is not None and certificate.pem is not None:
            values |= _certificate_values(certificate.pem)
        thing: Thing | None = None
        if client_id is not None:
            values["iot:clientid"] = (client_id,)
            thing = self._registry.thing_of(principal, client_id) if principal else None
        return values | thing_values(thing)

    def _principal(self, members: ControlMembers) -> str | None:
        text = members.text("principal")
        if not text:
            return None
        principal = self._names.principal(text)
        self._check(principal)
        return principal

    def _policies_of(self, members: ControlMembers) -> list[str]:
        target: Target = self._names.target(members.required_text("principal"))
        if target.is_group:
            groups = self._registry.groups
            if not groups.exists(target.name):
                raise not_found(f"Thing group {target.name} not found.")
            chosen = (groups.get(name) for name in groups.lineage(target.name))
            return [name for one in chosen if one for name in one.policies]
        self._check(target.name)
        found = self._registry.principal(target.name)
        return list(found.policies) if found else []

    def _check(self, principal: str) -> None:
        if is_certificate_id(principal) and self._registry.certificate(principal) is None:
            raise not_found(f"Certificate not found (id={principal})")

    def _named(self, name: str) -> Result:
        return {"policyName": name, "policyArn": self._names.arn("policy", name)}

    def _reasons(self, policies: Sequence[Policy]) -> Result:
        return {"policies": [self._named(policy.name) for policy in policies]}


def _allows(
    policy: Policy, action: Action, resources: Sequence[str], values: Mapping[str, Any]
) -> bool:
    """Whether a statement of the policy allows one of the resources, denials aside."""
    allowing = tuple(statement for statement in policy.statements if statement.allows)
    only = Permissions([Policy(policy.name, allowing, policy.arn_owners, policy.document)], values)
    return any(only.allows(action, resource) for resource in resources)


def _denies(
    policy: Policy, action: Action, resources: Sequence[str], values: Mapping[str, Any]
) -> bool:
    """Whether a statement of the policy denies one of the resources."""
    beside_everything = Permissions([_EVERYTHING, policy], values)
    return not all(beside_everything.allows(action, resource) for resource in resources)


def _certificate_values(pem: str) -> dict[str, tuple[str, ...]]:
    try:
        certificate = load_certificate(pem.encode(errors="replace"), "the certificate")
    except ConfigurationError:
        return {}
    return dict(ClientCertificate(certificate.public_bytes(Encoding.DER)).policy_values)
