"""JUnit XML against the schema of Jenkins' xUnit plugin, as far as it is used.

https://github.com/jenkinsci/xunit-plugin, junit-10.xsd: elements, their attributes (required ones
first) and their children.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from simulator.report.junit import to_xml
from simulator.report.result import Result
from simulator.report.verdict import judge
from tests.simulator.report import records_of_a_run

# element: (required attributes, optional attributes, children)
SHAPE: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
        },
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def document(**changes: Any) -> ET.Element:
    """The parsed document of the run."""
    result = records_of_a_run.result(**changes)
    return ET.fromstring(to_xml(result, judge(result)))


def assert_shape(element: ET.Element) -> None:
    """The element and all below it have the attributes and children of the schema."""
    required, optional, children = SHAPE[element.tag]
    assert required <= set(element.attrib) <= required | optional
    assert {child.tag for child in element} <= children
    if element.tag.startswith("testsuite"):
        assert TIME.fullmatch(element.attrib["time"])
    for child in element:
        assert_shape(child)


@pytest.mark.parametrize(
    "changes",
    [{"seconds": 65}, {"seconds": 3, "outcome": "interrupted"}, {"checks": []}],
)
def test_it_has_the_shape_that_ci_systems_read(changes: dict[str, Any]) -> None:
    """Elements, attributes and times are those of the schema."""
    assert_shape(document(**changes))


def test_a_result_without_a_header_is_an_empty_suite() -> None:
    """Nothing to judge is no test case, and no crash."""
    root = ET.fromstring(to_xml(Result(), judge(Result())))
    assert_shape(root)
    assert not root.findall(".//testcase")


def test_each_check_is_a_test_case() -> None:
    """Checks that failed are failures with what was measured and promised."""
    root = document(seconds=65)
    names = [case.attrib["name"] for case in root.iter("testcase")]
    assert names == records_of_a_run.CHECKS
    (suite,) = root
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("6", "2")
    failures = {
        case.attrib["name"]: failure.attrib["message"]
        for case in root.iter("testcase")
        for failure in case.iter("failure")
    }
    assert failures == {
        "lost == 0": "measured 5, promised == 0",
        "connected == 100": "measured 98, promised == 100",
    }


def test_a_check_of_nothing_is_a_failure() -> None:
    """A phase that did not take place fails its check, and the text says why."""
    (failure,) = document(checks=["published > 0 during storm"], seconds=5).iter("failure")
    assert failure.attrib["message"] == "nothing was measured, promised > 0"
    assert "the run ended before phase storm" in (failure.text or "")


def test_the_output_is_the_first_line() -> None:
    """The suite's output begins with the first line of every report."""
    output = document(seconds=3, outcome="interrupted").findtext("testsuite/system-out")
    assert (output or "").startswith("PARTIAL RESULT: interrupted after 3 s; 24 of 100 cars")


def test_text_that_xml_cannot_hold_is_replaced() -> None:
    """Markup is escaped; control characters, surrogates and non-characters are replaced."""
    root = document(target='<a>&"\x00\x1b\ufffe\ud800]]>')
    values = {item.attrib["name"]: item.attrib["value"] for item in root.iter("property")}
    assert values["target"] == '<a>&"\ufffd\ufffd\ufffd\ufffd]]>'
