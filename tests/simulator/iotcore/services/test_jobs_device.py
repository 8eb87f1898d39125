from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.iotcore.broker.message import Message
from tests.simulator.iotcore.services.jobs_bench import ARN, DOCUMENT, START, Bench

CODES = {
    "InvalidTopic",
    "InvalidJson",
    "InvalidRequest",
    "InvalidStateTransition",
    "ResourceNotFound",
    "VersionMismatch",
    "InternalError",
    "RequestThrottled",
    "TerminalStateReached",
}


@pytest.fixture
def bench() -> Bench:
    """A car with one job."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    bench.published()
    return bench


def test_pending_executions_are_listed_by_status(bench: Bench) -> None:
    """`get` gives what is in progress and what is queued, with the token and the time."""
    bench.create("other", "car-1")
    bench.wait(5)
    bench.report("car-1", "other", "IN_PROGRESS")
    document = bench.accepted("car-1", "get", {"clientToken": "t-1"})
    assert document == {
        "inProgressJobs": [
            {
                "jobId": "other",
                "queuedAt": START,
                "startedAt": START + 5,
                "lastUpdatedAt": START + 5,
                "executionNumber": 1,
                "versionNumber": 2,
            }
        ],
        "queuedJobs": [
            {
                "jobId": "job",
                "queuedAt": START,
                "lastUpdatedAt": START,
                "executionNumber": 1,
                "versionNumber": 1,
            }
        ],
        "timestamp": START + 5,
        "clientToken": "t-1",
    }


def test_start_next_starts_and_then_repeats(bench: Bench) -> None:
    """The queued one becomes IN_PROGRESS; asked again, it comes as it is."""
    first = bench.accepted("car-1", "start-next", {"statusDetails": {"step": "1"}})
    assert first == {
        "timestamp": START,
        "execution": {
            "jobId": "job",
            "status": "IN_PROGRESS",
            "statusDetails": {"step": "1"},
            "queuedAt": START,
            "startedAt": START,
            "lastUpdatedAt": START,
            "versionNumber": 2,
            "executionNumber": 1,
            "jobDocument": {"operation": "test"},
        },
    }
    assert bench.accepted("car-1", "start-next", {"statusDetails": {"step": "2"}}) == first


def test_nothing_pending_is_no_execution() -> None:
    """start-next and `$next` leave `execution` out when there is none, also for unknown things."""
    bench = Bench()
    assert bench.accepted("car-9", "start-next") == {"timestamp": START}
    assert bench.accepted("car-9", "$next/get") == {"timestamp": START}
    assert bench.accepted("car-9", "get") == {
        "timestamp": START,
        "inProgressJobs": [],
        "queuedJobs": [],
    }


def test_describe_by_id_number_and_next(bench: Bench) -> None:
    """The document comes unless it is declined; another number is not found."""
    whole = bench.accepted("car-1", "job/get", {"executionNumber": 1})
    assert whole["execution"]["jobDocument"] == {"operation": "test"}
    assert bench.accepted("car-1", "$next/get") == whole
    short = bench.accepted("car-1", "job/get", {"includeJobDocument": False})
    assert "jobDocument" not in short["execution"]
    for tail, request in (("job/get", {"executionNumber": 2}), ("nope/get", {})):
        assert bench.rejected("car-1", tail, request)["code"] == "ResourceNotFound"


def test_describe_of_an_ended_execution(bench: Bench) -> None:
    """A device cannot look at what has ended; the control plane can."""
    bench.report("car-1", "job", "SUCCEEDED")
    assert bench.rejected("car-1", "job/get") == {
        "code": "TerminalStateReached",
        "message": "Job Execution has reached terminal state. It is neither IN_PROGRESS nor QUEUED",
        "timestamp": START,
    }
    assert (
        bench.failure("DescribeJobExecution", "iot-jobs-data", jobId="job", thingName="car-1")
        == "TerminalStateException"
    )
    shown = bench.control("DescribeJobExecution", jobId="job", thingName="car-1")
    assert shown["execution"]["status"] == "SUCCEEDED"


def test_update_shows_what_was_asked_for(bench: Bench) -> None:
    """State and document are left out unless wanted; details stay when they are not given."""
    assert bench.report("car-1", "job", "IN_PROGRESS", statusDetails={"a": "b"}) == {
        "timestamp": START
    }
    answer = bench.report(
        "car-1",
        "job",
        "IN_PROGRESS",
        includeJobExecutionState=True,
        includeJobDocument=True,
        expectedVersion=2,
        executionNumber=1,
        clientToken="t",
    )
    assert answer == {
        "executionState": {
            "status": "IN_PROGRESS",
            "statusDetails": {"a": "b"},
            "versionNumber": 3,
        },
        "jobDocument": {"operation": "test"},
        "timestamp": START,
        "clientToken": "t",
    }


def test_version_mismatch_shows_the_state(bench: Bench) -> None:
    """The answer spares the device a describe."""
    request = {"status": "IN_PROGRESS", "expectedVersion": 7, "clientToken": "t"}
    assert bench.rejected("car-1", "job/update", request) == {
        "code": "VersionMismatch",
        "message": "Expected version 7 but found version 1",
        "executionState": {"status": "QUEUED", "versionNumber": 1},
        "timestamp": START,
        "clientToken": "t",
    }


@pytest.mark.parametrize("version", [0, 1, 3])
def test_older_and_newer_versions_mismatch(bench: Bench, version: int) -> None:
    """Only the version the execution has is right."""
    bench.report("car-1", "job", "IN_PROGRESS", expectedVersion=1)
    request = {"status": "SUCCEEDED", "expectedVersion": version}
    assert bench.rejected("car-1", "job/update", request)["code"] == "VersionMismatch"
    bench.report("car-1", "job", "SUCCEEDED", expectedVersion=2)


def test_terminal_states_are_final(bench: Bench) -> None:
    """An update after the end is InvalidStateTransition with the state."""
    bench.report("car-1", "job", "FAILED")
    answer = bench.rejected("car-1", "job/update", {"status": "SUCCEEDED"})
    assert answer["code"] == "InvalidStateTransition"
    assert answer["executionState"] == {"status": "FAILED", "versionNumber": 2}


@pytest.mark.parametrize("status", ["QUEUED", "CANCELED", "TIMED_OUT", "REMOVED"])
def test_a_device_cannot_set_what_the_cloud_sets(bench: Bench, status: str) -> None:
    """Only IN_PROGRESS, SUCCEEDED, FAILED and REJECTED are a device's to report."""
    answer = bench.rejected("car-1", "job/update", {"status": status})
    assert answer["code"] == "InvalidStateTransition"
    assert bench.accepted("car-1", "job/get")["execution"]["status"] == "QUEUED"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{", "InvalidJson"),
        (b"\xff", "InvalidJson"),
        (b"[" * 5000, "InvalidJson"),
        (b"[]", "InvalidRequest"),
        (b"", "InvalidRequest"),
        ({"status": "BOGUS"}, "InvalidRequest"),
        ({"status": 5}, "InvalidRequest"),
        ({"status": "FAILED", "expectedVersion": "x"}, "InvalidRequest"),
        ({"status": "FAILED", "expectedVersion": True}, "InvalidRequest"),
        ({"status": "FAILED", "includeJobDocument": 1}, "InvalidRequest"),
        ({"status": "FAILED", "clientToken": 5}, "InvalidRequest"),
        ({"status": "FAILED", "clientToken": "x" * 1025}, "InvalidRequest"),
        ({"status": "FAILED", "statusDetails": []}, "InvalidRequest"),
        ({"status": "FAILED", "statusDetails": {"a": 1}}, "InvalidRequest"),
        ({"status": "FAILED", "statusDetails": {"a": ""}}, "InvalidRequest"),
        ({"status": "FAILED", "statusDetails": {"a": "\n"}}, "InvalidRequest"),
        ({"status": "FAILED", "statusDetails": {"a b": "c"}}, "InvalidRequest"),
        ({"status": "FAILED", "statusDetails": {"k" * 129: "c"}}, "InvalidRequest"),
        ({"status": "FAILED", "statusDetails": {"k": "v" * 1025}}, "InvalidRequest"),
        (
            {"status": "FAILED", "statusDetails": dict.fromkeys("abcdefghijk", "v")},
            "InvalidRequest",
        ),
        ({"status": "IN_PROGRESS", "stepTimeoutInMinutes": 0}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "stepTimeoutInMinutes": -2}, "InvalidRequest"),
        ({"status": "IN_PROGRESS", "stepTimeoutInMinutes": 10081}, "InvalidRequest"),
        ({"status": "FAILED", "executionNumber": 2}, "ResourceNotFound"),
    ],
)
def test_wrong_updates_change_nothing(bench: Bench, payload: Any, code: str) -> None:
    """Each has its code and leaves version and status as they were."""
    assert bench.rejected("car-1", "job/update", payload)["code"] == code
    execution = bench.accepted("car-1", "job/get")["execution"]
    assert (execution["status"], execution["versionNumber"]) == ("QUEUED", 1)
    assert bench.published() == []


