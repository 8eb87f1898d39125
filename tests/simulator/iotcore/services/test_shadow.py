from __future__ import annotations

import json
from typing import Any

import pytest

from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.shadow import ShadowService
from simulator.iotcore.services.shadow_store import ShadowLimits

UNIX_S_AT_ZERO = 1_700_000_000.0
CLASSIC = "$aws/things/lamp/shadow"
NAMED = "$aws/things/lamp/shadow/name/night"


class Table:
    """A device and an application that talk to a shadow service and read everything it says."""

    def __init__(self, **options: Any) -> None:
        self.service = ShadowService(UNIX_S_AT_ZERO, **options)
        self.now_s = 0.0

    def ask(self, topic: str, payload: bytes | dict[str, Any] = b"") -> list[tuple[str, Any]]:
        """Publish a request and give the answers as (topic, document)."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        answers = self.service.handle(Message(topic, body, 1, self.now_s), "app", self.now_s)
        assert all(answer.client_id is None for answer in answers)
        assert all(answer.message.qos == 1 for answer in answers)
        return [(answer.message.topic, json.loads(answer.message.payload)) for answer in answers]

    def update(self, document: dict[str, Any] | bytes, prefix: str = CLASSIC) -> dict[str, Any]:
        """Publish an update and give the answers by the rest of their topics."""
        answers = self.ask(f"{prefix}/update", document)
        return {topic.removeprefix(f"{prefix}/update/"): answer for topic, answer in answers}

    def get(self, prefix: str = CLASSIC) -> Any:
        """Publish a get and give the accepted document."""
        ((topic, document),) = self.ask(f"{prefix}/get")
        assert topic == f"{prefix}/get/accepted", document
        return document


@pytest.fixture
def table() -> Table:
    """A service without shadows."""
    return Table()


def test_the_first_report_of_a_lamp(table: Table) -> None:
    """The developer guide's lamp: accepted with one timestamp per array element, and documents."""
    lamp = {"ID": "SmartLamp21", "ColorRGB": [128, 128, 128]}
    stamp = {"timestamp": 1_700_000_000}
    metadata = {"reported": {"ID": stamp, "ColorRGB": [stamp, stamp, stamp]}}
    answers = table.update({"state": {"reported": lamp}, "clientToken": "426bfd96"})
    assert answers == {
        "accepted": {
            "state": {"reported": lamp},
            "metadata": metadata,
            "version": 1,
            "timestamp": 1_700_000_000,
            "clientToken": "426bfd96",
        },
        "documents": {
            "previous": None,
            "current": {"state": {"reported": lamp}, "metadata": metadata, "version": 1},
            "timestamp": 1_700_000_000,
            "clientToken": "426bfd96",
        },
    }


def test_a_color_is_wanted_and_then_reported(table: Table) -> None:
    """The conversation of the device SDK's shadow sample: delta while they differ, then none."""
    table.update({"state": {"reported": {"Color": "green"}}})
    table.now_s = 10.5
    table.update({"state": {"desired": {"Color": "green"}}})
    table.now_s = 20
    wanted = table.update({"state": {"desired": {"Color": "red"}}, "clientToken": "c2"})
    assert wanted["delta"] == {
        "version": 3,
        "timestamp": 1_700_000_020,
        "state": {"Color": "red"},
        "metadata": {"Color": {"timestamp": 1_700_000_020}},
        "clientToken": "c2",
    }
    assert wanted["documents"] == {
        "previous": {
            "state": {"desired": {"Color": "green"}, "reported": {"Color": "green"}},
            "metadata": {
                "desired": {"Color": {"timestamp": 1_700_000_010}},
                "reported": {"Color": {"timestamp": 1_700_000_000}},
            },
            "version": 2,
        },
        "current": {
            "state": {"desired": {"Color": "red"}, "reported": {"Color": "green"}},
            "metadata": {
                "desired": {"Color": {"timestamp": 1_700_000_020}},
                "reported": {"Color": {"timestamp": 1_700_000_000}},
            },
            "version": 3,
        },
        "timestamp": 1_700_000_020,
        "clientToken": "c2",
    }
    done = table.update({"state": {"reported": {"Color": "red"}}})
    assert set(done) == {"accepted", "documents"}


