"""`morai-agent check` against the stand-ins of broker and simulator."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.morai import Dialect, StatusMode
from agent.vehicle.frames import MapFrame
from certs.store import Store
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.host import Host
from simulator.morai_host.ports import Pair, PortSet
from simulator.morai_host.server import HostServer
from simulator.morai_host.simulation import Simulation
from tests.agent.bridge.rig import write_configuration
from tests.agent.cli.commands import Ended, morai_agent
from tests.agent.cloud.rig import core_of, deny
from tests.agent.conftest import CAR
from tests.agent.preflight.test_simulator import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from simulator.iotcore.server import CoreServer

LISTEN = ("--listen", "0.4")


def morai_host() -> Host:
    """A simulator whose car stands on the open road."""
    frame = MapFrame("EPSG:32652", 302595.0, 4124145.0, 0.0)
    return Host(ModelDrive(Simulation("open-road", mode=StatusMode.KEYBOARD), frame, Dialect()))


def receiving(ports: dict[str, int]) -> str:
    """The `[simulator.receive]` section."""
    return "[simulator.receive]\n" + "\n".join(f"{name} = {port}" for name, port in ports.items())


@contextlib.asynccontextmanager
async def world(
    folder: Path, store: Store, *, own: Store | None = None, simulators: int = 1
) -> AsyncIterator[tuple[CoreServer, dict[str, int]]]:
    """A broker, simulators that send to the agent's ports, and agent.toml in the folder.

    Args:
        folder: Where the agent is started.
        store: What the broker knows.
        own: What the agent has; the same by default.
        simulators: How many.
    """
    ports = free_ports()
    async with contextlib.AsyncExitStack() as stack:
        core = await stack.enter_async_context(core_of(store))
        publish = {name: Pair(0, port) for name, port in ports.items()}
        for _ in range(simulators):
            listening = PortSet(publish=publish, listen={})
            await stack.enter_async_context(HostServer(morai_host(), listening))
        write_configuration(folder, own or store, core.port, receiving(ports))
        yield core, ports


async def check(folder: Path, *arguments: str) -> Ended:
    """Run the check in a folder with an agent.toml."""
    return await morai_agent("check", *LISTEN, *arguments, cwd=folder)


async def test_all_good_is_exit_code_0(identities: Store, tmp_path: Path) -> None:
    """Every channel is named with its rate, and nothing is left to do."""
    async with world(tmp_path, identities) as (_, ports):
        ended = await check(tmp_path)

    assert ended.code == 0, ended.out + ended.err
    for channel in ports:
        # Without a collision or a light in sight these two channels may be silent.
        if channel not in {"collision", "traffic_light"}:
            line = next(x for x in ended.out.splitlines() if f"channel {channel} " in x)
            assert " Hz from 127.0.0.1" in line
    assert "accepted as client id car-1" in ended.out
    assert "FAILED" not in ended.out


async def test_the_json_form_has_every_finding(identities: Store, tmp_path: Path) -> None:
    """Machines read the same findings, each with verdict, text and remedy."""
    async with world(tmp_path, identities):
        ended = await check(tmp_path, "--json")

    assert ended.code == 0
    findings = ended.findings()
    assert {"settings", "clock", "ledger", "broker CONNECT", "channel ego_status"} <= set(findings)
    assert findings["channel ego_status"]["verdict"] == "ok"
    assert set(findings["clock"]) == {"identity", "check", "verdict", "what", "remedy"}


def copied(store: Store, folder: Path) -> Store:
    """A store of one's own to break."""
    shutil.copytree(store.root, folder / "identities")
    return Store(folder / "identities")


async def broken(
    folder: Path, store: Store, own: Store, failed: set[str]
) -> dict[str, dict[str, str]]:
    """Check with all else in order; exit code 1 and exactly these failures, each with a remedy."""
    async with world(folder, store, own=own):
        ended = await check(folder, "--json")
    assert ended.code == 1, ended.err
    assert ended.failed() == failed
    findings = ended.findings()
    for name in failed:
        assert findings[name]["remedy"]
    return findings


async def test_a_missing_certificate(identities: Store, tmp_path: Path) -> None:
    """The file is named."""
    store = copied(identities, tmp_path)
    path = store.identity(CAR).certificate_path
    path.unlink()
    findings = await broken(tmp_path, identities, store, {"certificate", "broker TLS"})

    assert str(path) in findings["certificate"]["what"]


async def test_a_foreign_certificate(
    identities: Store, foreign_identities: Store, tmp_path: Path
) -> None:
    """A certificate of another CA, with its key, is told from the right one."""
    store = copied(identities, tmp_path)
    for name in ("certificate_path", "key_path"):
        foreign = getattr(foreign_identities.identity(CAR), name)
        shutil.copy(foreign, getattr(store.identity(CAR), name))
    findings = await broken(tmp_path, identities, store, {"chain", "broker CONNECT"})

    assert "Another CA" in findings["chain"]["what"]
    # Where the broker's refusal shows depends on who is faster in TLS 1.3.
    assert "certificate" in findings["broker CONNECT"]["what"]


