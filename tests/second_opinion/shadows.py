"""Conversations about shadows, classic and named."""

from __future__ import annotations

from typing import Any, Final

from tests.second_opinion.script import (
    OPEN,
    TIME,
    WORDS,
    Conversation,
    Maybe,
    Refused,
    call,
    publish,
)

STAMP: Final = {"timestamp": TIME}

S: Final = "$aws/things/car-1/shadow"
NAMED: Final = f"{S}/name/cabin"
_SHADOW_ANSWERS: Final = (
    "get/accepted",
    "get/rejected",
    "update/accepted",
    "update/rejected",
    "update/delta",
    "update/documents",
    "delete/accepted",
    "delete/rejected",
)


def shadow_topics(prefix: str) -> list[str]:
    """Where a shadow answers."""
    return [f"{prefix}/{tail}" for tail in _SHADOW_ANSWERS]


def rejected(code: int, message: Any, **more: Any) -> dict[str, Any]:
    """An error response document of a shadow; its timestamp is optional."""
    return {"code": code, "message": message, "timestamp": Maybe(TIME), **more}


NO_SHADOW: Final = rejected(404, "No shadow exists with name: 'car-1'")
_FIRST: Final = {"desired": {"lamp": "on"}, "reported": {"lamp": "off", "speed_mps": 0}}
_FIRST_TIMES: Final = {
    "desired": {"lamp": STAMP},
    "reported": {"lamp": STAMP, "speed_mps": STAMP},
}
_SECOND: Final = {"desired": {"lamp": "on"}, "reported": {"lamp": "on", "speed_mps": 0}}
_THIRD: Final = {"desired": {"lamp": "on"}, "reported": {"lamp": "on"}}
_THIRD_TIMES: Final = {"desired": {"lamp": STAMP}, "reported": {"lamp": STAMP}}
_FOURTH: Final = {"desired": {"lamp": "on"}, "reported": {"lamp": "off"}}

