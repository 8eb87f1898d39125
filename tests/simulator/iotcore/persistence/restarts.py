"""A broker that is saved, stopped, and started again as another process would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import mqtt5

from simulator.iotcore.persistence.mirror import Mirror
from simulator.iotcore.persistence.restoring import Restoring, read
from tests.simulator.iotcore.conftest import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.persistence.records import Kind
    from tests.simulator.iotcore.conftest import Client

UNIX_S_AT_ZERO = 1_700_000_000.0


class Disk:
    """What a data directory would hold of one broker."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.mirror = Mirror(UNIX_S_AT_ZERO)
        self.records: dict[tuple[Kind, str], bytes] = {}
        self.saved_unix_s = 0.0

    def save(self) -> int:
        """Save what changed; returns how many records that took."""
        broker = self.bench.broker
        changes = [step for step in self.mirror.changes(broker.lifetimes, broker.retained) if step]
        for kind, key, value in changes:
            if value is None:
                del self.records[kind, key]
            else:
                self.records[kind, key] = value
        self.saved_unix_s = UNIX_S_AT_ZERO + self.bench.now_s
        return len(changes)

    def restart(self, away_s: float = 0.0, limits: Limits | None = None) -> Bench:
        """A broker that was restored so long after the last save, with a clock of its own."""
        bench = Bench(limits=limits)
        bench.now_s = 3.0
        restoring = Restoring(
            read(self.rows(), self.saved_unix_s),
            bench.broker.lifetimes,
            bench.broker.retained,
            bench.broker.counters,
            unix_s_at_zero=self.saved_unix_s + away_s - bench.now_s,
            now_s=bench.now_s,
        )
        restoring.run()
        bench.wait(0.0)
        return bench

    def rows(self) -> Iterator[tuple[Kind, str, bytes]]:
        """The records as a data directory gives them."""
        return ((kind, key, value) for (kind, key), value in self.records.items())


class Heard(NamedTuple):
    """What a client is told when it comes back."""

    session_present: bool
    messages: list[tuple[Any, ...]]


def resume(bench: Bench, client_id: str, **options: Any) -> tuple[Client, Heard]:
    """A client comes back and acknowledges everything it gets."""
    options = {"clean_start": False, "session_expiry_interval": 3600, **options}
    client = bench.connect(client_id, **options)
    (connack,) = client.take(mqtt5.ConnAckPacket)
    heard: list[tuple[Any, ...]] = []
    while packets := client.take(mqtt5.PublishPacket):
        for packet in packets:
            heard.append(
                (
                    packet.topic,
                    packet.payload,
                    packet.retain,
                    packet.packet_id,
                    packet.message_expiry_interval,
                    packet.content_type,
                    packet.response_topic,
                    packet.correlation_data,
                    tuple(packet.user_properties),
                )
            )
            client.acknowledge(packet)
    return client, Heard(connack.session_present, heard)


def payloads(heard: Heard) -> list[bytes]:
    """Payloads in order of arrival."""
    return [message[1] for message in heard.messages]
