"""Publishing over HTTPS."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import mqtt5
import pytest

from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import CertificateStatus
from simulator.iotcore.throttling.account import AccountQuotas
from tests.client_tls import mutual_tls, trusting
from tests.simulator.iotcore.throttling.conftest import table_with
from tests.simulator.iotcore.transports.rig import (
    TIMEOUT_S,
    add_authorizer,
    doorman,
    make_server,
    permit,
    wanted,
    wire,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from certs.store import Store
    from simulator.iotcore.server import CoreServer
    from tests.simulator.iotcore.transports.rig import Wire


@pytest.fixture
async def core(store: Store) -> AsyncIterator[CoreServer]:
    """A running server."""
    async with make_server(store) as server:
        yield server


@asynccontextmanager
async def listener(core: CoreServer, store: Store, *patterns: str) -> AsyncIterator[Wire]:
    """An application that is subscribed."""
    async with asyncio.timeout(TIMEOUT_S), wire(core, mutual_tls(store.identity("app"))) as app:
        app.send(mqtt5.ConnectPacket("app"))
        await app.receive()
        app.send(mqtt5.SubscribePacket(1, [wanted(pattern) for pattern in patterns]))
        await app.receive()
        yield app


async def post(
    core: CoreServer, context: ssl.SSLContext, target: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, Any]]:
    """POST; status and document of the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"https://localhost:{core.port}{target}"
    async with (
        asyncio.timeout(TIMEOUT_S),
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=named, ssl=context) as answer,
    ):
        document = json.loads(await answer.read())
        assert document.pop("traceId")
        return answer.status, document


async def test_urllib_publishes_with_a_certificate(core: CoreServer, store: Store) -> None:
    """The topic percent-encoded, QoS 1; the subscriber gets the body as it was sent."""
    context = mutual_tls(store.identity("car"))

    def send() -> dict[str, Any]:
        url = f"https://localhost:{core.port}/topics/dt%2Fcar%20one%2Fstate?qos=1"
        with urllib.request.urlopen(url, b"\x00\xff{}", context=context, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    async with listener(core, store, "dt/#") as app:
        answer = await asyncio.to_thread(send)
        packet = await app.receive()
    assert answer["message"] == "OK"
    assert (packet.topic, packet.payload, int(packet.qos)) == ("dt/car one/state", b"\x00\xff{}", 1)


async def test_the_alpn_of_the_guide_works(core: CoreServer, store: Store) -> None:
    """`x-amzn-http-ca` is HTTPS with a certificate."""
    context = mutual_tls(store.identity("car"), alpn="x-amzn-http-ca")
    async with wire(core, context) as client:
        client.send(b"POST /topics/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_slashes_may_be_written_as_they_are(core: CoreServer, store: Store) -> None:
    """Many clients do not encode them."""
    async with listener(core, store, "dt/#") as app:
        assert await post(core, mutual_tls(store.identity("car")), "/topics/dt/x/y") == (
            200,
            {"message": "OK"},
        )
        packet = await app.receive()
    assert (packet.topic, int(packet.qos)) == ("dt/x/y", 0)


async def test_properties_of_mqtt_5(core: CoreServer, store: Store) -> None:
    """Parameters and headers as in the API reference of Publish."""
    pairs = base64.b64encode(b'[{"deviceName": "alpha"}, {"deviceCnt": "45"}]').decode()
    async with listener(core, store, "t") as app:
        status, _ = await post(
            core,
            mutual_tls(store.identity("car")),
            "/topics/t?contentType=text%2Fplain&responseTopic=r%2Ft&messageExpiry=60",
            b"x",
            x_amz_mqtt5_user_properties=pairs,
            x_amz_mqtt5_correlation_data="AQI=",
            x_amz_mqtt5_payload_format_indicator="UTF8_DATA",
        )
        packet = await app.receive()
    assert status == 200
    assert list(packet.user_properties) == [("deviceName", "alpha"), ("deviceCnt", "45")]
    assert packet.correlation_data == b"\x01\x02"
    assert packet.payload_format_indicator == 1
    assert (packet.content_type, packet.response_topic) == ("text/plain", "r/t")
    assert packet.message_expiry_interval == 60


async def test_a_retained_publish(core: CoreServer, store: Store) -> None:
    """Stored, and sent to who subscribes later."""
    assert (await post(core, mutual_tls(store.identity("car")), "/topics/k?retain=true", b"v"))[
        0
    ] == 200
    async with listener(core, store, "k") as app:
        packet = await app.receive()
    assert (packet.payload, packet.retain) == (b"v", True)


async def test_policies_decide(core: CoreServer, store: Store) -> None:
    """403 where a policy denies, for a certificate nobody registered, and for an inactive one."""
    car = mutual_tls(store.identity("car"))
    forbidden = (403, {"message": "Forbidden"})
    assert await post(core, car, "/topics/very%2Fsecret") == forbidden
    assert await post(core, mutual_tls(store.identity("stranger")), "/topics/a") == forbidden
    assert await post(core, trusting(store.identity("car")), "/topics/a") == forbidden
    key = store.identity("car").certificate_id()
    core.registry.set_status(key, CertificateStatus.INACTIVE)
    assert await post(core, car, "/topics/a") == forbidden
    counters = core.counters()
    assert (counters["publish_denied"], counters["refused_certificate_not_active"]) == (1, 3)


async def test_a_policy_with_a_client_id_does_not_fit(core: CoreServer, store: Store) -> None:
    """Over HTTPS there is no client id, so a resource with that variable matches nothing."""
    own = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": ["*:topic/of/${iot:ClientId}", "*:topic/by/${iot:CertificateId}"],
        },
    }
    key = store.identity("car").certificate_id()
    core.registry.put_policy(Policy.parse("own", own))
    core.registry.detach_policy("vehicle", key)
    core.registry.attach_policy("own", key)
    context = mutual_tls(store.identity("car"))
    assert (await post(core, context, "/topics/of/car"))[0] == 403
    assert (await post(core, context, f"/topics/by/{key}"))[0] == 200


