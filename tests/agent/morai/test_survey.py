from __future__ import annotations

import pytest

from agent.morai import Direction
from agent.morai.survey import MAX_SOURCES, Survey
from tests.agent.morai.datagrams import ego_status_e3, framed, poke


def test_counts_sizes_and_rates_by_port_and_kind() -> None:
    """Eleven datagrams in one second are 10 Hz."""
    survey = Survey()
    for number in range(11):
        survey.observe(909, ego_status_e3(), "10.0.0.1:908", number / 10)
    (kind,) = survey.kinds()
    assert (kind.port, kind.title, kind.count) == (909, "EgoStatus E3", 11)
    assert (kind.smallest, kind.largest, kind.refused) == (181, 181, False)
    assert kind.rate_hz == pytest.approx(10.0)
    assert kind.sources == ["10.0.0.1:908"]


def test_refused_datagrams_are_counted_by_reason() -> None:
    """Truncated and unknown datagrams are kinds of their own."""
    survey = Survey()
    survey.observe(1, ego_status_e3()[:50], "a", 0.0)
    survey.observe(1, b"xy", "a", 0.0)
    survey.observe(1, b"xyz", "a", 0.0)
    found = [(kind.title, kind.count, kind.smallest, kind.largest) for kind in survey.kinds()]
    assert found == [("unknown_name", 2, 2, 3), ("wrong_size", 1, 50, 50)]
    assert survey.total == 3


def test_one_arrival_has_no_rate() -> None:
    """A rate needs two moments."""
    survey = Survey()
    assert survey.observe(1, b"x", "a", 5.0).rate_hz is None
    assert survey.observe(1, b"x", "a", 5.0).rate_hz is None


def test_oddities_of_the_frame_are_counted() -> None:
    """The declared length is wrong in one of two."""
    survey = Survey()
    survey.observe(1, ego_status_e3(), "a", 0.0)
    kind = survey.observe(1, poke(ego_status_e3(), 11, "i", 9), "a", 0.1)
    assert kind.warnings == {"data_length": 1}
    assert kind.document()["warnings"] == {"data_length": 1}


def test_the_list_of_senders_is_bounded() -> None:
    """A flood from many addresses does not grow the memory."""
    survey = Survey()
    for number in range(100):
        kind = survey.observe(1, b"x", f"host:{number}", 0.0)
    assert len(kind.sources) == MAX_SOURCES
    assert kind.count == 100


def test_the_direction_selects_the_reading() -> None:
    """The name that is used both ways."""
    survey = Survey(Direction.TO_SIMULATOR)
    kind = survey.observe(1, framed(b"#TrafficLight$", bytes(16)), "a", 0.0)
    assert kind.title == "SetTrafficLight with type"
