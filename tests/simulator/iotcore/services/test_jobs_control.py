from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.iotcore.services.jobs_bench import ARN, DOCUMENT, START, Bench

CAR = f"{ARN}thing/car-1"


def criterion(**changes: Any) -> dict[str, Any]:
    """An abort configuration with one criterion."""
    whole = {
        "failureType": "FAILED",
        "action": "CANCEL",
        "thresholdPercentage": 50,
        "minNumberOfExecutedThings": 1,
    }
    return {"abortConfig": {"criteriaList": [whole | changes]}}


def retry(*criteria: tuple[str, int]) -> dict[str, Any]:
    """A retry configuration."""
    rows = [{"failureType": kind, "numberOfRetries": number} for kind, number in criteria]
    return {"jobExecutionsRetryConfig": {"criteriaList": rows}}


def test_a_described_job_shows_everything() -> None:
    """DescribeJob gives back what CreateJob got, with counts and empty settings as objects."""
    bench = Bench("car-1", "car-2")
    bench.create(
        "job",
        "car-1",
        "car-2",
        description="new maps",
        timeoutConfig={"inProgressTimeoutInMinutes": 10},
        namespaceId="ns",
        tags=[{"Key": "a", "Value": "b"}],
        **criterion(),
        **retry(("ALL", 2)),
    )
    shown = bench.job("job")
    stamps = {shown.pop(name).timestamp() for name in ("createdAt", "lastUpdatedAt")}
    assert stamps == {START}
    details = shown.pop("jobProcessDetails")
    assert details == {
        f"numberOf{name}Things": 2 if name == "Queued" else 0
        for name in (
            "Canceled",
            "Succeeded",
            "Failed",
            "Rejected",
            "Queued",
            "InProgress",
            "Removed",
            "TimedOut",
        )
    }
    assert shown == {
        "jobArn": f"{ARN}job/job",
        "jobId": "job",
        "targetSelection": "SNAPSHOT",
        "status": "IN_PROGRESS",
        "targets": [CAR, f"{ARN}thing/car-2"],
        "description": "new maps",
        "namespaceId": "ns",
        "isConcurrent": False,
        "presignedUrlConfig": {},
        "schedulingConfig": {},
        "jobExecutionsRolloutConfig": {},
        "timeoutConfig": {"inProgressTimeoutInMinutes": 10},
        **criterion(),
        **retry(("ALL", 2)),
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"jobId": "bad id"}, "InvalidRequestException"),
        ({"jobId": "x" * 65}, "InvalidRequestException"),
        ({"jobId": None}, "InvalidRequestException"),
        ({"targets": []}, "InvalidRequestException"),
        ({"targets": "car-1"}, "InvalidRequestException"),
        ({"targets": ["nonsense"]}, "InvalidRequestException"),
        ({"targets": [5]}, "InvalidRequestException"),
        ({"targets": [CAR] * 101}, "InvalidRequestException"),
        ({"targets": [f"{ARN}thing/none"]}, "ResourceNotFoundException"),
        ({"targets": [CAR, f"{ARN}thinggroup/none"]}, "ResourceNotFoundException"),
        ({"document": None}, "InvalidRequestException"),
        ({"document": "{"}, "InvalidRequestException"),
        ({"document": "[" * 101 + "]" * 101}, "InvalidRequestException"),
        ({"document": "[" * 9999}, "InvalidRequestException"),
        ({"document": '"' + "a" * 32_767 + '"'}, "InvalidRequestException"),
        ({"document": {"not": "text"}}, "InvalidRequestException"),
        ({"documentSource": "https://b.s3.amazonaws.com/k"}, "InvalidRequestException"),
        ({"document": None, "documentSource": "https://none"}, "InvalidRequestException"),
        ({"targetSelection": "OTHER"}, "InvalidRequestException"),
        ({"description": "x" * 2029}, "InvalidRequestException"),
        ({"description": "a\nb"}, "InvalidRequestException"),
        ({"jobTemplateArn": "arn:aws:iot:::jobtemplate/t"}, "InvalidRequestException"),
        ({"timeoutConfig": {"inProgressTimeoutInMinutes": 0}}, "InvalidRequestException"),
        ({"timeoutConfig": {"inProgressTimeoutInMinutes": 10_081}}, "InvalidRequestException"),
        ({"timeoutConfig": []}, "InvalidRequestException"),
        ({"jobExecutionsRolloutConfig": {"maximumPerMinute": 0}}, "InvalidRequestException"),
        ({"jobExecutionsRolloutConfig": {"maximumPerMinute": 1001}}, "InvalidRequestException"),
        (criterion(thresholdPercentage=100.5), "InvalidRequestException"),
        (criterion(thresholdPercentage=True), "InvalidRequestException"),
        (criterion(failureType="SUCCEEDED"), "InvalidRequestException"),
        (criterion(action=None), "InvalidRequestException"),
        (criterion(minNumberOfExecutedThings=0), "InvalidRequestException"),
        ({"abortConfig": {"criteriaList": []}}, "InvalidRequestException"),
        (retry(("FAILED", 11)), "InvalidRequestException"),
        (retry(("FAILED", 6), ("TIMED_OUT", 5)), "InvalidRequestException"),
        (retry(("FAILED", 1), ("FAILED", 1)), "InvalidRequestException"),
        (retry(("ALL", 1), ("FAILED", 1)), "InvalidRequestException"),
        (retry(("REJECTED", 1)), "InvalidRequestException"),
        ({"presignedUrlConfig": {"expiresInSec": 59}}, "InvalidRequestException"),
        ({"schedulingConfig": {"startTime": "soon"}}, "InvalidRequestException"),
        ({"schedulingConfig": {"endBehavior": "CANCEL"}}, "InvalidRequestException"),
        ({"schedulingConfig": {"maintenanceWindows": [{}]}}, "InvalidRequestException"),
    ],
)
def test_wrong_jobs_are_not_created(changes: dict[str, Any], code: str) -> None:
    """Each is refused with the model's exception, and no job is there afterwards."""
    bench = Bench("car-1")
    request = {"jobId": "job", "targets": [CAR], "document": DOCUMENT} | changes
    assert bench.failure("CreateJob", **request) == code
    assert bench.control("ListJobs")["jobs"] == []
    assert bench.published() == []


