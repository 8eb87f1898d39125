"""Every connect is a full TLS handshake, as at AWS, also for clients that would resume."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import mqtt5
import pytest

from tests.client_tls import mutual_tls

if TYPE_CHECKING:
    from tests.simulator.iotcore.clients.estate import Estate


def connect(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    """Connect with MQTT; gives the TLS session and whether it was an old one."""
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secured,
    ):
        secured.sendall(mqtt5.ConnectPacket("car-1").write())
        assert secured.recv(1)[0] == 0x20  # CONNACK; a ticket of TLS 1.3 would have come before it
        return secured.session, bool(secured.session_reused)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_not_resumed(estate: Estate, version: ssl.TLSVersion) -> None:
    """Neither by ticket nor by session id."""
    context = mutual_tls(estate.store.identity("car-1"))
    context.minimum_version = context.maximum_version = version
    session, _ = await asyncio.to_thread(connect, context, estate.core.port, None)
    assert session is None or not session.has_ticket
    _, is_reused = await asyncio.to_thread(connect, context, estate.core.port, session)
    assert not is_reused
