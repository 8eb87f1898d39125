"""One execution of a command on one device: its states, and what a device may report about it.

Source: AWS IoT Core developer guide, "Commands concepts and status" (table of statuses, allowed
transitions, terminal and non-terminal executions) and "Start and monitor command executions"
(UpdateCommandExecution). Knows nothing about topics, timers or the API.
"""

from __future__ import annotations

import base64
import binascii
import re
from enum import StrEnum
from typing import Any, Final

import msgspec

from simulator.iotcore.services.formats import Format, PayloadError, read_object
from simulator.iotcore.services.members import Result, is_printable, without_nulls

REPORT_BYTES_MAX: Final = 32 * 1024
"""Of what a device reports. AWS names no limit; this one bounds what is kept."""

REASON_DESCRIPTION_CHARACTERS_MAX: Final = 1024
NO_RESPONSE: Final = "$NO_RESPONSE_FROM_DEVICE"
"""Reason code of the time-out the cloud finds."""

_REASON_CODE: Final = re.compile(r"[A-Z0-9_-]{1,64}")
_RESULT_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,32}")


class Status(StrEnum):
    """Where an execution stands (CommandExecutionStatus)."""

    CREATED = "CREATED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    TIMED_OUT = "TIMED_OUT"


REPORTABLE: Final = frozenset(Status) - {Status.CREATED}


class Refusal(Exception):  # noqa: N818 - not an error of ours: the answer to a report
    """A report that is refused.

    Args:
        code: `error` of the answer: RejectedErrorCode of the AWS IoT device SDKs' Commands client.
        message: `errorMessage` of the answer.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an execution stands where it stands (StatusReason)."""

    reasonCode: str  # noqa: N815 - the name on the wire
    reasonDescription: str | None = None  # noqa: N815 - the name on the wire


class Report(msgspec.Struct, frozen=True):
    """What a device reports.

    Attributes:
        status: One of `REPORTABLE`.
        reason: Why.
        result: Values by name in the form of the API: one of `S`, `B`, and `BIN` as base64.
    """

    status: Status
    reason: Reason | None = None
    result: dict[str, dict[str, str | bool]] | None = None


class Execution(msgspec.Struct):
    """An execution and its history. Times are Unix time in seconds.

    Attributes:
        execution_id: Unique in the account.
        command_id: What is executed.
        command_arn: Its ARN.
        target_kind: `things` or `clients`, as in topics.
        target_id: Thing name or client id.
        target_arn: Its ARN.
        timeout_s: How long the device has.
        created_unix_s: When it was started.
        updated_unix_s: When its status last changed.
        parameters: As StartCommandExecution got them.
        status: Where it stands.
        reason: Why.
        result: What the device last reported.
        completed_unix_s: When the device reported the end, if it did.
    """

    execution_id: str
    command_id: str
    command_arn: str
    target_kind: str
    target_id: str
    target_arn: str
    timeout_s: int
    created_unix_s: float
    updated_unix_s: float
    parameters: dict[str, Any] | None = None
    status: Status = Status.CREATED
    reason: Reason | None = None
    result: dict[str, dict[str, str | bool]] | None = None
    completed_unix_s: float | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether no report is accepted any more.

        A TIMED_OUT that the cloud found is not terminal; one that the device reported is.
        """
        return self.completed_unix_s is not None

    @property
    def is_awaited(self) -> bool:
        """Whether its time is running."""
        return self.status in {Status.CREATED, Status.IN_PROGRESS}

    def report(self, report: Report, unix_s: float) -> None:
        """Take over what the device reports. A refused report changes nothing.

        Raises:
            Refusal: TerminalStateReached, or InvalidStateTransition from the cloud's TIMED_OUT
                back to IN_PROGRESS.
        """
        if self.is_terminal:
            raise Refusal(
                "TerminalStateReached", f"The execution is in the terminal status {self.status}"
            )
        if self.status is Status.TIMED_OUT and report.status is Status.IN_PROGRESS:
            raise Refusal(
                "InvalidStateTransition",
                f"The status cannot change from {self.status} to {report.status}",
            )
        self.status = report.status
        self.reason = report.reason
        # A report without a result leaves the last one in place.
        self.result = report.result or self.result
        self.updated_unix_s = unix_s
        if report.status is not Status.IN_PROGRESS:
            self.completed_unix_s = unix_s

    def time_out(self, unix_s: float) -> bool:
        """The device's time is over; False when it is not awaited any more."""
        if not self.is_awaited:
            return False
        self.status = Status.TIMED_OUT
        self.reason = Reason(NO_RESPONSE)
        self.updated_unix_s = unix_s
        return True

    @property
    def summary(self) -> Result:
        """The execution as ListCommandExecutions shows it (CommandExecutionSummary)."""
        return without_nulls(
            {
                "commandArn": self.command_arn,
                "executionId": self.execution_id,
                "targetArn": self.target_arn,
                "status": self.status.value,
                "createdAt": self.created_unix_s,
                # Shown equal to createdAt in the guide's listing, whatever the device did.
                "startedAt": self.created_unix_s,
                "completedAt": self.completed_unix_s,
            }
        )

    def details(self, *, include_result: bool, keep_s: float) -> Result:
        """The execution as GetCommandExecution shows it.

        Args:
            include_result: Whether the device's result is part of it.
            keep_s: How long executions are kept.
        """
        reason = None if self.reason is None else msgspec.to_builtins(self.reason)
        return self.summary | without_nulls(
            {
                "statusReason": reason,
                "result": self.result if include_result else None,
                "parameters": self.parameters or None,
                "executionTimeoutSeconds": self.timeout_s,
                "lastUpdatedAt": self.updated_unix_s,
                "timeToLive": self.created_unix_s + keep_s,
            }
        )


