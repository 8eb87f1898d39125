"""A running stand-in and the parts that the transports' tests share."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import mqtt5
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from simulator.iotcore.clock import Clock
from simulator.iotcore.lambdas import Lambdas
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry.records import CustomAuthorizer
from simulator.iotcore.registry_files import register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from certs.store import Store

TIMEOUT_S = 20.0
REGION = "ap-northeast-2"
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
FUNCTION = "arn:aws:lambda:ap-northeast-2:123456789012:function:doorman"
POLICY = Policy.parse(
    "vehicle",
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
            {"Effect": "Deny", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "*/secret"},
        ],
    },
)


def make_server(store: Store, **options: Any) -> CoreServer:
    """A server that knows the car and the application of a store."""
    registry = options.pop("registry", None) or Registry()
    registry.put_policy(POLICY)
    for name in ("car", "app"):
        register(registry, store.identity(name).certificate_id(), [name], ["vehicle"])
    identity = store.server_identity()
    tls = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
    return CoreServer(registry, tls, port=0, **options)


def still_clock(start_s: float = 1_000.0) -> Clock:
    """A clock that moves only when it travels, at a Unix time of the year 2027."""
    return Clock(lambda: start_s, lambda: 1_800_000_000.0)


def add_authorizer(core: CoreServer, name: str = "doorman", **more: Any) -> CustomAuthorizer:
    """Register a custom authorizer without signing, unless said otherwise."""
    settings = {"is_active": True, "signing_disabled": True, **more}
    authorizer = CustomAuthorizer(name, FUNCTION, **settings)
    core.registry.authorizers.put(name, authorizer)
    return authorizer


def doorman(
    answer: Any = None, *, seen: list[dict[str, Any]] | None = None
) -> tuple[Lambdas, list[dict[str, Any]]]:
    """A function that gives one answer, or the answer of a function, and what it was asked."""
    events: list[dict[str, Any]] = [] if seen is None else seen

    async def handler(event: dict[str, Any], _context: Any) -> Any:
        events.append(event)
        return answer(event) if callable(answer) else answer

    return Lambdas({FUNCTION: handler}), events


def permit(*actions: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    """An answer of a custom authorizer that lets the client in."""
    statement = {"Effect": "Allow", "Action": list(actions or ("iot:*",)), "Resource": resource}
    return {
        "isAuthenticated": True,
        "principalId": "driver7",
        "disconnectAfterInSeconds": 3_600,
        "refreshAfterInSeconds": 300,
        "policyDocuments": [{"Version": "2012-10-17", "Statement": [statement]}],
        **more,
    }


def signed_path(
    core: CoreServer, token: str | None = None, *, at: datetime | None = None, **key: str
) -> str:
    """Path and query of a WebSocket signed as the developer guide says.

    The session token is added after signing.
    """
    credentials = Credentials(key.get("key_id", ACCESS_KEY), key.get("secret", SECRET_KEY))
    request = AWSRequest("GET", f"https://localhost:{core.port}/mqtt")
    request.context["timestamp"] = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    signer = SigV4QueryAuth(credentials, "iotdevicegateway", REGION, expires=300)
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    path = "/" + request.url.split("/", 3)[3] + f"&X-Amz-Signature={signature}"
    return path if token is None else f"{path}&X-Amz-Security-Token={quote(token, safe='')}"


def wanted(pattern: str, qos: int = 1) -> mqtt5.TopicFilter:
    """An entry of a SUBSCRIBE; the codec's default of QoS 2 is not supported."""
    return mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS(qos))


class Packets:
    """Cuts bytes into MQTT 5 packets."""

    def __init__(self) -> None:
        self.rest = b""

    def take(self) -> Any:
        """The next whole packet, or None."""
        try:
            packet, size = mqtt5.read(memoryview(self.rest))
        except IndexError:
            return None
        self.rest = self.rest[size:]
        return packet


class Wire:
    """A TLS connection that speaks MQTT packets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._packets = Packets()

    def send(self, packet: Any) -> None:
        """Write a packet or bytes."""
        self.writer.write(packet if isinstance(packet, bytes) else packet.write())

    async def receive(self) -> Any:
        """The next packet; None when the server has closed."""
        while (packet := self._packets.take()) is None:
            try:
                data = await self.reader.read(65_536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self._packets.rest += data
        return packet


@asynccontextmanager
async def wire(core: CoreServer, context: ssl.SSLContext, **more: Any) -> AsyncIterator[Wire]:
    """A bare TLS connection."""
    more.setdefault("server_hostname", "localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", core.port, ssl=context, **more)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
