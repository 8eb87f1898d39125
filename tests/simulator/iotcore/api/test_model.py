"""From a method and a path to an operation."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.api.exchange import ApiRequest
from simulator.iotcore.api.model import (
    CONTROL,
    DATA,
    DEVICE_SERVICES,
    JOBS_DATA,
    SERVICES,
    Models,
    Operation,
    services_signed_as,
)
from simulator.iotcore.services.failures import ServiceFailure

MODELS = Models()
METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"]


def routed(method: str, path: str, signed_as: str | None = None) -> tuple[str, dict[str, str]]:
    """Label of the operation and the values in its path."""
    route = MODELS.route(method, path, services_signed_as(signed_as))
    assert route is not None
    return route.operation.label, route.path


@pytest.mark.parametrize(
    ("method", "path", "label", "values"),
    [
        ("POST", "/things/car-1", "iot.CreateThing", {"thingName": "car-1"}),
        ("GET", "/things/car%20ü", "iot.DescribeThing", {"thingName": "car ü"}),
        ("POST", "/topics/a%2Fb%2B%25", "iot-data.Publish", {"topic": "a/b+%"}),
        ("POST", "/topics/a/b%2Fc", "iot-data.Publish", {"topic": "a/b/c"}),
        ("GET", "/things/c/shadow", "iot-data.GetThingShadow", {"thingName": "c"}),
        ("GET", "/connections/a%2Fb", "iot-data.GetConnection", {"clientId": "a/b"}),
        ("PUT", "/things/c/jobs/$next", "iot-jobs-data.StartNextPendingJobExecution", None),
        ("PUT", "/things/c/jobs/%24next", "iot-jobs-data.StartNextPendingJobExecution", None),
        ("POST", "/things/c/jobs/j", "iot-jobs-data.UpdateJobExecution", None),
        ("GET", "/authorizers/", "iot.ListAuthorizers", {}),
        ("GET", "/authorizers", "iot.ListAuthorizers", {}),
        ("PUT", "/thing-groups/addThingToThingGroup", "iot.AddThingToThingGroup", {}),
        ("GET", "/confirmdestination/a/b", "iot.ConfirmTopicRuleDestination", None),
        ("GET", "/confirmdestination/a", "iot.ConfirmTopicRuleDestination", None),
    ],
)
def test_a_path_finds_its_operation(
    method: str, path: str, label: str, values: dict[str, str] | None
) -> None:
    """Labels are decoded; a slash inside one does not end it; fixed levels win over labels."""
    found, path_values = routed(method, path)
    assert found == label
    assert values is None or path_values == values


@pytest.mark.parametrize(
    ("method", "path", "signed_as", "label"),
    [
        ("GET", "/things/c/jobs", "iot", "iot.ListJobExecutionsForThing"),
        ("GET", "/things/c/jobs", "iot-jobs-data", "iot-jobs-data.GetPendingJobExecutions"),
        ("GET", "/things/c/jobs/j", "iot", "iot.DescribeJobExecution"),
        ("GET", "/things/c/jobs/j", "iot-jobs-data", "iot-jobs-data.DescribeJobExecution"),
        ("POST", "/command-executions", "iot", "iot.ListCommandExecutions"),
        ("POST", "/command-executions", "iot-jobs-data", "iot-jobs-data.StartCommandExecution"),
        ("GET", "/things/c/shadow", "iotdevicegateway", "iot-data.GetThingShadow"),
        ("GET", "/things/c/shadow", "iotdata", "iot-data.GetThingShadow"),
        ("GET", "/things/c/shadow", "iot", "iot-data.GetThingShadow"),
    ],
)
def test_the_signature_decides_where_paths_collide(
    method: str, path: str, signed_as: str, label: str
) -> None:
    """Three services share one port; the service signed for is searched first, then the others."""
    assert routed(method, path, signed_as)[0] == label


def test_only_known_paths_collide() -> None:
    """Three pairs of paths mean two operations; a new botocore with more must be looked at."""
    owners: dict[tuple[str, str], set[str]] = {}
    for operation in MODELS:
        http = operation._model.http
        owners.setdefault((http["method"], http["requestUri"]), set()).add(operation.label)
    assert {key for key, labels in owners.items() if len(labels) > 1} == {
        ("GET", "/things/{thingName}/jobs"),
        ("GET", "/things/{thingName}/jobs/{jobId}"),
        ("POST", "/command-executions"),
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/"),
        ("GET", "/nothing/here"),
        ("PUT", "/things/car-1"),
        ("DELETE", "/things/"),
        ("GET", "/things/%ff"),
        ("GET", "/" + "a" * 10_000),
        ("BREW", "/things/car-1"),
    ],
)
def test_other_paths_find_nothing(method: str, path: str) -> None:
    """Wrong method, empty label, damaged encoding and giant paths are no operation."""
    assert MODELS.route(method, path) is None


def test_a_device_does_not_find_the_control_plane() -> None:
    """A request with a client certificate and no signature reaches the data planes only."""
    assert MODELS.route("POST", "/things/car-1", DEVICE_SERVICES) is None
    found = MODELS.route("GET", "/things/car-1/jobs", DEVICE_SERVICES)
    assert found is not None
    assert found.operation.service == JOBS_DATA


def test_every_operation_of_a_service_has_a_route() -> None:
    """272 operations of `iot`, 11 of `iot-data`, 5 of `iot-jobs-data`, in botocore 1.44 or more."""
    counts = {service: sum(each.service == service for each in MODELS) for service in SERVICES}
    assert counts[CONTROL] >= 272
    assert counts[DATA] >= 11
    assert counts[JOBS_DATA] >= 5


OPERATIONS = sorted(MODELS, key=lambda operation: operation.label)
TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(method=st.sampled_from(METHODS), path=st.text(max_size=60))
def test_any_path_is_routed_or_not(method: str, path: str) -> None:
    """Routing never raises."""
    MODELS.route(method, f"/{path}")


@given(
    operation=st.sampled_from(OPERATIONS),
    query=st.text(alphabet="ab=&%;+123true", max_size=40),
    headers=st.dictionaries(
        st.sampled_from(["x-amz-mqtt5-user-properties", "x-amzn-principal", "x-amz-tagging"]), TEXT
    ),
    body=st.binary(max_size=60),
)
def test_any_request_has_members_or_one_failure(
    operation: Operation, query: str, headers: dict[str, str], body: bytes
) -> None:
    """Reading raises nothing but ServiceFailure, whatever was sent."""
    request = ApiRequest("POST", f"/x?{query}", headers, body)
    labels = dict.fromkeys(("thingName", "jobId", "topic", "clientId"), "1")
    with suppress(ServiceFailure):
        assert isinstance(operation.read(labels, request), dict)


@given(operation=st.sampled_from(OPERATIONS), data=st.data())
def test_any_document_has_members_or_one_failure(operation: Operation, data: st.DataObject) -> None:
    """Members of the right names and the wrong kinds are refused, not crashed on."""
    shape = operation.input_shape
    if shape is None:
        return
    names = list(shape.members)
    document = data.draw(st.dictionaries(st.sampled_from(names), JSON)) if names else {}
    request = ApiRequest("POST", "/x", {}, msgspec.json.encode(document))
    with suppress(ServiceFailure):
        assert isinstance(operation.read({}, request), dict)
