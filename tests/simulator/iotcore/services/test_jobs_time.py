from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.simulator.iotcore.services.jobs_bench import ARN, START, Bench

MINUTE = 60
CAR = f"{ARN}thing/car-1"


def test_the_time_line_of_the_developer_guide() -> None:
    """A 20 min timer, step timers of 7, 5 and 9 min at 12:05, 12:10 and 12:13: it ends at 12:20."""
    bench = Bench("car-1")
    bench.create("job", "car-1", timeoutConfig={"inProgressTimeoutInMinutes": 20})
    bench.accepted("car-1", "start-next")
    left_s = []
    for pause, step in ((5, 7), (5, 5), (3, 9)):
        bench.wait(pause * MINUTE)
        bench.report("car-1", "job", "IN_PROGRESS", stepTimeoutInMinutes=step)
        execution = bench.accepted("car-1", "job/get")["execution"]
        left_s.append(execution["approximateSecondsBeforeTimedOut"])
    assert left_s == [7 * MINUTE, 5 * MINUTE, 7 * MINUTE]
    bench.wait(7 * MINUTE - 1)
    assert bench.statuses("job") == {"car-1": ["IN_PROGRESS"]}
    bench.wait(1)
    assert bench.statuses("job") == {"car-1": ["TIMED_OUT"]}
    assert bench.job("job")["status"] == "COMPLETED"
    assert bench.counts("job") == {"TimedOut": 1}


def test_a_step_timer_runs_out() -> None:
    """Without an in-progress timer the step timer alone ends the execution, and all are told."""
    bench = Bench("car-1", events=True)
    bench.create("job", "car-1")
    bench.accepted("car-1", "start-next", {"stepTimeoutInMinutes": 2})
    assert bench.service.next_deadline_s == bench.now_s + 2 * MINUTE
    bench.published()
    bench.wait(2 * MINUTE)
    assert bench.topics() == [
        "car-1/jobs/notify",
        "car-1/jobs/notify-next",
        "jobExecution/job/timed_out",
        "job/job/completed",
    ]
    answer = bench.rejected("car-1", "job/update", {"status": "SUCCEEDED"})
    assert answer["executionState"] == {"status": "TIMED_OUT", "versionNumber": 3}


def test_minus_one_takes_the_step_timer_away() -> None:
    """The execution may then last for ever."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    bench.accepted("car-1", "start-next", {"stepTimeoutInMinutes": 1})
    bench.report("car-1", "job", "IN_PROGRESS", stepTimeoutInMinutes=-1)
    assert bench.service.next_deadline_s is None
    execution = bench.accepted("car-1", "job/get")["execution"]
    assert "approximateSecondsBeforeTimedOut" not in execution


def test_a_report_without_a_step_timer_leaves_it() -> None:
    """Only a new value replaces the timer."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    bench.accepted("car-1", "start-next", {"stepTimeoutInMinutes": 2})
    bench.wait(MINUTE)
    bench.report("car-1", "job", "IN_PROGRESS", statusDetails={"still": "here"})
    bench.wait(MINUTE)
    assert bench.statuses("job") == {"car-1": ["TIMED_OUT"]}


def test_queued_executions_do_not_time_out() -> None:
    """The in-progress timer starts with the execution, and UpdateJob reaches only later starts."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2", timeoutConfig={"inProgressTimeoutInMinutes": 1})
    bench.wait(60 * MINUTE)
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.control("UpdateJob", jobId="job", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    bench.report("car-2", "job", "IN_PROGRESS")
    bench.wait(MINUTE)
    assert bench.statuses("job") == {"car-1": ["TIMED_OUT"], "car-2": ["IN_PROGRESS"]}
    bench.wait(4 * MINUTE)
    assert bench.statuses("job") == {"car-1": ["TIMED_OUT"], "car-2": ["TIMED_OUT"]}


CARS = [f"car-{number}" for number in range(10)]


def test_a_constant_rollout() -> None:
    """Four things at once, four more each minute; meanwhile the job is concurrent."""
    bench = Bench(*CARS)
    bench.create("job", *CARS, jobExecutionsRolloutConfig={"maximumPerMinute": 4})
    assert bench.counts("job") == {"Queued": 4}
    assert bench.job("job")["isConcurrent"] is True
    assert len(bench.job("job")["jobProcessDetails"]["processingTargets"]) == 10
    bench.wait(MINUTE - 1)
    assert bench.counts("job") == {"Queued": 4}
    bench.wait(1)
    assert bench.counts("job") == {"Queued": 8}
    bench.published()
    bench.wait(MINUTE)
    assert bench.topics()[0] == "car-8/jobs/notify"
    assert bench.counts("job") == {"Queued": 10}
    assert bench.job("job")["isConcurrent"] is False
    assert bench.service.next_deadline_s is None


def test_a_job_is_not_complete_before_its_rollout() -> None:
    """All that were reached have succeeded, others wait: the job goes on."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2", jobExecutionsRolloutConfig={"maximumPerMinute": 1})
    bench.report("car-1", "job", "SUCCEEDED")
    assert bench.job("job")["status"] == "IN_PROGRESS"
    bench.wait(MINUTE)
    bench.report("car-2", "job", "SUCCEEDED")
    assert bench.job("job")["status"] == "COMPLETED"


