"""A large fleet held for a long time beside the stand-in, on one machine.

Half of the cars publish at QoS 0 and half at QoS 1, and one application reads every message and
keeps exact books, so that loss is counted and not estimated.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from simulator.iotcore.process import prepare_for_many_connections
from simulator.load import histograms
from simulator.load.run import workers_for
from simulator.load.target.machine import usable_cores
from tests.bench.figure import Figure, NotMeasurableError
from tests.bench.fleet import BUDGET_LATENESS_MS
from tests.bench.fleet_load import Load, Outcome, Window, run

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW_S: Final = 60


def measure(*, quick: bool) -> list[Figure]:
    """10,000 cars at 1 Hz for ten minutes; quickly, 2,000 for one.

    Raises:
        NotMeasurableError: The run broke off, or this is Windows.
    """
    prepare_for_many_connections()
    cars, windows = (2000, 1) if quick else (10_000, 10)
    return figures(cars, windows, _WINDOW_S)


def figures(cars: int, windows: int, window_s: int) -> list[Figure]:
    """Every figure, one result a window.

    Raises:
        NotMeasurableError: The run broke off, or this is Windows.
    """
    if sys.platform == "win32":
        raise NotMeasurableError("the loads need uvloop and Unix")
    load = Load(
        cars,
        1.0,
        None,
        window_s=window_s,
        windows=windows,
        connects_per_s=250.0,
        is_observed=True,
    )
    workers = workers_for(load.scenario(), usable_cores())
    return _figures(run(replace(load, workers=workers)))


def _figures(outcome: Outcome) -> list[Figure]:
    load = outcome.load
    seconds = load.windows * load.window_s
    held = f"{load.cars:,} mTLS cars at {load.rate_hz:g} Hz for {seconds:,} s"
    kept = f"{held}, city, half of them at QoS 1, one application reads all"
    not_sent = sum(window.not_sent for window in outcome.windows)
    return [
        Figure("fleet: messages lost", "", (float(outcome.lost),), _books(outcome, kept)),
        Figure(
            "fleet: cars not connected at the end",
            "",
            (float(load.cars - outcome.online),),
            f"{held}; {not_sent:,} messages could not be sent, {outcome.unacknowledged:,} were not "
            "acknowledged",
        ),
        Figure(
            "fleet: lateness p99",
            "ms",
            _of(outcome, lambda window: histograms.percentile_ms(window.lateness, 99)),
            f"{held}; one run is {load.window_s} s",
            BUDGET_LATENESS_MS,
        ),
        Figure(
            "fleet: time to PUBACK p99",
            "ms",
            _of(outcome, lambda window: histograms.percentile_ms(window.acknowledged, 99)),
            "from the intended send time",
        ),
        Figure(
            "fleet: client CPU per message",
            "us",
            _of(outcome, lambda window: window.us_per_message),
            f"both QoS, {load.workers} workers and coordinator; the application that reads all is "
            "in it",
        ),
        Figure(
            "fleet: generator",
            "of a core",
            _of(outcome, lambda window: window.share),
            f"mean of a worker; busiest second "
            f"{max(window.busiest for window in outcome.windows):.2f}; "
            f"{outcome.resident_bytes / 1e6:,.0f} MB",
        ),
        Figure(
            "fleet: stand-in",
            "of a core",
            _of(outcome, lambda window: window.target_share),
            f"user + system time of its process; {outcome.target_bytes / 1e6:,.0f} MB",
        ),
    ]


def _books(outcome: Outcome, kept: str) -> str:
    whole = histograms.empty()
    for window in outcome.windows:
        whole.add(window.lateness)
    worst_ms = histograms.percentile_ms(whole, 100)
    mean_hz = statistics.fmean(
        window.published / outcome.load.window_s for window in outcome.windows
    )
    refused = ", ".join(f"{cause} {number:,}" for cause, number in outcome.refusals.items())
    return (
        f"{kept}; {outcome.written:,} written, {mean_hz:,.0f} a second; the latest write was "
        f"{worst_ms:,.0f} ms late; refused or dropped by the stand-in: {refused or 'nothing'}"
    )


def _of(outcome: Outcome, figure: Callable[[Window], float]) -> tuple[float, ...]:
    return tuple(figure(window) for window in outcome.windows)
