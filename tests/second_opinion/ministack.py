"""MiniStack, an emulator of AWS, as a party: over HTTP with boto3, over WebSocket with paho."""

from __future__ import annotations

import queue
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from certs.errors import PeerError
from tests.second_opinion.parties import POLICY, THING, CallFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REGION, ACCOUNT_ID = "us-east-1", "000000000000"

_FENCE: Final = "second-opinion/fence"
_TIMEOUT_S: Final = 10.0
_SETTLE_S: Final = 0.15
"""Time for messages that an API call causes and that are still on their way behind the fence."""

_POLICY_DOCUMENT: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
)


class MiniStack:
    """A running MiniStack with nothing in it but what every conversation starts with.

    Args:
        url: Its gateway. Everything it holds is thrown away.
    """

    def __init__(self, url: str) -> None:
        self.arn_prefix = f"arn:aws:iot:{REGION}:{ACCOUNT_ID}:"
        # Any key is known to MiniStack.
        self._session = boto3.Session("test", "test", region_name=REGION)
        self._clients: dict[str, Any] = {}
        self._url = url
        self._inbox: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._fences = 0
        reset = urllib.request.Request(f"{url}/_ministack/reset", method="POST")
        try:
            urllib.request.urlopen(reset, timeout=_TIMEOUT_S).close()
        except OSError as error:
            raise PeerError(
                f"no MiniStack answers at {url}: {error}", "start it, or name its address"
            ) from error
        self.call("iot", "CreateThing", {"thingName": THING})
        self.call("iot", "CreatePolicy", {"policyName": POLICY, "policyDocument": _POLICY_DOCUMENT})
        self._device = self._connect()

    def close(self) -> None:
        """Disconnect the device."""
        self._device.disconnect()
        self._device.loop_stop()

    def subscribe(self, filters: Sequence[str]) -> None:
        """Have the device subscribe."""
        self._device.subscribe([(one, 1) for one in (*filters, _FENCE)])
        self._subscribed.get(timeout=_TIMEOUT_S)

    def publish(self, topic: str, payload: bytes) -> None:
        """Have the device publish at QoS 1."""
        self._device.publish(topic, payload, qos=1)

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> Any:
        """Call the API with boto3."""
        client = self._clients.get(service)
        if client is None:
            client = self._session.client(service, endpoint_url=self._url)
            self._clients[service] = client
        try:
            result = getattr(client, xform_name(operation))(**request)
        except ClientError as error:
            found = error.response
            raise CallFailed(
                found["Error"]["Code"],
                found["ResponseMetadata"]["HTTPStatusCode"],
                found["Error"]["Message"],
            ) from error
        return {
            name: value.read() if isinstance(value, StreamingBody) else value
            for name, value in result.items()
            if name != "ResponseMetadata"
        }

    def heard(self) -> list[tuple[str, bytes]]:
        """What the device received before a message of its own came back, and a moment after."""
        self._fences += 1
        mark = str(self._fences).encode()
        self._device.publish(_FENCE, mark, qos=1)
        messages = []
        while (message := self._inbox.get(timeout=_TIMEOUT_S)) != (_FENCE, mark):
            messages.append(message)
        while True:
            try:
                messages.append(self._inbox.get(timeout=_SETTLE_S))
            except queue.Empty:
                return messages

    def _connect(self) -> paho.Client:
        host: str = self.call("iot", "DescribeEndpoint", {"endpointType": "iot:Data-ATS"})[
            "endpointAddress"
        ]
        device = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=THING,
            protocol=MQTTProtocolVersion.MQTTv5,
            transport="websockets",
        )
        # MiniStack tells the broker from its other services by the host name.
        device.ws_set_options(path="/mqtt", headers={"Host": host})

        def hear(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
            self._inbox.put((message.topic, bytes(message.payload)))

        def granted(*_: Any) -> None:
            self._subscribed.put(None)

        device.on_message, device.on_subscribe = hear, granted
        address = urlsplit(self._url)
        try:
            device.connect(address.hostname or "localhost", address.port or 4566)
        except (OSError, paho.WebsocketConnectionError) as error:
            raise PeerError(
                f"MiniStack at {self._url} does not take MQTT over WebSocket: {error}",
                "start version 1.5.33 or newer",
            ) from error
        device.loop_start()
        return device


@contextmanager
def ministack(url: str) -> Iterator[MiniStack]:
    """A MiniStack for one conversation."""
    party = MiniStack(url)
    try:
        yield party
    finally:
        party.close()
