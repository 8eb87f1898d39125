"""The JSON report and its published schema."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from simulator.report import documents
from simulator.report.result import Result
from simulator.report.schema import load_schema
from simulator.report.verdict import judge
from simulator.scenario.checks import METRICS
from tests.simulator.report import records_of_a_run

VALIDATOR = Draft202012Validator(load_schema())


def document(**changes: Any) -> dict[str, Any]:
    """The document of the run."""
    result = records_of_a_run.result(**changes)
    return documents.as_json(result, judge(result))


def test_the_published_schema_is_a_schema_and_current() -> None:
    """The file that ships is what the code says, and a valid JSON Schema."""
    Draft202012Validator.check_schema(load_schema())
    assert load_schema() == documents.json_schema()


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": 65},
        {"seconds": 12, "outcome": "interrupted", "reason": "Ctrl-C"},
        {"seconds": 0, "outcome": "cut off"},
        {"checks": [], "cost": {}, "quotas": {}},
    ],
)
def test_documents_follow_the_schema(changes: dict[str, Any]) -> None:
    """Whole, partial and empty runs give documents of the published shape."""
    VALIDATOR.validate(document(**changes))


def test_a_result_without_a_header_has_a_document() -> None:
    """Nothing at all is reported as nothing."""
    found = documents.as_json(Result(), judge(Result()))
    VALIDATOR.validate(found)
    assert found["outcome"] == "cut off"


def test_the_schema_refuses_another_version() -> None:
    """A document that says it is of another version is not of this schema."""
    assert not VALIDATOR.is_valid({**document(), "format": "morai-edge/report/2"})
    assert not VALIDATOR.is_valid({"format": "morai-edge/report/1"})


def test_the_figures_are_those_of_the_run() -> None:
    """First line, cars, checks, latencies, books and refusals are in the document."""
    found = document(seconds=65)
    assert found["first_line"].startswith("98 of 100 cars connected")
    assert found["cars"] == {"asked": 100, "connected": 98}
    assert found["groups"]["vans"] == {"asked": 40, "connected": 38}
    assert not found["held"]
    lost = next(check for check in found["checks"] if check["check"] == "lost == 0")
    assert (lost["value"], lost["held"], lost["bound"]) == (5, False, 0)
    cuts = {
        (item["group"], item["phase"]): item["count"]
        for item in found["latencies_ms"]
        if item["metric"] == "end_to_end_ms"
    }
    assert cuts[(None, "drive")] == 158 * 30
    assert cuts[("vans", "drive")] == 38 * 30
    assert cuts[(None, None)] == cuts[("cars", None)] + cuts[("vans", None)]
    assert sum(book["lost"] for book in found["books"]) == 5
    assert found["reasons"]["CONNACK 0x87"] == 14
    assert found["target"]["refusals"]["unknown topic"] == 1
    assert found["not_sent"] == {
        "not_sent_offline": 30,
        "not_sent_window": 6,
        "not_sent_backpressure": 2,
    }


def test_every_number_is_there() -> None:
    """Each metric that is a number is listed for the whole run."""
    whole = {item["metric"] for item in document()["numbers"] if item["group"] == item["phase"]}
    assert whole == {name for name, metric in METRICS.items() if metric.kind != "latency"}


def test_columns_over_time_have_one_value_a_slice() -> None:
    """The series has as many values in each column as the run has seconds."""
    series = document(seconds=60)["series"]
    assert series.pop("slice_s") == 1
    assert {len(column) for column in series.values()} == {60}
    assert series["online"][20] == 98
    assert series["published"][20] == 158
    assert series["disconnects"][47] == 20
    assert series["not_sent"][46] == 8


def test_infinities_are_null() -> None:
    """The text is JSON for every reader, also when a record holds nonsense."""
    result = records_of_a_run.result(cost={"run_usd": math.inf, "items": [math.nan]})
    text = documents.to_text(result, judge(result))

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(text, parse_constant=refuse)["cost"] == {"run_usd": None, "items": [None]}
