"""UDP link: real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import pytest

from agent.links import Datagram, MemoryLink, SourceLock, UdpLink
from agent.links.udp import _bind_error
from certs.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Inbox:
    """Collects datagrams and lets a test wait for the n-th one.

    What begins with `?` counts as unreadable.
    """

    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self._arrived = asyncio.Event()

    def __call__(self, datagram: Datagram) -> bool:
        """Take one datagram and say whether it can be read."""
        self.datagrams.append(datagram)
        self._arrived.set()
        return not datagram.data.startswith(b"?")

    async def wait_for(self, count: int) -> list[Datagram]:
        """Return once `count` datagrams are here."""
        async with asyncio.timeout(10):
            while len(self.datagrams) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.datagrams


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    """A plain UDP socket that plays the simulator."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


async def test_each_port_names_its_channel(sender: socket.socket) -> None:
    """A datagram is handed on with the name of the channel whose port received it."""
    link, inbox = UdpLink({"imu": 0, "gps": 0}, {}), Inbox()
    await link.open(inbox)

    sender.sendto(b"i", ("127.0.0.1", link.ports["imu"]))
    sender.sendto(b"g", ("127.0.0.1", link.ports["gps"]))
    received = await inbox.wait_for(2)
    await link.close()

    assert {(d.channel, d.data) for d in received} == {("imu", b"i"), ("gps", b"g")}
    assert link.counters.received == {"imu": 1, "gps": 1}


async def test_order_of_one_channel_is_kept(sender: socket.socket) -> None:
    """Datagrams of one channel arrive in the order the sender sent them."""
    link, inbox = UdpLink({"imu": 0}, {}), Inbox()
    await link.open(inbox)

    for number in range(200):
        sender.sendto(bytes([number]), ("127.0.0.1", link.ports["imu"]))
    received = await inbox.wait_for(200)
    await link.close()

    assert [d.data[0] for d in received] == list(range(200))


async def test_a_taken_port_is_explained(sender: socket.socket) -> None:
    """Binding a port that another program holds names the channel, the port and the remedy."""
    port = sender.getsockname()[1]
    link = UdpLink({"ego_status": port}, {})

    with pytest.raises(LinkError, match=rf"127\.0\.0\.1:{port} \(ego_status\) is already in use"):
        await link.open(Inbox())


@pytest.mark.parametrize(
    ("code", "part", "remedy"),
    [
        (errno.EACCES, "privileged port", "choose a port of 1024 or above"),
        (10013, "privileged port", "choose a port of 1024 or above"),
        (errno.EADDRINUSE, "already in use", "stop the program"),
        (10048, "already in use", "stop the program"),
        (errno.EADDRNOTAVAIL, "no such address", "simulator.bind"),
    ],
)
def test_every_reason_not_to_bind_has_words(code: int, part: str, remedy: str) -> None:
    """Linux and Windows number the reasons differently; the user reads the same."""
    error = _bind_error(OSError(code, "x"), "127.0.0.1", 909, "ego_status")

    assert "UDP 127.0.0.1:909 (ego_status)" in error.what
    assert part in error.what
    assert remedy in error.remedy


async def test_an_address_of_another_machine_is_explained() -> None:
    """Binding an address this machine does not have (RFC 5737) names the key to correct."""
    with pytest.raises(LinkError, match=r"192\.0\.2\.1.*no such address"):
        await UdpLink({"imu": 0}, {}, bind="192.0.2.1").open(Inbox())


async def test_a_link_that_could_not_open_holds_no_port(sender: socket.socket) -> None:
    """When the second of two ports is taken, the first one is free again."""
    link = UdpLink({"imu": 0, "ego_status": sender.getsockname()[1]}, {})
    with pytest.raises(LinkError):
        await link.open(Inbox())

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", link.ports["imu"]))


