from __future__ import annotations

import resource
import ssl
import subprocess
import sys
from typing import Any

import pytest

from certs.errors import ConfigurationError
from simulator.load.target import machine
from simulator.load.target.machine import Plan, Readings
from simulator.scenario.roster import Roster
from tests.simulator.load.documents import scenario

LINUX = Readings(
    open_files_soft=1_024,
    open_files_hard=1_048_576,
    ports=(32_768, 60_999),
    time_wait_reuse=2,
    memory_available_bytes=8_000_000_000,
    system="linux",
)
TEN_THOUSAND = Plan(cars_per_worker=[5_000, 5_000], applications=2, stand_in=True)


def with_(readings: Readings, **changes: Any) -> Readings:
    """The readings with some of them replaced."""
    fields = {name: getattr(readings, name) for name in Readings.__dataclass_fields__}
    return Readings(**{**fields, **changes})


def test_an_ordinary_machine_holds_ten_thousand_cars() -> None:
    """The defaults of a Linux server are enough: the soft limit is raised by each process."""
    assert machine.findings(TEN_THOUSAND, LINUX) == []


def test_open_files_of_the_stand_in_and_of_a_worker() -> None:
    """Each process is compared by itself: 10,002 connections in one, 5,000 in the other."""
    found = machine.findings(TEN_THOUSAND, with_(LINUX, open_files_hard=4_096))

    assert [(f.limit, f.needed, f.available) for f in found] == [
        ("open files of a worker process", 5_064, 4_096),
        ("open files of the stand-in", 10_066, 4_096),
    ]
    assert {f.remedy for f in found} == {"run: sudo prlimit --pid $$ --nofile=12000:12000"}
    assert all(f.is_fatal for f in found)


def test_root_raises_its_own_limit() -> None:
    """Root needs no sudo."""
    found = machine.findings(TEN_THOUSAND, with_(LINUX, open_files_hard=6_000, is_root=True))

    assert [f.remedy for f in found] == ["run: ulimit -n 12000"]


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is of Linux")
def test_a_lowered_limit_is_read() -> None:
    """What the shell was told with ulimit is what the reader finds."""
    code = (
        "from simulator.load.target import machine; r = machine.read();"
        "print(r.open_files_soft, r.open_files_hard)"
    )
    output = subprocess.run(
        ["bash", "-c", f"ulimit -Sn 200 && ulimit -Hn 300 && {sys.executable} -c '{code}'"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert output.split() == ["200", "300"]


def test_more_cars_than_ports() -> None:
    """28,232 ports are the default of Linux; the command widens the range."""
    plan = Plan(cars_per_worker=[15_000, 15_000], applications=0, stand_in=False)
    [finding] = machine.findings(plan, LINUX)

    assert (finding.needed, finding.available, finding.is_fatal) == (30_000, 28_232, True)
    assert finding.remedy == 'run: sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"'


def test_ports_are_counted_for_each_address() -> None:
    """A port is used up only towards one address, so two addresses double them."""
    plan = Plan([30_000], applications=0, stand_in=False, addresses=2, is_loopback=False)

    assert machine.findings(plan, LINUX) == []


def test_no_range_of_ports_is_enough() -> None:
    """Above 64,512 cars no command helps, only fewer cars or another machine."""
    [finding] = machine.findings(Plan([70_000], applications=0, stand_in=False), LINUX)

    assert finding.remedy == "ask for at most 64,512 cars from one machine"


@pytest.mark.parametrize(
    ("reuse", "is_loopback", "is_found"),
    [(0, True, True), (0, False, True), (1, False, False), (2, True, False), (2, False, True)],
)
def test_ports_that_wait_after_a_close(reuse: int, is_loopback: bool, is_found: bool) -> None:
    """Closed connections hold their port for a minute unless the system may reuse it."""
    plan = Plan([20_000], 0, stand_in=False, is_loopback=is_loopback, closed_per_minute=10_000)

    found = machine.findings(plan, with_(LINUX, time_wait_reuse=reuse))

    assert [f.needed for f in found] == ([30_000] if is_found else [])
    # It may work: the ports come free as time goes by.
    assert not any(f.is_fatal for f in found)
    assert all("tcp_tw_reuse=1" in f.remedy for f in found)


def test_windows_has_a_command_of_its_own() -> None:
    """The default of Windows is 16,384 ports from 49152."""
    windows = Readings(ports=(49_152, 65_535), system="win32")
    [finding] = machine.findings(Plan([20_000], 0, stand_in=False), windows)

    assert finding.available == 16_384
    assert "netsh int ipv4 set dynamicport tcp start=1024 num=64512" in finding.remedy


def test_memory_is_a_warning() -> None:
    """10,002 connections at 60 kB on each side and four processes: 1,200 MB and 480 MB."""
    [finding] = machine.findings(TEN_THOUSAND, with_(LINUX, memory_available_bytes=10**9))

    assert (finding.needed, finding.available, finding.unit) == (1_681, 1_000, "MB")
    assert not finding.is_fatal


def test_a_run_beyond_the_limits_is_refused_with_every_command() -> None:
    """All limits come in one error, warnings do not stop the run."""
    readings = with_(LINUX, open_files_hard=6_000, ports=(60_000, 60_999))
    with pytest.raises(ConfigurationError) as caught:
        machine.check(TEN_THOUSAND, readings)

    assert "open files of the stand-in: 10,066 files needed, 6,000 allowed" in caught.value.what
    assert "ephemeral ports to one address: 10,002 ports needed" in caught.value.what
    assert "--nofile=12000" in caught.value.remedy
    assert "ip_local_port_range" in caught.value.remedy
    warnings = machine.check(TEN_THOUSAND, with_(LINUX, memory_available_bytes=1))
    assert [finding.limit for finding in warnings] == ["memory"]


def test_a_system_that_says_nothing_is_not_judged() -> None:
    """Unknown limits give no findings."""
    assert machine.findings(TEN_THOUSAND, Readings()) == []


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([], 0),
        ([{"kind": "silence", "at": 10}], 0),
        ([{"kind": "storm", "at": 10, "share": 0.5}], 500),
        # 2 a second for 60 s; those of the minute before have come free.
        ([{"kind": "drop", "per_s": 2}], 120),
        ([{"kind": "drop", "per_s": 1000}], 60_000),
        # At 0, 7, 14, ... 56 s.
        ([{"kind": "drop", "per_s": 1 / 7}], 9),
        # 50 s of one a second are over when the other strikes at 100 s, or all but 10 are.
        ([{"kind": "drop", "per_s": 1, "end": 50}, {"kind": "storm", "at": 99, "share": 0.1}], 110),
        ([{"kind": "storm", "at": 10}, {"kind": "drop", "at": 30, "share": 0.1}], 1_100),
        ([{"kind": "storm", "at": 10}, {"kind": "drop", "at": 90, "share": 0.1}], 1_000),
    ],
)
def test_closed_connections_of_the_worst_minute(
    faults: list[dict[str, Any]], expected: int
) -> None:
    """What faults close is added up over any 60 seconds."""
    document = scenario(vehicles=[{"name": "city", "count": 1_000}], faults=faults)

    assert machine.closed_per_minute(document, Roster(document)) == expected