CLASSIC_SHADOW = Conversation(
    "a classic shadow from the first update to deletion",
    'Developer guide: "Device Shadow MQTT topics", "Device Shadow service documents", '
    '"Using shadows", "Device Shadow error messages"',
    shadow_topics(S),
    [
        publish(f"{S}/get", b"", {f"{S}/get/rejected": NO_SHADOW}),
        publish(
            f"{S}/update",
            {"state": _FIRST, "clientToken": "t-1"},
            {
                f"{S}/update/accepted": {
                    "state": _FIRST,
                    "metadata": _FIRST_TIMES,
                    "version": 1,
                    "timestamp": TIME,
                    "clientToken": "t-1",
                },
                f"{S}/update/delta": {
                    "state": {"lamp": "on"},
                    "metadata": {"lamp": STAMP},
                    "version": 1,
                    "timestamp": TIME,
                    "clientToken": "t-1",
                },
                f"{S}/update/documents": {
                    "previous": None,
                    "current": {"state": _FIRST, "metadata": _FIRST_TIMES, "version": 1},
                    "timestamp": TIME,
                    "clientToken": "t-1",
                },
            },
        ),
        publish(
            f"{S}/get",
            {"clientToken": "t-2"},
            {
                f"{S}/get/accepted": {
                    "state": {**_FIRST, "delta": {"lamp": "on"}},
                    # One example of the guide has the times of the delta, the others do not.
                    "metadata": {**_FIRST_TIMES, "delta": Maybe({"lamp": STAMP})},
                    "version": 1,
                    "timestamp": TIME,
                    "clientToken": "t-2",
                }
            },
        ),
        publish(
            f"{S}/update",
            {"state": {"reported": {"lamp": "on"}}},
            {
                f"{S}/update/accepted": {
                    "state": {"reported": {"lamp": "on"}},
                    "metadata": {"reported": {"lamp": STAMP}},
                    "version": 2,
                    "timestamp": TIME,
                },
                f"{S}/update/documents": {
                    "previous": {"state": _FIRST, "metadata": _FIRST_TIMES, "version": 1},
                    "current": {"state": _SECOND, "metadata": _FIRST_TIMES, "version": 2},
                    "timestamp": TIME,
                },
            },
        ),
        publish(
            f"{S}/update",
            {"state": {"reported": {"speed_mps": None}}},
            {
                f"{S}/update/accepted": {
                    "state": {"reported": {"speed_mps": None}},
                    "metadata": OPEN,
                    "version": 3,
                    "timestamp": TIME,
                },
                f"{S}/update/documents": {
                    "previous": {"state": _SECOND, "metadata": _FIRST_TIMES, "version": 2},
                    "current": {"state": _THIRD, "metadata": _THIRD_TIMES, "version": 3},
                    "timestamp": TIME,
                },
            },
        ),
        publish(
            f"{S}/update",
            {"state": {"reported": {"lamp": "off"}}, "version": 1, "clientToken": "t-3"},
            {f"{S}/update/rejected": rejected(409, "Version conflict", clientToken="t-3")},
        ),
        publish(
            f"{S}/update",
            {"state": {"reported": {"lamp": "off"}}, "version": 3},
            {
                f"{S}/update/accepted": {
                    "state": {"reported": {"lamp": "off"}},
                    "metadata": {"reported": {"lamp": STAMP}},
                    "version": 4,
                    "timestamp": TIME,
                },
                f"{S}/update/delta": {
                    "state": {"lamp": "on"},
                    "metadata": {"lamp": STAMP},
                    "version": 4,
                    "timestamp": TIME,
                },
                f"{S}/update/documents": {
                    "previous": {"state": _THIRD, "metadata": _THIRD_TIMES, "version": 3},
                    "current": {"state": _FOURTH, "metadata": _THIRD_TIMES, "version": 4},
                    "timestamp": TIME,
                },
            },
        ),
        publish(
            f"{S}/update",
            {"state": {"desired": None}},
            {
                f"{S}/update/accepted": {
                    # "Contains only the fields that were in the request": null was one.
                    "state": {"desired": None},
                    "metadata": OPEN,
                    "version": 5,
                    "timestamp": TIME,
                },
                f"{S}/update/documents": {
                    "previous": {"state": _FOURTH, "metadata": _THIRD_TIMES, "version": 4},
                    "current": {
                        "state": {"reported": {"lamp": "off"}},
                        "metadata": {"reported": {"lamp": STAMP}},
                        "version": 5,
                    },
                    "timestamp": TIME,
                },
            },
        ),
        publish(
            f"{S}/delete",
            {"clientToken": "t-4"},
            {f"{S}/delete/accepted": {"version": 5, "timestamp": TIME, "clientToken": "t-4"}},
        ),
        publish(f"{S}/get", b"", {f"{S}/get/rejected": NO_SHADOW}),
        publish(f"{S}/delete", b"", {f"{S}/delete/rejected": NO_SHADOW}),
        publish(
            f"{S}/update",
            {"state": {"reported": {"lamp": "on"}}},
            {
                f"{S}/update/accepted": {
                    "state": {"reported": {"lamp": "on"}},
                    "metadata": {"reported": {"lamp": STAMP}},
                    # Not 1: "Deleting a shadow does not reset its version number".
                    "version": OPEN,
                    "timestamp": TIME,
                },
                f"{S}/update/documents": {
                    "previous": None,
                    "current": {
                        "state": {"reported": {"lamp": "on"}},
                        "metadata": {"reported": {"lamp": STAMP}},
                        "version": OPEN,
                    },
                    "timestamp": TIME,
                },
            },
        ),
        # "The content of the message is ignored."
        publish(
            f"{S}/delete",
            b"{",
            {f"{S}/delete/accepted": {"version": OPEN, "timestamp": TIME}},
        ),
    ],
)

_WANTED: Final = {"cabin": {"heat_k": 294, "fan": 2}, "route": [1, 2], "door": "locked"}
_WANTED_TIMES: Final = {
    "cabin": {"heat_k": STAMP, "fan": STAMP},
    "route": [STAMP, STAMP],
    "door": STAMP,
}
_FOUND: Final = {"cabin": {"heat_k": 290, "fan": 2}, "route": [1, 3], "battery": 0.5}
_FOUND_TIMES: Final = {
    "cabin": {"heat_k": STAMP, "fan": STAMP},
    "route": [STAMP, STAMP],
    "battery": STAMP,
}
_BOTH: Final = {"desired": _WANTED, "reported": _FOUND}
_BOTH_TIMES: Final = {"desired": _WANTED_TIMES, "reported": _FOUND_TIMES}

