"""A car that takes commands over plain MQTT 5: the Python SDK has no client for them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tests.simulator.iotcore.clients.device_sdk import KeyPair, connected, publish, subscribe
from tests.simulator.iotcore.clients.estate import ARN, Estate

if TYPE_CHECKING:
    from simulator.iotcore.services.members import Result

CAR = "car-1"
COMMANDS = f"$aws/commands/things/{CAR}/executions"


def start(estate: Estate, timeout_s: int) -> str:
    """Have the car honk; gives the execution id."""
    catalogue = estate.cloud.commands
    if not catalogue.list_commands({})[0]["commands"]:
        estate.call(
            catalogue.create_command,
            commandId="honk",
            payload={"content": b'{"times": 2}', "contentType": "application/json"},
        )
    started = estate.call(
        catalogue.start_command_execution,
        commandArn=f"{ARN}command/honk",
        targetArn=f"{ARN}thing/{CAR}",
        executionTimeoutSeconds=timeout_s,
    )
    found: str = started["executionId"]
    return found


def execution(estate: Estate, execution_id: str) -> Result:
    """The execution as the cloud sees it."""
    request = {
        "executionId": execution_id,
        "targetArn": f"{ARN}thing/{CAR}",
        "includeResult": True,
    }
    return estate.cloud.commands.get_command_execution(request)[0]


async def test_a_command_from_start_to_result(estate: Estate) -> None:
    """The request has content type and time left; reports are accepted; the result is kept."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    identity = KeyPair.of(estate.store.identity(CAR))
    async with connected(estate, identity, CAR, received=received) as car:
        await subscribe(
            car,
            f"{COMMANDS}/+/request/json",
            f"{COMMANDS}/+/response/accepted/json",
            f"{COMMANDS}/+/response/rejected/json",
        )
        execution_id = start(estate, 30)
        order = await received.get()
        assert order.topic == f"{COMMANDS}/{execution_id}/request/json"
        assert json.loads(order.payload) == {"times": 2}
        assert order.content_type == "application/json"
        assert 0 < order.message_expiry_interval_sec <= 30
        await publish(car, f"{COMMANDS}/{execution_id}/response/json", {"status": "IN_PROGRESS"})
        answer = await received.get()
        assert answer.topic == f"{COMMANDS}/{execution_id}/response/accepted/json"
        assert json.loads(answer.payload)["executionId"] == execution_id
        done = {"status": "SUCCEEDED", "result": {"honked": {"b": True}}}
        await publish(car, f"{COMMANDS}/{execution_id}/response/json", done)
        await received.get()
        found = execution(estate, execution_id)
        assert (found["status"], found["result"]) == ("SUCCEEDED", {"honked": {"B": True}})
        await publish(car, f"{COMMANDS}/{execution_id}/response/json", done)
        answer = await received.get()
        assert answer.topic == f"{COMMANDS}/{execution_id}/response/rejected/json"
        assert json.loads(answer.payload)["error"] == "TerminalStateReached"


async def test_a_command_that_nobody_answers_times_out(estate: Estate) -> None:
    """An application hears the event; a late report is still taken."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    app_identity = KeyPair.of(estate.store.identity("app"))
    async with (
        connected(estate, app_identity, "app", received=received) as app,
        connected(estate, KeyPair.of(estate.store.identity(CAR)), CAR) as car,
    ):
        await subscribe(app, "$aws/events/commandExecution/honk/TIMED_OUT")
        execution_id = start(estate, 600)
        estate.core.travel(601)
        event = json.loads((await received.get()).payload)
        assert (event["executionId"], event["status"]) == (execution_id, "TIMED_OUT")
        found = execution(estate, execution_id)
        assert found["statusReason"]["reasonCode"] == "$NO_RESPONSE_FROM_DEVICE"
        await publish(car, f"{COMMANDS}/{execution_id}/response/json", {"status": "SUCCEEDED"})
        assert execution(estate, execution_id)["status"] == "SUCCEEDED"
