"""Throws damaged topics at the reader of command topics.

The invariant: any text says what it is about; a topic read as a request or an answer is exactly the
one that is built for that execution, and the topic to answer on is one AWS IoT Core takes.
"""

from __future__ import annotations

import random

from agent.cloud.topics import (
    CommandProtocol,
    ParsedTopic,
    TopicKind,
    TopicSpace,
    check_topic,
    is_execution_id,
)

_SPACE = TopicSpace("demo", "car-0001")
_OTHER = TopicSpace("demo", "car-00012")
_LEVELS = (
    "",
    "+",
    "#",
    "$aws",
    "..",
    "req",
    "res",
    "drive",
    "request",
    "response",
    "accepted",
    "json",
    "cbor",
    "executions",
    "car-0001",
    "x" * 65,
    "x" * 300,
    "é",
    "a b",
    "a\n",
    "a\0",
    "\ud800",
    "٣",
)


def _seeds() -> list[str]:
    topics = [_SPACE.drive, _OTHER.drive, _SPACE.telemetry("state")]
    for space in (_SPACE, _OTHER):
        for protocol in CommandProtocol:
            topics += [space.request(protocol, "abc-123"), space.response(protocol, "abc-123")]
    answers = _SPACE.response(CommandProtocol.AWS, "abc-123").removesuffix("json")
    return [*topics, f"{answers}accepted/json", f"{answers}rejected/json"]


def _damaged(topic: str, rng: random.Random) -> str:
    levels = topic.split("/")
    at = rng.randrange(len(levels))
    match rng.randrange(6):
        case 0:
            levels[at] = rng.choice(_LEVELS)
        case 1:
            levels.insert(at, rng.choice(_LEVELS))
        case 2:
            del levels[at]
        case 3:
            return topic[: rng.randrange(len(topic) + 1)]
        case 4:
            where = rng.randrange(len(topic))
            return topic[:where] + chr(rng.randrange(1, 0x3000)) + topic[where + 1 :]
        case _:
            return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(20)))
    return "/".join(levels)


def _check(topic: str) -> None:
    parsed = _SPACE.parse(topic)
    assert isinstance(parsed, ParsedTopic)
    if parsed.kind is TopicKind.DRIVE:
        assert topic == _SPACE.drive
    elif parsed.kind is TopicKind.BAD_EXECUTION_ID:
        assert parsed.execution_id is None
    elif parsed.kind is not TopicKind.OTHER:
        assert parsed.protocol is not None
        assert parsed.execution_id is not None
        assert is_execution_id(parsed.execution_id)
        answer = _SPACE.response(parsed.protocol, parsed.execution_id)
        check_topic(answer)
        built = {
            TopicKind.REQUEST: _SPACE.request(parsed.protocol, parsed.execution_id),
            TopicKind.RESPONSE_ACCEPTED: answer.removesuffix("json") + "accepted/json",
            TopicKind.RESPONSE_REJECTED: answer.removesuffix("json") + "rejected/json",
        }
        assert topic == built[parsed.kind]


def fuzz(inputs: int, seed: int) -> None:
    """Try damaged topics.

    Args:
        inputs: How many.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the topic as UTF-8 in hex.
    """
    rng = random.Random(seed)
    seeds = _seeds()
    for _ in range(inputs):
        topic = _damaged(rng.choice(seeds), rng)
        try:
            _check(topic)
        except Exception as error:
            shown = topic.encode("utf-8", "surrogatepass").hex()
            raise AssertionError(f"{type(error).__name__}: {error} on {shown}") from error
