from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.shadow import ShadowService
from simulator.iotcore.services.shadow_store import ShadowLimits

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer

LAMP: dict[str, Any] = {"thingName": "lamp"}
INVALID = "InvalidRequestException"
NIGHT = {"shadowName": "night"}
UPDATE = {"payload": b'{"state":{"desired":{"a":1}},"clientToken":"t"}'}


@pytest.fixture(scope="module")
def model() -> Any:
    """The `iot-data` service model AWS publishes."""
    return botocore.session.Session().get_service_model("iot-data")


@pytest.fixture
def service() -> ShadowService:
    """A service without shadows, at Unix time 1,700,000,000."""
    return ShadowService(1_700_000_000.0)


def topics(answers: list[Answer]) -> list[str]:
    """Where the answers are published."""
    return [answer.message.topic for answer in answers]


def test_results_have_the_shape_of_the_service_model(model: Any, service: ShadowService) -> None:
    """Every member is one of the model's, of its type."""
    results = {
        "UpdateThingShadow": service.update_thing_shadow(LAMP | NIGHT | UPDATE, 0)[0],
        "GetThingShadow": service.get_thing_shadow(LAMP | NIGHT, 0)[0],
        "ListNamedShadowsForThing": service.list_named_shadows_for_thing(LAMP, 0)[0],
        "DeleteThingShadow": service.delete_thing_shadow(LAMP | NIGHT, 0)[0],
    }
    for operation, result in results.items():
        shape = model.operation_model(operation).output_shape
        report = ParamValidator().validate(result, shape)
        assert not report.has_errors(), report.generate_report()
        assert result.keys() <= shape.members.keys()


def test_an_update_answers_its_caller_and_tells_the_devices(service: ShadowService) -> None:
    """The response is the accepted document; accepted, delta and documents are published."""
    result, answers = service.update_thing_shadow(LAMP | UPDATE, 0)
    assert json.loads(result["payload"]) == {
        "state": {"desired": {"a": 1}},
        "metadata": {"desired": {"a": {"timestamp": 1_700_000_000}}},
        "version": 1,
        "timestamp": 1_700_000_000,
        "clientToken": "t",
    }
    assert topics(answers) == [
        "$aws/things/lamp/shadow/update/accepted",
        "$aws/things/lamp/shadow/update/delta",
        "$aws/things/lamp/shadow/update/documents",
    ]


def test_a_get_publishes_nothing(service: ShadowService) -> None:
    """Only its caller reads the answer."""
    service.update_thing_shadow(LAMP | UPDATE, 0)
    result, answers = service.get_thing_shadow(LAMP, 1)
    document = json.loads(result["payload"])
    assert document["state"] == {"desired": {"a": 1}, "delta": {"a": 1}}
    assert "clientToken" not in document
    assert answers == []


def test_a_delete_is_published(service: ShadowService) -> None:
    """Devices learn of it as of one over MQTT."""
    service.update_thing_shadow(LAMP | UPDATE, 0)
    result, answers = service.delete_thing_shadow(LAMP, 1)
    assert json.loads(result["payload"]) == {"version": 1, "timestamp": 1_700_000_001}
    assert topics(answers) == ["$aws/things/lamp/shadow/delete/accepted"]


def test_both_ways_lead_to_the_same_shadow(service: ShadowService) -> None:
    """What HTTP writes, MQTT reads."""
    service.update_thing_shadow(LAMP | NIGHT | UPDATE, 0)
    message = Message("$aws/things/lamp/shadow/name/night/get", b"", 0, 0.0)
    (answer,) = service.handle(message, "device", 0.0)
    assert json.loads(answer.message.payload)["state"]["desired"] == {"a": 1}


