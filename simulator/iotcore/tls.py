"""The TLS side of the stand-in: its own certificate, and whose client certificates it lets in.

AWS IoT Core finishes the TLS handshake with any client certificate and looks it up on CONNECT. The
standard library can only verify, so here a client certificate must chain to a trusted certificate
and be within its validity; otherwise the handshake fails where AWS would close after CONNECT.
Trusted is every file named, be it a CA or, as with RegisterCertificateWithoutCA, the client
certificate itself. Sessions are never resumed, as at AWS: every connect is a full handshake.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certs.errors import ConfigurationError
from certs.store import read_private_key_guard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ALPN_PROTOCOLS = ("x-amzn-mqtt-ca",)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What the listener needs.

    Attributes:
        certificate: PEM file of the server certificate, with its chain.
        key: PEM file of its private key.
        trusted: PEM files of CAs, or of single client certificates, that may connect.
    """

    certificate: Path
    key: Path
    trusted: Sequence[Path]

    def context(self) -> ssl.SSLContext:
        """A context for mutual TLS 1.2 and 1.3.

        Raises:
            ConfigurationError: A file is missing or damaged, the key does not fit, or others can
                read the key.
        """
        if not self.trusted:
            raise ConfigurationError(
                "no CA is trusted, so no client could connect", "name at least one CA file"
            )
        read_private_key_guard(self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.set_alpn_protocols(list(ALPN_PROTOCOLS))
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"server certificate {self.certificate}, key {self.key} cannot be used: {error}",
                "issue a new one: morai-certs server --force",
            ) from error
        for path in self.trusted:
            try:
                context.load_verify_locations(path)
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"trusted certificate {path} cannot be read: {error}",
                    "name a PEM file with a certificate",
                ) from error
        return context
