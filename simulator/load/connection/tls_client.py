"""The client side of TLS with an identity of its own for each connection.

A fleet has one certificate a car. The standard library takes a client certificate from a file and
for a whole context, which costs 12 kB of memory and half a millisecond of CPU a car and leaves
private keys in files; pyOpenSSL takes it from memory and for one connection, at a quarter of that.
So one context serves a worker, and each connection brings its own certificate.

Owns the context, the check of the server's name, and the words for what can go wrong. Knows nothing
about sockets or MQTT.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    import socket

    from simulator.load.target.identities import KeyPair

_VERIFIED_MAX: Final = 64
_CONTEXTS_MAX: Final = 16
_END_OF_CERTIFICATE: Final = b"-----END CERTIFICATE-----"
_CAUSE_CHARACTERS_MAX: Final = 80


class TlsFailure(Exception):  # noqa: N818 - the cause of a closed link, not an error of ours
    """The handshake cannot go on. The text is a cause as reports show it."""


class ClientContext:
    """What the TLS connections of one worker share.

    Args:
        ca_pem: Certificates that may sign the server's; None takes those the system trusts.
        server_name: Name or address the server's certificate must be valid for, also sent as SNI
            when it is a name.
        verify: False accepts any server.
        alpn: Protocol to ask for, if any.

    Raises:
        ConfigurationError: `ca_pem` holds no certificate, or `server_name` is no name.
    """

    def __init__(
        self,
        ca_pem: bytes | None,
        server_name: str,
        *,
        verify: bool = True,
        alpn: str | None = None,
    ) -> None:
        self._ca_pem = ca_pem
        self._verifies = verify
        self._alpn = alpn
        self._server_name = server_name
        self._is_address = _is_ip_address(server_name)
        try:
            self._sni = b"" if self._is_address else server_name.encode("idna")
        except UnicodeError as error:
            raise ConfigurationError(
                f"{server_name!r} is no host name: {error}", "correct the target's name"
            ) from error
        # A certificate can be given to a connection, the chain behind it only to a context. A fleet
        # has one chain, mostly an empty one.
        self._contexts: dict[bytes, SSL.Context] = {b"": self._context(b"")}
        # Leaf certificates whose name was found right; a fleet meets the same one again and again.
        self._verified: set[bytes] = set()

    def _context(self, chain_pem: bytes) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        # Idle connections give their buffers back.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # Without a callback of ours OpenSSL's own verdict stands.
        context.set_verify(SSL.VERIFY_PEER if self._verifies else SSL.VERIFY_NONE)
        if self._ca_pem is None:
            context.set_default_verify_paths()
        else:
            store = context.get_cert_store()
            if store is None:  # pragma: no cover - a context always has one
                raise TypeError("the TLS context has no certificate store")
            try:
                for certificate in x509.load_pem_x509_certificates(self._ca_pem):
                    store.add_cert(X509.from_cryptography(certificate))
            except ValueError as error:
                raise ConfigurationError(
                    f"the CA of the target cannot be read: {error}",
                    "name a PEM file with certificates as ca",
                ) from error
        if self._alpn is not None:
            context.set_alpn_protos([self._alpn.encode("ascii")])
        if chain_pem:
            for certificate in x509.load_pem_x509_certificates(chain_pem):
                context.add_extra_chain_cert(certificate)
        return context

    def connection(self, sock: socket.socket, identity: KeyPair | None) -> SSL.Connection:
        """A connection over a connected socket, before its handshake.

        Raises:
            TlsFailure: The identity is damaged or its key does not fit.
        """
        try:
            if identity is None:
                connection = SSL.Connection(self._contexts[b""], sock)
            else:
                connection = self._identified(sock, identity)
        except (ValueError, TypeError) as error:
            raise TlsFailure("TLS: the client certificate cannot be read") from error
        except SSL.Error as error:
            why = cause_of(error).removeprefix("TLS: ")
            raise TlsFailure(f"TLS: the client certificate cannot be used: {why}") from error
        connection.set_connect_state()
        if self._sni:
            connection.set_tlsext_host_name(self._sni)
        return connection

    def _identified(self, sock: socket.socket, identity: KeyPair) -> SSL.Connection:
        leaf, mark, chain = identity.certificate_pem.partition(_END_OF_CERTIFICATE)
        key = load_pem_private_key(identity.key_pem, None)
        if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
            raise TypeError("the key is neither EC nor RSA")
        connection = SSL.Connection(self._context_with(chain.strip()), sock)
        connection.use_certificate(x509.load_pem_x509_certificate(leaf + mark))
        connection.use_privatekey(key)
        return connection

    def _context_with(self, chain_pem: bytes) -> SSL.Context:
        context = self._contexts.get(chain_pem)
        if context is None:
            context = self._context(chain_pem)
            if len(self._contexts) < _CONTEXTS_MAX:
                self._contexts[chain_pem] = context
        return context

    def check_server(self, connection: SSL.Connection) -> None:
        """Check the server's name once the handshake is done; its chain was checked during it.

        Raises:
            TlsFailure: The certificate is not valid for the name.
        """
        if not self._verifies:
            return
        try:
            certificate = connection.get_peer_certificate(as_cryptography=True)
        except ValueError as error:
            raise TlsFailure("TLS: the server's certificate cannot be read") from error
        if certificate is None:
            raise TlsFailure("TLS: the server has no certificate")
        encoded = certificate.public_bytes(Encoding.DER)
        if encoded in self._verified:
            return
        verify = verify_certificate_ip_address if self._is_address else verify_certificate_hostname
        try:
            verify(certificate, self._server_name)
        except (VerificationError, CertificateError) as error:
            raise TlsFailure("TLS: the server's certificate is for another name") from error
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise TlsFailure("TLS: the names in the server's certificate are malformed") from error
        if len(self._verified) < _VERIFIED_MAX:
            self._verified.add(encoded)


def cause_of(error: SSL.Error) -> str:
    """The cause of a TLS failure in OpenSSL's words, such as `TLS: certificate verify failed`."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = str(reasons[-1][-1]) if reasons else type(error).__name__
    return f"TLS: {words[:_CAUSE_CHARACTERS_MAX]}"


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
