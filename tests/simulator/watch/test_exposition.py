"""Prometheus text: valid, in base units, with the numbers of the records, and bounded."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from simulator.load.histograms import encode, of_seconds
from simulator.load.records import Count, PlannedGroup, PlannedPhase
from simulator.report.result import Result
from simulator.report.sparse import SparseHistogram
from simulator.watch.exposition import BUCKETS_S, bucketed, registry_of
from tests.simulator.report import records_of_a_run
from tests.simulator.watch import moments

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample


def families(result: Result) -> dict[str, Metric]:
    """What Prometheus would read."""
    text = generate_latest(registry_of(result)).decode()
    return {family.name: family for family in parsed(text)}


def parsed(text: str) -> list[Metric]:
    """What the library's parser makes of a text."""
    return list(text_string_to_metric_families(text))


def samples(result: Result, series: str, /, **labels: str) -> list[Sample]:
    """The samples of this name whose labels include these."""
    return [
        sample
        for family in families(result).values()
        for sample in family.samples
        if sample.name == series and labels.items() <= sample.labels.items()
    ]


def value(result: Result, series: str, /, **labels: str) -> float:
    """The value of the only such sample."""
    (sample,) = samples(result, series, **labels)
    return sample.value


STATES: dict[str, Any] = {
    "nothing": Result,
    "header": lambda: moments.at(0.0),
    "running": lambda: moments.at(50.0),
    "completed": records_of_a_run.result,
    "huge numbers": moments.busy_run,
    "hostile names": lambda: moments.busy_run(name=moments.HOSTILE),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_valid_in_both_formats(state: str) -> None:
    """Both formats can be read back, every name is ours, and no series appears twice."""
    registry = registry_of(STATES[state]())
    plain = parsed(generate_latest(registry).decode())
    text = openmetrics.generate_latest(registry).decode()  # type: ignore[no-untyped-call] # untyped there
    read_back = openmetrics_parser.text_string_to_metric_families
    strict = list(read_back(text))  # type: ignore[no-untyped-call] # untyped there
    for read in (plain, strict):
        series = [
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in read
            for sample in family.samples
        ]
        assert len(series) == len(set(series))
        assert all(name.startswith("morai_sim_") for name, _ in series)


def test_help_and_type_stand_at_every_family() -> None:
    """Each metric has a sentence and a type."""
    for family in families(records_of_a_run.result()).values():
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}


def test_counters_are_cut_by_group_and_phase() -> None:
    """60 cars at 2 Hz for 30 s of the phase drive publish 3,600 messages, of 290 bytes each."""
    result = records_of_a_run.result()
    assert value(result, "morai_sim_published_total", group="cars", phase="drive") == 3600
    assert value(result, "morai_sim_sent_bytes_total", group="cars", phase="drive") == 3600 * 290
    # 30 s of 120 publishes a second by cars and 38 by vans, each for two observers.
    assert value(result, "morai_sim_received_total", group="cars", phase="drive") == 7200
    assert value(result, "morai_sim_received_total", group="vans", phase="drive") == 2280
    assert value(result, "morai_sim_commands_unanswered_total", group="cars", phase="storm") == 1


def test_counters_are_there_before_anything_happens() -> None:
    """A failure that has not happened yet is 0 rather than absent, for phases that have begun."""
    result = moments.at(20.0)
    refused = samples(result, "morai_sim_publish_refused_total")
    assert {(s.labels["group"], s.labels["phase"]): s.value for s in refused} == {
        ("cars", "arrive"): 0,
        ("cars", "drive"): 0,
        ("vans", "arrive"): 0,
        ("vans", "drive"): 0,
    }


def test_vehicles_are_counted_by_group() -> None:
    """Of 40 vans asked for 38 are connected."""
    result = moments.at(50.0)
    assert value(result, "morai_sim_vehicles_asked", group="vans") == 40
    assert value(result, "morai_sim_vehicles_connected", group="vans") == 38
    assert value(result, "morai_sim_vehicles_online", group="cars") == 60


def test_run_and_phase_are_told() -> None:
    """Which run it is, since when, how long, and which phase."""
    result = moments.at(30.0)
    assert value(result, "morai_sim_run_info", name="city-evening", target="stand-in") == 1
    assert value(result, "morai_sim_run_start_time_seconds") == 1_772_442_000
    assert value(result, "morai_sim_run_elapsed_seconds") == 30
    assert value(result, "morai_sim_run_planned_seconds") == 60
    active = samples(result, "morai_sim_phase_active")
    assert {sample.labels["phase"]: sample.value for sample in active} == {
        "arrive": 0,
        "drive": 1,
        "storm": 0,
    }


