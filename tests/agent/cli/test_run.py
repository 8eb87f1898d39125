"""`morai-agent run` as an operating system starts and stops it."""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.agent.bridge.process import agent, process_configuration, udp_car
from tests.agent.bridge.rig import HEALTH, Control, write_configuration
from tests.agent.cli.commands import morai_agent
from tests.agent.cloud.rig import core_of, onlooker
from tests.agent.conftest import CAR

if TYPE_CHECKING:
    from pathlib import Path

    from certs.store import Store

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_a_signal_ends_the_agent_in_order(
    identities: Store, tmp_path: Path, name: str
) -> None:
    """The car is stopped, health says offline, and the exit code is 0."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, HEALTH, f"cmd/morai/demo/{CAR}/res/+") as app,
        udp_car() as car,
        agent(process_configuration(tmp_path, identities, core.port, car)) as running,
    ):
        control = Control(app)
        started = await running.event("agent_started")
        await control.state("online")
        async with car.reporting(started["ports"]["ego_status"]):
            await control.command("engage", "set_control_mode", mode="external")
            engaged = len(car.controls)
            running.send_signal(getattr(signal, name))
            assert await running.ended() == 0
        await control.state("offline")

    assert sum(c.is_full_brake for c in car.controls[engaged:]) >= 5
    assert [document["state"] for document in control.health()][-2:] == ["stopping", "offline"]
    assert running.events[-1]["event"] == "agent_stopped"
    assert running.noise == []


@posix
async def test_asked_twice_it_ends_at_once(identities: Store, tmp_path: Path) -> None:
    """A second Ctrl-C does not wait for a car that never stops; the first stop went out."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, HEALTH, f"cmd/morai/demo/{CAR}/res/+") as app,
        udp_car() as car,
        agent(process_configuration(tmp_path, identities, core.port, car)) as running,
    ):
        control = Control(app)
        started = await running.event("agent_started")
        await control.state("online")
        async with car.reporting(started["ports"]["ego_status"]):
            await control.command("engage", "set_control_mode", mode="external")
        # The simulator is silent now, so an orderly end takes its three seconds.
        engaged = len(car.controls)
        running.send_signal(signal.SIGINT)
        await running.event("agent_stopping")
        running.send_signal(signal.SIGINT)
        assert await running.ended() == 130
        await car.until_controls(engaged + 1)
        # Nobody signed off, so the broker does.
        assert (await control.state("offline"))["at"] is None

    assert car.controls[-1].is_full_brake
    assert "agent_stopped" not in {event["event"] for event in running.events}


@posix
async def test_asked_twice_in_one_breath_the_car_is_still_told_to_stop(
    identities: Store, tmp_path: Path
) -> None:
    """Two signals that arrive together, as wrappers send them, do not outrun the stop."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, HEALTH, f"cmd/morai/demo/{CAR}/res/+") as app,
        udp_car() as car,
        agent(process_configuration(tmp_path, identities, core.port, car)) as running,
    ):
        control = Control(app)
        started = await running.event("agent_started")
        await control.state("online")
        async with car.reporting(started["ports"]["ego_status"]):
            await control.command("engage", "set_control_mode", mode="external")
            engaged = len(car.controls)
            running.send_signal(signal.SIGINT)
            running.send_signal(signal.SIGTERM)
            assert await running.ended() == 130
            await car.until_controls(engaged + 1)

    assert car.controls[-1].is_full_brake


async def test_without_a_broker_the_agent_runs_and_says_so(
    identities: Store, tmp_path: Path
) -> None:
    """A broker that is down is no reason to end; the log has the reason in words."""
    async with core_of(identities) as core:
        port = core.port
    async with (
        udp_car() as car,
        agent(process_configuration(tmp_path, identities, port, car)) as running,
    ):
        event = await running.event("broker_disconnected")

    assert event["reason"] == "nothing listens there: the connection was refused"
    assert event["level"] == "warning"
    assert event["thing"] == CAR


@posix
async def test_a_log_that_cannot_be_written_does_not_stop_the_agent(
    identities: Store, tmp_path: Path
) -> None:
    """Nobody reads the pipe any more: the agent goes on and still ends in order."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, HEALTH) as app,
        udp_car() as car,
        agent(process_configuration(tmp_path, identities, core.port, car)) as running,
    ):
        control = Control(app)
        await control.state("online")
        running.close_log()
        # Each of these is a line that nobody reads.
        for _ in range(3):
            core.drop(CAR)
            await control.state("offline")
            await control.state("online")
        running.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        await control.state("offline")


@posix
async def test_a_key_that_others_can_read_is_refused(identities: Store, tmp_path: Path) -> None:
    """Exit code 2, with the command that corrects it, before anything is opened."""
    key = tmp_path / "key.pem"
    key.write_bytes(identities.identity(CAR).key_path.read_bytes())
    key.chmod(0o640)
    path = write_configuration(tmp_path, identities, 8883)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(str(identities.identity(CAR).key_path), str(key)), "utf-8")
    ended = await morai_agent("run", cwd=tmp_path)

    assert ended.code == 2
    assert f"chmod 600 {key}" in ended.err
    assert "BEGIN" not in ended.err


async def test_a_taken_port_is_refused(identities: Store, tmp_path: Path) -> None:
    """Exit code 3, with channel and port; no traceback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        extra = f"[simulator.receive]\nego_status = {port}"
        write_configuration(tmp_path, identities, 8883, extra)
        ended = await morai_agent("run", cwd=tmp_path)

    assert ended.code == 3
    assert f"127.0.0.1:{port} (ego_status) is already in use" in ended.err
    assert "Traceback" not in ended.err


async def test_a_second_agent_with_the_same_ledger_is_refused(
    identities: Store, tmp_path: Path
) -> None:
    """Two agents of one car would execute twice, so the second one does not start."""
    async with core_of(identities) as core, udp_car() as car:
        path = process_configuration(tmp_path, identities, core.port, car)
        async with agent(path) as running:
            await running.event("agent_started")
            ended = await morai_agent("run", cwd=tmp_path)

    assert ended.code == 3
    assert "another agent uses it" in ended.err


async def test_broken_certificates_are_a_configuration_error(
    identities: Store, tmp_path: Path
) -> None:
    """A file that is no certificate ends the agent with its name and exit code 2."""
    broken = tmp_path / "cert.pem"
    broken.write_text("no certificate", encoding="utf-8")
    async with udp_car() as car:
        path = process_configuration(tmp_path, identities, 8883, car)
        text = path.read_text(encoding="utf-8")
        good = str(identities.identity(CAR).certificate_path)
        path.write_text(text.replace(good, str(broken)), encoding="utf-8")
        ended = await morai_agent("run", cwd=tmp_path)

    assert ended.code == 2
    assert str(broken) in ended.err
    assert "bug:" not in ended.err


async def test_help_does_not_load_the_sdk(tmp_path: Path) -> None:
    """Help has an example and comes without the heavy modules."""
    ended = await morai_agent("run", "--help", cwd=tmp_path)

    assert ended.code == 0
    assert "morai-agent run -c /etc/morai/agent.toml" in ended.out
    code = "import sys, agent.cli; sys.exit('awscrt' in sys.modules or 'pyproj' in sys.modules)"
    assert await _python(code, tmp_path) == 0


async def _python(code: str, cwd: Path) -> int:
    import asyncio  # noqa: PLC0415 - only here
    import os  # noqa: PLC0415 - only here

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=cwd, env=environment
    )
    return await asyncio.wait_for(process.wait(), 60)
