"""What the gateway answers to requests that are not as they should be."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from simulator.iotcore.api.operations import Operations
from simulator.iotcore.api.sigv4 import AccessKey, Keyring
from simulator.iotcore.clock import Clock
from tests.simulator.iotcore.api.conftest import ACCESS_KEY, SECRET, StandIn, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIGNED = {
    "Authorization": (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/iot/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=00"
    ),
    "X-Amz-Date": "20260101T000000Z",
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that is no AWS SDK."""
    async with aiohttp.ClientSession() as session:
        yield session


async def answer(
    http: aiohttp.ClientSession, stand_in: StandIn, method: str, path: str, **options: Any
) -> tuple[int, str, str]:
    """Status, code and message of an error."""
    async with http.request(method, f"{stand_in.url.rstrip('/')}{path}", **options) as response:
        assert response.headers["x-amzn-requestid"]
        document = json.loads(await response.read())
        return response.status, response.headers["x-amzn-errortype"], document["message"]


async def test_nobody_is_not_served(http: aiohttp.ClientSession, stand_in: StandIn) -> None:
    """Without a signature or a client certificate."""
    status, code, message = await answer(http, stand_in, "GET", "/things")
    expected = (403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    assert (status, code, message) == expected


async def test_unknown_paths_are_unknown_operations(
    http: aiohttp.ClientSession, stand_in: StandIn
) -> None:
    """404 with the error SDKs know for it; also for something else than a path."""
    for path in ("/", "/nothing/here", "/role-aliases/a/credentials"):
        status, code, _ = await answer(http, stand_in, "GET", path, headers=SIGNED)
        assert (status, code) == (404, "UnknownOperationException")


async def test_an_operation_that_is_not_served_is_named(stand_in: StandIn) -> None:
    """501 and a sentence, instead of an answer AWS would not give; counted apart."""
    iot = stand_in.aws("iot")
    with pytest.raises(ClientError) as caught:
        await iot.create_topic_rule(ruleName="a", topicRulePayload={"sql": "x", "actions": []})
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert response["Error"]["Message"] == (
        "CreateTopicRule of iot is not served by this stand-in; docs/iotcore-aws-api.md lists "
        "what is"
    )
    assert stand_in.gateway.counters.as_dict() == {
        "requests": 1,
        "operations": {},
        "errors": {"NotImplementedException": 1},
        "not_served": {"iot.CreateTopicRule": 1},
    }


async def test_operations_and_errors_are_counted(stand_in: StandIn) -> None:
    """By operation and by code."""
    iot = stand_in.aws("iot")
    await iot.create_thing(thingName="a")
    await iot.list_things()
    for _ in range(2):
        with pytest.raises(iot.exceptions.ResourceNotFoundException):
            await iot.describe_thing(thingName="b")
    assert stand_in.gateway.counters.as_dict() == {
        "requests": 4,
        "operations": {"iot.CreateThing": 1, "iot.DescribeThing": 2, "iot.ListThings": 1},
        "errors": {"ResourceNotFoundException": 2},
        "not_served": {},
    }


async def test_a_request_is_checked_before_it_is_done(stand_in: StandIn) -> None:
    """What botocore lets pass is refused in AWS's words."""
    iot = stand_in.aws("iot")
    with pytest.raises(iot.exceptions.InvalidRequestException) as caught:
        await iot.create_thing(thingName="a b")
    assert caught.value.response["Error"]["Message"] == (
        "1 validation error detected: Value 'a b' at 'thingName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+"
    )


async def test_a_defect_costs_one_answer(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 in AWS's form, and the next request is served."""

    def fail(*_arguments: Any) -> Any:
        raise ZeroDivisionError

    iot = stand_in.aws("iot")
    await iot.list_things()
    with monkeypatch.context() as patch:
        patch.setattr(Operations, "find", fail)
        with pytest.raises(iot.exceptions.InternalFailureException) as caught:
            await iot.list_things()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert (await iot.list_things())["things"] == []


async def test_a_body_of_more_than_a_megabyte_is_refused(
    http: aiohttp.ClientSession, stand_in: StandIn
) -> None:
    """Announced or not."""

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"x" * 65_536

    for body in (io.BytesIO(b"x" * 1_048_577), unannounced()):
        status, code, _ = await answer(
            http, stand_in, "POST", "/things/a", headers=SIGNED, data=body
        )
        assert (status, code) == (413, "RequestEntityTooLargeException")


async def test_a_damaged_body_is_refused(stand_in: StandIn) -> None:
    """A chunk whose length is no number."""
    port = int(stand_in.url.rsplit(":", 1)[1].strip("/"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /things/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    status = await reader.readline()
    assert status.split()[1] == b"400"
    writer.close()


async def test_a_client_that_asks_before_it_sends_is_told_to(
    http: aiohttp.ClientSession, stand_in: StandIn
) -> None:
    """`Expect: 100-continue`, which SDKs send with streams."""
    url = f"{stand_in.url}things/a"
    async with http.post(url, headers=SIGNED, data=b"{}", expect100=True) as response:
        assert response.status == 200
    assert stand_in.registry.thing("a") is not None


@pytest.fixture
async def strict() -> AsyncIterator[StandIn]:
    """A stand-in that knows one access key and checks what it signs by the machine's clock."""
    keyring = Keyring([AccessKey(ACCESS_KEY, SECRET)], accepts_unknown=False)
    found = StandIn(keyring=keyring)
    found.clock = Clock(lambda: 1_000.0, lambda: datetime.now(UTC).timestamp())
    async with served(found):
        yield found


async def test_signatures_of_known_keys_are_checked(strict: StandIn) -> None:
    """The right secret is served, the wrong one and an unknown key are not."""
    name = "a:b"
    await strict.aws("iot").create_thing(thingName=name)
    assert (await strict.aws("iot").describe_thing(thingName=name))["thingName"] == name
    await strict.aws("iot-data").publish(topic="a/ü &=%2F", payload=b"\x00\xff", qos=1)
    wrong = strict.aws("iot", aws_access_key_id=ACCESS_KEY, aws_secret_access_key="another")
    with pytest.raises(ClientError) as caught:
        await wrong.list_things()
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    unknown = strict.aws("iot", aws_access_key_id="AKOTHER", aws_secret_access_key="another")
    with pytest.raises(ClientError) as caught:
        await unknown.list_things()
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


async def test_a_journey_in_time_makes_no_signature_old(strict: StandIn) -> None:
    """Clients sign by the machine's clock, wherever the broker's has gone."""
    strict.clock.travel(86_400)
    assert (await strict.aws("iot").list_things())["things"] == []