def test_the_port_range_of_linux() -> None:
    """Two numbers with a tab, as /proc has them; anything else is not understood."""
    assert machine.parse_port_range("32768\t60999\n") == (32_768, 60_999)
    assert machine.parse_port_range("") is None


@pytest.mark.parametrize(
    ("first", "number"),
    [
        ("Start Port      : 49152", "Number of Ports : 16384"),
        ("Startport       : 49152", "Anzahl von Ports: 16384"),
    ],
)
def test_the_port_range_of_windows(first: str, number: str) -> None:
    """The output of netsh in any language: the first port and how many there are."""
    text = f"\nProtocol tcp Dynamic Port Range\n-----------\n{first}\n{number}\n\n"

    assert machine.parse_dynamic_ports(text) == (49_152, 65_535)
    assert machine.parse_dynamic_ports("The following command was not found") is None


@pytest.mark.skipif(sys.platform != "linux", reason="compared with /proc and getrlimit")
def test_this_machine_is_read() -> None:
    """The readings are those of the system."""
    readings = machine.read()

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (readings.open_files_soft, readings.open_files_hard) == (soft, hard)
    assert readings.ports is not None
    assert readings.ports[0] < readings.ports[1]
    assert readings.memory_available_bytes is not None
    assert readings.memory_available_bytes > 10_000_000
    assert machine.resident_bytes() > 10_000_000


def test_the_facts_of_a_result() -> None:
    """Whoever compares two results sees what they were measured on."""
    facts = machine.facts()

    assert set(facts) == {
        "processor",
        "cores",
        "memory",
        "system",
        "python",
        "event_loop",
        "openssl",
    }
    assert facts["python"].endswith(sys.version.split()[0])
    assert facts["openssl"] == ssl.OPENSSL_VERSION
    assert all(facts.values())
