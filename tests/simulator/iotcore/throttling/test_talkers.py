from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.throttling.talkers import TopTalkers

NAMES = st.integers(0, 40).map(lambda number: f"c{number % 7 * number}")


@given(st.lists(NAMES, max_size=400), st.integers(1, 12))
def test_counts_are_never_too_low_and_the_excess_says_how_much_too_high(
    names: list[str], kept: int
) -> None:
    """The guarantees of Space-Saving, and its memory."""
    talkers = TopTalkers(kept)
    for name in names:
        talkers.count(name)
    true = Counter(names)
    top = talkers.top()

    assert len(top) == min(kept, len(true))
    assert sum(talker.events for talker in top) == len(names)
    for talker in top:
        assert talker.events - talker.excess <= true[talker.client_id] <= talker.events
    listed = {talker.client_id for talker in top}
    assert {name for name, count in true.items() if count > len(names) / kept} <= listed


def test_few_clients_are_counted_exactly() -> None:
    """The loudest first, equals by name."""
    talkers = TopTalkers(4)
    for name in ("b", "a", "c", "c", "a", "c", "b"):
        talkers.count(name)
    assert talkers.top() == [("c", 3, 0), ("a", 2, 0), ("b", 2, 0)]


def test_a_loud_latecomer_is_found() -> None:
    """A thousand clients were refused once before one was refused a hundred times."""
    talkers = TopTalkers(16)
    for number in range(1000):
        talkers.count(f"c{number}")
    for _ in range(100):
        talkers.count("loud")
    assert talkers.top()[0].client_id == "loud"