def test_limits_of_a_job_are_inclusive() -> None:
    """64 characters of id, 32,768 bytes of document, 100 targets are fine."""
    bench = Bench("car-1")
    document = '"' + "a" * 32_766 + '"'
    bench.create("x" * 64, *["car-1"] * 100, document=document)
    assert bench.control("GetJobDocument", jobId="x" * 64)["document"] == document
    assert bench.counts("x" * 64) == {"Queued": 1}


def test_a_job_id_is_used_once() -> None:
    """Creating it again is refused, whatever the request says."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    request = {"jobId": "job", "targets": [CAR], "document": DOCUMENT}
    assert bench.failure("CreateJob", **request) == "ResourceAlreadyExistsException"


def test_a_document_may_come_from_a_source() -> None:
    """The text behind `documentSource` is taken at once and named in DescribeJob."""
    sources = {"https://b.s3.amazonaws.com/k": '{"from":"s3"}'}
    bench = Bench("car-1", fetch=sources.get)
    (source,) = sources
    bench.control("CreateJob", jobId="job", targets=[CAR], documentSource=source)
    assert bench.control("GetJobDocument", jobId="job") == {"document": '{"from":"s3"}'}
    assert bench.control("DescribeJob", jobId="job")["documentSource"] == source


def test_jobs_and_executions_are_listed_in_pages() -> None:
    """Pages follow one another until there is no token, and filters hold across them."""
    bench = Bench("car-1", "car-2", "car-3")
    for number in range(5):
        bench.create(f"job-{number}", "car-1", "car-2", "car-3")
    bench.control("CancelJob", jobId="job-1")
    found: list[str] = []
    token: dict[str, Any] = {}
    while True:
        page = bench.control("ListJobs", maxResults=2, status="IN_PROGRESS", **token)
        found += [job["jobId"] for job in page["jobs"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert found == ["job-0", "job-2", "job-3", "job-4"]
    first = bench.control("ListJobExecutionsForJob", jobId="job-0", maxResults=2)
    rest = bench.control(
        "ListJobExecutionsForJob", jobId="job-0", maxResults=2, nextToken=first["nextToken"]
    )
    things = [row["thingArn"][-5:] for row in first["executionSummaries"]]
    things += [row["thingArn"][-5:] for row in rest["executionSummaries"]]
    assert things == ["car-1", "car-2", "car-3"]
    assert "nextToken" not in rest
    of_thing = bench.control("ListJobExecutionsForThing", thingName="car-2", status="CANCELED")
    assert [row["jobId"] for row in of_thing["executionSummaries"]] == ["job-1"]
    assert of_thing["executionSummaries"][0]["jobExecutionSummary"]["retryAttempt"] == 0
    one = bench.control("ListJobExecutionsForThing", thingName="car-2", jobId="job-4")
    assert len(one["executionSummaries"]) == 1
    assert bench.control("ListJobExecutionsForThing", thingName="car-9") == {
        "executionSummaries": []
    }


@pytest.mark.parametrize("wrong", [{"maxResults": 0}, {"maxResults": 251}, {"nextToken": "nope"}])
def test_wrong_pages_are_refused(wrong: dict[str, Any]) -> None:
    """Sizes out of range and tokens of nobody."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    assert bench.failure("ListJobs", **wrong) == "InvalidRequestException"
    assert bench.failure("ListJobExecutionsForJob", jobId="job", **wrong) == (
        "InvalidRequestException"
    )


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("DescribeJob", {}),
        ("GetJobDocument", {}),
        ("CancelJob", {}),
        ("DeleteJob", {}),
        ("UpdateJob", {"description": "x"}),
        ("AssociateTargetsWithJob", {"targets": [CAR]}),
        ("ListJobExecutionsForJob", {}),
        ("DescribeJobExecution", {"thingName": "car-1"}),
        ("CancelJobExecution", {"thingName": "car-1"}),
        ("DeleteJobExecution", {"thingName": "car-1", "executionNumber": 1}),
    ],
)
def test_unknown_jobs_are_not_found(operation: str, request_: dict[str, Any]) -> None:
    """Every operation on a job that is not there says so."""
    bench = Bench("car-1")
    assert bench.failure(operation, jobId="none", **request_) == "ResourceNotFoundException"


