"""Asks the operating system whether a time source disciplines the wall clock.

Owns that one question. Telemetry carries the answer as the quality of its times.
"""

from __future__ import annotations

import ctypes
import sys

_STA_UNSYNC = 0x0040  # adjtimex(2)
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit Linux


def clock_is_synchronised() -> bool | None:
    """Ask the Linux kernel whether a time source disciplines the clock; `None` elsewhere."""
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        # modes = 0 at the start of struct timex only reads the state (adjtimex(2)).
        buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
        if libc.adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    # struct timex, 64-bit: modes (int, padded), offset, freq, maxerror, esterror (long), status.
    status = int.from_bytes(buffer.raw[40:44], sys.byteorder)
    return not status & _STA_UNSYNC
