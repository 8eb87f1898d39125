"""How jobs and executions look in answers: over MQTT, in the data plane and in the control plane.

Pure views with AWS's member names (service models `iot` and `iot-jobs-data`; developer guide, "Jobs
device MQTT and HTTPS API operations and data types"). Devices see whole seconds, the control plane
seconds with a fraction. Knows nothing about requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from simulator.iotcore.services.jobs_records import Status
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from simulator.iotcore.services.jobs_records import Execution, Job

_COUNTERS = {
    "numberOfCanceledThings": Status.CANCELED,
    "numberOfSucceededThings": Status.SUCCEEDED,
    "numberOfFailedThings": Status.FAILED,
    "numberOfRejectedThings": Status.REJECTED,
    "numberOfQueuedThings": Status.QUEUED,
    "numberOfInProgressThings": Status.IN_PROGRESS,
    "numberOfRemovedThings": Status.REMOVED,
    "numberOfTimedOutThings": Status.TIMED_OUT,
}


def _whole(unix_s: float | None) -> int | None:
    return None if unix_s is None else int(unix_s)


def _plain(settings: msgspec.Struct | None) -> Any:
    return msgspec.json.decode(msgspec.json.encode(settings))


def _seconds_left(execution: Execution, unix_s: float) -> int | None:
    deadline_s = execution.deadline_s
    return None if deadline_s is None else max(0, int(deadline_s - unix_s))


def device_summary(execution: Execution) -> dict[str, Any]:
    """JobExecutionSummary of the data plane."""
    return without_nulls(
        {
            "jobId": execution.job_id,
            "queuedAt": int(execution.queued_at_s),
            "startedAt": _whole(execution.started_at_s),
            "lastUpdatedAt": int(execution.updated_at_s),
            "executionNumber": execution.number,
            "versionNumber": execution.version,
        }
    )


def device_execution(execution: Execution, unix_s: float) -> dict[str, Any]:
    """JobExecution of the data plane, without document and thing name."""
    return without_nulls(
        {
            "jobId": execution.job_id,
            "status": execution.status.value,
            "statusDetails": execution.details or None,
            "queuedAt": int(execution.queued_at_s),
            "startedAt": _whole(execution.started_at_s),
            "lastUpdatedAt": int(execution.updated_at_s),
            "versionNumber": execution.version,
            "executionNumber": execution.number,
            "approximateSecondsBeforeTimedOut": _seconds_left(execution, unix_s),
        }
    )


def execution_state(execution: Execution) -> dict[str, Any]:
    """JobExecutionState."""
    return without_nulls(
        {
            "status": execution.status.value,
            "statusDetails": execution.details or None,
            "versionNumber": execution.version,
        }
    )


def execution_summary(execution: Execution) -> dict[str, Any]:
    """JobExecutionSummary of the control plane."""
    return without_nulls(
        {
            "status": execution.status.value,
            "queuedAt": execution.queued_at_s,
            "startedAt": execution.started_at_s,
            "lastUpdatedAt": execution.updated_at_s,
            "executionNumber": execution.number,
            "retryAttempt": execution.retry_attempt,
        }
    )


def execution_view(execution: Execution, thing_arn: str, unix_s: float) -> dict[str, Any]:
    """JobExecution of the control plane."""
    return without_nulls(
        {
            "jobId": execution.job_id,
            "status": execution.status.value,
            "forceCanceled": execution.force_canceled,
            "statusDetails": {"detailsMap": execution.details} if execution.details else {},
            "thingArn": thing_arn,
            "queuedAt": execution.queued_at_s,
            "startedAt": execution.started_at_s,
            "lastUpdatedAt": execution.updated_at_s,
            "executionNumber": execution.number,
            "versionNumber": execution.version,
            "approximateSecondsBeforeTimedOut": _seconds_left(execution, unix_s),
        }
    )


def job_summary(job: Job, arn: str) -> dict[str, Any]:
    """JobSummary."""
    return without_nulls(
        {
            "jobArn": arn,
            "jobId": job.job_id,
            "targetSelection": job.selection.value,
            "status": job.status.value,
            "createdAt": job.created_at_s,
            "lastUpdatedAt": job.updated_at_s,
            "completedAt": job.completed_at_s,
            "isConcurrent": bool(job.waiting),
        }
    )


def job_view(job: Job, arn: str) -> dict[str, Any]:
    """Job, with every count and setting."""
    settings = job.settings
    # Settings that were left out are shown as empty objects; abort and retry are left out.
    shown = {
        "timeoutConfig": settings.timeout_config,
        "jobExecutionsRolloutConfig": settings.job_executions_rollout_config,
        "presignedUrlConfig": settings.presigned_url_config,
        "schedulingConfig": settings.scheduling_config,
        "abortConfig": settings.abort_config,
        "jobExecutionsRetryConfig": settings.job_executions_retry_config,
    }
    return job_summary(job, arn) | without_nulls(
        {
            "forceCanceled": job.force_canceled,
            "reasonCode": job.reason_code,
            "comment": job.comment,
            "targets": list(job.targets),
            "description": job.description,
            "namespaceId": job.namespace_id,
            "destinationPackageVersions": job.package_versions or None,
            "jobProcessDetails": process_details(job),
            **{name: _plain(value) for name, value in shown.items()},
        }
    )


def process_details(job: Job) -> dict[str, Any]:
    """JobProcessDetails. Counts executions, earlier attempts of the same thing included."""
    details: dict[str, Any] = {name: job.count(status) for name, status in _COUNTERS.items()}
    if job.waiting:
        details["processingTargets"] = list(job.targets)
    return details
