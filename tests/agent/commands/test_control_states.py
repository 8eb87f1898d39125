from __future__ import annotations

import pytest

from agent.commands.control_states import (
    BRAKING,
    CHANGING_MODE,
    DRIVING,
    HANDS_OFF,
    IN_CONTROL,
    LATCHED,
    OBSERVATIONS,
    REQUESTS,
    Observation,
    State,
    Wish,
)
from agent.commands.protocol import ReasonCode

# What docs/commands.md promises, one row a state. A dot stays, a word in capitals refuses,
# `on_command` is short for `stopping_on_command`, `park` for `stopping_to_release`.
WISHES = """
state             engage    release    drive     set_point stop       stop_external emergency_stop resume
released          engaging  releasing  CONFLICT  CONFLICT  CONFLICT   on_command    emergency      .
engaging          .         releasing  CONFLICT  CONFLICT  .          .             emergency      .
holding           .         park       command   stream    on_command on_command    emergency      .
command           .         park       .         stream    on_command on_command    emergency      .
stream            .         park       CONFLICT  .         on_command on_command    emergency      .
stopping          .         park       command   stream    on_command on_command    emergency      .
on_command        .         park       command   CONFLICT  .          .             emergency      .
emergency         LATCHED   LATCHED    LATCHED   LATCHED   .          .             .              engaging
emergency_yielded LATCHED   LATCHED    LATCHED   LATCHED   LATCHED    emergency     emergency      released
yielded           engaging  releasing  HUMAN     HUMAN     HUMAN      on_command    emergency      engaging
park              stopping  .          CONFLICT  CONFLICT  on_command on_command    emergency      .
releasing         engaging  .          CONFLICT  CONFLICT  CONFLICT   on_command    emergency      .
closing           CLOSING   CLOSING    CLOSING   CLOSING   CLOSING    CLOSING       CLOSING        CLOSING
closed            CLOSING   CLOSING    CLOSING   CLOSING   CLOSING    CLOSING       CLOSING        CLOSING
"""  # noqa: E501 - a table is read across

EVENTS = """
engaging             mode_external    stopping
engaging             mode_timeout     released
engaging             shutdown         closing
holding              rolling          stopping
holding              mode_lost        yielded
holding              shutdown         closing
command              duration_over    stopping
command              link_lost        stopping
command              simulator_silent stopping
command              mode_lost        yielded
command              shutdown         closing
stream               stream_silent    stopping
stream               link_lost        stopping
stream               simulator_silent stopping
stream               mode_lost        yielded
stream               shutdown         closing
stopping             standstill       holding
stopping             mode_lost        yielded
stopping             shutdown         closing
stopping_on_command  standstill       holding
stopping_on_command  mode_lost        yielded
stopping_on_command  shutdown         closing
emergency            mode_lost        emergency_yielded
emergency            shutdown         closing
closing              standstill       closed
closing              mode_lost        closed
releasing            mode_keyboard    released
releasing            mode_timeout     released
stopping_to_release  standstill       releasing
stopping_to_release  mode_lost        releasing
stopping_to_release  release_timeout  releasing
stopping_to_release  shutdown         closing
releasing            shutdown         closed
releasing            shutdown_external closing
released             runaway          stopping
released             shutdown         closed
released             shutdown_external closing
yielded              mode_external    stopping
yielded              shutdown         closed
yielded              shutdown_external closing
emergency_yielded    mode_external    emergency
emergency_yielded    shutdown         closed
emergency_yielded    shutdown_external closing
"""

REASONS = {
    "CONFLICT": ReasonCode.MODE_CONFLICT,
    "LATCHED": ReasonCode.EMERGENCY_LATCHED,
    "HUMAN": ReasonCode.HUMAN_TAKEOVER,
    "CLOSING": ReasonCode.SHUTTING_DOWN,
}


