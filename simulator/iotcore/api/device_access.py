"""What a device may ask over HTTPS with its client certificate: the AWS IoT policies decide.

Owns which policy action and resource each operation of the data planes needs (developer guide, "AWS
IoT Core policy actions"; service authorization reference, "AWS IoT Jobs DataPlane"). Thing policy
variables and `iot:ClientId` have no value here: they exist for MQTT connections only, so a
statement that uses one does not match. Knows nothing about SigV4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.permissions.identity import Principal
    from simulator.iotcore.registry import Registry

    Request = Mapping[str, Any]

ASSUME_ROLE: Final = "iot:AssumeRoleWithCertificate"


class Need(NamedTuple):
    """What a policy must allow.

    Attributes:
        action: Its name as policies write it.
        resource: The resource after the account's ARN prefix; `*` for everything.
        conditions: Condition keys of the request, lower case.
    """

    action: str
    resource: str
    conditions: Mapping[str, tuple[str, ...]]


def _thing(request: Request) -> str:
    shadow = request.get("shadowName")
    name = f"thing/{request['thingName']}"
    return name if shadow is None else f"{name}/{shadow}"


def _client(request: Request) -> str:
    return f"client/{request['clientId']}"


def _topic(request: Request) -> str:
    return f"topic/{request['topic']}"


_RESOURCES: Final[Mapping[str, Callable[[Request], str]]] = {
    "DeleteConnection": _client,
    "DeleteThingShadow": _thing,
    "DescribeJobExecution": _thing,
    "GetConnection": _client,
    "GetPendingJobExecutions": _thing,
    "GetRetainedMessage": _topic,
    "GetThingShadow": _thing,
    "ListNamedShadowsForThing": _thing,
    "ListRetainedMessages": lambda _request: "*",
    "ListSubscriptions": _client,
    "Publish": _topic,
    "SendDirectMessage": _client,
    "StartNextPendingJobExecution": _thing,
    "UpdateJobExecution": _thing,
    "UpdateThingShadow": _thing,
}
_JOBS: Final = frozenset(
    {
        "DescribeJobExecution",
        "GetPendingJobExecutions",
        "StartNextPendingJobExecution",
        "UpdateJobExecution",
    }
)


def needs_of(operation: str, request: Request) -> list[Need]:
    """What policies must allow for a request of a data plane; nothing fits other operations.

    Raises:
        ServiceFailure: Devices cannot ask for this operation.
    """
    resource = _RESOURCES.get(operation)
    if resource is None:
        raise forbidden()
    prefix = "iotjobsdata" if operation in _JOBS else "iot"
    topic = request.get("topic") if operation == "SendDirectMessage" else None
    conditions = {} if topic is None else {"iot:topic": (str(topic),)}
    needs = [Need(f"{prefix}:{operation}", resource(request), conditions)]
    if operation == "Publish" and request.get("retain"):
        needs.append(Need("iot:RetainPublish", resource(request), {}))
    return needs


def check(
    registry: Registry,
    account: Account,
    principal: Principal,
    source_ip: str,
    needs: list[Need],
) -> None:
    """Let a device pass.

    Raises:
        ServiceFailure: Its certificate is not registered and active, or its policies do not allow
            what is needed.
    """
    if not principal.is_admitted(registry):
        raise forbidden()
    policies = principal.policies(registry)
    for need in needs:
        values = {
            **principal.policy_values,
            "aws:sourceip": (source_ip,),
            **need.conditions,
        }
        action = need.action.lower()
        arn = need.resource if need.resource == "*" else f"{account.arn_prefix}{need.resource}"
        effects = {
            statement.allows
            for policy in policies
            for statement in policy.statements
            if any(pattern.matches(action) for pattern in statement.actions)
            and all(condition.holds(values) for condition in statement.conditions)
            and any(
                bound is not None and bound.matches(arn)
                for bound in (resource.bind(values) for resource in statement.resources)
            )
        }
        if effects != {True}:
            raise forbidden()


def forbidden() -> ServiceFailure:
    """The answer to a device that may not."""
    return ServiceFailure("ForbiddenException", "Forbidden", 403)