def read_report(payload: bytes, payload_format: Format | None) -> Report:
    """Read the payload of a response topic. Members it does not know are ignored.

    Total: any bytes give a report or one refusal.

    Args:
        payload: The bytes.
        payload_format: What the topic says they are; None when it says something else.

    Raises:
        Refusal: InvalidTopic without a format, InvalidJson for bytes that are no JSON, and
            InvalidRequest for everything else, unreadable CBOR included: AWS has no code for it.
    """
    if payload_format is None:
        raise Refusal("InvalidTopic", "The payload format must be json or cbor")
    if len(payload) > REPORT_BYTES_MAX:
        raise _invalid(f"The payload has more than {REPORT_BYTES_MAX} bytes")
    try:
        document = read_object(payload, payload_format)
    except PayloadError as error:
        code = "InvalidJson" if payload_format is Format.JSON else "InvalidRequest"
        raise Refusal(code, f"The payload cannot be parsed: {error}") from error
    status = document.get("status")
    if not isinstance(status, str) or status not in REPORTABLE:
        raise _invalid(f"status must be one of {', '.join(sorted(REPORTABLE))}")
    return Report(
        Status(status), _read_reason(document.get("statusReason")), _read_result(document)
    )


def _read_reason(raw: Any) -> Reason | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise _invalid("statusReason must be an object")
    code, description = raw.get("reasonCode"), raw.get("reasonDescription")
    if not isinstance(code, str) or _REASON_CODE.fullmatch(code) is None:
        raise _invalid(f"reasonCode must match {_REASON_CODE.pattern}")
    if description is None:
        return Reason(code)
    if not isinstance(description, str) or not is_printable(description):
        raise _invalid("reasonDescription must be text without control characters")
    if len(description) > REASON_DESCRIPTION_CHARACTERS_MAX:
        raise _invalid(
            f"reasonDescription must have at most {REASON_DESCRIPTION_CHARACTERS_MAX} characters"
        )
    return Reason(code, description)


def _read_result(document: dict[str, Any]) -> dict[str, dict[str, str | bool]] | None:
    raw = document.get("result")
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise _invalid("result must be an object")
    if not raw:
        raise _invalid("At least 1 command execution result is required")
    return {name: _read_result_value(name, value) for name, value in raw.items()}


def _read_result_value(name: str, raw: Any) -> dict[str, str | bool]:
    if _RESULT_NAME.fullmatch(name) is None:
        raise _invalid(f"a result name must match {_RESULT_NAME.pattern}")
    given = {k: v for k, v in raw.items() if v is not None} if isinstance(raw, dict) else {}
    if len(given) != 1:
        raise _invalid(f"result {name} must have exactly one of s, b, bin")
    key, value = next(iter(given.items()))
    if key == "s" and isinstance(value, str) and value:
        return {"S": value}
    if key == "b" and isinstance(value, bool):
        return {"B": value}
    if key == "bin":
        return {"BIN": _read_binary(name, value)}
    raise _invalid(f"result {name} must have exactly one of s, b, bin")


def _read_binary(name: str, raw: Any) -> str:
    if isinstance(raw, bytes) and raw:
        return base64.b64encode(raw).decode("ascii")
    try:
        if isinstance(raw, str) and base64.b64decode(raw, validate=True):
            return raw
    except (binascii.Error, ValueError):
        pass
    raise _invalid(f"result {name}: bin must be base64")


def _invalid(message: str) -> Refusal:
    return Refusal("InvalidRequest", message)
