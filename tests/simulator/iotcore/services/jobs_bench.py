"""Jobs with a clock and a small account, every answer judged by the service models of AWS."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

from simulator.iotcore.broker.message import Message
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.jobs import JobsService
from tests.simulator.iotcore.services.aws_models import check_failure, check_request, check_result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.iotcore.broker.joints import Answer

ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
UNIX_S_AT_ZERO = 1_700_000_000.0
START = 1_700_001_000
"""Unix time at which every bench starts."""

DOCUMENT = '{"operation":"test"}'


class Bench:
    """One account with things and thing groups.

    Attributes:
        now_s: The broker's clock.
        things: Things of the registry.
        groups: Thing groups by name.
        answers: What was sent and not looked at yet.
    """

    def __init__(self, *things: str, events: bool = False, **options: Any) -> None:
        self.now_s = 1000.0
        self.things = set(things)
        self.groups: dict[str, set[str]] = {}
        self.events = events
        self.options = options
        self.ids = itertools.count(1)
        self.answers: list[Answer] = []
        self.service = self.fresh()

    def fresh(self) -> JobsService:
        """A service that remembers nothing."""
        return JobsService(
            self.resolve,
            new_id=lambda: f"event-{next(self.ids)}",
            unix_s_at_zero=UNIX_S_AT_ZERO,
            account=Account("ap-northeast-2", "123456789012"),
            job_events=self.events,
            execution_events=self.events,
            **self.options,
        )

    def resolve(self, arn: str) -> Iterable[str] | None:
        """The things of a target."""
        kind, _, name = arn.removeprefix(ARN).partition("/")
        if kind == "thing":
            return [name] if name in self.things else None
        return sorted(self.groups[name]) if name in self.groups else None

    # The cloud

    def control(self, operation: str, **request: Any) -> Any:
        """Call an operation of `iot` and give what an SDK makes of the result."""
        return self._call("iot", self.service.control, operation, request)

    def data(self, operation: str, **request: Any) -> Any:
        """Call an operation of `iot-jobs-data`."""
        return self._call("iot-jobs-data", self.service.data, operation, request)

    def failure(self, operation: str, plane: str = "iot", /, **request: Any) -> str:
        """Call an operation that must fail in a way the service model knows; give the code."""
        method = self._method(plane, operation)
        try:
            method(request, self.now_s)
        except ServiceFailure as failure:
            check_failure(plane, operation, failure.code, failure.http_status)
            return failure.code
        raise AssertionError(f"{operation} was served")

    def create(self, job_id: str, *targets: str, **members: Any) -> None:
        """Create a job for things (`car-1`) or other targets (`thinggroup/fleet`)."""
        arns = [f"{ARN}{t}" if "/" in t else f"{ARN}thing/{t}" for t in targets]
        members.setdefault("document", DOCUMENT)
        result = self.control("CreateJob", jobId=job_id, targets=arns, **members)
        assert result["jobArn"] == f"{ARN}job/{job_id}"

    def job(self, job_id: str) -> dict[str, Any]:
        """What DescribeJob shows."""
        shown: dict[str, Any] = self.control("DescribeJob", jobId=job_id)["job"]
        return shown

    def counts(self, job_id: str) -> dict[str, int]:
        """The counts of a job that are not zero, by status."""
        details = self.job(job_id)["jobProcessDetails"]
        return {
            name.removeprefix("numberOf").removesuffix("Things"): value
            for name, value in details.items()
            if name.startswith("numberOf") and value
        }

    def statuses(self, job_id: str) -> dict[str, list[str]]:
        """Statuses of a job's executions by thing, oldest first."""
        found: dict[str, list[str]] = {}
        rows = self.control("ListJobExecutionsForJob", jobId=job_id)["executionSummaries"]
        for row in rows:
            thing = row["thingArn"].removeprefix(f"{ARN}thing/")
            found.setdefault(thing, []).append(row["jobExecutionSummary"]["status"])
        return found

    # The device

    def publish(
        self, thing: str, tail: str, payload: Any = b"", client_id: str | None = "device"
    ) -> tuple[str, dict[str, Any]]:
        """Publish a request and give the end of the answer's topic and the answer."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        topic = f"$aws/things/{thing}/jobs/{tail}"
        assert self.service.claims(topic)
        message = Message(topic, body, 1, self.now_s)
        answers = list(self.service.handle(message, client_id, self.now_s))
        assert answers
        direct, self.answers = answers[0], [*self.answers, *answers[1:]]
        assert direct.client_id == client_id
        assert direct.message.topic.startswith(f"{topic}/")
        assert all(other.client_id is None for other in answers[1:])
        return direct.message.topic.rpartition("/")[2], json.loads(direct.message.payload)

    def accepted(self, thing: str, tail: str, payload: Any = b"") -> dict[str, Any]:
        """Publish a request that must be accepted."""
        ending, document = self.publish(thing, tail, payload)
        assert ending == "accepted", document
        return document

    def rejected(self, thing: str, tail: str, payload: Any = b"") -> dict[str, Any]:
        """Publish a request that must be rejected."""
        ending, document = self.publish(thing, tail, payload)
        assert ending == "rejected", document
        return document

    def report(self, thing: str, job_id: str, status: str, **members: Any) -> dict[str, Any]:
        """Publish an update that must be accepted."""
        return self.accepted(thing, f"{job_id}/update", {"status": status, **members})

    def pending(self, thing: str) -> list[str]:
        """Job ids of a thing's pending executions, those in progress first."""
        lists = self.accepted(thing, "get")
        return [one["jobId"] for one in (*lists["inProgressJobs"], *lists["queuedJobs"])]

    # Time and what was published

    def wait(self, seconds: float) -> None:
        """Let time pass, serving every deadline when it comes."""
        end_s = self.now_s + seconds
        while (due_s := self.service.next_deadline_s) is not None and due_s <= end_s:
            self.now_s = max(self.now_s, due_s)
            self.answers += self.service.advance(self.now_s)
        self.now_s = end_s
        self.answers += self.service.advance(self.now_s)

    def regroup(self, group: str, *things: str) -> None:
        """Change the members of a thing group."""
        self.groups[group] = set(things)
        self.answers += self.service.groups_changed(self.now_s)

    def published(self) -> list[tuple[str, dict[str, Any]]]:
        """Remove and give everything published since the last call."""
        taken, self.answers = self.answers, []
        assert all(answer.client_id is None for answer in taken)
        return [(one.message.topic, json.loads(one.message.payload)) for one in taken]

    def topics(self) -> list[str]:
        """The same, topics only, without their beginnings."""
        return [
            topic.removeprefix("$aws/things/").removeprefix("$aws/events/")
            for topic, _ in self.published()
        ]

    def _call(self, plane: str, _target: object, operation: str, request: dict[str, Any]) -> Any:
        # The pattern of reason codes is one that Python cannot read.
        reason = request.get("reasonCode")
        check_request(plane, operation, {k: v for k, v in request.items() if k != "reasonCode"})
        assert reason is None or re.fullmatch(r"[A-Z0-9_]+", reason)
        result, answers = self._method(plane, operation)(request, self.now_s)
        self.answers += answers
        found = result.get("job", {}).get("reasonCode")
        if found is not None:
            result = result | {"job": {k: v for k, v in result["job"].items() if k != "reasonCode"}}
        parsed = check_result(plane, operation, result)
        if found is not None:
            parsed["job"]["reasonCode"] = found
        return parsed

    def _method(self, plane: str, operation: str) -> Any:
        target = self.service.control if plane == "iot" else self.service.data
        return getattr(target, re.sub(r"(?<!^)([A-Z])", r"_\1", operation).lower())
