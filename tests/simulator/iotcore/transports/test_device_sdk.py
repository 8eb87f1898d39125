"""The AWS device SDK, unchanged but for the port and the CA, in every way it can connect."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from awscrt import auth, io
from awscrt import mqtt5 as crt
from awsiot import mqtt5_client_builder as builder
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator.iotcore.api.sigv4 import AccessKey, Keyring
from tests.simulator.iotcore.transports.rig import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    TIMEOUT_S,
    add_authorizer,
    doorman,
    make_server,
    permit,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from certs.store import Store
    from simulator.iotcore.server import CoreServer


class Device:
    """A client of the SDK, followed from the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Any] = self._loop.create_future()
        self.stopped: asyncio.Future[None] = self._loop.create_future()
        self.received: asyncio.Queue[Any] = asyncio.Queue()

    def options(self, core: CoreServer, store: Store, client_id: str) -> dict[str, Any]:
        """Arguments that every builder takes."""
        return {
            "endpoint": "localhost",
            "port": core.port,
            "ca_filepath": str(store.ca_certificate_path),
            "client_id": client_id,
            "keep_alive_interval_sec": 60,
            "ack_timeout_sec": 10,
            **self.callbacks(),
        }

    def callbacks(self) -> dict[str, Any]:
        """What the SDK calls from threads of its own."""
        return {
            "on_lifecycle_connection_success": lambda _data: self._hand_over(self.outcome, 0),
            "on_lifecycle_connection_failure": lambda data: self._hand_over(
                self.outcome, data.connack_packet and int(data.connack_packet.reason_code)
            ),
            "on_lifecycle_stopped": lambda _data: self._hand_over(self.stopped, None),
            "on_publish_received": lambda data: self._loop.call_soon_threadsafe(
                self.received.put_nowait, data.publish_packet
            ),
        }

    def _hand_over(self, future: asyncio.Future[Any], value: Any) -> None:
        def hand_over() -> None:
            if not future.done():
                future.set_result(value)

        self._loop.call_soon_threadsafe(hand_over)

    async def converse(self, client: crt.Client) -> Any:
        """Connect, publish to oneself, stop; gives the reason code of CONNACK, None without one."""
        async with asyncio.timeout(TIMEOUT_S):
            client.start()
            try:
                outcome = await self.outcome
                if outcome == 0:
                    await self._echo(client)
            finally:
                client.stop()
                await self.stopped
        return outcome

    async def _echo(self, client: crt.Client) -> None:
        entry = crt.Subscription("dt/echo", crt.QoS.AT_LEAST_ONCE)
        await asyncio.wrap_future(client.subscribe(crt.SubscribePacket([entry])))
        packet = crt.PublishPacket(topic="dt/echo", payload=b"hi", qos=crt.QoS.AT_LEAST_ONCE)
        await asyncio.wrap_future(client.publish(packet))
        assert (await self.received.get()).payload == b"hi"


async def test_a_websocket_with_signed_credentials(store: Store) -> None:
    """`websockets_with_default_aws_signing` with temporary keys, the signature checked."""
    keyring = Keyring(accepts_unknown=False)
    keyring.add_temporary(AccessKey(ACCESS_KEY, SECRET_KEY, "a/session+token=="))
    async with make_server(store, keyring=keyring) as core:
        device = Device()
        client = builder.websockets_with_default_aws_signing(
            REGION,
            auth.AwsCredentialsProvider.new_static(ACCESS_KEY, SECRET_KEY, "a/session+token=="),
            **device.options(core, store, "browser"),
        )
        assert await device.converse(client) == 0


async def test_a_websocket_with_a_wrong_secret_does_not_connect(store: Store) -> None:
    """The upgrade is refused, so there is no CONNACK."""
    keyring = Keyring([AccessKey(ACCESS_KEY, SECRET_KEY)])
    async with make_server(store, keyring=keyring) as core:
        device = Device()
        client = builder.websockets_with_default_aws_signing(
            REGION,
            auth.AwsCredentialsProvider.new_static(ACCESS_KEY, "wrong"),
            **device.options(core, store, "browser"),
        )
        assert await device.converse(client) is None
        assert core.counters()["refused_signature"] > 0


@pytest.mark.parametrize(
    "build", [builder.direct_with_custom_authorizer, builder.websockets_with_custom_authorizer]
)
async def test_a_custom_authorizer_with_user_name_and_password(
    store: Store, build: Callable[..., crt.Client]
) -> None:
    """Over ALPN `mqtt` and over a WebSocket: the function decides by the password."""
    lambdas, events = doorman(
        lambda event: (
            permit()
            if base64.b64decode(event["protocolData"]["mqtt"]["password"]) == b"open sesame"
            else {"isAuthenticated": False}
        )
    )
    async with make_server(store, lambdas=lambdas) as core:
        add_authorizer(core)
        for password, reason_code in ((b"open sesame", 0), (b"guess", 0x87)):
            device = Device()
            client = build(
                auth_username="driver",
                auth_authorizer_name="doorman",
                auth_password=password,
                **device.options(core, store, "driver"),
            )
            assert await device.converse(client) == reason_code
        assert core.counters()["refused_by_authorizer"] > 0
    mqtt = events[0]["protocolData"]["mqtt"]
    assert mqtt["clientId"] == "driver"
    assert mqtt["username"].startswith("driver?x-amz-customauthorizer-name=doorman")
    assert "token" not in events[0]


async def test_a_custom_authorizer_with_a_signed_token(store: Store) -> None:
    """The signature is checked with the authorizer's key before the function is asked."""
    key = rsa.generate_private_key(65_537, 2_048)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    lambdas, events = doorman(permit())
    async with make_server(store, lambdas=lambdas) as core:
        add_authorizer(
            core, signing_disabled=False, token_key_name="ticket", signing_keys={"first": pem}
        )
        for token, reason_code in (("a-ticket", 0), ("another-ticket", 0x87)):
            device = Device()
            signature = key.sign(b"a-ticket", padding.PKCS1v15(), SHA256())
            client = builder.direct_with_custom_authorizer(
                auth_authorizer_name="doorman",
                auth_token_key_name="ticket",
                auth_token_value=token,
                auth_authorizer_signature=base64.b64encode(signature).decode(),
                **device.options(core, store, "driver"),
            )
            assert await device.converse(client) == reason_code
    assert [(event["token"], event["signatureVerified"]) for event in events] == [
        ("a-ticket", True)
    ]


async def test_a_certificate_with_alpn(store: Store) -> None:
    """As on port 443 of AWS: `x-amzn-mqtt-ca` and a client certificate."""
    identity = store.identity("car")
    async with make_server(store) as core:
        tls = io.TlsContextOptions.create_client_with_mtls_from_path(
            str(identity.certificate_path), str(identity.key_path)
        )
        tls.override_default_trust_store_from_path(None, str(identity.ca_path))
        tls.alpn_list = ["x-amzn-mqtt-ca"]
        device = Device()
        callbacks = device.callbacks()
        client = crt.Client(
            crt.ClientOptions(
                host_name="localhost",
                port=core.port,
                tls_ctx=io.ClientTlsContext(tls),
                connect_options=crt.ConnectPacket(client_id="car"),
                on_publish_callback_fn=callbacks["on_publish_received"],
                on_lifecycle_event_connection_success_fn=callbacks[
                    "on_lifecycle_connection_success"
                ],
                on_lifecycle_event_connection_failure_fn=callbacks[
                    "on_lifecycle_connection_failure"
                ],
                on_lifecycle_event_stopped_fn=callbacks["on_lifecycle_stopped"],
            )
        )
        assert await device.converse(client) == 0
