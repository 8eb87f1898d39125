"""What a request may not be, in the words of AWS."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from typing import Any

import pytest

from simulator.iotcore.api.constraints import python_pattern
from simulator.iotcore.api.exchange import ApiRequest
from simulator.iotcore.api.model import CONTROL, DATA, JOBS_DATA, Models
from simulator.iotcore.services.failures import ServiceFailure

MODELS = Models()


def read(
    service: str,
    name: str,
    path: dict[str, str] | None = None,
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    body: Any = b"",
) -> dict[str, Any]:
    """Members of a request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = ApiRequest("POST", f"/x?{query}", headers or {}, data)
    return MODELS.operation(service, name).read(path or {}, request)


def refusal(*arguments: Any, **options: Any) -> str:
    """Code and message of the failure of a request."""
    with pytest.raises(ServiceFailure) as caught:
        read(*arguments, **options)
    assert caught.value.http_status == 400
    return str(caught.value)


PREFIX = "InvalidRequestException: 1 validation error detected: "


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a b", "Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+"),
        ("a" * 129, "Member must have length less than or equal to 128"),
    ],
)
def test_a_thing_name_is_checked(name: str, fault: str) -> None:
    """Length and pattern of the service model."""
    expected = f"{PREFIX}Value '{name}' at 'thingName' failed to satisfy constraint: {fault}"
    assert refusal(CONTROL, "DescribeThing", {"thingName": name}) == expected


def test_ranges_and_enumerations_are_checked() -> None:
    """What botocore leaves to the service: maxima, enumerations."""
    most = "failed to satisfy constraint: Member must have value less than or equal to 250"
    text = f"{PREFIX}Value '251' at 'maxResults' {most}"
    assert refusal(CONTROL, "ListThings", query="maxResults=251") == text
    assert read(CONTROL, "ListThings", query="maxResults=250") == {"maxResults": 250}
    qos = "failed to satisfy constraint: Member must have value less than or equal to 1"
    text = f"{PREFIX}Value '2' at 'qos' {qos}"
    assert refusal(DATA, "Publish", {"topic": "a"}, query="qos=2") == text
    text = refusal(
        CONTROL, "UpdateCertificate", {"certificateId": "ab" * 32}, query="newStatus=GONE"
    )
    assert "Value 'GONE' at 'newStatus'" in text
    assert "Member must satisfy enum value set: [ACTIVE, INACTIVE, REVOKED, " in text


def test_everything_that_is_wrong_is_listed() -> None:
    """Several faults make one failure."""
    text = refusal(CONTROL, "CreateTopicRule", {"ruleName": "a-b"})
    assert text.startswith("InvalidRequestException: 2 validation errors detected: ")
    assert "at 'ruleName'" in text
    null = "Value null at 'topicRulePayload' failed to satisfy constraint: Member must not be null"
    assert null in text


def test_required_members_are_required_at_every_depth() -> None:
    """The path of a missing member names the list entry it is missing in."""
    body: dict[str, Any] = {"files": [{"fileId": 0}], "roleArn": 5 * "role"}
    body["tags"] = [{"Value": "v"}]
    text = refusal(CONTROL, "CreateStream", {"streamId": "s"}, body=body)
    where = "Value null at 'tags.1.member.Key' failed to satisfy constraint"
    assert text == f"{PREFIX}{where}: Member must not be null"
    body["tags"] = [None]
    text = refusal(CONTROL, "CreateStream", {"streamId": "s"}, body=body)
    assert "Value null at 'tags.1.member'" in text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "the body is not valid JSON"),
        (b"\xff", "the body is not valid JSON"),
        (b"[]", "the body must be a JSON object"),
        (b"[" * 100_000, "the body is not valid JSON"),
        ({"thingTypeName": 5}, "Value at 'thingTypeName' must be a string"),
        ({"attributePayload": []}, "Value at 'attributePayload' must be an object"),
        (
            {"attributePayload": {"merge": "yes"}},
            "Value at 'attributePayload.merge' must be true or false",
        ),
    ],
)
def test_a_body_of_the_wrong_kind_is_refused(body: Any, text: str) -> None:
    """JSON, an object, members of their types."""
    found = refusal(CONTROL, "CreateThing", {"thingName": "a"}, body=body)
    assert found.partition(": ")[2].startswith(text.partition(" is not valid")[0])


def test_services_differ_in_the_error_of_an_invalid_request() -> None:
    """Newer operations have ValidationException where older ones have InvalidRequestException."""
    assert refusal(JOBS_DATA, "StartCommandExecution").startswith("ValidationException: 2 ")
    assert refusal(JOBS_DATA, "GetPendingJobExecutions").startswith("InvalidRequestException: 1 ")


def test_unknown_members_are_ignored_and_nulls_are_absent() -> None:
    """As a service takes requests of newer clients."""
    body = {"thingTypeName": None, "colour": "red"}
    assert read(CONTROL, "CreateThing", {"thingName": "a"}, body=body) == {"thingName": "a"}


