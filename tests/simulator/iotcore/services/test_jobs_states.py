from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simulator.iotcore.services.failures import ServiceFailure
from tests.simulator.iotcore.services.jobs_bench import ARN, Bench

CARS = ("car-1", "car-2", "car-3")
JOBS = ("job-1", "job-2", "job-3", "job-4")
ENDS = {"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED"}
# The diagram of "Jobs and job execution states", with the device's short cuts from QUEUED.
EDGES = {
    ("QUEUED", "IN_PROGRESS"),
    ("QUEUED", "SUCCEEDED"),
    ("QUEUED", "FAILED"),
    ("QUEUED", "REJECTED"),
    ("QUEUED", "CANCELED"),
    ("QUEUED", "REMOVED"),
    ("IN_PROGRESS", "IN_PROGRESS"),
    ("IN_PROGRESS", "SUCCEEDED"),
    ("IN_PROGRESS", "FAILED"),
    ("IN_PROGRESS", "REJECTED"),
    ("IN_PROGRESS", "TIMED_OUT"),
    ("IN_PROGRESS", "CANCELED"),
    ("IN_PROGRESS", "REMOVED"),
}


class Jobs(RuleBasedStateMachine):
    """A fleet, its jobs and its operators do anything at all, and the rules hold throughout."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(*CARS, events=True)
        self.bench.groups["fleet"] = {"car-1"}
        self.seen: dict[tuple[Any, ...], tuple[str, int]] = {}
        self.told: dict[str, list[tuple[str, int]]] = {car: [] for car in CARS}
        self.told_next: dict[str, tuple[str, int] | None] = dict.fromkeys(CARS)

    def attempt(self, operation: str, **request: Any) -> None:
        """Call an operation that may be refused."""
        method = self.bench._method("iot", operation)
        try:
            _, answers = method(request, self.bench.now_s)
        except ServiceFailure:
            return
        self.bench.answers += answers

    @rule(
        job=st.sampled_from(JOBS),
        goal=st.sampled_from([*(f"thing/{car}" for car in CARS), "thinggroup/fleet"]),
        selection=st.sampled_from(["SNAPSHOT", "CONTINUOUS"]),
        timeout=st.none() | st.integers(1, 3),
        retries=st.integers(0, 3),
        abort=st.booleans(),
        rate=st.integers(1, 2),
    )
    def create(
        self,
        job: str,
        goal: str,
        selection: str,
        timeout: int | None,
        retries: int,
        abort: bool,
        rate: int,
    ) -> None:
        """Create a job of any kind."""
        criterion = {
            "failureType": "ALL",
            "action": "CANCEL",
            "thresholdPercentage": 60,
            "minNumberOfExecutedThings": 2,
        }
        self.attempt(
            "CreateJob",
            jobId=job,
            targets=[f"{ARN}{goal}", f"{ARN}thing/car-2"],
            document="{}",
            targetSelection=selection,
            timeoutConfig={"inProgressTimeoutInMinutes": timeout},
            jobExecutionsRolloutConfig={"maximumPerMinute": rate},
            abortConfig={"criteriaList": [criterion]} if abort else None,
            jobExecutionsRetryConfig={
                "criteriaList": [{"failureType": "ALL", "numberOfRetries": retries}]
            },
        )

    @rule(
        job=st.sampled_from(JOBS),
        car=st.sampled_from(CARS),
        status=st.sampled_from(["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "CANCELED"]),
        step=st.none() | st.sampled_from([-1, 1, 2]),
        version=st.none() | st.integers(1, 4),
    )
    def report(
        self, job: str, car: str, status: str, step: int | None, version: int | None
    ) -> None:
        """A device reports anything."""
        request = {"status": status, "stepTimeoutInMinutes": step, "expectedVersion": version}
        self.bench.publish(car, f"{job}/update", request)

    @rule(car=st.sampled_from(CARS), step=st.none() | st.integers(1, 2))
    def start_next(self, car: str, step: int | None) -> None:
        """A device starts what `$next` stands for."""
        before = self.bench.accepted(car, "$next/get").get("execution")
        after = self.bench.accepted(car, "start-next", {"stepTimeoutInMinutes": step})
        assert (before is None) == ("execution" not in after)
        if before is not None:
            assert after["execution"]["jobId"] == before["jobId"]
            assert after["execution"]["status"] == "IN_PROGRESS"

    @rule(
        job=st.sampled_from(JOBS),
        car=st.sampled_from(CARS),
        operation=st.sampled_from(
            ["CancelJob", "DeleteJob", "CancelJobExecution", "DeleteJobExecution"]
        ),
        number=st.integers(1, 3),
        force=st.booleans(),
    )
    def interfere(self, job: str, car: str, operation: str, number: int, force: bool) -> None:
        """An operator cancels or deletes."""
        self.attempt(operation, jobId=job, thingName=car, executionNumber=number, force=force)

    @rule(cars=st.sets(st.sampled_from(CARS)))
    def regroup(self, cars: set[str]) -> None:
        """The group gets other members."""
        self.bench.regroup("fleet", *cars)

    @rule(car=st.sampled_from(CARS))
    def delete_thing(self, car: str) -> None:
        """The registry forgets a thing; it may come back by way of a target."""
        self.bench.answers += self.bench.service.thing_deleted(car, self.bench.now_s)

    @rule(minutes=st.sampled_from([0.5, 1, 2, 5]))
    def wait(self, minutes: float) -> None:
        """Time passes."""
        self.bench.wait(minutes * 60)

    @rule()
    def restart(self) -> None:
        """The process stops and another takes over its document."""
        document = json.loads(json.dumps(self.bench.service.dump()))
        self.bench.service = self.bench.fresh()
        self.bench.service.load(document)
        assert self.bench.service.dump() == document

    @invariant()
    def notifications_tell_the_truth(self) -> None:
        """What a device heard last is what `get` and `$next` say."""
        for topic, notice in self.bench.published():
            if not topic.startswith("$aws/things/"):
                continue
            car, kind = topic.split("/")[2], topic.split("/")[-1]
            if kind == "notify":
                both = [*notice["jobs"].get("IN_PROGRESS", []), *notice["jobs"].get("QUEUED", [])]
                told = sorted((one["jobId"], one["executionNumber"]) for one in both)
                assert told != self.told[car], "notified without news"
                self.told[car] = told
            else:
                first = notice.get("execution")
                told_next = first and (first["jobId"], first["executionNumber"])
                assert told_next != self.told_next[car], "notified of the same next execution"
                self.told_next[car] = told_next
        for car in CARS:
            lists = self.bench.accepted(car, "get")
            both = [*lists["inProgressJobs"], *lists["queuedJobs"]]
            now = [(one["jobId"], one["executionNumber"]) for one in both]
            assert sorted(now) == self.told[car]
            assert (now[0] if now else None) == self.told_next[car]

    @invariant()
    def executions_follow_the_state_machine(self) -> None:
        """Versions rise by one with each change along an edge; ends are final; counts agree."""
        seen = {}
        for summary in self.bench.control("ListJobs")["jobs"]:
            job, counts = summary["jobId"], dict[str, int]()
            for row in self.bench.control("ListJobExecutionsForJob", jobId=job)[
                "executionSummaries"
            ]:
                car, number = row["thingArn"].rpartition("/")[2], row["jobExecutionSummary"]
                one = self.bench.control(
                    "DescribeJobExecution",
                    jobId=job,
                    thingName=car,
                    executionNumber=number["executionNumber"],
                )["execution"]
                status, version = one["status"], one["versionNumber"]
                key = (summary["createdAt"], job, car, one["executionNumber"], one["queuedAt"])
                seen[key] = (status, version)
                self._check_step(self.seen.get(key), status, version)
                shown = status.title().replace("_", "")
                counts[shown] = counts.get(shown, 0) + 1
                if status == "QUEUED":
                    assert version == 1
                if summary["status"] == "COMPLETED":
                    assert status in ENDS
            assert self.bench.counts(job) == counts
        self.seen = seen

    @staticmethod
    def _check_step(before: tuple[str, int] | None, status: str, version: int) -> None:
        if before is None or before == (status, version):
            return
        assert before[0] not in ENDS
        # No rule changes one execution twice.
        assert version == before[1] + 1
        assert (before[0], status) in EDGES

    @invariant()
    def deadlines_are_ahead(self) -> None:
        """Nothing is due that `wait` has not served."""
        deadline_s = self.bench.service.next_deadline_s
        assert deadline_s is None or deadline_s > self.bench.now_s


TestJobs = Jobs.TestCase
TestJobs.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def busy() -> Bench:
    """A bench with every kind of record."""
    bench = Bench(*CARS)
    bench.groups["fleet"] = {"car-1", "car-2"}
    bench.create(
        "done",
        "car-1",
        jobExecutionsRetryConfig={"criteriaList": [{"failureType": "ALL", "numberOfRetries": 1}]},
    )
    bench.report("car-1", "done", "FAILED", statusDetails={"why": "test"})
    bench.report("car-1", "done", "SUCCEEDED")
    bench.create("open", "thinggroup/fleet", targetSelection="CONTINUOUS")
    bench.create(
        "rolling",
        *CARS,
        jobExecutionsRolloutConfig={"maximumPerMinute": 1},
        timeoutConfig={"inProgressTimeoutInMinutes": 3},
    )
    bench.report("car-1", "rolling", "IN_PROGRESS", stepTimeoutInMinutes=2)
    bench.published()
    return bench


def test_everything_survives_a_restart() -> None:
    """Records, rollouts, members and timers go on as if nothing had happened."""
    before, after = busy(), busy()
    document = json.loads(json.dumps(before.service.dump()))
    after.service = after.fresh()
    after.service.load(document)
    for bench in (before, after):
        bench.wait(150)
        bench.regroup("fleet", "car-3")
    assert after.published() == before.published()
    assert after.service.dump() == before.service.dump()
    assert after.statuses("rolling") == {
        "car-1": ["TIMED_OUT"],
        "car-2": ["QUEUED"],
        "car-3": ["QUEUED"],
    }


def test_timers_that_came_due_while_it_was_down_fire_at_once() -> None:
    """The clock of the new process starts elsewhere; the deadline is a time of day."""
    bench = busy()
    document = bench.service.dump()
    bench.service = bench.fresh()
    bench.now_s += 3600
    bench.service.load(document)
    assert bench.service.next_deadline_s is not None
    bench.answers += bench.service.advance(bench.now_s)
    assert bench.statuses("rolling")["car-1"] == ["TIMED_OUT"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.clear(),
        lambda document: document.update(jobs=5),
        lambda document: document.update(extra=1),
        lambda document: document["jobs"].append(document["jobs"][0]),
        lambda document: document["jobs"].pop(),
        lambda document: document["executions"].append(document["executions"][0]),
        lambda document: document["executions"][0].update(status="BOGUS"),
        lambda document: document["executions"][0].update(version="1"),
        lambda document: document["executions"].reverse(),
        lambda document: document.update(sequence=0),
    ],
)
def test_a_damaged_document_is_refused(damage: Any) -> None:
    """It is a ValueError, and what was there stays."""
    bench = busy()
    before = bench.service.dump()
    document = bench.service.dump()
    damage(document)
    with pytest.raises(ValueError, match=r"."):
        bench.service.load(document)
    assert bench.service.dump() == before


def test_jobs_and_executions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bounds CreateJob says LimitExceeded; old attempts are forgotten."""
    monkeypatch.setattr("simulator.iotcore.services.jobs_lifecycle.JOBS_MAX", 2)
    bench = Bench(*CARS)
    bench.create("a", "car-1")
    bench.create("b", "car-1")
    request = {"jobId": "c", "targets": [f"{ARN}thing/car-1"], "document": "{}"}
    assert bench.failure("CreateJob", **request) == "LimitExceededException"
    monkeypatch.setattr("simulator.iotcore.services.jobs_lifecycle.JOBS_MAX", 9)
    monkeypatch.setattr("simulator.iotcore.services.jobs_lifecycle.EXECUTIONS_MAX", 2)
    assert bench.failure("CreateJob", **request) == "LimitExceededException"


def test_jobs_that_roll_out_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota of concurrent jobs counts those whose rollout is under way."""
    monkeypatch.setattr("simulator.iotcore.services.jobs_lifecycle.CONCURRENT_JOBS_MAX", 1)
    bench = Bench(*CARS)
    bench.create("slow", *CARS, jobExecutionsRolloutConfig={"maximumPerMinute": 1})
    request = {"jobId": "next", "targets": [f"{ARN}thing/car-1"], "document": "{}"}
    assert bench.failure("CreateJob", **request) == "LimitExceededException"
    bench.wait(120)
    bench.create("next", "car-1")


def test_old_attempts_are_forgotten() -> None:
    """A car that keeps leaving and joining has its latest 32 executions on record."""
    bench = Bench("car-1")
    bench.groups["fleet"] = set()
    bench.create("job", "thinggroup/fleet", targetSelection="CONTINUOUS")
    for _ in range(40):
        bench.regroup("fleet", "car-1")
        bench.regroup("fleet")
    rows = bench.control("ListJobExecutionsForJob", jobId="job")["executionSummaries"]
    numbers = [row["jobExecutionSummary"]["executionNumber"] for row in rows]
    assert numbers == list(range(9, 41))
    assert bench.counts("job") == {"Removed": 32}
