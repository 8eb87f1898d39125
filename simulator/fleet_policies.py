"""The IoT policies of a fleet at the stand-in: for cars, applications and probes.

Written as they would be for AWS, with policy variables, so that they can be copied into an account.
The fleet is named outright: `*` also stands for slashes, so with a wildcard in front of the thing
name a car could publish below the topics of another one. Pure data.
"""

from __future__ import annotations

from typing import Any, Final

VEHICLE: Final = "vehicle"
APPLICATION: Final = "application"
PROBE: Final = "probe"
OPEN: Final = "open"

_ARN: Final = "arn:aws:iot:local:000000000000"
_THING: Final = "${iot:Connection.Thing.ThingName}"
_VERSION: Final = "2012-10-17"

_CONNECTS_AS_ITSELF: Final[dict[str, Any]] = {
    "Effect": "Allow",
    "Action": "iot:Connect",
    "Resource": f"{_ARN}:client/{_THING}",
    "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
}


def vehicle(fleet: str) -> dict[str, Any]:
    """A car: its own telemetry and shadows out, its own commands in, nothing of any other car.

    Args:
        fleet: The fleet level of the topics.
    """
    telemetry = f"dt/morai/{fleet}/{_THING}"
    commands = f"cmd/morai/{fleet}/{_THING}"
    executions = f"$aws/commands/things/{_THING}/executions"
    shadows = f"$aws/things/{_THING}/shadow"
    return {
        "Version": _VERSION,
        "Statement": [
            _CONNECTS_AS_ITSELF,
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": [
                    f"{_ARN}:topic/{telemetry}/*",
                    f"{_ARN}:topic/{commands}/res/*",
                    f"{_ARN}:topic/{executions}/*/response/json",
                    f"{_ARN}:topic/{shadows}/*",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:RetainPublish",
                "Resource": f"{_ARN}:topic/{telemetry}/health",
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [
                    f"{_ARN}:topicfilter/{commands}/req/+",
                    f"{_ARN}:topicfilter/{commands}/drive",
                    f"{_ARN}:topicfilter/{executions}/+/request/json",
                    f"{_ARN}:topicfilter/{shadows}/*",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Receive",
                "Resource": [
                    f"{_ARN}:topic/{commands}/*",
                    f"{_ARN}:topic/{executions}/*",
                    f"{_ARN}:topic/{shadows}/*",
                ],
            },
        ],
    }


def application(fleet: str) -> dict[str, Any]:
    """An application: reads every car of the fleet and commands it, under its own name only.

    It also plays AWS IoT Commands, which at AWS sends the requests and takes the answers itself
    (AWS IoT Core developer guide: AWS IoT Commands).

    Args:
        fleet: The fleet level of the topics.
    """
    executions = "$aws/commands/things/*/executions/*"
    return {
        "Version": _VERSION,
        "Statement": [
            _CONNECTS_AS_ITSELF,
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": [
                    f"{_ARN}:topic/cmd/morai/{fleet}/*",
                    f"{_ARN}:topic/{executions}/request/json",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [
                    f"{_ARN}:topicfilter/dt/morai/{fleet}/*",
                    f"{_ARN}:topicfilter/cmd/morai/{fleet}/*",
                    f"{_ARN}:topicfilter/{executions}/response/json",
                ],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Receive",
                "Resource": [
                    f"{_ARN}:topic/dt/morai/{fleet}/*",
                    f"{_ARN}:topic/cmd/morai/{fleet}/*",
                    f"{_ARN}:topic/{executions}/response/json",
                ],
            },
        ],
    }


def probe(fleet: str) -> dict[str, Any]:
    """A probe of quotas: any client id of the fleet, and topics that nobody else uses.

    Args:
        fleet: The fleet level of the topics.
    """
    topics = f"{probe_topics(fleet)}/*"
    return {
        "Version": _VERSION,
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{_ARN}:client/{fleet}:*"},
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:RetainPublish", "iot:Receive"],
                "Resource": f"{_ARN}:topic/{topics}",
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": f"{_ARN}:topicfilter/{topics}",
            },
        ],
    }


def probe_topics(fleet: str) -> str:
    """Where the topics of probes begin."""
    return f"probe/{fleet}"


def everything() -> dict[str, Any]:
    """Everything is allowed, to cars and applications alike."""
    return {
        "Version": _VERSION,
        "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
    }