async def test_an_expired_certificate(tmp_path: Path) -> None:
    """The day it ended is named, and the broker does not take it either."""
    past = datetime(2026, 1, 1, tzinfo=UTC)
    store = Store(tmp_path / "identities")
    store.init_authority(now=past)
    store.issue_thing("app")
    store.issue_thing(CAR, now=past, days=10)
    store.issue_server(["127.0.0.1"])
    findings = await broken(tmp_path, store, store, {"validity", "broker CONNECT"})

    assert "expired on 2026-01-11" in findings["validity"]["what"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
async def test_a_key_that_others_can_read(identities: Store, tmp_path: Path) -> None:
    """The mode and the command that corrects it are named."""
    store = copied(identities, tmp_path)
    store.identity(CAR).key_path.chmod(0o644)
    findings = await broken(tmp_path, identities, store, {"permissions"})

    assert "0644" in findings["permissions"]["what"]
    assert "chmod 600" in findings["permissions"]["remedy"]


async def test_a_key_of_another_certificate(identities: Store, tmp_path: Path) -> None:
    """Certificate and key that do not belong together are found without the broker."""
    store = copied(identities, tmp_path)
    shutil.copy(store.identity("app").key_path, store.identity(CAR).key_path)
    await broken(tmp_path, identities, store, {"key", "broker TLS"})


async def test_a_broker_that_is_down(identities: Store, tmp_path: Path) -> None:
    """The simulator is checked all the same."""
    async with world(tmp_path, identities) as (core, _):
        await core.stop_listening()
        ended = await check(tmp_path, "--json")

    assert (ended.code, ended.failed()) == (1, {"broker TCP"})
    assert ended.findings()["channel ego_status"]["verdict"] == "ok"


async def test_a_policy_that_denies_connect(identities: Store, tmp_path: Path) -> None:
    """The permission to give is named."""
    async with world(tmp_path, identities) as (core, _):
        deny(core, identities, "iot:Connect")
        ended = await check(tmp_path, "--json")

    assert (ended.code, ended.failed()) == (1, {"broker CONNECT"})
    assert "iot:Connect for client/car-1" in ended.findings()["broker CONNECT"]["remedy"]


async def test_nothing_is_heard(identities: Store, tmp_path: Path) -> None:
    """Where to connect the channel in the simulator is said."""
    async with world(tmp_path, identities, simulators=0) as (_, ports):
        ended = await check(tmp_path, "--json")

    assert (ended.code, ended.failed()) == (1, {"channel ego_status"})
    remedy = ended.findings()["channel ego_status"]["remedy"]
    assert f"destination port {ports['ego_status']}" in remedy


async def test_a_second_simulator(identities: Store, tmp_path: Path) -> None:
    """Two simulators on the same ports are found on the channels they share."""
    async with world(tmp_path, identities, simulators=2):
        ended = await check(tmp_path, "--json")

    assert ended.code == 1
    assert {"channel ego_status", "channel imu"} <= ended.failed()
    assert "2 senders" in ended.findings()["channel ego_status"]["what"]


async def test_a_port_that_is_taken(identities: Store, tmp_path: Path) -> None:
    """Somebody runs here: the session is left alone, and the port is named."""
    async with world(tmp_path, identities, simulators=0) as (core, ports):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", ports["imu"]))
            ended = await check(tmp_path, "--json")
        connects = core.broker.counters.connects

    assert (ended.code, ended.failed()) == (1, {"port imu"})
    assert str(ports["imu"]) in ended.findings()["port imu"]["what"]
    assert ended.findings()["broker CONNECT"]["verdict"] == "note"
    assert ended.findings()["channels"]["verdict"] == "note"
    assert connects == 0


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ("colour = 'red'", "broker.colour is not a known key"),
        ("keep_alive_s = 'often'", "broker.keep_alive_s"),
        ("[simulator]\nbind = 'everywhere'", "simulator.bind"),
    ],
)
async def test_a_wrong_configuration_is_exit_code_2(
    identities: Store, tmp_path: Path, extra: str, part: str
) -> None:
    """The key is named on standard error, and nothing else is checked."""
    write_configuration(tmp_path, identities, 8883, extra)
    ended = await check(tmp_path)

    assert ended.code == 2
    assert part in ended.err
    assert "do:" in ended.err
    assert ended.out == ""


async def test_a_missing_configuration_says_how_to_write_one(tmp_path: Path) -> None:
    """Exit code 2 and the command to type."""
    ended = await check(tmp_path)

    assert ended.code == 2
    assert "morai-agent init" in ended.err
    assert "Traceback" not in ended.err


async def test_a_map_file_that_is_missing(identities: Store, tmp_path: Path) -> None:
    """What the settings name and the disk lacks is a finding."""
    async with world(tmp_path, identities, simulators=0) as (core, ports):
        extra = receiving(ports) + "\n[map]\nmgeo_global_info = 'none.json'"
        write_configuration(tmp_path, identities, core.port, extra)
        ended = await check(tmp_path, "--json")

    assert ended.code == 1
    assert "none.json" in ended.findings()["settings"]["what"]
