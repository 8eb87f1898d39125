"""The IoT Core stand-in: CPU of its process per inbound publish, at few and at many connections.

The load itself is `tests.bench.broker_load`, which also has a command line for other loads.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from simulator.iotcore.throttling.choosing import OFF
from tests.bench import bare_broker, broker_load
from tests.bench.figure import Figure, NotMeasurableError


class _Load(NamedTuple):
    """Clients, publishes per second of each, QoS, and which quotas are enforced."""

    connections: int
    rate_hz: float
    qos: int = 0
    quotas: str = OFF


# 4,000 publishes a second in all, whatever the number of clients.
_LOADS = (
    _Load(50, 80.0),
    _Load(2000, 2.0),
    _Load(2000, 2.0, 0, "default"),
    _Load(2000, 2.0, 1, "default"),
)
_QUICK_LOADS = (
    _Load(50, 80.0),
    _Load(200, 20.0),
    _Load(200, 20.0, 0, "default"),
    _Load(200, 20.0, 1, "default"),
)


def measure(*, quick: bool) -> list[Figure]:
    """CPU per publish, and what a connection costs.

    Raises:
        NotMeasurableError: The load generator needs uvloop and Unix.
    """
    if sys.platform == "win32":
        raise NotMeasurableError("the load generator needs uvloop and Unix")
    loads = _QUICK_LOADS if quick else _LOADS
    return figures(loads, *((1, 3.0) if quick else (3, 6.0)))


def figures(loads: tuple[_Load, ...], repetitions: int, seconds: float) -> list[Figure]:
    """CPU per publish of each load, and what a connection costs in the last one."""
    found = []
    for load in loads:
        connections, rate_hz, qos, quotas = load
        runs = [
            broker_load.run(connections, rate_hz, seconds, qos=qos, quotas=quotas)
            for _ in range(repetitions)
        ]
        how = (
            f"{connections:,} mTLS clients at {rate_hz:g} Hz, QoS {qos}, "
            f"{broker_load.PAYLOAD_BYTES} bytes, policies on, quotas {quotas}; user + system time "
            f"of the stand-in's process"
        )
        kind = "" if quotas == OFF else f", QoS {qos}, quotas on"
        found.append(
            Figure(
                f"stand-in CPU per inbound publish, {connections:,} connections{kind}",
                "us",
                tuple(run.server_cpu_us_per_publish for run in runs),
                f"{how}; {sum(run.publishes for run in runs):,} publishes, "
                f"{sum(run.over_quota for run in runs):,} over a quota",
                broker_load.BUDGET_QOS_1_US if qos else broker_load.BUDGET_US,
            )
        )
    return [
        *found,
        *(_floor(loads[-1], qos, repetitions, seconds) for qos in (0, 1)),
        Figure(
            "stand-in CPU per mTLS connect",
            "ms",
            tuple(run.server_cpu_ms_per_connect for run in runs),
            f"TLS 1.3 handshake, CONNECT and policies, mean of {connections:,} clients",
        ),
        Figure(
            "stand-in memory per connection",
            "kB",
            tuple(run.server_kb_per_connection for run in runs),
            f"resident memory after over before {connections:,} connections",
        ),
    ]


def _floor(load: _Load, qos: int, repetitions: int, seconds: float) -> Figure:
    """The same load on a server that does nothing but answer."""
    runs = [
        broker_load.run(load.connections, load.rate_hz, seconds, qos=qos, serve=bare_broker.serve)
        for _ in range(repetitions)
    ]
    return Figure(
        f"bare TLS server, CPU per inbound publish, {load.connections:,} connections, QoS {qos}",
        "us",
        tuple(run.server_cpu_us_per_publish for run in runs),
        "the same clients and event loop; fixed bytes for an answer, nothing is parsed",
    )
