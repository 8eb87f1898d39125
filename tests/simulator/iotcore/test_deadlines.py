from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.deadlines import Deadlines

KEYS = st.integers(0, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 20)),
        st.tuples(st.just("cancel"), KEYS, st.just(0)),
        st.tuples(st.just("due"), st.just(0), st.integers(0, 20)),
    ),
    max_size=40,
)


@given(STEPS)
def test_behaves_like_a_plain_table(steps: list[tuple[str, int, int]]) -> None:
    """Keys come out when due, in order of time, once, and with their latest deadline."""
    deadlines: Deadlines[int] = Deadlines()
    table: dict[int, float] = {}
    for step, key, at_s in steps:
        if step == "set":
            deadlines.set(key, at_s)
            table[key] = at_s
        elif step == "cancel":
            deadlines.cancel(key)
            table.pop(key, None)
        else:
            expected = {key: at for key, at in table.items() if at <= at_s}
            out = list(deadlines.due(at_s))
            assert sorted(out) == sorted(expected)
            assert [expected[key] for key in out] == sorted(expected.values())
            table = {key: at for key, at in table.items() if at > at_s}
        assert deadlines.next_s() == min(table.values(), default=None)
        assert len(deadlines) == len(table)


def test_moving_a_deadline_often_does_not_grow_the_heap() -> None:
    """Stale entries are swept out."""
    deadlines: Deadlines[str] = Deadlines()
    for number in range(100_000):
        deadlines.set("only", float(number))
    assert len(deadlines._heap) < 2_000
