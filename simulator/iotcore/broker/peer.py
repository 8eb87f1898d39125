"""The other end of a connection: who it is, where it came from, and until when that holds.

Plain values, made by whoever accepted the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from simulator.iotcore.broker.lifecycle import DisconnectReason
    from simulator.iotcore.permissions.identity import ClientCertificate, Principal


class Lapse(NamedTuple):
    """When a connection ends because what it was opened with ran out.

    Attributes:
        after_s: Counted from CONNACK.
        reason: For the lifecycle event.
    """

    after_s: float
    reason: DisconnectReason


class Peer:
    """The other end of a connection.

    Args:
        certificate: Its client certificate, if it sent one.
        source_ip: Its address as text.
        source_port: Its port.
        principal: Who it is; by default its certificate, and without one nobody.
        lapse: When its connection ends by itself.
    """

    __slots__ = ("certificate", "lapse", "principal", "source_ip", "source_port")

    def __init__(
        self,
        certificate: ClientCertificate | None,
        source_ip: str,
        source_port: int = 0,
        *,
        principal: Principal | None = None,
        lapse: Lapse | None = None,
    ) -> None:
        self.certificate = certificate
        self.source_ip = source_ip
        self.source_port = source_port
        self.principal = principal or certificate
        self.lapse = lapse
