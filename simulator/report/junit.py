"""The checks of a run as JUnit XML, which continuous integration systems show as tests.

Owns the form: one test suite, one test case a check and one a probed quota, a failure with what was
measured, the first line of the report and what quotas refused as the suite's output. It follows the
schema that Jenkins' xUnit plugin publishes (junit-10.xsd,
https://github.com/jenkinsci/xunit-plugin). Pure.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Final

from simulator.report.quotas import refused_by_quota
from simulator.report.verdict import NOTHING_MEASURED, bound_text

if TYPE_CHECKING:
    from simulator.report.edges import EdgeRow
    from simulator.report.result import Result
    from simulator.report.verdict import CheckRow, Verdict

_NOT_PROBED: Final = frozenset({"passed over", "to come"})
# Characters that XML 1.0 cannot hold, not even escaped (section 2.2), and those it discourages.
_UNWRITABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]"
)


def to_xml(result: Result, verdict: Verdict) -> bytes:
    """The JUnit XML document, in UTF-8."""
    name = result.header.name if result.header else "result"
    edges = result.edges
    failures = len(verdict.failed) + sum(row.state == "failed" for row in edges)
    skipped = sum(row.state in _NOT_PROBED for row in edges)
    tests = len(verdict.rows) + len(edges)
    totals = {"tests": str(tests), "failures": str(failures), "errors": "0"}
    elapsed = f"{result.elapsed_s:.3f}"
    root = ET.Element("testsuites", {"name": "morai-sim", **totals, "time": elapsed})
    suite = ET.SubElement(
        root,
        "testsuite",
        {"name": _clean(name), **totals, "skipped": str(skipped), "time": elapsed}
        | _timestamp(result),
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(result).items():
        ET.SubElement(properties, "property", {"name": key, "value": _clean(value)})
    for row in verdict.rows:
        _add_case(suite, name, row)
    for edge in edges:
        _add_edge(suite, name, edge)
    output = [verdict.first_line, *(f"warning: {text}" for text in verdict.warnings)]
    output += [each.text for each in refused_by_quota(result)]
    ET.SubElement(suite, "system-out").text = _clean("\n".join(output))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add_case(suite: ET.Element, scenario: str, row: CheckRow) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        # The time of a check is not known: it was measured all the while.
        {"classname": _clean(scenario), "name": _clean(row.check.text), "time": "0"},
    )
    if row.held:
        return
    measured = row.value_text if row.value is None else f"measured {row.value_text}"
    message = f"{measured}, promised {bound_text(row.check)}"
    note = row.note if row.note not in {"", NOTHING_MEASURED} else ""
    failure = ET.SubElement(case, "failure", {"type": "check", "message": _clean(message)})
    failure.text = _clean(
        "\n".join(
            filter(None, [message, note, f"{row.check.metric.name}: {row.check.metric.meaning}"])
        )
    )


def _add_edge(suite: ET.Element, scenario: str, row: EdgeRow) -> None:
    name = f"quota {row.name} at its edge, by {row.probes}"
    attributes = {"classname": _clean(scenario), "name": _clean(name), "time": "0"}
    case = ET.SubElement(suite, "testcase", attributes)
    if row.state == "failed":
        failure = ET.SubElement(case, "failure", {"type": "probe", "message": _clean(row.note)})
        sides = f"below: {row.below or 'not seen'}; above: {row.above or 'not seen'}"
        failure.text = _clean(f"limit {row.limit}; {sides}")
    elif row.state in _NOT_PROBED:
        ET.SubElement(case, "skipped", {"message": _clean(row.note or row.state)})


def _timestamp(result: Result) -> dict[str, str]:
    started = result.header.started if result.header else ""
    return {"timestamp": _clean(started)} if started else {}


def _properties(result: Result) -> dict[str, str]:
    header = result.header
    if header is None:
        return {}
    return {
        "target": header.target,
        "version": header.version,
        "seed": str(header.scenario.get("seed", "")),
        "asked": str(result.asked()),
        "connected": str(result.connected()),
        "partial": str(result.is_partial).lower(),
        "generator": result.generator.why,
    }


def _clean(text: str) -> str:
    """The text with the replacement character for each one that XML cannot hold."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)
