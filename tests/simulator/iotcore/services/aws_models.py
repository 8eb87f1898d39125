"""The service models AWS publishes with botocore, as judges of request and answer documents."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import botocore.loaders
import botocore.model
import botocore.parsers

# Character classes of Java's regular expressions that Python's do not have.
_JAVA_CLASSES = {
    r"[^\p{C}]": r"[^\x00-\x1f\x7f]",
    r"\p{L}\p{Z}\p{N}": r"\w\s",
    r"\p{Graph}": r"\x21-\x7e",
}


@functools.cache
def model(service: str) -> botocore.model.ServiceModel:
    """The model of one service."""
    loader = botocore.loaders.Loader()
    return botocore.model.ServiceModel(loader.load_service_model(service, "service-2"))


def check_request(service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """The request, when an AWS SDK would send it."""
    shape = model(service).operation_model(operation).input_shape
    _walk(shape, request, operation)
    return request


def check_result(service: str, operation: str, result: dict[str, Any]) -> Any:
    """What an AWS SDK makes of a result, which must have no member it does not know."""
    shape = model(service).operation_model(operation).output_shape
    wire = json.loads(json.dumps(result))
    if shape is None:
        assert wire == {}
        return {}
    _walk(shape, wire, operation)
    status = wire.pop("statusCode", 200)
    answer = {"body": json.dumps(wire).encode(), "headers": {}, "status_code": status}
    parsed = botocore.parsers.create_parser("rest-json").parse(answer, shape)
    parsed.pop("ResponseMetadata")
    return parsed


def check_failure(service: str, operation: str, code: str, http_status: int) -> None:
    """An exception that the operation can have, with its status."""
    shapes = model(service).operation_model(operation).error_shapes
    known = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in shapes}
    assert known.get(code) == http_status, f"{operation}: {code} {http_status}"


def check_shape(shape: Any, value: Any) -> None:
    """A value that a shape allows."""
    _walk(shape, value, shape.name)


def _walk(shape: Any, value: Any, where: str) -> None:
    if shape.type_name == "structure":
        assert isinstance(value, dict), where
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{where}: unknown members {unknown}"
        missing = set(shape.required_members) - set(value)
        assert not missing, f"{where}: missing members {missing}"
        for name, child in value.items():
            _walk(shape.members[name], child, f"{where}.{name}")
    elif shape.type_name == "list":
        assert isinstance(value, list), where
        for child in value:
            _walk(shape.member, child, f"{where}[]")
    elif shape.type_name == "map":
        assert isinstance(value, dict), where
        for key, child in value.items():
            _walk(shape.key, key, f"{where} key")
            _walk(shape.value, child, f"{where}.{key}")
    else:
        _scalar(shape, value, where)


def _scalar(shape: Any, value: Any, where: str) -> None:
    kinds: dict[str, Any] = {
        "string": str,
        "blob": str,  # base64 on the wire
        "boolean": bool,
        "integer": int,
        "long": int,
        "double": (int, float),
        "float": (int, float),
        "timestamp": (int, float),  # epoch seconds on the wire
    }
    assert isinstance(value, kinds[shape.type_name]), f"{where}: {value!r}"
    if shape.type_name != "string":
        return
    limits = shape.metadata
    assert len(value) >= limits.get("min", 0), where
    assert len(value) <= limits.get("max", len(value)), where
    assert value in limits.get("enum", [value]), f"{where}: {value!r}"
    pattern = limits.get("pattern", r"[\s\S]*")
    if shape.name == "StatusReasonCode":
        pattern = "[$]?" + pattern  # the guide's own $NO_RESPONSE_FROM_DEVICE
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    assert re.fullmatch(pattern, value), f"{where}: {value!r} does not match {pattern}"