def test_the_answers_of_an_update_and_their_order(table: Table) -> None:
    """Accepted, delta, documents, each an ordinary publish at QoS 1."""
    answers = table.ask(f"{CLASSIC}/update", {"state": {"desired": {"a": 1}}})
    assert [topic for topic, _ in answers] == [
        f"{CLASSIC}/update/accepted",
        f"{CLASSIC}/update/delta",
        f"{CLASSIC}/update/documents",
    ]


def test_get_shows_state_with_delta_and_metadata_without(table: Table) -> None:
    """`delta` stands in the state; metadata has the two sections; the timestamp is now."""
    table.update({"state": {"desired": {"on": True}, "reported": {"on": False, "heat": 3}}})
    table.now_s = 5
    stamp = {"timestamp": 1_700_000_000}
    assert table.get() == {
        "state": {
            "desired": {"on": True},
            "reported": {"on": False, "heat": 3},
            "delta": {"on": True},
        },
        "metadata": {"desired": {"on": stamp}, "reported": {"on": stamp, "heat": stamp}},
        "version": 1,
        "timestamp": 1_700_000_005,
    }


def test_get_repeats_the_client_token(table: Table) -> None:
    """A token in the payload of a get comes back, accepted or rejected."""
    ((_, missing),) = table.ask(f"{CLASSIC}/get", {"clientToken": "t1"})
    assert missing == {
        "code": 404,
        "message": "No shadow exists with name: 'lamp'",
        "clientToken": "t1",
    }
    table.update({"state": {"reported": {"a": 1}}})
    ((_, found),) = table.ask(f"{CLASSIC}/get", {"clientToken": "t2"})
    assert found["clientToken"] == "t2"


def test_a_missing_shadow_is_named_as_aws_does(table: Table) -> None:
    """The classic shadow goes by its thing, a named one by thing, tilde and name; no timestamp."""
    for verb in ("get", "delete"):
        assert table.ask(f"{CLASSIC}/{verb}") == [
            (
                f"{CLASSIC}/{verb}/rejected",
                {"code": 404, "message": "No shadow exists with name: 'lamp'"},
            )
        ]
        assert table.ask(f"{NAMED}/{verb}") == [
            (
                f"{NAMED}/{verb}/rejected",
                {"code": 404, "message": "No shadow exists with name: 'lamp~night'"},
            )
        ]


def test_named_and_classic_shadows_are_apart(table: Table) -> None:
    """Each has a state and a version of its own."""
    table.update({"state": {"reported": {"a": 1}}})
    table.update({"state": {"reported": {"a": 2}}})
    table.update({"state": {"reported": {"b": 1}}}, NAMED)
    assert (table.get()["version"], table.get()["state"]) == (2, {"reported": {"a": 2}})
    assert (table.get(NAMED)["version"], table.get(NAMED)["state"]) == (1, {"reported": {"b": 1}})


def test_timestamps_follow_each_value(table: Table) -> None:
    """A write renews the timestamp of what it names, changed or not, and of nothing else."""
    table.update({"state": {"reported": {"a": 1, "b": {"c": 1, "d": 1}, "l": [1, 2]}}})
    table.now_s = 60
    table.update({"state": {"reported": {"a": 1, "b": {"d": 2}, "l": [1]}}})
    old, new = {"timestamp": 1_700_000_000}, {"timestamp": 1_700_000_060}
    assert table.get()["metadata"] == {
        "reported": {"a": new, "b": {"c": old, "d": new}, "l": [new]}
    }


def test_a_removed_value_is_echoed_with_its_time(table: Table) -> None:
    """Accepted repeats the null and stamps it; state and metadata lose the member."""
    table.update({"state": {"desired": {"engine": "ON", "color": {"r": 10}}}})
    answers = table.update({"state": {"desired": {"engine": None}}})
    assert answers["accepted"]["state"] == {"desired": {"engine": None}}
    assert answers["accepted"]["metadata"] == {"desired": {"engine": {"timestamp": 1_700_000_000}}}
    assert table.get()["state"]["desired"] == {"color": {"r": 10}}
    assert table.get()["metadata"]["desired"] == {"color": {"r": {"timestamp": 1_700_000_000}}}


