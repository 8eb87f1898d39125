"""What AWS IoT Jobs publishes on its own: `notify`, `notify-next` and the events of jobs.

`notify` goes out when the set of a thing's pending executions changed, `notify-next` when another
one became the first (developer guide, "Jobs notifications"); events when they are switched on
(developer guide, "Jobs events"). All are ordinary publishes. Knows nothing about what caused them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.jobs_records import JobStatus, Status
from simulator.iotcore.services.jobs_shapes import (
    device_execution,
    device_summary,
    process_details,
)
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.services.jobs_ledger import Happening, Ledger, Pending
    from simulator.iotcore.services.jobs_records import Execution, Job

LISTED_MAX: Final = 15
"""Executions in one `notify` (developer guide, "Jobs notifications")."""

_COUNTED: Final = frozenset({"completed", "canceled"})
_JOB_STATUS: Final = {
    "cancellation_in_progress": "CANCELLATION_IN_PROGRESS",
    "canceled": JobStatus.CANCELED,
    "completed": JobStatus.COMPLETED,
    "deletion_in_progress": "DELETION_IN_PROGRESS",
    "deleted": "DELETED",
}


class Notices:
    """Turns changes of the ledger into messages.

    Args:
        new_id: Makes event ids.
        arn: Makes the ARN of a resource such as `thing/car-1`.
        document: Gives the job document of an execution as JSON.
        job_events: Whether events of jobs are published.
        execution_events: Whether events of executions are published.
    """

    def __init__(
        self,
        new_id: Callable[[], str],
        arn: Callable[[str], str],
        document: Callable[[Execution], Any],
        *,
        job_events: bool,
        execution_events: bool,
    ) -> None:
        self.job_events = job_events
        self.execution_events = execution_events
        self._new_id = new_id
        self._arn = arn
        self._document = document

    def drain(self, ledger: Ledger, now_s: float, unix_s: float) -> list[Answer]:
        """The messages for everything that changed since the last call."""
        changes = ledger.take_changes()
        answers: list[Answer] = []
        for thing, before in changes.before.items():
            answers += self._notifications(ledger, thing, before, now_s, unix_s)
        for happening in changes.happenings:
            wanted = self.job_events if happening.execution is None else self.execution_events
            if wanted:
                answers.append(self._event(happening, now_s, unix_s))
        return answers

    def _notifications(
        self, ledger: Ledger, thing: str, before: Pending, now_s: float, unix_s: float
    ) -> list[Answer]:
        after = ledger.pending_view(thing)
        prefix = f"$aws/things/{thing}/jobs/notify"
        answers = []
        if after.members != before.members:
            jobs: dict[str, list[dict[str, Any]]] = {}
            for execution in ledger.pending(thing)[:LISTED_MAX]:
                jobs.setdefault(execution.status, []).append(device_summary(execution))
            answers.append(_publish(prefix, {"timestamp": int(unix_s), "jobs": jobs}, now_s))
        if after.first != before.first:
            notice: dict[str, Any] = {"timestamp": int(unix_s)}
            first = ledger.first_pending(thing)
            if first is not None:
                notice["execution"] = device_execution(first, unix_s) | {
                    "jobDocument": self._document(first)
                }
            answers.append(_publish(f"{prefix}-next", notice, now_s))
        return answers

    def _event(self, happening: Happening, now_s: float, unix_s: float) -> Answer:
        job, operation, execution = happening
        head = {"eventId": self._new_id(), "timestamp": int(unix_s), "operation": operation}
        if execution is None:
            topic = f"$aws/events/job/{job.job_id}/{operation}"
            return _publish(topic, {"eventType": "JOB"} | head | _job(job, operation), now_s)
        details = {
            "jobId": job.job_id,
            "thingArn": self._arn(f"thing/{execution.thing}"),
            "status": "DELETED" if operation == "deleted" else Status(operation.upper()),
            "executionNumber": execution.number,
            "forceCanceled": execution.force_canceled if operation == "canceled" else None,
            "statusDetails": execution.details or None,
        }
        topic = f"$aws/events/jobExecution/{job.job_id}/{operation}"
        document = {"eventType": "JOB_EXECUTION"} | head | without_nulls(details)
        return _publish(topic, document, now_s)


def _job(job: Job, operation: str) -> dict[str, Any]:
    counts = process_details(job)
    is_cancellation = operation in {"cancellation_in_progress", "canceled"}
    return without_nulls(
        {
            "jobId": job.job_id,
            "status": _JOB_STATUS[operation],
            "targetSelection": job.selection,
            "targets": list(job.targets),
            "description": job.description,
            "completedAt": _ms(job.completed_at_s) if operation == "completed" else None,
            "createdAt": _ms(job.created_at_s),
            "lastUpdatedAt": _ms(job.updated_at_s),
            "comment": job.comment,
            "reasonCode": job.reason_code if is_cancellation else None,
            "forceCanceled": job.force_canceled if is_cancellation else None,
            "jobProcessDetails": {
                name: counts[name]
                for name in (
                    "numberOfCanceledThings",
                    "numberOfRejectedThings",
                    "numberOfFailedThings",
                    "numberOfRemovedThings",
                    "numberOfSucceededThings",
                    "numberOfTimedOutThings",
                )
            }
            if operation in _COUNTED
            else None,
        }
    )


def _ms(unix_s: float | None) -> int | None:
    return None if unix_s is None else int(unix_s * 1000)


def _publish(topic: str, document: dict[str, Any], now_s: float) -> Answer:
    return Answer(Message(topic, msgspec.json.encode(document), 1, now_s))
