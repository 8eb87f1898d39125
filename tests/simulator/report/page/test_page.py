from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from simulator.load.histograms import encode, of_seconds
from simulator.load.records import (
    Count,
    End,
    Event,
    Latencies,
    PlannedFault,
    PlannedGroup,
    PlannedPhase,
    Position,
    ProcessUse,
    Snapshot,
    StreamBooks,
    TargetReport,
)
from simulator.report.page import render
from simulator.report.result import Result
from simulator.report.verdict import judge
from tests.simulator.report import records_of_a_run
from tests.simulator.report.page.reading_a_page import ReadPage

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;{{ 7*7 }}"


def page_of(result: Result) -> str:
    """The page of a result."""
    return render(result, judge(result))


@pytest.fixture(scope="module")
def page() -> str:
    """The page of the plausible run."""
    return page_of(records_of_a_run.result())


@pytest.fixture(scope="module")
def read(page: str) -> ReadPage:
    """The same, read."""
    return ReadPage(page)


def test_the_page_is_whole_html(page: str, read: ReadPage) -> None:
    """Every element is closed, ids are unique, and links within the page lead somewhere."""
    ids = read.values_of("id")

    assert page.startswith("<!DOCTYPE html>")
    assert read.open == []
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in read.values_of("href") if link.startswith("#")} <= set(ids)
    assert set(read.values_of("aria-labelledby")) <= set(ids)


