from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.broker.message import Message
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.stream_blocks import BlockRequest, StreamRefusal
from simulator.iotcore.services.streams import Streams
from tests.simulator.iotcore.services.aws_models import (
    check_failure,
    check_request,
    check_result,
)

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer

UNIX_S_AT_ZERO = 1_700_000_000.0
ROLE = "arn:aws:iam::123456789012:role/streams"
FIRMWARE = bytes(range(256)) * 4 + b"tail"


class Desk:
    """The service, checked against the service model at every call of the API."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.service = self.fresh()

    def fresh(self) -> Streams:
        """A service that remembers nothing."""
        account = Account("ap-northeast-2", "123456789012")
        return Streams(account=account, unix_s_at_zero=UNIX_S_AT_ZERO)

    def call(self, operation: str, contents: dict[int, bytes] | None = None, **request: Any) -> Any:
        """Call an operation and give what an SDK makes of the result."""
        check_request("iot", operation, request)
        name = operation[:6].lower() + ("_" + operation[6:].lower())
        if operation.startswith(("Describe", "List")):
            name = "describe_stream" if operation.startswith("Describe") else "list_streams"
        arguments = (request,) if contents is None else (request, contents, self.now_s)
        try:
            result, answers = getattr(self.service, name)(*arguments)
        except ServiceFailure as failure:
            check_failure("iot", operation, failure.code, failure.http_status)
            raise
        assert answers == []
        return check_result("iot", operation, result)

    def create(self, contents: dict[int, bytes] | None = None, stream_id: str = "ota") -> Any:
        """The stream `ota`."""
        contents = {0: FIRMWARE, 7: b"x"} if contents is None else contents
        files = [
            {"fileId": key, "s3Location": {"bucket": "b", "key": str(key)}} for key in contents
        ]
        return self.call(
            "CreateStream",
            contents,
            streamId=stream_id,
            files=files,
            roleArn=ROLE,
            description="firmware",
        )

    def send(self, operation: str, document: Any, stream_id: str = "ota") -> list[Answer]:
        """A device's request; `get/json` and so on."""
        topic = f"$aws/things/car-1/streams/{stream_id}/{operation}"
        assert self.service.claims(topic)
        payload = document
        if not isinstance(document, bytes):
            is_cbor = operation.endswith("cbor")
            payload = cbor2.dumps(document) if is_cbor else json.dumps(document).encode()
        message = Message(topic, payload, 0, self.now_s)
        return list(self.service.handle(message, "car-1", self.now_s))


@pytest.fixture
def desk() -> Desk:
    """A service with the stream `ota`."""
    desk = Desk()
    desk.create()
    return desk


def test_a_description_tells_files_and_version(desk: Desk) -> None:
    """The client token comes back; the answer is direct."""
    (answer,) = desk.send("describe/json", {"c": "token"})
    assert answer.client_id == "car-1"
    assert answer.message.topic == "$aws/things/car-1/streams/ota/description/json"
    assert json.loads(answer.message.payload) == {
        "c": "token",
        "s": 1,
        "d": "firmware",
        "r": [{"f": 0, "z": 1028}, {"f": 7, "z": 1}],
    }
    (answer,) = desk.send("describe/cbor", b"")
    assert cbor2.loads(answer.message.payload)["r"][0] == {"f": 0, "z": 1028}


@pytest.mark.parametrize("level", ["json", "cbor"])
def test_a_file_is_fetched_block_by_block(desk: Desk, level: str) -> None:
    """Blocks of 512 bytes and a short last one, put together, are the file."""
    received = b""
    for offset in range(3):
        (answer,) = desk.send(
            f"get/{level}", {"c": "t", "s": 1, "f": 0, "l": 512, "o": offset, "n": 1}
        )
        assert answer.message.topic == f"$aws/things/car-1/streams/ota/data/{level}"
        if level == "json":
            block = json.loads(answer.message.payload)
            block["p"] = base64.b64decode(block["p"], validate=True)
        else:
            block = cbor2.loads(answer.message.payload)
        assert (block["c"], block["f"], block["i"]) == ("t", 0, offset)
        assert block["l"] == len(block["p"])
        received += block["p"]
    assert received == FIRMWARE


