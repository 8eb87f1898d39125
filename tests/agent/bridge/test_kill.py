"""An agent that is killed: what the sender of a command and the fleet's dashboard learn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.agent.bridge.process import agent, process_configuration, udp_car
from tests.agent.bridge.rig import HEALTH, Control
from tests.agent.cloud.rig import core_of, onlooker
from tests.agent.conftest import CAR

if TYPE_CHECKING:
    from pathlib import Path

    from certs.store import Store


async def test_a_killed_agent_does_not_execute_again(identities: Store, tmp_path: Path) -> None:
    """The will says offline, the next run tells the sender, and a redelivery moves nothing."""
    request = json.dumps({"command": "drive", "parameters": {"target_speed_mps": 10.0}}).encode()
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, HEALTH, f"cmd/morai/demo/{CAR}/res/+") as app,
        udp_car() as car,
    ):
        control = Control(app)
        configuration = process_configuration(tmp_path, identities, core.port, car)
        async with agent(configuration) as first:
            started = await first.event("agent_started")
            await control.state("online")
            async with car.reporting(started["ports"]["ego_status"]):
                await control.command("engage", "set_control_mode", mode="external")
                await app.publish(f"cmd/morai/demo/{CAR}/req/go", request, qos=1)
                await control.answer("go", "IN_PROGRESS DRIVING")
            assert any(c.kind == 2 and c.velocity_kmh == 36.0 for c in car.controls)
            await first.kill()
        will = await control.state("offline")

        car.controls.clear()
        async with agent(configuration) as second:
            started = await second.event("agent_started")
            async with car.reporting(started["ports"]["ego_status"]):
                await control.answer("go", "FAILED INTERRUPTED")
                await app.publish(f"cmd/morai/demo/{CAR}/req/go", request, qos=1)
                await app.until(lambda: control.answers("go").count("FAILED INTERRUPTED") == 2)
                # A command behind it, so that whatever the redelivery did has happened.
                await control.command("engage-2", "set_control_mode", mode="external")
                await control.state("online")

    assert will["at"] is None
    assert control.answers("go")[-1] == "FAILED INTERRUPTED"
    assert [c for c in car.controls if c.velocity_kmh or c.accel] == []
    boots = {document["boot"] for document in control.health() if document["state"] == "online"}
    assert len(boots) == 2
