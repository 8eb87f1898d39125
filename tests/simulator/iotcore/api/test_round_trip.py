"""Every operation of the three services, through botocore's own serializer and parser."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.response import StreamingBody
from botocore.serialize import create_serializer

from simulator.iotcore.api.exchange import ApiRequest
from simulator.iotcore.api.model import CONTROL, DATA, JOBS_DATA, Models, Operation
from simulator.iotcore.services.failures import ServiceFailure

MODELS = Models()
OPERATIONS = [pytest.param(operation, id=operation.label) for operation in MODELS]
UNIX_S = 1_767_225_600
"""2026-01-01T00:00:00Z."""

# Values of the patterns that letters do not satisfy.
TEXTS = {
    "AcmCertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/abc",
    "AwsAccountId": "123456789012",
    "CertificateId": "ab" * 32,
    "CertificatePathOnClient": "a",
    "ClientToken": "c" * 40,
    "DayOfMonth": "LAST",
    "ElasticsearchEndpoint": "https://example.com",
    "EvaluationStatistic": "p90",
    "FirehoseSeparator": ",",
    "IssuerId": "ab" * 32,
    "JobTemplateArn": "arn:aws:iot:us-east-1:123456789012:jobtemplate/a",
    "ManagedTemplateVersion": "1.0",
    "PackageVersionArn": "arn:aws:iot:us-east-1:123456789012:package/a",
    "PayloadVersion": "2026-01-01",
    "PolicyVersionId": "1",
    "ReasonCode": "CODE_1",
    "RegistrationCode": "ab" * 32,
    "SalesforceEndpoint": ("https://ingestion-a1.b2.sfdc-matrix.net/streams/s1/t1/event"),
    "StatusReasonCode": "CODE_1",
    "UnsignedLongParameterValue": "12",
}


def sample(shape: Any, seen: tuple[str, ...] = ()) -> Any:
    """A value that satisfies a shape and has every member, except where shapes contain themselves.

    As botocore's users write it: blobs as bytes, times as aware datetimes.
    """
    kind = shape.type_name
    if kind == "structure":
        if shape.name in seen:
            return {}
        names = list(shape.members)
        if shape.is_tagged_union:
            names = names[:1]
        deeper = (*seen, shape.name)
        values = {name: sample(shape.members[name], deeper) for name in names}
        return {name: value for name, value in values.items() if value not in ({}, [], [{}])}
    if kind == "list":
        entry = sample(shape.member, seen)
        return [entry] * max(1, shape.metadata.get("min", 1))
    if kind == "map":
        return {sample(shape.key): sample(shape.value, seen)}
    if kind == "string":
        return text(shape)
    if kind == "blob":
        return b"\x00blob\xff"
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return datetime.fromtimestamp(UNIX_S, UTC)
    return max(1, shape.metadata.get("min", 1))


def text(shape: Any) -> Any:
    """A text that satisfies a shape, with characters that URLs must encode where it may."""
    if shape.serialization.get("jsonvalue"):
        return [{"name": "value ü"}]
    if shape.enum:
        return shape.enum[0]
    if shape.name in TEXTS:
        return TEXTS[shape.name]
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 20)
    value = "a" if "pattern" in shape.metadata else "a b/+&=ü%2F"
    return (value * max(1, -(-least // len(value))))[: max(most, least)]


def as_read(shape: Any, value: Any) -> Any:
    """A sample as the API hands it to operations: times as Unix seconds."""
    if shape.type_name == "structure":
        return {name: as_read(shape.members[name], entry) for name, entry in value.items()}
    if shape.type_name == "list":
        return [as_read(shape.member, entry) for entry in value]
    if shape.type_name == "map":
        return {key: as_read(shape.value, entry) for key, entry in value.items()}
    return value.timestamp() if isinstance(value, datetime) else value


def serialised(operation: Operation, parameters: dict[str, Any]) -> ApiRequest:
    """The request botocore would send."""
    made = create_serializer("rest-json").serialize_to_request(parameters, operation._model)
    query = made["query_string"]
    if isinstance(query, dict):
        pairs = [
            (k, v)
            for k, given in query.items()
            for v in (given if isinstance(given, list) else [given])
        ]
        query = urlencode(pairs)
    body = made["body"]
    return ApiRequest(
        made["method"],
        f"{made['url_path']}?{query}" if query else made["url_path"],
        {name.lower(): value for name, value in made["headers"].items()},
        body if isinstance(body, bytes) else str(body or "").encode(),
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_request_reads_back_as_it_was_written(operation: Operation) -> None:
    """Botocore's serializer and this reader agree on every member of every operation."""
    shape = operation.input_shape
    parameters = sample(shape) if shape is not None else {}
    request = serialised(operation, parameters)
    route = MODELS.route(request.method, request.path, (operation.service,))
    assert route is not None
    assert route.operation is operation
    expected = as_read(shape, parameters) if shape is not None else {}
    assert operation.read(route.path, request) == expected


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_result_reads_back_as_it_was_given(operation: Operation) -> None:
    """Botocore's parser finds every member of every result where it looks for it."""
    shape = operation.output_shape
    expected = sample(shape) if shape is not None else {}
    given = as_read(shape, expected) if shape is not None else {}
    response = operation.write(given)
    assert response.status == (1 if "statusCode" in expected else 200)
    raw = {"status_code": response.status, "headers": response.headers, "body": response.body}
    if shape is not None and shape.serialization.get("payload"):
        raw["body"] = StreamingBody(io.BytesIO(response.body), len(response.body))
    parsed = create_parser("rest-json").parse(raw, shape)
    del parsed["ResponseMetadata"]
    found = {
        name: value.read() if isinstance(value, StreamingBody) else value
        for name, value in parsed.items()
    }
    assert found == expected


@pytest.mark.parametrize(
    ("code", "service", "status"),
    [
        ("ThrottlingException", CONTROL, 400),
        ("ThrottlingException", DATA, 429),
        ("ThrottlingException", JOBS_DATA, 429),
        ("ResourceNotFoundException", CONTROL, 404),
        ("LimitExceededException", CONTROL, 410),
        ("CertificateStateException", CONTROL, 406),
        ("RequestEntityTooLargeException", DATA, 413),
        ("GatewayTimeoutException", DATA, 504),
        ("TerminalStateException", JOBS_DATA, 410),
        ("ServiceQuotaExceededException", JOBS_DATA, 402),
    ],
)
def test_an_error_reads_back_with_the_status_of_its_service(
    code: str, service: str, status: int
) -> None:
    """The service model says the HTTP status of an error, whatever the operation thought."""
    operation = next(each for each in MODELS if each.service == service)
    response = operation.refuse(ServiceFailure(code, "what is wrong", 418), "trace")
    raw = {"status_code": response.status, "headers": response.headers, "body": response.body}
    parsed = create_parser("rest-json").parse(raw, operation.output_shape)
    assert parsed["Error"] == {"Message": "what is wrong", "Code": code}
    assert response.status == status
    traced = {"traceId": "trace"} if service == DATA else {}
    assert json.loads(response.body) == {"message": "what is wrong", **traced}
