"""The host on real UDP sockets."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from agent.morai import Dialect, StatusMode
from agent.vehicle.frames import MapFrame
from certs.errors import ConfigurationError, LinkError
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.host import Host
from simulator.morai_host.ports import PORT_SETS, Pair, PortSet
from simulator.morai_host.server import HostServer
from simulator.morai_host.simulation import Simulation
from tests.simulator.morai_host import bytes_by_table as wire


class Listener(asyncio.DatagramProtocol):
    """Waits for an ego status that fulfils a condition."""

    def __init__(self, wanted: Callable[[wire.Ego], bool]) -> None:
        self.wanted = wanted
        self.found: asyncio.Future[tuple[wire.Ego, int]] = (
            asyncio.get_running_loop().create_future()
        )

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Look at one datagram."""
        state = wire.ego(data)
        if self.wanted(state) and not self.found.done():
            self.found.set_result((state, addr[1]))


def host() -> Host:
    """A host on the open road."""
    frame = MapFrame("EPSG:32652", 302595.0, 4124145.0, 0.0)
    return Host(ModelDrive(Simulation("open-road", mode=StatusMode.KEYBOARD), frame, Dialect()))


async def test_datagrams_out_and_commands_in() -> None:
    """A client hears the ego status on its port and drives the car through the command port."""
    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_datagram_endpoint(
        lambda: Listener(lambda state: state.mode == 2 and state.speed_kmh > 1.0),
        local_addr=("127.0.0.1", 0),
    )
    port = transport.get_extra_info("sockname")[1]
    free = PORT_SETS["unprivileged"].on_any_port()
    ports = PortSet(
        publish={"ego_status": Pair(0, port)}, listen={"ego_control": free.listen["ego_control"]}
    )
    try:
        async with HostServer(host(), ports) as server:
            command = wire.control_c1(kind=2, velocity_kmh=36.0)
            transport.sendto(command, ("127.0.0.1", server.bound_ports["ego_control"]))
            state, source = await asyncio.wait_for(listener.found, 20)
            # The simulator sends from its host port.
            assert source == server.bound_ports["ego_status"]
            assert state.gear == 4
            assert server.host.counters.received == {"ego_control": 1}
    finally:
        transport.close()


async def test_taken_port_is_a_link_error() -> None:
    """A port that another program holds is named together with what to do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        ports = PORT_SETS["unprivileged"].on_any_port().changed([f"ego_control={port}"])
        with pytest.raises(LinkError, match=f"{port}.*already in use") as caught:
            async with HostServer(host(), ports):
                pass
        assert "another port" in caught.value.remedy


async def test_ports_are_free_again_afterwards() -> None:
    """Leaving the context releases every port."""
    ports = PORT_SETS["unprivileged"].on_any_port()
    async with HostServer(host(), ports) as server:
        port = server.bound_ports["lamps"]
    await asyncio.sleep(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("bind", "destination"), [("127.0.0.1", "simulator.local"), ("::1", "127.0.0.1")]
)
async def test_addresses_are_checked(bind: str, destination: str) -> None:
    """A host name, or a mix of IPv4 and IPv6, is a configuration error."""
    with pytest.raises(ConfigurationError):
        HostServer(host(), PORT_SETS["unprivileged"], bind=bind, destination=destination)
