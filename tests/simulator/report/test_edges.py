"""What probes saw and the stand-in counted, judged, and shown in every form."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from simulator.load.records import (
    ClientRefusals,
    End,
    PlannedProbe,
    Probed,
    ProbedSide,
    ProcessUse,
    QuotaRefusals,
    Record,
    Snapshot,
    TargetQuotas,
    TargetReport,
    decode_record,
    encode_record,
)
from simulator.report import documents
from simulator.report.junit import to_xml
from simulator.report.page import render
from simulator.report.result import Result
from simulator.report.summary import print_summary
from simulator.report.verdict import judge
from tests.simulator.report import records_of_a_run

USE = ProcessUse(0.1, 1)
PUBLISHES = "publishes-per-connection-in"
FINE = ProbedSide(90, 90, 90, 0, "")
DISCARDED = ProbedSide(130, 130, 100, 30, "no PUBACK")
ACCEPTED = ProbedSide(130, 130, 130, 0, "")


def probed(
    below: ProbedSide | None = FINE,
    above: ProbedSide | None = DISCARDED,
    edge: str = PUBLISHES,
    **changes: Any,
) -> Probed:
    """An edge that probes are done with."""
    values: dict[str, Any] = {
        "at_s": 5.0,
        "probes": "edges",
        "edge": edge,
        "quota": "publishes-per-connection",
        "limit": 100.0,
        "unit": "publishes/s",
        "is_enforced": True,
        "clients": ("load:edges:x:b", "load:edges:x:a"),
        "below": below,
        "above": above,
    }
    return Probed(**values | changes)


def folded(found: Probed | None, *, counted: int = 30, below: int = 0, ends: bool = True) -> Result:
    """A run with one probed edge, for whose clients the stand-in counted so much."""
    clients = [
        ClientRefusals("load:edges:x:a0", counted, 0),
        ClientRefusals("load:edges:x:b0", below, 0),
        ClientRefusals("car-1", 500, 0),
    ]
    refused = QuotaRefusals(counted + below + 500, True, "IoT Core refused some", clients)
    quotas = TargetQuotas("default", "enforce", {"publishes-per-connection": refused})
    name = found.edge if found is not None else PUBLISHES
    checks = ["probes_failed == 0", "quota_refusals == 0 of publishes-per-connection"]
    records: list[Record] = [
        records_of_a_run.header(probes=[PlannedProbe("edges", name)], checks=checks),
        Snapshot(0, 0, 0.0, 1.0, [], [], {}, {}, USE, [], [found] if found is not None else []),
        TargetReport(1.0, {}, {}, USE, quotas),
    ]
    if ends:
        records.append(End(1.0, "completed", "", {}, {}))
    result = Result()
    for record in records:
        result.add(decode_record(encode_record(record)))
    return result


@pytest.mark.parametrize(
    ("found", "counts", "note"),
    [
        (probed(), {}, ""),
        (probed(), {"counted": 29}, "above: 30 refused and 29 counted"),
        (probed(), {"below": 2}, "below: counted 2 times"),
        (
            probed(below=ProbedSide(90, 90, 88, 2, "no PUBACK")),
            {},
            "below: 2 of 90: no PUBACK",
        ),
        (
            probed(above=ProbedSide(130, 130, 100, 30, "PUBACK 0x97")),
            {},
            "above: 30 of 130: PUBACK 0x97, where no PUBACK is documented",
        ),
        (
            probed(above=ACCEPTED),
            {"counted": 0},
            "above: 130 accepted, where no PUBACK is documented",
        ),
        (probed(above=None, fault="no answer within 15 s"), {}, "no answer within 15 s"),
        (probed(edge="of-tomorrow"), {}, "this version does not know it"),
        (probed(above=ACCEPTED, is_enforced=False), {}, ""),
        (probed(above=ACCEPTED, is_enforced=False), {"counted": 0}, "above: counted 0 times"),
        (
            probed(is_enforced=False),
            {},
            "above: 30 of 130: no PUBACK, although it is only observed",
        ),
        (None, {}, "the run ended before"),
    ],
)
def test_an_edge_is_judged(found: Probed | None, counts: dict[str, Any], note: str) -> None:
    """Both what clients saw and what was counted for them must be as documented."""
    [row] = folded(found, **counts).edges

    assert (row.state, row.note) == ("failed" if note else "held", note)


def test_what_is_never_counted_must_not_be() -> None:
    """An adjusted Keep Alive is refused to nobody."""
    found = probed(
        below=ProbedSide(30, 1, 1, 0, ""),
        above=ProbedSide(29, 1, 0, 1, "adjusted"),
        edge="keep-alive-least",
    )

    assert folded(found, counted=0).edges[0].state == "held"
    assert folded(found, counted=1).edges[0].note == "above: 1 refused and 1 counted"
    assert folded(found, counted=0).edges[0].above == "29: adjusted"


def test_while_a_run_goes_on_clients_are_believed() -> None:
    """The stand-in names few clients until the end; what has not been probed is to come."""
    [row] = folded(probed(), counted=0, ends=False).edges
    [coming] = folded(None, ends=False).edges

    assert (row.state, row.counted) == ("held", None)
    assert coming.state == "to come"


def test_what_is_passed_over_neither_holds_nor_fails() -> None:
    """An edge out of reach is said and counts for nothing."""
    result = folded(probed(below=None, above=None, passed_over="more than the 100 probed"))

    assert [row.state for row in result.edges] == ["passed over"]
    assert (result.value("probes_held"), result.value("probes_failed")) == (0, 0)


def test_checks_name_what_failed() -> None:
    """A failed check of probes names the quotas, one of refusals says the sentence."""
    rows = judge(folded(probed(), counted=29)).rows

    assert [(row.value, row.held) for row in rows] == [(1, False), (529, False)]
    assert rows[0].note == PUBLISHES
    assert rows[1].note == "IoT Core refused some"


def test_refusals_are_counted_by_quota() -> None:
    """All of them, those of one, and none of a quota that refused nothing."""
    result = folded(probed())

    assert result.value("quota_refusals") == 530
    assert result.value("quota_refusals", quota="publishes-per-connection") == 530
    assert result.value("quota_refusals", quota="payload-bytes") == 0
    assert result.value("lost", quota="payload-bytes") is None
    assert Result().value("quota_refusals") is None


def printed(result: Result, *, width: int | None = None) -> str:
    """The terminal summary."""
    terminal = width is not None
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, record=True)
    print_summary(result, judge(result), console)
    return console.export_text()


def test_the_terminal_shows_a_table() -> None:
    """Each quota has its limit, both sides and the count; a note says what was wrong."""
    lines = printed(folded(probed(), counted=29)).splitlines()
    row = next(line.split() for line in lines if PUBLISHES in line and "130" in line)

    assert " ".join(row) == (
        f"FAILED {PUBLISHES} 100 publishes/s 90 accepted 30 of 130: no PUBACK 29 above: 30 refused "
        "and 29 counted"
    )
    assert max(map(len, printed(folded(probed()), width=80).splitlines())) <= 80


def test_the_terminal_says_what_quotas_would_have_refused() -> None:
    """With the clients that were refused most, and what was refused for good beside it."""
    text = printed(records_of_a_run.result())

    assert "quotas of AWS IoT Core (default, only observed)" in text
    assert records_of_a_run.WOULD_HAVE_REFUSED in text
    assert "load:dashboard:0001 1,200, vans-7 at most 30, others 4" in text
    assert "IoT Core refused 1 message" in text


def test_quotas_that_refused_nothing_are_said() -> None:
    """A good run shows that it was looked at."""
    text = printed(records_of_a_run.result(seconds=30))

    assert "IoT Core would have refused nothing" in text


def test_junit_has_a_case_for_each_quota() -> None:
    """A failure with both sides, a skip for what was passed over, and the sentences as output."""
    failed = ET.fromstring(to_xml(result := folded(probed(), counted=29), judge(result)))
    passed = ET.fromstring(
        to_xml(result := folded(probed(None, None, passed_over="too many")), judge(result))
    )
    [suite], [other] = failed, passed

    case = suite.findall("testcase")[-1]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "3", "0")
    assert case.get("name") == f"quota {PUBLISHES} at its edge, by edges"
    assert case[0].get("message") == "above: 30 refused and 29 counted"
    assert "limit 100 publishes/s; below: 90 accepted" in (case[0].text or "")
    assert other.get("skipped") == "1"
    assert "IoT Core refused some" in (suite.findtext("system-out") or "")


def test_the_document_has_quotas_and_edges() -> None:
    """By quota with their clients, and valid by the schema that is kept."""
    result = folded(probed())
    found = documents.as_json(result, judge(result))
    jsonschema.validate(found, documents.json_schema())

    refused = found["target"]["quotas"]["refused"]["publishes-per-connection"]
    assert (refused["refused"], refused["clients"][2]) == (530, ["car-1", 500, 0])
    assert found["edges"] == [
        {
            "probes": "edges",
            "edge": PUBLISHES,
            "state": "held",
            "limit": "100 publishes/s",
            "below": "90 accepted",
            "above": "30 of 130: no PUBACK",
            "counted": 30,
            "note": "",
        }
    ]
    by_quota = [each for each in found["numbers"] if each["quota"]]
    assert by_quota == [
        {
            "metric": "quota_refusals",
            "group": None,
            "phase": None,
            "value": 530,
            "quota": "publishes-per-connection",
        }
    ]
    assert found["checks"][1]["quota"] == "publishes-per-connection"


def test_the_page_has_quotas_and_edges() -> None:
    """The sentence is a notice at the top, the table says to whom, the edges have a section."""
    observed = records_of_a_run.result()
    page = render(observed, judge(observed))
    edges = render(result := folded(probed()), judge(result))

    assert f"{records_of_a_run.WOULD_HAVE_REFUSED}." in page
    assert "load:dashboard:0001 1,200" in page
    assert "Quotas at their edge" not in page
    assert "Quotas at their edge" in edges
    assert "30 of 130: no PUBACK" in edges


def test_results_of_before_are_read() -> None:
    """Records without quotas and probes are those of a stand-in that does not tell."""
    line = {"record": "target", "at_s": 1.0, "counters": {}, "refusals": {"x": 1}}
    line["process"] = {"cpu_s": 0.1, "resident_bytes": 1}
    record = decode_record(json.dumps(line).encode())

    assert isinstance(record, TargetReport)
    assert record.quotas is None
