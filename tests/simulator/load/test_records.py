from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.load import records
from simulator.load.records import (
    Count,
    End,
    Event,
    Header,
    Latencies,
    Position,
    ProcessUse,
    RecordError,
    Snapshot,
    StreamBooks,
    TargetReport,
    decode_record,
    encode_record,
)

USE = ProcessUse(0.5, 1_000_000)
EXAMPLES: list[records.Record] = [
    Header(
        "n", {"seed": 1}, "2026-03-01T12:00:00+00:00", 1.5, "1", "t", "broker", {}, 2, [], [], []
    ),
    Snapshot(
        worker=1,
        number=0,
        start_s=0.0,
        end_s=1.0,
        counts=[Count("published", "cars", "hold", 3)],
        latencies=[Latencies("tls_ms", "cars", "hold", "abc")],
        online={"cars": 4},
        reasons={"TCP: reset": 1},
        process=USE,
        positions=[Position(3, 37.5, 127.0)],
    ),
    Event(1.0, "fault", "drop: 3 cars", fault=0, cars=3),
    TargetReport(1.0, {"connections": 4}, {"publish_denied": 1}, USE),
    StreamBooks("o", "cars", "state", 4, 10, 9, 1, 0, 0, 0),
    End(9.0, "completed", "", {"cars": 4}, {"cars": 0}),
]


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda each: type(each).__name__)
def test_a_record_is_one_line_and_comes_back(record: records.Record) -> None:
    """Each kind is JSON on one line that says what it is, and reads back as it was."""
    line = encode_record(record)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["record"] in {"run", "snapshot", "event", "target", "books", "end"}
    assert decode_record(line) == record


@given(st.text())
def test_any_text_stays_on_its_line(text: str) -> None:
    """Line breaks and quotes in names do not break the file."""
    line = encode_record(Event(0.0, "warning", text))

    assert line.count(b"\n") == 1
    assert decode_record(line) == Event(0.0, "warning", text)


@given(st.one_of(st.binary(max_size=200), st.sampled_from(EXAMPLES).map(encode_record)), st.data())
def test_any_line_is_a_record_or_an_error(line: bytes, data: st.DataObject) -> None:
    """Damaged lines raise the one error and nothing else."""
    damaged = bytearray(line)
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RecordError):
        decode_record(bytes(damaged))


def test_deep_and_long_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nesting without end and lines above the bound are errors, not crashes."""
    with pytest.raises(RecordError):
        decode_record(b'{"record":"run","scenario":' + b"[" * 100_000)
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 100)
    with pytest.raises(RecordError, match="101 bytes"):
        decode_record(b" " * 101)


def test_what_is_no_record_is_refused() -> None:
    """Another kind, a missing part, or a part of another type."""
    for line in (b"{}", b"[]", b'{"record":"other"}', b'{"record":"event","at_s":1}', b"nul"):
        with pytest.raises(RecordError):
            decode_record(line)