def test_clearing_desired_ends_the_delta(table: Table) -> None:
    """`desired: null` empties the section; no delta is published and get shows none."""
    table.update({"state": {"desired": {"color": "red"}, "reported": {"color": "green"}}})
    answers = table.update({"state": {"reported": {"color": "red"}, "desired": None}})
    assert set(answers) == {"accepted", "documents"}
    assert answers["accepted"]["state"] == {"reported": {"color": "red"}, "desired": None}
    assert answers["documents"]["current"]["state"] == {"reported": {"color": "red"}}
    assert table.get()["state"] == {"reported": {"color": "red"}}


def test_removing_the_last_value_removes_the_section(table: Table) -> None:
    """A section without members is absent from state and metadata."""
    table.update({"state": {"desired": {"a": 1}}})
    table.update({"state": {"desired": {"a": None}}})
    assert (table.get()["state"], table.get()["metadata"]) == ({}, {})


def test_a_null_state_empties_the_shadow_and_keeps_it(table: Table) -> None:
    """As observed on AWS: state null and one bare timestamp in accepted, then an empty shadow."""
    table.update({"state": {"desired": {"a": 1}, "reported": {"a": 1}}})
    answers = table.update(b'{"state":null}')
    assert answers["accepted"] == {
        "state": None,
        "metadata": {"timestamp": 1_700_000_000},
        "version": 2,
        "timestamp": 1_700_000_000,
    }
    shadow = table.get()
    assert (shadow["state"], shadow["metadata"], shadow["version"]) == ({}, {}, 2)


def test_an_empty_state_changes_only_the_version(table: Table) -> None:
    """`state: {}` is a valid update of nothing, and creates an empty shadow."""
    assert table.update({"state": {}})["accepted"]["version"] == 1
    table.update({"state": {"reported": {"a": 1}}})
    table.update({"state": {}})
    assert (table.get()["state"], table.get()["version"]) == ({"reported": {"a": 1}}, 3)


def test_a_delta_holds_everything_that_differs(table: Table) -> None:
    """Also what an earlier update asked for, with the time it was asked for."""
    table.update({"state": {"desired": {"a": 1}}})
    table.now_s = 7
    delta = table.update({"state": {"desired": {"b": 2}}})["delta"]
    assert delta["state"] == {"a": 1, "b": 2}
    assert delta["metadata"] == {
        "a": {"timestamp": 1_700_000_000},
        "b": {"timestamp": 1_700_000_007},
    }


def test_removing_what_was_reported_brings_the_delta_back(table: Table) -> None:
    """A member deleted from reported that is still desired is in the delta."""
    table.update({"state": {"desired": {"a": 1}, "reported": {"a": 1}}})
    assert table.update({"state": {"reported": {"a": None}}})["delta"]["state"] == {"a": 1}


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_a_conflict(table: Table, version: int) -> None:
    """An update for a version other than the current one changes nothing."""
    table.update({"state": {"reported": {"a": 1}}})
    table.update({"state": {"reported": {"a": 2}}})
    answers = table.update(
        {"state": {"reported": {"a": 9}}, "version": version, "clientToken": "t"}
    )
    assert answers == {"rejected": {"code": 409, "message": "Version conflict", "clientToken": "t"}}
    assert (table.get()["version"], table.get()["state"]) == (2, {"reported": {"a": 2}})


def test_the_current_version_is_accepted(table: Table) -> None:
    """Optimistic locking lets the update of the current version through, 0 for a new shadow."""
    assert table.update({"state": {"reported": {"a": 1}}, "version": 0})["accepted"]["version"] == 1
    assert table.update({"state": {"reported": {"a": 2}}, "version": 1})["accepted"]["version"] == 2


