"""TLS of clients in tests: trust in one CA, with a certificate of one's own or without."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from certs.store import Identity


def trusting(
    identity: Identity, *, ca_path: Path | None = None, alpn: str | None = None
) -> ssl.SSLContext:
    """TLS for a client that does not show its certificate.

    Args:
        identity: Whose CA it trusts.
        ca_path: Whom it trusts instead.
        alpn: The protocol it names.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_path or identity.ca_path)
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context


def mutual_tls(
    identity: Identity, *, ca_path: Path | None = None, alpn: str | None = None
) -> ssl.SSLContext:
    """TLS for a client with a certificate; see `trusting`."""
    context = trusting(identity, ca_path=ca_path, alpn=alpn)
    context.load_cert_chain(identity.certificate_path, identity.key_path)
    return context
