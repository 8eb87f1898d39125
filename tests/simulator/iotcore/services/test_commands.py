from __future__ import annotations

import base64
import itertools
import json
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.commands.protocol import ExecutionStatus, Outcome, ReasonCode, encode_outcome
from simulator.iotcore.broker.message import Message
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.registry import Registry, Thing
from simulator.iotcore.services.commands import Commands
from simulator.iotcore.services.failures import ServiceFailure
from tests.simulator.iotcore.services.aws_models import check_failure, check_request, check_result

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer

ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
COMMAND, CAR = f"{ARN}command/stop", f"{ARN}thing/car-1"
UNIX_S_AT_ZERO = 1_700_000_000.0
START = UNIX_S_AT_ZERO + 1000
PAYLOAD = b'{"command":"stop"}'


class Desk:
    """The service with a clock, checked against the service models at every call."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.registry.put_thing(Thing("car-1"))
        self.now_s = 1000.0
        self.ids = itertools.count(1)
        self.service = self.fresh()

    def fresh(self) -> Commands:
        """A service that remembers nothing."""
        return Commands(
            self.registry,
            account=Account("ap-northeast-2", "123456789012"),
            new_id=lambda: f"e-{next(self.ids)}",
            unix_s_at_zero=UNIX_S_AT_ZERO,
        )

    def call(self, operation: str, **request: Any) -> tuple[Any, list[Answer]]:
        """Call an operation and give what an SDK makes of the result."""
        service = "iot-jobs-data" if operation == "StartCommandExecution" else "iot"
        check_request(service, operation, request)
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
        timed = operation in {
            "CreateCommand",
            "UpdateCommand",
            "DeleteCommand",
            "StartCommandExecution",
        }
        arguments = (request, self.now_s) if timed else (request,)
        try:
            result, answers = getattr(self.service, name)(*arguments)
        except ServiceFailure as failure:
            check_failure(service, operation, failure.code, failure.http_status)
            raise
        return check_result(service, operation, result), answers

    def create(
        self, payload: bytes = PAYLOAD, content_type: str | None = "application/json"
    ) -> None:
        """The command `stop`."""
        content = {"content": base64.b64encode(payload).decode(), "contentType": content_type}
        if content_type is None:
            del content["contentType"]
        self.call("CreateCommand", commandId="stop", payload=content)

    def start(self, **more: Any) -> tuple[str, list[Answer]]:
        """An execution of `stop` on `car-1`."""
        request = {"commandArn": COMMAND, "targetArn": CAR} | more
        result, answers = self.call("StartCommandExecution", **request)
        return result["executionId"], answers

    def report(
        self, execution_id: str, document: Any, level: str = "json", thing: str = "car-1"
    ) -> list[Answer]:
        """A device's report."""
        payload = document
        if not isinstance(document, bytes):
            payload = cbor2.dumps(document) if level == "cbor" else json.dumps(document).encode()
        topic = f"$aws/commands/things/{thing}/executions/{execution_id}/response/{level}"
        assert self.service.claims(topic)
        message = Message(topic, payload, 1, self.now_s)
        return list(self.service.handle(message, "client-1", self.now_s))

    def execution(self, execution_id: str) -> Any:
        """GetCommandExecution with the result."""
        return self.call(
            "GetCommandExecution", executionId=execution_id, targetArn=CAR, includeResult=True
        )[0]


@pytest.fixture
def desk() -> Desk:
    """A service with one thing."""
    return Desk()


def events(answers: list[Answer]) -> list[tuple[str, dict[str, Any]]]:
    """Topic and document of the events among answers."""
    return [
        (answer.message.topic, json.loads(answer.message.payload))
        for answer in answers
        if answer.message.topic.startswith("$aws/events/")
    ]


def test_a_static_command_reaches_the_request_topic_of_its_format(desk: Desk) -> None:
    """Payload as it is, its content type, the timeout as expiry, QoS 1, for subscribers."""
    desk.create()
    execution_id, answers = desk.start(executionTimeoutSeconds=30)
    order = answers[0]
    assert order.client_id is None
    assert order.message.topic == (
        f"$aws/commands/things/car-1/executions/{execution_id}/request/json"
    )
    assert order.message.payload == PAYLOAD
    assert (order.message.content_type, order.message.expiry_s, order.message.qos) == (
        "application/json",
        30,
        1,
    )
    assert events(answers) == [
        (
            "$aws/events/commandExecution/stop/CREATED",
            {
                "executionId": execution_id,
                "status": "CREATED",
                "eventType": "COMMAND_EXECUTION",
                "commandArn": COMMAND,
                "targetArn": CAR,
                "timestamp": int(START * 1000),
            },
        )
    ]


