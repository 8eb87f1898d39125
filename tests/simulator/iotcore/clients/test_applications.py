"""Aiomqtt and paho, as applications use them: shared groups, wills, retained messages, sessions."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiomqtt
import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.client_tls import mutual_tls
from tests.simulator.iotcore.clients.device_sdk import Version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.simulator.iotcore.clients.estate import Estate

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="aiomqtt needs a selector loop")

SESSION_S = 600
HOST = "localhost"


def application(
    estate: Estate, client_id: str, version: Version, name: str = "app", **more: Any
) -> aiomqtt.Client:
    """A client of aiomqtt."""
    is_five = version is Version.MQTT_5
    return aiomqtt.Client(
        HOST,
        estate.core.port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if is_five else aiomqtt.ProtocolVersion.V311,
        tls_context=mutual_tls(estate.store.identity(name)),
        **more,
    )


async def test_a_shared_group_gets_every_message_once(estate: Estate, version: Version) -> None:
    """Two members divide the messages among themselves; a plain subscriber gets all."""
    texts = {f"{number}".encode() for number in range(40)}
    async with (
        application(estate, "worker-1", version) as first,
        application(estate, "worker-2", version) as second,
        application(estate, "watcher", version) as watcher,
        application(estate, "car-1", version, "car-1") as car,
    ):
        arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        async def collect(name: str, client: aiomqtt.Client) -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                arrived.put_nowait((name, message.payload))

        await first.subscribe("$share/workers/dt/+/jobs", qos=1)
        await second.subscribe("$share/workers/dt/+/jobs", qos=1)
        await watcher.subscribe("dt/+/jobs", qos=1)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(collect(name, client))
                for name, client in (("1", first), ("2", second), ("watcher", watcher))
            ]
            for text in texts:
                await car.publish("dt/car-1/jobs", text, qos=1)
            got = [await arrived.get() for _ in range(2 * len(texts))]
            for task in tasks:
                task.cancel()
    assert {payload for name, payload in got if name == "watcher"} == texts
    shared = [payload for name, payload in got if name != "watcher"]
    assert sorted(shared) == sorted(texts)
    # All 40 by one member: a chance of 1 in 10^12.
    assert {name for name, _ in got} == {"1", "2", "watcher"}


async def test_a_lost_car_leaves_its_will(estate: Estate, version: Version) -> None:
    """The will goes out when the network breaks, retained as the car wanted."""
    will = aiomqtt.Will("dt/car-1/state", b"lost", qos=1, retain=True)
    async with application(estate, "app", version) as app:
        await app.subscribe("dt/+/state", qos=1)
        async with application(estate, "car-1", version, "car-1", will=will) as car:
            await car.publish("dt/car-1/state", b"here", qos=1)
            assert (await anext(app.messages)).payload == b"here"
            assert estate.core.drop("car-1")
            with pytest.raises(aiomqtt.MqttError):
                await anext(car.messages)
        lost = await anext(app.messages)
        assert (lost.payload, lost.retain) == (b"lost", False)
        await app.subscribe("dt/car-1/state", qos=1)
        kept = await anext(app.messages)
        assert (kept.payload, kept.retain) == (b"lost", True)


async def test_a_car_that_says_goodbye_leaves_no_will(estate: Estate, version: Version) -> None:
    """DISCONNECT discards it: the next message is what comes after."""
    will = aiomqtt.Will("dt/car-1/state", b"lost", qos=1)
    async with application(estate, "app", version) as app:
        await app.subscribe("dt/+/state", qos=1)
        async with application(estate, "car-1", version, "car-1", will=will):
            pass
        await app.publish("dt/app/state", b"fence", qos=1)
        assert (await anext(app.messages)).payload == b"fence"


async def test_an_empty_retained_message_forgets(estate: Estate, version: Version) -> None:
    """Subscribers get it; who comes later gets nothing."""
    async with application(estate, "app", version) as app:
        await app.publish("dt/map", b"v1", qos=1, retain=True)
        await app.subscribe("dt/map", qos=1)
        assert (await anext(app.messages)).payload == b"v1"
        await app.publish("dt/map", b"", qos=1, retain=True)
        assert (await anext(app.messages)).payload == b""
        async with application(estate, "late", version) as late:
            await late.subscribe([("dt/map", 1), ("dt/fence", 1)])
            await app.publish("dt/fence", b"fence", qos=1)
            assert (await anext(late.messages)).payload == b"fence"


class Phone:
    """A client of paho, connected.

    Attributes:
        is_resumed: Whether the broker had its session.
        messages: What arrives.
    """

    def __init__(
        self, client: paho.Client, messages: asyncio.Queue[Any], *, is_resumed: bool
    ) -> None:
        self._client = client
        self.messages = messages
        self.is_resumed = is_resumed

    async def subscribe(self, topic_filter: str) -> list[int]:
        """Subscribe at QoS 1 and give the codes granted."""
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[list[int]] = loop.create_future()

        def hear(_client: Any, _data: Any, _mid: int, codes: Any, _properties: Any) -> None:
            loop.call_soon_threadsafe(granted.set_result, [code.value for code in codes])

        self._client.on_subscribe = hear
        self._client.subscribe(topic_filter, qos=1)
        return await granted


@asynccontextmanager
async def phone(estate: Estate, version: Version, *, is_clean: bool) -> AsyncIterator[Phone]:
    """A client of paho with a session that outlives its connections, unless it starts clean."""
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[bool] = loop.create_future()
    gone: asyncio.Future[None] = loop.create_future()
    messages: asyncio.Queue[Any] = asyncio.Queue()
    is_five = version is Version.MQTT_5
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id="phone",
        protocol=MQTTProtocolVersion.MQTTv5 if is_five else MQTTProtocolVersion.MQTTv311,
        clean_session=None if is_five else is_clean,
    )
    client.tls_set_context(mutual_tls(estate.store.identity("app")))

    def welcome(_client: Any, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        assert code.value == 0
        loop.call_soon_threadsafe(connected.set_result, flags.session_present)

    def farewell(*_: Any) -> None:
        loop.call_soon_threadsafe(gone.set_result, None)

    def hear(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, message)

    client.on_connect, client.on_disconnect, client.on_message = welcome, farewell, hear
    more: dict[str, Any] = {}
    if is_five:
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        properties.SessionExpiryInterval = SESSION_S
        more = {"clean_start": is_clean, "properties": properties}
    client.connect_async(HOST, estate.core.port, **more)
    client.loop_start()
    try:
        yield Phone(client, messages, is_resumed=await connected)
    finally:
        client.disconnect()
        await gone
        client.loop_stop()


async def test_a_phone_finds_its_messages_again(estate: Estate, version: Version) -> None:
    """The session keeps subscription and QoS 1 messages until the phone is back."""
    async with phone(estate, version, is_clean=True) as first:
        assert not first.is_resumed
        assert await first.subscribe("dt/+/alarm") == [1]
    if version is Version.MQTT_3_1_1:
        # A clean session of MQTT 3.1.1 ends with its connection (section 3.1.2.4).
        async with phone(estate, version, is_clean=False) as begun:
            assert not begun.is_resumed
            assert await begun.subscribe("dt/+/alarm") == [1]
    for text in (b"1", b"2", b"3"):
        await estate.core.publish("dt/car-1/alarm", text, qos=1)
    await estate.core.publish("dt/car-1/alarm", b"not kept", qos=0)
    async with phone(estate, version, is_clean=False) as back:
        assert back.is_resumed
        await estate.core.publish("dt/car-1/alarm", b"4", qos=1)
        got = {(await back.messages.get()).payload for _ in range(4)}
        assert got == {b"1", b"2", b"3", b"4"}
    async with phone(estate, version, is_clean=True) as fresh:
        assert not fresh.is_resumed