def test_reasons_workers_target_and_events_are_told() -> None:
    """Codes, processes, the stand-in and faults have their own metrics."""
    result = moments.at(50.0)
    assert value(result, "morai_sim_failures_total", code="PUBACK 0x97") == 3
    assert value(result, "morai_sim_worker_cpu_ratio", worker="1") == pytest.approx(0.4)
    assert value(result, "morai_sim_worker_peak_resident_bytes", worker="1") == 94_900_000
    assert value(result, "morai_sim_generator_is_limit") == 0
    assert value(result, "morai_sim_target_connections") == 101
    assert value(result, "morai_sim_target_activity_total", counter="publishes_in") == 7900
    assert value(result, "morai_sim_target_refusals_total", cause="unknown topic") == 1
    assert value(result, "morai_sim_target_cpu_ratio") == pytest.approx(0.31)
    assert value(result, "morai_sim_events_total", kind="fault") == 1


def test_losses_are_absent_until_the_books_are_closed() -> None:
    """Nobody is told of 0 losses while they are not known; in the end it is 5."""
    assert samples(moments.at(50.0), "morai_sim_lost_total") == []
    assert value(records_of_a_run.result(), "morai_sim_lost_total", group="vans") == 5


def test_latency_buckets_are_cumulative_and_complete() -> None:
    """Buckets never fall, and the last is the count, for every histogram of the run."""
    found = families(records_of_a_run.result())["morai_sim_latency_seconds"]
    cuts: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    counts: dict[tuple[str, ...], float] = {}
    for sample in found.samples:
        cut = tuple(sample.labels[label] for label in ("metric", "group", "phase"))
        if sample.name.endswith("_bucket"):
            cuts.setdefault(cut, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[cut] = sample.value
    assert counts["publish_ack", "cars", "drive"] == 3600
    for cut, buckets in cuts.items():
        assert [bound for bound, _ in buckets] == [*BUCKETS_S, float("inf")]
        numbers = [number for _, number in buckets]
        assert numbers == sorted(numbers)
        assert numbers[-1] == counts[cut]


@given(st.lists(st.floats(min_value=1e-6, max_value=599.0), max_size=200))
def test_buckets_count_what_was_recorded(latencies_s: list[float]) -> None:
    """A bucket has every value below its bound and none above it, but for the HDR's 0.1 %."""
    buckets, sum_s = bucketed(SparseHistogram.decode(encode(of_seconds(latencies_s))))
    for bound, number in buckets:
        bound_s = float(bound)
        surely = sum(latency_s <= bound_s * 0.998 - 1e-6 for latency_s in latencies_s)
        perhaps = sum(latency_s <= bound_s * 1.002 + 1e-6 for latency_s in latencies_s)
        assert surely <= number <= perhaps
    assert sum_s == pytest.approx(sum(latencies_s), rel=2e-3, abs=1e-6 * len(latencies_s))


def test_buckets_of_two_runs_can_be_added() -> None:
    """Buckets of parts add up to the buckets of the whole, which quantiles do not."""
    chance = random.Random(3)
    parts_s = [[chance.lognormvariate(-4, 2) for _ in range(500)] for _ in range(2)]
    one, other, both = (
        bucketed(SparseHistogram.decode(encode(of_seconds(values_s))))[0]
        for values_s in (*parts_s, parts_s[0] + parts_s[1])
    )
    assert [a + b for (_, a), (_, b) in zip(one, other, strict=True)] == [n for _, n in both]


def test_cardinality_is_bounded() -> None:
    """Thousands of codes, groups, phases and counters give a few thousand series at most."""
    result = moments.busy_run()
    for second in range(100, 200):
        result.add(
            moments.snapshot(
                float(second),
                counts=[Count("published", f"g{second}-{n}", f"p{n}", 1) for n in range(30)],
                reasons={f"code {second} {n}": 1 for n in range(20)},
            )
        )
    codes = samples(result, "morai_sim_failures_total")
    assert len(codes) == 65
    assert value(result, "morai_sim_failures_total", code="other") >= 1000
    assert sum(len(family.samples) for family in families(result).values()) < 12_000


def test_too_many_phases_become_one() -> None:
    """64 phases of 8 groups are more cuts than are shown, so counters are summed over phases."""
    header = records_of_a_run.header(
        phases=[PlannedPhase(f"p{n}", n * 1.0, n + 1.0, 1, 1) for n in range(64)],
        groups=[PlannedGroup(f"g{n}", 1, "engine", []) for n in range(8)],
    )
    load = [
        moments.snapshot(n + 1.0, counts=[Count("published", "g3", f"p{n}", 7)]) for n in range(64)
    ]
    result = moments.folded(header, *load)
    assert value(result, "morai_sim_published_total", group="g3") == 64 * 7
    assert {s.labels["phase"] for s in samples(result, "morai_sim_published_total")} == {"all"}


def test_refusals_of_quotas_are_told() -> None:
    """By quota, whether they were refused or only counted."""
    result = moments.at(50.0)
    name = "morai_sim_quota_refusals_total"
    assert value(result, name, quota="publishes-per-connection") == 1_234
    assert value(result, name, quota="payload-bytes") == 1
