"""Looks at the broker: name, TCP, TLS with both certificates, and whether it accepts CONNECT."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

from agent.cloud.session import CloudSession
from agent.cloud.session_values import LinkState, SessionOptions
from certs.errors import ConfigurationError
from certs.inspection import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.configuration import BrokerSection

_HTTPS_PORT = 443
_CLOSING_S = 1.0
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
    await _closed(writer)
    return Finding("broker TCP", Verdict.OK, f"{where} accepts connections")


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    # A peer that breaks the connection now has still shown what was asked.
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CLOSING_S):
            await writer.wait_closed()


async def _try_tls(broker: BrokerSection, timeout_s: float) -> Finding:
    try:
        context = ssl.create_default_context(cafile=broker.ca)
        # With a passphrase of its own, OpenSSL would otherwise ask for it on the terminal.
        context.load_cert_chain(broker.certificate, broker.private_key, password="")
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
    except TimeoutError:
        return Finding(
            "broker TLS",
            Verdict.FAILED,
            f"no answer to the TLS handshake within {timeout_s:g} s",
            "is this an MQTT TLS port?",
        )
    except OSError as error:
        return Finding(
            "broker TLS",
            Verdict.FAILED,
            f"handshake failed: {error.strerror or str(error) or 'the connection was closed'}",
            "is this an MQTT TLS port?",
        )
    connection = writer.get_extra_info("ssl_object")
    shown = f"{connection.version()}, {connection.cipher()[0]}, the broker's certificate is valid"
    await _closed(writer)
    return Finding("broker TLS", Verdict.OK, shown)


async def _try_connect(
    broker: BrokerSection, client_id: str, where: str, timeout_s: float
) -> Finding:
    decided = asyncio.Event()

    def on_state(state: LinkState, _reason: str) -> None:
        # The first answer counts; the session itself would go on trying.
        if state is not LinkState.CONNECTING:
            decided.set()

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
        on_state=on_state,
    )
    reason = f"no answer within {timeout_s:g} s"
    try:
        session.start()
        async with asyncio.timeout(timeout_s):
            await decided.wait()
        if session.state is LinkState.CONNECTED:
            return Finding("broker CONNECT", Verdict.OK, f"accepted as client id {client_id}")
        reason = session.last_failure
    except ConfigurationError as error:
        reason = error.what
    except TimeoutError:
        pass
    finally:
        await session.stop()
    return Finding(
        "broker CONNECT",
        Verdict.FAILED,
        reason,
        f"the certificate must be ACTIVE at {where} and its policy must allow iot:Connect for"
        f" client/{client_id}",
    )
