"""The AWS IoT Device SDK for Python, whose callbacks come from threads of its own, in asyncio."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from awscrt import mqtt5, mqtt_request_response
from awsiot import (
    ServiceStreamOptions,
    V2ServiceException,
    mqtt5_client_builder,
    mqtt_connection_builder,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import Future

    from certs.store import Identity
    from tests.simulator.iotcore.clients.estate import Estate


class Version(Enum):
    """The protocol a client speaks."""

    MQTT_5 = "5"
    MQTT_3_1_1 = "3.1.1"


class KeyPair(NamedTuple):
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes

    @classmethod
    def of(cls, identity: Identity) -> KeyPair:
        """Those of a store."""
        return cls(identity.certificate_path.read_bytes(), identity.key_path.read_bytes())


REQUEST_OPTIONS = mqtt_request_response.ClientOptions(
    max_request_response_subscriptions=8,
    max_streaming_subscriptions=4,
    operation_timeout_in_seconds=10,
)


@asynccontextmanager
async def connected(
    estate: Estate,
    identity: KeyPair,
    client_id: str,
    version: Version = Version.MQTT_5,
    received: asyncio.Queue[Any] | None = None,
    **more: Any,
) -> AsyncIterator[Any]:
    """A client of the SDK that is connected: an `mqtt5.Client` or an `mqtt.Connection`.

    Args:
        estate: What it connects to.
        identity: Who it is.
        client_id: Its client id.
        version: The protocol.
        received: Gets every PUBLISH packet that no request waits for. MQTT 5 only.
        more: Further options of the SDK's builder.
    """
    options = {
        "cert_bytes": identity.certificate,
        "pri_key_bytes": identity.key,
        "endpoint": "localhost",
        "port": estate.core.port,
        "ca_filepath": str(estate.store.ca_certificate_path),
        "client_id": client_id,
        **more,
    }
    if version is Version.MQTT_3_1_1:
        connection = mqtt_connection_builder.mtls_from_bytes(**options)
        await asyncio.wrap_future(connection.connect())
        try:
            yield connection
        finally:
            await asyncio.wrap_future(connection.disconnect())
        return
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[BaseException | None] = loop.create_future()
    stopped: asyncio.Future[None] = loop.create_future()

    def hear(data: Any) -> None:
        if received is not None:
            loop.call_soon_threadsafe(received.put_nowait, data.publish_packet)

    options.setdefault("on_publish_received", hear)
    client = mqtt5_client_builder.mtls_from_bytes(
        **options,
        on_lifecycle_connection_success=lambda _: loop.call_soon_threadsafe(_settle, outcome, None),
        on_lifecycle_connection_failure=lambda data: loop.call_soon_threadsafe(
            _settle, outcome, data.exception
        ),
        on_lifecycle_stopped=lambda _: loop.call_soon_threadsafe(_settle, stopped, None),
    )
    client.start()
    try:
        failure = await outcome
        if failure is not None:
            raise failure
        yield client
    finally:
        client.stop()
        await stopped


async def subscribe(client: Any, *filters: str) -> None:
    """Subscribe a client of MQTT 5 at QoS 1 and be granted it."""
    entries = [mqtt5.Subscription(one, mqtt5.QoS.AT_LEAST_ONCE) for one in filters]
    suback = await asyncio.wrap_future(client.subscribe(mqtt5.SubscribePacket(entries)))
    assert suback.reason_codes == [mqtt5.SubackReasonCode.GRANTED_QOS_1] * len(filters)


async def publish(client: Any, topic: str, document: Any) -> None:
    """Publish JSON as a client of MQTT 5 at QoS 1 and be told of success."""
    packet = mqtt5.PublishPacket(
        topic=topic, qos=mqtt5.QoS.AT_LEAST_ONCE, payload=json.dumps(document).encode()
    )
    outcome = await asyncio.wrap_future(client.publish(packet))
    assert outcome.puback.reason_code == mqtt5.PubackReasonCode.SUCCESS


async def answer_of(future: Future[Any]) -> Any:
    """The answer to a request, or the `V2ServiceException` it failed with."""
    return await asyncio.wrap_future(future)


async def error_of(future: Future[Any]) -> Any:
    """The modeled error of a request that the service refuses."""
    with pytest.raises(V2ServiceException) as caught:
        await asyncio.wrap_future(future)
    assert caught.value.modeled_error is not None, caught.value.inner_error
    return caught.value.modeled_error


class EventStream:
    """A stream of a service client, open and subscribed."""

    def __init__(self, operation: Any, events: asyncio.Queue[Any]) -> None:
        self._operation = operation  # the SDK closes a stream nobody refers to
        self._events = events

    async def next(self) -> Any:
        """The next event."""
        return await self._events.get()

    @property
    def is_empty(self) -> bool:
        """Whether no event waits."""
        return self._events.empty()


async def opened(create: Callable[[Any, Any], Any], request: Any) -> EventStream:
    """Open a stream and wait until it is subscribed.

    Args:
        create: A method `create_..._stream` of a service client.
        request: What it takes.
    """
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Any] = asyncio.Queue()
    subscribed: asyncio.Future[Any] = loop.create_future()
    options = ServiceStreamOptions(
        incoming_event_listener=lambda event: loop.call_soon_threadsafe(events.put_nowait, event),
        subscription_status_listener=lambda status: loop.call_soon_threadsafe(
            _settle, subscribed, status.type
        ),
        deserialization_failure_listener=lambda failure: loop.call_soon_threadsafe(
            events.put_nowait, failure
        ),
    )
    operation = create(request, options)
    operation.open()
    status = await subscribed
    assert status == mqtt_request_response.SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED
    return EventStream(operation, events)


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