@pytest.mark.parametrize(
    ("content_type", "suffix", "announced"),
    [
        ("application/json", "/json", "application/json"),
        ("application/cbor", "/cbor", "application/cbor"),
        ("text/plain", "", "text/plain"),
        (None, "", "application/octet-stream"),
    ],
)
def test_the_content_type_chooses_the_topic(
    desk: Desk, content_type: str | None, suffix: str, announced: str
) -> None:
    """JSON and CBOR have topics of their own, everything else shares one."""
    desk.create(b"\xf6", content_type)
    execution_id, answers = desk.start(targetArn=f"{ARN}client/bench")
    message = answers[0].message
    assert message.topic == f"$aws/commands/clients/bench/executions/{execution_id}/request{suffix}"
    assert message.content_type == announced
    assert message.expiry_s == 10


def test_the_agents_own_answers_are_accepted(desk: Desk) -> None:
    """What the agent writes is what the service reads, and what the API gives back."""
    desk.create()
    execution_id, _ = desk.start()
    desk.now_s += 2.5
    progress = encode_outcome(Outcome(ExecutionStatus.IN_PROGRESS, ReasonCode.STOPPING))
    answers = desk.report(execution_id, progress)
    assert answers[0].client_id == "client-1"
    assert answers[0].message.topic.endswith(f"executions/{execution_id}/response/accepted/json")
    assert json.loads(answers[0].message.payload) == {"executionId": execution_id}
    assert [event["status"] for _, event in events(answers)] == ["IN_PROGRESS"]
    end = Outcome(
        ExecutionStatus.SUCCEEDED,
        ReasonCode.STOPPING,
        "stands",
        {"speed": "0.0", "parked": True, "proof": b"\x00\xff"},
    )
    answers = desk.report(execution_id, encode_outcome(end))
    topic, event = events(answers)[0]
    assert topic == "$aws/events/commandExecution/stop/SUCCEEDED"
    assert event["statusReason"] == {"reasonCode": "STOPPING", "reasonDescription": "stands"}
    assert event["timestamp"] == int((START + 2.5) * 1000)
    execution = desk.execution(execution_id)
    assert execution["status"] == "SUCCEEDED"
    assert execution["result"] == {
        "speed": {"S": "0.0"},
        "parked": {"B": True},
        "proof": {"BIN": b"\x00\xff"},
    }
    assert execution["completedAt"].timestamp() == START + 2.5
    assert execution["createdAt"].timestamp() == execution["startedAt"].timestamp() == START


def test_cbor_reports_get_cbor_answers(desk: Desk) -> None:
    """The level of the topic is the format, both ways; bytes need no base64."""
    desk.create()
    execution_id, _ = desk.start()
    answers = desk.report(
        execution_id, {"status": "FAILED", "result": {"dump": {"bin": b"\x01"}}}, "cbor"
    )
    assert answers[0].message.topic.endswith("/response/accepted/cbor")
    assert cbor2.loads(answers[0].message.payload) == {"executionId": execution_id}
    assert desk.execution(execution_id)["result"] == {"dump": {"BIN": b"\x01"}}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "InvalidJson"),
        (b"{", "InvalidJson"),
        (b"[]", "InvalidJson"),
        ({}, "InvalidRequest"),
        ({"status": "CREATED"}, "InvalidRequest"),
        ({"status": ["FAILED"]}, "InvalidRequest"),
        ({"status": "succeeded"}, "InvalidRequest"),
        ({"status": "FAILED", "statusReason": "no"}, "InvalidRequest"),
        ({"status": "FAILED", "statusReason": {}}, "InvalidRequest"),
        ({"status": "FAILED", "statusReason": {"reasonCode": "no"}}, "InvalidRequest"),
        ({"status": "FAILED", "statusReason": {"reasonCode": "A" * 65}}, "InvalidRequest"),
        (
            {"status": "FAILED", "statusReason": {"reasonCode": "A", "reasonDescription": "\n"}},
            "InvalidRequest",
        ),
        (
            {
                "status": "FAILED",
                "statusReason": {"reasonCode": "A", "reasonDescription": "x" * 1025},
            },
            "InvalidRequest",
        ),
        ({"status": "FAILED", "result": {}}, "InvalidRequest"),
        ({"status": "FAILED", "result": {"a": "text"}}, "InvalidRequest"),
        ({"status": "FAILED", "result": {"a": {"S": "text"}}}, "InvalidRequest"),
        ({"status": "FAILED", "result": {"a": {"s": "t", "b": True}}}, "InvalidRequest"),
        ({"status": "FAILED", "result": {"a": {"bin": "?"}}}, "InvalidRequest"),
        ({"status": "FAILED", "result": {"a b": {"s": "t"}}}, "InvalidRequest"),
    ],
)
def test_a_malformed_report_is_refused_and_changes_nothing(
    desk: Desk, document: Any, code: str
) -> None:
    """The refusal goes to the device alone, and the execution goes on."""
    desk.create()
    execution_id, _ = desk.start()
    (answer,) = desk.report(execution_id, document)
    assert answer.client_id == "client-1"
    assert answer.message.topic.endswith("/response/rejected/json")
    refusal = json.loads(answer.message.payload)
    assert refusal.pop("errorMessage")
    assert refusal == {"error": code, "executionId": execution_id}
    assert desk.execution(execution_id)["status"] == "CREATED"


