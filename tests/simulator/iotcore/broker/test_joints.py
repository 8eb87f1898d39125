from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.counters import Breach, Cause, Effect
from simulator.iotcore.broker.joints import Answer, DocumentedTopics, Unlimited
from simulator.iotcore.broker.message import Message
from simulator.iotcore.throttling.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulator.iotcore.conftest import Bench

PubAck = mqtt5.PubAckPacket


OVER_IN = Cause.QUOTA_PUBLISHES_IN
OVER_OUT = Cause.QUOTA_PUBLISHES_OUT


class Strict(Unlimited):
    """Refuses according to which session asks, in the order in which they began."""

    def __init__(self) -> None:
        self.meters: list[Meter] = []
        self.effects: dict[int, Effect] = {}

    def connect(self, client_id: str, _others: int, _now_s: float, /) -> Breach | None:
        """Too eager."""
        if "eager" not in client_id:
            return None
        return Breach(Cause.QUOTA_CONNECTS, Effect.REFUSE)

    def meter(self) -> Meter:
        """One for each session."""
        self.meters.append(Meter(1.0, 1.0, 1.0, 1.0, 1.0))
        return self.meters[-1]

    def publish(self, meter: Meter, _now_s: float, /) -> Breach | None:
        """What was said about this session."""
        effect = self.effects.get(self.meters.index(meter))
        return Breach(OVER_IN, effect) if effect is not None else None

    def subscribe(self, held: int | None, _now_s: float, /) -> Breach | None:
        """Two in all."""
        full = held is not None and held >= 2
        return Breach(Cause.QUOTA_SUBSCRIPTIONS, Effect.REFUSE) if full else None

    def deliver(self, meter: Meter, _now_s: float, /) -> Breach | None:
        """All but the second session."""
        return Breach(OVER_OUT, Effect.DISCARD) if self.meters.index(meter) == 1 else None


def test_quotas_are_asked_at_every_place(make_bench: Callable[..., Bench]) -> None:
    """CONNECT 0x97, SUBSCRIBE 0x97, PUBLISH answered 0x97 or not at all, deliveries dropped."""
    quotas = Strict()
    bench = make_bench(quotas=quotas)
    assert bench.connect("eager").codes(mqtt5.ConnAckPacket) == [0x97]
    listener, flooded = bench.join("listener"), bench.join("flooded")
    listener.subscribe("t")
    codes = flooded.subscribe("t", "u", "v").reason_codes
    assert [int(code) for code in codes] == [1, 0x97, 0x97]
    quotas.effects = {2: Effect.REFUSE, 3: Effect.DISCARD, 4: Effect.OBSERVE}
    for client_id, expected in (
        ("refused", [0x97, 0x97]),
        ("discarded", []),
        ("observed", [0, 0]),
        ("fine", [0, 0]),
    ):
        client = bench.join(client_id)
        for _ in range(2):
            client.publish("t", client_id.encode(), qos=1)
        assert client.codes(PubAck) == expected
        assert not client.is_closed
    assert listener.messages() == [("t", b"observed")] * 2 + [("t", b"fine")] * 2
    assert flooded.messages() == []
    assert bench.count(OVER_IN) == 6
    assert bench.count(OVER_OUT) == 4
    assert bench.count("quota:connects-per-account") == 1
    assert bench.count("quota:subscriptions-per-account") == 2


class Echo(DocumentedTopics):
    """A service that answers its publisher and tells everybody."""

    def handle(
        self, message: Message, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer] | None:
        """Answer requests of the jobs service."""
        if "/jobs/" not in message.topic:
            return super().handle(message, client_id, now_s)
        answer = Message(f"{message.topic}/accepted", message.payload, 1, now_s)
        notice = Message("$aws/events/jobs", b"asked", 0, now_s)
        return [Answer(answer, client_id), Answer(notice)]


def test_a_service_answers_its_client_directly(make_bench: Callable[..., Bench]) -> None:
    """The answer needs no subscription; others see only what is meant for everybody."""
    bench = make_bench(reserved=Echo())
    client, other = bench.join("c"), bench.join("o")
    other.subscribe("$aws/events/#", "$aws/things/t/jobs/get/accepted")
    other.messages()
    client.publish("$aws/things/t/jobs/get", b"?", qos=1)
    assert client.codes(PubAck) == [0]
    assert client.messages() == [("$aws/things/t/jobs/get/accepted", b"?")]
    assert other.messages() == [("$aws/events/jobs", b"asked")]


def test_without_services_a_test_program_can_play_one(bench: Bench) -> None:
    """Shadow requests reach who subscribed; Basic Ingest reaches nobody and succeeds."""
    device, service = bench.join("device"), bench.join("service")
    service.subscribe("$aws/things/+/shadow/#")
    device.publish("$aws/things/t/shadow/update", b"{}", qos=1)
    device.publish("$aws/rules/r/t", qos=1)
    assert device.codes(PubAck) == [0, 0]
    assert service.messages() == [("$aws/things/t/shadow/update", b"{}")]
