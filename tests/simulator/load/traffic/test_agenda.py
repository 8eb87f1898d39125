from __future__ import annotations

import math
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from simulator.load.traffic.agenda import Agenda

TIMES = st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.0])


def test_an_empty_agenda_waits_for_ever() -> None:
    """Nothing is due, and doing it does nothing."""
    agenda = Agenda()
    agenda.do_due(1e9)

    assert agenda.next_due_s() == math.inf
    assert len(agenda) == 0


@given(st.lists(TIMES), st.lists(TIMES))
def test_calls_are_done_once_in_their_order(due: list[float], calls: list[float]) -> None:
    """By time, then by entry; each when it is due and not before, told the time now."""
    agenda = Agenda()
    done: list[tuple[int, float]] = []

    for number, due_s in enumerate(due):
        agenda.at(due_s, partial(lambda number, now_s: done.append((number, now_s)), number))
    for now_s in sorted(calls):
        agenda.do_due(now_s)
        assert agenda.next_due_s() > now_s
    agenda.do_due(10.0)

    assert [number for number, _ in done] == sorted(
        range(len(due)), key=lambda number: (due[number], number)
    )
    for number, now_s in done:
        assert now_s == min([each for each in calls if each >= due[number]], default=10.0)
    assert len(agenda) == 0


@given(st.lists(TIMES, min_size=1), TIMES)
def test_new_entries_wait_for_the_next_time(due: list[float], entered_for: float) -> None:
    """What a call enters, for whenever, neither runs at once nor keeps others from running."""
    agenda = Agenda()
    done: list[str] = []

    def act(_: float) -> None:
        done.append("old")
        agenda.at(entered_for, lambda _: done.append("new"))

    for due_s in due:
        agenda.at(due_s, act)
    agenda.do_due(7.0)
    assert done == ["old"] * len(due)

    agenda.do_due(7.0)
    assert done == ["old"] * len(due) + ["new"] * len(due)