def test_a_report_to_the_wrong_place_is_refused(desk: Desk) -> None:
    """Another device's execution, none at all, and a format that does not exist."""
    desk.create()
    execution_id, _ = desk.start()
    done = {"status": "SUCCEEDED"}
    for answers, error in (
        (desk.report(execution_id, done, thing="car-2"), "ResourceNotFound"),
        (desk.report("e-99", done), "ResourceNotFound"),
        (desk.report(execution_id, json.dumps(done).encode(), "xml"), "InvalidTopic"),
    ):
        assert json.loads(answers[0].message.payload)["error"] == error
        assert len(answers) == 1
    assert answers[0].message.topic.endswith("/response/rejected")
    assert not desk.service.claims("$aws/commands/things/t/executions/e/request/json")


def test_the_clouds_time_out_can_be_overridden_and_the_devices_cannot(desk: Desk) -> None:
    """TIMED_OUT after silence stays open until the device reports an end."""
    desk.create()
    execution_id, _ = desk.start(executionTimeoutSeconds=60)
    assert desk.service.next_deadline_s == 1060
    assert desk.service.advance(1059.9) == []
    desk.now_s = 1060.0
    ((topic, event),) = events(list(desk.service.advance(desk.now_s)))
    assert topic == "$aws/events/commandExecution/stop/TIMED_OUT"
    assert event["statusReason"] == {"reasonCode": "$NO_RESPONSE_FROM_DEVICE"}
    assert "completedAt" not in desk.execution(execution_id)
    (refusal,) = desk.report(execution_id, {"status": "IN_PROGRESS"})
    assert json.loads(refusal.message.payload)["error"] == "InvalidStateTransition"
    reason = {"reasonCode": "TARGET_NOT_REACHED"}
    answers = desk.report(execution_id, {"status": "TIMED_OUT", "statusReason": reason})
    assert answers[0].message.topic.endswith("/response/accepted/json")
    execution = desk.execution(execution_id)
    assert execution["status"] == "TIMED_OUT"
    assert execution["statusReason"] == reason
    assert execution["completedAt"].timestamp() == START + 60
    (refusal,) = desk.report(execution_id, {"status": "SUCCEEDED"})
    assert json.loads(refusal.message.payload)["error"] == "TerminalStateReached"


def test_a_device_may_answer_late_but_not_twice(desk: Desk) -> None:
    """SUCCEEDED after the cloud's time-out counts; a second end does not."""
    desk.create()
    execution_id, _ = desk.start()
    desk.service.advance(2000)
    assert len(desk.report(execution_id, {"status": "SUCCEEDED"})) == 2
    assert len(desk.report(execution_id, {"status": "FAILED"})) == 1
    assert desk.execution(execution_id)["status"] == "SUCCEEDED"


