"""Who is at the other end of a TLS connection, as far as TLS and TCP know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.broker.peer import Lapse, Peer
from simulator.iotcore.permissions.identity import ClientCertificate, Principal

if TYPE_CHECKING:
    import asyncio


def certificate_of(transport: asyncio.BaseTransport) -> ClientCertificate | None:
    """The client certificate that TLS verified, or None."""
    ssl_object = transport.get_extra_info("ssl_object")
    der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    return ClientCertificate(der) if der else None


def peer_by_certificate(transport: asyncio.BaseTransport) -> Peer:
    """The peer as its certificate says; without one it is nobody."""
    host, port = address_of(transport)
    return Peer(certificate_of(transport), host, port)


def peer_by_principal(
    transport: asyncio.BaseTransport, principal: Principal | None, lapse: Lapse | None = None
) -> Peer:
    """The peer as something else than a certificate says."""
    host, port = address_of(transport)
    return Peer(None, host, port, principal=principal, lapse=lapse)


def address_of(transport: asyncio.BaseTransport) -> tuple[str, int]:
    """Address and port; empty and 0 when the connection is gone."""
    name = transport.get_extra_info("peername")
    return (str(name[0]), int(name[1])) if name else ("", 0)


def alpn_of(transport: asyncio.BaseTransport) -> str | None:
    """The protocol that TLS agreed on, if the client named any."""
    ssl_object = transport.get_extra_info("ssl_object")
    return ssl_object.selected_alpn_protocol() if ssl_object is not None else None
