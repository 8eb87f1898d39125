"""The send window in front of the MQTT client."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.cloud.publish_window import Message, PublishWindow


def message(number: int, size: int = 10, *, urgent: bool = False) -> Message:
    """A message whose topic is its number and whose size is `size` bytes."""
    topic = str(number)
    return Message(topic, bytes(size - len(topic)), qos=1, urgent=urgent)


def test_no_more_than_the_window_is_in_flight() -> None:
    """The third message waits until one of two is settled."""
    window = PublishWindow(in_flight=2, waiting_bytes=1000)
    for number in range(3):
        window.offer(message(number))

    assert [m.topic for m in window.take()] == ["0", "1"]
    assert list(window.take()) == []
    window.settle()
    assert [m.topic for m in window.take()] == ["2"]


def test_the_oldest_waiting_message_is_dropped_at_the_cap() -> None:
    """With the window full, the queue keeps the newest messages that fit and counts the rest."""
    window = PublishWindow(in_flight=1, waiting_bytes=20)
    window.offer(message(0))
    list(window.take())

    for number in (1, 2, 3):
        window.offer(message(number))
    window.settle()

    assert window.dropped == 1
    assert [m.topic for m in window.take()] == ["2"]


def test_a_message_that_can_leave_at_once_is_never_dropped() -> None:
    """The cap holds for what waits, so a message above it still leaves through a free window."""
    window = PublishWindow(in_flight=1, waiting_bytes=0)

    window.offer(message(1, size=5000))

    assert [m.topic for m in window.take()] == ["1"]
    assert window.dropped == 0


def test_an_urgent_message_passes_by_what_waits() -> None:
    """An urgent message leaves before ordinary ones that came earlier, and in its own order."""
    window = PublishWindow(in_flight=9, waiting_bytes=1000)
    for number, urgent in ((0, False), (1, True), (2, False), (3, True)):
        window.offer(message(number, urgent=urgent))

    assert [m.topic for m in window.take()] == ["1", "3", "0", "2"]


def test_urgent_messages_are_dropped_last() -> None:
    """At the cap ordinary messages go first, the oldest urgent one only when none is left."""
    window = PublishWindow(in_flight=1, waiting_bytes=20)
    window.offer(message(0))
    list(window.take())

    window.offer(message(1, urgent=True))
    for number in (2, 3):
        window.offer(message(number))
    for number in (4, 5):
        window.offer(message(number, urgent=True))

    assert window.dropped == 3
    window.settle()
    assert [m.topic for m in window.take()] == ["4"]
    window.settle()
    assert [m.topic for m in window.take()] == ["5"]


@given(
    st.lists(st.sampled_from(["offer", "urgent", "take", "settle"]), max_size=200),
    st.integers(1, 5),
    st.integers(0, 60),
)
def test_every_message_leaves_once_in_order_or_is_counted(
    steps: list[str], in_flight: int, waiting_bytes: int
) -> None:
    """For any sequence of calls: order kept, bounds respected, nothing vanishes uncounted."""
    window = PublishWindow(in_flight, waiting_bytes)
    offered, out = 0, 0
    taken: dict[bool, list[int]] = {False: [], True: []}
    for step in steps:
        if step in {"offer", "urgent"}:
            window.offer(message(offered, urgent=step == "urgent"))
            offered += 1
        elif step == "take":
            for fresh in window.take():
                taken[fresh.urgent].append(int(fresh.topic))
                out += 1
        elif out:
            window.settle()
            out -= 1
        assert window.in_flight == out <= in_flight
        # Ten bytes each; what has room in the window does not count.
        assert window.waiting <= max(waiting_bytes // 10, in_flight - out)

    for numbers in taken.values():
        assert numbers == sorted(set(numbers))
    assert len(taken[False]) + len(taken[True]) + window.waiting + window.dropped == offered