def test_deleting(table: Table) -> None:
    """The answer has the deleted version; whatever the payload; afterwards there is no shadow."""
    table.update({"state": {"reported": {"a": 1}}})
    table.now_s = 3
    assert table.ask(f"{CLASSIC}/delete", b"\xffnot json") == [
        (f"{CLASSIC}/delete/accepted", {"version": 1, "timestamp": 1_700_000_003})
    ]
    ((topic, _),) = table.ask(f"{CLASSIC}/get")
    assert topic == f"{CLASSIC}/get/rejected"


def test_deleting_repeats_the_client_token(table: Table) -> None:
    """The device SDKs send one and wait for it."""
    table.update({"state": {"reported": {"a": 1}}})
    ((_, answer),) = table.ask(f"{CLASSIC}/delete", {"clientToken": "ec7e"})
    assert answer == {"version": 1, "timestamp": 1_700_000_000, "clientToken": "ec7e"}


@pytest.mark.parametrize(("counts", "version"), [(True, 4), (False, 3)])
def test_a_new_shadow_continues_the_version_of_the_deleted_one(counts: bool, version: int) -> None:
    """Within 48 hours; whether the deletion itself takes a version is a choice."""
    table = Table(limits=ShadowLimits(deletion_takes_a_version=counts))
    table.update({"state": {"reported": {"a": 1}}})
    table.update({"state": {"reported": {"a": 2}}})
    table.ask(f"{CLASSIC}/delete")
    table.now_s = 48 * 3600 - 1
    answers = table.update({"state": {"reported": {"b": 1}}})
    assert answers["accepted"]["version"] == version
    assert answers["documents"]["previous"] is None
    assert table.get()["state"] == {"reported": {"b": 1}}


def test_the_version_of_a_deleted_shadow_is_forgotten_after_48_hours(table: Table) -> None:
    """Then the next shadow of that name begins again, asked in time or not."""
    table.update({"state": {"reported": {"a": 1}}})
    table.ask(f"{CLASSIC}/delete")
    deadline_s = table.service.next_deadline_s or 0.0
    assert deadline_s == pytest.approx(48 * 3600, abs=0.01)
    assert table.service.advance(deadline_s) == ()
    assert table.service.next_deadline_s is None
    table.now_s = 48 * 3600 + 1
    assert table.update({"state": {"reported": {"a": 1}}})["accepted"]["version"] == 1


def test_an_overdue_version_does_not_count(table: Table) -> None:
    """Nobody has to have called `advance` for the 48 hours to be over."""
    table.update({"state": {"reported": {"a": 1}}})
    table.ask(f"{CLASSIC}/delete")
    table.now_s = 48 * 3600 + 1
    assert table.update({"state": {"reported": {"a": 1}}})["accepted"]["version"] == 1


def nested(levels: int) -> dict[str, Any]:
    """A section with so many objects inside each other, itself included."""
    section: dict[str, Any] = {}
    for _ in range(levels - 1):
        section = {"x": section}
    return section


def test_nesting(table: Table) -> None:
    """Eight levels in a section are accepted, the section being the first; nine are not."""
    assert "accepted" in table.update({"state": {"desired": nested(8)}})
    assert table.update({"state": {"desired": nested(9)}}) == {
        "rejected": {
            "code": 400,
            "message": "JSON contains too many levels of nesting; maximum is 8",
        }
    }


def test_nesting_as_the_error_page_has_it() -> None:
    """The older limit of six is a setting."""
    table = Table(limits=ShadowLimits(levels=6))
    assert "accepted" in table.update({"state": {"desired": nested(6)}})
    rejected = table.update({"state": {"desired": nested(7)}})["rejected"]
    assert rejected["message"] == "JSON contains too many levels of nesting; maximum is 6"


def test_size(table: Table) -> None:
    """8,192 bytes of desired and reported together are accepted, one more is 413."""
    # {"d":""} is 8 bytes, so 4096 + 4096 with 4088 characters each.
    table.update({"state": {"desired": {"d": "x" * 4088}}})
    assert "accepted" in table.update({"state": {"reported": {"d": "y" * 4088}}})
    assert table.update({"state": {"reported": {"d": "y" * 4089}}}) == {
        "rejected": {"code": 413, "message": "The payload exceeds the maximum size allowed"}
    }
    assert len(table.get()["state"]["reported"]["d"]) == 4088