def test_nothing_is_loaded_from_anywhere(page: str, read: ReadPage) -> None:
    """No attribute, style or script names anything outside of the file."""
    links = [
        value
        for attribute in ("src", "href", "xlink:href", "srcset", "action", "data", "poster")
        for value in read.values_of(attribute)
        if not value.startswith("#")
    ]
    styles = "".join(read.styles)
    scripts = "".join(content for _, content in read.scripts)

    assert links == ["data:,"]
    assert "style" not in {name for _, attributes in read.elements for name in attributes}
    assert not re.search(r"url\(|@import", styles)
    assert not re.search(
        r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|\bimport\(",
        scripts,
    )
    assert not re.search(r"<(?:iframe|object|embed|link[^>]+stylesheet|base)\b", page)


def test_the_policy_allows_the_scripts_of_the_file_and_nothing_else(read: ReadPage) -> None:
    """The content security policy forbids everything but what is in the file, by hash."""
    (policy,) = [
        attributes["content"]
        for tag, attributes in read.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def hashed(content: str) -> str:
        digest = hashlib.sha256(content.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [hashed(text) for kind, text in read.scripts if not kind]
    assert rules["style-src"].split() == [hashed(text) for text in read.styles]
    assert not {"connect-src", "font-src", "frame-src"} & rules.keys()


def test_the_licence_of_the_plotting_library_is_on_the_page(read: ReadPage) -> None:
    """The notice that the MIT licence asks for goes with every copy."""
    assert "Copyright (c) 2022 Leon Sorokin" in read.text
    assert "THE SOFTWARE IS PROVIDED" in read.text


def test_checks_phases_and_faults_are_all_there(read: ReadPage) -> None:
    """Every check, phase, group and fault is on the page, with the first line as its heading."""
    assert "98 of 100 cars connected" in read.text
    assert "4 of 6 checks held" in read.text
    for expected in (*records_of_a_run.CHECKS, "arrive", "drive", "storm", "cars", "vans"):
        assert expected in read.text
    assert read.text.count("✓ held") == 4
    assert read.text.count("✗ failed") == 1 + 2  # the badge and two checks
    assert "storm: 20 of vans dropped and back at once" in read.text


def test_the_top_says_what_was_lost_and_what_it_costs(read: ReadPage) -> None:
    """Losses, reason codes with their meaning, refusals and cost are on the page."""
    for expected in ("connect not authorized", "PUBACK 0x97", "quota exceeded", "$561.94"):
        assert expected in read.text
    assert "CONNACK 0x87" in read.text


def test_every_chart_has_its_phases_and_faults(read: ReadPage) -> None:
    """The data that all charts share holds phases and faults with their times."""
    figures = read.figures

    assert [(p["name"], p["start_s"], p["end_s"]) for p in figures["phases"]] == [
        ("arrive", 0, 15),
        ("drive", 15, 45),
        ("storm", 45, 60),
    ]
    assert [(m["label"], m["start_s"], m["fault"]) for m in figures["marks"]] == [
        ("F1 storm", 47, True)
    ]
    drawn = read.values_of("data-chart")
    assert set(drawn) == set(figures["charts"])
    assert {"messages", "latency", "online", "connects", "troubles", "cpu", "lateness"} <= set(
        drawn
    )


def test_charts_hold_what_was_measured(read: ReadPage) -> None:
    """In the middle of the run 60 cars publish twice and 38 vans once a second."""
    figures = read.figures
    at = figures["times_s"].index(20.5)

    def column(chart: str, label: str) -> list[Any]:
        spec = figures["charts"][chart]
        labels = [series["label"] for series in spec["series"]]
        return list(spec["columns"][labels.index(label)])

    assert column("messages", "published by cars")[at] == 60 * 2 + 38
    assert column("messages", "received by observers")[at] == 2 * (60 * 2 + 38)
    assert column("online", "all cars")[at] == 98
    assert column("online", "vans")[at] == 38
    assert column("online", "asked for")[at] == 100
    assert column("connects", "disconnects")[47] == 20
    assert column("cpu", "worker 0")[at] == pytest.approx(0.4)
    for chart in figures["charts"].values():
        for choice in chart.get("choices", [chart]):
            assert len(choice["columns"]) == len(chart["series"])
            assert {len(values) for values in choice["columns"]} == {len(figures["times_s"])}


def test_percentiles_over_time_never_cross(read: ReadPage) -> None:
    """At every second p50 <= p90 <= p99 <= p99.9 <= max, for each latency."""
    choices = read.figures["charts"]["latency"]["choices"]

    assert len(choices) == 5
    for choice in choices:
        for percentiles in zip(*choice["columns"], strict=True):
            known = [value for value in percentiles if value is not None]
            assert known == sorted(known)
            assert len(known) in {0, 5}


def test_the_map_shows_the_recorded_cars(page: str) -> None:
    """Ten cars were recorded, all of the first group, each with its own title."""
    titles = re.findall(r"<title>(cars, car \d+)</title>", page)

    assert sorted(titles) == sorted(f"cars, car {number}" for number in range(1, 11))


def test_hostile_texts_stay_texts() -> None:
    """Markup in any text of a result, also in its data, is shown as it is and does nothing."""
    result = Result()
    header = records_of_a_run.header(
        name=HOSTILE,
        target=HOSTILE,
        version=HOSTILE,
        started=HOSTILE,
        machine={HOSTILE: HOSTILE},
        groups=[PlannedGroup(HOSTILE, 3, "engine", [HOSTILE]), PlannedGroup("x", 1, "engine", [])],
        phases=[PlannedPhase(HOSTILE, 0, 5, 1, 1), PlannedPhase("later", 5, 9, 1, 2)],
        faults=[PlannedFault(HOSTILE, 1, 3, 2, HOSTILE)],
        scenario={"description": HOSTILE, HOSTILE: [HOSTILE], "seed": HOSTILE},
        quotas={
            "region": HOSTILE,
            "findings": [{"quota": HOSTILE, "fits": False, "remedy": HOSTILE, "unit": HOSTILE}],
        },
        cost={"region": HOSTILE, "items": [{"name": HOSTILE}], "notes": [HOSTILE]},
    )
    for record in (
        header,
        Snapshot(
            0,
            0,
            0.0,
            1.0,
            [Count("published", HOSTILE, HOSTILE, 3), Count(HOSTILE, HOSTILE, HOSTILE, 1)],
            [
                Latencies("publish_ack_ms", g, p, encode(of_seconds([0.1])))
                for g in (HOSTILE, "x")
                for p in (HOSTILE, "later")
            ],
            {HOSTILE: 2},
            {HOSTILE: 4},
            ProcessUse(0.1, 5),
            [Position(0, 1.0, 1.0), Position(77, 1.0, 1.0)],
        ),
        Event(1.0, "fault", HOSTILE, 0, 2),
        Event(1.5, "warning", HOSTILE),
        TargetReport(2.0, {HOSTILE: 1}, {HOSTILE: 1}, ProcessUse(0.1, 5)),
        StreamBooks(HOSTILE, HOSTILE, HOSTILE, 1, 2, 1, 1, 0, 0, 0),
        End(2.0, "failed", HOSTILE, {HOSTILE: 2}, {HOSTILE: 1}),
    ):
        result.add(record)

    read = ReadPage(page_of(result))

    assert read.open == []
    assert len(read.scripts) == 3
    assert "img" not in {tag for tag, _ in read.elements}
    names = {name for _, attributes in read.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert read.text.count(HOSTILE) > 20
    assert read.figures["phases"][0]["name"] == HOSTILE
    assert read.figures["charts"]["online"]["series"][1]["label"] == HOSTILE


def test_text_that_reverses_the_line_is_written_out() -> None:
    """Characters that reorder or hide text are shown by their escapes."""
    result = Result()
    result.add(records_of_a_run.header(name="safe\u202egnp.exe\x00\x1b[31m"))

    read = ReadPage(page_of(result))

    assert r"safe\u202egnp.exe\x00\x1b[31m" in read.text


@pytest.mark.parametrize(
    ("records", "times_s"), [(0, []), (1, []), (2, [0.5]), (6, [0.5, 1.5, 2.5])]
)
def test_a_run_that_hardly_began_has_a_page(records: int, times_s: list[float]) -> None:
    """Without a header, or with a snapshot or few: a page that says it is partial."""
    result = Result()
    for record in records_of_a_run.records()[:records]:
        result.add(record)

    read = ReadPage(page_of(result))

    assert read.open == []
    assert "PARTIAL RESULT" in read.text
    assert read.figures["times_s"] == times_s


def test_an_interrupted_run_says_so_before_anything_else() -> None:
    """A partial result is marked at the top, with the reason."""
    result = records_of_a_run.result(seconds=20, outcome="interrupted", reason="Ctrl-C")

    read = ReadPage(page_of(result))

    assert "The run was interrupted after 20 s (Ctrl-C)" in read.text
    assert read.text.index("Partial result.") < read.text.index("Cars connected")


def test_a_generator_that_was_the_limit_is_told_at_the_top() -> None:
    """The notice and the generator's part both name the cause."""
    read = ReadPage(page_of(records_of_a_run.result(cpu_share=0.97)))

    assert "The generator was the limit." in read.text
    assert "busiest worker used 97 % of a core" in read.text
    assert "✗ The generator was the limit:" in read.text


@pytest.mark.parametrize(
    ("quotas", "cost"),
    [
        ({}, {}),
        ({"findings": "none"}, {"items": 3, "run_usd": "much"}),
        ({"findings": [1, None, {}]}, {"items": [{}, 2], "notes": {"a": 1}}),
        (
            {"findings": [{"quota": "q", "needed": "x", "fits": True}]},
            {"items": [{"run_usd": None}]},
        ),
    ],
)
def test_a_forecast_of_any_shape_is_no_obstacle(
    quotas: dict[str, Any], cost: dict[str, Any]
) -> None:
    """What an older or newer product wrote as forecast is shown as far as it is understood."""
    result = records_of_a_run.result(quotas=quotas, cost=cost)

    assert ReadPage(page_of(result)).open == []


def test_quotas_that_break_come_first() -> None:
    """A broken quota is marked by a word and stands before those that fit."""
    finding = {"unit": "requests/s", "needed": 400.0, "limit": 300.0, "adjustable": True}
    quotas = {
        "findings": [
            {**finding, "name": "inbound things", "fits": True, "needed": 20.0},
            {**finding, "name": "outbound things", "fits": False, "remedy": "arrive slower"},
        ]
    }

    text = ReadPage(page_of(records_of_a_run.result(quotas=quotas))).text

    assert "✗ breaks" in text
    assert "arrive slower" in text
    assert text.index("outbound things") < text.index("inbound things")


def test_ten_minutes_stay_below_400_kilobytes() -> None:
    """A run of ten minutes with every latency, 48 tracks and two workers is still easy to mail."""
    result = Result()
    result.add(records_of_a_run.header())
    metrics = (
        "publish_ack_ms",
        "end_to_end_ms",
        "command_ms",
        "connect_ms",
        "tls_ms",
        "lateness_ms",
    )
    for second in range(600):
        for worker in range(2):
            drawn = [1e-3 * (3 + (second * 7919 + n * 104729) % 997) for n in range(12)]
            result.add(
                Snapshot(
                    worker,
                    second,
                    float(second),
                    second + 1.0,
                    [
                        Count(name, "cars", "drive", 1 + second % 97)
                        for name in (
                            "published",
                            "acknowledged",
                            "received",
                            "connects",
                            "disconnects",
                            "resent",
                            "bytes_out",
                            "bytes_in",
                            "commands_sent",
                            "commands_answered",
                        )
                    ],
                    [Latencies(m, "cars", "drive", encode(of_seconds(drawn))) for m in metrics],
                    {"cars": 20 + second % 11, "vans": 19},
                    {},
                    ProcessUse(0.4 + second % 7 / 100, 90_000_000),
                    [
                        Position(
                            2 * n + worker,
                            37.5 + 0.02 * ((second * (n + 3) * 31) % 1009) / 1009,
                            127.0 + 0.02 * ((second * (n + 5) * 17) % 1013) / 1013,
                        )
                        for n in range(24)
                    ],
                )
            )

    assert len(page_of(result).encode("utf-8")) < 400_000
