"""The check of the simulator: real datagrams on real ports."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from agent.configuration import ReceiveSection, SimulatorSection
from agent.preflight.simulator import check_simulator
from certs.inspection import Finding, Verdict
from tests.agent.bridge import datagrams as wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANNELS = ("ego_status", "objects", "collision", "traffic_light", "imu", "gps")
_PERIOD_S = 0.02


def free_ports() -> dict[str, int]:
    """A free UDP port for each channel."""
    with contextlib.ExitStack() as stack:
        sockets = {
            name: stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for name in CHANNELS
        }
        for sock in sockets.values():
            sock.bind(("127.0.0.1", 0))
        return {name: sock.getsockname()[1] for name, sock in sockets.items()}


@contextlib.asynccontextmanager
async def sending(*datagrams: tuple[int, bytes]) -> AsyncIterator[None]:
    """Send each datagram to its port at 50 Hz, from a socket of its own, for ever."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in datagrams
        ]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))

        async def send_for_ever() -> None:
            while True:
                for sock, (port, data) in zip(sockets, datagrams, strict=True):
                    sock.sendto(data, ("127.0.0.1", port))
                await asyncio.sleep(_PERIOD_S)

        task = asyncio.create_task(send_for_ever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def check(ports: dict[str, int], **changes: object) -> dict[str, list[Finding]]:
    """Findings by what was checked."""
    section = SimulatorSection.model_validate({"receive": ReceiveSection(**ports), **changes})
    found: dict[str, list[Finding]] = {}
    for finding in await check_simulator(section, listen_s=0.4):
        found.setdefault(finding.check.removeprefix("channel "), []).append(finding)
    return found


async def test_every_channel_is_named_with_its_rate() -> None:
    """Each channel shows what it carries, how often and from where."""
    ports = free_ports()
    async with sending(
        (ports["ego_status"], wire.ego_status()),
        (ports["objects"], wire.objects((1, 1, 0.0, 0.0))),
        (ports["collision"], wire.collision()),
        (ports["traffic_light"], wire.traffic_light(b"C1", 16)),
        (ports["imu"], wire.imu()),
        (ports["gps"], wire.gps()),
    ):
        found = await check(ports)

    for channel in CHANNELS:
        assert [f.verdict for f in found[channel]] == [Verdict.OK]
        assert "Hz from 127.0.0.1" in found[channel][0].what
    text = found["ego_status"][0].what
    assert text.startswith("ego status E3 (181 bytes) at ")
    # 50 Hz, on a machine that may be busy.
    assert 10 <= int(text.split(" at ")[1].split(" Hz")[0]) <= 55
    assert "UDP buffer" in found


async def test_silence_is_a_failure_of_the_ego_status_only() -> None:
    """Without the ego status there is no car; the other channels are the user's choice."""
    ports = free_ports()
    found = await check(ports)

    assert found["ego_status"][0].verdict is Verdict.FAILED
    assert {found[channel][0].verdict for channel in CHANNELS[1:]} == {Verdict.NOTE}
    for channel in CHANNELS:
        assert str(ports[channel]) in found[channel][0].what
        assert "network settings" in found[channel][0].remedy


async def test_a_second_simulator_is_a_failure() -> None:
    """Two senders on one port are both named, with the ways out."""
    ports = free_ports()
    one = (ports["ego_status"], wire.ego_status())
    async with sending(one, one):
        found = await check(ports)

    (finding,) = found["ego_status"]
    assert finding.verdict is Verdict.FAILED
    assert finding.what.count("127.0.0.1 port") == 2
    assert "stop one of the simulators" in finding.remedy


async def test_garbage_is_a_failure() -> None:
    """A port that receives nothing readable says why, and how to look."""
    ports = free_ports()
    async with sending((ports["imu"], b"\x00\x01\x02\x03")):
        found = await check(ports)

    (finding,) = found["imu"]
    assert finding.verdict is Verdict.FAILED
    assert "none readable: unknown_name" in finding.what
    assert f"sniff {ports['imu']}" in finding.remedy


async def test_some_garbage_is_a_note() -> None:
    """The channel works, and the rest is counted by cause."""
    ports = free_ports()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        async def send() -> None:
            while True:
                for data in (wire.imu(), wire.imu()[:-1]):
                    sock.sendto(data, ("127.0.0.1", ports["imu"]))
                await asyncio.sleep(_PERIOD_S)

        task = asyncio.create_task(send())
        found = await check(ports)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    (finding,) = found["imu"]
    assert finding.verdict is Verdict.NOTE
    assert "unreadable: wrong_size x" in finding.what


async def test_a_message_on_the_wrong_port_is_a_failure() -> None:
    """Objects on the port of the ego status are no ego status."""
    ports = free_ports()
    async with sending((ports["ego_status"], wire.objects((1, 1, 0.0, 0.0)))):
        found = await check(ports)

    (finding,) = found["ego_status"]
    assert finding.verdict is Verdict.FAILED
    assert "ObjectInfo" in finding.what
    assert "[simulator.receive]" in finding.remedy


async def test_a_sender_that_is_not_allowed_is_named() -> None:
    """A simulator missing from the allow list is not reported as silence."""
    ports = free_ports()
    async with sending((ports["ego_status"], wire.ego_status())):
        found = await check(ports, allowed_sources=["10.0.0.1"])

    (finding,) = found["ego_status"]
    assert finding.verdict is Verdict.FAILED
    assert "127.0.0.1" in finding.what
    assert "allowed_sources" in finding.what
