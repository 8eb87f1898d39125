"""The bound between the SDK's thread and the event loop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.cloud.inbound_gate import InboundGate


def test_too_many_messages_are_dropped_and_counted() -> None:
    """The third of two is refused, and there is room again when one was taken."""
    gate = InboundGate(max_messages=2)

    assert [gate.admit(1, droppable=True) for _ in range(3)] == [True, True, False]
    gate.taken(1)
    assert gate.admit(1, droppable=True)
    assert (gate.take_dropped(), gate.take_dropped()) == (1, 0)


def test_too_many_bytes_are_dropped_and_counted() -> None:
    """Large messages meet the byte bound long before the number does."""
    gate = InboundGate(max_messages=1000, max_bytes=100)

    assert [gate.admit(60, droppable=True) for _ in range(3)] == [True, True, False]
    assert gate.take_dropped() == 1


def test_what_the_broker_repeats_is_always_admitted() -> None:
    """QoS 1 has its own brake and passes a full gate."""
    gate = InboundGate(max_messages=1)
    gate.admit(1, droppable=True)

    assert gate.admit(1, droppable=False)
    assert gate.take_dropped() == 0


@given(st.lists(st.one_of(st.integers(0, 50), st.none()), max_size=200))
def test_waiting_is_bounded_and_nothing_vanishes(steps: list[int | None]) -> None:
    """For any arrivals (a size) and removals (`None`): both bounds hold and the counts add up."""
    gate = InboundGate(max_messages=5, max_bytes=100)
    waiting: list[int] = []
    handed = taken = 0
    for size in steps:
        if size is None:
            if waiting:
                gate.taken(waiting.pop(0))
                taken += 1
        else:
            handed += 1
            if gate.admit(size, droppable=True):
                waiting.append(size)
        assert len(waiting) <= 5
        assert sum(waiting) < 100 + 50

    assert handed == taken + len(waiting) + gate.take_dropped()
