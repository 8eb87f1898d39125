from __future__ import annotations

import pytest

from simulator.iotcore.broker.topics import (
    filter_fault,
    is_publishable_reserved,
    is_subscribable_reserved,
    split_shared,
    topic_fault,
)


@pytest.mark.parametrize(
    "topic",
    [
        "a",
        "/",
        "a//b",
        "a/b/c/d/e/f/g/h",
        "x" * 256,
        "é" * 128,
        "$aws/rules/" + "r" * 60 + "/" + "x" * 256,
        "$aws/rules/r/a/b/c/d/e/f/g/h",
        "$aws/rules/SiteWiseWindFarmRule",
        "$aws/commands/things/t/executions/e/response/accepted/json",
    ],
)
def test_takes_topic_names_within_the_limits(topic: str) -> None:
    """256 bytes and 7 slashes are allowed, Basic Ingest's prefix not counted."""
    assert topic_fault(topic) is None


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "a/+",
        "a#",
        "a\x00b",
        "a/b/c/d/e/f/g/h/i",
        "x" * 257,
        "é" * 129,
        "$aws/rules/",
        "$aws/rules/r/",
        "$aws/rules//x",
        "$aws/rules/r/" + "x" * 257,
        "$aws/rules/r/a/b/c/d/e/f/g/h/i",
    ],
)
def test_refuses_topic_names_beyond_the_limits(topic: str) -> None:
    """One byte or slash too many, wildcards, U+0000 and incomplete Basic Ingest are faults."""
    assert topic_fault(topic) is not None


@pytest.mark.parametrize("pattern", ["#", "+", "a/#", "+/b/#", "/+", "a/+/b", "a/b/c/d/e/f/g/h"])
def test_takes_well_formed_filters(pattern: str) -> None:
    """Wildcards that stand alone in their level are valid."""
    assert filter_fault(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b/c/d/e/f/g/h/i", "x" * 257, "a\x00"]
)
def test_refuses_malformed_filters(pattern: str) -> None:
    """Wildcards inside a level, # before the end and oversized filters are faults."""
    assert filter_fault(pattern) is not None


def test_splits_shared_filters() -> None:
    """`$share/<name>/<filter>` comes apart, anything else stays whole."""
    assert split_shared("$share/g/a/#") == ("g", "a/#")
    assert split_shared("a/#") == (None, "a/#")
    assert split_shared("$shared/g/a") == (None, "$shared/g/a")


@pytest.mark.parametrize(
    "pattern",
    ["$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", f"$share/{'g' * 129}/a"],
)
def test_refuses_malformed_shared_filters(pattern: str) -> None:
    """A share name is needed, of at most 128 characters and without wildcards, and a filter."""
    assert split_shared(pattern) is None


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("$aws/rules/r/a/b", True),
        ("$aws/rules/r", True),
        ("$aws/rules", False),
        ("$aws/things/car/shadow/update", True),
        ("$aws/things/car/shadow/name/n/get", True),
        ("$aws/things/car/shadow/update/accepted", False),
        ("$aws/things/car/jobs/j1/update", True),
        ("$aws/commands/things/car/executions/e1/response/json", True),
        ("$aws/commands/things/car/executions/e1/request/json", False),
        ("$aws/certificates/create-from-csr/json", True),
        ("$aws/provisioning-templates/t/provision/cbor", True),
        ("$aws/events/presence/connected/c", False),
        ("$SYS/broker", False),
        ("$mine", False),
    ],
)
def test_knows_the_reserved_topics_a_client_publishes_to(topic: str, expected: bool) -> None:
    """Only requests of documented services may be published."""
    assert is_publishable_reserved(topic) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("$aws/events/#", True),
        ("$aws/events/presence/connected/+", True),
        ("$aws/things/car/shadow/update/accepted", True),
        ("$aws/things/+/shadow/#", True),
        ("$aws/things/car/jobs/notify-next", True),
        ("$aws/commands/things/car/executions/+/request/json", True),
        ("$aws/commands/things/car/executions/+/request/+", False),
        ("$aws/commands/things/car/executions/e/response/accepted/json", True),
        ("$aws/things/car/streams/s/data/json", True),
        ("$aws/rules/r/a", False),
        ("$aws/#", False),
        ("$aws/+/car/shadow/get", False),
        ("$SYS/#", False),
        ("$", False),
    ],
)
def test_knows_the_reserved_filters_a_client_subscribes_to(pattern: str, expected: bool) -> None:
    """A filter must be able to match a documented topic; a command's format must be named."""
    assert is_subscribable_reserved(pattern) is expected
