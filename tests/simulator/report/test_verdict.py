"""The verdict, the first line of every report, and the rule about the generator."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.load.histograms import encode, of_seconds
from simulator.load.records import End, Event, Latencies, ProcessUse, Snapshot
from simulator.report.result import Result
from simulator.report.verdict import (
    NOTHING_MEASURED,
    CheckRow,
    bound_text,
    judge,
    value_text,
)
from simulator.scenario.checks import Check
from tests.simulator.report import records_of_a_run


def row_of(check: str, **changes: Any) -> CheckRow:
    """The row of one check of the run."""
    (row,) = judge(records_of_a_run.result(checks=[check], **changes)).rows
    return row


def test_the_first_line_says_what_matters() -> None:
    """Asked, connected, the generator and the checks are in one line."""
    verdict = judge(records_of_a_run.result(seconds=65))
    assert verdict.first_line == (
        "98 of 100 cars connected; generator was NOT the limit; 4 of 6 checks held"
    )
    assert not verdict.held
    assert [row.check.text for row in verdict.failed] == ["lost == 0", "connected == 100"]


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        (
            {"seconds": 12, "outcome": "interrupted"},
            "PARTIAL RESULT: interrupted after 12 s; 86 of 100 cars connected; ",
        ),
        (
            {"seconds": 12, "outcome": "cut off"},
            "PARTIAL RESULT: cut off after 12 s; 86 of 100 cars connected; ",
        ),
        (
            {"seconds": 12, "outcome": "failed", "reason": "the \x1b[2Jbroker left"},
            r"PARTIAL RESULT: failed after 12 s (the \x1b[2Jbroker left); 86 of 100 ",
        ),
        (
            {"cpu_share": 0.97},
            "THE GENERATOR WAS THE LIMIT, its busiest worker used 97 % of a core; 98 of 100 cars",
        ),
        (
            {"cpu_share": 0.97, "seconds": 12, "outcome": "interrupted"},
            "PARTIAL RESULT: interrupted after 12 s; THE GENERATOR WAS THE LIMIT, ",
        ),
    ],
)
def test_what_spoils_a_result_comes_first(changes: dict[str, Any], beginning: str) -> None:
    """A partial result and a generator that was the limit are said before anything else."""
    assert judge(records_of_a_run.result(**changes)).first_line.startswith(beginning)


def test_an_empty_result_has_a_verdict() -> None:
    """A run that never began is partial, and nothing was measured."""
    result = Result()
    result.add(records_of_a_run.header())
    verdict = judge(result)
    assert verdict.first_line == (
        "PARTIAL RESULT: cut off after 0 s; 0 of 100 cars connected;"
        " the generator was not measured; 0 of 6 checks held"
    )
    assert not verdict.held


def test_a_run_without_checks_promises_nothing() -> None:
    """No checks hold, and the first line says that there were none."""
    verdict = judge(records_of_a_run.result(checks=[]))
    assert verdict.held
    assert verdict.first_line.endswith("; no checks were asked for")


@pytest.mark.parametrize(
    ("check", "held", "value"),
    [
        ("published == 4740 during drive", True, 4740),
        ("published < 1140 during drive of vans", False, 1140),
        ("publish_rate_hz >= 316 during storm", True, 316),
        ("connected_share >= 95 % of vans", True, 0.95),
        ("connected_share > 95 % of vans", False, 0.95),
        ("cost_usd < 1", True, 0.01300784),
        ("connect_ms.count == 118", True, 118),
        ("not_sent_offline != 0", True, 30),
    ],
)
def test_checks_are_judged_by_their_value(check: str, held: bool, value: float) -> None:
    """Each operator, cut and unit compares the measured value with the bound."""
    row = row_of(check)
    assert row.held == held
    assert row.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("check", "note"),
    [
        ("connect_ms.p99 < 1s of lorries", "there is no group lorries"),
        ("connect_ms.p99 < 1s during night", "there is no phase night"),
        ("lost == 0 of dispatch", NOTHING_MEASURED),
        ("publish_ack_ms.p99 < 1s of vans", NOTHING_MEASURED),
        ("published > 0 during storm", "the run ended before phase storm"),
        ("not_sent < 1 of lorries", "there is no group lorries"),
    ],
)
def test_a_check_of_nothing_fails(check: str, note: str) -> None:
    """What was not measured is no proof, and the note says why it was not."""
    changes = {"seconds": 20} if "storm" in check else {}
    row = row_of(check, **changes)
    assert (row.held, row.value, row.note) == (False, None, note)
    assert row.value_text == NOTHING_MEASURED


def test_a_partial_run_says_how_much_a_value_is_worth() -> None:
    """A check that held on half of its phase says so."""
    row = row_of("published > 0 during drive", seconds=20, outcome="interrupted")
    assert row.held
    assert row.note == "measured until 20 s only"
    assert row_of("published > 0 during arrive", seconds=20, outcome="interrupted").note == ""


def test_a_value_is_told_from_its_bound() -> None:
    """A failed check never shows a value that reads like its bound."""
    # 98 of 100 cars: the share is 0.98.
    above = row_of("connected_share < 97.9999 %")
    assert (above.held, above.value_text, bound_text(above.check)) == (
        False,
        "98 %",
        "< 97.9999 %",
    )
    # The rate of 10,848 publishes in 60 s has four digits, a bound close to it has more.
    close = row_of("publish_rate_hz > 180.80001")
    assert (close.held, close.value_text, bound_text(close.check)) == (
        False,
        "180.8/s",
        "> 180.80001/s",
    )
    row = CheckRow(Check.parse("connect_ms.p99 < 250"), 250.04, held=False)
    assert row.value_text == "250.04 ms"
    equal = row_of("connected_share > 98 %")
    assert (equal.held, equal.value_text, bound_text(equal.check)) == (False, "98 %", "> 98 %")


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("publish_ack_ms", 231.04, "231 ms"),
        ("publish_ack_ms", 0.8037, "0.8037 ms"),
        ("publish_ack_ms", 12345.6, "12,346 ms"),
        ("connected_share", 0.998, "99.8 %"),
        ("published", 12040.0, "12,040"),
        ("publish_rate_hz", 180.84, "180.8/s"),
        ("cost_usd", 0.013, "$0.013"),
        ("cost_usd", 0.00000784, "$7.84e-06"),
    ],
)
def test_values_have_their_units(metric: str, value: float, text: str) -> None:
    """Values are written with the unit of their metric and four significant digits."""
    assert value_text(metric, value) == text


def run_with(
    cpu_shares: list[float], late_s: float = 0.001, late_in: str = "drive", lost: int = 0
) -> Result:
    """A run of one worker with this CPU share each second, and lateness in one phase."""
    result = Result()
    result.add(records_of_a_run.header())
    for second, share in enumerate(cpu_shares):
        phase = records_of_a_run.phase_of(second)[0]
        is_late = phase == late_in
        late = encode(of_seconds([late_s] * 10 if is_late else [0.001] * 100))
        result.add(
            Snapshot(
                0,
                second,
                second,
                second + 1,
                [],
                [Latencies("lateness_ms", "cars", phase, late)],
                {},
                {},
                ProcessUse(share, 1),
            )
        )
    result.add(End(float(len(cpu_shares)), "completed", "", {}, {}, lost))
    return result


def test_three_busy_seconds_make_a_bottleneck() -> None:
    """A worker above 0.9 of a core for three seconds was the limit; for less it was not."""
    brief = run_with([0.3, 0.95, 0.95, 0.3, 0.3]).generator
    assert not brief.is_bottleneck
    assert brief.cpu_share_max == pytest.approx((0.3 + 0.95 + 0.95) / 3)
    steady = run_with([0.3, 0.95, 0.92, 0.91, 0.3]).generator
    assert steady.is_bottleneck
    assert steady.cpu_share_max == pytest.approx((0.95 + 0.92 + 0.91) / 3)


def test_lateness_in_one_phase_makes_a_bottleneck() -> None:
    """A late generator is noticed in the phase it was late in, also when the whole hides it."""
    assert not run_with([0.3] * 60, late_s=0.0199).generator.is_bottleneck
    late = run_with([0.3] * 60, late_s=0.05, late_in="arrive").generator
    assert late.is_bottleneck
    # 10 late ones of 4,510 are below the 99th percentile of the whole run.
    diluted = run_with([0.3] * 46, late_s=0.05, late_in="storm")
    assert diluted.value("lateness_ms", "p99") == pytest.approx(1, rel=1e-3)
    assert diluted.generator.is_bottleneck
    assert diluted.generator.why == "its p99 lateness was 50 ms in phase storm"


def test_a_lost_worker_makes_a_bottleneck() -> None:
    """The load of a worker that ended early was missing."""
    health = run_with([0.3] * 5, lost=1).generator
    assert health.is_bottleneck
    assert "1 of its workers ended early" in health.why


def test_what_damages_a_result_is_warned_about() -> None:
    """Lost workers, full disks and unreadable histograms are listed."""
    result = records_of_a_run.result()
    result.add(Event(30.0, "worker-lost", "worker 1 was killed\x07"))
    result.add(Event(31.0, "storage", "disk full"))
    result.damaged_histograms = 2
    assert judge(result).warnings == (
        r"30 s: worker 1 was killed\x07",
        "31 s: disk full",
        "2 histograms could not be read and are missing in all latencies",
    )
