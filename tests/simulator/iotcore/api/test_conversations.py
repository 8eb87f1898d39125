"""What boto3 and a device say to each other through the stand-in: HTTP on one side, MQTT here."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest
from botocore.exceptions import ClientError

from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Thing
from simulator.iotcore.throttling.choosing import choose
from tests.simulator.iotcore.api.conftest import UNIX_S_AT_ZERO, StandIn, served
from tests.simulator.iotcore.conftest import ALLOW_ALL, ARN, REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.simulator.iotcore.conftest import Client

NOW_S = int(UNIX_S_AT_ZERO) + 1_000
"""The stand-in's Unix time."""


@pytest.fixture
def car(stand_in: StandIn) -> Client:
    """The device `car-1`, connected."""
    stand_in.registry.put_thing(Thing("car-1"))
    return stand_in.join("car-1")


def documents(client: Client) -> dict[str, Any]:
    """What arrived, by topic."""
    return {topic: json.loads(payload) for topic, payload in client.messages()}


def payload_of(result: dict[str, Any]) -> Any:
    """The document in the body of a shadow operation."""
    return json.loads(result["payload"].read())


# Shadows


async def test_a_shadow_conversation(stand_in: StandIn, car: Client) -> None:
    """The application asks for a state, the car hears the difference, reports, and all agree."""
    data = stand_in.aws("iot-data")
    shadow = "$aws/things/car-1/shadow"
    car.subscribe(f"{shadow}/update/delta", f"{shadow}/update/accepted")
    wanted = json.dumps({"state": {"desired": {"lights": "on"}}})
    accepted = payload_of(await data.update_thing_shadow(thingName="car-1", payload=wanted))
    assert accepted["version"] == 1
    assert accepted["timestamp"] == NOW_S
    heard = documents(car)
    assert heard[f"{shadow}/update/delta"]["state"] == {"lights": "on"}
    assert heard[f"{shadow}/update/accepted"] == accepted
    report = json.dumps({"state": {"reported": {"lights": "on"}}}).encode()
    car.publish(f"{shadow}/update", report)
    found = payload_of(await data.get_thing_shadow(thingName="car-1"))
    assert found["state"] == {"desired": {"lights": "on"}, "reported": {"lights": "on"}}
    assert found["version"] == 2
    with pytest.raises(data.exceptions.ConflictException):
        await data.update_thing_shadow(
            thingName="car-1", payload=json.dumps({"state": {}, "version": 1})
        )
    assert payload_of(await data.delete_thing_shadow(thingName="car-1"))["version"] == 2
    with pytest.raises(data.exceptions.ResourceNotFoundException) as caught:
        await data.get_thing_shadow(thingName="car-1")
    assert caught.value.response["Error"]["Message"] == "No shadow exists with name: 'car-1'"


async def test_named_shadows_are_listed_in_pages(stand_in: StandIn, car: Client) -> None:
    """Each named shadow has a document of its own; a stream is as good as text for a payload."""
    data = stand_in.aws("iot-data")
    for name in ("doors", "lights", "motor"):
        body = io.BytesIO(json.dumps({"state": {"reported": {"name": name}}}).encode())
        await data.update_thing_shadow(thingName="car-1", shadowName=name, payload=body)
    first = await data.list_named_shadows_for_thing(thingName="car-1", pageSize=2)
    rest = await data.list_named_shadows_for_thing(thingName="car-1", nextToken=first["nextToken"])
    assert first["results"] + rest["results"] == ["doors", "lights", "motor"]
    assert "nextToken" not in rest
    lights = payload_of(await data.get_thing_shadow(thingName="car-1", shadowName="lights"))
    assert lights["state"] == {"reported": {"name": "lights"}}
    assert car.messages() == []


# Jobs


