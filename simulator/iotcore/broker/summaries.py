"""Sessions as they are shown to people: one immutable row each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from simulator.iotcore.broker.session import Session


class ClientSummary(NamedTuple):
    """One session as shown to people."""

    client_id: str
    is_connected: bool
    source_ip: str
    certificate_id: str
    keep_alive_s: int
    subscriptions: int
    queued: int
    publishes_in: int
    publishes_out: int


def summary_of(session: Session) -> ClientSummary:
    """The row of a session, online or stored."""
    connection = session.connection
    certificate = connection.peer.certificate if connection is not None else None
    return ClientSummary(
        client_id=session.client_id,
        is_connected=connection is not None,
        source_ip=connection.peer.source_ip if connection is not None else "",
        certificate_id=certificate.certificate_id if certificate is not None else "",
        keep_alive_s=connection.keep_alive_s if connection is not None else 0,
        subscriptions=len(session.subscriptions),
        queued=session.queued,
        publishes_in=connection.publishes_in if connection is not None else 0,
        publishes_out=connection.publishes_out if connection is not None else 0,
    )
