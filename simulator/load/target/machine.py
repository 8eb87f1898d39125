"""What this machine is and what it allows: facts for the result, limits to check before a run.

Owns the limits of the operating system that a fleet runs into (open files, ephemeral ports,
memory), and the command that raises each. What is needed and what there is are compared by pure
functions; a thin reader asks the system. Knows nothing about AWS quotas.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import math
import os
import platform
import re
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.scenario.roster import Roster, Strikes
    from simulator.scenario.schema import Fault, Scenario

CAR_BYTES: Final = 60_000
"""Memory of a connected car in its worker: the budget of the engine."""

STAND_IN_CAR_BYTES: Final = 60_000
"""Memory of a connection in the stand-in: 45 kB measured with TLS, and room for subscriptions."""

PROCESS_BYTES: Final = 120_000_000
"""Memory of an interpreter with everything imported."""

OTHER_FILES: Final = 64
"""Files a process has open besides its connections: libraries, pipes, the event loop, logs."""

TIME_WAIT_S: Final = 60.0
"""How long Linux keeps the port of a connection this side closed (`TCP_TIMEWAIT_LEN`)."""

_PORTS: Final = 65_536
_FIRST_PORT: Final = 1_024
_UNPRIVILEGED_SPARE: Final = 1_000
_PROC: Final = Path("/proc")
_COMMAND_S: Final = 10.0
_SAME_MOMENT_S: Final = 1e-6
_LEAVE_CONNECTED: Final = frozenset({"silence", "slow-reader", "clock-skew"})
"""Faults that by themselves close no connection."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What the system allows. None means that there is no such limit, or that it does not say.

    Attributes:
        open_files_soft: Files a process may have open; it may raise this itself up to the next.
        open_files_hard: The most a process may raise that to.
        ports: First and last ephemeral port.
        time_wait_reuse: `net.ipv4.tcp_tw_reuse` (ip-sysctl): whether a new connection may take a
            port that still waits in TIME_WAIT; 0 never, 1 always, 2 on the loopback interface.
        memory_available_bytes: Memory that can be had without swapping.
        system: `linux`, `win32`, `darwin`, as in `sys.platform`.
        is_root: Whether this process may raise hard limits itself.
    """

    open_files_soft: int | None = None
    open_files_hard: int | None = None
    ports: tuple[int, int] | None = None
    time_wait_reuse: int = 1
    memory_available_bytes: int | None = None
    system: str = sys.platform
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run needs of the machine.

    Attributes:
        cars_per_worker: Cars of each worker process.
        applications: Connections of applications; they are held by the first process.
        stand_in: Whether the stand-in runs on this machine too.
        addresses: Addresses of the target that connections are spread over.
        is_loopback: Whether the target is on this machine.
        closed_per_minute: The most connections that are closed on purpose within 60 s.
    """

    cars_per_worker: Sequence[int]
    applications: int
    stand_in: bool
    addresses: int = 1
    is_loopback: bool = True
    closed_per_minute: int = 0

    @property
    def connections(self) -> int:
        """All connections together."""
        return sum(self.cars_per_worker) + self.applications


@dataclass(frozen=True, slots=True)
class Finding:
    """A limit that the run would run into.

    Attributes:
        limit: Its name in words.
        needed: What the run needs.
        available: What there is.
        unit: Of both.
        remedy: The command that raises it, or what else to do.
        is_fatal: Whether the run cannot work; otherwise it may, but badly.
    """

    limit: str
    needed: int
    available: int
    unit: str
    remedy: str
    is_fatal: bool = True

    @property
    def text(self) -> str:
        """The finding in one sentence."""
        return f"{self.limit}: {self.needed:,} {self.unit} needed, {self.available:,} allowed"


def findings(plan: Plan, readings: Readings) -> list[Finding]:
    """The limits that the run would run into, the ones that stop it first. Pure."""
    found = [
        *_open_files(plan, readings),
        *_ports_to_one_address(plan, readings),
        *_memory(plan, readings),
    ]
    return sorted(found, key=lambda finding: not finding.is_fatal)


