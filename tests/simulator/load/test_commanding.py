"""A commander keeps to the clock, commands cars in turn, and accounts for every command."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cloud.topics import CommandProtocol, TopicKind, TopicSpace
from agent.commands.protocol import ExecutionStatus, Outcome, ReasonCode, encode_outcome
from agent.commands.requests import Drive, Lamps, Request, Stop, parse_request
from certs.errors import ConfigurationError
from simulator.load.traffic.commanding import CommandedCar, Commander

ZERO_S = 1_790_000_000.0
SUCCEEDED = encode_outcome(Outcome(ExecutionStatus.SUCCEEDED))
PROGRESS = encode_outcome(Outcome(ExecutionStatus.IN_PROGRESS, ReasonCode.DRIVING))


def commander(cars: int = 5, protocol: Any = "plain", **options: Any) -> Commander:
    """A commander of some cars at ten commands a second."""
    settings: dict[str, Any] = {
        "fleet": "load",
        "kind": "mix",
        "rate_hz": 10.0,
        "answer_within_s": 2.0,
        "seed": 7,
        "run": "01JD0Q8Z5W",
        "unix_s_at_zero": ZERO_S,
    }
    targets = [CommandedCar(100 + n, f"car-{n}", "vans", protocol) for n in range(cars)]
    return Commander(targets, **settings | options)


def test_commands_are_due_by_the_clock_alone() -> None:
    """Half a spacing in, then one each spacing, however late or seldom the commander is asked."""
    made = commander(cars=100)
    assert made.next_due_s == pytest.approx(0.05)
    assert made.due(0.04) == []
    late = made.due(0.5)
    assert [command.due_s for command in late] == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45])
    steady = commander(cars=100)
    often = [command for tick in range(51) for command in steady.due(tick * 0.01)]
    assert often == late


def test_nothing_is_due_before_the_start_or_from_the_end_on() -> None:
    """The schedule fills its stretch of the run and no more."""
    made = commander(cars=100, start_s=2.0, end_s=3.0)
    assert made.due(2.0) == []
    assert len(made.due(100.0)) == 10
    assert made.next_due_s is None


@pytest.mark.parametrize("protocol", list(CommandProtocol))
def test_requests_are_what_a_car_accepts(protocol: CommandProtocol) -> None:
    """Topics and documents are those of the agent's contract, and expire when an answer is late."""
    made = commander(cars=40, protocol=protocol.value, answer_within_s=2.5)
    kinds: Counter[type] = Counter()
    for command in made.due(3.9):
        space = TopicSpace("load", f"car-{command.car - 100}")
        parsed = space.parse(command.topic)
        assert (parsed.kind, parsed.execution_id) == (TopicKind.REQUEST, command.execution_id)
        assert parsed.protocol is protocol
        assert command.answer_topic == space.response(protocol, command.execution_id)
        now_s = ZERO_S + command.due_s
        request = parse_request(command.payload, message_expiry_s=None, now_s=now_s + 1.0)
        assert isinstance(request, Request)
        assert request.remaining_s == pytest.approx(1.5, abs=0.002)
        kinds[type(request.command)] += 1
    assert set(kinds) == {Drive, Stop, Lamps}


@pytest.mark.parametrize(
    ("kind", "model"), [("set_speed", Drive), ("stop", Stop), ("set_lamps", Lamps)]
)
def test_one_kind_gives_that_command_only(kind: str, model: type) -> None:
    """The scenario's names stand for the agent's real commands."""
    for command in commander(cars=50, kind=kind).due(4.9):
        request = parse_request(command.payload, message_expiry_s=None, now_s=ZERO_S)
        assert isinstance(request, Request)
        assert type(request.command) is model


def test_execution_ids_are_used_once() -> None:
    """Neither one connection nor two of them ever give out an id twice."""
    ids = [
        command.execution_id
        for index in range(2)
        for command in commander(cars=200, index=index, count=2).due(9.0)
    ]
    assert len(ids) == len(set(ids)) > 80


def test_cars_are_taken_in_turn() -> None:
    """Every car has its turn once before any has its second."""
    made = commander(cars=10, answer_within_s=0.1)
    cars = [command.car for command in made.due(2.0)]
    assert len(cars) == 20
    assert sorted(cars[:10]) == list(range(100, 110))
    assert cars[10:] == cars[:10]
    assert cars[:10] != sorted(cars[:10])


def test_a_car_never_has_two_at_once() -> None:
    """A car that is busy is passed over; when all are, the command is withheld and counted."""
    made = commander(cars=3, answer_within_s=10.0)
    commands = made.due(0.6)
    assert len({command.car for command in commands}) == len(commands) == 3
    assert made.withheld == 3
    answered = made.answer(commands[1].answer_topic, SUCCEEDED, 0.62)
    assert answered is not None
    assert [command.car for command in made.due(0.66)] == [commands[1].car]


def test_a_car_whose_answer_is_overdue_is_commanded_again() -> None:
    """One car that never answers does not stop the commander for ever."""
    made = commander(cars=1, rate_hz=1.0, answer_within_s=0.9)
    assert [command.due_s for command in made.due(3.0)] == [0.5, 1.5, 2.5]
    assert made.pending == 3


