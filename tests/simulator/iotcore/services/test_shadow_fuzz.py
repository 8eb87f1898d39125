from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.shadow import ShadowService
from simulator.iotcore.services.shadow_store import ShadowLimits

PREFIXES = ("$aws/things/t/shadow", "$aws/things/u/shadow", "$aws/things/t/shadow/name/n")
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=4)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["state", "desired", "reported", "version", "clientToken", "a"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
STATE_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.text(max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)
SECTION = st.one_of(st.none(), st.dictionaries(st.sampled_from(["a", "b"]), STATE_VALUES))
UPDATES = st.fixed_dictionaries(
    {"state": st.fixed_dictionaries({}, optional={"desired": SECTION, "reported": SECTION})},
    optional={"version": st.integers(0, 3), "clientToken": st.text(max_size=3)},
)
PAYLOADS = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda document: json.dumps(document).encode()),
    UPDATES.map(lambda document: json.dumps(document).encode()),
)
REQUESTS = st.tuples(
    st.sampled_from(PREFIXES), st.sampled_from(["get", "update", "delete"]), PAYLOADS
)


def ask(service: ShadowService, topic: str, payload: bytes, now_s: float = 0.0) -> dict[str, Any]:
    """Publish a request and give the answers by topic; each must be strict JSON."""
    return {
        answer.message.topic: json.loads(answer.message.payload, parse_constant=pytest.fail)
        for answer in service.handle(Message(topic, payload, 1, now_s), None, now_s)
    }


@settings(max_examples=300)
@given(st.lists(REQUESTS, max_size=8))
def test_every_request_is_accepted_or_rejected_once(requests: list[tuple[str, str, bytes]]) -> None:
    """Whatever the bytes, exactly one verdict on the topic that was asked, in readable JSON."""
    service = ShadowService(0.0)
    for prefix, verb, payload in requests:
        answers = ask(service, f"{prefix}/{verb}", payload)
        verdicts = {f"{prefix}/{verb}/accepted", f"{prefix}/{verb}/rejected"}
        assert len(verdicts & answers.keys()) == 1
        others = answers.keys() - verdicts
        assert others <= {f"{prefix}/update/delta", f"{prefix}/update/documents"}
        for topic, document in answers.items():
            if topic.endswith("rejected"):
                assert document.keys() - {"clientToken"} == {"code", "message"}


@given(st.text(max_size=40))
def test_any_topic_is_answered_or_left_alone(topic: str) -> None:
    """A topic is served exactly when it is claimed."""
    service = ShadowService(0.0)
    assert bool(ask(service, topic, b"")) == service.claims(topic)


@given(st.lists(st.tuples(st.sampled_from(["update", "delete"]), UPDATES), max_size=10))
def test_the_documents_of_updates_form_a_chain(steps: list[tuple[str, dict[str, Any]]]) -> None:
    """`previous` is the `current` before, null at a beginning; versions rise by one."""
    service = ShadowService(0.0)
    current: dict[str, Any] | None = None
    highest = 0
    for now_s, (verb, request) in enumerate(steps):
        answers = ask(service, f"{PREFIXES[0]}/{verb}", json.dumps(request).encode(), now_s)
        if f"{PREFIXES[0]}/delete/accepted" in answers:
            current = None
        documents = answers.get(f"{PREFIXES[0]}/update/documents")
        if documents is None:
            continue
        assert documents["previous"] == current
        version = documents["current"]["version"]
        assert version == current["version"] + 1 if current else version > highest
        current, highest = documents["current"], version
        shown = ask(service, f"{PREFIXES[0]}/get", b"", now_s)[f"{PREFIXES[0]}/get/accepted"]
        shown["state"].pop("delta", None)
        assert {name: shown[name] for name in ("state", "metadata", "version")} == current