def check(plan: Plan, readings: Readings) -> list[Finding]:
    """Refuse a run that this machine's limits do not let through.

    Returns:
        Findings that do not stop the run, to be shown as warnings.

    Raises:
        ConfigurationError: A limit is too low; it names all of them with the commands that raise
            them.
    """
    found = findings(plan, readings)
    fatal = [finding for finding in found if finding.is_fatal]
    if fatal:
        raise ConfigurationError(
            "this machine's limits are too low for the run: "
            + "; ".join(finding.text for finding in fatal),
            "; ".join(dict.fromkeys(finding.remedy for finding in fatal)),
        )
    return found


def closed_per_minute(scenario: Scenario, roster: Roster) -> int:
    """The most connections that the faults of a scenario close within one minute. Pure.

    Exact for one fault that strikes again and again; of several together, to one each.
    """
    closing = [
        (roster.strikes(fault), _cars_at_once(fault, index, roster))
        for index, fault in enumerate(scenario.faults)
        if fault.kind not in _LEAVE_CONNECTED
    ]
    # What one fault closes in the minute up to a moment grows for a minute after its first strike
    # and shrinks after its last one, so the most of all of them is at one of these moments.
    moments = {
        moment_s
        for times, _ in closing
        if times.count
        for moment_s in (times.first_s, times.at_s(_in_first_minute(times) - 1), times.last_s)
    }
    return max(
        (
            sum(
                cars * (_struck(times, moment_s) - _struck(times, moment_s - TIME_WAIT_S))
                for times, cars in closing
            )
            for moment_s in moments
        ),
        default=0,
    )


def _in_first_minute(times: Strikes) -> int:
    return _struck(times, times.first_s + TIME_WAIT_S - 2 * _SAME_MOMENT_S)


def _struck(times: Strikes, until_s: float) -> int:
    """How often a fault struck up to a moment, which is included."""
    passed_s = until_s - times.first_s + _SAME_MOMENT_S
    if passed_s < 0:
        return 0
    length_s = times.last_s - times.first_s
    if passed_s >= length_s:
        return times.count
    return 1 + math.floor(passed_s / length_s * (times.count - 1))


def _cars_at_once(fault: Fault, index: int, roster: Roster) -> int:
    return len(roster.victims(index)) if fault.at is not None else 1


def _open_files(plan: Plan, readings: Readings) -> list[Finding]:
    # Every process of a run raises its soft limit to the hard one, so only that counts.
    allowed = readings.open_files_hard
    if allowed is None:
        return []
    largest = max(plan.cars_per_worker, default=0)
    holders = {
        "open files of a worker process": largest + OTHER_FILES,
        "open files of the process that holds the applications": plan.applications + OTHER_FILES,
    }
    if plan.stand_in:
        holders["open files of the stand-in"] = plan.connections + OTHER_FILES
    # One command for all: the processes inherit the limit of the shell.
    remedy = _raise_open_files(max(holders.values()), readings)
    return [
        Finding(name, needed, allowed, "files", remedy)
        for name, needed in holders.items()
        if needed > allowed
    ]


def _raise_open_files(needed: int, readings: Readings) -> str:
    wanted = math.ceil((needed + _UNPRIVILEGED_SPARE) / 1_000) * 1_000
    if readings.is_root:
        return f"run: ulimit -n {wanted}"
    if readings.system == "linux":
        return f"run: sudo prlimit --pid $$ --nofile={wanted}:{wanted}"
    return f"run as root: ulimit -n {wanted}"


def _ports_to_one_address(plan: Plan, readings: Readings) -> list[Finding]:
    if readings.ports is None:
        return []
    first, last = readings.ports
    allowed = last - first + 1
    reuses = readings.time_wait_reuse == 1 or (readings.time_wait_reuse != 0 and plan.is_loopback)
    lingering = 0 if reuses else plan.closed_per_minute
    needed = math.ceil((plan.connections + lingering) / max(plan.addresses, 1))
    if needed <= allowed:
        return []
    is_fatal = math.ceil(plan.connections / max(plan.addresses, 1)) > allowed
    most = _PORTS - _FIRST_PORT
    if needed > most:
        remedy = f"ask for at most {most * max(plan.addresses, 1):,} cars from one machine"
    elif readings.system == "win32":
        remedy = (
            "run as administrator: netsh int ipv4 set dynamicport tcp "
            f"start={_FIRST_PORT} num={most}"
        )
    else:
        remedy = f'run: sudo sysctl -w net.ipv4.ip_local_port_range="{_FIRST_PORT} {_PORTS - 1}"'
        if not is_fatal:
            remedy += " net.ipv4.tcp_tw_reuse=1"
    return [Finding("ephemeral ports to one address", needed, allowed, "ports", remedy, is_fatal)]