def test_connections_share_cars_and_rate() -> None:
    """Two connections command disjoint halves of the cars, in time between each other."""
    pair = [commander(cars=20, index=index, count=2, answer_within_s=0.1) for index in range(2)]
    commands = [made.due(4.0) for made in pair]
    assert {c.car for c in commands[0]} | {c.car for c in commands[1]} == set(range(100, 120))
    assert not {c.car for c in commands[0]} & {c.car for c in commands[1]}
    times_s = sorted(c.due_s for both in commands for c in both)
    assert times_s == pytest.approx([0.05 + 0.1 * n for n in range(40)])


def test_a_seed_decides_everything() -> None:
    """Two commanders of one seed are identical, and of another seed different."""
    assert commander().due(0.5) == commander().due(0.5)
    assert commander(seed=8).due(0.5) != commander().due(0.5)


def test_a_final_answer_has_the_latency_from_the_intended_time() -> None:
    """Progress does not finish a command; the final status does, with its latency and reason."""
    made = commander()
    command = made.due(0.1)[0]
    assert made.answer(command.answer_topic, PROGRESS, 0.2) is None
    rejected = encode_outcome(Outcome(ExecutionStatus.REJECTED, ReasonCode.EXPIRED))
    answered = made.answer(command.answer_topic, rejected, 0.35)
    assert answered is not None
    assert answered.latency_s == pytest.approx(0.3)
    assert (answered.in_time, answered.status) == (True, ExecutionStatus.REJECTED)
    assert (answered.reason, answered.car, answered.group) == ("EXPIRED", command.car, "vans")
    assert answered.due_s == command.due_s
    assert (made.pending, made.in_progress) == (0, 1)


def test_a_late_answer_is_an_answer_but_not_in_time() -> None:
    """An answer after the time allowed still tells how long it took."""
    made = commander(answer_within_s=2.0)
    [command] = made.due(0.05)
    answered = made.answer(command.answer_topic, SUCCEEDED, 2.06)
    assert answered is not None
    assert not answered.in_time
    assert answered.latency_s == pytest.approx(2.01)


def test_what_is_no_new_answer_is_counted_by_its_cause() -> None:
    """Duplicates, strangers' answers and unreadable ones change nothing."""
    made = commander()
    [command] = made.due(0.05)
    assert made.answer(command.answer_topic, b"{", 0.1) is None
    assert made.answer(command.answer_topic.replace("car", "cab"), SUCCEEDED, 0.1) is None
    assert made.answer(command.topic, SUCCEEDED, 0.1) is None
    assert made.answer(command.answer_topic, SUCCEEDED, 0.1) is not None
    assert made.answer(command.answer_topic, SUCCEEDED, 0.2) is None
    assert (made.undecodable, made.unknown, made.duplicates) == (1, 2, 1)


def test_the_end_tells_what_was_never_answered() -> None:
    """Closing gives each command without a final answer, once."""
    made = commander()
    commands = made.due(0.25)
    made.answer(commands[0].answer_topic, SUCCEEDED, 0.2)
    made.answer(commands[1].answer_topic, PROGRESS, 0.2)
    assert {item.due_s for item in made.close()} == {commands[1].due_s, commands[2].due_s}
    assert made.close() == []


def test_a_withdrawn_command_is_neither_pending_nor_unanswered() -> None:
    """What could not be written is not held against the car, which is free at once."""
    made = commander(cars=1)
    [command] = made.due(0.05)
    made.withdraw(command)
    made.withdraw(command)
    assert (made.pending, made.close()) == (0, [])
    assert len(made.due(0.16)) == 1


@given(
    st.integers(1, 8),
    st.integers(1, 6),
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 5)), max_size=40),
)
def test_every_command_ends_in_exactly_one_account(
    cars: int, room: int, steps: list[tuple[float, int]]
) -> None:
    """Answered, given up or unanswered at the end: each command once, with a bounded table."""
    made = commander(cars=cars, answer_within_s=0.2, max_pending=room)
    now_s, sent, ended = 0.0, [], 0
    for wait_s, pick in steps:
        now_s += wait_s
        sent += made.due(now_s)
        assert made.pending <= room
        if sent:
            topic = sent[pick % len(sent)].answer_topic
            ended += made.answer(topic, SUCCEEDED, now_s) is not None
        ended += len(made.take_given_up())
    ended += len(made.close())
    assert ended == len(sent)
    assert len(sent) + made.withheld == sum(0.05 + 0.1 * n <= now_s for n in range(200))


@given(st.text(max_size=30), st.binary(max_size=60))
def test_nothing_that_arrives_raises(topic: str, payload: bytes) -> None:
    """Any message is taken in; only a status document on an awaited topic ends a command."""
    made = commander()
    [command] = made.due(0.05)
    assert made.answer(topic, payload, 1.0) is None
    assert made.answer(command.answer_topic, payload, 1.0) is None
    assert made.pending == 1


def test_the_filters_bring_the_answers_of_the_own_cars() -> None:
    """There is one subscription a car, and it matches where its answers arrive."""
    made = commander(cars=4, index=1, count=2)
    assert len(made.filters) == 2
    for command in made.due(0.5):
        assert command.answer_topic.rpartition("/")[0] + "/+" in made.filters


def test_impossible_settings_are_refused_at_once() -> None:
    """No cars, an unusable run identity or thing name do not wait until a command is due."""
    with pytest.raises(ValueError, match="too few"):
        commander(cars=1, index=1, count=2)
    with pytest.raises(ValueError, match="execution id"):
        commander(run="a/b")
    with pytest.raises(ConfigurationError):
        commander(fleet="a/b")
