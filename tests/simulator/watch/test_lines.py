"""Plain and JSON lines: one line each, with the figures of the records."""

from __future__ import annotations

import json

import pytest

from simulator.load.records import Event, PlannedProbe
from simulator.report.result import Result
from simulator.watch.lines import document, event_line, line
from tests.simulator.report import records_of_a_run
from tests.simulator.watch import moments


def test_line_says_where_the_run_is_and_how_it_goes() -> None:
    """Time, phase, cars, rates and what went wrong stand in one line."""
    text = line(moments.at(30.0), 30.5)
    assert text.startswith("0:30/1:00 drive; 98 online, 98 of 100 cars connected; ")
    assert "publishes 158/s, acks 120/s, received 316/s, commands 2.0/s" in text
    assert "connect failures 6" in text
    assert "publishes refused 1" in text
    assert "\n" not in text


def test_line_says_when_the_generator_is_the_limit() -> None:
    """The verdict on the generator comes before the figures it spoils."""
    text = line(moments.at(30.0, cpu_share=0.99), 30.5)
    assert text.index("GENERATOR IS THE LIMIT") < text.index("98 of 100")


def test_line_says_when_no_worker_reports() -> None:
    """Twenty seconds of silence are said."""
    assert "NO WORD FROM ANY WORKER" in line(moments.at(30.0), 50.0)


def test_line_of_nothing() -> None:
    """Before the first record there is a line too."""
    assert line(Result(), 3.0) == "0:03 waiting for the first record"


@pytest.mark.parametrize("now_s", [0.0, 60.0])
def test_hostile_names_stay_in_the_line(now_s: float) -> None:
    """Line breaks and terminal commands in names are shown as escapes."""
    result = moments.busy_run(name=moments.HOSTILE)
    assert line(result, now_s).isprintable()
    assert json.dumps(document(result, now_s)).isascii()
    assert event_line(result.events[0]).isprintable()


def test_event_line() -> None:
    """An event has its time, kind, text and the number of cars."""
    event = Event(67.0, "fault", "storm of vans", 0, 1200)
    assert event_line(event) == "1:07 fault: storm of vans (1,200 cars)"
    assert event_line(Event(1.0, "warning", "late")) == "0:01 warning: late"


def test_document_has_the_figures_with_units() -> None:
    """The machine's form of the moment: numbers, not words."""
    found = json.loads(json.dumps(document(moments.at(30.0), 30.5), allow_nan=False))
    assert found["name"] == "city-evening"
    assert (found["elapsed_s"], found["planned_s"], found["phase"]) == (30.5, 60.0, "drive")
    assert found["cars"] == {
        "asked": 100,
        "connected": 98,
        "online": 98,
        "online_by_group": {"cars": 60, "vans": 38},
    }
    assert found["rates_per_s"]["publishes"] == 158.0
    # 4, 8, 12 ... cars of either group: 60 from second 14, 38 vans from second 9 on.
    cars = sum(min(60, 4 * second) for second in range(1, 31)) * 2
    vans = sum(2 * min(19, 2 * second) for second in range(1, 31))
    assert found["totals"]["publishes"] == cars + vans
    assert found["latencies_ms"]["connect"]["last_10_s"] is None
    assert 8 < found["latencies_ms"]["connect"]["run"]["p50"] < 16
    assert found["troubles"]["messages_lost"] is None
    assert found["reasons"] == {"CONNACK 0x87": 6, "PUBACK 0x97": 1}
    assert found["generator"]["is_limit"] is False
    assert [worker["worker"] for worker in found["generator"]["workers"]] == [0, 1]
    assert found["target"]["counters"]["connections"] == 101
    assert found["outcome"] is None


def test_document_of_the_end() -> None:
    """The last document has the outcome, the losses and no phase."""
    found = document(records_of_a_run.result(), 99.0)
    assert (found["outcome"], found["phase"], found["elapsed_s"]) == ("completed", None, 60.0)
    assert found["troubles"]["messages_lost"] == 5
    assert found["last_event"]["kind"] == "fault"


def test_every_document_has_the_same_keys() -> None:
    """A reader may rely on every key, also before the first record."""
    keys = document(records_of_a_run.result(), 60.0).keys()
    assert document(Result(), 0.0).keys() == keys
    assert document(moments.at(0.0), 0.0).keys() == keys
    json.dumps(document(Result(), 0.0), allow_nan=False)


def test_quotas_and_probes_are_told() -> None:
    """What was over a quota, which ones, and how many of the edges have been probed."""
    probes = [PlannedProbe("edges", "payload-bytes")]
    result = moments.at(50.0, probes=probes)
    found = document(result, 50.5)
    text = line(result, 50.5)

    assert found["target"]["quotas"] == {
        "table": "default",
        "mode": "observe",
        "refused": {"publishes-per-connection": 1_234, "payload-bytes": 1},
    }
    assert found["probes"] == {"done": 0, "planned": 1}
    assert "over a quota 1,235" in text
    assert "0 of 1 quotas probed" in text
