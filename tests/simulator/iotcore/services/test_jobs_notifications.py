from __future__ import annotations

import json

from simulator.iotcore.broker.message import Message
from tests.simulator.iotcore.services.jobs_bench import ARN, START, Bench

T = START
NOTIFY, NEXT = "$aws/things/car-1/jobs/notify", "$aws/things/car-1/jobs/notify-next"


def queued(job_id: str, at: int) -> dict[str, object]:
    """Summary of a queued first execution, as in the developer guide."""
    return {
        "jobId": job_id,
        "queuedAt": at,
        "lastUpdatedAt": at,
        "executionNumber": 1,
        "versionNumber": 1,
    }


def test_the_conversation_of_the_developer_guide() -> None:
    """Three jobs come and go as in "Jobs notifications", message for message."""
    bench = Bench("car-1")
    document = {"jobDocument": {"operation": "test"}}
    bench.create("job1", "car-1")
    assert bench.published() == [
        (NOTIFY, {"timestamp": T, "jobs": {"QUEUED": [queued("job1", T)]}}),
        (NEXT, {"timestamp": T, "execution": queued("job1", T) | {"status": "QUEUED"} | document}),
    ]

    bench.wait(10)
    bench.create("job2", "car-1")
    both = [queued("job1", T), queued("job2", T + 10)]
    assert bench.published() == [(NOTIFY, {"timestamp": T + 10, "jobs": {"QUEUED": both}})]

    bench.wait(10)
    bench.accepted("car-1", "start-next")
    assert bench.published() == []

    bench.wait(10)
    bench.create("job3", "car-1")
    started = {"startedAt": T + 20, "lastUpdatedAt": T + 20, "versionNumber": 2}
    jobs = {
        "IN_PROGRESS": [queued("job1", T) | started],
        "QUEUED": [queued("job2", T + 10), queued("job3", T + 30)],
    }
    assert bench.published() == [(NOTIFY, {"timestamp": T + 30, "jobs": jobs})]

    bench.wait(10)
    bench.report("car-1", "job1", "SUCCEEDED")
    left = {"QUEUED": [queued("job2", T + 10), queued("job3", T + 30)]}
    first = queued("job2", T + 10) | {"status": "QUEUED"} | document
    assert bench.published() == [
        (NOTIFY, {"timestamp": T + 40, "jobs": left}),
        (NEXT, {"timestamp": T + 40, "execution": first}),
    ]

    bench.wait(10)
    bench.report("car-1", "job3", "IN_PROGRESS")
    started = {"startedAt": T + 50, "lastUpdatedAt": T + 50, "versionNumber": 2}
    third = queued("job3", T + 30) | started
    first = third | {"status": "IN_PROGRESS"} | document
    assert bench.published() == [(NEXT, {"timestamp": T + 50, "execution": first})]

    bench.wait(10)
    bench.report("car-1", "job2", "REJECTED")
    assert bench.published() == [
        (NOTIFY, {"timestamp": T + 60, "jobs": {"IN_PROGRESS": [third]}}),
    ]

    bench.wait(10)
    bench.control("DeleteJob", jobId="job3", force=True)
    assert bench.published() == [
        (NOTIFY, {"timestamp": T + 70, "jobs": {}}),
        (NEXT, {"timestamp": T + 70}),
    ]


def test_one_notification_lists_fifteen_executions() -> None:
    """`notify` has no more than fifteen, those in progress first, then by age."""
    bench = Bench("car-1")
    for number in range(17):
        bench.create(f"job-{number}", "car-1")
    bench.report("car-1", "job-16", "IN_PROGRESS")
    bench.published()
    bench.create("last", "car-1")
    ((_, notice),) = bench.published()
    assert [one["jobId"] for one in notice["jobs"]["IN_PROGRESS"]] == ["job-16"]
    assert [one["jobId"] for one in notice["jobs"]["QUEUED"]] == [f"job-{n}" for n in range(14)]


def test_every_thing_of_a_job_is_told() -> None:
    """A job for two things sends both kinds of notification to each."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2")
    assert bench.topics() == [
        "car-1/jobs/notify",
        "car-1/jobs/notify-next",
        "car-2/jobs/notify",
        "car-2/jobs/notify-next",
    ]


def test_progress_is_not_news() -> None:
    """Reports that change details but not the pending executions notify nobody."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.published()
    bench.report("car-1", "job", "IN_PROGRESS", statusDetails={"percent": "50"})
    bench.accepted("car-1", "start-next")
    bench.accepted("car-1", "$next/get")
    assert bench.published() == []