SHADOW_DIFFERENCE = Conversation(
    "what a delta holds: paths, whole arrays, and only what is desired",
    'Developer guide: "Device Shadow service documents", sections "Delta state", "Empty shadow '
    'document properties" and "Array values"; times of array elements: "Using shadows"',
    shadow_topics(S),
    [
        publish(
            f"{S}/update",
            {"state": _BOTH},
            {
                f"{S}/update/accepted": {
                    "state": _BOTH,
                    "metadata": _BOTH_TIMES,
                    "version": 1,
                    "timestamp": TIME,
                },
                f"{S}/update/delta": {
                    "state": {"cabin": {"heat_k": 294}, "route": [1, 2], "door": "locked"},
                    "metadata": {
                        "cabin": {"heat_k": STAMP},
                        "route": [STAMP, STAMP],
                        "door": STAMP,
                    },
                    "version": 1,
                    "timestamp": TIME,
                },
                f"{S}/update/documents": {
                    "previous": None,
                    "current": {"state": _BOTH, "metadata": _BOTH_TIMES, "version": 1},
                    "timestamp": TIME,
                },
            },
        ),
        # A null inside a new object removes nothing and is not stored.
        publish(
            f"{S}/update",
            {"state": {"desired": {"seat": {"x_m": 1, "y_m": None}}}},
            {
                f"{S}/update/accepted": {
                    "state": {"desired": {"seat": {"x_m": 1, "y_m": None}}},
                    "metadata": OPEN,
                    "version": 2,
                    "timestamp": TIME,
                },
                f"{S}/update/delta": {
                    "state": {
                        "cabin": {"heat_k": 294},
                        "route": [1, 2],
                        "door": "locked",
                        "seat": {"x_m": 1},
                    },
                    "metadata": {
                        "cabin": {"heat_k": STAMP},
                        "route": [STAMP, STAMP],
                        "door": STAMP,
                        "seat": {"x_m": STAMP},
                    },
                    "version": 2,
                    "timestamp": TIME,
                },
                f"{S}/update/documents": OPEN,
            },
        ),
        # An array is a value: it is replaced, not merged.
        publish(
            f"{S}/update",
            {"state": {"desired": None, "reported": {"route": [1, 2], "cabin": None}}},
            {
                f"{S}/update/accepted": OPEN,
                f"{S}/update/documents": {
                    "previous": OPEN,
                    "current": {
                        "state": {"reported": {"route": [1, 2], "battery": 0.5}},
                        "metadata": {"reported": {"route": [STAMP, STAMP], "battery": STAMP}},
                        "version": 3,
                    },
                    "timestamp": TIME,
                },
            },
        ),
        # Whether 1 and true are the same is not said.
        publish(
            f"{S}/update",
            {"state": {"desired": {"lamp": 1}, "reported": {"lamp": True}}},
            {
                f"{S}/update/accepted": OPEN,
                f"{S}/update/delta": OPEN,
                f"{S}/update/documents": OPEN,
            },
        ),
    ],
)


def _nested(levels: int) -> dict[str, Any]:
    return {"a": _nested(levels - 1)} if levels > 1 else {"a": 1}


def _refused_update(payload: Any, code: int, message: Any, **more: Any) -> Any:
    return publish(
        f"{S}/update", payload, {f"{S}/update/rejected": rejected(code, message, **more)}
    )


SHADOW_ERRORS = Conversation(
    "updates of a shadow that are refused",
    'Developer guide: "Device Shadow error messages"; service quotas: document of 8 KB, 8 levels, '
    "client token of 64 bytes",
    shadow_topics(S),
    [
        # The guide has "Invalid JSON"; the live service was seen to say it in other words.
        _refused_update(b"{", 400, WORDS),
        _refused_update({}, 400, "Missing required node: state"),
        _refused_update({"state": [1]}, 400, "State node must be an object"),
        _refused_update({"state": {"desired": 5}}, 400, "Desired node must be an object"),
        _refused_update({"state": {"reported": "x"}}, 400, "Reported node must be an object"),
        _refused_update({"state": {"other": {}}}, 400, WORDS),
        _refused_update({"state": {"reported": {}}, "version": "one"}, 400, "Invalid version"),
        _refused_update(
            {"state": {"reported": {}}, "clientToken": "x" * 65},
            400,
            "Invalid clientToken",
            clientToken=Maybe(OPEN),
        ),
        _refused_update({"state": {"reported": {"list": [1, None]}}}, 400, WORDS),
        _refused_update({"state": {"desired": _nested(9)}}, 400, WORDS),
        _refused_update(
            {"state": {"desired": {"text": "x" * 9_000}}},
            413,
            "The payload exceeds the maximum size allowed",
        ),
        _refused_update(
            '{"state": {"reported": {"stra\u00dfe": 1}}}'.encode("latin-1"),
            415,
            "Unsupported documented encoding; supported encoding is UTF-8",
        ),
    ],
)

_CABIN: Final = {"reported": {"heat_k": 294}}
_CABIN_TIMES: Final = {"reported": {"heat_k": STAMP}}
_CABIN_NAME: Final = {"thingName": "car-1", "shadowName": "cabin"}
_CABIN_ACCEPTED: Final = {
    "state": _CABIN,
    "metadata": _CABIN_TIMES,
    "version": 1,
    "timestamp": TIME,
}