def test_limits_of_status_details_are_inclusive(bench: Bench) -> None:
    """Ten pairs, 128 characters a key, 1,024 a value are fine."""
    details = {f"{number}" + "k" * 127: "v" * 1024 for number in range(10)}
    answer = bench.report(
        "car-1", "job", "IN_PROGRESS", statusDetails=details, includeJobExecutionState=True
    )
    assert answer["executionState"]["statusDetails"] == details


@pytest.mark.parametrize("tail", ["bogus", "job/bogus", "$next/update", "bad id/get", "a/b/c"])
def test_topics_that_are_no_operation(bench: Bench, tail: str) -> None:
    """They are refused with InvalidTopic, on the topic's own `rejected`."""
    assert bench.rejected("car-1", tail, {"clientToken": "t"})["code"] == "InvalidTopic"


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/car-1/jobs/notify",
        "$aws/things/car-1/jobs/notify-next",
        "$aws/things/car-1/jobs/get/accepted",
        "$aws/things/car-1/jobs/job/update/rejected",
        "$aws/things/car-1/shadow/get",
        "$aws/things/car-1/jobs",
        "$aws/events/job/job/completed",
        "jobs/get",
    ],
)
def test_other_topics_are_not_claimed(bench: Bench, topic: str) -> None:
    """Answers, notifications and other services' topics are left alone."""
    assert not bench.service.claims(topic)
    assert bench.service.handle(Message(topic, b"{}", 1, 1000.0), "device", 1000.0) == []


