"""The load generator: what a message, a connection and punctuality cost it.

Targets are the IoT Core stand-in and, where it is installed, a mosquitto; both require client
certificates, and each car has one of its own. The load is `tests.bench.fleet_load`, the floor under
it `tests.bench.send_floor`.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from certs.store import Store
from simulator.iotcore.process import prepare_for_many_connections
from simulator.load import histograms
from tests.bench import send_floor
from tests.bench.figure import Figure, Missing, NotMeasurableError
from tests.bench.fleet_load import Broker, Load, Outcome, run
from tests.bench.mosquitto import mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUDGET_QOS_0_US: Final = 15.0
BUDGET_QOS_1_US: Final = 25.0
BUDGET_MEMORY_KB: Final = 60.0
BUDGET_CONNECT_MS: Final = 1.2
BUDGET_LATENESS_MS: Final = 5.0
BUDGET_FLATNESS: Final = 1.2

_SHARE: Final = 0.7
_SHARE_TOLERANCE: Final = 0.03
_ATTEMPTS: Final = 4
_FEW_CARS: Final = 10
_STAND_IN: Final = "stand-in"
_MOSQUITTO: Final = "mosquitto"


class Scale(NamedTuple):
    """How much is measured.

    Attributes:
        cars: Cars of most loads.
        rate_hz: Messages per second and car of these.
        window_s: Length of a window.
        windows: Windows.
        sizes: Fleets that the cost per message is compared of, at one total rate.
        floor_s: Length of one measurement of the floor.
        connects_per_s: How fast the cars arrive.
    """

    cars: int
    rate_hz: float
    window_s: int
    windows: int
    sizes: tuple[int, ...]
    floor_s: float
    connects_per_s: float = 400.0


FULL: Final = Scale(2000, 2.0, 6, 3, (100, 1000, 10_000), 3.0)
QUICK: Final = Scale(200, 20.0, 2, 1, (20, 200), 1.0)


def measure(*, quick: bool) -> list[Figure | Missing]:
    """Every figure of the load generator.

    Raises:
        NotMeasurableError: A run broke off.
    """
    prepare_for_many_connections()
    return figures(QUICK if quick else FULL)


def figures(scale: Scale) -> list[Figure | Missing]:
    """Every figure at some scale.

    Raises:
        NotMeasurableError: A run broke off, or this is Windows.
    """
    if sys.platform == "win32":
        raise NotMeasurableError("the loads need uvloop and Unix")
    results: list[Figure | Missing] = [*_floor(scale)]
    results += _messages(scale, _STAND_IN, None)
    parked = run(_load(scale, motion="parked"))
    results.append(_message_figure(f"parked, {_STAND_IN}", parked, BUDGET_QOS_0_US))
    try:
        with _store(scale.cars) as store, mosquitto(store) as broker:
            name = f"{_MOSQUITTO} {broker.version}"
            results += _messages(scale, name, Broker(broker, store.root))
    except NotMeasurableError as error:
        results.append(Missing(f"the fleet on {_MOSQUITTO}", str(error)))
    results += _punctuality(scale)
    results += _flatness(scale)
    return results


def _load(
    scale: Scale, *, motion: str = "city", qos: int = 0, broker: Broker | None = None
) -> Load:
    return Load(
        scale.cars,
        scale.rate_hz,
        qos,
        motion,
        scale.window_s,
        scale.windows,
        scale.connects_per_s,
        broker=broker,
    )


@contextlib.contextmanager
def _store(cars: int) -> Iterator[Store]:
    """A store with a CA and the identities of some cars, made for the run."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.init_authority()
        for _ in store.issue_things(f"car-{number:05}" for number in range(cars)):
            pass
        yield store


def _floor(scale: Scale) -> list[Figure]:
    how = (
        f"CPU of a process that only sends {send_floor.PACKET_BYTES} bytes over one of "
        f"{scale.cars:,} loopback connections after the other, in bursts as a worker does; "
        "another process reads"
    )
    return [
        Figure(
            what,
            "us",
            send_floor.cost_us(scale.cars, scale.floor_s, scale.windows, tls=tls),
            how + more,
        )
        for what, tls, more in (
            ("floor: a bare send", False, ""),
            ("floor: a bare send through TLS", True, "; pyOpenSSL"),
        )
    ]


def _messages(scale: Scale, target: str, broker: Broker | None) -> list[Figure]:
    """Cost of messages of both QoS, of memory and of connects, on one target."""
    unacknowledged = run(_load(scale, broker=broker))
    acknowledged = run(_load(scale, qos=1, broker=broker))
    return [
        _message_figure(f"QoS 0, {target}", unacknowledged, BUDGET_QOS_0_US),
        _message_figure(f"QoS 1, {target}", acknowledged, BUDGET_QOS_1_US),
        _memory(unacknowledged, target),
        _connects(scale, target, broker),
    ]


