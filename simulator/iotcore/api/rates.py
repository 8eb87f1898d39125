"""Which quotas a request of the API counts against.

Sources: AWS IoT Core endpoints and quotas; in the Service Quotas console "<operation> API TPS".
Only quotas that the tables have are asked; AWS publishes a rate for most other operations too.
The rates of creating certificates are not those of the same operations over MQTT. Knows operations
by name and nothing of what they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from simulator.iotcore.api.model import CONTROL, DATA, JOBS_DATA
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.joints import Claim
from simulator.iotcore.services.demands import shadow_demands

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Request: TypeAlias = dict[str, Any]
Claims: TypeAlias = "Callable[[Request], Sequence[Claim]]"

ASSUME_ROLE_CLAIMS: Final = (Claim(Cause.API_ASSUME_ROLE_WITH_CERTIFICATE),)
"""What a request to the credentials provider counts against."""

_CONNECTION_REQUESTS: Final = ("DeleteConnection", "GetConnection", "ListSubscriptions")
_SHADOW_REQUESTS: Final = ("DeleteThingShadow", "GetThingShadow", "UpdateThingShadow")

_FIXED: Final[dict[str, dict[str, tuple[Cause, ...]]]] = {
    CONTROL: {
        "CreateThing": (Cause.API_CREATE_THING,),
        "UpdateThing": (Cause.API_UPDATE_THING,),
        "DeleteThing": (Cause.API_DELETE_THING,),
        "DescribeThing": (Cause.API_DESCRIBE_THING,),
        "ListThings": (Cause.API_LIST_THINGS,),
        "AttachThingPrincipal": (Cause.API_ATTACH_THING_PRINCIPAL,),
        "DetachThingPrincipal": (Cause.API_DETACH_THING_PRINCIPAL,),
        "CreateThingType": (Cause.API_CREATE_THING_TYPE,),
        "CreateThingGroup": (Cause.API_CREATE_THING_GROUP,),
        "AddThingToThingGroup": (Cause.API_ADD_THING_TO_THING_GROUP,),
        "RemoveThingFromThingGroup": (Cause.API_REMOVE_THING_FROM_THING_GROUP,),
        "CreateKeysAndCertificate": (Cause.API_CREATE_KEYS_AND_CERTIFICATE,),
        "CreateCertificateFromCsr": (Cause.API_CREATE_CERTIFICATE_FROM_CSR,),
        "RegisterCertificate": (
            Cause.API_REGISTER_CERTIFICATE,
            Cause.QUOTA_CERTIFICATES_REGISTERED,
        ),
        "RegisterCertificateWithoutCA": (
            Cause.API_REGISTER_CERTIFICATE_WITHOUT_CA,
            Cause.QUOTA_CERTIFICATES_REGISTERED,
        ),
        "DescribeCertificate": (Cause.API_DESCRIBE_CERTIFICATE,),
        "UpdateCertificate": (Cause.API_UPDATE_CERTIFICATE,),
        "DeleteCertificate": (Cause.API_DELETE_CERTIFICATE,),
        "CreatePolicy": (Cause.API_CREATE_POLICY,),
        "AttachPolicy": (Cause.API_ATTACH_POLICY,),
        "DetachPolicy": (Cause.API_DETACH_POLICY,),
        "CreateProvisioningClaim": (Cause.API_CREATE_PROVISIONING_CLAIM,),
        "GetCommandExecution": (Cause.QUOTA_COMMAND_READS,),
    },
    DATA: {
        "GetRetainedMessage": (Cause.API_GET_RETAINED_MESSAGE,),
        "ListRetainedMessages": (Cause.API_LIST_RETAINED_MESSAGES,),
        "SendDirectMessage": (Cause.QUOTA_DIRECT_MESSAGES,),
    },
    JOBS_DATA: {
        "DescribeJobExecution": (Cause.QUOTA_JOB_READS,),
        "GetPendingJobExecutions": (Cause.QUOTA_JOB_READS,),
        "StartCommandExecution": (Cause.QUOTA_COMMAND_STARTS,),
        "StartNextPendingJobExecution": (Cause.QUOTA_JOB_WRITES,),
        "UpdateJobExecution": (Cause.QUOTA_JOB_WRITES,),
    },
}
"""The quotas of requests that count alike whatever is in them, by service and operation."""


def claims_of(service: str, name: str) -> Claims:
    """What the requests of an operation count against: a function of the request."""
    if service == DATA:
        if name in _SHADOW_REQUESTS:
            return lambda request: shadow_demands(request["thingName"], request.get("shadowName"))
        if name in _CONNECTION_REQUESTS:
            return lambda request: (
                Claim(Cause.QUOTA_CONNECTION_REQUESTS, name),
                Claim(Cause.QUOTA_CONNECTION_REQUESTS_OF_CLIENT, f"{name}/{request['clientId']}"),
            )
        if name == "Publish":
            return _publish_claims
    claims = tuple(Claim(cause) for cause in _FIXED.get(service, {}).get(name, ()))
    return lambda _request: claims


def _publish_claims(request: Request) -> Sequence[Claim]:
    if not request.get("retain"):
        return (Claim(Cause.QUOTA_PUBLISHES_IN),)
    return (
        Claim(Cause.QUOTA_RETAINED_PUBLISHES_OF_TOPIC, request["topic"]),
        Claim(Cause.QUOTA_RETAINED_PUBLISHES),
        Claim(Cause.QUOTA_PUBLISHES_IN),
    )