async def test_a_job_from_its_creation_to_its_end(stand_in: StandIn, car: Client) -> None:
    """Created over HTTP, heard and answered over MQTT, its end seen over HTTP."""
    iot = stand_in.aws("iot")
    jobs = "$aws/things/car-1/jobs"
    car.subscribe(f"{jobs}/notify-next")
    await iot.create_job(
        jobId="update-1", targets=[f"{ARN}thing/car-1"], document=json.dumps({"to": "2.0"})
    )
    stand_in.wait(1)
    heard = documents(car)[f"{jobs}/notify-next"]
    assert heard["execution"]["jobDocument"] == {"to": "2.0"}
    car.publish(f"{jobs}/update-1/update", b'{"status":"IN_PROGRESS"}')
    seen = await iot.describe_job_execution(jobId="update-1", thingName="car-1")
    assert seen["execution"]["status"] == "IN_PROGRESS"
    car.publish(f"{jobs}/update-1/update", b'{"status":"SUCCEEDED"}')
    job = (await iot.describe_job(jobId="update-1"))["job"]
    assert job["status"] == "COMPLETED"
    assert job["jobProcessDetails"]["numberOfSucceededThings"] == 1
    assert job["createdAt"].timestamp() == pytest.approx(NOW_S, abs=1)
    listed = await iot.list_job_executions_for_thing(thingName="car-1")
    assert [each["jobId"] for each in listed["executionSummaries"]] == ["update-1"]


async def test_a_device_does_a_job_over_http(stand_in: StandIn, car: Client) -> None:
    """The data plane of Jobs on the same port and the same paths as the control plane."""
    iot, device = stand_in.aws("iot"), stand_in.aws("iot-jobs-data")
    await iot.create_job(jobId="j", targets=[f"{ARN}thing/car-1"], document='{"a":1}')
    stand_in.wait(1)
    pending = await device.get_pending_job_executions(thingName="car-1")
    assert [each["jobId"] for each in pending["queuedJobs"]] == ["j"]
    started = await device.start_next_pending_job_execution(
        thingName="car-1", statusDetails={"step": "1"}
    )
    assert started["execution"]["status"] == "IN_PROGRESS"
    assert json.loads(started["execution"]["jobDocument"]) == {"a": 1}
    described = await device.describe_job_execution(thingName="car-1", jobId="$next")
    assert described["execution"]["statusDetails"] == {"step": "1"}
    with pytest.raises(device.exceptions.InvalidRequestException):
        await device.update_job_execution(
            thingName="car-1", jobId="j", status="SUCCEEDED", expectedVersion=99
        )
    await device.update_job_execution(thingName="car-1", jobId="j", status="SUCCEEDED")
    with pytest.raises(device.exceptions.TerminalStateException) as caught:
        await device.describe_job_execution(thingName="car-1", jobId="j")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410
    assert car.messages() == []


# Commands


async def test_a_command_and_its_answer(stand_in: StandIn, car: Client) -> None:
    """Created and started over HTTP, done by the device, its result read over HTTP."""
    iot, start = stand_in.aws("iot"), stand_in.aws("iot-jobs-data")
    made = await iot.create_command(
        commandId="honk",
        namespace="AWS-IoT",
        payload={"content": b'{"times":2}', "contentType": "application/json"},
    )
    assert made["commandArn"] == f"{ARN}command/honk"
    described = await iot.get_command(commandId="honk")
    assert described["payload"]["content"] == b'{"times":2}'
    car.subscribe("$aws/commands/things/car-1/executions/+/request/json")
    begun = await start.start_command_execution(
        targetArn=f"{ARN}thing/car-1", commandArn=made["commandArn"], executionTimeoutSeconds=60
    )
    ((topic, payload),) = car.messages()
    execution_id = begun["executionId"]
    base = f"$aws/commands/things/car-1/executions/{execution_id}"
    assert (topic, payload) == (f"{base}/request/json", b'{"times":2}')
    result = {"horn": {"s": "ok"}, "photo": {"bin": base64.b64encode(b"\x00\xff").decode()}}
    answer = json.dumps({"status": "SUCCEEDED", "result": result}).encode()
    car.publish(f"{base}/response/json", answer)
    done = await iot.get_command_execution(
        executionId=execution_id, targetArn=f"{ARN}thing/car-1", includeResult=True
    )
    assert done["status"] == "SUCCEEDED"
    assert done["result"] == {"horn": {"S": "ok"}, "photo": {"BIN": b"\x00\xff"}}
    listed = await iot.list_command_executions(targetArn=f"{ARN}thing/car-1")
    assert [each["executionId"] for each in listed["commandExecutions"]] == [execution_id]
    deleted = await iot.delete_command(commandId="honk")
    assert deleted["statusCode"] == deleted["ResponseMetadata"]["HTTPStatusCode"]
    with pytest.raises(start.exceptions.ResourceNotFoundException):
        await start.start_command_execution(
            targetArn=f"{ARN}thing/nobody", commandArn=made["commandArn"]
        )


