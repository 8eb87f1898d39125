"""Two runs side by side."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from simulator.report.comparison import Comparison, Difference, compare, print_comparison
from simulator.report.result import Result
from tests.simulator.report import records_of_a_run


def compared(before: dict[str, Any], after: dict[str, Any]) -> Comparison:
    """The comparison of two variants of the run."""
    return compare(records_of_a_run.result(**before), records_of_a_run.result(**after))


def printed(comparison: Comparison, **console: Any) -> str:
    """What the comparison prints."""
    out = io.StringIO()
    print_comparison(comparison, Console(file=out, highlight=False, **console))
    return out.getvalue()


def test_a_run_does_not_differ_from_itself() -> None:
    """Nothing is changed, worse or warned about."""
    same = compared({}, {})
    assert same.warnings == ()
    assert all(item.change_percent == 0 for item in same.differences)
    assert not any(item.is_changed for item in same.checks)
    assert same.worse_than(0) == []
    assert "No check changed (6)." in printed(same)
    assert "No figure differs by more than 5 %." in printed(same)


def test_figures_have_a_ratio_and_a_direction() -> None:
    """A latency that is ten times as long is worse, one that is shorter is not."""
    slower = compared({"lateness_s": 0.002}, {"lateness_s": 0.02})
    by_name = {item.name: item for item in slower.differences}
    assert by_name["lateness_ms.p99"].ratio == pytest.approx(10, rel=0.01)
    assert by_name["lateness_ms.p99"].worse_percent == pytest.approx(900, rel=0.01)
    assert by_name["lateness_ms.p99 during storm"].ratio == pytest.approx(10, rel=0.01)
    names = [item.name for item in slower.worse_than(20)]
    assert names == [
        f"lateness_ms.{statistic}{cut}"
        for cut in ("", " during arrive", " during drive", " during storm")
        for statistic in ("p50", "p99")
    ]
    faster = compared({"lateness_s": 0.02}, {"lateness_s": 0.002})
    assert faster.worse_than(0) == []


@pytest.mark.parametrize(
    ("metric", "before", "after", "worse_percent"),
    [
        ("lost", 0.0, 0.0, 0),
        ("lost", 0.0, 1.0, float("inf")),
        ("lost", 2.0, 3.0, 50),
        ("connected", 100.0, 90.0, 10),
        ("connected", 90.0, 100.0, 0),
        ("published", 100.0, 10.0, 0),
        ("connected", None, 10.0, 0),
        ("publish_ack_ms", 10.0, 15.0, 50),
        # Below the resolution of the clocks nothing is worse.
        ("publish_ack_ms", 0.01, 0.09, 0),
    ],
)
def test_what_is_worse(
    metric: str, before: float | None, after: float | None, worse_percent: float
) -> None:
    """More losses and fewer cars are worse; more messages are neither."""
    assert Difference(metric, None, None, before, after).worse_percent == worse_percent


def test_checks_that_changed_are_listed() -> None:
    """A check that holds in one run only, or is asked in one only, is a change."""
    both = compared(
        {"checks": ["lateness_ms.p99 < 5", "lost == 5"]},
        {"checks": ["lateness_ms.p99 < 5", "lost < 6"], "lateness_s": 0.01},
    )
    changed = {item.text: item.is_changed for item in both.checks}
    assert changed == {"lateness_ms.p99 < 5": True, "lost == 5": True, "lost < 6": True}
    text = printed(both)
    assert "lateness_ms.p99 < 5: held (" in text
    assert "lost == 5: held (5) in A, not asked in B" in text


def test_runs_that_are_not_alike_are_warned_about() -> None:
    """Another seed, scenario, machine, a partial run or a busy generator spoil a comparison."""
    unlike = compared(
        {},
        {
            "seed": 8,
            "machine": {"cores": "64"},
            "name": "city-morning",
            "checks": ["lost == 0"],
            "seconds": 20,
            "outcome": "interrupted",
            "cpu_share": 0.99,
            "workers": 4,
        },
    )
    text = "\n".join(unlike.warnings)
    assert "B is a partial result" in text
    assert "the generator was the limit in B: its busiest worker used 99 % of a core" in text
    assert "the scenarios differ: city-evening and city-morning" in text
    assert "the seeds differ: 7 and 8" in text
    assert "the scenarios differ in: checks" in text
    assert "cores (2 and 64)" in text
    assert "numbers of workers differ: 2 and 4" in text


def test_the_document_is_json() -> None:
    """The comparison is plain JSON, infinite changes included."""
    before = Result()
    before.add(records_of_a_run.header())
    found = json.loads(
        json.dumps(compare(before, records_of_a_run.result()).as_json(), allow_nan=False)
    )
    assert found["format"] == "morai-edge/comparison/1"
    figures = {item["figure"]: item for item in found["differences"]}
    assert figures["connected"]["before"] == 0
    assert figures["connected"]["after"] == 98
    assert figures["published"]["ratio"] is None


def test_it_fits_a_terminal() -> None:
    """At 80 columns no figure is cut; in a pipe no line is wrapped."""
    unlike = compared({}, {"lateness_s": 0.03})
    lines = printed(unlike, width=80, force_terminal=True, no_color=True).splitlines()
    assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(lines)
    piped = printed(unlike).splitlines()
    assert any(len(line) > 80 for line in piped)
    assert any(line.split()[-1:] == ["worse"] for line in piped)


def test_refusals_of_quotas_are_compared_one_by_one() -> None:
    """More of them is worse, in all and of each quota that either run broke."""
    more = compared({"seconds": 30}, {"seconds": 60})
    by_name = {item.name: item for item in more.differences}

    assert (by_name["quota_refusals"].before, by_name["quota_refusals"].after) == (0, 1_235)
    found = by_name["quota_refusals of publishes-per-connection"]
    assert (found.before, found.after, found.quota) == (0, 1_234, "publishes-per-connection")
    assert found in more.worse_than(20)
