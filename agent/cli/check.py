"""`morai-agent check`: could the agent do its work here, and if not, what to do about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.bridge.assembly import map_frame, topic_space
from agent.configuration import AgentConfiguration, load_configuration
from agent.preflight.broker import check_broker
from agent.preflight.identity import check_identity
from agent.preflight.machine import check_clock, check_ports
from agent.preflight.simulator import check_simulator
from certs.errors import EXIT_CHECK_FAILED, EdgeError
from certs.inspection import Finding, Verdict
from certs.report import findings_as_json, print_findings, print_json
from certs.terminal import error_console


def check(
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")] = Path(
        "agent.toml"
    ),
    listen_s: Annotated[
        float, typer.Option("--listen", min=0.1, max=60, help="Seconds to listen for MORAI SIM.")
    ] = 3.0,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Try CONNECT even if an agent seems to run here."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
) -> None:
    """Check certificates, clock, ports, broker and simulator; say what to do about each problem.

    Exit code 1 when something would keep the agent from working.

    Examples:

      morai-agent check

      morai-agent check --listen 10 --json
    """
    configuration = load_configuration(config)
    with error_console().status("Checking ..."):
        audit = asyncio.run(_audit(configuration, listen_s, connect=connect))
    if as_json:
        print_json(findings_as_json(audit))
    else:
        print_findings(audit, every=True)
    failed = any(f.verdict is Verdict.FAILED for findings in audit.values() for f in findings)
    if failed:
        raise typer.Exit(EXIT_CHECK_FAILED)


async def _audit(
    configuration: AgentConfiguration, listen_s: float, *, connect: bool
) -> dict[str, list[Finding]]:
    simulator = configuration.simulator
    ports = list(check_ports(simulator.bind, simulator.receive.ports()))
    ports_free = all(finding.verdict is Verdict.OK for finding in ports)
    machine = [_check_settings(configuration), check_clock(), *ports]
    identity = check_identity(configuration.broker, datetime.now(UTC))
    broker = [
        finding
        async for finding in check_broker(
            configuration.broker, configuration.vehicle.thing, connect=connect or ports_free
        )
    ]
    if ports_free:
        heard = [finding async for finding in check_simulator(simulator, listen_s=listen_s)]
    else:
        heard = [
            Finding(
                "channels",
                Verdict.NOTE,
                "not listened to: the ports above are not free",
                "stop the program that holds them and check again",
            )
        ]
    return {"certificate": identity, "this machine": machine, "broker": broker, "simulator": heard}


def _check_settings(configuration: AgentConfiguration) -> Finding:
    try:
        topics = topic_space(configuration)
        frame = map_frame(configuration.map)
    except EdgeError as error:
        return Finding("settings", Verdict.FAILED, error.what, error.remedy)
    where = "without a map projection" if frame is None else f"map in {frame.crs_text}"
    return Finding("settings", Verdict.OK, f"{topics.telemetry('state')}, {where}")
