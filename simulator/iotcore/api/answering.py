"""From the result of an operation, or its failure, to an HTTP answer (the protocol `rest-json`).

Follows a shape of botocore's model: what goes into the status, the headers, the body. Knows nothing
about any one operation.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.api.exchange import ApiResponse
from simulator.iotcore.control.failures import AlreadyExists

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.iotcore.services.failures import ServiceFailure

JSON: Final = "application/json"
ERROR_TYPE: Final = "x-amzn-errortype"


def write_result(shape: Any, result: Mapping[str, Any], status: int, operation: str) -> ApiResponse:
    """The answer for a result.

    Args:
        shape: The output shape, or None.
        result: Members by name; None counts as absent, unknown ones are left out.
        status: HTTP status, unless a member says another.
        operation: For counting.
    """
    if shape is None:
        # SDKs look at nothing; people with curl see what the service says beside the model.
        said = msgspec.json.encode(result) if result else b""
        return ApiResponse(status, {"content-type": JSON}, said, operation)
    headers: dict[str, str] = {"content-type": JSON}
    payload = shape.serialization.get("payload")
    document: dict[str, Any] = {}
    body: bytes | None = None
    for name, member in shape.members.items():
        value = result.get(name)
        if value is None:
            continue
        location = member.serialization.get("location")
        key = str(member.serialization.get("name", name))
        if name == payload:
            body, headers["content-type"] = _payload(member, value)
        elif location == "statusCode":
            status = int(value)
        elif location == "header":
            headers[key.lower()] = _header(member, value)
        elif location == "headers":
            headers |= {f"{key}{entry}".lower(): str(text) for entry, text in value.items()}
        else:
            document[key] = _plain(member, value)
    if body is None:
        body = b"" if payload is not None else msgspec.json.encode(document)
    return ApiResponse(status, headers, body, operation)


def write_failure(
    failure: ServiceFailure, status: int, operation: str = "", trace_id: str | None = None
) -> ApiResponse:
    """The answer for a failure.

    Args:
        failure: What went wrong.
        status: HTTP status.
        operation: For counting.
        trace_id: What the device gateway's errors have beside the message.
    """
    more = failure.members if isinstance(failure, AlreadyExists) else {}
    if trace_id is not None:
        more = {**more, "traceId": trace_id}
    return ApiResponse(
        status,
        {"content-type": JSON, ERROR_TYPE: failure.code},
        msgspec.json.encode({"message": failure.message, **more}),
        operation,
        failure.code,
    )


def _payload(member: Any, value: Any) -> tuple[bytes, str]:
    """A member that is the whole body, and its content type."""
    if member.type_name == "blob":
        # The only ones are shadow documents, which are JSON.
        return bytes(value), JSON
    if member.type_name == "structure":
        return msgspec.json.encode(_plain(member, value)), JSON
    return str(value).encode(), "text/plain"


def _plain(shape: Any, value: Any) -> Any:
    """A value as JSON has it."""
    kind = shape.type_name
    if kind == "structure":
        return {
            str(member.serialization.get("name", name)): _plain(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if kind == "map":
        return {str(key): _plain(shape.value, entry) for key, entry in value.items()}
    if kind == "list":
        return [_plain(shape.member, entry) for entry in value]
    if kind == "timestamp":
        return _time(shape.serialization.get("timestampFormat", "unixTimestamp"), value)
    if kind == "blob":
        # Services that keep blobs as they came in the JSON document have them in base64.
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value
    return value


def _header(shape: Any, value: Any) -> str:
    if shape.serialization.get("jsonvalue"):
        return base64.b64encode(msgspec.json.encode(value)).decode()
    if shape.type_name == "timestamp":
        return str(_time(shape.serialization.get("timestampFormat", "rfc822"), value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _time(form: str, unix_s: float) -> str | float:
    if form == "unixTimestamp":
        return round(float(unix_s), 3)
    time = datetime.fromtimestamp(unix_s, UTC)
    if form == "iso8601":
        return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return format_datetime(time.replace(microsecond=0), usegmt=True)
