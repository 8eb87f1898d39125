"""What the agent answers to a command: the status documents of AWS IoT Commands.

Owns the shape of the answer, the reason codes, and reading an answer back (applications and tests
do). It knows neither topics nor what a command does. The plain twin of the protocol carries the
same documents.

Source: AWS IoT Core developer guide, "AWS IoT Commands", payload of
`$aws/commands/things/<thing>/executions/<id>/response/json`; AWS IoT API reference, StatusReason
and CommandExecutionResult.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DESCRIPTION_LENGTH: Final = 1024
# An answer holds a status, one reason and a handful of values; a reader may refuse anything larger.
MAX_RESPONSE_BYTES: Final = 16 * 1024

ResultValue: TypeAlias = str | bool | bytes


class ExecutionStatus(StrEnum):
    """Where an execution stands, in the words of AWS IoT Commands."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows. Reported by a device, `TIMED_OUT` is final too."""
        return self is not ExecutionStatus.IN_PROGRESS


class ReasonCode(StrEnum):
    """Why an execution stands where it stands. Stable: applications may switch on them."""

    # Refused before anything happened (status REJECTED).
    TOO_LARGE = "TOO_LARGE"
    MALFORMED_JSON = "MALFORMED_JSON"
    INVALID_REQUEST = "INVALID_REQUEST"
    UNKNOWN_COMMAND = "UNKNOWN_COMMAND"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    EXPIRED = "EXPIRED"
    CLOCK_UNTRUSTED = "CLOCK_UNTRUSTED"
    DUPLICATE_ID = "DUPLICATE_ID"
    NOT_ALLOWED = "NOT_ALLOWED"
    MODE_CONFLICT = "MODE_CONFLICT"
    EMERGENCY_LATCHED = "EMERGENCY_LATCHED"
    BUSY = "BUSY"
    STORAGE_FAILED = "STORAGE_FAILED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    # Refused, or ended while running (status REJECTED or FAILED).
    HUMAN_TAKEOVER = "HUMAN_TAKEOVER"
    SIMULATOR_SILENT = "SIMULATOR_SILENT"
    LINK_LOST = "LINK_LOST"
    SUPERSEDED = "SUPERSEDED"
    INTERRUPTED = "INTERRUPTED"
    # Took too long (status TIMED_OUT).
    MODE_NOT_CONFIRMED = "MODE_NOT_CONFIRMED"
    TARGET_NOT_REACHED = "TARGET_NOT_REACHED"
    STANDSTILL_NOT_REACHED = "STANDSTILL_NOT_REACHED"
    # Progress (status IN_PROGRESS).
    CHANGING_MODE = "CHANGING_MODE"
    DRIVING = "DRIVING"
    STOPPING = "STOPPING"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One status of one execution.

    Attributes:
        status: Where it stands.
        reason: Why, or `None` for a success that needs no words.
        description: The reason in words for a person; control characters are dropped and the text
            is cut at 1,024 characters when it is written.
        result: Values for the sender, by name. Numbers are written as text because the protocol
            carries text, booleans and bytes only.
    """

    status: ExecutionStatus
    reason: ReasonCode | None = None
    description: str = ""
    result: Mapping[str, ResultValue] = field(default_factory=dict)


def encode_outcome(outcome: Outcome) -> bytes:
    """Write a status document: JSON with the lower-case type keys `s`, `b` and `bin`."""
    document: dict[str, object] = {"status": outcome.status.value}
    if outcome.reason is not None:
        reason = {"reasonCode": outcome.reason.value}
        if text := _printable(outcome.description):
            reason["reasonDescription"] = text
        document["statusReason"] = reason
    if outcome.result:
        document["result"] = {key: _typed(value) for key, value in outcome.result.items()}
    return msgspec.json.encode(document)


class ResponseError(ValueError):
    """A payload on a response topic is not a status document."""


def decode_outcome(payload: bytes) -> Outcome:
    """Read a status document.

    Total: any bytes give an outcome or one error.

    Raises:
        ResponseError: It is larger than 16 KiB, is not JSON, or has another shape. A reason code
            this release does not know is such a shape.
    """
    if len(payload) > MAX_RESPONSE_BYTES:
        raise ResponseError(f"{len(payload)} bytes; at most {MAX_RESPONSE_BYTES} are read")
    try:
        document = _DECODER.decode(payload)
        reason = document.statusReason
        return Outcome(
            ExecutionStatus(document.status),
            None if reason is None else ReasonCode(reason.reasonCode),
            "" if reason is None else reason.reasonDescription,
            {key: _value(typed) for key, typed in document.result.items()},
        )
    except (msgspec.MsgspecError, RecursionError, ValueError, binascii.Error) as error:
        raise ResponseError(str(error)) from error


class _Reason(msgspec.Struct, frozen=True):
    reasonCode: str  # noqa: N815 - the name on the wire
    reasonDescription: str = ""  # noqa: N815 - the name on the wire


class _Typed(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    s: str | None = None
    b: bool | None = None
    bin: str | None = None


class _Document(msgspec.Struct, frozen=True):
    status: str
    statusReason: _Reason | None = None  # noqa: N815 - the name on the wire
    result: dict[str, _Typed] = msgspec.field(default_factory=dict)


_DECODER = msgspec.json.Decoder(_Document)


def _typed(value: ResultValue) -> _Typed:
    if isinstance(value, bool):
        return _Typed(b=value)
    if isinstance(value, bytes):
        return _Typed(bin=base64.b64encode(value).decode("ascii"))
    return _Typed(s=value)


def _value(typed: _Typed) -> ResultValue:
    given: list[ResultValue] = [value for value in (typed.s, typed.b) if value is not None]
    if typed.bin is not None:
        given.append(base64.b64decode(typed.bin, validate=True))
    if len(given) != 1:
        raise ResponseError("a result value must have exactly one of s, b, bin")
    return given[0]


def _printable(text: str) -> str:
    # StatusReason.reasonDescription has the pattern [^\p{C}]*: no character of a category C*.
    kept = "".join(sign for sign in text if not unicodedata.category(sign).startswith("C"))
    return kept[:MAX_DESCRIPTION_LENGTH]