def test_the_bitmap_of_the_developer_guide() -> None:
    """Offset 20 and 0x130080 are the blocks 20, 21, 24 and 43; at most two when n says so."""
    desk = Desk()
    desk.create({1: bytes(256 * 50)})
    request = {"c": "1", "s": 1, "l": 256, "f": 1, "o": 20, "n": 32, "b": "0x130080"}
    for level, bitmap in (("json", "0x130080"), ("json", "130080"), ("cbor", b"\x13\x00\x80")):
        answers = desk.send(f"get/{level}", request | {"b": bitmap})
        decode = json.loads if level == "json" else cbor2.loads
        assert [decode(answer.message.payload)["i"] for answer in answers] == [20, 21, 24, 43]
    answers = desk.send("get/json", request | {"n": 2})
    assert [json.loads(answer.message.payload)["i"] for answer in answers] == [20, 21]


def test_one_request_is_answered_with_128_kb_at_most() -> None:
    """512 blocks of 256 bytes, or a single one of 131,072, whatever was asked for."""
    desk = Desk()
    desk.create({0: bytes(300_000)})
    for size, count in ((256, 512), (4096, 32), (5000, 26), (131_072, 1)):
        assert len(desk.send("get/cbor", {"f": 0, "l": size, "n": 98_304})) == count
        assert len(desk.send("get/cbor", {"f": 0, "l": size})) == count
        assert len(desk.send("get/cbor", {"f": 0, "l": size, "b": b"\xff" * 1000})) == count


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"f": 1}, "ResourceNotFound"),
        ({"o": 9}, "ResourceNotFound"),
        ({"b": "00"}, "ResourceNotFound"),
        ({"b": ""}, "ResourceNotFound"),
        ({"s": 2}, "VersionMismatch"),
        ({"l": 255}, "BlockSizeOutOfBounds"),
        ({"l": 131_073}, "BlockSizeOutOfBounds"),
        ({"o": 98_305}, "OffsetOutOfBounds"),
        ({"o": -1}, "OffsetOutOfBounds"),
        ({"n": 98_305}, "BlockCountLimitExceeded"),
        ({"b": "00" * 12_288}, "BlockBitmapLimitExceeded"),
        ({"b": "0"}, "InvalidRequest"),
        ({"b": "xy"}, "InvalidRequest"),
        ({"b": 3}, "InvalidRequest"),
        ({"f": None}, "InvalidRequest"),
        ({"l": None}, "InvalidRequest"),
        ({"f": 256}, "InvalidRequest"),
        ({"f": "0"}, "InvalidRequest"),
        ({"o": True}, "InvalidRequest"),
        ({"l": 512.0}, "InvalidRequest"),
    ],
)
def test_what_cannot_be_delivered(desk: Desk, change: dict[str, Any], code: str) -> None:
    """One answer on `rejected`, with the client token."""
    (answer,) = desk.send("get/json", {"c": "t", "f": 0, "l": 512} | change)
    assert answer.client_id == "car-1"
    assert answer.message.topic == "$aws/things/car-1/streams/ota/rejected/json"
    refusal = json.loads(answer.message.payload)
    assert refusal.pop("m")
    assert refusal == {"c": "t", "o": code}


def test_refusals_without_a_client_token(desk: Desk) -> None:
    """Documents that cannot be read, tokens that are too long, and an unknown stream."""
    for operation, document, stream_id, code in (
        ("get/json", b"{", "ota", "InvalidJson"),
        ("describe/cbor", b"\xff", "ota", "InvalidCbor"),
        ("describe/json", b"[]", "ota", "InvalidJson"),
        ("describe/json", {"c": "x" * 65}, "ota", "InvalidRequest"),
        ("describe/json", {"c": 1}, "ota", "InvalidRequest"),
        ("describe/json", {}, "other", "ResourceNotFound"),
        ("get/json", b"", "ota", "InvalidRequest"),
    ):
        (answer,) = desk.send(operation, document, stream_id)
        decode = cbor2.loads if operation.endswith("cbor") else json.loads
        refusal = decode(answer.message.payload)
        assert (refusal["o"], set(refusal)) == (code, {"o", "m"})


BITMAPS = st.none() | st.binary(max_size=40)


@given(
    size=st.integers(0, 20_000),
    block=st.integers(256, 1000),
    offset=st.integers(0, 80),
    count=st.none() | st.integers(0, 100),
    bitmap=BITMAPS,
)
def test_blocks_against_a_naive_model(
    size: int, block: int, offset: int, count: int | None, bitmap: bytes | None
) -> None:
    """Every block of the file is looked at by itself."""
    document = {"f": 0, "l": block, "o": offset, "n": count, "b": bitmap}
    expected: list[int] = []
    for number in range(200):
        exists = number * block < size
        position = number - offset
        if bitmap is None:
            wanted = position >= 0
        else:
            bits = "".join(f"{byte:08b}"[::-1] for byte in bitmap)
            wanted = 0 <= position < len(bits) and bits[position] == "1"
        full = (len(expected) + 1) * block > 131_072 or (count and len(expected) >= count)
        if exists and wanted and not full:
            expected.append(number)
    request = BlockRequest(document)
    if expected:
        assert request.blocks(size) == expected
    else:
        with pytest.raises(StreamRefusal, match="do not exist"):
            request.blocks(size)