def test_size_counts_bytes_and_neither_metadata_nor_spaces(table: Table) -> None:
    """Multi-byte characters weigh what UTF-8 takes; white space in the request weighs nothing."""
    assert "accepted" in table.update({"state": {"desired": {"d": "가" * 2728}}})
    assert "rejected" in table.update({"state": {"desired": {"d": "가" * 2729}}})
    spaced = json.dumps({"state": {"desired": {"d": list(range(10))}}}, indent=100).encode()
    assert len(spaced) > 5000
    assert "accepted" in table.update(spaced + b" " * 5000)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "Missing required node: state"),
        (b"{}", "Missing required node: state"),
        (b"66", "Missing required node: state"),
        (b"[]", "Missing required node: state"),
        (b"{", "Payload contains invalid json"),
        (b'{"state":{"desired":{"a":NaN}}}', "Payload contains invalid json"),
        (b'{"state":{"desired":{"a":"\\ud800"}}}', "Payload contains invalid json"),
        (b'{"state":{"desired":{"a":[1e999,"\\ud800"]}}}', "Payload contains invalid json"),
        (b'{"state":[]}', "State node must be an object"),
        (b'{"state":"x"}', "State node must be an object"),
        (b'{"state":{"desired":1}}', "Desired node must be an object"),
        (b'{"state":{"reported":[]}}', "Reported node must be an object"),
        (b'{"state":{"delta":{}}}', "State contains an invalid node: 'delta'"),
        (b'{"state":{"desired":{"l":[1,null]}}}', "State contains an invalid node: 'l'"),
        (b'{"state":{"desired":{"l":[{"m":null}]}}}', "State contains an invalid node: 'm'"),
        (b'{"state":{},"version":"1"}', "Invalid version"),
        (b'{"state":{},"version":-1}', "Invalid version"),
        (b'{"state":{},"version":true}', "Invalid version"),
        (b'{"state":{},"clientToken":7}', "Invalid clientToken"),
        (b'{"state":{},"clientToken":"' + b"x" * 65 + b'"}', "Invalid clientToken"),
    ],
)
def test_malformed_updates(table: Table, payload: bytes, message: str) -> None:
    """Each gets status 400 with AWS's words, and no shadow comes into being."""
    assert table.update(payload) == {"rejected": {"code": 400, "message": message}}
    assert table.service.status()["shadows"] == 0


def test_a_client_token_of_64_bytes_is_the_longest(table: Table) -> None:
    """The limit counts bytes, not characters."""
    assert "accepted" in table.update({"state": {}, "clientToken": "é" * 32})
    assert "rejected" in table.update({"state": {}, "clientToken": "é" * 32 + "x"})


def test_other_encodings_are_refused(table: Table) -> None:
    """Status 415 for bytes that are not UTF-8."""
    assert table.update('{"state":{"desired":{"a":"é"}}}'.encode("latin-1")) == {
        "rejected": {
            "code": 415,
            "message": "Unsupported documented encoding; supported encoding is UTF-8",
        }
    }


def test_members_beside_the_known_ones_are_ignored(table: Table) -> None:
    """Only `desired` and `reported` of the state are stored and echoed."""
    answers = table.update({"state": {"reported": {"a": 1}}, "extra": {"b": 2}, "metadata": {}})
    assert set(answers["accepted"]) == {"state", "metadata", "version", "timestamp"}
    assert answers["accepted"]["state"] == {"reported": {"a": 1}}


def test_a_get_with_a_malformed_payload_is_rejected(table: Table) -> None:
    """An empty payload or any JSON is fine, anything else is not."""
    table.update({"state": {"reported": {"a": 1}}})
    assert table.ask(f"{CLASSIC}/get", b"{")[0][1]["code"] == 400
    assert table.ask(f"{CLASSIC}/get", b"[1]")[0][0].endswith("accepted")


