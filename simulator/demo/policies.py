"""The IoT policies of the demo: what a car may do, and what an application may do.

Written as they would be for AWS, with policy variables, so that they can be copied into an
account. The fleet is named outright: `*` also stands for slashes, so with a wildcard in front of
the thing name a car could publish below the topics of another one. Pure data.
"""

from __future__ import annotations

from typing import Any

FLEET = "demo"
_ARN = "arn:aws:iot:local:000000000000"
_THING = "${iot:Connection.Thing.ThingName}"

VEHICLE: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": f"{_ARN}:client/{_THING}",
            "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
        },
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": [
                f"{_ARN}:topic/dt/morai/{FLEET}/{_THING}/*",
                f"{_ARN}:topic/cmd/morai/{FLEET}/{_THING}/res/*",
                f"{_ARN}:topic/$aws/commands/things/{_THING}/executions/*/response/json",
            ],
        },
        {
            "Effect": "Allow",
            "Action": "iot:RetainPublish",
            "Resource": f"{_ARN}:topic/dt/morai/{FLEET}/{_THING}/health",
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [
                f"{_ARN}:topicfilter/cmd/morai/{FLEET}/{_THING}/req/+",
                f"{_ARN}:topicfilter/cmd/morai/{FLEET}/{_THING}/drive",
                f"{_ARN}:topicfilter/$aws/commands/things/{_THING}/executions/+/request/json",
            ],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Receive",
            "Resource": [
                f"{_ARN}:topic/cmd/morai/{FLEET}/{_THING}/*",
                f"{_ARN}:topic/$aws/commands/things/{_THING}/executions/*",
            ],
        },
    ],
}
"""A car: its own telemetry out, its own commands in, nothing of any other car."""

APPLICATION: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": f"{_ARN}:client/{_THING}",
            "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
        },
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{_ARN}:topic/dt/morai/{FLEET}/*", f"{_ARN}:topic/cmd/morai/{FLEET}/*"],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [
                f"{_ARN}:topicfilter/dt/morai/{FLEET}/*",
                f"{_ARN}:topicfilter/cmd/morai/{FLEET}/*",
            ],
        },
    ],
}
"""An application of the operator: every car of the fleet, but under its own name only."""
