"""What the figures were measured on, and what a process costs on it.

Owns everything that depends on the operating system: the machine line, the event loop of the
measuring process, and the CPU time and memory of another process.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.bench.figure import NotMeasurableError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_PROC = Path("/proc")
_STAT_UTIME, _STAT_STIME = 11, 12


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as far as it explains figures.

    Attributes:
        cores: Cores this process may use.
        processor: Model name.
        system: Operating system and release.
        python: Implementation and version.
        loop: Event loop of the measuring process; the agent itself always runs on asyncio's.
        load: Load average over one minute when the run began, or `None` where there is none.
    """

    cores: int
    processor: str
    system: str
    python: str
    loop: str
    load: float | None

    def line(self) -> str:
        """All of it in one line."""
        load = "" if self.load is None else f", load average {self.load:.1f} at the start"
        return (
            f"{self.cores} cores of {self.processor}, {self.system}, {self.python}, "
            f"{self.loop}{load}"
        )


def machine() -> Machine:
    """The machine this runs on."""
    return Machine(
        cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        processor=_processor(),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        loop=f"uvloop {importlib.metadata.version('uvloop')}" if _has_uvloop() else "asyncio",
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop that disturbs a measurement least."""
    if sys.platform != "win32" and _has_uvloop():
        import uvloop  # noqa: PLC0415 - absent on Windows

        return uvloop.run(work)
    return asyncio.run(work)


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, user and system, all its threads, in seconds.

    Raises:
        NotMeasurableError: There is no /proc here.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise NotMeasurableError(f"the CPU time of a process is read from /proc: {error}") from None
    # The command name stands in parentheses and may hold anything: proc(5).
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_STAT_UTIME]) + int(fields[_STAT_STIME])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process in MB of 10^6 bytes.

    Args:
        pid: The process.
        field: `VmRSS` for now, `VmHWM` for the most there ever was.

    Raises:
        NotMeasurableError: There is no /proc here.
    """
    try:
        text = (_PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace")
        line = next(line for line in text.splitlines() if line.startswith(field + ":"))
    except (OSError, StopIteration):
        raise NotMeasurableError("the memory of a process is read from /proc") from None
    return int(line.split()[1]) * 1024 / 1e6


def _has_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None


def _processor() -> str:
    try:
        for line in (_PROC / "cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