def test_texts_in_a_query_become_their_types() -> None:
    """Booleans and integers, and nothing that only looks like one."""
    path = {"clientId": "c"}
    found = read(DATA, "SendDirectMessage", path, query="topic=t&confirmation=TRUE&timeout=15")
    assert found == {"clientId": "c", "topic": "t", "confirmation": True, "timeout": 15}
    for query in ("topic=t&confirmation=1", "topic=t&timeout=5s", "topic=t&timeout=" + "9" * 19):
        assert "Value at" in refusal(DATA, "SendDirectMessage", path, query=query)


def test_a_query_that_cannot_be_read_is_refused() -> None:
    """Damaged encoding and parameters without end."""
    for query in ("topic=%ff", "&".join("a=1" for _ in range(1_000))):
        text = refusal(DATA, "SendDirectMessage", {"clientId": "c"}, query=query)
        assert text == "InvalidRequestException: the query string cannot be read"


def test_user_properties_come_in_base64() -> None:
    """A JSON document in a header is base64, which SDKs add by themselves."""
    header = "x-amz-mqtt5-user-properties"
    encoded = base64.b64encode(b'[{"a":"1"}]').decode()
    found = read(DATA, "Publish", {"topic": "t"}, headers={header: encoded})
    assert found["userProperties"] == [{"a": "1"}]
    text = refusal(DATA, "Publish", {"topic": "t"}, headers={header: '[{"a":"1"}]'})
    assert text == "InvalidRequestException: userProperties must be base64 of a JSON document"


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00Z", "2026-01-01T09:00:00+09:00", "1767225600", "2026-01-01"]
)
def test_times_come_in_several_forms(text: str) -> None:
    """ISO 8601 and Unix time are the same second."""
    query = f"startTime={text.replace('+', '%2B')}&endTime={text.replace('+', '%2B')}"
    found = read(CONTROL, "ListViolationEvents", query=query)
    assert found["startTime"] == found["endTime"] == 1_767_225_600.0


def test_secrets_are_not_quoted() -> None:
    """A value the model calls sensitive does not appear in an error."""
    sensitive = [
        (operation, name)
        for operation in MODELS
        if operation.input_shape is not None
        for name, shape in operation.input_shape.members.items()
        if shape.metadata.get("sensitive") and shape.metadata.get("max")
    ]
    for operation, name in sensitive:
        shape = operation.input_shape.members[name]
        value = "secret" * shape.metadata["max"]
        key = shape.serialization.get("name", name)
        with pytest.raises(ServiceFailure) as caught:
            operation.read({}, ApiRequest("POST", "/x", {}, json.dumps({key: value}).encode()))
        assert "secret" not in caught.value.message


def test_every_pattern_of_the_models_is_understood() -> None:
    """Java's classes are translated; no member goes unchecked with this botocore."""
    patterns = {
        shape.metadata["pattern"]
        for service in {operation._service_model for operation in MODELS}
        for shape in map(service.shape_for, service.shape_names)
        if "pattern" in shape.metadata
    }
    assert len(patterns) > 40
    for pattern in patterns:
        python_pattern(pattern)
        # Classes are translated to the inside of brackets, where all of them stand.
        assert "\\p" not in re.sub(r"\[[^\]]*\]", "", pattern)


@pytest.mark.parametrize(
    ("pattern", "fits", "breaks"),
    [
        (r"[^\p{C}]*", ["", "plain", "日本 é", "emoji \U0001f697"], ["a\nb", "\x00", "a\u200bb"]),
        (r"[\p{Graph}\x20]*", ["a b~!", ""], ["é", "a\tb", "\x7f"]),
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", ["Größe 5", "a/b:c=d", "日本"], ["a;b", "a\tb"]),
        (r"[\p{Upper}\p{Digit}_]+", ["CODE_1"], ["code", "É", ""]),
        (r"[^\p{Cntrl}]*", ["a b", "é"], ["a\x1fb", "\x7f"]),
        (r"^[1-9]+.[0-9]+", ["1.0"], ["1.", "0.1"]),
    ],
)
def test_java_classes_mean_the_same_here(pattern: str, fits: list[str], breaks: list[str]) -> None:
    """Examples on both sides of each class; a pattern must match the whole value."""
    matcher = python_pattern(pattern)
    assert [text for text in fits if not matcher.fullmatch(text)] == []
    assert [text for text in breaks if matcher.fullmatch(text)] == []


def test_controls_are_all_of_them() -> None:
    """The class C is Unicode's categories Cc, Cf, Cs, Co and Cn of the basic plane."""
    matcher = python_pattern(r"[\p{C}]")
    for code in range(0x10000):
        is_control = unicodedata.category(chr(code))[0] == "C"
        assert (matcher.fullmatch(chr(code)) is not None) is is_control