# Messages


@pytest.mark.usefixtures("car")
async def test_a_device_has_a_hundred_commands_at_most(stand_in: StandIn) -> None:
    """The next one gets 402, and the quota report says whose request that was."""
    iot, start = stand_in.aws("iot"), stand_in.aws("iot-jobs-data")
    made = await iot.create_command(
        commandId="honk", payload={"content": b"{}", "contentType": "application/json"}
    )
    request = {"targetArn": f"{ARN}thing/car-1", "commandArn": made["commandArn"]}
    for _ in range(100):
        await start.start_command_execution(**request, executionTimeoutSeconds=600)
    with pytest.raises(start.exceptions.ServiceQuotaExceededException):
        await start.start_command_execution(**request, executionTimeoutSeconds=600)
    assert stand_in.broker.quota_report()["commands-per-device"]["refused"] == 1


async def test_a_message_with_everything(stand_in: StandIn, car: Client) -> None:
    """Publish carries QoS and every MQTT 5 property to subscribers."""
    car.subscribe("orders/+")
    await stand_in.aws("iot-data").publish(
        topic="orders/ü 1",
        qos=1,
        payload=b"\x00go",
        contentType="text/plain; charset=utf-8",
        responseTopic="answers/1",
        correlationData=base64.b64encode(b"\x01\x02").decode(),
        userProperties=json.dumps([{"driver": "é"}, {"driver": "b"}]),
        messageExpiry=60,
    )
    (packet,) = car.take(mqtt5.PublishPacket)
    assert (packet.topic, packet.payload, packet.qos) == ("orders/ü 1", b"\x00go", 1)
    assert packet.content_type == "text/plain; charset=utf-8"
    assert (packet.response_topic, packet.correlation_data) == ("answers/1", b"\x01\x02")
    assert packet.user_properties == [("driver", "é"), ("driver", "b")]
    assert packet.message_expiry_interval == 60


async def test_user_properties_may_be_given_as_a_list(stand_in: StandIn, car: Client) -> None:
    """boto3 encodes whatever it gets, so that a text arrives as a document in a document."""
    car.subscribe("a")
    for given in ([{"k": "v"}], '[{"k": "v"}]'):
        await stand_in.aws("iot-data").publish(topic="a", userProperties=given)
    assert [packet.user_properties for packet in car.take(mqtt5.PublishPacket)] == [
        [("k", "v")],
        [("k", "v")],
    ]


async def test_a_message_reaches_a_service(stand_in: StandIn, car: Client) -> None:
    """Publishing to a reserved topic over HTTP is a request as over MQTT."""
    data = stand_in.aws("iot-data")
    car.subscribe("$aws/things/car-1/shadow/update/accepted")
    car.messages()
    body = b'{"state":{"reported":{"a":1}}}'
    await data.publish(topic="$aws/things/car-1/shadow/update", payload=body)
    assert documents(car)["$aws/things/car-1/shadow/update/accepted"]["version"] == 1
    with pytest.raises(data.exceptions.InvalidRequestException):
        await data.publish(topic="$aws/nothing", payload=b"x")