def test_a_job_may_have_the_name_of_a_verb() -> None:
    """`get` is a valid job id; its topics have one level more."""
    bench = Bench("car-1")
    bench.create("get", "car-1")
    assert bench.accepted("car-1", "get/get")["execution"]["jobId"] == "get"
    bench.report("car-1", "get", "SUCCEEDED")
    assert bench.pending("car-1") == []


def test_throttled_requests_are_told_so(bench: Bench) -> None:
    """The quota's refusal has the form of every other, with the token when it can be read."""
    topic = "$aws/things/car-1/jobs/get"
    request = Message(topic, b'{"clientToken":"t"}', 0, 1000.0)
    (answer,) = bench.service.throttled(request, "device", 1000.0)
    document = json.loads(answer.message.payload)
    assert (answer.client_id, answer.message.topic) == ("device", f"{topic}/rejected")
    assert (document["code"], document["clientToken"]) == ("RequestThrottled", "t")
    (answer,) = bench.service.throttled(Message(topic, b"{", 0, 1000.0), "device", 1000.0)
    assert json.loads(answer.message.payload)["code"] == "RequestThrottled"


def test_null_members_do_not_reach_a_device_over_mqtt() -> None:
    """The document is JSON over MQTT, without null members, and the text it was over HTTP."""
    bench = Bench("car-1")
    text = '{"a": null, "b": [null, {"c": null}], "d": 1.5}'
    bench.create("job", "car-1", document=text)
    shown = bench.accepted("car-1", "job/get")["execution"]["jobDocument"]
    assert shown == {"b": [None, {}], "d": 1.5}
    described = bench.data("DescribeJobExecution", jobId="job", thingName="car-1")
    assert described["execution"]["jobDocument"] == text


