"""The data plane of AWS IoT Jobs: what a device asks and reports, whatever carries it.

Owns the rules of the four device operations and their HTTP form (`iot-jobs-data` service model;
developer guide, "Jobs device MQTT API operations"). The MQTT form is in `jobs_topics`.

What AWS does not say and was chosen here: a thing the registry does not know has no pending
executions; a list of pending executions has at most `LISTED_MAX` entries, the next ones first;
StartNext on an execution that is in progress leaves its step timer alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from simulator.iotcore.services.jobs_documents import document_over_http
from simulator.iotcore.services.jobs_records import REPORTABLE, Status
from simulator.iotcore.services.jobs_requests import (
    NEXT,
    JobMembers,
    execution_not_found,
    invalid_transition,
    terminal_state,
    version_mismatch,
)
from simulator.iotcore.services.jobs_shapes import (
    device_execution,
    device_summary,
    execution_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.services.jobs_lifecycle import Lifecycle
    from simulator.iotcore.services.jobs_records import Execution
    from simulator.iotcore.services.members import Request, Result

LISTED_MAX: Final = 500
"""Summaries in one list of pending executions, so that it fits into one MQTT message."""


class Update(NamedTuple):
    """An UpdateJobExecution that was done.

    Attributes:
        execution: The execution after it.
        has_state: Whether the answer shows the state.
        has_document: Whether the answer shows the job document.
    """

    execution: Execution
    has_state: bool
    has_document: bool


class DataPlane:
    """The operations of `iot-jobs-data`.

    Every operation takes the request's members by AWS's names and the broker's clock, and gives the
    answer's members and what to publish.

    Args:
        lifecycle: The rules.
        drain: Gives what is to be published after a change.
        sign: Makes a presigned URL of an object's URL for an execution.
        unix_s_at_zero: Unix time when the broker's clock was 0.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        drain: Callable[[float], list[Answer]],
        sign: Callable[[Execution, str], str],
        unix_s_at_zero: float,
    ) -> None:
        self._lifecycle = lifecycle
        self._drain = drain
        self._sign = sign
        self._unix_s_at_zero = unix_s_at_zero

    # The HTTP form

    def get_pending_job_executions(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """GetPendingJobExecutions."""
        return self.list_pending(JobMembers(request).thing()), []

    def start_next_pending_job_execution(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """StartNextPendingJobExecution."""
        members = JobMembers(request)
        execution = self.start_next(members.thing(), members, now_s)
        return self._shown(execution, now_s), self._drain(now_s)

    def describe_job_execution(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeJobExecution, also of `$next`."""
        members = JobMembers(request)
        job_id = NEXT if request.get("jobId") == NEXT else members.job_id()
        execution, has_document = self.describe(members.thing(), job_id, members)
        return self._shown(execution, now_s, has_document=has_document), []

    def update_job_execution(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateJobExecution."""
        members = JobMembers(request)
        update = self.update(members.thing(), members.job_id(), members, now_s)
        result: Result = {}
        if update.has_state:
            result["executionState"] = execution_state(update.execution)
        if update.has_document:
            result["jobDocument"] = self._document(update.execution)
        return result, self._drain(now_s)

    # What both forms share

    def list_pending(self, thing: str) -> Result:
        """`inProgressJobs` and `queuedJobs` of a thing."""
        pending = self._lifecycle.ledger.pending(thing)[:LISTED_MAX]
        return {
            name: [device_summary(one) for one in pending if one.status is status]
            for name, status in (
                ("inProgressJobs", Status.IN_PROGRESS),
                ("queuedJobs", Status.QUEUED),
            )
        }

    def start_next(self, thing: str, members: JobMembers, now_s: float) -> Execution | None:
        """Start the next execution of a thing, if there is one.

        Raises:
            ServiceFailure: The request is wrong.
        """
        details, step_minutes = members.status_details(), members.step_timeout_minutes()
        unix_s = self._unix_s_at_zero + now_s
        return self._lifecycle.start_next(thing, details, step_minutes, unix_s)

    def describe(
        self, thing: str, job_id: str, members: JobMembers
    ) -> tuple[Execution | None, bool]:
        """The execution a request asks for, and whether it asks for the document.

        Raises:
            ServiceFailure: The request is wrong, there is no such execution, or it has ended.
        """
        number = members.execution_number()
        has_document = members.flag("includeJobDocument") is not False
        ledger = self._lifecycle.ledger
        if job_id == NEXT:
            return ledger.first_pending(thing), has_document
        execution = ledger.execution(job_id, thing, number)
        if execution is None:
            raise execution_not_found(job_id, thing, job_exists=job_id in ledger.jobs)
        if not execution.is_pending:
            raise terminal_state()
        return execution, has_document

    def update(self, thing: str, job_id: str, members: JobMembers, now_s: float) -> Update:
        """Take a device's report.

        Raises:
            ServiceFailure: The request is wrong, there is no such execution, it has another
                version, or its state does not allow the new one.
        """
        status = Status(members.required_choice("status", tuple(Status)))
        details, step_minutes = members.status_details(), members.step_timeout_minutes()
        number, expected = members.execution_number(), members.expected_version()
        has_state = members.flag("includeJobExecutionState") is True
        has_document = members.flag("includeJobDocument") is True
        ledger = self._lifecycle.ledger
        execution = ledger.execution(job_id, thing, number)
        if execution is None:
            raise execution_not_found(job_id, thing, job_exists=job_id in ledger.jobs)
        if expected is not None and expected != execution.version:
            raise version_mismatch(expected, execution)
        if status not in REPORTABLE:
            raise invalid_transition(
                f"The status of job execution cannot be changed to be {status}"
            )
        if not execution.may_become(status):
            raise invalid_transition(
                f"Job execution of job {job_id} for thing {thing} is in status "
                f"{execution.status} and cannot be changed to be {status}",
                execution,
            )
        unix_s = self._unix_s_at_zero + now_s
        self._lifecycle.report(execution, status, details, step_minutes, unix_s)
        return Update(execution, has_state, has_document)

    def _shown(
        self, execution: Execution | None, now_s: float, *, has_document: bool = True
    ) -> Result:
        if execution is None:
            return {}
        shown = device_execution(execution, self._unix_s_at_zero + now_s)
        shown["thingName"] = execution.thing
        if has_document:
            shown["jobDocument"] = self._document(execution)
        return {"execution": shown}

    def _document(self, execution: Execution) -> str:
        job = self._lifecycle.ledger.jobs[execution.job_id]
        return document_over_http(job.document, lambda url: self._sign(execution, url))
