from __future__ import annotations

from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.joints import Answer, DocumentedTopics, Unlimited, Verdict
from simulator.iotcore.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulator.iotcore.conftest import Bench

PubAck = mqtt5.PubAckPacket


class Strict(Unlimited):
    """Refuses according to what a client is called or says."""

    def connect(self, client_id: str, _now_s: float, /) -> bool:
        """Too eager."""
        return "eager" not in client_id

    def publish(self, client_id: str, _size_bytes: int, _now_s: float, /) -> Verdict:
        """Two names stand for two verdicts."""
        if client_id == "refused":
            return Verdict.REFUSE
        return Verdict.DISCARD if client_id == "discarded" else Verdict.ACCEPT

    def subscribe(self, _client_id: str, filters: int, _now_s: float, /) -> bool:
        """Two at a time."""
        return filters < 3

    def deliver(self, client_id: str, _size_bytes: int, _now_s: float, /) -> bool:
        """All but one."""
        return client_id != "flooded"


def test_quotas_are_asked_at_every_place(make_bench: Callable[..., Bench]) -> None:
    """CONNECT 0x97, SUBSCRIBE 0x97, PUBLISH answered 0x97 or not at all, deliveries dropped."""
    bench = make_bench(quotas=Strict())
    assert bench.connect("eager").codes(mqtt5.ConnAckPacket) == [0x97]
    listener, flooded = bench.join("listener"), bench.join("flooded")
    codes = listener.subscribe("a", "b", "c").reason_codes
    assert [int(code) for code in codes] == [0x97] * 3
    listener.subscribe("t")
    flooded.subscribe("t")
    for client_id, expected in (("refused", [0x97, 0x97]), ("discarded", []), ("fine", [0, 0])):
        client = bench.join(client_id)
        for _ in range(2):
            client.publish("t", client_id.encode(), qos=1)
        assert client.codes(PubAck) == expected
        assert not client.is_closed
    assert listener.messages() == [("t", b"fine"), ("t", b"fine")]
    assert flooded.messages() == []
    assert bench.count("publish_throttled") == 4
    assert bench.count("dropped_throttled") == 2


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
