"""The queue of a session, held against a list."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from simulator.iotcore.broker.joints import Unlimited
from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.session import Delivery, QueueBudget, Session

MESSAGES_MAX, BYTES_MAX, BUDGET_BYTES = 3, 24, 40


class Queue(RuleBasedStateMachine):
    """Messages wait, are stored, are sent, are acknowledged, and connections break.

    The model is three lists of payloads. Sizes are those of topic and payload.
    """

    def __init__(self) -> None:
        super().__init__()
        self.budget = QueueBudget(BUDGET_BYTES)
        self.others_bytes = 0
        self.session = Session(
            "car-1", MESSAGES_MAX, BYTES_MAX, self.budget, Unlimited().meter(), 5
        )
        self.stored: list[bytes] = []
        self.waiting: list[bytes] = []
        self.in_flight: dict[int, bytes] = {}
        self.serial = 0

    @property
    def queued(self) -> list[bytes]:
        """Payloads in both queues."""
        return [*self.stored, *self.waiting]

    @rule(length=st.integers(2, 16), is_stored=st.booleans())
    def arrives(self, length: int, is_stored: bool) -> None:
        """A message is queued, or is the one that is dropped: never an older one."""
        self.serial += 1
        payload = self.serial.to_bytes(2, "big") + b"x" * (length - 2)
        is_taken = self.session.put(
            Delivery(Message("t", payload, 1, 0.0), retain=False), is_stored=is_stored
        )
        size = sum(1 + len(each) for each in (*self.queued, payload))
        fits = len(self.queued) < MESSAGES_MAX and size <= BYTES_MAX
        assert is_taken == (fits and size + self.others_bytes <= BUDGET_BYTES)
        if is_taken:
            (self.stored if is_stored else self.waiting).append(payload)

    @rule(others_bytes=st.sampled_from([0, 20, 34]))
    def others_use_the_budget(self, others_bytes: int) -> None:
        """Other sessions hold more or less of what all may hold together."""
        self.budget.used_bytes += others_bytes - self.others_bytes
        self.others_bytes = others_bytes

    @precondition(lambda self: self.stored)
    @rule()
    def sends_a_stored_one(self) -> None:
        """The oldest stored one goes first."""
        delivery = self.session.take_stored()
        assert delivery.message.payload == self.stored.pop(0)
        self._send(delivery)

    @rule()
    def sends_a_waiting_one(self) -> None:
        """The oldest waiting one goes first, if there is one."""
        delivery = self.session.take()
        if delivery is None:
            assert self.waiting == []
            return
        assert delivery.message.payload == self.waiting.pop(0)
        self._send(delivery)

    def _send(self, delivery: Delivery) -> None:
        packet_id = self.session.start(delivery, 0.0)
        assert 1 <= packet_id <= 65_535
        assert packet_id not in self.in_flight
        self.in_flight[packet_id] = delivery.message.payload

    @rule(data=st.data())
    def acknowledges(self, data: st.DataObject) -> None:
        """Of what is in flight, one goes; an id that is not in flight changes nothing."""
        packet_id = data.draw(st.sampled_from([*self.in_flight, 65_535]))
        assert self.session.acknowledge(packet_id) == (packet_id in self.in_flight)
        self.in_flight.pop(packet_id, None)

    @rule()
    def is_lost(self) -> None:
        """What was not acknowledged is stored, before what waited; nothing is dropped for it."""
        self.session.store_all()
        self.stored = [*self.in_flight.values(), *self.queued]
        self.waiting, self.in_flight = [], {}

    @invariant()
    def holds_what_the_lists_hold(self) -> None:
        """Number, order and bytes."""
        assert self.session.queued == len(self.queued)
        assert [each.message.payload for each in self.session.stored] == self.stored
        assert self.budget.used_bytes == self.others_bytes + sum(
            1 + len(each) for each in self.queued
        )
        backlog = [each.message.payload for each in self.session.backlog()]
        assert backlog == [*self.in_flight.values(), *self.queued]


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