NAMED_SHADOW_OVER_HTTP = Conversation(
    "a named shadow over HTTP, seen over MQTT",
    "API reference: UpdateThingShadow, GetThingShadow, DeleteThingShadow, "
    'ListNamedShadowsForThing; developer guide: "Device Shadow REST API"',
    shadow_topics(NAMED),
    [
        call("iot-data.GetThingShadow", _CABIN_NAME, Refused("ResourceNotFoundException", 404)),
        call(
            "iot-data.UpdateThingShadow",
            {**_CABIN_NAME, "payload": b'{"state": {"reported": {"heat_k": 294}}}'},
            {"payload": _CABIN_ACCEPTED},
            {
                f"{NAMED}/update/accepted": _CABIN_ACCEPTED,
                f"{NAMED}/update/documents": {
                    "previous": None,
                    "current": {"state": _CABIN, "metadata": _CABIN_TIMES, "version": 1},
                    "timestamp": TIME,
                },
            },
        ),
        call("iot-data.GetThingShadow", _CABIN_NAME, {"payload": _CABIN_ACCEPTED}),
        call(
            "iot-data.ListNamedShadowsForThing",
            {"thingName": "car-1"},
            {"results": ["cabin"], "timestamp": TIME},
        ),
        call(
            "iot-data.UpdateThingShadow",
            {**_CABIN_NAME, "payload": b'{"state": {"reported": {}}, "version": 9}'},
            Refused("ConflictException", 409, "Version conflict"),
        ),
        call(
            "iot-data.UpdateThingShadow",
            {**_CABIN_NAME, "payload": b'{"reported": {}}'},
            Refused("InvalidRequestException", 400),
        ),
        call(
            "iot-data.DeleteThingShadow",
            _CABIN_NAME,
            {"payload": {"version": 1, "timestamp": TIME}},
            {f"{NAMED}/delete/accepted": {"version": 1, "timestamp": TIME}},
        ),
        call("iot-data.DeleteThingShadow", _CABIN_NAME, Refused("ResourceNotFoundException", 404)),
    ],
)

NAMED_SHADOW = Conversation(
    "a named shadow over MQTT",
    'Developer guide: "Device Shadow MQTT topics", the prefix of a named shadow',
    shadow_topics(NAMED),
    [
        publish(
            f"{NAMED}/update",
            {"state": {"desired": {"heat_k": 294}}, "clientToken": "n-1"},
            {
                f"{NAMED}/update/accepted": {
                    "state": {"desired": {"heat_k": 294}},
                    "metadata": {"desired": {"heat_k": STAMP}},
                    "version": 1,
                    "timestamp": TIME,
                    "clientToken": "n-1",
                },
                f"{NAMED}/update/delta": {
                    "state": {"heat_k": 294},
                    "metadata": {"heat_k": STAMP},
                    "version": 1,
                    "timestamp": TIME,
                    "clientToken": "n-1",
                },
                f"{NAMED}/update/documents": {
                    "previous": None,
                    "current": {
                        "state": {"desired": {"heat_k": 294}},
                        "metadata": {"desired": {"heat_k": STAMP}},
                        "version": 1,
                    },
                    "timestamp": TIME,
                    "clientToken": "n-1",
                },
            },
        ),
        # The classic shadow is another one, and nobody listens to its answers here.
        publish(f"{S}/get", b""),
        publish(f"{S}/update", {"state": {"reported": {"heat_k": 1}}}),
        publish(
            f"{NAMED}/get",
            b"",
            {
                f"{NAMED}/get/accepted": {
                    "state": {"desired": {"heat_k": 294}, "delta": {"heat_k": 294}},
                    "metadata": {
                        "desired": {"heat_k": STAMP},
                        "delta": Maybe({"heat_k": STAMP}),
                    },
                    "version": 1,
                    "timestamp": TIME,
                }
            },
        ),
        # An empty update is an update.
        publish(
            f"{NAMED}/update",
            {"state": {}},
            {
                f"{NAMED}/update/accepted": {
                    "state": {},
                    "metadata": {},
                    "version": 2,
                    "timestamp": TIME,
                },
                f"{NAMED}/update/delta": Maybe(OPEN),
                f"{NAMED}/update/documents": OPEN,
            },
        ),
        publish(
            f"{NAMED}/delete",
            b"",
            {f"{NAMED}/delete/accepted": {"version": 2, "timestamp": TIME}},
        ),
        publish(f"{NAMED}/get", b"", {f"{NAMED}/get/rejected": rejected(404, WORDS)}),
    ],
)

SHADOWS: Final = (
    CLASSIC_SHADOW,
    SHADOW_DIFFERENCE,
    SHADOW_ERRORS,
    NAMED_SHADOW,
    NAMED_SHADOW_OVER_HTTP,
)
