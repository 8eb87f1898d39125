"""The fold of a run's records against figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.load.histograms import encode, of_seconds
from simulator.load.records import (
    Count,
    End,
    Event,
    Latencies,
    PlannedPhase,
    PlannedProbe,
    Position,
    ProcessUse,
    RecordError,
    Snapshot,
    TargetReport,
)
from simulator.report.result import OTHER, Result
from simulator.scenario.checks import METRICS
from tests.simulator.report import records_of_a_run
from tests.simulator.report.records_of_a_run import header

IDLE = ProcessUse(0.1, 1000)


def snapshot(worker: int = 0, start_s: float = 0.0, end_s: float = 1.0, **values: Any) -> Snapshot:
    """A snapshot that says what is given and nothing else."""
    given = {"counts": [], "latencies": [], "online": {}, "reasons": {}, "process": IDLE, **values}
    return Snapshot(worker, 0, start_s, end_s, **given)


def fold(*records: Any, **changes: Any) -> Result:
    """The result of a header and some records."""
    result = Result()
    for record in (header(**changes), *records):
        result.add(record)
    return result


def test_counters_follow_from_arithmetic() -> None:
    """Counters of a run add up by group and phase to what its arithmetic says."""
    result = records_of_a_run.result(seconds=65)
    # Of each group 4 cars a second connect, at rate 2 (cars) and 1 (vans): after 15 s all 60 cars
    # and 38 vans are there. In `drive` they publish 60 * 2 + 38 = 158 a second for 30 s.
    assert result.count("published", phase="drive") == 158 * 30
    assert result.count("published", "vans", "drive") == 38 * 30
    assert result.value("publish_rate_hz", phase="drive") == 158
    assert result.value("publish_rate_hz", group="cars", phase="storm") == 240
    assert result.count("connects") == 98 + 20
    assert result.value("connects", None, "vans", "storm") == 20
    assert result.value("disconnects") == 20
    assert result.count("not_sent") == 30 + 6 + 2
    assert result.value("not_sent") == 38
    assert result.value("connect_failures", phase="storm") == 2
    assert result.value("commands_answered", group="cars") == 2 * 60 - 1


def test_what_is_known_of_the_cars() -> None:
    """Asked, connected and online come from the header, the end and the snapshots."""
    result = records_of_a_run.result(seconds=65)
    assert (result.asked(), result.asked("vans")) == (100, 40)
    assert (result.connected(), result.connected("vans")) == (98, 38)
    assert result.value("connected_share") == 0.98
    assert result.value("connected_share", group="vans") == 0.95
    assert result.value("online_at_end") == 98
    assert result.online == {"cars": 60, "vans": 38}
    assert result.value("unacknowledged") == 3


def test_the_books_give_losses() -> None:
    """Lost, repeated and out of order are those of the books, and the share is of written."""
    result = records_of_a_run.result(seconds=65)
    assert result.value("lost") == 5
    assert result.value("lost", group="cars") == 0
    assert result.value("repeated", group="cars") == 4
    assert result.value("out_of_order") == 1
    # Two observers watch 38 vans: 30 s at 38 a second, 15 s at 76, and the 15 s of arriving, where
    # 4 more connect each second until the tenth: 4 + 8 + ... + 36 + 6 * 38 = 180 + 228.
    assert result.value("lost_share", group="vans") == 5 / (2 * (30 * 38 + 15 * 76 + 180 + 228))
    assert result.value("lost", group="dashboard") == 5


def test_the_target_and_the_cost() -> None:
    """Refusals are the stand-in's last totals; the cost is the header's."""
    result = records_of_a_run.result(seconds=65)
    assert result.value("target_refusals") == 14 + 3 + 1
    assert result.value("cost_usd") == 0.01300784
    assert fold(snapshot(), cost={"run_usd": "much"}).value("cost_usd") is None


def test_latencies_are_those_of_their_cut() -> None:
    """A percentile is of the values of the group and phase asked for."""
    slow, fast = (encode(of_seconds([latency_s] * 10)) for latency_s in (0.3, 0.001))
    result = fold(
        snapshot(
            0,
            0,
            16,
            latencies=[
                Latencies("publish_ack_ms", "cars", "arrive", fast),
                Latencies("publish_ack_ms", "vans", "drive", slow),
            ],
        ),
        snapshot(1, 0, 16, latencies=[Latencies("publish_ack_ms", "cars", "drive", fast)]),
    )
    assert result.value("publish_ack_ms", "count") == 30
    assert result.value("publish_ack_ms", "p50") == pytest.approx(1, rel=1e-3)
    assert result.value("publish_ack_ms", "p50", "vans") == pytest.approx(300, rel=1e-3)
    assert result.value("publish_ack_ms", "max", None, "arrive") == pytest.approx(1, rel=1e-3)
    assert result.value("publish_ack_ms", "min", None, "drive") == pytest.approx(1, rel=1e-3)
    assert result.value("publish_ack_ms", "mean") == pytest.approx((20 + 3000) / 30, rel=1e-3)
    assert result.latency("publish_ack_ms").get_total_count() == 30
    assert result.value("publish_ack_ms", "p99", "vans", "arrive") is None


def test_every_metric_has_a_value() -> None:
    """A full run gives a figure for every metric a check can name."""
    result = records_of_a_run.result(seconds=65, probes=[PlannedProbe("edges", "payload-bytes")])
    for name, metric in METRICS.items():
        assert result.value(name, "p99" if metric.kind == "latency" else None) is not None, name


def test_nothing_measured_is_no_value() -> None:
    """Before any snapshot, for unknown groups and for phases that never began there is none."""
    assert Result().value("published") is None
    assert Result().value("connected_share") is None
    planned = fold()
    assert planned.value("asked") == 100
    assert planned.value("published") is None
    assert planned.value("lost") is None
    begun = fold(snapshot())
    assert begun.value("published") == 0
    assert begun.value("published", phase="storm") is None
    assert begun.value("published", group="lorries") is None
    assert begun.value("unacknowledged") is None
    assert begun.value("cost_usd", group="cars") is None
    with pytest.raises(KeyError):
        begun.value("happiness")


def test_without_an_end_the_most_online_count_as_connected() -> None:
    """A run that goes on, or was cut off, knows how many were online at one time."""
    result = fold(
        snapshot(online={"cars": 20, "vans": 5}),
        snapshot(1, online={"cars": 10}),
        snapshot(0, 1, 2, online={"cars": 12, "vans": 5}),
    )
    assert (result.connected(), result.connected("cars")) == (35, 30)
    assert result.online == {"cars": 22, "vans": 5}
    assert result.is_partial


def test_a_silent_worker_has_no_cars_online() -> None:
    """Cars of a worker that was not heard for more than five seconds are not counted."""
    result = fold(snapshot(0, online={"cars": 10}), snapshot(1, 5, 6, online={"cars": 7}))
    assert result.online["cars"] == 17
    result.add(snapshot(1, 6, 7, online={"cars": 7}))
    assert result.online["cars"] == 7


def test_online_at_end_is_before_the_drain() -> None:
    """The cars that disconnect when all is over were online at the end."""
    phases = [PlannedPhase("drive", 0, 2, 1, 1)]
    result = fold(
        snapshot(0, 0, 1, online={"cars": 9}),
        snapshot(0, 1, 2.004, online={"cars": 8}),
        snapshot(0, 2.004, 3, online={"cars": 0}),
        phases=phases,
    )
    assert result.value("online_at_end", group="cars") == 8


def test_the_phase_and_the_time_of_now() -> None:
    """Progress follows the latest record."""
    result = fold()
    assert result.phase_now == "arrive"
    result.add(snapshot(0, 14.5, 15.5))
    assert (result.phase_now, result.elapsed_s) == ("drive", 15.5)
    assert result.measured_s("drive") == 0.5
    result.add(Event(60.0, "target", "stopped"))
    assert result.phase_now == "drain"
    assert result.measured_s() == 60


def test_slices_hold_one_second_of_all_workers() -> None:
    """Snapshots of the same second meet in one slice even when they end a little late."""
    text = encode(of_seconds([0.002]))
    result = fold()
    for worker, late_s in ((0, 0.0), (1, 0.03)):
        for second in range(3):
            result.add(
                snapshot(
                    worker,
                    second + late_s,
                    second + 1 + late_s,
                    counts=[Count("published", "cars", "arrive", 5)],
                    latencies=[Latencies("end_to_end_ms", "cars", "arrive", text)],
                    process=ProcessUse(0.25, 1),
                )
            )
    result.add(TargetReport(3.0, {}, {"quota": 4}, ProcessUse(1.5, 1)))
    series = result.series
    assert [(s.start_s, s.counts["published"]) for s in series] == [(0, 10), (1, 10), (2, 10)]
    assert [s.spreads["end_to_end_ms"].count for s in series] == [2, 2, 2]
    assert series[1].latency["end_to_end_ms"].get_total_count() == 2
    assert series[2].refusals == {"quota": 4}
    assert series[2].target_cpu_share == 0.5
    assert series[0].cpu_share == {0: 0.25, 1: pytest.approx(0.25)}


def test_a_damaged_histogram_is_counted() -> None:
    """A histogram that cannot be read costs its latencies and is mentioned."""
    result = fold(snapshot(latencies=[Latencies("connect_ms", "cars", "arrive", "AAAA")]))
    assert result.damaged_histograms == 1
    assert result.value("connect_ms", "p99") is None


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (snapshot(0, 2, 1), "ends before"),
        (snapshot(0, 0, 1e300), "of 1e"),
        (snapshot(0, -1, 1), "of -1"),
        (Event(1e12, "warning", "late"), "of 1e"),
        (header(), "second header"),
    ],
)
def test_impossible_records_are_refused(record: Any, why: str) -> None:
    """Records that no run writes are one typed error."""
    with pytest.raises(RecordError, match=why):
        fold(record)


def test_records_before_the_header_are_refused() -> None:
    """Nothing can be folded before it is known what was planned."""
    with pytest.raises(RecordError, match="header is missing"):
        Result().add(snapshot())


def test_unreadable_checks_are_refused() -> None:
    """A header whose checks are no checks is refused, whatever they are."""
    for checks in (["speed is fine"], [5], 5):
        with pytest.raises(RecordError, match="checks cannot be read"):
            Result().add(header().__class__(**{**_fields(), "scenario": {"checks": checks}}))


def _fields() -> dict[str, Any]:
    return {name: getattr(header(), name) for name in header().__struct_fields__}


def test_memory_is_bounded_by_cuts_and_totals_stay_right() -> None:
    """Beyond the bound on cuts records count under `other`, so that sums over all stay exact."""
    result = fold()
    for number in range(3000):
        result.add(snapshot(counts=[Count("published", f"group-{number}", "arrive", 1)]))
    assert result.count("published") == 3000
    assert result.count("published", OTHER) == 3000 - 2048
    assert result.dropped == {"cuts": 952}


def test_reasons_events_and_tracks_are_bounded() -> None:
    """Names that keep changing do not fill the memory."""
    result = fold()
    for number in range(1500):
        result.add(
            snapshot(
                reasons={f"reason {number}": 1},
                positions=[Position(number + 1, 37.0, 127.0), Position(0, 37.0, number / 100)],
            )
        )
    assert len(result.reasons) == 1001
    assert sum(result.reasons.values()) == 1500
    assert len(result.tracks) == 256
    assert 256 <= len(result.tracks[0]) <= 513
    longitudes = [point[2] for point in result.tracks[0]]
    assert longitudes == sorted(longitudes)
    assert longitudes[-1] > 14.5
    for _ in range(10_050):
        result.add(Event(1.0, "warning", "again"))
    assert len(result.events) == 10_000
    assert result.dropped["events"] == 50


@given(st.permutations(range(8)))
def test_workers_may_report_in_any_order(order: list[int]) -> None:
    """Totals, slices and online cars do not depend on the order of the workers' snapshots."""
    result = fold()
    for worker in order:
        result.add(
            snapshot(
                worker,
                counts=[Count("published", "cars", "arrive", worker)],
                online={"cars": worker},
            )
        )
    assert result.count("published") == 28
    assert result.online["cars"] == 28
    assert result.series[0].online == {"cars": 28, "vans": 0}


def test_lost_workers_are_those_of_the_end_or_the_events() -> None:
    """A worker that was lost counts once, before the end record says so and after."""
    result = fold(snapshot(), Event(1.0, "worker-lost", "worker 1 was killed"))
    assert result.value("workers_lost") == 1
    result.add(End(2.0, "completed", "", {"cars": 1}, {}, 1))
    assert result.value("workers_lost") == 1
