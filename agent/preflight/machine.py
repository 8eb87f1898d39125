"""Looks at this machine: the clock, the ports, the size of the UDP receive buffer."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import clock_is_synchronised
from agent.links.udp import RECEIVE_BUFFER_BYTES, bind_udp
from certs.errors import LinkError
from certs.inspection import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A clock before this day cannot be right, and X.509 validity would be judged by it.
RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
# net.core.rmem_max of a default Linux kernel; a camera or LiDAR burst is larger.
_SMALL_BUFFER_BYTES = 256 * 1024


def check_clock(now_s: float | None = None) -> Finding:
    """Judge the wall clock: telemetry timestamps and command expiry depend on it.

    Args:
        now_s: Unix time to judge; the machine's by default.
    """
    now = datetime.fromtimestamp(time.time() if now_s is None else now_s, tz=UTC)
    shown = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    if now < RELEASED:
        return Finding(
            "clock",
            Verdict.FAILED,
            f"{shown} is before this release was made",
            "set the clock; TLS and command expiry cannot work with it",
        )
    synchronised = clock_is_synchronised()
    if synchronised is None:
        return Finding(
            "clock", Verdict.OK, f"{shown}; this system does not tell if it is synchronised"
        )
    if not synchronised:
        return Finding(
            "clock",
            Verdict.NOTE,
            f"{shown}, not synchronised",
            "switch on NTP, for example: sudo timedatectl set-ntp true",
        )
    return Finding("clock", Verdict.OK, f"{shown}, synchronised")


def check_ports(bind: str, ports: Mapping[str, int]) -> Iterator[Finding]:
    """Try to bind every receiving port."""
    for channel, port in ports.items():
        subject = f"port {channel}"
        try:
            bind_udp(bind, port, channel).close()
        except LinkError as error:
            yield Finding(subject, Verdict.FAILED, error.what, error.remedy)
        else:
            yield Finding(subject, Verdict.OK, f"UDP {bind}:{port} is free")


def check_ledger(path: Path) -> Finding:
    """Judge whether the command ledger can be written where it shall be. Writes nothing.

    Args:
        path: The ledger's file; it and its folder may not exist yet.
    """
    existing = next((each for each in (path, *path.parents) if each.exists()), path)
    if existing is not path and not existing.is_dir():
        return Finding(
            "ledger",
            Verdict.FAILED,
            f"{path} cannot be made: {existing} is a file",
            "name another file in commands.ledger",
        )
    # SQLite writes its journal beside the file, so the folder counts as well.
    needed = {existing, existing.parent} if existing is path else {existing}
    closed = [each for each in sorted(needed) if not os.access(each, os.W_OK)]
    if closed:
        return Finding(
            "ledger",
            Verdict.FAILED,
            f"{closed[0]} is not writable, so no command could be recorded in {path}",
            "correct its permissions, or name another file in commands.ledger",
        )
    shown = f"{path} is there and writable" if existing is path else f"{path} can be made"
    return Finding("ledger", Verdict.OK, shown)


def check_receive_buffer(granted_bytes: int) -> Finding:
    """Judge the receive buffer that the operating system grants.

    Args:
        granted_bytes: What `UdpLink.receive_buffer_bytes` reported.
    """
    shown = f"{granted_bytes // 1024} KiB granted of {RECEIVE_BUFFER_BYTES // 1024} KiB asked for"
    if granted_bytes >= _SMALL_BUFFER_BYTES:
        return Finding("UDP buffer", Verdict.OK, shown)
    remedy = "camera and LiDAR bursts may be lost"
    limit = Path("/proc/sys/net/core/rmem_max")
    if limit.exists():
        remedy = f"for camera or LiDAR: sudo sysctl net.core.rmem_max={RECEIVE_BUFFER_BYTES}"
    return Finding("UDP buffer", Verdict.NOTE, shown, remedy)