def test_a_hundred_running_executions_are_the_most(desk: Desk) -> None:
    """The 101st is refused until one ends or its time is over."""
    desk.create()
    first, _ = desk.start(executionTimeoutSeconds=100)
    for _ in range(99):
        desk.start(executionTimeoutSeconds=50)
    with pytest.raises(ServiceFailure) as caught:
        desk.start()
    assert (caught.value.code, caught.value.http_status) == ("ServiceQuotaExceededException", 402)
    desk.start(targetArn=f"{ARN}client/car-1")
    desk.report(first, {"status": "FAILED"})
    desk.start(executionTimeoutSeconds=50)
    assert len(events(list(desk.service.advance(1050)))) == 101
    desk.start()


def test_a_client_token_makes_a_start_happen_once(desk: Desk) -> None:
    """The same request gives the same execution and nothing is sent; another one is a conflict."""
    desk.create()
    execution_id, answers = desk.start(clientToken="once")
    assert len(answers) == 2
    assert desk.start(clientToken="once") == (execution_id, [])
    with pytest.raises(ServiceFailure) as caught:
        desk.start(clientToken="once", executionTimeoutSeconds=11)
    assert (caught.value.code, caught.value.http_status) == ("ConflictException", 409)


@pytest.mark.parametrize(
    ("request_part", "code"),
    [
        ({"targetArn": f"{ARN}thing/unknown"}, "ResourceNotFoundException"),
        ({"commandArn": f"{ARN}command/unknown"}, "ResourceNotFoundException"),
        ({"targetArn": f"{ARN}thinggroup/car-1"}, "ValidationException"),
        ({"targetArn": "car-1"}, "ValidationException"),
        ({"targetArn": f"{ARN}client/a/b"}, "ValidationException"),
        ({"targetArn": CAR.replace("123456789012", "210987654321")}, "ValidationException"),
        ({"commandArn": "stop"}, "ValidationException"),
        ({"executionTimeoutSeconds": 43_201}, "ValidationException"),
        ({"parameters": {"x": {"S": "y"}}}, "ValidationException"),
    ],
)
def test_a_start_that_cannot_be_is_refused(
    desk: Desk, request_part: dict[str, Any], code: str
) -> None:
    """With the exception the service model has for it."""
    desk.create()
    with pytest.raises(ServiceFailure) as caught:
        desk.start(**request_part)
    assert caught.value.code == code


def test_a_deprecated_command_must_be_restored(desk: Desk) -> None:
    """No execution and no edit while it is deprecated; executions under way go on."""
    desk.create()
    execution_id, _ = desk.start()
    result, _ = desk.call("UpdateCommand", commandId="stop", deprecated=True)
    assert result["deprecated"] is True
    for call in (
        desk.start,
        lambda: desk.call("UpdateCommand", commandId="stop", displayName="x"),
    ):
        with pytest.raises(ServiceFailure) as caught:
            call()
        assert caught.value.code == "ValidationException"
    assert len(desk.report(execution_id, {"status": "SUCCEEDED"})) == 2
    desk.call("UpdateCommand", commandId="stop", deprecated=False, displayName="Halt")
    desk.start()
    assert desk.call("GetCommand", commandId="stop")[0]["displayName"] == "Halt"


def test_a_command_is_deleted_after_twelve_hours(desk: Desk) -> None:
    """202 and pending deletion; 204 at once when it was deprecated for that long."""
    desk.create()
    assert desk.call("DeleteCommand", commandId="stop")[0]["statusCode"] == 202
    assert desk.call("GetCommand", commandId="stop")[0]["pendingDeletion"] is True
    assert desk.call("ListCommands")[0]["commands"] == []
    with pytest.raises(ServiceFailure):
        desk.start()
    with pytest.raises(ServiceFailure) as caught:
        desk.call("UpdateCommand", commandId="stop", displayName="x")
    assert caught.value.code == "ConflictException"
    assert desk.service.next_deadline_s == 1000 + 43_200
    desk.service.advance(1000 + 43_200)
    with pytest.raises(ServiceFailure) as caught:
        desk.call("GetCommand", commandId="stop")
    assert caught.value.code == "ResourceNotFoundException"
    desk.create()
    desk.call("UpdateCommand", commandId="stop", deprecated=True)
    desk.now_s += 43_200
    assert desk.call("DeleteCommand", commandId="stop")[0]["statusCode"] == 204
    assert desk.call("DeleteCommand", commandId="stop")[0]["statusCode"] == 204