def test_numbers_beyond_a_double_become_text(table: Table) -> None:
    """An answer can always be read back as JSON."""
    table.update(b'{"state":{"reported":{"a":1e999,"b":-1e999,"c":1.5}}}')
    assert table.get()["state"]["reported"] == {"a": "Infinity", "b": "-Infinity", "c": 1.5}


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("$aws/things/la mp/shadow/get", "Invalid thingName"),
        ("$aws/things//shadow/get", "Invalid thingName"),
        ("$aws/things/lamp/shadow/name//get", "Invalid shadowName"),
        ("$aws/things/lamp/shadow/name/a.b/get", "Invalid shadowName"),
        (f"$aws/things/lamp/shadow/name/{'n' * 65}/get", "Invalid shadowName"),
    ],
)
def test_names_that_cannot_be(table: Table, topic: str, message: str) -> None:
    """They are rejected on the topic that was asked."""
    assert table.ask(topic) == [(f"{topic}/rejected", {"code": 400, "message": message})]


def test_a_shadow_name_may_have_a_dollar_and_64_characters(table: Table) -> None:
    """The pattern of the service model: `[$a-zA-Z0-9:_-]+`."""
    prefix = f"$aws/things/lamp/shadow/name/${'n' * 63}"
    assert "accepted" in table.update({"state": {}}, prefix)


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/lamp/shadow/update/accepted",
        "$aws/things/lamp/shadow",
        "$aws/things/lamp/jobs/get",
        "$aws/things/lamp/shadow/name/night",
        "$aws/things/lamp/shadow/night/get",
        "$aws/things/lamp/shadow/name/a/b/get",
        "things/lamp/shadow/get",
    ],
)
def test_other_topics_are_not_claimed(table: Table, topic: str) -> None:
    """Answers, other services and the account's own topics are left alone."""
    assert not table.service.claims(topic)
    assert table.ask(topic) == []


def test_requests_are_claimed(table: Table) -> None:
    """Get, update and delete of both kinds."""
    assert all(
        table.service.claims(f"{prefix}/{verb}")
        for prefix in (CLASSIC, NAMED)
        for verb in ("get", "update", "delete")
    )


def test_a_shadow_needs_no_thing_unless_told_so() -> None:
    """AWS asks no registry; with one to ask, an unknown thing is 404."""
    assert "accepted" in Table().update({"state": {}})
    assert "accepted" in Table(thing_exists={"other"}.__contains__).update({"state": {}})
    strict = Table(limits=ShadowLimits(things_must_exist=True), thing_exists={"lamp"}.__contains__)
    assert "accepted" in strict.update({"state": {}})
    for verb in ("get", "update", "delete"):
        ((topic, answer),) = strict.ask(f"$aws/things/ghost/shadow/{verb}")
        assert topic == f"$aws/things/ghost/shadow/{verb}/rejected"
        assert answer == {"code": 404, "message": "Thing not found"}


def test_a_quota_can_refuse_a_request(table: Table) -> None:
    """The requester gets its token back, nothing is stored, and the refusal is counted."""
    request = Message(f"{NAMED}/update", b'{"state":{},"clientToken":"t"}', 0, 0.0)
    failure = ServiceFailure("ThrottlingException", "Too Many Requests", 429)
    (answer,) = table.service.refuse(request, failure, 0.0)
    assert answer.message.topic == f"{NAMED}/update/rejected"
    assert json.loads(answer.message.payload) == {
        "code": 429,
        "message": "Too Many Requests",
        "clientToken": "t",
    }
    assert table.service.status()["rejected"] == {429: 1}
    assert table.service.status()["shadows"] == 0


def test_operations_are_counted_and_metered(table: Table) -> None:
    """Per started kilobyte of state; a rejection counts by its status and is not metered."""
    table.update({"state": {"reported": {"d": "x" * 1016}}})  # 1,024 bytes: 1 unit
    table.update({"state": {"reported": {"d": "x" * 1017}}})  # 1,025 bytes: 2 units
    table.get()  # 2 units
    table.ask(f"{CLASSIC}/delete")  # 2 units
    table.ask(f"{CLASSIC}/get")
    table.update(b"{")
    status = table.service.status()
    assert status["operations"] == {"update": 2, "get": 1, "delete": 1}
    assert status["metered_units"] == 7
    assert status["rejected"] == {404: 1, 400: 1}