@given(st.lists(REQUESTS, max_size=12))
def test_a_service_restored_from_its_dump_answers_the_same(
    requests: list[tuple[str, str, bytes]],
) -> None:
    """Through JSON text, and with another zero of the clock."""
    service = ShadowService(1000.0)
    for prefix, verb, payload in requests:
        ask(service, f"{prefix}/{verb}", payload)
    restored = ShadowService(500.0)
    restored.load(json.loads(json.dumps(service.dump())))
    assert restored.dump() == service.dump()
    for prefix in PREFIXES:
        for verb in ("get", "update", "delete"):
            expected = ask(service, f"{prefix}/{verb}", b'{"state":{"desired":{"a":3}}}', 5.0)
            assert (
                ask(restored, f"{prefix}/{verb}", b'{"state":{"desired":{"a":3}}}', 505.0)
                == expected
            )


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sampled_from(["update", "delete"]), st.integers(0, 90)
        ),
        max_size=40,
    )
)
def test_memory_is_bounded(steps: list[tuple[str, str, int]]) -> None:
    """Shadows, their bytes and remembered deletions stay within the limits; refusals are 500."""
    service = ShadowService(
        0.0, limits=ShadowLimits(shadows=3, state_bytes=200, deleted_versions=2)
    )
    for thing, verb, length in steps:
        payload = json.dumps({"state": {"reported": {"d": "x" * length}}}).encode()
        answers = ask(service, f"$aws/things/{thing}/shadow/{verb}", payload)
        for topic, document in answers.items():
            if topic.endswith("update/rejected"):
                assert document["code"] == 500
        dump = service.dump()
        sizes = [
            len(json.dumps(shadow["reported"]["values"], separators=(",", ":")))
            for shadow in dump["shadows"]
        ]
        assert len(sizes) <= 3
        assert sum(sizes) == service.status()["state_bytes"] <= 200
        assert len(dump["deleted"]) <= 2
        assert service.status()["shadows"] == len(sizes)


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["shadows", "deleted", "thing", "name", "version", "values"]), inner
        ),
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["shadows", "deleted"]), JUNK))
def test_a_damaged_dump_is_one_error_and_changes_nothing(damaged: dict[str, Any]) -> None:
    """ValueError or success, and after an error the shadows of before."""
    service = ShadowService(0.0)
    ask(service, f"{PREFIXES[0]}/update", b'{"state":{"desired":{"a":[1,{"b":2}]}}}')
    before = service.dump()
    try:
        service.load(damaged)
    except ValueError:
        assert service.dump() == before


def stored(**changes: Any) -> dict[str, Any]:
    """A dump with one shadow, with changes."""
    shadow: dict[str, Any] = {
        "thing": "t",
        "name": None,
        "version": 1,
        "desired": {"values": {"a": 1}, "metadata": {"a": {"timestamp": 1}}},
        "reported": {"values": {}, "metadata": {}},
    }
    return {"shadows": [shadow | changes], "deleted": []}


def test_a_dump_like_that_is_loaded() -> None:
    """The form the damaged ones below depart from."""
    service = ShadowService(0.0)
    service.load(stored())
    assert service.status()["shadows"] == 1
    assert service.status()["state_bytes"] == 7


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"shadows": []},
        stored(version=0),
        stored(version="1"),
        stored(thing="a b"),
        stored(name=""),
        stored(name="n\n"),
        stored(desired={"values": {"a": 1}, "metadata": {}}),
        stored(desired={"values": {"a": None}, "metadata": {"a": {"timestamp": 1}}}),
        stored(desired={"values": {"a": [1]}, "metadata": {"a": {"timestamp": 1}}}),
        stored(desired={"values": {"a": 1}, "metadata": {"a": {"timestamp": "1"}}}),
        {"shadows": stored()["shadows"] * 2, "deleted": []},
        stored()
        | {"deleted": [{"thing": "t", "name": None, "version": 3, "deleted_at_unix_s": 1}]},
        {
            "shadows": [],
            "deleted": [
                {"thing": "t", "name": None, "version": 3, "deleted_at_unix_s": float("inf")}
            ],
        },
    ],
)
def test_damaged_dumps(damaged: dict[str, Any]) -> None:
    """Each is a ValueError."""
    with pytest.raises(ValueError, match="damaged"):
        ShadowService(0.0).load(damaged)


def test_a_dump_that_does_not_fit_is_refused() -> None:
    """The bounds hold for loading too."""
    with pytest.raises(ValueError, match="at most 0 shadows"):
        ShadowService(0.0, limits=ShadowLimits(shadows=0)).load(stored())


def test_deep_payloads_are_rejected() -> None:
    """As many brackets as fit a payload end in one answer."""
    service = ShadowService(0.0)
    deep = b'{"state":{"desired":{"a":' + b"[" * 60_000 + b"]" * 60_000 + b"}}}"
    answers = ask(service, f"{PREFIXES[0]}/update", deep)
    assert answers[f"{PREFIXES[0]}/update/rejected"]["code"] == 400
