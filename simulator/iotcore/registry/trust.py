"""Which certificates the TLS listener must trust, so that what is registered can connect.

Source: AWS IoT Core developer guide, "Client authentication": a registered certificate is accepted
whether or not its CA is registered here or active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.registry.records import CertificateMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.iotcore.registry.records import RegisteredAuthority, RegisteredCertificate


def needs_anchor(certificate: RegisteredCertificate) -> bool:
    """Whether a certificate may have to be trusted by itself: the account's CA did not sign it."""
    return certificate.ca_id is not None or certificate.mode is CertificateMode.SNI_ONLY


def trust_anchors(
    authorities: Iterable[RegisteredAuthority], certificates: Iterable[RegisteredCertificate]
) -> list[str]:
    """PEM of what must be trusted beside the account's own CA.

    The ACTIVE CAs; certificates registered without a CA; and those of CAs that are not active or
    not registered any more, which work until they are deactivated themselves.
    """
    active = {ca.ca_id: ca.pem for ca in authorities if ca.is_active}
    alone = (
        one.pem
        for one in certificates
        if one.pem is not None and needs_anchor(one) and one.ca_id not in active
    )
    return [*active.values(), *alone]