async def test_retained_messages_are_read_listed_and_deleted(
    stand_in: StandIn, car: Client
) -> None:
    """Kept by one publish, found by topic and in pages, gone by an empty one."""
    data = stand_in.aws("iot-data")
    for name in ("a", "b/c", "d"):
        await data.publish(
            topic=name, qos=1, retain=True, payload=name, userProperties='[{"k":"v"}]'
        )
    found = await data.get_retained_message(topic="b/c")
    assert (found["topic"], found["payload"], found["qos"]) == ("b/c", b"b/c", 1)
    assert found["lastModifiedTime"] == NOW_S * 1_000
    assert json.loads(found["userProperties"]) == [{"k": "v"}]
    first = await data.list_retained_messages(maxResults=2)
    rest = await data.list_retained_messages(nextToken=first["nextToken"])
    listed = first["retainedTopics"] + rest["retainedTopics"]
    assert [(each["topic"], each["payloadSize"]) for each in listed] == [
        ("a", 1),
        ("b/c", 3),
        ("d", 1),
    ]
    await data.publish(topic="b/c", retain=True)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.get_retained_message(topic="b/c")
    assert car.messages() == []


@pytest.mark.parametrize(
    "request_",
    [
        {"topic": "a/+"},
        {"topic": "a" * 257},
        {"topic": "a", "responseTopic": "a/#"},
        {"topic": "a", "correlationData": "%"},
        {"topic": "a", "contentType": "x" * 257},
        {"topic": "a", "userProperties": '{"a":"b"}'},
        {"topic": "a", "userProperties": '[{"a":1}]'},
        {"topic": "a", "userProperties": json.dumps([{"a": "x" * 8_192}])},
        {"topic": "a", "payloadFormatIndicator": "UTF8_DATA", "payload": b"\xff"},
        {"topic": "a", "messageExpiry": -1},
        {"topic": "$aws/things/car-1/shadow/update", "retain": True},
    ],
)
async def test_messages_out_of_bounds_are_refused(
    stand_in: StandIn, request_: dict[str, Any]
) -> None:
    """What MQTT would not carry is not taken over HTTP."""
    data = stand_in.aws("iot-data")
    with pytest.raises(data.exceptions.InvalidRequestException):
        await data.publish(**request_)


async def test_a_payload_of_more_than_128_kb_is_refused(stand_in: StandIn) -> None:
    """The broker's limit, with the status HTTP has for it; the body of a request has its own."""
    data = stand_in.aws("iot-data")
    for size in (131_073, 1_048_577):
        with pytest.raises(data.exceptions.RequestEntityTooLargeException) as caught:
            await data.publish(topic="a", payload=b"x" * size)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


# Direct messages and connections


async def test_a_direct_message_needs_no_subscription(stand_in: StandIn, car: Client) -> None:
    """It reaches the one client, at QoS 0."""
    other = stand_in.join("app")
    other.subscribe("orders/#")
    sent = await stand_in.aws("iot-data").send_direct_message(
        clientId="car-1", topic="orders/1", payload=b"stop", responseTopic="answers"
    )
    assert sent["message"] == "OK"
    assert sent["traceId"]
    (packet,) = car.take(mqtt5.PublishPacket)
    assert (packet.topic, packet.payload, packet.qos) == ("orders/1", b"stop", 0)
    assert packet.response_topic == "answers"
    assert other.messages() == []


async def test_a_confirmed_direct_message_waits_for_the_client(
    stand_in: StandIn, car: Client
) -> None:
    """With confirmation the answer comes after the PUBACK, not before."""
    data = stand_in.aws("iot-data")
    call = asyncio.create_task(
        data.send_direct_message(clientId="car-1", topic="t", payload=b"x", confirmation=True)
    )
    await stand_in.woken.wait()
    (packet,) = car.take(mqtt5.PublishPacket)
    assert packet.qos == 1
    assert not call.done()
    car.acknowledge(packet)
    assert (await call)["message"] == "OK"


