"""Looks at the broker: name, TCP, TLS with both certificates, and whether it accepts CONNECT."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from agent.cloud.session import CloudSession, SessionOptions
from certs.errors import EdgeError
from certs.inspection import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.configuration import BrokerSection

_HTTPS_PORT = 443
_ALPN = "x-amzn-mqtt-ca"  # AWS IoT Core developer guide, "Device communication protocols"
_FIREWALL = "check the network; port 443 passes most firewalls (set broker.port = 443)"


async def check_broker(
    broker: BrokerSection, client_id: str, *, connect: bool, timeout_s: float = 10
) -> AsyncIterator[Finding]:
    """Go one step further until a step fails.

    Args:
        broker: Endpoint and identity.
        client_id: The client id the agent would use.
        connect: Whether to try CONNECT as well. It takes the session over from an agent that is
            running with the same client id, so the caller asks first whether one is.
        timeout_s: Patience per step.
    """
    where = f"{broker.endpoint}:{broker.port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await loop.getaddrinfo(
                broker.endpoint, broker.port, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError) as error:
        yield Finding(
            "broker name",
            Verdict.FAILED,
            f"{broker.endpoint} does not resolve: {error}",
            "check broker.endpoint and the DNS of this machine",
        )
        return
    shown = ", ".join(sorted({str(address[4][0]) for address in addresses})[:3])
    yield Finding("broker name", Verdict.OK, f"{broker.endpoint} is {shown}")

    finding = await _try_tcp(broker, timeout_s)
    yield finding
    if finding.verdict is Verdict.FAILED:
        return
    finding = await _try_tls(broker, timeout_s)
    yield finding
    if finding.verdict is Verdict.FAILED:
        return
    if not connect:
        yield Finding(
            "broker CONNECT",
            Verdict.NOTE,
            "not tried: an agent seems to run here, and the check would take over its session",
            "stop that agent first, or run the check with --connect",
        )
        return
    yield await _try_connect(broker, client_id, where, timeout_s)


async def _try_tcp(broker: BrokerSection, timeout_s: float) -> Finding:
    where = f"{broker.endpoint}:{broker.port}"
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(broker.endpoint, broker.port)
    except TimeoutError:
        return Finding("broker TCP", Verdict.FAILED, f"{where} does not answer", _FIREWALL)
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding("broker TCP", Verdict.FAILED, f"{where}: {reason}", _FIREWALL)
    writer.close()
    return Finding("broker TCP", Verdict.OK, f"{where} accepts connections")


async def _try_tls(broker: BrokerSection, timeout_s: float) -> Finding:
    try:
        context = ssl.create_default_context(cafile=broker.ca)
        context.load_cert_chain(broker.certificate, broker.private_key)
    except (ssl.SSLError, OSError) as error:
        return Finding(
            "broker TLS",
            Verdict.FAILED,
            f"certificate, key or root cannot be loaded: {error}",
            "run `morai-certs check`",
        )
    if broker.port == _HTTPS_PORT:
        context.set_alpn_protocols([_ALPN])
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                broker.endpoint, broker.port, ssl=context, server_hostname=broker.endpoint
            )
    except ssl.SSLCertVerificationError as error:
        return Finding(
            "broker TLS",
            Verdict.FAILED,
            f"the broker's certificate is not accepted: {error.verify_message}",
            "broker.ca must hold the root that signed it, and broker.endpoint must be a name in it",
        )
    except (OSError, TimeoutError) as error:
        return Finding(
            "broker TLS", Verdict.FAILED, f"handshake failed: {error}", "is this an MQTT TLS port?"
        )
    connection = writer.get_extra_info("ssl_object")
    shown = f"{connection.version()}, {connection.cipher()[0]}, the broker's certificate is valid"
    writer.close()
    return Finding("broker TLS", Verdict.OK, shown)


async def _try_connect(
    broker: BrokerSection, client_id: str, where: str, timeout_s: float
) -> Finding:
    session = CloudSession(
        SessionOptions(
            endpoint=broker.endpoint,
            port=broker.port,
            client_id=client_id,
            certificate=broker.certificate,
            private_key=broker.private_key,
            ca=broker.ca,
            session_expiry_s=broker.session_expiry_s,
            # A queued command belongs to the agent: it must not be acknowledged here.
            acknowledge=False,
        ),
        filters={},
        on_message=lambda _incoming: None,
        on_state=lambda _state, _reason: None,
    )
    try:
        session.start()
        await session.ready(timeout_s)
    except EdgeError as error:
        return Finding(
            "broker CONNECT",
            Verdict.FAILED,
            session.last_failure or error.what,
            f"the certificate must be ACTIVE at {where} and its policy must allow iot:Connect for"
            f" client/{client_id}",
        )
    finally:
        await session.stop()
    return Finding("broker CONNECT", Verdict.OK, f"accepted as client id {client_id}")
