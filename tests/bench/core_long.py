"""Very many connections at the IoT Core stand-in: held by one process, lost, and back at once.

The cars are those of a fleet, each with a certificate and a policy of its own and nothing to say;
quotas are enforced. A handshake that is refused for another reason than a quota is a fault of the
stand-in, however long the queue before it is.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Final

from simulator.iotcore.process import prepare_for_many_connections
from simulator.load.run import workers_for
from simulator.load.target.machine import usable_cores
from tests.bench.figure import Figure, NotMeasurableError
from tests.bench.fleet_load import Load, Outcome, run

BUDGET_MEMORY_KB: Final = 60.0

_QUOTA_REFUSAL: Final = "CONNACK 0x97"


def measure(*, quick: bool) -> list[Figure]:
    """10,000 connections held for a minute, and then the storm; quickly, 1,000.

    Raises:
        NotMeasurableError: The run broke off, or this is Windows.
    """
    return figures(1_000, 10) if quick else figures(10_000, 60)


def figures(cars: int, window_s: int) -> list[Figure]:
    """Every figure of so many connections; the storm has a second window to end in.

    Raises:
        NotMeasurableError: The run broke off, or this is Windows.
    """
    if sys.platform == "win32":
        raise NotMeasurableError("the loads need uvloop and Unix")
    prepare_for_many_connections()
    load = Load(
        cars,
        0.0,
        window_s=window_s,
        windows=2,
        motion="parked",
        connects_per_s=250.0,
        quotas="default",
        storms=True,
    )
    return _figures(run(replace(load, workers=workers_for(load.scenario(), usable_cores()))))


def _figures(outcome: Outcome) -> list[Figure]:
    cars = outcome.load.cars
    held = f"{cars:,} mTLS connections in one process, policies and quotas on"
    by_quota = sum(n for reason, n in outcome.refused.items() if _QUOTA_REFUSAL in reason)
    others = {reason: n for reason, n in outcome.refused.items() if _QUOTA_REFUSAL not in reason}
    named = ", ".join(f"{reason} {number:,}" for reason, number in others.items())
    return [
        Figure(
            "stand-in memory per held connection",
            "kB",
            ((outcome.held_bytes - outcome.empty_bytes) / cars / 1e3,),
            f"{held}, with nothing to say for {outcome.load.window_s} s",
            BUDGET_MEMORY_KB,
        ),
        Figure(
            "storm: handshakes refused",
            "",
            (float(sum(others.values())),),
            f"all {cars:,} lost and back at once; {named or 'none'}; besides by quota {by_quota:,}",
        ),
        Figure(
            "storm: cars not connected at the end",
            "",
            (float(cars - outcome.online),),
            f"{outcome.load.window_s} s after the storm",
        ),
        Figure(
            "storm: last car back after",
            "s",
            (outcome.back_s,),
            "to the second; generator and stand-in share the cores",
        ),
    ]