def test_commands_are_listed_and_not_created_twice(desk: Desk) -> None:
    """Newest first, or oldest first on request; page by page; the payload comes back."""
    payload = {"content": base64.b64encode(PAYLOAD).decode(), "contentType": "application/json"}
    for number in range(3):
        desk.now_s += 1
        desk.call("CreateCommand", commandId=f"c-{number}", payload=payload, description="d")
    with pytest.raises(ServiceFailure) as caught:
        desk.call("CreateCommand", commandId="c-0", payload=payload)
    assert (caught.value.code, caught.value.http_status) == ("ConflictException", 409)

    def ids(**request: Any) -> list[str]:
        return [entry["commandId"] for entry in desk.call("ListCommands", **request)[0]["commands"]]

    assert ids() == ["c-2", "c-1", "c-0"]
    assert ids(sortOrder="ASCENDING") == ["c-0", "c-1", "c-2"]
    assert ids(maxResults=2, nextToken="c-2") == ["c-1", "c-0"]
    assert ids(namespace="AWS-IoT-FleetWise") == []
    command = desk.call("GetCommand", commandId="c-1")[0]
    assert command["payload"] == {"content": PAYLOAD, "contentType": "application/json"}
    assert command["createdAt"].timestamp() == START + 2
    assert command["namespace"] == "AWS-IoT"


def test_executions_are_listed_by_command_or_by_target(desk: Desk) -> None:
    """Exactly one of the two, at most one filter on time, and a status."""
    desk.create()
    first, _ = desk.start()
    desk.now_s += 120
    second, _ = desk.start(targetArn=f"{ARN}client/bench")
    desk.report(first, {"status": "FAILED"})

    def ids(**request: Any) -> list[str]:
        result, _ = desk.call("ListCommandExecutions", **request)
        return [entry["executionId"] for entry in result["commandExecutions"]]

    assert ids(commandArn=COMMAND) == [second, first]
    assert ids(commandArn=COMMAND, sortOrder="ASCENDING", maxResults=1) == [first]
    assert ids(targetArn=CAR) == [first]
    assert ids(commandArn=COMMAND, status="CREATED") == [second]
    # The first starts at 2023-11-14T22:30:00 UTC, the second two minutes later.
    assert ids(commandArn=COMMAND, startedTimeFilter={"after": "2023-11-14T22:31"}) == [second]
    assert ids(commandArn=COMMAND, startedTimeFilter={"before": "2023-11-14T22:31"}) == [first]
    assert ids(commandArn=COMMAND, completedTimeFilter={"after": "2023-11-14T22:31"}) == [first]
    for wrong in (
        {},
        {"commandArn": COMMAND, "targetArn": CAR},
        {"commandArn": COMMAND, "startedTimeFilter": {}, "completedTimeFilter": {}},
        {"commandArn": COMMAND, "startedTimeFilter": {"after": "yesterday"}},
    ):
        with pytest.raises(ServiceFailure) as caught:
            desk.call("ListCommandExecutions", **wrong)
        assert caught.value.code == "ValidationException"


def test_only_ended_executions_can_be_deleted(desk: Desk) -> None:
    """Created and timed out by the cloud cannot; one that is gone is no error."""
    desk.create()
    execution_id, _ = desk.start()
    identity = {"executionId": execution_id, "targetArn": CAR}
    for _ in range(2):
        with pytest.raises(ServiceFailure) as caught:
            desk.call("DeleteCommandExecution", **identity)
        assert caught.value.code == "ConflictException"
        desk.service.advance(2000)
    desk.report(execution_id, {"status": "REJECTED"})
    assert desk.call("DeleteCommandExecution", **identity)[0] == {}
    assert desk.call("DeleteCommandExecution", **identity)[0] == {}
    with pytest.raises(ServiceFailure) as caught:
        desk.execution(execution_id)
    assert caught.value.code == "ResourceNotFoundException"


def test_executions_are_kept_for_half_a_year(desk: Desk) -> None:
    """180 days after its start an execution is forgotten, and its time to live says so."""
    desk.create()
    execution_id, _ = desk.start()
    desk.service.advance(1010)
    assert desk.execution(execution_id)["timeToLive"].timestamp() == START + 180 * 86_400
    assert desk.service.next_deadline_s == 1000 + 180 * 86_400
    desk.service.advance(1000 + 180 * 86_400)
    with pytest.raises(ServiceFailure):
        desk.execution(execution_id)
    assert desk.service.next_deadline_s is None


