"""The TLS side of the stand-in: its own certificate, and whose client certificates it lets in.

AWS IoT Core finishes the TLS handshake with any client certificate and looks it up on CONNECT. The
standard library can only verify, so here a client certificate that is sent must chain to a trusted
certificate and be within its validity, by the machine's clock; otherwise the handshake fails where
AWS would close after CONNECT. Trusted is every file named, be it a CA or, as with
RegisterCertificateWithoutCA, the client certificate itself, and what the registry adds while the
stand-in runs. Sending none is allowed, since one port serves clients that prove themselves in other
ways. Sessions are never resumed, as at AWS: every connect is a full handshake.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import structlog

from certs.errors import ConfigurationError
from certs.store import read_private_key_guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

log = structlog.get_logger(__name__)

ALPN_PROTOCOLS = ("x-amzn-mqtt-ca", "mqtt", "x-amzn-http-ca", "http/1.1")
TRUSTED_MAX: Final = 100_000
"""Certificates that can be trusted in the life of a listener. Further ones are not."""


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
        """A context for TLS 1.2 and 1.3 that asks for a client certificate.

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
        context.verify_mode = ssl.CERT_OPTIONAL
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


class LiveTls:
    """The context of a listener, which learns whom to trust while it is in use.

    What was trusted once stays so: a certificate that is not to be let in any more is refused by
    its status in the registry.

    Args:
        tls: The files.
        require_sni: Whether a handshake without a server name fails. AWS recommends to send one and
            needs it for some features; older guides say it refuses clients that do not.

    Attributes:
        context: For the listener.

    Raises:
        ConfigurationError: As `ServerTls.context`.
    """

    def __init__(self, tls: ServerTls, *, require_sni: bool = False) -> None:
        self.context = tls.context()
        self._require_sni = require_sni
        self._trusted: set[bytes] = set()
        # Only for handshakes under way and first packets; the rest is forgotten.
        self._names: WeakKeyDictionary[object, str] = WeakKeyDictionary()
        self.context.sni_callback = self._named

    def trust(self, pems: Iterable[str]) -> int:
        """Trust certificates from the next handshake on.

        Args:
            pems: Each a certificate in PEM. One that cannot be read is skipped.

        Returns:
            How many are new.
        """
        added = 0
        for pem in pems:
            fingerprint = hashlib.sha256(pem.encode()).digest()
            if fingerprint in self._trusted or len(self._trusted) >= TRUSTED_MAX:
                continue
            self._trusted.add(fingerprint)
            try:
                self.context.load_verify_locations(cadata=pem)
            except (ssl.SSLError, ValueError) as error:
                log.warning("core.untrusted", error=str(error))
            else:
                added += 1
        return added

    def server_name(self, ssl_object: object) -> str:
        """The server name a client asked for, once; empty when there was none."""
        return self._names.pop(ssl_object, "")

    def _named(
        self, ssl_object: ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        if name is not None:
            self._names[ssl_object] = name
            return None
        log.debug("core.no_server_name")
        return (
            int(ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
            if self._require_sni
            else None
        )
