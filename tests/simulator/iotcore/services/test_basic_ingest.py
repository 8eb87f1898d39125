from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.basic_ingest import OTHER, BasicIngest


def publish(service: BasicIngest, topic: str, payload: bytes = b"xyz") -> None:
    """A message, which never has an answer."""
    assert service.handle(Message(topic, payload, 1, 0.0), "c", 0.0) == ()


def test_messages_are_counted_by_rule() -> None:
    """The rule is the third level; what follows, if anything, is the rule's affair."""
    service = BasicIngest()
    publish(service, "$aws/rules/telemetry/dt/morai/a/car-1/state")
    publish(service, "$aws/rules/telemetry/x", b"")
    publish(service, "$aws/rules/alarm")
    assert service.counts == {"telemetry": (2, 3), "alarm": (1, 3)}
    for topic in ("$aws/rules/", "$aws/rules/r/", "$aws/rules//t", "dt/x"):
        assert not service.claims(topic)
        publish(service, topic)
    assert service.counts == {"telemetry": (2, 3), "alarm": (1, 3)}


def test_rules_that_do_not_exist_are_counted_together() -> None:
    """The publisher is not told."""
    service = BasicIngest({"telemetry"})
    publish(service, "$aws/rules/telemetry/x")
    publish(service, "$aws/rules/typo/x")
    assert service.counts == {"telemetry": (1, 3)}
    assert service.not_found == 1


def test_a_thousand_rules_are_told_apart() -> None:
    """Names beyond that share one count, so that a client cannot fill the memory."""
    service = BasicIngest()
    for number in range(1200):
        publish(service, f"$aws/rules/rule-{number}/x")
    assert len(service.counts) == 1001
    assert service.counts[OTHER] == (200, 600)
    assert sum(count.messages for count in service.counts.values()) == 1200


def test_a_restart_keeps_the_counts() -> None:
    """The dump is JSON; damage is a ValueError."""
    service = BasicIngest({"a"})
    publish(service, "$aws/rules/a/x")
    publish(service, "$aws/rules/b/x")
    dump = json.loads(json.dumps(service.dump()))
    again = BasicIngest({"a"})
    again.load(dump)
    assert (again.counts, again.not_found) == (service.counts, 1)
    assert list(again.advance(9e9)) == []
    assert again.next_deadline_s is None
    for damage in ({}, {"not_found": 0, "counts": {"a": 1}}, {"not_found": "x", "counts": {}}):
        with pytest.raises(ValueError, match="basic ingest"):
            BasicIngest().load(damage)


@given(st.text(max_size=40), st.binary(max_size=20))
def test_any_topic_and_any_bytes_are_taken(rest: str, payload: bytes) -> None:
    """Total, and every claimed message is counted."""
    service = BasicIngest()
    topic = f"$aws/rules/{rest}"
    publish(service, topic, payload)
    assert (sum(count.messages for count in service.counts.values()) == 1) == service.claims(topic)