def test_canceling_ends_a_rollout() -> None:
    """Things that were not reached stay out, and the job is no longer concurrent."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2", jobExecutionsRolloutConfig={"maximumPerMinute": 1})
    bench.control("CancelJob", jobId="job")
    assert bench.job("job")["isConcurrent"] is False
    bench.wait(5 * MINUTE)
    assert bench.statuses("job") == {"car-1": ["CANCELED"]}


def exponential(**criteria: int) -> dict[str, Any]:
    """One a minute at first, twice as many at each step, never more than five."""
    return {
        "jobExecutionsRolloutConfig": {
            "maximumPerMinute": 5,
            "exponentialRate": {
                "baseRatePerMinute": 1,
                "incrementFactor": 2,
                "rateIncreaseCriteria": criteria,
            },
        }
    }


def rollout(bench: Bench, minutes: int) -> list[int]:
    """How many things the job has reached after each minute."""
    reached = [sum(bench.counts("job").values())]
    for _ in range(minutes):
        bench.wait(MINUTE)
        reached.append(sum(bench.counts("job").values()))
    return reached


def test_an_exponential_rollout_grows_with_the_notified_things() -> None:
    """Steps at 2, 4, 6 things: 1, +1 -> 2, then 2 a minute -> 4, then 4 -> 8, then the limit."""
    cars = [f"car-{number}" for number in range(20)]
    bench = Bench(*cars)
    bench.create("job", *cars, **exponential(numberOfNotifiedThings=2))
    assert rollout(bench, 6) == [1, 2, 4, 8, 13, 18, 20]


def test_an_exponential_rollout_grows_with_success() -> None:
    """Without success the rate stays; after two successes it is two a minute."""
    bench = Bench(*CARS)
    bench.create("job", *CARS, **exponential(numberOfSucceededThings=2))
    assert rollout(bench, 2) == [1, 2, 3]
    bench.report("car-0", "job", "SUCCEEDED")
    bench.report("car-1", "job", "SUCCEEDED")
    assert rollout(bench, 1) == [3, 5]


@pytest.mark.parametrize(
    "rate",
    [
        {"exponentialRate": {}},
        exponential()["jobExecutionsRolloutConfig"],
        exponential(numberOfNotifiedThings=1, numberOfSucceededThings=1)[
            "jobExecutionsRolloutConfig"
        ],
        exponential(numberOfNotifiedThings=1)["jobExecutionsRolloutConfig"]
        | {"maximumPerMinute": 1},
    ],
)
def test_wrong_exponential_rollouts_are_refused(rate: dict[str, Any]) -> None:
    """They need a maximum above the base rate and exactly one criterion."""
    bench = Bench("car-1")
    request = {"jobId": "job", "targets": [CAR], "document": "{}"}
    assert bench.failure("CreateJob", **request, jobExecutionsRolloutConfig=rate) == (
        "InvalidRequestException"
    )


def abort(kind: str, percent: float, least: int) -> dict[str, Any]:
    """An abort configuration."""
    row = {
        "failureType": kind,
        "action": "CANCEL",
        "thresholdPercentage": percent,
        "minNumberOfExecutedThings": least,
    }
    return {"abortConfig": {"criteriaList": [row]}}


def test_a_job_aborts_at_its_threshold() -> None:
    """Half of at least two failed: what is queued is canceled, what runs goes on."""
    bench = Bench(*CARS[:4])
    bench.create("job", *CARS[:4], **abort("FAILED", 50, 2))
    bench.report("car-0", "job", "FAILED")
    assert bench.job("job")["status"] == "IN_PROGRESS"
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.report("car-2", "job", "SUCCEEDED")
    shown = bench.job("job")
    assert (shown["status"], shown["reasonCode"]) == ("CANCELED", "ABORT_CANCEL")
    assert shown["comment"] == (
        "Abort criteria for failure type FAILED with threshold 50.00% met. "
        "Total completed executions: 2, total FAILED executions: 1"
    )
    assert bench.statuses("job") == {
        "car-0": ["FAILED"],
        "car-1": ["IN_PROGRESS"],
        "car-2": ["SUCCEEDED"],
        "car-3": ["CANCELED"],
    }


@pytest.mark.parametrize(
    ("kind", "status", "is_aborted"),
    [
        ("REJECTED", "REJECTED", True),
        ("REJECTED", "FAILED", False),
        ("ALL", "REJECTED", True),
        ("ALL", "FAILED", True),
        ("ALL", "SUCCEEDED", False),
        ("TIMED_OUT", "FAILED", False),
    ],
)
def test_each_criterion_counts_its_own_failures(kind: str, status: str, is_aborted: bool) -> None:
    """ALL counts failed, rejected and timed-out executions."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2", **abort(kind, 100, 1))
    bench.report("car-1", "job", status)
    assert (bench.job("job")["status"] == "CANCELED") is is_aborted