async def test_a_second_simulator_on_the_same_port_is_dropped_and_counted(
    sender: socket.socket,
) -> None:
    """While the first sender speaks, another sender's datagrams never reach the agent."""
    link, inbox = UdpLink({"imu": 0}, {}, lock=SourceLock(silence_s=3600)), Inbox()
    await link.open(inbox)
    target = ("127.0.0.1", link.ports["imu"])

    sender.sendto(b"first", target)
    await inbox.wait_for(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        second.sendto(b"second", target)
        sender.sendto(b"third", target)
        received = await inbox.wait_for(2)
    await link.close()

    assert [d.data for d in received] == [b"first", b"third"]
    assert link.counters.dropped == {"second_source": 1}


async def test_commands_reach_the_simulators_host_port(sender: socket.socket) -> None:
    """`send` delivers the bytes to the destination of the channel."""
    sender.settimeout(10)
    link = UdpLink({}, {"ego_control": ("127.0.0.1", sender.getsockname()[1])})
    await link.open(Inbox())

    sent = link.send("ego_control", b"#MoraiCtrlCmd$")
    data, _ = await asyncio.to_thread(sender.recvfrom, 100)
    await link.close()

    assert sent
    assert data == b"#MoraiCtrlCmd$"
    assert link.counters.sent == {"ego_control": 1}


@pytest.mark.parametrize(
    ("channel", "size", "cause"), [("nowhere", 1, "no_destination"), ("known", 65_508, "not_sent")]
)
async def test_what_cannot_be_sent_is_counted(channel: str, size: int, cause: str) -> None:
    """A channel without destination and a datagram over the UDP limit are refused and counted."""
    link = UdpLink({}, {"known": ("127.0.0.1", 9)})
    await link.open(Inbox())

    sent = link.send(channel, bytes(size))
    await link.close()

    assert not sent
    assert link.counters.dropped == {cause: 1}


async def test_closing_twice_and_sending_afterwards_is_harmless() -> None:
    """A closed link refuses to send, counts it, and can be closed again."""
    link = UdpLink({"imu": 0}, {"known": ("127.0.0.1", 9)})
    await link.open(Inbox())

    await link.close()
    await link.close()

    assert not link.send("known", b"late")
    assert link.counters.dropped == {"not_sent": 1}


async def test_the_memory_twin_honours_the_same_contract() -> None:
    """The in-memory link delivers in order, counts per channel, and refuses unknown channels."""
    link, inbox = MemoryLink(send_channels=["ego_control"]), Inbox()
    await link.open(inbox)

    link.deliver("imu", b"1")
    link.deliver("imu", b"2")
    accepted = [link.send("ego_control", b"x"), link.send("nowhere", b"x")]
    await link.close()
    link.deliver("imu", b"late")

    assert [d.data for d in inbox.datagrams] == [b"1", b"2"]
    assert accepted == [True, False]
    assert link.counters.dropped == {"no_destination": 1, "closed": 1}


def test_a_restarted_simulator_takes_over_after_silence() -> None:
    """The lock passes to the next sender once the first was silent for `silence_s`."""
    lock = SourceLock(silence_s=2.0)
    first, second = ("10.0.0.1", 1), ("10.0.0.1", 2)

    lock.heard("imu", first, 0.0)
    assert lock.refusal("imu", first, 1.9) is None
    assert lock.refusal("imu", second, 1.9) == "second_source"
    assert lock.refusal("imu", second, 2.0) is None
    lock.heard("imu", second, 2.0)
    assert lock.refusal("imu", first, 2.1) == "second_source"


async def test_a_sender_of_nonsense_does_not_keep_the_simulator_out(sender: socket.socket) -> None:
    """Unreadable datagrams that came first do not lock the channel to their sender."""
    link, inbox = UdpLink({"imu": 0}, {}, lock=SourceLock(silence_s=3600)), Inbox()
    await link.open(inbox)
    target = ("127.0.0.1", link.ports["imu"])

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
        stray.sendto(b"?", target)
        await inbox.wait_for(1)
        sender.sendto(b"good", target)
        await inbox.wait_for(2)
        stray.sendto(b"?", target)
        sender.sendto(b"again", target)
        received = await inbox.wait_for(3)
    await link.close()

    assert [d.data for d in received] == [b"?", b"good", b"again"]
    assert link.counters.dropped == {"second_source": 1}


def test_only_allowed_hosts_are_heard() -> None:
    """With an allow list, other addresses are refused and never take the lock."""
    lock = SourceLock(allowed_hosts=frozenset({"10.0.0.1"}))

    assert lock.refusal("imu", ("10.0.0.9", 1), 0.0) == "source_not_allowed"
    assert lock.refusal("imu", ("10.0.0.1", 1), 0.0) is None
