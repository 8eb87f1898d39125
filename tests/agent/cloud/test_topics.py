from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cloud.topics import (
    CommandProtocol,
    ParsedTopic,
    TopicKind,
    TopicSpace,
    check_topic,
    is_execution_id,
)
from certs.errors import ConfigurationError

SPACE = TopicSpace("demo", "car-1", "morai_ingest")
ID = "2bd65c51-4cfd-49e4-9310-d5cbfdbc8554"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (SPACE.telemetry("state"), "dt/morai/demo/car-1/state"),
        (SPACE.telemetry("traffic-light"), "dt/morai/demo/car-1/traffic-light"),
        (SPACE.basic_ingest("imu"), "$aws/rules/morai_ingest/dt/morai/demo/car-1/imu"),
        (SPACE.publication("imu"), "$aws/rules/morai_ingest/dt/morai/demo/car-1/imu"),
        (TopicSpace("demo", "car-1").publication("imu"), "dt/morai/demo/car-1/imu"),
        (SPACE.drive, "cmd/morai/demo/car-1/drive"),
        (
            SPACE.request_filter(CommandProtocol.AWS),
            "$aws/commands/things/car-1/executions/+/request/json",
        ),
        (SPACE.request_filter(CommandProtocol.PLAIN), "cmd/morai/demo/car-1/req/+"),
        (
            SPACE.request(CommandProtocol.AWS, ID),
            f"$aws/commands/things/car-1/executions/{ID}/request/json",
        ),
        (SPACE.request(CommandProtocol.PLAIN, "7"), "cmd/morai/demo/car-1/req/7"),
        (
            SPACE.response(CommandProtocol.AWS, ID),
            f"$aws/commands/things/car-1/executions/{ID}/response/json",
        ),
        (SPACE.response(CommandProtocol.PLAIN, "7"), "cmd/morai/demo/car-1/res/7"),
        (SPACE.response_filter(CommandProtocol.PLAIN), "cmd/morai/demo/car-1/res/+"),
        (
            SPACE.response_filter(CommandProtocol.AWS),
            "$aws/commands/things/car-1/executions/+/response/json",
        ),
    ],
)
def test_topics_are_those_of_the_contract(topic: str, expected: str) -> None:
    """Every topic reads as the public contract and the AWS developer guide write it."""
    assert topic == expected


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (
            f"$aws/commands/things/car-1/executions/{ID}/request/json",
            ParsedTopic(TopicKind.REQUEST, ID, CommandProtocol.AWS),
        ),
        (
            "cmd/morai/demo/car-1/req/a_b-9",
            ParsedTopic(TopicKind.REQUEST, "a_b-9", CommandProtocol.PLAIN),
        ),
        ("cmd/morai/demo/car-1/drive", ParsedTopic(TopicKind.DRIVE)),
        (
            f"$aws/commands/things/car-1/executions/{ID}/response/accepted/json",
            ParsedTopic(TopicKind.RESPONSE_ACCEPTED, ID, CommandProtocol.AWS),
        ),
        (
            f"$aws/commands/things/car-1/executions/{ID}/response/rejected/json",
            ParsedTopic(TopicKind.RESPONSE_REJECTED, ID, CommandProtocol.AWS),
        ),
        (
            "cmd/morai/demo/car-1/req/with space",
            ParsedTopic(TopicKind.BAD_EXECUTION_ID, protocol=CommandProtocol.PLAIN),
        ),
        (
            "cmd/morai/demo/car-1/req/a/b",
            ParsedTopic(TopicKind.BAD_EXECUTION_ID, protocol=CommandProtocol.PLAIN),
        ),
        (
            "cmd/morai/demo/car-1/req/" + "x" * 65,
            ParsedTopic(TopicKind.BAD_EXECUTION_ID, protocol=CommandProtocol.PLAIN),
        ),
        (f"$aws/commands/things/car-2/executions/{ID}/request/json", ParsedTopic(TopicKind.OTHER)),
        (f"$aws/commands/things/car-1/executions/{ID}/request/cbor", ParsedTopic(TopicKind.OTHER)),
        ("cmd/morai/demo/car-1/drive/x", ParsedTopic(TopicKind.OTHER)),
        ("cmd/morai/demo/car-12/drive", ParsedTopic(TopicKind.OTHER)),
        ("$aws/things/car-1/shadow/update/delta", ParsedTopic(TopicKind.OTHER)),
        ("", ParsedTopic(TopicKind.OTHER)),
    ],
)
def test_incoming_topics_are_told_apart(topic: str, expected: ParsedTopic) -> None:
    """Requests, set points and the service's own answers are recognised, the rest is other."""
    assert SPACE.parse(topic) == expected


