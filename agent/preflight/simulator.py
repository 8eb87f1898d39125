"""Listens for the simulator: which channel speaks, how often, in which variant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.links import SourceLock, UdpLink
from agent.morai import DecodeError, EgoStatus, decode
from agent.preflight.machine import check_receive_buffer
from certs.inspection import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.configuration import SimulatorSection
    from agent.links import Datagram


@dataclass(slots=True)
class _Heard:
    """What one channel received while listening."""

    times_s: list[float] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    undecodable: dict[str, int] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)

    def rate_hz(self) -> float:
        if len(self.times_s) < 2:  # noqa: PLR2004 - a rate needs two points
            return 0.0
        return (len(self.times_s) - 1) / max(self.times_s[-1] - self.times_s[0], 1e-3)


async def check_simulator(
    simulator: SimulatorSection, *, listen_s: float = 3.0
) -> AsyncIterator[Finding]:
    """Listen on every receiving port for a while and report each channel.

    Args:
        simulator: Ports and addresses.
        listen_s: How long to listen.

    Raises:
        LinkError: A port cannot be bound; `check_ports` tells which before.
    """
    heard = {channel: _Heard() for channel in simulator.receive.ports()}

    def on_datagram(datagram: Datagram) -> None:
        channel = heard[datagram.channel]
        channel.times_s.append(datagram.received_mono_s)
        channel.sources.add(datagram.source[0])
        kind, reason = _name(datagram.data)
        counts = channel.undecodable if reason else channel.kinds
        counts[reason or kind] = counts.get(reason or kind, 0) + 1

    link = UdpLink(
        simulator.receive.ports(),
        {},
        bind=simulator.bind,
        lock=SourceLock(allowed_hosts=frozenset(simulator.allowed_sources)),
    )
    await link.open(on_datagram)
    try:
        yield check_receive_buffer(link.receive_buffer_bytes())
        await asyncio.sleep(listen_s)
    finally:
        await link.close()
    for channel, found in heard.items():
        yield _judge(channel, link.ports[channel], found, listen_s)
    if link.counters.dropped.get("second_source"):
        yield Finding(
            "simulator",
            Verdict.NOTE,
            "two senders share a port; the agent hears only the first one",
            "stop one of the simulators or give it other destination ports",
        )


def _name(data: bytes) -> tuple[str, str]:
    try:
        message = decode(data)
    except DecodeError as error:
        return "", error.reason.value
    if isinstance(message, EgoStatus):
        return f"ego status {message.variant.name} ({len(data)} bytes)", ""
    return f"{type(message).__name__} ({len(data)} bytes)", ""


def _judge(channel: str, port: int, found: _Heard, listen_s: float) -> Finding:
    subject = f"channel {channel}"
    if not found.times_s:
        verdict = Verdict.FAILED if channel == "ego_status" else Verdict.NOTE
        return Finding(
            subject,
            verdict,
            f"nothing on UDP {port} in {listen_s:g} s",
            f"in MORAI SIM's network settings connect this channel with destination port {port}"
            " and this machine's address",
        )
    if not found.kinds:
        reasons = ", ".join(f"{reason} x {count}" for reason, count in found.undecodable.items())
        return Finding(
            subject,
            Verdict.FAILED,
            f"{len(found.times_s)} datagrams on UDP {port}, none readable: {reasons}",
            f"look at one: morai-agent sniff {port} --count 1",
        )
    shown = f"{', '.join(found.kinds)} at {found.rate_hz():.0f} Hz from {', '.join(found.sources)}"
    if found.undecodable:
        bad = sum(found.undecodable.values())
        return Finding(
            subject, Verdict.NOTE, f"{shown}; {bad} unreadable", f"morai-agent sniff {port}"
        )
    return Finding(subject, Verdict.OK, shown)
