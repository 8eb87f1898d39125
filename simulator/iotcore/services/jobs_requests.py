"""Requests to AWS IoT Jobs that both planes share, and how they are refused.

Owns the limits of job ids, thing names, status details and step timers, and the failure that
becomes an exception over HTTP and an `ErrorResponse` over MQTT. Limits: service models `iot` and
`iot-jobs-data`; AWS IoT Device Management quotas (10 pairs of status details, 128 and 1,024
characters). Knows nothing about what a request does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.jobs_records import STEP_TIMEOUT_OFF
from simulator.iotcore.services.jobs_settings import TIMEOUT_MINUTES_MAX
from simulator.iotcore.services.members import Members, is_printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.iotcore.services.jobs_records import Execution

INVALID: Final = "InvalidRequestException"
JOB_ID: Final = r"[a-zA-Z0-9_-]{1,64}"
THING_NAME: Final = r"[a-zA-Z0-9:_-]{1,128}"
NEXT: Final = "$next"
"""The job id that stands for the first pending execution."""

DETAILS_MAX: Final = 10
DETAIL_VALUE_CHARACTERS_MAX: Final = 1_024
_DETAIL_KEY: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
NUMBER_MAX: Final = 2**63 - 1


class JobsFailure(ServiceFailure):
    """A refusal of AWS IoT Jobs.

    Args:
        code: Name of the exception in the service model.
        message: What is wrong.
        http_status: Status of the HTTP answer.
        device_code: `code` of the ErrorResponse over MQTT (developer guide, "ErrorResponse").
        execution: The execution whose state the ErrorResponse shows.
    """

    def __init__(
        self,
        code: str,
        message: str,
        http_status: int,
        device_code: str,
        execution: Execution | None = None,
    ) -> None:
        super().__init__(code, message, http_status)
        self.device_code = device_code
        self.execution = execution


def invalid(message: str) -> JobsFailure:
    """The request is wrong, whatever the state of things."""
    return JobsFailure(INVALID, message, 400, "InvalidRequest")


def job_not_found(job_id: str) -> JobsFailure:
    """There is no such job."""
    return _not_found(f"Job {job_id} cannot be found.")


def execution_not_found(job_id: str, thing: str, *, job_exists: bool = True) -> JobsFailure:
    """There is no such execution, or not even the job."""
    return _not_found(
        f"Job execution for thing {thing} cannot be found within job {job_id}."
        if job_exists
        else f"Job execution cannot be found as the Job {job_id} does not exist."
    )


def target_not_found(kind: str, name: str) -> JobsFailure:
    """A target of a job does not exist."""
    return _not_found(f"{kind} {name} cannot be found.")


def _not_found(message: str) -> JobsFailure:
    return JobsFailure("ResourceNotFoundException", message, 404, "ResourceNotFound")


def invalid_transition(message: str, execution: Execution | None = None) -> JobsFailure:
    """The state does not allow it."""
    return JobsFailure(
        "InvalidStateTransitionException", message, 409, "InvalidStateTransition", execution
    )


def terminal_state() -> JobsFailure:
    """A device asks about an execution that has ended."""
    return JobsFailure(
        "TerminalStateException",
        "Job Execution has reached terminal state. It is neither IN_PROGRESS nor QUEUED",
        410,
        "TerminalStateReached",
    )


def version_mismatch(expected: int, execution: Execution, *, code: str = INVALID) -> JobsFailure:
    """`expectedVersion` is not the version. The data plane has no exception of its own for it."""
    return JobsFailure(
        code,
        f"Expected version {expected} but found version {execution.version}",
        400 if code == INVALID else 409,
        "VersionMismatch",
        execution,
    )


def limit_exceeded(message: str) -> JobsFailure:
    """A quota of the account is used up."""
    return JobsFailure("LimitExceededException", message, 410, "InvalidRequest")


class JobMembers(Members):
    """The members of a request to AWS IoT Jobs."""

    def __init__(self, request: Mapping[str, Any], invalid_code: str = INVALID) -> None:
        super().__init__(request, invalid_code)

    def failure(self, message: str) -> JobsFailure:
        """The failure of an invalid request."""
        return invalid(message)

    def within(self, name: str) -> JobMembers:
        """The members of an object member; of an absent one, none."""
        return JobMembers(self.mapping(name) or {})

    def each(self, name: str) -> list[JobMembers]:
        """The members of each object of a list member; of an absent one, none."""
        return [JobMembers(entry) for entry in self.mappings(name)]

    def texts(self, name: str, *, longest: int) -> list[str]:
        """A member that is a list of text; empty when it is absent.

        Raises:
            ServiceFailure: It is something else, or a text is empty or too long.
        """
        value = self._request.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(
            isinstance(entry, str) and 0 < len(entry) <= longest for entry in value
        ):
            raise self.failure(f"{name} must be a list of strings of 1 to {longest} characters")
        return list(value)

    def number(self, name: str, lowest: float, highest: float) -> float | None:
        """A number member, or None when it is absent.

        Raises:
            ServiceFailure: It is no number or out of range.
        """
        value = self._request.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.failure(f"{name} must be a number")
        if not lowest <= value <= highest:
            raise self.failure(f"{name} must be from {lowest} to {highest}")
        return float(value)

    def required_number(self, name: str, lowest: float, highest: float) -> float:
        """A number member that must be there."""
        self._require(name)
        return self.number(name, lowest, highest) or 0.0

    def required_integer(self, name: str, lowest: int, highest: int) -> int:
        """An integer member that must be there."""
        self._require(name)
        return self.integer(name, lowest, highest) or 0

    def required_choice(self, name: str, options: Sequence[str]) -> Any:
        """A text member with a fixed set of values that must be there."""
        self._require(name)
        return self.choice(name, options)

    def job_id(self) -> str:
        """`jobId`."""
        return self.required_text("jobId", pattern=JOB_ID)

    def thing(self) -> str:
        """`thingName`."""
        return self.required_text("thingName", pattern=THING_NAME)

    def execution_number(self) -> int | None:
        """`executionNumber`."""
        return self.integer("executionNumber", 0, NUMBER_MAX)

    def expected_version(self) -> int | None:
        """`expectedVersion`."""
        return self.integer("expectedVersion", 0, NUMBER_MAX)

    def status_details(self) -> dict[str, str] | None:
        """`statusDetails`, or None when it is absent.

        Raises:
            ServiceFailure: It is no map of text, or breaks a limit.
        """
        details = self.mapping("statusDetails")
        if details is None:
            return None
        if len(details) > DETAILS_MAX:
            raise self.failure(f"statusDetails must have at most {DETAILS_MAX} pairs")
        for key, value in details.items():
            if _DETAIL_KEY.fullmatch(key) is None:
                raise self.failure(f"a key of statusDetails must match {_DETAIL_KEY.pattern}")
            if (
                not isinstance(value, str)
                or not 0 < len(value) <= DETAIL_VALUE_CHARACTERS_MAX
                or not is_printable(value)
            ):
                raise self.failure(
                    f"a value of statusDetails must have 1 to {DETAIL_VALUE_CHARACTERS_MAX} "
                    "characters and no control characters"
                )
        return details

    def step_timeout_minutes(self) -> int | None:
        """`stepTimeoutInMinutes`: 1 to 10,080, -1 to take the timer away; None when absent."""
        value = self.integer("stepTimeoutInMinutes", STEP_TIMEOUT_OFF, TIMEOUT_MINUTES_MAX)
        if value == 0:
            raise self.failure("stepTimeoutInMinutes must be -1 or from 1 to 10080")
        return value

    def _require(self, name: str) -> None:
        if name not in self:
            raise self.failure(f"{name} is required")