@given(st.text(max_size=300))
def test_any_text_parses(text: str) -> None:
    """Parsing is total, also behind the prefixes of the contract."""
    for topic in (
        text,
        f"cmd/morai/demo/car-1/req/{text}",
        f"$aws/commands/things/car-1/executions/{text}",
    ):
        assert isinstance(SPACE.parse(topic), ParsedTopic)


@given(
    st.from_regex(r"\A[a-zA-Z0-9_-]{1,64}\Z"),
    st.sampled_from(CommandProtocol),
)
def test_a_built_request_topic_parses_back(execution_id: str, protocol: CommandProtocol) -> None:
    """What a sender publishes on is read as exactly that execution and transport."""
    parsed = SPACE.parse(SPACE.request(protocol, execution_id))

    assert parsed == ParsedTopic(TopicKind.REQUEST, execution_id, protocol)


@pytest.mark.parametrize("name", ["", "a/b", "a+b", "a#", "käse", "x" * 129, "a b", "a\n"])
def test_names_that_would_break_a_topic_are_refused(name: str) -> None:
    """Fleet and thing take the characters of an AWS thing name only."""
    with pytest.raises(ConfigurationError):
        TopicSpace(name, "car-1")
    with pytest.raises(ConfigurationError):
        TopicSpace("demo", name)


@pytest.mark.parametrize("rule", ["", "a-b", "a/b", "x" * 129])
def test_rule_names_follow_aws(rule: str) -> None:
    """A Basic Ingest rule has letters, digits and underscores only."""
    with pytest.raises(ConfigurationError):
        TopicSpace("demo", "car-1", rule)


def test_basic_ingest_needs_a_rule() -> None:
    """Without a configured rule there is no Basic Ingest topic."""
    with pytest.raises(ConfigurationError):
        TopicSpace("demo", "car-1").basic_ingest("state")


@pytest.mark.parametrize("stream", ["", "State", "a/b", "x" * 33, "a+"])
def test_stream_names_are_one_plain_level(stream: str) -> None:
    """A stream name cannot add levels or wildcards to a topic."""
    with pytest.raises(ConfigurationError):
        SPACE.telemetry(stream)


def test_names_that_leave_no_room_are_refused() -> None:
    """Fleet and thing together must leave room for the longest topic within 256 bytes."""
    TopicSpace("f" * 45, "t" * 128)
    with pytest.raises(ConfigurationError, match="256"):
        TopicSpace("f" * 128, "t" * 128)


def test_limits_of_a_topic() -> None:
    """256 bytes and 7 slashes pass, one more does not, and Basic Ingest levels do not count."""
    check_topic("a" * 256)
    check_topic("a/b/c/d/e/f/g/h")
    check_topic("$aws/rules/r/" + "a" * 256)
    for topic in ("a" * 257, "ü" * 129, "a/b/c/d/e/f/g/h/i", "a/+", "a/#", "", "a\0"):
        with pytest.raises(ConfigurationError):
            check_topic(topic)


@pytest.mark.parametrize("bad", ["", "a/b", "x" * 65, "ä", "a\n", "a b", "+"])
def test_execution_ids_have_a_shape(bad: str) -> None:
    """What is not an execution id is neither accepted nor put into a topic."""
    assert not is_execution_id(bad)
    with pytest.raises(ValueError, match="execution id"):
        SPACE.response(CommandProtocol.AWS, bad)
