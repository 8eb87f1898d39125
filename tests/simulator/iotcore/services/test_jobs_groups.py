from __future__ import annotations

from tests.simulator.iotcore.services.jobs_bench import ARN, Bench

RETRY = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]}


def fleet(*cars: str, events: bool = False) -> Bench:
    """Three cars, some of them in the group `fleet`."""
    bench = Bench("car-1", "car-2", "car-3", events=events)
    bench.groups["fleet"] = set(cars)
    return bench


def test_a_snapshot_job_serves_the_members_of_its_creation() -> None:
    """Later members get nothing, and the job completes without them."""
    bench = fleet("car-1")
    bench.create("job", "thinggroup/fleet")
    bench.regroup("fleet", "car-1", "car-2")
    assert bench.statuses("job") == {"car-1": ["QUEUED"]}
    bench.report("car-1", "job", "SUCCEEDED")
    assert bench.job("job")["status"] == "COMPLETED"


def test_a_snapshot_job_for_nobody_is_complete() -> None:
    """An empty group leaves nothing to do."""
    bench = fleet()
    bench.create("job", "thinggroup/fleet")
    assert bench.job("job")["status"] == "COMPLETED"


def test_a_continuous_job_serves_later_members() -> None:
    """Who joins gets an execution; the job never completes."""
    bench = fleet("car-1")
    bench.create("job", "thinggroup/fleet", targetSelection="CONTINUOUS")
    bench.report("car-1", "job", "SUCCEEDED")
    assert bench.job("job")["status"] == "IN_PROGRESS"
    bench.published()
    bench.regroup("fleet", "car-1", "car-2")
    assert bench.topics() == ["car-2/jobs/notify", "car-2/jobs/notify-next"]
    assert bench.statuses("job") == {"car-1": ["SUCCEEDED"], "car-2": ["QUEUED"]}


def test_who_leaves_loses_what_is_queued() -> None:
    """QUEUED becomes REMOVED; what is in progress goes on."""
    bench = fleet("car-1", "car-2", events=True)
    bench.create("job", "thinggroup/fleet", targetSelection="CONTINUOUS")
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.published()
    bench.regroup("fleet")
    assert bench.topics() == [
        "car-2/jobs/notify",
        "car-2/jobs/notify-next",
        "jobExecution/job/removed",
    ]
    assert bench.statuses("job") == {"car-1": ["IN_PROGRESS"], "car-2": ["REMOVED"]}


def test_who_comes_back_starts_anew() -> None:
    """The next execution number, version 1, and all retries again."""
    bench = fleet("car-1")
    bench.create(
        "job", "thinggroup/fleet", targetSelection="CONTINUOUS", jobExecutionsRetryConfig=RETRY
    )
    bench.report("car-1", "job", "FAILED")
    bench.report("car-1", "job", "FAILED")
    assert bench.statuses("job") == {"car-1": ["FAILED", "FAILED"]}
    bench.regroup("fleet")
    bench.regroup("fleet", "car-1")
    execution = bench.accepted("car-1", "$next/get")["execution"]
    assert (execution["executionNumber"], execution["versionNumber"]) == (3, 1)
    bench.report("car-1", "job", "FAILED")
    assert bench.statuses("job") == {"car-1": ["FAILED", "FAILED", "FAILED", "QUEUED"]}


def test_who_left_is_not_retried() -> None:
    """A failure after leaving the group is the end."""
    bench = fleet("car-1")
    bench.create(
        "job", "thinggroup/fleet", targetSelection="CONTINUOUS", jobExecutionsRetryConfig=RETRY
    )
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.regroup("fleet")
    bench.report("car-1", "job", "FAILED")
    assert bench.statuses("job") == {"car-1": ["FAILED"]}


def test_targets_can_be_added_to_a_continuous_job() -> None:
    """Their things get executions at once; other jobs refuse."""
    bench = fleet("car-1")
    bench.create("job", "thinggroup/fleet", targetSelection="CONTINUOUS")
    bench.create("snapshot", "car-1")
    more = [f"{ARN}thing/car-3"]
    bench.control("AssociateTargetsWithJob", jobId="job", targets=more, comment="more")
    assert bench.statuses("job") == {"car-1": ["QUEUED"], "car-3": ["QUEUED"]}
    assert bench.job("job")["targets"] == [f"{ARN}thinggroup/fleet", *more]
    refuse = bench.failure
    assert refuse("AssociateTargetsWithJob", jobId="snapshot", targets=more) == (
        "InvalidRequestException"
    )
    nobody = [f"{ARN}thing/none"]
    assert refuse("AssociateTargetsWithJob", jobId="job", targets=nobody) == (
        "ResourceNotFoundException"
    )
    many = [f"{ARN}thing/bus-{number}" for number in range(99)]
    assert refuse("AssociateTargetsWithJob", jobId="job", targets=many) == "LimitExceededException"


def test_jobs_are_listed_by_group() -> None:
    """ListJobs with a group gives the jobs that have it as a target."""
    bench = fleet("car-1")
    bench.create("one", "thinggroup/fleet")
    bench.create("two", "car-1")
    listed = bench.control("ListJobs", thingGroupName="fleet", targetSelection="SNAPSHOT")
    assert [job["jobId"] for job in listed["jobs"]] == ["one"]


def test_a_deleted_thing_holds_no_job_up() -> None:
    """Its pending executions become REMOVED, a rollout passes it by, and jobs complete."""
    bench = fleet()
    bench.create("running", "car-1", "car-2")
    bench.create("rolling", "car-2", "car-1", jobExecutionsRolloutConfig={"maximumPerMinute": 1})
    bench.report("car-1", "running", "IN_PROGRESS")
    bench.report("car-2", "running", "SUCCEEDED")
    bench.report("car-2", "rolling", "SUCCEEDED")
    bench.things.discard("car-1")
    bench.answers += bench.service.thing_deleted("car-1", bench.now_s)
    assert bench.statuses("running")["car-1"] == ["REMOVED"]
    assert bench.job("running")["status"] == "COMPLETED"
    assert bench.job("rolling")["status"] == "COMPLETED"


def test_a_deleted_group_empties_a_continuous_job() -> None:
    """A target that no longer exists has no members."""
    bench = fleet("car-1")
    bench.create("job", "thinggroup/fleet", targetSelection="CONTINUOUS")
    del bench.groups["fleet"]
    bench.answers += bench.service.groups_changed(bench.now_s)
    assert bench.statuses("job") == {"car-1": ["REMOVED"]}