@given(st.binary(max_size=300), st.sampled_from(["json", "cbor", "xml", ""]))
def test_any_bytes_get_exactly_one_direct_answer(payload: bytes, level: str) -> None:
    """The handler is total."""
    desk = Desk()
    desk.create()
    execution_id, _ = desk.start()
    answers = desk.report(execution_id, payload, level)
    assert [answer.client_id for answer in answers].count("client-1") == 1
    assert answers[0].client_id == "client-1"


@given(st.text(max_size=80), st.binary(max_size=20))
def test_any_topic_is_served_or_left(topic: str, payload: bytes) -> None:
    """What the service does not claim it does not answer."""
    service = Desk().service
    for name in (topic, f"$aws/commands/{topic}", f"$aws/commands/things/{topic}/response/json"):
        answers = service.handle(Message(name, payload, 0, 0.0), "c", 0.0)
        assert bool(answers) == service.claims(name)


def test_a_damaged_dump_is_refused(desk: Desk) -> None:
    """Every kind of damage is a ValueError."""
    desk.create()
    desk.start()
    good = desk.service.dump()
    for damage in (
        {},
        good | {"executions": [{}]},
        good | {"executions": 3},
        good | {"commands": [{"command_id": "x"}]},
        good | {"commands": [good["commands"][0] | {"definition": {}}]},
        good | {"tokens": [["a"]]},
    ):
        with pytest.raises(ValueError, match="command"):
            desk.fresh().load(damage)


class ExecutionMachine(RuleBasedStateMachine):
    """Reports, time and restarts in any order, against the table of the developer guide."""

    # "Commands concepts and status": status -> what may follow. The device's TIMED_OUT, here
    # "TIMED_OUT!", is terminal.
    ALLOWED: dict[str, set[str]] = {  # noqa: RUF012 - hypothesis makes no copies of it
        "CREATED": {"IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"},
        "IN_PROGRESS": {"IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"},
        "TIMED_OUT": {"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"},
        "TIMED_OUT!": set(),
        "SUCCEEDED": set(),
        "FAILED": set(),
        "REJECTED": set(),
    }

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.desk.create()
        self.expected: dict[str, str] = {}
        self.deadline: dict[str, float] = {}

    @precondition(lambda self: len(self.expected) < 4)
    @rule(timeout_s=st.integers(1, 100))
    def start(self, timeout_s: int) -> None:
        """A new execution is CREATED."""
        execution_id, _ = self.desk.start(executionTimeoutSeconds=timeout_s)
        self.expected[execution_id] = "CREATED"
        self.deadline[execution_id] = self.desk.now_s + timeout_s

    @precondition(lambda self: self.expected)
    @rule(
        data=st.data(),
        status=st.sampled_from(["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"]),
    )
    def report(self, data: st.DataObject, status: str) -> None:
        """A report is accepted when the table allows it."""
        execution_id = data.draw(st.sampled_from(sorted(self.expected)))
        answers = self.desk.report(execution_id, {"status": status})
        is_allowed = status in self.ALLOWED[self.expected[execution_id]]
        assert ("/accepted/" in answers[0].message.topic) is is_allowed
        assert [event["status"] for _, event in events(answers)] == [status] * is_allowed
        if is_allowed:
            self.expected[execution_id] = status + "!" * (status == "TIMED_OUT")

    @rule(seconds=st.integers(0, 60))
    def wait(self, seconds: int) -> None:
        """Awaited executions time out when their time is over."""
        self.desk.now_s += seconds
        late = {
            key
            for key, status in self.expected.items()
            if status in {"CREATED", "IN_PROGRESS"} and self.deadline[key] <= self.desk.now_s
        }
        told = {
            event["executionId"]
            for _, event in events(list(self.desk.service.advance(self.desk.now_s)))
        }
        assert told == late
        self.expected.update(dict.fromkeys(late, "TIMED_OUT"))

    @rule()
    def restart(self) -> None:
        """A service that loads the dump goes on where the other stopped."""
        dump = json.loads(json.dumps(self.desk.service.dump()))
        self.desk.service = self.desk.fresh()
        self.desk.service.load(dump)
        assert self.desk.service.dump() == dump

    @invariant()
    def statuses_agree(self) -> None:
        """The API shows what the table says."""
        for execution_id, status in self.expected.items():
            assert self.desk.execution(execution_id)["status"] == status.rstrip("!")


ExecutionMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestExecutions = ExecutionMachine.TestCase
