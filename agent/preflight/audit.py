"""The whole check: every neighbour of the agent, in the order a person would look at them.

Owns which checks run, which of them may run together, and what has to be left out because of what
another one found. Prints nothing.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.bridge.assembly import map_frame, topic_space
from agent.preflight.broker import check_broker
from agent.preflight.identity import check_identity
from agent.preflight.machine import check_clock, check_ledger, check_ports
from agent.preflight.simulator import check_simulator
from certs.errors import EdgeError, LinkError
from certs.inspection import Finding, Verdict

if TYPE_CHECKING:
    from agent.configuration import AgentConfiguration


async def audit(
    configuration: AgentConfiguration, *, listen_s: float = 3.0, connect: bool = False
) -> dict[str, list[Finding]]:
    """Check everything the agent needs.

    Nothing is changed: no command is taken from the broker's queue, no session ends, no file is
    written. The broker and the simulator are looked at together.

    Args:
        configuration: What the agent would run with.
        listen_s: How long to listen for the simulator.
        connect: Whether to sign in at the broker even if an agent seems to run here. That would
            end the connection of that agent, which then comes back.

    Returns:
        Findings by neighbour: `certificate`, `this machine`, `broker`, `simulator`.
    """
    simulator = configuration.simulator
    ports = list(check_ports(simulator.bind, simulator.receive.ports()))
    ports_free = all(finding.verdict is Verdict.OK for finding in ports)
    machine = [_check_settings(configuration), check_clock(), *ports]
    if configuration.commands.enabled:
        machine.append(check_ledger(configuration.commands.ledger))
    broker, heard = await asyncio.gather(
        _check_broker(configuration, connect=connect or ports_free),
        _check_simulator(configuration, listen_s, ports_free=ports_free),
    )
    return {
        "certificate": check_identity(configuration.broker, datetime.now(UTC)),
        "this machine": machine,
        "broker": broker,
        "simulator": heard,
    }


async def _check_broker(configuration: AgentConfiguration, *, connect: bool) -> list[Finding]:
    findings = check_broker(configuration.broker, configuration.vehicle.thing, connect=connect)
    return [finding async for finding in findings]


async def _check_simulator(
    configuration: AgentConfiguration, listen_s: float, *, ports_free: bool
) -> list[Finding]:
    if not ports_free:
        return [
            Finding(
                "channels",
                Verdict.NOTE,
                "not listened to: not every port above is free",
                "stop the program that holds them and check again",
            )
        ]
    try:
        return await check_simulator(configuration.simulator, listen_s=listen_s)
    except LinkError as error:
        # Somebody was faster between the check of the ports and this one.
        return [Finding("channels", Verdict.FAILED, error.what, error.remedy)]


def _check_settings(configuration: AgentConfiguration) -> Finding:
    try:
        topics = topic_space(configuration)
        frame = map_frame(configuration.map)
    except EdgeError as error:
        return Finding("settings", Verdict.FAILED, error.what, error.remedy)
    where = "without a map projection" if frame is None else f"map in {frame.crs_text}"
    return Finding("settings", Verdict.OK, f"{topics.telemetry('state')}, {where}")
