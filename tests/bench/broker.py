"""The IoT Core stand-in: CPU of its process per inbound publish, at few and at many connections.

The load itself is `tests.bench.broker_load`, which also has a command line for other loads.
"""

from __future__ import annotations

import sys

from tests.bench import broker_load
from tests.bench.figure import Figure, NotMeasurableError

# Publishes per second and client: 4,000 a second in all, whatever the number of clients.
_LOADS = {50: 80.0, 2000: 2.0}
_QUICK_LOADS = {50: 80.0, 200: 20.0}


def measure(*, quick: bool) -> list[Figure]:
    """CPU per publish, and what a connection costs.

    Raises:
        NotMeasurableError: The load generator needs uvloop and Unix.
    """
    if sys.platform == "win32":
        raise NotMeasurableError("the load generator needs uvloop and Unix")
    repetitions, seconds = (1, 3.0) if quick else (3, 6.0)
    figures = []
    for connections, rate_hz in (_QUICK_LOADS if quick else _LOADS).items():
        runs = [broker_load.run(connections, rate_hz, seconds) for _ in range(repetitions)]
        load = (
            f"{connections:,} mTLS clients at {rate_hz:g} Hz, QoS 0, {broker_load.PAYLOAD_BYTES}"
            f" bytes, policies on; user + system time of the stand-in's process"
        )
        figures.append(
            Figure(
                f"stand-in CPU per inbound publish, {connections:,} connections",
                "us",
                tuple(run.server_cpu_us_per_publish for run in runs),
                f"{load}; {sum(run.publishes for run in runs):,} publishes",
                broker_load.BUDGET_US,
            )
        )
    figures += [
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
    return figures