@given(
    st.sampled_from(["get/json", "get/cbor", "describe/json", "describe/cbor"]),
    st.binary(max_size=200),
)
def test_any_bytes_get_an_answer(operation: str, payload: bytes) -> None:
    """The handler is total."""
    desk = Desk()
    desk.create()
    answers = desk.send(operation, payload)
    assert answers
    assert all(answer.client_id == "car-1" for answer in answers)


@given(st.text(max_size=60))
def test_any_topic_is_served_or_left(topic: str) -> None:
    """What the service does not claim it does not answer."""
    service = Desk().service
    for name in (topic, f"$aws/things/{topic}", f"$aws/things/t/streams/{topic}"):
        answers = service.handle(Message(name, b"{}", 0, 0.0), "c", 0.0)
        assert bool(answers) == service.claims(name)


def test_the_life_of_a_stream() -> None:
    """Create, describe, update, list, delete: the result shapes of the model."""
    desk = Desk()
    created = desk.create()
    arn = "arn:aws:iot:ap-northeast-2:123456789012:stream/ota"
    assert (created["streamArn"], created["streamVersion"]) == (arn, 1)
    desk.now_s += 5
    files = [{"fileId": 3, "s3Location": {"bucket": "b", "key": "3"}}]
    updated = desk.call("UpdateStream", {3: b"new"}, streamId="ota", files=files)
    assert updated["streamVersion"] == 2
    info = desk.call("DescribeStream", streamId="ota")["streamInfo"]
    assert info["files"] == files
    assert (info["description"], info["roleArn"]) == ("firmware", ROLE)
    assert info["createdAt"].timestamp() == UNIX_S_AT_ZERO + 1000
    assert info["lastUpdatedAt"].timestamp() == UNIX_S_AT_ZERO + 1005
    (answer,) = desk.send("get/json", {"s": 1, "f": 3, "l": 256})
    assert json.loads(answer.message.payload)["o"] == "VersionMismatch"
    desk.create({0: b"x"}, "second")
    ids = [entry["streamId"] for entry in desk.call("ListStreams")["streams"]]
    assert ids == ["second", "ota"]
    listed = desk.call("ListStreams", ascendingOrder=True, maxResults=1)
    assert [entry["streamId"] for entry in listed["streams"]] == ["ota"]
    assert listed["nextToken"] == "ota"
    desk.call("DeleteStream", streamId="ota")
    for operation in ("DescribeStream", "DeleteStream"):
        with pytest.raises(ServiceFailure) as caught:
            desk.call(operation, streamId="ota")
        assert caught.value.code == "ResourceNotFoundException"


def test_streams_that_cannot_be_created(desk: Desk) -> None:
    """Twice, without content, too many or too large files."""
    for contents, stream_id, code in (
        ({0: b"x"}, "ota", "ResourceAlreadyExistsException"),
        (dict.fromkeys(range(11), b"x"), "new", "InvalidRequestException"),
        ({0: bytes(24 * 1024 * 1024 + 1)}, "new", "InvalidRequestException"),
    ):
        with pytest.raises(ServiceFailure) as caught:
            desk.create(contents, stream_id)
        assert caught.value.code == code
    files = [{"fileId": 0}]
    with pytest.raises(ServiceFailure) as caught:
        desk.call("CreateStream", {}, streamId="new", files=files, roleArn=ROLE)
    assert caught.value.code == "ResourceNotFoundException"
    with pytest.raises(ServiceFailure):
        desk.call("CreateStream", {0: b"x"}, streamId="new", files=files * 2, roleArn=ROLE)


def test_a_restart_keeps_the_files(desk: Desk) -> None:
    """The dump is JSON; damage is a ValueError."""
    dump = json.loads(json.dumps(desk.service.dump()))
    desk.service = desk.fresh()
    desk.service.load(dump)
    assert desk.service.dump() == dump
    (answer,) = desk.send("get/cbor", {"f": 0, "l": 2048})
    assert cbor2.loads(answer.message.payload)["p"] == FIRMWARE
    damages: list[dict[str, Any]] = [
        {},
        {"streams": [{}]},
        {"streams": [dump["streams"][0] | {"files": 1}]},
    ]
    for damage in damages:
        with pytest.raises(ValueError, match="streams"):
            desk.fresh().load(damage)