def _message_figure(what: str, outcome: Outcome, budget_us: float) -> Figure:
    load, windows = outcome.load, outcome.windows
    published = sum(window.published for window in windows)
    share = statistics.median(window.target_share for window in windows)
    return Figure(
        f"client CPU per message, {what}",
        "us",
        tuple(window.us_per_message for window in windows),
        f"user + system of worker and coordinator, {load.cars:,} mTLS cars at {load.rate_hz:g} Hz, "
        f"flat JSON, {load.motion}, {len(windows)} windows of {load.window_s} s, {published:,} "
        f"messages{_not_sent(outcome)}; the target used {share:.2f} of a core",
        budget_us,
    )


def _memory(outcome: Outcome, target: str) -> Figure:
    # Without a fleet, a worker is the interpreter and the libraries.
    few = run(Load(_FEW_CARS, 1.0, window_s=2, windows=1))
    cars = outcome.load.cars - _FEW_CARS
    per_car_kb = (outcome.resident_bytes - few.resident_bytes) / cars / 1000
    return Figure(
        f"memory per connected car, {target}",
        "kB",
        (per_car_kb,),
        f"resident memory of the worker with {outcome.load.cars:,} cars "
        f"({outcome.resident_bytes / 1e6:.0f} MB) over that of one with {_FEW_CARS} "
        f"({few.resident_bytes / 1e6:.0f} MB): socket, TLS, key, payloads, motion",
        BUDGET_MEMORY_KB,
    )


def _connects(scale: Scale, target: str, broker: Broker | None) -> Figure:
    load = Load(
        scale.cars,
        0.0,
        motion="parked",
        window_s=1,
        windows=1,
        connects_per_s=scale.connects_per_s,
        broker=broker,
    )
    runs = [run(load) for _ in range(scale.windows)]
    return Figure(
        f"client CPU per mTLS connect, {target}",
        "ms",
        tuple(each.connect_cpu_s / max(1, each.connects) * 1e3 for each in runs),
        f"worker, TCP to CONNACK, {load.cars:,} cars at {load.connects_per_s:g} connects/s, "
        "nothing published; its idle turns included, the making of keys not",
        BUDGET_CONNECT_MS,
    )


def _punctuality(scale: Scale) -> list[Figure]:
    """How late publishes are when a worker uses 70 % of a core."""
    results = []
    for motion in ("city", "parked"):
        outcome = _at_share(scale, motion)
        windows = outcome.windows
        rate_hz = statistics.fmean(window.published for window in windows) / outcome.load.window_s
        share = statistics.median(window.share for window in windows)
        results.append(
            Figure(
                f"lateness p99 at 70 % of a core, {motion}",
                "ms",
                tuple(histograms.percentile_ms(window.lateness, 99) for window in windows),
                f"write against timetable, {outcome.load.cars:,} cars, QoS 0, {rate_hz:,.0f} "
                f"messages/s on the {_STAND_IN}; the worker used {share:.2f} of a core"
                f"{_not_sent(outcome)}; a bare 4 ms timer was {outcome.timer_p99_ms:.2f} ms late "
                "(p99) meanwhile",
                BUDGET_LATENESS_MS,
            )
        )
    return results


def _at_share(scale: Scale, motion: str) -> Outcome:
    """A load that uses 70 % of a core, found by trying: cost falls as the rate rises."""
    rate_hz, best = scale.rate_hz * 4, None
    for attempt in range(_ATTEMPTS):
        load = Load(
            scale.cars,
            min(rate_hz, 1000.0),
            motion=motion,
            window_s=scale.window_s,
            windows=scale.windows,
            connects_per_s=scale.connects_per_s,
            sleeps_beside=True,
        )
        outcome = run(load)
        share = statistics.median(window.share for window in outcome.windows)
        if best is None or abs(share - _SHARE) < abs(best[0] - _SHARE):
            best = share, outcome
        if abs(share - _SHARE) <= _SHARE_TOLERANCE or attempt == _ATTEMPTS - 1:
            break
        rate_hz = load.rate_hz * _SHARE / max(share, 0.05)
    assert best is not None
    return best[1]


def _flatness(scale: Scale) -> list[Figure]:
    """Cost of a message from fleets of different size at one total rate."""
    total_hz = scale.cars * scale.rate_hz
    results, costs = [], {}
    for cars in scale.sizes:
        load = Load(
            cars,
            total_hz / cars,
            window_s=scale.window_s,
            windows=scale.windows,
            connects_per_s=scale.connects_per_s,
        )
        outcome = run(load)
        runs = tuple(window.us_per_message for window in outcome.windows)
        costs[cars] = statistics.median(runs)
        results.append(
            Figure(
                f"client CPU per message, {cars:,} cars",
                "us",
                runs,
                f"{total_hz:,.0f} messages/s in all, QoS 0, city, {_STAND_IN}{_not_sent(outcome)}",
            )
        )
    fewest, most = min(scale.sizes), max(scale.sizes)
    middle = statistics.median(costs.values())
    farthest = max(max(cost / middle, middle / cost) for cost in costs.values())
    results.append(
        Figure(
            f"cost per message, {fewest:,} to {most:,} cars",
            "x median",
            (farthest,),
            f"the one of {_listed(scale.sizes)} cars that is farthest from their median",
            BUDGET_FLATNESS,
        )
    )
    return results


def _not_sent(outcome: Outcome) -> str:
    number = sum(window.not_sent for window in outcome.windows)
    return f", {number:,} could not be sent" if number else ""


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)