def test_time_outs_abort_and_the_waiting_are_never_reached() -> None:
    """The abort also ends a rollout."""
    bench = Bench("car-1", "car-2")
    bench.create(
        "job",
        "car-1",
        "car-2",
        timeoutConfig={"inProgressTimeoutInMinutes": 1},
        jobExecutionsRolloutConfig={"maximumPerMinute": 1},
        **abort("TIMED_OUT", 10, 1),
    )
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.wait(5 * MINUTE)
    assert bench.statuses("job")["car-1"] == ["TIMED_OUT"]
    assert bench.job("job")["status"] == "CANCELED"
    assert bench.service.next_deadline_s is None


def retry(**numbers: int) -> dict[str, Any]:
    """A retry configuration."""
    rows = [{"failureType": kind, "numberOfRetries": number} for kind, number in numbers.items()]
    return {"jobExecutionsRetryConfig": {"criteriaList": rows}}


def test_a_failed_execution_is_retried() -> None:
    """Each retry has the next execution number; after the last the job completes."""
    bench = Bench("car-1")
    bench.create("job", "car-1", **retry(FAILED=2))
    for number in (1, 2, 3):
        execution = bench.accepted("car-1", "start-next")["execution"]
        assert (execution["executionNumber"], execution["versionNumber"]) == (number, 2)
        assert bench.job("job")["status"] == "IN_PROGRESS"
        bench.report("car-1", "job", "FAILED")
    assert bench.job("job")["status"] == "COMPLETED"
    rows = bench.control("ListJobExecutionsForJob", jobId="job")["executionSummaries"]
    assert [row["jobExecutionSummary"]["retryAttempt"] for row in rows] == [0, 1, 2]
    first = bench.control("DescribeJobExecution", jobId="job", thingName="car-1", executionNumber=1)
    assert first["execution"]["status"] == "FAILED"


def test_a_retry_is_one_notification() -> None:
    """The old execution leaves and the new one joins in the same message."""
    bench = Bench("car-1")
    bench.create("job", "car-1", **retry(FAILED=1))
    bench.published()
    bench.report("car-1", "job", "FAILED")
    (_, notice), (_, first) = bench.published()
    assert [one["executionNumber"] for one in notice["jobs"]["QUEUED"]] == [2]
    assert first["execution"]["executionNumber"] == 2


def test_retries_are_counted_by_failure() -> None:
    """One retry for failing and one for timing out; ALL counts both together."""
    bench = Bench("car-1", "car-2")
    timeout = {"timeoutConfig": {"inProgressTimeoutInMinutes": 1}}
    bench.create("each", "car-1", **retry(FAILED=1, TIMED_OUT=1), **timeout)
    bench.create("all", "car-2", **retry(ALL=1), **timeout)
    for thing, job in (("car-1", "each"), ("car-2", "all")):
        bench.report(thing, job, "FAILED")
        bench.report(thing, job, "IN_PROGRESS")
    bench.wait(MINUTE)
    assert bench.statuses("each") == {"car-1": ["FAILED", "TIMED_OUT", "QUEUED"]}
    assert bench.statuses("all") == {"car-2": ["FAILED", "TIMED_OUT"]}
    bench.report("car-1", "each", "FAILED")
    assert bench.job("each")["status"] == "COMPLETED"