def test_canceling_spares_what_is_in_progress() -> None:
    """Without force, a started execution goes on and may still succeed."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2")
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.control("CancelJob", jobId="job", reasonCode="WHY", comment="because")
    shown = bench.job("job")
    assert shown["status"] == "CANCELED"
    assert (shown["reasonCode"], shown["comment"], shown["forceCanceled"]) == (
        "WHY",
        "because",
        False,
    )
    assert bench.statuses("job") == {"car-1": ["IN_PROGRESS"], "car-2": ["CANCELED"]}
    bench.report("car-1", "job", "SUCCEEDED")
    assert bench.counts("job") == {"Succeeded": 1, "Canceled": 1}
    assert bench.job("job")["status"] == "CANCELED"
    assert bench.failure("CancelJob", jobId="job") == "InvalidRequestException"
    assert bench.failure("UpdateJob", jobId="job", description="x") == "InvalidRequestException"


def test_canceling_with_force_ends_everything() -> None:
    """With force the device is told InvalidStateTransition at its next report."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    bench.report("car-1", "job", "IN_PROGRESS")
    bench.control("CancelJob", jobId="job", force=True)
    answer = bench.rejected("car-1", "job/update", {"status": "SUCCEEDED"})
    assert answer["code"] == "InvalidStateTransition"
    assert answer["executionState"]["status"] == "CANCELED"
    execution = bench.control("DescribeJobExecution", jobId="job", thingName="car-1")["execution"]
    assert execution["forceCanceled"] is True


