"""Reading shadow requests: any bytes give a request or the failure AWS answers.

Error texts are those of the developer guide ("Device Shadow error messages") unless a live answer
is on record with another one. Knows nothing about stored shadows.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import msgspec

from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.shadow_document import DESIRED, REPORTED, JsonObject

CLIENT_TOKEN_BYTES_MAX = 64
INVALID_REQUEST = "InvalidRequestException"
THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
SHADOW_NAME = re.compile(r"[$a-zA-Z0-9:_-]{1,64}")
"""Patterns and lengths of the `iot-data` service model."""

_ROOT = ("$aws", "things")
_VERBS = frozenset(("get", "update", "delete"))
_CLASSIC_LEVELS, _NAMED_LEVELS = 5, 7


class ShadowAddress(NamedTuple):
    """Which shadow.

    Attributes:
        thing: Name of its thing.
        name: Its own name; None for the classic shadow.
    """

    thing: str
    name: str | None = None

    @property
    def prefix(self) -> str:
        """What its topics start with."""
        classic = f"$aws/things/{self.thing}/shadow"
        return classic if self.name is None else f"{classic}/name/{self.name}"

    @property
    def label(self) -> str:
        """How AWS calls it in error messages."""
        return self.thing if self.name is None else f"{self.thing}~{self.name}"

    def check(self) -> None:
        """Refuse names that AWS does not take.

        Raises:
            ServiceFailure: InvalidRequestException. The texts are the stand-in's own.
        """
        if THING_NAME.fullmatch(self.thing) is None:
            raise invalid("Invalid thingName")
        if self.name is not None and SHADOW_NAME.fullmatch(self.name) is None:
            raise invalid("Invalid shadowName")


class ShadowTopic(NamedTuple):
    """A request topic taken apart: the shadow and `get`, `update` or `delete`."""

    address: ShadowAddress
    verb: str


def shadow_topic(topic: str) -> ShadowTopic | None:
    """The parts of a request topic; None for every other topic."""
    levels = topic.split("/")
    if tuple(levels[:2]) != _ROOT or levels[-1] not in _VERBS:
        return None
    if len(levels) == _CLASSIC_LEVELS and levels[3] == "shadow":
        return ShadowTopic(ShadowAddress(levels[2]), levels[-1])
    if len(levels) == _NAMED_LEVELS and levels[3:5] == ["shadow", "name"]:
        return ShadowTopic(ShadowAddress(levels[2], levels[5]), levels[-1])
    return None


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """A well-formed update.

    Attributes:
        state: `desired` and `reported`, each an object or None, or neither; None empties both.
        version: The version it is for, if it names one.
        client_token: To be repeated in the answers.
    """

    state: JsonObject | None
    version: int | None
    client_token: str | None


def read_update(payload: bytes, levels_max: int) -> UpdateRequest:
    """Read the payload of an update.

    Args:
        payload: Any bytes.
        levels_max: Objects and arrays inside each other, the section being the first.

    Raises:
        ServiceFailure: It is none; status 400 or 415.
    """
    document = _decode(payload) if payload else None
    if not isinstance(document, dict):
        raise invalid("Missing required node: state")
    client_token = _client_token(document)
    if "state" not in document:
        raise invalid("Missing required node: state")
    version = document.get("version")
    if version is not None and (
        not isinstance(version, int) or isinstance(version, bool) or version < 0
    ):
        raise invalid("Invalid version")
    return UpdateRequest(_state(document["state"], levels_max), version, client_token)


def read_get(payload: bytes) -> str | None:
    """The client token of a get, if it has one. No payload is fine.

    Raises:
        ServiceFailure: There is a payload and it is no JSON, or its token is invalid.
    """
    document = _decode(payload) if payload else None
    return _client_token(document) if isinstance(document, dict) else None


def find_client_token(payload: bytes) -> str | None:
    """The client token of a payload that may be anything; None when there is no valid one."""
    try:
        return read_get(payload)
    except ServiceFailure:
        return None


def check_nodes(node: Any, levels_max: int, name: str) -> None:
    """Refuse values a shadow cannot hold.

    Args:
        node: An object, array or other value of a section.
        levels_max: Objects and arrays it may have inside each other, itself included.
        name: Its name, for the message.

    Raises:
        ServiceFailure: It is nested too deeply, or an array has a null inside.
    """
    _check_nodes(node, levels_max, levels_max, name, in_array=False)


def invalid(message: str) -> ServiceFailure:
    """The failure of a malformed request."""
    return ServiceFailure(INVALID_REQUEST, message)


def _decode(payload: bytes) -> Any:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise ServiceFailure(
            "UnsupportedDocumentEncodingException",
            "Unsupported documented encoding; supported encoding is UTF-8",
            415,
        ) from None
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise invalid("JSON contains too many levels of nesting") from None
    except msgspec.ValidationError:
        return _decode_huge_numbers(text)
    except msgspec.DecodeError:
        # The live service's words; the developer guide has "Invalid JSON".
        raise invalid("Payload contains invalid json") from None


def _decode_huge_numbers(text: str) -> Any:
    """Decode a document with numbers no double can hold.

    They become text, as MiniStack has it from the live service.
    """
    try:
        document = json.loads(text, parse_float=_double, parse_constant=_refuse)
        # The standard library lets half a surrogate pair through, which no answer could carry.
        msgspec.json.encode(document)
    except (ValueError, RecursionError):
        raise invalid("Payload contains invalid json") from None
    return document


def _double(text: str) -> float | str:
    number = float(text)
    if math.isfinite(number):
        return number
    return "Infinity" if number > 0 else "-Infinity"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _client_token(document: JsonObject) -> str | None:
    token = document.get("clientToken")
    if token is None:
        return None
    if not isinstance(token, str) or len(token.encode()) > CLIENT_TOKEN_BYTES_MAX:
        raise invalid("Invalid clientToken")
    return token


def _state(state: Any, levels_max: int) -> JsonObject | None:
    if state is None:
        return None
    if not isinstance(state, dict):
        raise invalid("State node must be an object")
    for name, part in state.items():
        if name not in {DESIRED, REPORTED}:
            raise invalid(f"State contains an invalid node: '{name}'")
        if part is not None and not isinstance(part, dict):
            raise invalid(f"{name.capitalize()} node must be an object")
        check_nodes(part, levels_max, name)
    return state


def _check_nodes(node: Any, levels: int, levels_max: int, name: str, *, in_array: bool) -> None:
    if isinstance(node, dict | list):
        if levels == 0:
            raise invalid(f"JSON contains too many levels of nesting; maximum is {levels_max}")
        if isinstance(node, list):
            for element in node:
                _check_nodes(element, levels - 1, levels_max, name, in_array=True)
        else:
            for key, member in node.items():
                _check_nodes(member, levels - 1, levels_max, key, in_array=in_array)
    elif node is None and in_array:
        raise invalid(f"State contains an invalid node: '{name}'")