async def test_a_client_that_does_not_confirm_costs_504(stand_in: StandIn, car: Client) -> None:
    """After the time-out asked for; the message was delivered all the same."""
    data = stand_in.aws("iot-data")
    with pytest.raises(data.exceptions.GatewayTimeoutException) as caught:
        await data.send_direct_message(clientId="car-1", topic="t", confirmation=True, timeout=1)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 504
    assert len(car.take(mqtt5.PublishPacket)) == 1


async def test_direct_messages_that_cannot_be_sent(stand_in: StandIn, car: Client) -> None:
    """Nobody there, a reserved topic, a time-out out of range."""
    data = stand_in.aws("iot-data")
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.send_direct_message(clientId="nobody", topic="t")
    for more in ({"topic": "$aws/x"}, {"topic": "t", "confirmation": True, "timeout": 16}):
        with pytest.raises(data.exceptions.InvalidRequestException):
            await data.send_direct_message(clientId="car-1", **more)
    assert car.messages() == []


async def test_a_client_that_may_not_receive_gets_no_direct_message(stand_in: StandIn) -> None:
    """The receiver's policy must allow iot:Receive on the topic."""
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "iot:Receive", "Resource": f"{ARN}topic/secret"},
        ],
    }
    stand_in.registry.put_policy(Policy.parse("test", document))
    car = stand_in.join("car-1")
    data = stand_in.aws("iot-data")
    with pytest.raises(data.exceptions.ForbiddenException):
        await data.send_direct_message(clientId="car-1", topic="secret")
    assert car.messages() == []


async def test_what_is_known_of_a_connection(stand_in: StandIn) -> None:
    """While it is open, for half an hour after, and no longer."""
    stand_in.attach_thing("car-1")
    data = stand_in.aws("iot-data")
    car = stand_in.join("car-1", keep_alive=60, session_expiry_interval=600)
    found = await data.get_connection(clientId="car-1", includeSocketInformation=True)
    del found["ResponseMetadata"]
    assert found == {
        "connected": True,
        "clientId": "car-1",
        "thingName": "car-1",
        "cleanSession": False,
        "sourceIp": "192.0.2.7",
        "keepAliveDuration": 60,
        "connectedSince": NOW_S * 1_000,
        "sessionExpiry": 600,
    }
    stand_in.wait(5)
    car.lose()
    ended = await data.get_connection(clientId="car-1")
    assert ended["connected"] is False
    assert ended["disconnectedSince"] == (NOW_S + 5) * 1_000
    assert ended["disconnectReason"] == "CONNECTION_LOST"
    assert "sourceIp" not in ended
    stand_in.wait(1_801)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.get_connection(clientId="car-1")


async def test_subscriptions_are_listed_in_pages(stand_in: StandIn, car: Client) -> None:
    """Twenty at a time unless asked otherwise; offline sessions have theirs too."""
    data = stand_in.aws("iot-data")
    car.subscribe("a", "b/#", qos=1)
    car.subscribe("c", qos=0)
    first = await data.list_subscriptions(clientId="car-1", maxResults=2)
    rest = await data.list_subscriptions(clientId="car-1", nextToken=first["nextToken"])
    assert first["subscriptions"] + rest["subscriptions"] == [
        {"topicFilter": "a", "qos": 1},
        {"topicFilter": "b/#", "qos": 1},
        {"topicFilter": "c", "qos": 0},
    ]
    with pytest.raises(data.exceptions.InvalidRequestException):
        await data.list_subscriptions(clientId="car-1", nextToken="!")
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.list_subscriptions(clientId="nobody")


async def test_a_connection_is_ended_over_http(stand_in: StandIn) -> None:
    """DISCONNECT 0x98, the will kept back and the session gone, as asked for."""
    data = stand_in.aws("iot-data")
    watcher = stand_in.join("watcher")
    watcher.subscribe("wills/#")
    will = mqtt5.Will(topic="wills/car-1", payload=b"gone")
    car = stand_in.join("car-1", session_expiry_interval=600, will=will)
    await data.delete_connection(clientId="car-1", cleanSession=True, preventWillMessage=True)
    assert car.codes(mqtt5.DisconnectPacket) == [0x98]
    assert watcher.messages() == []
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.list_subscriptions(clientId="car-1")
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.delete_connection(clientId="car-1")


