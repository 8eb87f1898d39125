"""Switches Nagle's algorithm off on the connection that the device SDK opened.

Nagle's algorithm (RFC 896) holds a small packet back while an earlier one is unacknowledged, and a
receiver with nothing to send delays its acknowledgement (RFC 1122, 4.2.3.2), by 40 ms on Linux. An
agent that publishes a command's answer right after a telemetry batch meets both. The SDK has no
option for it (awscrt 0.36, `SocketOptions`), so the socket is looked up among the descriptors of
this process. That is possible on Linux only; elsewhere nothing is changed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def disable_nagle(port: int) -> int:
    """Set TCP_NODELAY on every TCP connection of this process to a remote port.

    Args:
        port: The broker's port.

    Returns:
        The number of sockets changed; 0 where the platform does not allow it.
    """
    if sys.platform != "linux":
        return 0
    changed = 0
    with contextlib.suppress(OSError):
        for entry in _DESCRIPTORS.iterdir():
            # A descriptor may be closed between being listed and being looked at.
            with contextlib.suppress(OSError, ValueError):
                changed += _disable_on(int(entry.name), port)
    return changed


def _disable_on(descriptor: int, port: int) -> bool:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    # A duplicate shares the connection, and closing it leaves the SDK's descriptor alone.
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        if sock.type != socket.SOCK_STREAM or sock.family not in {socket.AF_INET, socket.AF_INET6}:
            return False
        if sock.getpeername()[1] != port:
            return False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True