@pytest.mark.parametrize(
    ("operation", "method", "request_members", "code"),
    [
        ("GetThingShadow", "get_thing_shadow", LAMP, "ResourceNotFoundException"),
        ("DeleteThingShadow", "delete_thing_shadow", LAMP | NIGHT, "ResourceNotFoundException"),
        ("GetThingShadow", "get_thing_shadow", {}, INVALID),
        ("GetThingShadow", "get_thing_shadow", {"thingName": "la mp"}, INVALID),
        ("GetThingShadow", "get_thing_shadow", LAMP | {"shadowName": ""}, INVALID),
        ("UpdateThingShadow", "update_thing_shadow", LAMP, INVALID),
        ("UpdateThingShadow", "update_thing_shadow", LAMP | {"payload": b"{"}, INVALID),
        ("UpdateThingShadow", "update_thing_shadow", LAMP | {"payload": "{}"}, INVALID),
        (
            "UpdateThingShadow",
            "update_thing_shadow",
            LAMP | {"payload": b"\xff"},
            "UnsupportedDocumentEncodingException",
        ),
        (
            "UpdateThingShadow",
            "update_thing_shadow",
            LAMP | {"payload": b'{"state":{},"version":9}'},
            "ConflictException",
        ),
        (
            "UpdateThingShadow",
            "update_thing_shadow",
            LAMP | {"payload": b" " * 131_073},
            "RequestEntityTooLargeException",
        ),
        (
            "ListNamedShadowsForThing",
            "list_named_shadows_for_thing",
            LAMP | {"pageSize": 101},
            INVALID,
        ),
        (
            "ListNamedShadowsForThing",
            "list_named_shadows_for_thing",
            LAMP | {"nextToken": "%"},
            INVALID,
        ),
    ],
)
def test_failures_are_those_of_the_service_model(
    model: Any,
    service: ShadowService,
    operation: str,
    method: str,
    request_members: dict[str, Any],
    code: str,
) -> None:
    """Name and status are what the model gives for the operation; each is counted."""
    with pytest.raises(ServiceFailure) as caught:
        getattr(service, method)(request_members, 0)
    errors = {
        shape.name: shape.metadata["error"]["httpStatusCode"]
        for shape in model.operation_model(operation).error_shapes
    }
    assert caught.value.code == code
    assert caught.value.http_status == errors[code]
    assert service.status()["rejected"] == {caught.value.http_status: 1}


def test_a_full_store_is_an_internal_failure(model: Any) -> None:
    """The stand-in's own bound has the one code of the model that is not the caller's fault."""
    service = ShadowService(0.0, limits=ShadowLimits(shadows=0))
    with pytest.raises(ServiceFailure, match="at most 0 shadows") as caught:
        service.update_thing_shadow(LAMP | UPDATE, 0)
    shape = model.shape_for(caught.value.code)
    assert caught.value.http_status == shape.metadata["error"]["httpStatusCode"] == 500


def list_all(service: ShadowService, page_size: int) -> list[list[str]]:
    """All pages of names of the shadows of a lamp."""
    pages, token = [], None
    while True:
        page, _ = service.list_named_shadows_for_thing(
            LAMP | {"nextToken": token, "pageSize": page_size}, 0
        )
        pages.append(page["results"])
        token = page.get("nextToken")
        if token is None:
            return pages


def test_listing_in_pages(service: ShadowService) -> None:
    """Names in order, no token after the last page, the classic shadow not among them."""
    service.update_thing_shadow(LAMP | UPDATE, 0)
    for name in ("c", "$p", "a", "b"):
        service.update_thing_shadow(LAMP | UPDATE | {"shadowName": name}, 0)
    assert list_all(service, 2) == [["$p", "a"], ["b", "c"]]
    assert list_all(service, 3) == [["$p", "a", "b"], ["c"]]
    assert list_all(service, 100) == [["$p", "a", "b", "c"]]


def test_listing_goes_on_when_shadows_come_and_go(service: ShadowService) -> None:
    """A token still works when the shadow it came from is gone; none is shown twice."""
    for name in ("a", "b", "c"):
        service.update_thing_shadow(LAMP | UPDATE | {"shadowName": name}, 0)
    page, _ = service.list_named_shadows_for_thing(LAMP | {"pageSize": "2"}, 0)
    service.delete_thing_shadow(LAMP | {"shadowName": "b"}, 0)
    service.update_thing_shadow(LAMP | UPDATE | {"shadowName": "aa"}, 0)
    rest, _ = service.list_named_shadows_for_thing(LAMP | {"nextToken": page["nextToken"]}, 0)
    assert rest["results"] == ["c"]


def test_listing_an_unknown_thing(service: ShadowService) -> None:
    """The list is empty, as the developer guide says, also when things are asked for."""
    limits = ShadowLimits(things_must_exist=True)
    strict = ShadowService(1_700_000_000.0, limits=limits, thing_exists=lambda _: False)
    for either in (service, strict):
        result, answers = either.list_named_shadows_for_thing({"thingName": "ghost"}, 3)
        assert result == {"results": [], "timestamp": 1_700_000_003}
        assert answers == []


def test_a_page_has_25_names_unless_asked_otherwise(service: ShadowService) -> None:
    """The default page size."""
    for number in range(30):
        service.update_thing_shadow(LAMP | UPDATE | {"shadowName": f"s{number:02}"}, 0)
    page, _ = service.list_named_shadows_for_thing(LAMP, 0)
    assert len(page["results"]) == 25
