"""`IotJobsClientV2` of the AWS SDK against AWS IoT Jobs, over both protocols."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from awsiot import iotjobs

from tests.simulator.iotcore.clients.device_sdk import (
    REQUEST_OPTIONS,
    KeyPair,
    Version,
    answer_of,
    connected,
    error_of,
    opened,
)
from tests.simulator.iotcore.clients.estate import ARN, Estate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CAR = "car-1"


@asynccontextmanager
async def jobs_client(estate: Estate, version: Version) -> AsyncIterator[iotjobs.IotJobsClientV2]:
    """The service client of the car."""
    async with connected(estate, KeyPair.of(estate.store.identity(CAR)), CAR, version) as client:
        yield iotjobs.IotJobsClientV2(client, REQUEST_OPTIONS)


def create(estate: Estate, job_id: str) -> None:
    """A job for the car."""
    estate.call(
        estate.cloud.jobs.control.create_job,
        jobId=job_id,
        targets=[f"{ARN}thing/{CAR}"],
        document=json.dumps({"operation": job_id}),
    )


def status_of(estate: Estate, job_id: str) -> str:
    """The job's status in the control plane."""
    found: str = estate.call(estate.cloud.jobs.control.describe_job, jobId=job_id)["job"]["status"]
    return found


def report(job_id: str, status: str, **more: Any) -> iotjobs.UpdateJobExecutionRequest:
    """A report of the car."""
    return iotjobs.UpdateJobExecutionRequest(thing_name=CAR, job_id=job_id, status=status, **more)


async def test_a_job_from_creation_to_success(estate: Estate, version: Version) -> None:
    """The car hears of it, starts it, reports progress and success; the job is complete."""
    async with jobs_client(estate, version) as client:
        nexts = await opened(
            client.create_next_job_execution_changed_stream,
            iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name=CAR),
        )
        changes = await opened(
            client.create_job_executions_changed_stream,
            iotjobs.JobExecutionsChangedSubscriptionRequest(thing_name=CAR),
        )
        create(estate, "update")
        announced = (await nexts.next()).execution
        assert (announced.job_id, announced.status) == ("update", "QUEUED")
        assert announced.job_document == {"operation": "update"}
        (summary,) = (await changes.next()).jobs["QUEUED"]
        assert (summary.job_id, summary.version_number, summary.started_at) == ("update", 1, None)

        started = await answer_of(
            client.start_next_pending_job_execution(
                iotjobs.StartNextPendingJobExecutionRequest(
                    thing_name=CAR, status_details={"step": "download"}
                )
            )
        )
        execution = started.execution
        assert (execution.job_id, execution.status) == ("update", "IN_PROGRESS")
        assert execution.status_details == {"step": "download"}
        assert (execution.version_number, execution.execution_number) == (2, 1)
        assert execution.job_document == {"operation": "update"}

        progress = await answer_of(
            client.update_job_execution(
                report(
                    "update",
                    "IN_PROGRESS",
                    status_details={"step": "install"},
                    expected_version=2,
                    include_job_execution_state=True,
                    include_job_document=True,
                )
            )
        )
        assert progress.execution_state.version_number == 3
        assert progress.execution_state.status_details == {"step": "install"}
        assert progress.job_document == {"operation": "update"}
        assert status_of(estate, "update") == "IN_PROGRESS"

        await answer_of(client.update_job_execution(report("update", "SUCCEEDED")))
        # The pending executions changed, and none is next: AWS sends both, without an execution.
        assert (await nexts.next()).execution is None
        assert (await changes.next()).jobs == {}
        assert status_of(estate, "update") == "COMPLETED"


async def test_jobs_come_one_after_the_other(estate: Estate, version: Version) -> None:
    """The older first; describing `$next` shows it without starting it."""
    async with jobs_client(estate, version) as client:
        create(estate, "first")
        create(estate, "second")
        shown = await answer_of(
            client.describe_job_execution(
                iotjobs.DescribeJobExecutionRequest(
                    thing_name=CAR, job_id="$next", include_job_document=False
                )
            )
        )
        assert (shown.execution.job_id, shown.execution.status) == ("first", "QUEUED")
        assert shown.execution.job_document is None
        start = iotjobs.StartNextPendingJobExecutionRequest(thing_name=CAR)
        started = await answer_of(client.start_next_pending_job_execution(start))
        assert started.execution.job_id == "first"
        pending = await answer_of(
            client.get_pending_job_executions(
                iotjobs.GetPendingJobExecutionsRequest(thing_name=CAR)
            )
        )
        assert [one.job_id for one in pending.in_progress_jobs] == ["first"]
        assert [one.job_id for one in pending.queued_jobs] == ["second"]
        await answer_of(client.update_job_execution(report("first", "FAILED")))
        started = await answer_of(client.start_next_pending_job_execution(start))
        assert started.execution.job_id == "second"
        await answer_of(client.update_job_execution(report("second", "REJECTED")))
        started = await answer_of(client.start_next_pending_job_execution(start))
        assert started.execution is None


async def test_refused_requests_have_the_codes_of_jobs(estate: Estate, version: Version) -> None:
    """As in the developer guide, "Jobs device MQTT API operations: ErrorResponse"."""
    async with jobs_client(estate, version) as client:
        create(estate, "update")
        error = await error_of(
            client.update_job_execution(report("update", "IN_PROGRESS", expected_version=9))
        )
        assert error.code == "VersionMismatch"
        assert (error.execution_state.status, error.execution_state.version_number) == ("QUEUED", 1)
        error = await error_of(client.update_job_execution(report("other", "IN_PROGRESS")))
        assert (error.code, error.execution_state) == ("ResourceNotFound", None)
        error = await error_of(client.update_job_execution(report("update", "FINISHED")))
        assert error.code == "InvalidRequest"
        await answer_of(client.update_job_execution(report("update", "SUCCEEDED")))
        error = await error_of(client.update_job_execution(report("update", "IN_PROGRESS")))
        assert error.code == "InvalidStateTransition"
        assert error.execution_state.status == "SUCCEEDED"
        error = await error_of(
            client.describe_job_execution(
                iotjobs.DescribeJobExecutionRequest(thing_name=CAR, job_id="update")
            )
        )
        assert error.code == "TerminalStateReached"
