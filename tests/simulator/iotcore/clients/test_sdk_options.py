"""What the MQTT 5 client of the AWS SDK can be told: aliases, resumed sessions, late PUBACKs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from awscrt import mqtt5

from tests.simulator.iotcore.clients.device_sdk import KeyPair, connected, publish, subscribe

if TYPE_CHECKING:
    from tests.simulator.iotcore.clients.estate import Estate

RESUMING = {
    "session_behavior": mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
    "session_expiry_interval_sec": 600,
    "min_reconnect_delay_ms": 10,
    "max_reconnect_delay_ms": 100,
}


async def test_topic_aliases_of_the_sdk(estate: Estate) -> None:
    """Ten topics share the eight aliases; every message keeps its topic."""
    topics = [f"dt/car-1/signal-{number}" for number in range(10)]
    received: asyncio.Queue[Any] = asyncio.Queue()
    aliases = mqtt5.TopicAliasingOptions(
        outbound_behavior=mqtt5.OutboundTopicAliasBehaviorType.LRU,
        outbound_cache_max_size=8,
        inbound_behavior=mqtt5.InboundTopicAliasBehaviorType.ENABLED,
        inbound_cache_max_size=8,
    )
    car = KeyPair.of(estate.store.identity("car-1"))
    app = KeyPair.of(estate.store.identity("app"))
    async with (
        connected(estate, app, "app", received=received) as listener,
        connected(estate, car, "car-1", topic_aliasing_options=aliases) as client,
    ):
        await subscribe(listener, "dt/car-1/+")
        for topic in topics * 2:
            await publish(client, topic, topic)
        got = [await received.get() for _ in range(2 * len(topics))]
    assert [packet.topic for packet in got] == topics * 2
    assert [packet.payload for packet in got] == [f'"{topic}"'.encode() for topic in topics * 2]


async def test_the_sdk_comes_back_to_its_session(estate: Estate) -> None:
    """After a cut it resumes by itself and gets what came meanwhile, without subscribing again."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    identity = KeyPair.of(estate.store.identity("car-1"))
    async with connected(estate, identity, "car-1", received=received, **RESUMING) as client:
        await subscribe(client, "dt/+/orders")
        assert estate.core.drop("car-1")
        await estate.core.publish("dt/car-1/orders", b"meanwhile", qos=1)
        assert (await received.get()).payload == b"meanwhile"
        await publish(client, "dt/car-1/orders", "again")
        assert (await received.get()).payload == b'"again"'
    assert estate.core.counters()["subscribes"] == 1
    assert estate.core.counters()["connects"] == 2


async def test_a_message_without_puback_comes_again(estate: Estate) -> None:
    """The car keeps the PUBACK back; after a cut it gets the message again and acknowledges."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()

    def hear(data: Any) -> None:
        handle = data.acquire_publish_acknowledgement_control()
        loop.call_soon_threadsafe(arrived.put_nowait, (data.publish_packet.payload, handle))

    identity = KeyPair.of(estate.store.identity("car-1"))
    options = RESUMING | {"on_publish_received": hear}
    async with connected(estate, identity, "car-1", **options) as client:
        await subscribe(client, "dt/+/orders")
        await estate.core.publish("dt/car-1/orders", b"one", qos=1)
        payload, _ = await arrived.get()
        assert payload == b"one"
        assert estate.core.drop("car-1")
        payload, handle = await arrived.get()
        assert payload == b"one"
        client.invoke_publish_acknowledgement(handle)
        await estate.core.publish("dt/car-1/orders", b"two", qos=1)
        payload, handle = await arrived.get()
        assert payload == b"two"
        client.invoke_publish_acknowledgement(handle)