def test_presigned_urls_are_made_when_the_device_asks() -> None:
    """Placeholders become URLs with the job's validity; GetJobDocument shows the placeholder."""
    bench = Bench("car-1", sign=lambda url, expires_s: f'{url}?"{expires_s}"')
    text = '{"image":"${aws:iot:s3-presigned-url:https://b.s3.amazonaws.com/k}"}'
    role = {"roleArn": "arn:aws:iam::123456789012:role/download", "expiresInSec": 60}
    assert bench.failure(
        "CreateJob", jobId="job", targets=[f"{ARN}thing/car-1"], document=text
    ) == ("InvalidRequestException")
    bench.create("job", "car-1", document=text, presignedUrlConfig=role)
    shown = bench.accepted("car-1", "job/get")["execution"]["jobDocument"]
    assert shown == {"image": 'https://b.s3.amazonaws.com/k?"60"'}
    described = bench.data("DescribeJobExecution", jobId="job", thingName="car-1")
    assert json.loads(described["execution"]["jobDocument"]) == shown
    assert bench.control("GetJobDocument", jobId="job")["document"] == text


def test_the_data_plane_over_http(bench: Bench) -> None:
    """The same operations with HTTP's shapes: thing name and text document, no time stamp."""
    started = bench.data("StartNextPendingJobExecution", thingName="car-1", stepTimeoutInMinutes=3)
    assert started["execution"] == {
        "jobId": "job",
        "thingName": "car-1",
        "status": "IN_PROGRESS",
        "queuedAt": START,
        "startedAt": START,
        "lastUpdatedAt": START,
        "versionNumber": 2,
        "executionNumber": 1,
        "approximateSecondsBeforeTimedOut": 180,
        "jobDocument": DOCUMENT,
    }
    pending = bench.data("GetPendingJobExecutions", thingName="car-1")
    assert [one["jobId"] for one in pending["inProgressJobs"]] == ["job"]
    for version, code in ((9, "InvalidRequestException"), (2, None)):
        request = {"jobId": "job", "thingName": "car-1", "expectedVersion": version}
        if code is not None:
            found = bench.failure(
                "UpdateJobExecution", "iot-jobs-data", status="SUCCEEDED", **request
            )
            assert found == code
            continue
        done = bench.data(
            "UpdateJobExecution",
            status="SUCCEEDED",
            includeJobExecutionState=True,
            includeJobDocument=True,
            **request,
        )
        assert done["executionState"] == {"status": "SUCCEEDED", "versionNumber": 3}
        assert done["jobDocument"] == DOCUMENT
    ended = {"jobId": "job", "thingName": "car-1", "status": "FAILED"}
    assert bench.failure("UpdateJobExecution", "iot-jobs-data", **ended) == (
        "InvalidStateTransitionException"
    )
    assert bench.data("DescribeJobExecution", jobId="$next", thingName="car-1") == {}
    assert bench.data("StartNextPendingJobExecution", thingName="car-1") == {}


MEMBERS = (
    "status",
    "statusDetails",
    "expectedVersion",
    "executionNumber",
    "includeJobExecutionState",
    "includeJobDocument",
    "stepTimeoutInMinutes",
    "clientToken",
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["IN_PROGRESS", "SUCCEEDED"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
PAYLOADS = (
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(MEMBERS), ANYTHING).map(lambda d: json.dumps(d).encode())
    | ANYTHING.map(lambda value: json.dumps(value).encode())
)
TAILS = st.sampled_from(["get", "start-next", "job/get", "$next/get", "job/update", "x/update"])


@settings(max_examples=300)
@given(requests=st.lists(st.tuples(TAILS | st.text(min_size=1, max_size=9), PAYLOADS), max_size=4))
def test_any_bytes_on_any_topic_get_one_answer(requests: list[tuple[str, bytes]]) -> None:
    """Every claimed request gets one answer: `accepted`, or `rejected` with a documented code."""
    bench = Bench("car-1")
    bench.create("job", "car-1")
    for tail, payload in requests:
        if not bench.service.claims(f"$aws/things/car-1/jobs/{tail}"):
            continue
        ending, document = bench.publish("car-1", tail, payload)
        assert document["timestamp"] == START
        if ending == "rejected":
            assert document["code"] in CODES
            assert document["message"]
