"""A conversation about retained messages over HTTP."""

from __future__ import annotations

from typing import Final

from tests.second_opinion.script import (
    MILLISECONDS,
    OPEN,
    Conversation,
    Maybe,
    Refused,
    call,
)

NOT_RETAINED: Final = Refused("ResourceNotFoundException", 404)
_TOPIC: Final = "maps/seoul"

RETAINED_MESSAGES = Conversation(
    "a retained message over HTTP",
    "API reference: Publish, GetRetainedMessage, ListRetainedMessages",
    ["maps/+"],
    [
        call("iot-data.GetRetainedMessage", {"topic": _TOPIC}, NOT_RETAINED),
        call(
            "iot-data.Publish",
            {"topic": _TOPIC, "qos": 1, "retain": True, "payload": b"v1"},
            {},
            {_TOPIC: "v1"},
        ),
        call(
            "iot-data.GetRetainedMessage",
            {"topic": _TOPIC},
            {
                "topic": _TOPIC,
                "payload": "v1",
                "qos": 1,
                "lastModifiedTime": MILLISECONDS,
                "userProperties": Maybe(OPEN),
            },
        ),
        call(
            "iot-data.ListRetainedMessages",
            {},
            {
                "retainedTopics": [
                    {
                        "topic": _TOPIC,
                        "payloadSize": 2,
                        "qos": 1,
                        "lastModifiedTime": MILLISECONDS,
                    }
                ]
            },
        ),
        call(
            "iot-data.Publish",
            {"topic": _TOPIC, "qos": 1, "retain": True, "payload": b""},
            {},
            {_TOPIC: None},
        ),
        call("iot-data.GetRetainedMessage", {"topic": _TOPIC}, NOT_RETAINED),
        call("iot-data.ListRetainedMessages", {}, {"retainedTopics": []}),
    ],
)
