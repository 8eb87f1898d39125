"""The terminal summary on terminals, in pipes and without colours."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from simulator.load.records import Count, ProcessUse, Snapshot
from simulator.report.result import Result
from simulator.report.summary import print_summary
from simulator.report.verdict import judge
from tests.simulator.report import records_of_a_run

ESCAPE = "\x1b"


def printed(result: Result, **console: Any) -> list[str]:
    """The lines of the summary."""
    out = io.StringIO()
    print_summary(result, judge(result), Console(file=out, highlight=False, **console))
    return out.getvalue().splitlines()


def section(lines: list[str], title: str) -> list[str]:
    """The lines below a title."""
    start = lines.index(title) + 1
    return lines[start : lines.index("", start)]


def test_a_pipe_gets_plain_whole_lines() -> None:
    """Without a terminal no line is cut, padded, wrapped or coloured."""
    lines = printed(records_of_a_run.result(seconds=65))
    assert lines[0] == "98 of 100 cars connected; generator was NOT the limit; 4 of 6 checks held"
    assert lines[-1] == "2 of 6 checks FAILED: lost == 0 (5), connected == 100 (98)"
    assert not any(ESCAPE in line or line != line.rstrip() for line in lines)
    assert any(len(line) > 100 for line in lines)


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_is_never_exceeded(width: int) -> None:
    """On a terminal every line fits, and figures are not cut."""
    for changes in ({"seconds": 65}, {"seconds": 12, "outcome": "interrupted"}):
        result = records_of_a_run.result(**changes)
        lines = printed(result, width=width, force_terminal=True, no_color=True)
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
        assert max(map(len, plain)) <= width
        assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(plain)


def test_colours_are_kept_from_those_who_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR leaves bold and dim, but no colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    result = records_of_a_run.result(seconds=65)
    text = "\n".join(printed(result, width=100, force_terminal=True))
    assert not re.search(r"\x1b\[(?:\d+;)*3[0-7]", text)


def test_what_was_promised_and_measured() -> None:
    """Checks with their values, latencies by group, and rates by phase are in the summary."""
    lines = printed(records_of_a_run.result(seconds=65))
    assert re.fullmatch(r"FAILED +lost == 0 +5", section(lines, "promised")[4])
    measured = section(lines, "measured, ms")
    assert measured[0].split() == ["count", "p50", "p90", "p99", "p99.9", "max"]
    names = [line.split()[0] for line in measured[1:]]
    assert names[:6] == ["connect_ms", "cars", "vans", "tls_ms", "cars", "vans"]
    # One group only has these, so it is not repeated below.
    assert names[names.index("publish_ack_ms") + 1] == "end_to_end_ms"
    drive = section(lines, "by phase")[2].split()
    assert drive[:5] == ["drive", "30", "s", "158", "316"]


def test_what_was_lost_not_sent_and_refused() -> None:
    """Losses, causes and reason codes with their meaning are in the summary."""
    lines = printed(records_of_a_run.result(seconds=65))
    assert section(lines, "seen by the observers")[-1].split()[-4:] == ["5", "4", "1", "0"]
    assert "30  not sent     the car was offline" in section(lines, "not sent, and not confirmed")
    assert "14  CONNACK 0x87  not authorized" in section(lines, "reason codes and broken links")
    assert "14  connect not authorized" in section(lines, "refused by the target")
    assert any("47.0 s" in line and "storm" in line for line in section(lines, "went wrong"))


def test_other_targets_do_not_say_what_they_refused() -> None:
    """A broker reports no refusals, which is not the same as none."""
    quotas = {
        "findings": [
            {"quota": "connects", "fits": False, "text": "needs 600 connects/s, limit 500"},
            {"quota": "publishes", "fits": True},
        ]
    }
    result = Result()
    result.add(records_of_a_run.header(target_kind="broker", quotas=quotas))
    refused = section(printed(result), "refused by the target")
    assert refused == [
        "it does not say; only the stand-in does",
        "forecast: needs 600 connects/s, limit 500",
    ]


def test_cost_is_itemised() -> None:
    """The estimate of the header is shown with its date; a damaged one is left out."""
    cost = section(printed(records_of_a_run.result()), "estimated cost at AWS, USD")
    assert cost[1].split() == ["messages", "13,000", "5", "kB", "0.013000", "561.60"]
    assert cost[-2].split() == ["all", "0.013008", "561.94"]
    assert "2026-01-15" in cost[-1]
    damaged = records_of_a_run.result(cost={"items": 7})
    assert "estimated cost at AWS, USD" not in printed(damaged)


def test_hostile_names_can_do_nothing() -> None:
    """Terminal commands and markup in a result are shown, not obeyed."""
    result = records_of_a_run.result(target="\x1b]0;gone\x07[bold]x[/nope]")
    evil = {"\x1b[2J[red]x[/]": 3}
    result.add(
        Snapshot(
            0,
            99,
            60.0,
            61.0,
            [Count("published", "\x1b[1m", "storm", 1)],
            [],
            {},
            evil,
            ProcessUse(0.1, 1),
        )
    )
    text = "\n".join(printed(result))
    assert ESCAPE not in text
    assert r"\x1b]0;gone\x07[bold]x[/nope]" in text
    assert r"\x1b[2J[red]x[/]" in text


def test_an_empty_result_prints() -> None:
    """A run that never began has a summary too."""
    lines = printed(Result())
    assert lines[0].startswith("PARTIAL RESULT: cut off after 0 s; 0 of 0 cars connected")
    assert lines[-1] == "There were no checks."


def test_a_run_that_kept_its_promises_ends_with_that() -> None:
    """The last line of a good run says that every check held."""
    lines = printed(records_of_a_run.result(seconds=65, checks=["connected >= 98"]))
    assert lines[-1] == "Every check held (1)."