@pytest.mark.parametrize(
    "target",
    [
        "/topics/a?qos=2",
        "/topics/a?qos=",
        "/topics/a?retain=yes",
        "/topics/a?messageExpiry=-1",
        "/topics/%ff",
        "/topics/a%23",
        "/topics/",
        "/topics/$aws%2Frules",
        "/topics/" + "a" * 257,
        "/topics/1/2/3/4/5/6/7/8/9",
        "/topics/a?contentType=%00",
        "/topics/a?responseTopic=a%2F%23",
        "/topics/a?contentType=" + "a" * 257,
    ],
)
async def test_what_cannot_be_published(core: CoreServer, store: Store, target: str) -> None:
    """400 for parameters without meaning, topics that do not exist, sizes above the limits."""
    assert (await post(core, mutual_tls(store.identity("car")), target))[0] == 400


@pytest.mark.parametrize(
    "value", ["%%%", base64.b64encode(b"{}").decode(), base64.b64encode(b'[{"a": 1}]').decode()]
)
async def test_user_properties_that_cannot_be_read(
    core: CoreServer, store: Store, value: str
) -> None:
    """400 for what is not base64, not an array, or has something else than text."""
    status, document = await post(
        core, mutual_tls(store.identity("car")), "/topics/a", x_amz_mqtt5_user_properties=value
    )
    assert status == 400
    assert "user-properties" in document["message"]


async def test_sizes(core: CoreServer, store: Store) -> None:
    """128 KB pass, one byte more is 413, and a body that nobody would take is not read at all."""
    car = mutual_tls(store.identity("car"))
    assert (await post(core, car, "/topics/a", b"x" * 131_072))[0] == 200
    assert (await post(core, car, "/topics/a", b"x" * 131_073))[0] == 413
    async with wire(core, car) as client:
        head = f"POST /topics/a HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n"
        client.send(head.encode() + b"x" * 2_000_000)
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_the_rate_of_the_account(store: Store) -> None:
    """429 above the quota on inbound publishes, counted for the certificate."""
    table = table_with({"publishes-in-per-account": 3})
    quotas = AccountQuotas(table)
    async with make_server(store, quotas=quotas) as core:
        car = mutual_tls(store.identity("car"))
        statuses = [(await post(core, car, "/topics/a"))[0] for _ in range(6)]
    assert statuses[:3] == [200, 200, 200]
    assert 429 in statuses
    report = core.quota_report()["publishes-in-per-account"]
    assert report["clients"][0]["client_id"] == store.identity("car").certificate_id()


async def test_a_custom_authorizer(store: Store) -> None:
    """Named in headers or query; its policies decide, without a certificate."""
    lambdas, events = doorman(permit("iot:Publish", resource="*:topic/mine"))
    async with make_server(store, lambdas=lambdas) as core:
        add_authorizer(core, token_key_name="ticket")
        context = trusting(store.identity("car"))
        headers = {"x_amz_customauthorizer_name": "doorman", "ticket": "t-1"}
        assert (await post(core, context, "/topics/mine", b"", **headers))[0] == 200
        assert (await post(core, context, "/topics/other", b"", **headers))[0] == 403
        query = "/topics/mine?x-amz-customauthorizer-name=doorman&ticket=t-2"
        assert (await post(core, context, query))[0] == 200
    assert [event["token"] for event in events] == ["t-1", "t-1", "t-2"]
    assert events[0]["protocols"] == ["tls", "http"]


async def test_a_client_that_asks_whether_it_may_go_on(core: CoreServer, store: Store) -> None:
    """`Expect: 100-continue`, as curl sends for larger bodies."""
    async with asyncio.timeout(TIMEOUT_S), wire(core, mutual_tls(store.identity("car"))) as client:
        client.send(b"POST /topics/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n")
        client.send(b"Expect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hi")
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_limits_hold_for_properties(store: Store) -> None:
    """The sum of user properties is bounded as for a packet."""
    async with make_server(store, limits=Limits(user_properties_bytes=10)) as core:
        pairs = base64.b64encode(b'[{"name": "a value"}]').decode()
        car = mutual_tls(store.identity("car"))
        status, _ = await post(core, car, "/topics/a", x_amz_mqtt5_user_properties=pairs)
        assert status == 400
        assert core.quota_report()["user-properties-bytes"]["refused"] == 1
