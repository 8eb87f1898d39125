"""What provisioning changes in the registry: the thing, the certificate, the policies.

Owns the override settings and the order of the changes: a refused device leaves the registry as it
was. Sources: AWS IoT Core developer guide, "Provisioning templates", override settings; AWS IoT
API reference, CreateThing and UpdateThing. Knows nothing about topics, tokens or templates.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import (
    POLICIES_PER_CERTIFICATE_MAX,
    CertificateStatus,
    Registry,
    Thing,
)
from simulator.iotcore.services.provisioning_template import (
    Plan,
    PolicyPlan,
    ProvisioningRefusal,
    ThingPlan,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.iotcore.registry.groups import ThingGroups

ATTRIBUTES_MAX: Final = 3
TYPED_ATTRIBUTES_MAX: Final = 50
"""AWS IoT Core quotas "attributes of a thing without / with a thing type"."""

_THING_NAME: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_GROUP_NAME: Final = _THING_NAME
_ATTRIBUTE_NAME: Final = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{1,128}")
_ATTRIBUTE_VALUE: Final = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")


def apply(plan: Plan, certificate_id: str, registry: Registry) -> str | None:
    """Provision a registered certificate.

    Args:
        plan: What a template asks for.
        certificate_id: The certificate.
        registry: What is changed.

    Returns:
        The name of the thing, if there is one.

    Raises:
        ProvisioningRefusal: Something in the plan cannot be; nothing was changed.
    """
    policies = [(policy, _parsed(policy)) for policy in plan.policies]
    if plan.thing is None:
        _attach_policies(policies, certificate_id, registry)
    else:
        _apply_thing(plan.thing, policies, certificate_id, registry)
    registry.set_status(
        certificate_id,
        CertificateStatus.ACTIVE if plan.is_active else CertificateStatus.INACTIVE,
    )
    return plan.thing.name if plan.thing else None


def _apply_thing(
    plan: ThingPlan,
    policies: Sequence[tuple[PolicyPlan, Policy | None]],
    certificate_id: str,
    registry: Registry,
) -> None:
    existing = registry.thing(plan.name)
    thing = _changed_thing(plan, existing)
    groups = registry.groups
    join, leave = _changed_groups(plan, groups, is_new=existing is None)
    certificate = registry.certificate(certificate_id)
    if certificate is not None and any(certificate.things.values()):
        raise _failed("The certificate is attached to another thing exclusively")
    _attach_policies(policies, certificate_id, registry)
    if thing != existing:
        registry.put_thing(thing)
    registry.attach_thing(plan.name, certificate_id)
    for group in join:
        groups.add(plan.name, group)
    for group in leave:
        groups.remove(plan.name, group)


def _changed_thing(plan: ThingPlan, existing: Thing | None) -> Thing:
    if _THING_NAME.fullmatch(plan.name) is None:
        raise _failed(f"Invalid thingName: {plan.name[:128]!r}")
    if existing is None:
        thing = Thing(plan.name, plan.type_name, plan.attributes or {})
    else:
        thing = replace(
            existing,
            attributes=_changed_attributes(plan, dict(existing.attributes)),
            type_name=_changed_type(plan, existing.type_name),
        )
    for name, value in thing.attributes.items():
        if _ATTRIBUTE_NAME.fullmatch(name) is None or _ATTRIBUTE_VALUE.fullmatch(value) is None:
            raise _failed(f"Invalid attribute: {name[:128]!r}")
    most = ATTRIBUTES_MAX if thing.type_name is None else TYPED_ATTRIBUTES_MAX
    if len(thing.attributes) > most:
        raise _failed(f"The thing has more than {most} attributes")
    return thing


def _changed_attributes(plan: ThingPlan, existing: dict[str, str]) -> dict[str, str]:
    wanted = plan.attributes
    if wanted is None or wanted == existing:
        return existing
    match plan.overrides.get("AttributePayload"):
        case "REPLACE":
            return wanted
        case "MERGE":
            return existing | wanted
        case "DO_NOTHING":
            return existing
    raise _conflict("AttributePayload", existing, wanted)


def _changed_type(plan: ThingPlan, existing: str | None) -> str | None:
    wanted = plan.type_name
    if wanted is None or wanted == existing:
        return existing
    match plan.overrides.get("ThingTypeName"):
        case "REPLACE":
            return wanted
        case "DO_NOTHING":
            return existing
    raise _conflict("ThingType", existing, wanted)


def _changed_groups(
    plan: ThingPlan, groups: ThingGroups, *, is_new: bool
) -> tuple[list[str], list[str]]:
    """The groups to join and to leave."""
    wanted = plan.groups
    existing = list(groups.of(plan.name))
    if wanted is None:
        return [], []
    join = [group for group in dict.fromkeys(wanted) if group not in existing]
    leave = [group for group in existing if group not in wanted]
    if not is_new:
        match plan.overrides.get("ThingGroups"):
            case "REPLACE":
                pass
            case "MERGE":
                leave = []
            case "DO_NOTHING":
                return [], []
            case _ if join or leave:
                raise _conflict("ThingGroups", existing, wanted)
    for group in join:
        if _GROUP_NAME.fullmatch(group) is None or not groups.exists(group):
            raise _failed(f"ThingGroup {group[:128]} not found.")
    for position, group in enumerate(join):
        obstacle = groups.obstacle(plan.name, group, leave, join[:position])
        if obstacle is not None:
            raise _failed(f"Thing {plan.name} cannot be added to group {group}: {obstacle}")
    return join, leave


def _parsed(policy: PolicyPlan) -> Policy | None:
    if policy.document is None:
        return None
    try:
        return Policy.parse(policy.name, policy.document)
    except ConfigurationError as error:
        raise _failed(f"Policy document is invalid: {error.what}") from error


def _attach_policies(
    policies: Sequence[tuple[PolicyPlan, Policy | None]], certificate_id: str, registry: Registry
) -> None:
    """Attach the policies, all or none."""
    known = registry.certificate(certificate_id)
    before = set(known.policies) if known else set()
    if len(before | {plan.name for plan, _ in policies}) > POLICIES_PER_CERTIFICATE_MAX:
        raise _failed(f"A certificate has at most {POLICIES_PER_CERTIFICATE_MAX} policies")
    attached: list[str] = []
    try:
        # Only named policies can be missing; they come first so that none is stored in vain.
        for plan, document in sorted(policies, key=lambda entry: entry[1] is not None):
            try:
                registry.attach_policy(plan.name, certificate_id)
            except ConfigurationError:
                # Its name is the hash of its content, so it is stored only when it is missing.
                if document is None:
                    raise
                registry.put_policy(document)
                registry.attach_policy(plan.name, certificate_id)
            if plan.name not in before:
                attached.append(plan.name)
    except ConfigurationError as error:
        for name in attached:
            registry.detach_policy(name, certificate_id)
        raise _failed(f"Policy cannot be attached: {error.what}") from error


def _conflict(what: str, existing: object, wanted: object) -> ProvisioningRefusal:
    return _failed(
        f"Existing {what}: {existing} conflicts with {what}: {wanted} in Template."[:1024]
    )


def _failed(message: str) -> ProvisioningRefusal:
    return ProvisioningRefusal("ProvisioningFailed", message)