def _memory(plan: Plan, readings: Readings) -> list[Finding]:
    available = readings.memory_available_bytes
    if available is None:
        return []
    processes = 1 + len(plan.cars_per_worker) + plan.stand_in
    per_connection = CAR_BYTES + (STAND_IN_CAR_BYTES if plan.stand_in else 0)
    needed = processes * PROCESS_BYTES + plan.connections * per_connection
    if needed <= available:
        return []
    return [
        Finding(
            "memory",
            math.ceil(needed / 1e6),
            int(available / 1e6),
            "MB",
            "close other programs, or ask for fewer cars",
            # An estimate: the system may still make room.
            is_fatal=False,
        )
    ]


# What the system says


def read() -> Readings:
    """Ask the system for its limits."""
    soft, hard = _open_file_limits()
    return Readings(
        open_files_soft=soft,
        open_files_hard=hard,
        ports=_ephemeral_ports(),
        time_wait_reuse=_time_wait_reuse(),
        memory_available_bytes=_memory_bytes("MemAvailable"),
        system=sys.platform,
        is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
    )


def parse_port_range(text: str) -> tuple[int, int] | None:
    """First and last port of `/proc/sys/net/ipv4/ip_local_port_range` (ip-sysctl)."""
    numbers = re.findall(r"\d+", text)
    if len(numbers) != 2:  # noqa: PLR2004 - first and last
        return None
    return int(numbers[0]), int(numbers[1])


def parse_dynamic_ports(text: str) -> tuple[int, int] | None:
    """First and last port of `netsh int ipv4 show dynamicport tcp`, in any language of Windows.

    The output has two numbers after colons: the first port and how many there are.
    """
    numbers = re.findall(r":\s*(\d+)", text)
    if len(numbers) != 2:  # noqa: PLR2004 - start and count
        return None
    return int(numbers[0]), int(numbers[0]) + int(numbers[1]) - 1


def resident_bytes() -> int:
    """Memory of this process now; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = (_PROC / "self" / "statm").read_text(encoding="ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def facts() -> dict[str, str]:
    """What figures depend on, in words, for the header of a result."""
    memory = _memory_bytes("MemTotal")
    return {
        "processor": _processor(),
        "cores": str(usable_cores()),
        "memory": "unknown" if memory is None else f"{memory / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "event_loop": _event_loop(),
        "openssl": ssl.OPENSSL_VERSION,
    }


def usable_cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on Windows and macOS
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _open_file_limits() -> tuple[int | None, int | None]:
    if sys.platform == "win32":
        return None, None
    import resource  # noqa: PLC0415 - absent on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    return (None if soft == unlimited else soft), (None if hard == unlimited else hard)


def _ephemeral_ports() -> tuple[int, int] | None:
    if sys.platform == "win32":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            output = subprocess.run(
                ["netsh", "int", "ipv4", "show", "dynamicport", "tcp"],  # noqa: S607 - of Windows
                capture_output=True,
                check=True,
                timeout=_COMMAND_S,
            ).stdout
            return parse_dynamic_ports(output.decode(errors="replace"))
    with contextlib.suppress(OSError):
        return parse_port_range(_sysctl("net/ipv4/ip_local_port_range"))
    return None


def _time_wait_reuse() -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(_sysctl("net/ipv4/tcp_tw_reuse"))
    return 1


def _sysctl(name: str) -> str:
    return (_PROC / "sys" / name).read_text(encoding="ascii", errors="replace")


def _memory_bytes(field: str) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        text = (_PROC / "cpuinfo").read_text(encoding="ascii", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def _event_loop() -> str:
    if importlib.util.find_spec("uvloop") is None:
        return "asyncio"
    return f"uvloop {importlib.metadata.version('uvloop')}"
