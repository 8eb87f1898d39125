"""Conversations about jobs, as the device sees them."""

from __future__ import annotations

from typing import Any, Final

from tests.second_opinion.script import (
    OPEN,
    SECONDS,
    TIME,
    WORDS,
    Arn,
    Conversation,
    Maybe,
    Refused,
    arn,
    call,
    publish,
)

J: Final = "$aws/things/car-1/jobs"
NOTIFY: Final = f"{J}/notify"
NEXT: Final = f"{J}/notify-next"
JOB_TOPICS: Final = (
    NOTIFY,
    NEXT,
    f"{J}/get/+",
    f"{J}/start-next/+",
    f"{J}/+/get/+",
    f"{J}/+/update/+",
)
_DOCUMENT: Final = {"operation": "update"}


def summary(job_id: str, version: int = 1, *, started: bool = False) -> dict[str, Any]:
    """JobExecutionSummary."""
    found = {
        "jobId": job_id,
        "queuedAt": TIME,
        "lastUpdatedAt": TIME,
        "executionNumber": 1,
        "versionNumber": version,
    }
    return found | ({"startedAt": TIME} if started else {})


def execution(
    job_id: str,
    status: str = "QUEUED",
    version: int = 1,
    *,
    started: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """JobExecution over MQTT; whether it has the thing's name differs from page to page."""
    return {
        **summary(job_id, version, started=started),
        "status": status,
        "thingName": Maybe("car-1"),
        "jobDocument": _DOCUMENT,
        **more,
    }


def create_job(job_id: str, hear: dict[str, Any]) -> Any:
    """CreateJob for the car."""
    return call(
        "iot.CreateJob",
        {
            "jobId": job_id,
            "targets": [Arn("thing/car-1")],
            "document": '{"operation": "update"}',
            "description": "a test",
        },
        {"jobArn": arn(f"job/{job_id}"), "jobId": job_id, "description": "a test"},
        hear,
    )


def notify(**lists: Any) -> dict[str, Any]:
    """`jobs/notify`: statuses without executions are left out."""
    return {"timestamp": TIME, "jobs": lists}


def following(found: Any = None) -> dict[str, Any]:
    """`jobs/notify-next`, without an execution when there is none."""
    return {"timestamp": TIME} | ({"execution": found} if found else {})


def job_rejected(code: Any, **more: Any) -> dict[str, Any]:
    """ErrorResponse of Jobs."""
    return {"code": code, "message": WORDS, "timestamp": Maybe(TIME), **more}


def job_counts(**counts: int) -> dict[str, Any]:
    """JobProcessDetails."""
    names = (
        "Canceled",
        "Succeeded",
        "Failed",
        "Rejected",
        "Queued",
        "InProgress",
        "Removed",
        "TimedOut",
    )
    return {f"numberOf{name}Things": counts.get(name, 0) for name in names} | {
        "processingTargets": Maybe(OPEN)
    }


ONE_JOB = Conversation(
    "a job from creation to success",
    'Developer guide: "Jobs device MQTT API operations", "Jobs notifications", "ErrorResponse"; '
    "API reference: CreateJob, DescribeJob, DescribeJobExecution",
    JOB_TOPICS,
    [
        create_job(
            "update-1",
            {
                NOTIFY: notify(QUEUED=[summary("update-1")]),
                NEXT: following(execution("update-1")),
            },
        ),
        publish(
            f"{J}/get",
            {"clientToken": "c-0"},
            {
                f"{J}/get/accepted": {
                    "inProgressJobs": [],
                    "queuedJobs": [summary("update-1")],
                    "timestamp": TIME,
                    "clientToken": "c-0",
                }
            },
        ),
        publish(
            f"{J}/start-next",
            {"statusDetails": {"step": "download"}, "clientToken": "c-1"},
            {
                f"{J}/start-next/accepted": {
                    "execution": execution(
                        "update-1",
                        "IN_PROGRESS",
                        2,
                        started=True,
                        statusDetails={"step": "download"},
                    ),
                    "timestamp": TIME,
                    "clientToken": "c-1",
                }
            },
        ),
        publish(
            f"{J}/update-1/update",
            {
                "status": "IN_PROGRESS",
                "statusDetails": {"step": "install"},
                "expectedVersion": 2,
                "includeJobExecutionState": True,
                "includeJobDocument": True,
                "clientToken": "c-2",
            },
            {
                f"{J}/update-1/update/accepted": {
                    "executionState": {
                        "status": "IN_PROGRESS",
                        "statusDetails": {"step": "install"},
                        "versionNumber": 3,
                    },
                    "jobDocument": _DOCUMENT,
                    "timestamp": TIME,
                    "clientToken": "c-2",
                }
            },
        ),
        publish(
            f"{J}/update-1/update",
            {"status": "SUCCEEDED", "expectedVersion": 1, "clientToken": "c-3"},
            {
                f"{J}/update-1/update/rejected": job_rejected(
                    "VersionMismatch",
                    clientToken="c-3",
                    executionState={
                        "status": "IN_PROGRESS",
                        "statusDetails": {"step": "install"},
                        "versionNumber": 3,
                    },
                )
            },
        ),
        publish(
            f"{J}/update-1/get",
            {"includeJobDocument": False},
            {
                f"{J}/update-1/get/accepted": {
                    "execution": {
                        **summary("update-1", 3, started=True),
                        "status": "IN_PROGRESS",
                        "thingName": Maybe("car-1"),
                        "statusDetails": {"step": "install"},
                    },
                    "timestamp": TIME,
                }
            },
        ),
        publish(
            f"{J}/update-1/update",
            {"status": "SUCCEEDED"},
            {
                f"{J}/update-1/update/accepted": {"timestamp": TIME},
                NOTIFY: notify(),
                NEXT: following(),
            },
        ),
        publish(
            f"{J}/update-1/update",
            {"status": "IN_PROGRESS"},
            {
                f"{J}/update-1/update/rejected": job_rejected(
                    "InvalidStateTransition",
                    executionState={
                        "status": "SUCCEEDED",
                        "statusDetails": Maybe({"step": "install"}),
                        "versionNumber": 4,
                    },
                )
            },
        ),
        publish(
            f"{J}/update-1/get",
            b"",
            {f"{J}/update-1/get/rejected": job_rejected("TerminalStateReached")},
        ),
        publish(f"{J}/start-next", {}, {f"{J}/start-next/accepted": {"timestamp": TIME}}),
        publish(f"{J}/$next/get", {}, {f"{J}/$next/get/accepted": {"timestamp": TIME}}),
        call(
            "iot.DescribeJob",
            {"jobId": "update-1"},
            {
                "job.jobId": "update-1",
                "job.jobArn": arn("job/update-1"),
                "job.status": "COMPLETED",
                "job.targetSelection": "SNAPSHOT",
                "job.targets": [arn("thing/car-1")],
                "job.description": "a test",
                "job.jobProcessDetails": job_counts(Succeeded=1),
            },
            pick=(
                "job.jobId",
                "job.jobArn",
                "job.status",
                "job.targetSelection",
                "job.targets",
                "job.description",
                "job.jobProcessDetails",
            ),
        ),
        call(
            "iot.DescribeJobExecution",
            {"jobId": "update-1", "thingName": "car-1"},
            {
                "execution": {
                    "jobId": "update-1",
                    "status": "SUCCEEDED",
                    "forceCanceled": Maybe(False),
                    "statusDetails": {"detailsMap": {"step": "install"}},
                    "thingArn": arn("thing/car-1"),
                    "queuedAt": TIME,
                    "startedAt": TIME,
                    "lastUpdatedAt": TIME,
                    "executionNumber": 1,
                    "versionNumber": 4,
                    "approximateSecondsBeforeTimedOut": Maybe(OPEN),
                }
            },
        ),
    ],
)

THREE_JOBS = Conversation(
    "three jobs come and go",
    'Developer guide: "Jobs notifications", the example with job1, job2 and job3',
    JOB_TOPICS,
    [
        create_job(
            "job1",
            {NOTIFY: notify(QUEUED=[summary("job1")]), NEXT: following(execution("job1"))},
        ),
        create_job("job2", {NOTIFY: notify(QUEUED=[summary("job1"), summary("job2")])}),
        publish(
            f"{J}/start-next",
            {},
            {
                f"{J}/start-next/accepted": {
                    "execution": execution("job1", "IN_PROGRESS", 2, started=True),
                    "timestamp": TIME,
                }
            },
        ),
        create_job(
            "job3",
            {
                NOTIFY: notify(
                    IN_PROGRESS=[summary("job1", 2, started=True)],
                    QUEUED=[summary("job2"), summary("job3")],
                )
            },
        ),
        publish(
            f"{J}/job1/update",
            {"status": "SUCCEEDED"},
            {
                f"{J}/job1/update/accepted": {"timestamp": TIME},
                NOTIFY: notify(QUEUED=[summary("job2"), summary("job3")]),
                NEXT: following(execution("job2")),
            },
        ),
        publish(
            f"{J}/job3/update",
            {"status": "IN_PROGRESS"},
            {
                f"{J}/job3/update/accepted": {"timestamp": TIME},
                NEXT: following(execution("job3", "IN_PROGRESS", 2, started=True)),
            },
        ),
        publish(
            f"{J}/job2/update",
            {"status": "REJECTED"},
            {
                f"{J}/job2/update/accepted": {"timestamp": TIME},
                NOTIFY: notify(IN_PROGRESS=[summary("job3", 2, started=True)]),
            },
        ),
        call(
            "iot.DeleteJob",
            {"jobId": "job3", "force": True},
            {},
            {NOTIFY: notify(), NEXT: following()},
        ),
    ],
)


def _refused_report(payload: Any, code: Any, job_id: str = "update-1", **more: Any) -> Any:
    topic = f"{J}/{job_id}/update"
    return publish(topic, payload, {f"{topic}/rejected": job_rejected(code, **more)})


JOB_ERRORS = Conversation(
    "requests about jobs that are refused",
    'Developer guide: "ErrorResponse" and "UpdateJobExecution" of the Jobs device MQTT API; quotas '
    "of Jobs",
    JOB_TOPICS,
    [
        create_job("update-1", {NOTIFY: OPEN, NEXT: OPEN}),
        _refused_report({"status": "SUCCEEDED"}, "ResourceNotFound", "other"),
        publish(
            f"{J}/other/get",
            {"clientToken": "c"},
            {f"{J}/other/get/rejected": job_rejected("ResourceNotFound", clientToken="c")},
        ),
        _refused_report(b"{", "InvalidJson"),
        # JSON, and yet no request: the page fits either code.
        _refused_report([1], OPEN),
        _refused_report({}, "InvalidRequest"),
        _refused_report({"status": "DONE"}, "InvalidRequest"),
        # A status that only the service sets: not said whether the request or the change is wrong.
        _refused_report({"status": "CANCELED"}, OPEN, executionState=Maybe(OPEN)),
        _refused_report(
            {"status": "IN_PROGRESS", "statusDetails": {"a": "x" * 1_025}}, "InvalidRequest"
        ),
        _refused_report({"status": "IN_PROGRESS", "stepTimeoutInMinutes": 0}, "InvalidRequest"),
        _refused_report({"status": "IN_PROGRESS", "executionNumber": 7}, "ResourceNotFound"),
        publish(
            f"{J}/$next/get",
            {},
            {
                f"{J}/$next/get/accepted": {
                    "execution": execution("update-1"),
                    "timestamp": TIME,
                }
            },
        ),
    ],
)

CANCELED_JOBS = Conversation(
    "jobs that are canceled and deleted",
    'API reference: CancelJob, CancelJobExecution, DeleteJob; developer guide: "Jobs '
    'notifications", "Job execution states"',
    JOB_TOPICS,
    [
        create_job("first", {NOTIFY: OPEN, NEXT: OPEN}),
        create_job("second", {NOTIFY: OPEN}),
        call(
            "iot.CancelJob",
            {"jobId": "first", "comment": "no longer needed"},
            {"jobArn": arn("job/first"), "jobId": "first", "description": "a test"},
            {
                NOTIFY: notify(QUEUED=[summary("second")]),
                NEXT: following(execution("second")),
            },
        ),
        call(
            "iot.DescribeJob",
            {"jobId": "first"},
            {
                "job.status": "CANCELED",
                "job.comment": "no longer needed",
                "job.jobProcessDetails": job_counts(Canceled=1),
            },
            pick=("job.status", "job.comment", "job.jobProcessDetails"),
        ),
        publish(
            f"{J}/start-next",
            {},
            {
                f"{J}/start-next/accepted": {
                    "execution": execution("second", "IN_PROGRESS", 2, started=True),
                    "timestamp": TIME,
                }
            },
        ),
        # In progress: only with force.
        call(
            "iot.CancelJobExecution",
            {"jobId": "second", "thingName": "car-1"},
            Refused("InvalidStateTransitionException", 409),
        ),
        call(
            "iot.CancelJobExecution",
            {"jobId": "second", "thingName": "car-1", "force": True},
            {},
            {NOTIFY: notify(), NEXT: following()},
        ),
        _refused_report(
            {"status": "SUCCEEDED"},
            "InvalidStateTransition",
            "second",
            executionState={
                "status": "CANCELED",
                "versionNumber": 3,
                "statusDetails": Maybe(OPEN),
            },
        ),
        create_job("third", {NOTIFY: OPEN, NEXT: OPEN}),
        call(
            "iot.DeleteJob",
            {"jobId": "third"},
            Refused("InvalidStateTransitionException", 409),
        ),
        call(
            "iot.DeleteJob",
            {"jobId": "third", "force": True},
            {},
            {NOTIFY: notify(), NEXT: following()},
        ),
        call(
            "iot.CreateJob",
            {"jobId": "first", "targets": [Arn("thing/car-1")], "document": "{}"},
            Refused("ResourceAlreadyExistsException", 409),
        ),
        call(
            "iot.CreateJob",
            {"jobId": "fourth", "targets": [Arn("thing/nobody")], "document": "{}"},
            Refused("ResourceNotFoundException", 404),
        ),
    ],
)

_CAR: Final = {"thingName": "car-1"}

JOBS_OVER_HTTP = Conversation(
    "a job over HTTP, seen over MQTT",
    "API reference: AWS IoT Jobs data plane; there the document is text and the thing is named",
    JOB_TOPICS,
    [
        create_job("update-1", {NOTIFY: OPEN, NEXT: OPEN}),
        call(
            "iot-jobs-data.GetPendingJobExecutions",
            _CAR,
            {"inProgressJobs": [], "queuedJobs": [summary("update-1")]},
        ),
        call(
            "iot-jobs-data.StartNextPendingJobExecution",
            {**_CAR, "statusDetails": {"step": "download"}},
            {
                "execution": {
                    **summary("update-1", 2, started=True),
                    "thingName": "car-1",
                    "status": "IN_PROGRESS",
                    "statusDetails": {"step": "download"},
                    "jobDocument": WORDS,
                }
            },
        ),
        call(
            "iot-jobs-data.UpdateJobExecution",
            {**_CAR, "jobId": "update-1", "status": "SUCCEEDED", "expectedVersion": 7},
            Refused("InvalidRequestException", 400),
        ),
        call(
            "iot-jobs-data.UpdateJobExecution",
            {
                **_CAR,
                "jobId": "update-1",
                "status": "SUCCEEDED",
                "includeJobExecutionState": True,
            },
            {
                "executionState": {
                    "status": "SUCCEEDED",
                    "statusDetails": {"step": "download"},
                    "versionNumber": 3,
                }
            },
            {NOTIFY: notify(), NEXT: following()},
        ),
        call(
            "iot-jobs-data.DescribeJobExecution",
            {**_CAR, "jobId": "update-1"},
            Refused("TerminalStateException", 410),
        ),
        call(
            "iot-jobs-data.UpdateJobExecution",
            {**_CAR, "jobId": "update-1", "status": "IN_PROGRESS"},
            Refused("InvalidStateTransitionException", 409),
        ),
        call(
            "iot-jobs-data.UpdateJobExecution",
            {**_CAR, "jobId": "other", "status": "IN_PROGRESS"},
            Refused("ResourceNotFoundException", 404),
        ),
        call("iot-jobs-data.DescribeJobExecution", {**_CAR, "jobId": "$next"}, {}),
    ],
)

TIMED_JOB = Conversation(
    "a job with time-outs",
    'Developer guide: "Job timeout configuration", "Jobs device MQTT API operations"; API '
    "reference: JobExecution of the Jobs data plane",
    JOB_TOPICS,
    [
        call(
            "iot.CreateJob",
            {
                "jobId": "timed",
                "targets": [Arn("thing/car-1")],
                "document": '{"operation": "update"}',
                "timeoutConfig": {"inProgressTimeoutInMinutes": 60},
            },
            {"jobArn": arn("job/timed"), "jobId": "timed"},
            {NOTIFY: OPEN, NEXT: OPEN},
        ),
        # The timer starts with the execution.
        publish(
            f"{J}/timed/get",
            {},
            {f"{J}/timed/get/accepted": {"execution": execution("timed"), "timestamp": TIME}},
        ),
        publish(
            f"{J}/start-next",
            {},
            {
                f"{J}/start-next/accepted": {
                    "execution": execution(
                        "timed",
                        "IN_PROGRESS",
                        2,
                        started=True,
                        approximateSecondsBeforeTimedOut=SECONDS,
                    ),
                    "timestamp": TIME,
                }
            },
        ),
        publish(
            f"{J}/timed/update",
            {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 5},
            {f"{J}/timed/update/accepted": {"timestamp": TIME}},
        ),
        call(
            "iot.DescribeJob",
            {"jobId": "timed"},
            {
                "job.status": "IN_PROGRESS",
                "job.timeoutConfig": {"inProgressTimeoutInMinutes": 60},
                "job.jobProcessDetails": job_counts(InProgress=1),
            },
            pick=("job.status", "job.timeoutConfig", "job.jobProcessDetails"),
        ),
        call("iot.GetJobDocument", {"jobId": "timed"}, {"document": WORDS}),
        call(
            "iot.ListJobExecutionsForThing",
            {"thingName": "car-1"},
            {
                "executionSummaries": [
                    {
                        "jobId": "timed",
                        "jobExecutionSummary": {
                            "status": "IN_PROGRESS",
                            "queuedAt": TIME,
                            "startedAt": TIME,
                            "lastUpdatedAt": TIME,
                            "executionNumber": 1,
                            "retryAttempt": Maybe(0),
                        },
                    }
                ]
            },
        ),
    ],
)

_FLEET_DETAILS: Final = ("job.status", "job.targetSelection", "job.jobProcessDetails")

CONTINUOUS_JOB = Conversation(
    "a continuous job for a thing group",
    'Developer guide: "Continuous jobs", "Job execution states"; API reference: CreateJob, '
    "AddThingToThingGroup, RemoveThingFromThingGroup",
    JOB_TOPICS,
    [
        call(
            "iot.CreateThingGroup",
            {"thingGroupName": "fleet"},
            {"thingGroupName": "fleet", "thingGroupArn": arn("thinggroup/fleet")},
            pick=("thingGroupName", "thingGroupArn"),
        ),
        call(
            "iot.CreateJob",
            {
                "jobId": "rolling",
                "targets": [Arn("thinggroup/fleet")],
                "document": '{"operation": "update"}',
                "targetSelection": "CONTINUOUS",
            },
            {"jobArn": arn("job/rolling"), "jobId": "rolling"},
        ),
        call(
            "iot.AddThingToThingGroup",
            {"thingGroupName": "fleet", "thingName": "car-1"},
            {},
            {NOTIFY: notify(QUEUED=[summary("rolling")]), NEXT: following(execution("rolling"))},
        ),
        call(
            "iot.RemoveThingFromThingGroup",
            {"thingGroupName": "fleet", "thingName": "car-1"},
            {},
            {NOTIFY: notify(), NEXT: following()},
        ),
        call(
            "iot.DescribeJobExecution",
            {"jobId": "rolling", "thingName": "car-1"},
            {"execution.status": "REMOVED"},
            pick=("execution.status",),
        ),
        call(
            "iot.DescribeJob",
            {"jobId": "rolling"},
            {
                "job.status": "IN_PROGRESS",
                "job.targetSelection": "CONTINUOUS",
                "job.jobProcessDetails": job_counts(Removed=1),
            },
            pick=_FLEET_DETAILS,
        ),
        # Back in the group: a new execution.
        call(
            "iot.AddThingToThingGroup",
            {"thingGroupName": "fleet", "thingName": "car-1"},
            {},
            {NOTIFY: OPEN, NEXT: OPEN},
        ),
        publish(
            f"{J}/rolling/update",
            {"status": "SUCCEEDED"},
            {
                f"{J}/rolling/update/accepted": {"timestamp": TIME},
                NOTIFY: notify(),
                NEXT: following(),
            },
        ),
        # A continuous job goes on until it is canceled.
        call(
            "iot.DescribeJob",
            {"jobId": "rolling"},
            {"job.status": "IN_PROGRESS", "job.targetSelection": "CONTINUOUS"},
            pick=_FLEET_DETAILS[:2],
        ),
    ],
)

JOBS: Final = (
    ONE_JOB,
    THREE_JOBS,
    JOB_ERRORS,
    CANCELED_JOBS,
    JOBS_OVER_HTTP,
    TIMED_JOB,
    CONTINUOUS_JOB,
)