def test_the_answer_precedes_the_notifications() -> None:
    """The requester hears `accepted` first, then everybody hears what changed."""
    bench = Bench("car-1", events=True)
    bench.create("job", "car-1")
    request = Message("$aws/things/car-1/jobs/job/update", b'{"status":"SUCCEEDED"}', 0, 1000.0)
    answers = bench.service.handle(request, "device", 1000.0)
    assert [(one.message.topic.split("/jobs/")[-1], one.client_id) for one in answers] == [
        ("job/update/accepted", "device"),
        ("notify", None),
        ("notify-next", None),
        ("$aws/events/jobExecution/job/succeeded", None),
        ("$aws/events/job/job/completed", None),
    ]
    assert [one.message.qos for one in answers] == [0, 1, 1, 1, 1]


def test_events_of_a_completed_job() -> None:
    """The documents of "Jobs events": seconds for the event, milliseconds for the job."""
    bench = Bench("car-1", events=True)
    bench.create("job", "car-1", description="new maps")
    bench.published()
    bench.wait(2.5)
    bench.report("car-1", "job", "SUCCEEDED", statusDetails={"step": "done"})
    events = bench.published()[2:]
    assert events == [
        (
            "$aws/events/jobExecution/job/succeeded",
            {
                "eventType": "JOB_EXECUTION",
                "eventId": "event-1",
                "timestamp": T + 2,
                "operation": "succeeded",
                "jobId": "job",
                "thingArn": f"{ARN}thing/car-1",
                "status": "SUCCEEDED",
                "executionNumber": 1,
                "statusDetails": {"step": "done"},
            },
        ),
        (
            "$aws/events/job/job/completed",
            {
                "eventType": "JOB",
                "eventId": "event-2",
                "timestamp": T + 2,
                "operation": "completed",
                "jobId": "job",
                "status": "COMPLETED",
                "targetSelection": "SNAPSHOT",
                "targets": [f"{ARN}thing/car-1"],
                "description": "new maps",
                "completedAt": T * 1000 + 2500,
                "createdAt": T * 1000,
                "lastUpdatedAt": T * 1000 + 2500,
                "jobProcessDetails": {
                    "numberOfCanceledThings": 0,
                    "numberOfRejectedThings": 0,
                    "numberOfFailedThings": 0,
                    "numberOfRemovedThings": 0,
                    "numberOfSucceededThings": 1,
                    "numberOfTimedOutThings": 0,
                },
            },
        ),
    ]


def test_cancellation_and_deletion_are_announced_at_start_and_end() -> None:
    """Two events for each, with the executions' in between."""
    bench = Bench("car-1", events=True)
    bench.create("job", "car-1")
    bench.published()
    bench.control("CancelJob", jobId="job", reasonCode="BAD_IMAGE", comment="stop it")
    published = bench.published()[2:]
    assert [topic.removeprefix("$aws/events/") for topic, _ in published] == [
        "job/job/cancellation_in_progress",
        "jobExecution/job/canceled",
        "job/job/canceled",
    ]
    assert [document["status"] for _, document in published] == [
        "CANCELLATION_IN_PROGRESS",
        "CANCELED",
        "CANCELED",
    ]
    assert published[0][1]["comment"] == "stop it"
    bench.control("DeleteJob", jobId="job")
    assert bench.topics() == [
        "job/job/deletion_in_progress",
        "jobExecution/job/deleted",
        "job/job/deleted",
    ]


def test_events_are_off_unless_switched_on() -> None:
    """AWS publishes no job events by default; each kind has its switch."""
    bench = Bench("car-1")
    bench.create("first", "car-1")
    bench.report("car-1", "first", "SUCCEEDED")
    assert not [topic for topic in bench.topics() if "job/" in topic]
    bench.service.set_events(job=True, execution=False)
    bench.create("second", "car-1")
    bench.report("car-1", "second", "SUCCEEDED")
    assert bench.topics()[-1] == "job/second/completed"


def test_a_publish_of_the_process_itself_has_effects_and_no_answer() -> None:
    """Nobody waits for the answer, the thing still hears about the change."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    request = Message("$aws/things/car-1/jobs/job/update", b'{"status":"FAILED"}', 1, 1000.0)
    answers = bench.service.handle(request, None, 1000.0)
    assert [one.message.topic for one in answers] == [NOTIFY, NEXT]
    assert json.loads(answers[0].message.payload)["jobs"] == {}
