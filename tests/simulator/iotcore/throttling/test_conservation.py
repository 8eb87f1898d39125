"""Whatever clients do under tight quotas, every QoS 1 delivery ends somewhere, exactly once."""

from __future__ import annotations

from collections import deque
from typing import Any

import mqtt5
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.throttling.account import AccountQuotas
from tests.simulator.iotcore.conftest import Bench, Client
from tests.simulator.iotcore.throttling.conftest import table_with

READER_RATE = 6
LIMITS: dict[str, float] = {
    "publishes-per-connection": READER_RATE,
    "throughput-per-connection": 2,
    "queued-per-account": 4,
    "replayed-per-session": 2,
    "replayed-per-group-member": 2,
    "queued-per-shared-group": 5,
    "connects-per-client-id": 1000,
}
DAY: dict[str, Any] = {"clean_start": False, "session_expiry_interval": 3600, "receive_max": 4}
DROPPED = (
    "quota:publishes-per-connection",
    "quota:queued-per-account",
    "quota:queued-per-shared-group",
    "dropped_queue_full",
)


class Flow(RuleBasedStateMachine):
    """One reader with a session that comes and goes, and speakers that never are refused."""

    filter = "t"

    def __init__(self) -> None:
        super().__init__()
        quotas = AccountQuotas(table_with(LIMITS))
        self.bench = Bench(limits=Limits(queued_messages=12), quotas=quotas)
        self.reader: Client = self.bench.join("reader", **DAY)
        self.reader.subscribe(self.filter)
        self.online = True
        self.unacknowledged: deque[mqtt5.PublishPacket] = deque()
        self.published = 0
        self.acknowledged: list[bytes] = []
        self.arrivals_s: list[float] = []

    def collect(self) -> None:
        """Take what came to the reader."""
        packets = self.reader.take(mqtt5.PublishPacket)
        self.unacknowledged.extend(packets)
        self.arrivals_s += [self.bench.now_s] * len(packets)

    @rule(size=st.sampled_from([1, 1, 1, 900]))
    def publish(self, size: int) -> None:
        """Some speaker that may says something new."""
        name = f"s{self.published}"
        speaker = self.bench.join(name)
        payload = b"%06d" % self.published + b"x" * size
        speaker.publish("t", payload, qos=1)
        assert speaker.codes(mqtt5.PubAckPacket) == [0]
        speaker.send(mqtt5.DisconnectPacket())
        self.published += 1
        self.collect()

    @rule()
    def acknowledge(self) -> None:
        """The oldest."""
        if self.online and self.unacknowledged:
            packet = self.unacknowledged.popleft()
            self.acknowledged.append(packet.payload)
            self.reader.acknowledge(packet)
            self.collect()

    @rule()
    def leave(self) -> None:
        """The transport breaks; what was not acknowledged will come again."""
        if self.online:
            self.reader.lose()
            self.reader.ending = None
            self.online = False
            self.unacknowledged.clear()

    @rule()
    def come_back(self) -> None:
        """With the same session."""
        if not self.online:
            self.reader = self.bench.join("reader", **DAY)
            self.online = True
            self.collect()

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.bench.wait(seconds)
        self.collect()

    def waiting_in_group(self) -> int:
        """What waits for the reader, but not in its session."""
        return 0

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        """Published is acknowledged, in flight, waiting, or counted as dropped."""
        (session,) = (c for c in self.bench.broker.clients() if c.client_id == "reader")
        in_flight = len(self.bench.broker._lifetimes.sessions["reader"].in_flight)
        dropped = sum(self.bench.count(cause) for cause in DROPPED)
        waiting = session.queued + self.waiting_in_group()
        total = len(self.acknowledged) + in_flight + waiting + dropped
        assert total == self.published
        assert len(set(self.acknowledged)) == len(self.acknowledged)

    @invariant()
    def the_rate_holds(self) -> None:
        """No second, and no longer time, brings more than the rate and the burst."""
        times = self.arrivals_s[-60:]
        for first in range(len(times)):
            for last in range(first, len(times)):
                allowed = READER_RATE * (times[last] - times[first]) + READER_RATE
                assert last - first + 1 <= allowed + 1e-3


class SharedFlow(Flow):
    """The same through a shared subscription."""

    filter = "$share/g/t"

    def waiting_in_group(self) -> int:
        """In the group."""
        session = self.bench.broker._lifetimes.sessions["reader"]
        return sum(each.group.waiting for each in session.shared if each.group is not None)


TestFlow = Flow.TestCase
TestFlow.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestSharedFlow = SharedFlow.TestCase
TestSharedFlow.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
