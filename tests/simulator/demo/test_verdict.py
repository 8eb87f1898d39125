"""The verdict: when it holds, and how it is told to people and to programs."""

from __future__ import annotations

import io
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from simulator.demo.streambook import StreamBook, StreamRecord
from simulator.demo.verdict import Check, StreamVerdict, Verdict, stream_verdict

COUNT = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number", "minimum": 0}
STREAM_KEYS = {
    "stream": {"type": "string"},
    "sent": {"type": ["integer", "null"], "minimum": 0},
    **dict.fromkeys(
        ("received", "lost", "repeated", "out_of_order", "invented", "misnumbered"), COUNT
    ),
    **dict.fromkeys(("messages", "payload_bytes"), COUNT),
    **dict.fromkeys(("pipeline_p50_ms", "pipeline_p99_ms", "sample_p99_ms"), NUMBER),
}
ROUND_TRIP = {"count": COUNT, "median": NUMBER, "max": NUMBER}
DOCUMENT = {
    "format": {"const": "morai-edge/demo-verdict/1"},
    "held": {"type": "boolean"},
    "duration_s": NUMBER,
    "checks": {"type": "array", "items": {"type": "object"}},
    "streams": {"type": "array", "items": {"type": "object"}},
    "command_round_trip_ms": {"type": "object"},
    "notes": {"type": "array", "items": {"type": "string"}},
}


def exactly(properties: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema of an object with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def stream(**changes: Any) -> StreamVerdict:
    """Books in which nothing is wrong, with changes."""
    values: dict[str, Any] = {
        "stream": "state",
        "sent": 100,
        "received": 100,
        "lost": 0,
        "repeated": 0,
        "out_of_order": 0,
        "invented": 0,
        "misnumbered": 0,
        "messages": 10,
        "payload_bytes": 12_345,
        "pipeline_p50_ms": 1.5,
        "pipeline_p99_ms": 20.25,
        "sample_p99_ms": 220.0,
    }
    return StreamVerdict(**values | changes)


def told(verdict: Verdict, width: int = 80, *, only_failed: bool = False) -> str:
    """What is printed on a terminal without colours."""
    console = Console(file=io.StringIO(), width=width, record=True, highlight=False)
    verdict.print(console, only_failed=only_failed)
    return console.export_text()


@given(st.lists(st.booleans(), max_size=8))
def test_it_holds_when_every_check_held(outcomes: list[bool]) -> None:
    """One failed check fails it, and so does the lack of any check."""
    verdict = Verdict(checks=[Check(f"promise {n}", held) for n, held in enumerate(outcomes)])

    assert verdict.held is (outcomes != [] and False not in outcomes)


def test_document_has_the_published_shape() -> None:
    """The JSON document has exactly the keys programs rely on, and survives serialising."""
    verdict = Verdict(
        checks=[Check("a promise", held=True, detail="kept")],
        streams=[stream(), stream(stream="gnss", sent=None)],
        round_trips_ms=[3.0, 1.0, 200.0],
        duration_s=12.3456,
        notes=["a note"],
    )

    document = json.loads(json.dumps(verdict.document()))

    jsonschema.validate(document, exactly(DOCUMENT))
    jsonschema.validate(document["command_round_trip_ms"], exactly(ROUND_TRIP))
    for item in document["streams"]:
        jsonschema.validate(item, exactly(STREAM_KEYS))
    assert document["held"] is True
    assert document["checks"] == [{"name": "a promise", "held": True, "detail": "kept"}]
    assert document["command_round_trip_ms"] == {"count": 3, "median": 3.0, "max": 200.0}


def test_document_of_a_run_that_did_nothing() -> None:
    """Without checks, streams and commands the document is still whole, and not held."""
    document = Verdict().document()

    jsonschema.validate(document, exactly(DOCUMENT))
    assert document["held"] is False
    assert document["command_round_trip_ms"] == {"count": 0, "median": 0.0, "max": 0.0}


@pytest.mark.parametrize("width", [80, 100, 200])
def test_table_fits_and_shows_every_count(width: int) -> None:
    """At any usual width each stream has its row with all of its counts."""
    verdict = Verdict(
        checks=[Check("a promise", held=True, detail="kept " * 30)],
        streams=[
            stream(stream="traffic-light", received=98_765, lost=1_235, repeated=17, sent=100_000)
        ],
        round_trips_ms=[2.0],
    )

    text = told(verdict, width)

    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if line.startswith("traffic-light"))
    assert row.split()[1:] == ["100,000", "98,765", "1,235", "17", "0", "10", "12.3", "1.5", "20.2"]
    assert "median 2.0 ms" in text
    assert "Every check held (1)" in text


def test_failed_checks_are_named_and_counted() -> None:
    """What failed is shown with its measurement, also when what held is left out."""
    verdict = Verdict(
        checks=[
            Check("the car stops", held=False, detail="still moving"),
            Check("the car drives", held=True, detail="10 km/h"),
        ]
    )

    text = told(verdict, only_failed=True)

    assert "FAILED" in text
    assert "the car stops" in text
    assert "still moving" in text
    assert "the car drives" not in text
    assert "1 of 2 checks failed" in text


@pytest.mark.parametrize("width", [80, 200])
def test_text_from_the_network_cannot_command_the_terminal(width: int) -> None:
    """Answers, stream names and notes are shown with escapes and never as markup."""
    hostile = "\x1b[2Jred[/bold]"
    verdict = Verdict(
        checks=[Check("a promise", held=False, detail=hostile)],
        streams=[stream(stream=hostile)],
        notes=[hostile],
    )

    text = told(verdict, width)

    assert "\x1b" not in text
    assert text.count("[/bold]") == 3


def record(samples: int, *, lost: int = 0, repeated: int = 0, misnumbered: int = 0) -> StreamRecord:
    """Books with these counts."""
    return StreamRecord(
        "boot-1", samples=samples, lost=lost, repeated=repeated, misnumbered=misnumbered
    )


def test_books_that_agree_are_right() -> None:
    """As many received as sent, and nothing else to report."""
    assert stream_verdict("state", 500, record(samples=500)).wrong == 0


def test_samples_sent_and_never_numbered_are_lost() -> None:
    """The tail of a stream leaves no gap in the numbers; the count of the sender shows it."""
    closed = stream_verdict("state", 500, record(samples=480, lost=5))

    assert (closed.lost, closed.wrong) == (20, 20)


def test_a_stream_that_never_came_is_lost_altogether() -> None:
    """Without a single message the whole stream counts as lost."""
    closed = stream_verdict("imu", 500, StreamBook().stream("imu"))

    assert (closed.received, closed.lost, closed.wrong) == (0, 500, 500)


def test_samples_nobody_sent_are_invented() -> None:
    """More received than sent is as wrong as less."""
    closed = stream_verdict("state", 500, record(samples=503))

    assert (closed.invented, closed.lost, closed.wrong) == (3, 0, 3)


def test_without_a_count_of_the_sender_the_numbers_decide() -> None:
    """Streams whose samples are no datagrams are judged by their numbering alone."""
    closed = stream_verdict("gnss", None, record(samples=40, lost=2, repeated=1, misnumbered=1))

    assert (closed.lost, closed.invented, closed.wrong) == (2, 0, 4)