# Quotas


@pytest.fixture
async def metered() -> AsyncIterator[StandIn]:
    """A stand-in with AWS's default quotas."""
    async with served(StandIn(choose("default", REGION).quotas)) as found:
        yield found


async def test_policies_of_a_signing_identity_decide_on_the_data_plane() -> None:
    """Those attached to its Cognito identity, and of `iot-data` only: `iot` is for IAM."""
    identity = "ap-northeast-2:12345678-1234-1234-1234-123456789012"
    reader = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "iot:GetThingShadow",
            "Resource": f"{ARN}thing/car-1",
        },
    }
    async with served(StandIn(identities={"AKIDEXAMPLE": identity})) as stand_in:
        data = stand_in.aws("iot-data")
        await data.update_thing_shadow(thingName="car-1", payload='{"state":{}}')
        stand_in.registry.put_policy(Policy.parse("reader", reader))
        stand_in.registry.attach_policy("reader", identity)
        await data.get_thing_shadow(thingName="car-1")
        with pytest.raises(ClientError) as caught:
            await data.update_thing_shadow(thingName="car-1", payload='{"state":{}}')
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        await stand_in.aws("iot").list_things()


async def test_a_shadow_has_twenty_requests_a_second(metered: StandIn) -> None:
    """The twenty-first within a second is throttled, over HTTP as over MQTT, and counted."""
    metered.registry.put_thing(Thing("car-1"))
    data = metered.aws("iot-data")
    for _ in range(20):
        await data.update_thing_shadow(thingName="car-1", payload='{"state":{}}')
    with pytest.raises(data.exceptions.ThrottlingException) as caught:
        await data.get_thing_shadow(thingName="car-1")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    report = metered.broker.quota_report()["shadow-requests-per-shadow"]
    assert report["refused"] == 1
    assert report["clients"][0]["client_id"] == "AKIDEXAMPLE"
    metered.wait(1)
    await data.get_thing_shadow(thingName="car-1")


async def test_a_provisioning_day_meets_the_rates_of_the_registry(metered: StandIn) -> None:
    """Ten CreateKeysAndCertificate and fifteen AttachPolicy a second; other operations go on."""
    iot = metered.aws("iot")
    await iot.create_policy(policyName="car", policyDocument=json.dumps(ALLOW_ALL))
    arns = [(await iot.create_keys_and_certificate())["certificateArn"] for _ in range(10)]
    with pytest.raises(iot.exceptions.ThrottlingException) as caught:
        await iot.create_keys_and_certificate()
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    for arn in (arns * 2)[:15]:
        await iot.attach_policy(policyName="car", target=arn)
    with pytest.raises(iot.exceptions.ThrottlingException):
        await iot.attach_policy(policyName="car", target=arns[9])
    await iot.create_thing(thingName="car-1")
    report = metered.broker.quota_report()
    assert {name: one["refused"] for name, one in report.items()} == {
        "api-create-keys-and-certificate": 1,
        "api-attach-policy": 1,
    }
    metered.wait(1)
    await iot.create_keys_and_certificate()


async def test_a_connection_may_be_asked_about_once_a_second(metered: StandIn) -> None:
    """One request per client id and operation; other operations and clients are not touched."""
    metered.join("car-1")
    data = metered.aws("iot-data")
    await data.get_connection(clientId="car-1")
    await data.list_subscriptions(clientId="car-1")
    with pytest.raises(data.exceptions.ThrottlingException):
        await data.get_connection(clientId="car-1")


async def test_a_topic_may_be_retained_once_a_second(metered: StandIn) -> None:
    """The rate of retained publishes per topic."""
    data = metered.aws("iot-data")
    await data.publish(topic="a", payload=b"1", retain=True)
    await data.publish(topic="b", payload=b"1", retain=True)
    with pytest.raises(data.exceptions.ThrottlingException):
        await data.publish(topic="a", payload=b"2", retain=True)
