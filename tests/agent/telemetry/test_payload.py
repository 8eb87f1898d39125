"""Reading batch documents, friendly and hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.payload import (
    MAX_PAYLOAD_BYTES,
    Clock,
    PayloadError,
    decode_batch,
    mark_replayed,
)

GOOD: dict[str, Any] = {
    "schema": "morai-edge/telemetry/1",
    "vss": "6.0",
    "replayed": False,
    "thing": "car-0001",
    "stream": "state",
    "boot": "b1",
    "seq": 4,
    "first": 120,
    "t0": 1790000000.5,
    "count": 4,
    "dt": [0, 20, 40, 61],
    "clock": {"source": "receive", "quality": "synchronised"},
    "columns": {
        "Vehicle.Speed": [1.0, 2.0, None, 4.0],
        "Morai.Gear": "D",
        "Morai.LinkId": {"0": "A1", "2": "A2"},
        "Morai.Objects.X": [[1.0], [], [2.0, None], None],
        "Morai.Objects.Id": {"0": [7, 8], "3": []},
        "Morai.Pose.X": None,
    },
}


def encoded(**changes: Any) -> bytes:
    """The good document with some keys replaced."""
    return json.dumps({**GOOD, **changes}).encode()


def test_every_form_of_column_expands_to_one_value_a_sample() -> None:
    """Bare values repeat, steps hold until the next one, lists are taken as they are."""
    batch = decode_batch(encoded())
    assert batch.column("Vehicle.Speed") == [1.0, 2.0, None, 4.0]
    assert batch.column("Morai.Gear") == ["D", "D", "D", "D"]
    assert batch.column("Morai.LinkId") == ["A1", "A1", "A2", "A2"]
    assert batch.column("Morai.Objects.X") == [[1.0], [], [2.0, None], None]
    assert batch.column("Morai.Objects.Id") == [[7, 8], [7, 8], [7, 8], []]
    assert batch.column("Morai.Pose.X") == [None] * 4


def test_rows_are_the_samples() -> None:
    """Each row has every column, and the times stand beside them."""
    batch = decode_batch(encoded())
    rows = batch.rows()
    assert len(rows) == 4
    assert rows[2] == {
        "Vehicle.Speed": None,
        "Morai.Gear": "D",
        "Morai.LinkId": "A2",
        "Morai.Objects.X": [2.0, None],
        "Morai.Objects.Id": [7, 8],
        "Morai.Pose.X": None,
    }
    assert batch.times_s == pytest.approx(
        [1790000000.5, 0.02 + GOOD["t0"], 0.04 + GOOD["t0"], 1790000000.561]
    )
    assert batch.clock == Clock("receive", "synchronised")


def test_a_batch_without_columns_still_has_its_samples() -> None:
    """Four samples without a signal are four empty rows."""
    assert decode_batch(encoded(columns={})).rows() == [{}, {}, {}, {}]


def test_unknown_keys_are_ignored() -> None:
    """A later minor version may add keys."""
    assert decode_batch(encoded(compression="none")).seq == 4


def test_replayed_mark_changes_nothing_else() -> None:
    """Marking a stored batch flips its flag, even when the text appears in a value too."""
    payload = encoded(thing='"replayed":false').replace(b'"replayed": false', b'"replayed":false')
    marked = decode_batch(mark_replayed(payload))
    assert marked.replayed is True
    assert marked.thing == '"replayed":false'
    assert len(mark_replayed(payload)) <= len(payload)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "morai-edge/telemetry/2"},
        {"count": 0, "dt": []},
        {"count": -1},
        {"count": 5},
        {"count": 4097, "dt": [0] * 4097, "columns": {}},
        {"dt": [0, 20, 40]},
        {"dt": [0, 20, 40, "61"]},
        {"dt": [0, 20, 40, 0.5]},
        {"dt": [0, 20, 40, 10**400]},
        {"dt": [0, 20, 40, -(2**60)]},
        {"t0": 10**400},
        {"seq": -1},
        {"first": -1},
        {"seq": "4"},
        {"t0": "now"},
        {"clock": {"source": "sundial", "quality": "unknown"}},
        {"columns": {"A": [1, 2, 3]}},
        {"columns": {"A": {}}},
        {"columns": {"A": {"1": 1}}},
        {"columns": {"A": {"0": 1, "4": 2}}},
        {"columns": {"A": {"0": 1, "3": 2, "2": 3}}},
        {"columns": {"A": {"00": 1}}},
        {"columns": {"A": {"0": 1, "+1": 2}}},
        {"columns": {"A": {"0": 1, "²": 2}}},
        {"columns": {"A": {"0": 1, "9" * 5000: 2}}},
        {"columns": {"A": {"0": {"0": 1}}}},
        {"columns": {"A": [1, 2, 3, [[4]]]}},
        {"columns": {f"A{n}": 1 for n in range(257)}},
        {"columns": []},
        {"thing": None},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_documents_whose_parts_disagree_are_refused(changes: dict[str, Any]) -> None:
    """A wrong type, a missing sample or a step out of order is a typed error, never a guess."""
    with pytest.raises(PayloadError):
        decode_batch(encoded(**changes))


@pytest.mark.parametrize("key", sorted(GOOD))
def test_missing_keys_are_refused(key: str) -> None:
    """Every key of the envelope is needed."""
    document = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(PayloadError):
        decode_batch(json.dumps(document).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"columns":' * 10_000,
        b'{"seq":' + b"9" * 10_000 + b"}",
        b'{"t0":1e999}',
        b" " * (MAX_PAYLOAD_BYTES + 1),
        b'{"count":' + b"1" * 5000,
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_bytes_that_are_no_document_are_refused(payload: bytes) -> None:
    """Truncated, deep, huge or binary input ends in the one typed error."""
    with pytest.raises(PayloadError):
        decode_batch(payload)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_batch_or_the_typed_error(payload: bytes) -> None:
    """Nothing else can come out."""
    try:
        decode_batch(payload)
    except PayloadError:
        return
    pytest.fail("random bytes are no batch")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_any_value_in_any_key_is_readable_or_refused(key: str, value: Any) -> None:
    """Whatever a peer puts into a key: either all rows can be read, or the typed error."""
    try:
        batch = decode_batch(encoded(**{key: value}))
    except PayloadError:
        return
    assert len(batch.rows()) == batch.count == len(batch.times_s)


@given(
    st.dictionaries(
        st.sampled_from(["0", "1", "2", "3", "4", "01", "-1", "x"]), st.integers(0, 3), max_size=5
    )
)
def test_steps_expand_to_exactly_one_value_a_sample(steps: dict[str, int]) -> None:
    """A step column that is accepted gives the value of the last step at or before a sample."""
    try:
        batch = decode_batch(encoded(columns={"A": steps}))
    except PayloadError:
        return
    expected = [steps[str(max(int(at) for at in steps if int(at) <= n))] for n in range(4)]
    assert batch.column("A") == expected
