"""A car downloads a file in blocks over MQTT, as the OTA agents of AWS do."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from typing import TYPE_CHECKING, Any

from tests.simulator.iotcore.clients.device_sdk import KeyPair, connected, publish, subscribe

if TYPE_CHECKING:
    from tests.simulator.iotcore.clients.estate import Estate

CAR = "car-1"
STREAM = f"$aws/things/{CAR}/streams/firmware"
BLOCK_BYTES = 4_096
BLOCKS_PER_REQUEST = 16


async def test_a_file_arrives_whole(estate: Estate) -> None:
    """Describe, then ask for runs of blocks with offset and number until all are there."""
    content = random.Random(7).randbytes(150_000)
    estate.cloud.streams.create_stream(
        {
            "streamId": "firmware",
            "roleArn": "arn:aws:iam::123456789012:role/streams",
            "files": [{"fileId": 1, "s3Location": {"bucket": "b", "key": "k"}}],
        },
        {1: content},
        estate.clock.now_s(),
    )
    received: asyncio.Queue[Any] = asyncio.Queue()
    async with connected(
        estate, KeyPair.of(estate.store.identity(CAR)), CAR, received=received
    ) as car:
        await subscribe(car, f"{STREAM}/description/json", f"{STREAM}/data/json")
        await publish(car, f"{STREAM}/describe/json", {"c": "token"})
        described = json.loads((await received.get()).payload)
        (file,) = described["r"]
        assert (described["c"], file) == ("token", {"f": 1, "z": 150_000})
        blocks: dict[int, bytes] = {}
        total = -(-file["z"] // BLOCK_BYTES)
        while len(blocks) < total:
            wanted = min(BLOCKS_PER_REQUEST, total - len(blocks))
            request = {
                "s": described["s"],
                "f": 1,
                "l": BLOCK_BYTES,
                "o": len(blocks),
                "n": wanted,
            }
            await publish(car, f"{STREAM}/get/json", request)
            for _ in range(wanted):
                block = json.loads((await received.get()).payload)
                blocks[block["i"]] = base64.b64decode(block["p"])
                assert block["l"] == len(blocks[block["i"]])
    assert b"".join(blocks[number] for number in sorted(blocks)) == content


async def test_a_request_that_cannot_be_served_is_rejected(estate: Estate) -> None:
    """The code of the developer guide, on a topic of its own."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    async with connected(
        estate, KeyPair.of(estate.store.identity(CAR)), CAR, received=received
    ) as car:
        await subscribe(car, f"{STREAM}/rejected/json")
        await publish(car, f"{STREAM}/describe/json", {"c": "token"})
        rejected = json.loads((await received.get()).payload)
    assert (rejected["o"], rejected["c"]) == ("ResourceNotFound", "token")