def test_deleting_a_job() -> None:
    """A job in progress needs force; afterwards its executions are gone as well."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    assert bench.failure("DeleteJob", jobId="job") == "InvalidStateTransitionException"
    bench.control("DeleteJob", jobId="job", force=True)
    assert bench.failure("DescribeJob", jobId="job") == "ResourceNotFoundException"
    assert bench.pending("car-1") == []
    assert bench.rejected("car-1", "job/update", {"status": "FAILED"})["code"] == (
        "ResourceNotFound"
    )
    bench.create("job", "car-1")
    bench.report("car-1", "job", "SUCCEEDED")
    assert bench.control("DeleteJob", jobId="job") == {}


def test_canceling_one_execution() -> None:
    """It needs the right version, and force once started; the job completes with its last."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2")
    one = {"jobId": "job", "thingName": "car-1"}
    bench.report("car-1", "job", "IN_PROGRESS")
    assert bench.failure("CancelJobExecution", **one) == "InvalidStateTransitionException"
    assert bench.failure("CancelJobExecution", **one, force=True, expectedVersion=1) == (
        "VersionConflictException"
    )
    bench.control(
        "CancelJobExecution", **one, force=True, expectedVersion=2, statusDetails={"why": "test"}
    )
    execution = bench.control("DescribeJobExecution", **one)["execution"]
    assert execution["status"] == "CANCELED"
    assert execution["statusDetails"] == {"detailsMap": {"why": "test"}}
    assert execution["versionNumber"] == 3
    assert bench.failure("CancelJobExecution", **one, force=True) == (
        "InvalidStateTransitionException"
    )
    bench.control("CancelJobExecution", jobId="job", thingName="car-2")
    assert bench.job("job")["status"] == "COMPLETED"


def test_deleting_one_execution() -> None:
    """A pending one needs force; its number must be right; the count follows."""
    bench = Bench("car-1", "car-2")
    bench.create("job", "car-1", "car-2")
    one = {"jobId": "job", "thingName": "car-1", "executionNumber": 1}
    assert bench.failure("DeleteJobExecution", **one) == "InvalidStateTransitionException"
    assert bench.failure("DeleteJobExecution", **one | {"executionNumber": 2}) == (
        "ResourceNotFoundException"
    )
    assert bench.failure("DeleteJobExecution", jobId="job", thingName="car-1") == (
        "InvalidRequestException"
    )
    bench.published()
    bench.control("DeleteJobExecution", **one, force=True)
    assert bench.topics() == ["car-1/jobs/notify", "car-1/jobs/notify-next"]
    assert bench.counts("job") == {"Queued": 1}
    bench.report("car-2", "job", "SUCCEEDED")
    bench.control("DeleteJobExecution", jobId="job", thingName="car-2", executionNumber=1)
    assert bench.counts("job") == {}


def test_query_members_may_be_text() -> None:
    """What HTTP carries in the query comes as text and means the same."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    request = {"jobId": "job", "thingName": "car-1", "executionNumber": "1", "force": "true"}
    result, _ = bench.service.control.delete_job_execution(request, bench.now_s)
    assert result == {}
    assert bench.statuses("job") == {}


def test_updating_a_job() -> None:
    """New values replace old ones; an empty request and a wrong value are refused."""
    bench = Bench("car-1")
    bench.create("job", "car-1", description="old", **retry(("ALL", 1)))
    assert bench.failure("UpdateJob", jobId="job") == "InvalidRequestException"
    assert bench.failure("UpdateJob", jobId="job", **retry(("ALL", 99))) == (
        "InvalidRequestException"
    )
    bench.wait(5)
    bench.control("UpdateJob", jobId="job", description="new", **criterion())
    shown = bench.job("job")
    assert shown["description"] == "new"
    assert shown["abortConfig"] == criterion()["abortConfig"]
    assert shown["jobExecutionsRetryConfig"] == retry(("ALL", 1))["jobExecutionsRetryConfig"]
    assert shown["lastUpdatedAt"].timestamp() == START + 5
