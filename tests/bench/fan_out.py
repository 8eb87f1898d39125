"""The IoT Core stand-in: CPU of its process per delivery, when one message goes to very many.

The load itself is `tests.bench.broker_load`. Quotas are enforced, and none is reached: a connection
gets fewer than its 100 publishes a second, and the deliveries of the account are not limited.
"""

from __future__ import annotations

import sys

from tests.bench import broker_load
from tests.bench.figure import Figure, NotMeasurableError

_RATE_HZ = 80.0
_SUBSCRIBERS = 250


def measure(*, quick: bool) -> list[Figure]:
    """CPU per delivery at QoS 0.

    Raises:
        NotMeasurableError: The load generator needs uvloop and Unix.
    """
    if sys.platform == "win32":
        raise NotMeasurableError("the load generator needs uvloop and Unix")
    if quick:
        return figures(50, 1, 2.0)
    return figures(_SUBSCRIBERS, 3, 6.0)


def figures(subscribers: int, repetitions: int, seconds: float) -> list[Figure]:
    """The figure for so many subscribers."""
    runs = [
        broker_load.run(1, _RATE_HZ, seconds, subscribers=subscribers, quotas=broker_load.FAN_OUT)
        for _ in range(repetitions)
    ]
    return [
        Figure(
            "stand-in CPU per delivery, fan-out",
            "us",
            tuple(run.server_cpu_us_per_delivery for run in runs),
            f"1 mTLS publisher at {_RATE_HZ:g} Hz to {subscribers:,} mTLS subscribers, QoS 0, "
            f"{broker_load.PAYLOAD_BYTES} bytes, policies and quotas on; "
            f"{sum(run.delivered for run in runs):,} deliveries, "
            f"{sum(run.over_quota for run in runs):,} over a quota; 25 us are 40,000 deliveries "
            "a second of one core",
            broker_load.BUDGET_DELIVERY_US,
        )
    ]