def _wish_rows() -> list[tuple[State, Wish, State | ReasonCode]]:
    header, *lines = (
        WISHES.replace("on_command", "stopping_on_command")
        .replace("park", "stopping_to_release")
        .split("\n")[1:-1]
    )
    wishes = [Wish[name.upper()] for name in header.split()[1:]]
    rows = []
    for line in lines:
        name, *cells = line.split()
        state = State[name.upper()]
        for wish, cell in zip(wishes, cells, strict=True):
            answer = state if cell == "." else REASONS.get(cell) or State[cell.upper()]
            rows.append((state, wish, answer))
    return rows


def _event_rows() -> dict[tuple[State, Observation], State]:
    rows = (line.split() for line in EVENTS.split("\n") if line)
    return {
        (State[state.upper()], Observation[event.upper()]): State[after.upper()]
        for state, event, after in rows
    }


@pytest.mark.parametrize(("state", "wish", "answer"), _wish_rows())
def test_wishes(state: State, wish: Wish, answer: State | ReasonCode) -> None:
    """Each wish leads where the documentation says, or is refused for the reason it says."""
    assert REQUESTS[state][wish] is answer


def test_every_state_answers_every_wish() -> None:
    """The table of wishes has no holes."""
    assert set(REQUESTS) == set(State)
    assert all(set(row) == set(Wish) for row in REQUESTS.values())


def test_observations() -> None:
    """The table of observations is exactly the documented one; all else changes nothing."""
    found = {
        (state, observation): after
        for state, row in OBSERVATIONS.items()
        for observation, after in row.items()
    }

    assert found == _event_rows()
    assert set(OBSERVATIONS) == set(State)


def test_an_emergency_that_seized_the_car_hands_it_back() -> None:
    """Resume after an emergency stop in keyboard mode returns the car to the keyboard."""
    assert REQUESTS[State.EMERGENCY][Wish.RESUME_RELEASED] is State.STOPPING_TO_RELEASE
    assert OBSERVATIONS[State.STOPPING_TO_RELEASE][Observation.STANDSTILL] is State.RELEASING


def test_only_resume_leaves_the_latch() -> None:
    """No wish but resume and a new emergency stop leads out of a latched state."""
    leaving = {
        wish
        for state in LATCHED
        for wish, answer in REQUESTS[state].items()
        if isinstance(answer, State) and answer not in LATCHED
    }

    assert leaving == {Wish.RESUME, Wish.RESUME_RELEASED}


def test_a_stop_is_obeyed_in_every_state_while_external_control_is_reported() -> None:
    """Until the agent ends nothing refuses to stop a car that may be obeying commands."""
    answers = {
        answer
        for state in set(State) - {State.CLOSING, State.CLOSED}
        for answer in (REQUESTS[state][Wish.STOP_EXTERNAL], REQUESTS[state][Wish.EMERGENCY_STOP])
    }

    assert answers <= BRAKING | {State.ENGAGING}


def test_nobody_is_handed_a_car_that_was_not_stopped() -> None:
    """From control, release leads to braking; a car in other hands is only asked to change mode."""
    releasing = {state for state in State if REQUESTS[state][Wish.RELEASE] is State.RELEASING}

    assert releasing == {State.RELEASED, State.ENGAGING, State.YIELDED, State.RELEASING}


def test_no_observation_starts_to_drive() -> None:
    """Only a drive command or a set point can make the car move."""
    assert not any(after in DRIVING for row in OBSERVATIONS.values() for after in row.values())
    starters = {
        wish
        for state, row in REQUESTS.items()
        for wish, answer in row.items()
        if answer in DRIVING and answer is not state
    }
    assert starters == {Wish.DRIVE, Wish.SET_POINT}


def test_groups_do_not_overlap_where_they_must_not() -> None:
    """A state brakes, drives or changes mode, never two of them."""
    assert not BRAKING & DRIVING
    assert not BRAKING & CHANGING_MODE
    assert not DRIVING & LATCHED
    assert not IN_CONTROL & CHANGING_MODE
    assert not HANDS_OFF & (BRAKING | DRIVING | CHANGING_MODE | IN_CONTROL)