@pytest.mark.parametrize("status", ["REJECTED", "SUCCEEDED"])
def test_other_ends_are_not_retried(status: str) -> None:
    """Only failed and timed-out executions are."""
    bench = Bench("car-1")
    bench.create("job", "car-1", **retry(ALL=5))
    bench.report("car-1", "job", status)
    assert bench.statuses("job") == {"car-1": [status]}


def test_a_canceled_job_does_not_retry() -> None:
    """What goes on after a cancellation is not tried again."""
    bench = Bench("car-1")
    bench.create("job", "car-1", **retry(ALL=5))
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.control("CancelJob", jobId="job")
    bench.report("car-1", "job", "FAILED")
    assert bench.statuses("job") == {"car-1": ["FAILED"]}


def at(seconds: float) -> str:
    """The time so long after the bench started, as a schedule has it."""
    return datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M")


FULL_MINUTE = -START % 60
"""Seconds from the start of the bench to a full minute."""


def test_a_scheduled_job_starts_on_time() -> None:
    """It is SCHEDULED, hands out nothing, and starts at its minute."""
    bench = Bench("car-1")
    start = FULL_MINUTE + 40 * MINUTE
    bench.create("job", "car-1", schedulingConfig={"startTime": at(start)})
    assert bench.job("job")["status"] == "SCHEDULED"
    assert bench.pending("car-1") == []
    bench.wait(start - 1)
    assert bench.published() == []
    bench.wait(1)
    assert bench.job("job")["status"] == "IN_PROGRESS"
    assert bench.topics() == ["car-1/jobs/notify", "car-1/jobs/notify-next"]


@pytest.mark.parametrize(
    ("behavior", "statuses", "status"),
    [
        ("STOP_ROLLOUT", ["IN_PROGRESS", "QUEUED"], "IN_PROGRESS"),
        ("CANCEL", ["IN_PROGRESS", "CANCELED"], "CANCELED"),
        ("FORCE_CANCEL", ["CANCELED", "CANCELED"], "CANCELED"),
    ],
)
def test_the_end_of_a_schedule(behavior: str, statuses: list[str], status: str) -> None:
    """The rollout stops at the end, and with it what the behaviour says."""
    bench = Bench("car-1", "car-2", "car-3")
    end = FULL_MINUTE + 40 * MINUTE
    bench.create(
        "job",
        "car-1",
        "car-2",
        "car-3",
        jobExecutionsRolloutConfig={"maximumPerMinute": 2},
        schedulingConfig={"endTime": at(end), "endBehavior": behavior},
    )
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.control(
        "DeleteJobExecution", jobId="job", thingName="car-2", executionNumber=1, force=True
    )
    bench.wait(end)
    found = bench.statuses("job")
    assert [found["car-1"][0], found["car-3"][0]] == statuses
    assert bench.job("job")["status"] == status
    assert bench.service.next_deadline_s is None


def test_the_end_of_a_schedule_stops_a_rollout() -> None:
    """Things that were not reached stay out, and the job completes without them."""
    cars = [f"car-{number}" for number in range(60)]
    bench = Bench(*cars)
    end = FULL_MINUTE + 30 * MINUTE
    bench.create(
        "job",
        *cars,
        jobExecutionsRolloutConfig={"maximumPerMinute": 1},
        schedulingConfig={"endTime": at(end)},
    )
    bench.wait(end)
    reached = len(bench.statuses("job"))
    # One at once and one each minute until the end.
    assert reached == 1 + (end - 1) // MINUTE
    for number in range(reached):
        bench.report(f"car-{number}", "job", "SUCCEEDED")
    assert bench.job("job")["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "schedule",
    [
        {"startTime": at(29 * MINUTE)},
        {"startTime": at(367 * 86_400)},
        {"endTime": at(29 * MINUTE)},
        {"startTime": at(60 * MINUTE), "endTime": at(80 * MINUTE)},
    ],
)
def test_schedules_out_of_range_are_refused(schedule: dict[str, str]) -> None:
    """At least 30 minutes ahead and long, at most a year ahead."""
    bench = Bench("car-1")
    request = {"jobId": "job", "targets": [CAR], "document": "{}"}
    assert bench.failure("CreateJob", **request, schedulingConfig=schedule) == (
        "InvalidRequestException"
    )
