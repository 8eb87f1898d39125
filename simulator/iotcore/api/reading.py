"""From an HTTP request to the members of an operation's request.

Follows a shape of botocore's model: where each member is (path, query, header, body), its type, and
what it must satisfy. Total: any request gives members or one `ServiceFailure`, which lists what is
wrong in the words AWS uses. Members come out as Python has them: blobs as bytes, times as Unix
seconds, documents in headers decoded. Knows nothing about any one operation.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.api.constraints import faults, shown
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.iotcore.api.exchange import ApiRequest

_FAULTS_SHOWN: Final = 10
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_LONG: Final = 2**63
_KINDS: Final = {
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
    "timestamp": "a time",
    "string": "a string",
    "blob": "base64",
    "structure": "an object",
    "map": "an object",
    "list": "a list",
}


def read_members(
    shape: Any, path: Mapping[str, str], request: ApiRequest, invalid_code: str
) -> dict[str, Any]:
    """The members of a request; absent ones are left out, unknown ones are ignored.

    Args:
        shape: The input shape, a structure.
        path: Values of the labels in the path.
        request: The request.
        invalid_code: Code of the failure.

    Raises:
        TargetError: The query cannot be decoded.
        ServiceFailure: The body is no JSON object, a member has the wrong type, or members break
            what the model demands.
    """
    reader = _Reader(invalid_code)
    try:
        found = reader.request(shape, path, request)
    except RecursionError as error:
        raise ServiceFailure(invalid_code, "the body is nested too deeply") from error
    reader.check()
    return found


class _MistypedError(Exception):
    """A value is not of its type."""


class _Reader:
    """Reads one request and remembers what is wrong with it."""

    def __init__(self, invalid_code: str) -> None:
        self._invalid_code = invalid_code
        self._faults: list[str] = []

    def check(self) -> None:
        """Fail if anything was wrong."""
        count = len(self._faults)
        if count:
            plural = "" if count == 1 else "s"
            listed = "; ".join(self._faults[:_FAULTS_SHOWN])
            text = f"{count} validation error{plural} detected: {listed}"
            raise ServiceFailure(self._invalid_code, text)

    def request(self, shape: Any, path: Mapping[str, str], request: ApiRequest) -> dict[str, Any]:
        """The members, from wherever they are."""
        payload = shape.serialization.get("payload")
        members = shape.members
        document: dict[str, Any] = {}
        if payload is None and any(not _location(member) for member in members.values()):
            document = self._document(request.body)
        query: dict[str, list[str]] = {}
        for name, value in request.query():
            query.setdefault(name, []).append(value)
        found: dict[str, Any] = {}
        for name, member in members.items():
            if name == payload:
                value = self._payload(name, member, request.body)
            elif _location(member):
                value = self._outside(name, member, path, query, request.headers)
            else:
                value = self._inside(name, member, document.get(_key(member, name)))
            if value is not None:
                found[name] = value
        self._require(shape, found, "")
        return found

    def _document(self, body: bytes) -> dict[str, Any]:
        if not body.strip():
            return {}
        try:
            document = msgspec.json.decode(body)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ServiceFailure(self._invalid_code, "the body is not valid JSON") from error
        if not isinstance(document, dict):
            raise ServiceFailure(self._invalid_code, "the body must be a JSON object")
        return document

    def _payload(self, name: str, member: Any, body: bytes) -> Any:
        """A member that is the whole body."""
        if member.type_name == "structure":
            return self._inside(name, member, self._document(body)) if body.strip() else None
        if not body:
            return None
        if member.type_name == "blob":
            return self._checked(member, body, name)
        return self._inside(name, member, body.decode(errors="replace"))

    def _outside(
        self,
        name: str,
        member: Any,
        path: Mapping[str, str],
        query: Mapping[str, list[str]],
        headers: Mapping[str, str],
    ) -> Any:
        """A member in the path, the query or the headers."""
        location, key = _location(member), _key(member, name)
        if location == "headers":
            start = key.lower()
            return {
                header.removeprefix(start): value
                for header, value in headers.items()
                if header.startswith(start)
            }
        if location == "querystring" and member.type_name == "list":
            values: Any = query.get(key)
            return None if values is None else self._texts(name, member, values)
        text: str | None
        if location == "uri":
            text = path.get(key)
        elif location == "querystring":
            text = query.get(key, [None])[-1]
        else:
            text = headers.get(key.lower())
        return None if text is None else self._texts(name, member, text)

    def _texts(self, name: str, member: Any, given: Any) -> Any:
        """The value of a member that came as text."""
        if isinstance(given, list):
            values = [self._text(name, member.member, text) for text in given]
            return self._checked(member, values, name)
        if member.serialization.get("jsonvalue"):
            return self._json_value(name, given)
        return self._text(name, member, given)

    def _text(self, name: str, shape: Any, text: str) -> Any:
        try:
            value = _from_text(shape, text)
        except _MistypedError:
            raise self._mistyped(name, shape) from None
        return self._checked(shape, value, name)

    def _json_value(self, name: str, text: str) -> Any:
        """A JSON document in a header: base64, as SDKs send it."""
        try:
            return msgspec.json.decode(base64.b64decode(text, validate=True))
        except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError) as error:
            message = f"{name} must be base64 of a JSON document"
            raise ServiceFailure(self._invalid_code, message) from error

    def _inside(self, where: str, shape: Any, value: Any) -> Any:
        """The value of a member of a JSON document."""
        if value is None:
            return None
        kind = shape.type_name
        if kind == "structure":
            return self._structure(where, shape, self._typed(where, shape, value, dict))
        if kind == "map":
            entries = self._typed(where, shape, value, dict)
            for key in entries:
                self._checked(shape.key, key, f"{where}.key")
            items = {
                key: self._element(f"{where}.{key}", shape.value, entry)
                for key, entry in entries.items()
            }
            return self._checked(shape, items, where)
        if kind == "list":
            listed = [
                self._element(f"{where}.{number}.member", shape.member, entry)
                for number, entry in enumerate(self._typed(where, shape, value, list), start=1)
            ]
            return self._checked(shape, listed, where)
        try:
            return self._checked(shape, _from_json(shape, value), where)
        except _MistypedError:
            raise self._mistyped(where, shape) from None

    def _element(self, where: str, shape: Any, value: Any) -> Any:
        """An entry of a list or map, which cannot be absent."""
        if value is None:
            self._absent(where)
        return self._inside(where, shape, value)

    def _structure(self, where: str, shape: Any, value: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, member in shape.members.items():
            entry = self._inside(f"{where}.{name}", member, value.get(_key(member, name)))
            if entry is not None:
                found[name] = entry
        self._require(shape, found, f"{where}.")
        return found

    def _require(self, shape: Any, found: Mapping[str, Any], prefix: str) -> None:
        for name in shape.required_members:
            if name not in found:
                self._absent(f"{prefix}{name}")

    def _absent(self, where: str) -> None:
        text = f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
        self._faults.append(text)

    def _checked(self, shape: Any, value: Any, where: str) -> Any:
        for fault in faults(shape, value):
            quoted = shown(shape, value)
            self._faults.append(f"Value{quoted} at '{where}' failed to satisfy constraint: {fault}")
        return value

    def _typed(self, where: str, shape: Any, value: Any, kind: type) -> Any:
        if not isinstance(value, kind):
            raise self._mistyped(where, shape)
        return value

    def _mistyped(self, where: str, shape: Any) -> ServiceFailure:
        wanted = _KINDS.get(shape.type_name, shape.type_name)
        return ServiceFailure(self._invalid_code, f"Value at '{where}' must be {wanted}")


def _location(member: Any) -> str:
    return str(member.serialization.get("location", ""))


def _key(member: Any, name: str) -> str:
    return str(member.serialization.get("name", name))


def _from_text(shape: Any, text: str) -> Any:
    kind = shape.type_name
    if kind in {"integer", "long"}:
        if _INTEGER.fullmatch(text) is None:
            raise _MistypedError
        return _integer(int(text))
    if kind in {"float", "double"}:
        try:
            return _number(float(text))
        except ValueError:
            raise _MistypedError from None
    if kind == "boolean":
        if text.lower() not in {"true", "false"}:
            raise _MistypedError
        return text.lower() == "true"
    return _from_json(shape, text)


def _from_json(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "timestamp":
        return _time(value)
    if kind == "boolean":
        if isinstance(value, bool):
            return value
    elif kind in {"integer", "long"}:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return _integer(value)
    elif kind in {"float", "double"}:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _number(value)
    elif isinstance(value, str):
        return _bytes(value) if kind == "blob" else value
    raise _MistypedError


def _integer(value: int) -> int:
    if not -_LONG <= value < _LONG:
        raise _MistypedError
    return value


def _number(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise _MistypedError from None
    if not math.isfinite(number):
        raise _MistypedError
    return number


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _MistypedError from None


def _time(value: Any) -> float:
    """Unix seconds of a time in any of the three forms that service models have."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    if not isinstance(value, str) or len(value) > 64:  # noqa: PLR2004 - far longer than any time
        raise _MistypedError
    try:
        return _number(float(value))
    except ValueError:
        pass
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = read(value)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    raise _MistypedError
