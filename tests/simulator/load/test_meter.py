from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from simulator.load import histograms
from simulator.load.meter import REASONS_MAX, Meter
from simulator.load.records import ProcessUse, Snapshot, decode_record, encode_record

USE = ProcessUse(0.1, 1000)
PHASES = st.sampled_from(["quiet", "busy"])
ACTS = st.one_of(
    st.tuples(st.just("count"), st.sampled_from(["published", "connects"]), st.integers(0, 5)),
    st.tuples(st.just("sink"), st.sampled_from(["publish_ack_ms", "tls_ms"]), st.floats(0, 9)),
    st.tuples(st.just("reason"), st.sampled_from(["TCP: reset", "TCP: refused"]), st.just(1)),
    st.tuples(st.just("phase"), PHASES, st.just(0)),
    st.tuples(st.just("take"), st.just(""), st.just(0)),
)


@given(st.lists(ACTS, max_size=60))
def test_snapshots_add_up_to_the_whole(acts: list[tuple[str, str, float]]) -> None:
    """Counters, histograms and reasons sum to what was put in, each in its own phase."""
    meter, phase, now_s = Meter(3, "quiet"), "quiet", 0.0
    counts: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    latencies: dict[tuple[str, str], list[float]] = {}
    snapshots: list[Snapshot] = []
    for kind, name, value in [*acts, ("take", "", 0)]:
        if kind == "count":
            meter.count(name, "cars", int(value))
            counts[name, phase] += int(value)
        elif kind == "sink":
            meter.sink(name, "cars", phase).append(value)
            latencies.setdefault((name, phase), []).append(value)
        elif kind == "reason":
            meter.reason(name)
            reasons[name] += 1
        elif kind == "phase":
            meter.phase = phase = name
        else:
            now_s += 1.0
            snapshots.append(meter.take(now_s, {"cars": 7}, USE))

    summed: Counter[tuple[str, str]] = Counter()
    told: Counter[str] = Counter()
    merged = {key: histograms.empty() for key in latencies}
    for number, snapshot in enumerate(snapshots):
        assert decode_record(encode_record(snapshot)) == snapshot
        assert (snapshot.worker, snapshot.number) == (3, number)
        assert (snapshot.start_s, snapshot.end_s) == (number, number + 1)
        assert snapshot.online == {"cars": 7}
        for count in snapshot.counts:
            summed[count.name, count.phase] += count.value
        for each in snapshot.latencies:
            histograms.add_encoded(merged[each.metric, each.phase], each.histogram)
        told.update(snapshot.reasons)
    assert summed == +counts
    assert told == reasons
    for key, values in latencies.items():
        whole = histograms.of_seconds(values)
        assert histograms.encode(merged[key]) == histograms.encode(whole)


def test_counts_can_belong_to_another_phase() -> None:
    """A message is counted in the phase in which it was due."""
    meter = Meter(0, "busy")
    meter.count("published", "cars", 2, phase="quiet")
    meter.count("published", "cars", 3)

    found = meter.take(1.0, {}, USE).counts

    assert sorted((each.phase, each.value) for each in found) == [("busy", 3), ("quiet", 2)]


def test_a_sink_remains_valid() -> None:
    """The hot path keeps its list over snapshots."""
    meter = Meter(0, "busy")
    sink = meter.sink("tls_ms", "cars", "busy")
    sink.append(0.5)
    assert len(meter.take(1.0, {}, USE).latencies) == 1
    assert meter.take(2.0, {}, USE).latencies == []
    sink.append(0.5)

    assert len(meter.take(3.0, {}, USE).latencies) == 1
    assert meter.sink("tls_ms", "cars", "busy") is sink


def test_reason_codes_are_told_by_name() -> None:
    """PUBACK and SUBACK from 0x80 on, in words of MQTT 5.0 table 2-6; the others are successes."""
    meter = Meter(0, "busy")
    for code in (0x00, 0x10, 0x97, 0x97, 0x87):
        meter.acknowledged("cars", code)
    meter.subscribed([0, 1, 2, 0x87, 0x8F])
    assert meter.reasons_text().startswith("PUBACK 0x97 quota exceeded (2 times), ")

    snapshot = meter.take(1.0, {}, USE)

    assert {each.name: each.value for each in snapshot.counts} == {
        "acknowledged": 2,
        "publish_refused": 3,
    }
    assert snapshot.reasons == {
        "PUBACK 0x97 quota exceeded": 2,
        "PUBACK 0x87 not authorized": 1,
        "SUBACK 0x87 not authorized": 1,
        "SUBACK 0x8F topic filter invalid": 1,
    }
    assert meter.reasons_text() == "no answer"


def test_hostile_texts_do_not_grow_a_report() -> None:
    """After so many different reasons of a run all new ones are one, over all snapshots."""
    meter = Meter(0, "busy")
    told: Counter[str] = Counter()
    for number in range(REASONS_MAX + 300):
        meter.reason(f"text {number}")
        if number % 100 == 0:
            told.update(meter.take(float(number), {}, USE).reasons)
    meter.reason("text 5")
    told.update(meter.take(9999.0, {}, USE).reasons)

    assert len(told) == REASONS_MAX + 1
    assert told["other"] == 300
    assert told["text 5"] == 2
