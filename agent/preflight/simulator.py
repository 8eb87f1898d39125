"""Listens for the simulator: which channel speaks, how often, in which variant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agent.links import SourceLock, UdpLink
from agent.morai import (
    CollisionData,
    DecodeError,
    EgoStatus,
    GpsSentences,
    Imu,
    ObjectInfo,
    TrafficLightStatus,
    decode,
)
from agent.preflight.machine import check_receive_buffer
from certs.inspection import Finding, Verdict

if TYPE_CHECKING:
    from agent.configuration import SimulatorSection
    from agent.links import Datagram

_EXPECTED: Final[dict[str, type]] = {
    "ego_status": EgoStatus,
    "objects": ObjectInfo,
    "collision": CollisionData,
    "traffic_light": TrafficLightStatus,
    "imu": Imu,
    "gps": GpsSentences,
}
# Senders told apart on one channel; a flood with forged addresses names no more.
_MAX_SOURCES: Final = 8


@dataclass(slots=True)
class _Heard:
    """What one channel received while listening."""

    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)
    misplaced: dict[str, int] = field(default_factory=dict)
    undecodable: dict[str, int] = field(default_factory=dict)
    sources: dict[tuple[str, int], int] = field(default_factory=dict)
    strangers: dict[str, int] = field(default_factory=dict)

    def take(self, datagram: Datagram) -> None:
        """Count a datagram of an allowed sender."""
        if not self.count:
            self.first_s = datagram.received_mono_s
        self.count += 1
        self.last_s = datagram.received_mono_s
        # UDP over IPv6 brings four items; address and port come first.
        _count(self.sources, (datagram.source[0], datagram.source[1]))
        try:
            message = decode(datagram.data)
        except DecodeError as error:
            _count(self.undecodable, error.reason.value)
            return
        expected = isinstance(message, _EXPECTED[datagram.channel])
        name = type(message).__name__
        if isinstance(message, EgoStatus):
            name = f"ego status {message.variant.name}"
        counts = self.kinds if expected else self.misplaced
        _count(counts, f"{name} ({len(datagram.data)} bytes)")

    def rate_hz(self) -> float:
        """Datagrams a second, from the first to the last."""
        if self.count < 2:  # noqa: PLR2004 - a rate needs two points
            return 0.0
        return (self.count - 1) / max(self.last_s - self.first_s, 1e-3)


def _count(counts: dict[Any, int], key: Any) -> None:
    if key in counts or len(counts) < _MAX_SOURCES:
        counts[key] = counts.get(key, 0) + 1


async def check_simulator(simulator: SimulatorSection, *, listen_s: float = 3.0) -> list[Finding]:
    """Listen on every receiving port for a while and report each channel.

    Args:
        simulator: Ports and addresses.
        listen_s: How long to listen.

    Raises:
        LinkError: A port cannot be bound; `check_ports` tells which before.
    """
    heard = {channel: _Heard() for channel in simulator.receive.ports()}
    allowed = frozenset(simulator.allowed_sources)

    def on_datagram(datagram: Datagram) -> bool:
        channel = heard[datagram.channel]
        if allowed and datagram.source[0] not in allowed:
            _count(channel.strangers, datagram.source[0])
        else:
            channel.take(datagram)
        return True

    # Without silence the lock lets every sender pass: here they are counted, not chosen.
    link = UdpLink(
        simulator.receive.ports(), {}, bind=simulator.bind, lock=SourceLock(silence_s=0.0)
    )
    await link.open(on_datagram)
    try:
        findings = [check_receive_buffer(link.receive_buffer_bytes())]
        await asyncio.sleep(listen_s)
    finally:
        await link.close()
    for channel, found in heard.items():
        findings += _judge(channel, link.ports[channel], found, listen_s)
    return findings


def _judge(channel: str, port: int, found: _Heard, listen_s: float) -> list[Finding]:
    subject = f"channel {channel}"
    if not found.count:
        return [_nothing(subject, channel, port, found, listen_s)]
    findings = []
    if len(found.sources) > 1:
        senders = ", ".join(f"{host} port {port}" for host, port in found.sources)
        findings.append(
            Finding(
                subject,
                Verdict.FAILED,
                f"{len(found.sources)} senders on UDP {port}: {senders}; the agent hears only the"
                " first one that speaks",
                "stop one of the simulators, give it other destination ports, or list the right"
                " one in simulator.allowed_sources",
            )
        )
    sender = next(iter(found.sources))[0]
    rate = f"at {found.rate_hz():.0f} Hz from {sender}"
    if found.kinds:
        shown = f"{', '.join(found.kinds)} {rate}"
        if found.undecodable:
            bad = sum(found.undecodable.values())
            findings.append(
                Finding(
                    subject,
                    Verdict.NOTE,
                    f"{shown}; {bad} unreadable: {_listed(found.undecodable)}",
                    f"look at them: morai-agent sniff {port}",
                )
            )
        elif not findings:
            findings.append(Finding(subject, Verdict.OK, shown))
    elif found.misplaced:
        findings.append(
            Finding(
                subject,
                Verdict.FAILED,
                f"UDP {port} receives {_listed(found.misplaced)} {rate}, and nothing that belongs"
                " to this channel",
                "compare the destination ports in MORAI SIM's network settings with"
                " [simulator.receive]",
            )
        )
    else:
        findings.append(
            Finding(
                subject,
                Verdict.FAILED,
                f"{found.count} datagrams on UDP {port}, none readable:"
                f" {_listed(found.undecodable)}",
                f"look at one: morai-agent sniff {port} --count 1",
            )
        )
    return findings


def _nothing(subject: str, channel: str, port: int, found: _Heard, listen_s: float) -> Finding:
    # Without the ego status there is no car; every other channel is optional.
    verdict = Verdict.FAILED if channel == "ego_status" else Verdict.NOTE
    if found.strangers:
        return Finding(
            subject,
            verdict,
            f"UDP {port} hears {_listed(found.strangers)}, which simulator.allowed_sources does"
            " not name",
            "add the simulator's address there",
        )
    return Finding(
        subject,
        verdict,
        f"nothing on UDP {port} in {listen_s:g} s",
        f"in MORAI SIM's network settings connect this channel with destination port {port}"
        " and this machine's address",
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} x {count}" for name, count in counts.items())
