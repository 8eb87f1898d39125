"""Issuing device certificates as AWS IoT does, with a development CA of one's own.

The one place of provisioning that makes keys. Sources: AWS IoT Core developer guide, "X.509 client
certificates" (accepted keys, validity to the end of 2049) and "Device provisioning MQTT API";
RFC 5280. Knows nothing about topics or the registry.

Keys are ECDSA P-256 unless told otherwise, where AWS makes RSA 2048: making one takes
microseconds instead of a tenth of a second of the broker's time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.authority import BACKDATING, Credential, key_weakness, new_private_key
from certs.errors import ConfigurationError
from certs.pem import certificate_id, certificate_pem, load_request, private_key_pem

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from certs.pem import PrivateKey

SUBJECT: Final = "AWS IoT Certificate"
NOT_AFTER: Final = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


class IssuedCertificate(NamedTuple):
    """A new certificate, with its keys when they were made with it."""

    certificate_id: str
    certificate_pem: str
    private_key_pem: str | None = None
    public_key_pem: str | None = None

    def __repr__(self) -> str:
        return f"IssuedCertificate({self.certificate_id!r})"


class CertificateAuthority(Protocol):
    """Makes certificates for devices."""

    def create(self, unix_s: float, valid_s: float | None = None, /) -> IssuedCertificate:
        """A certificate with new keys.

        Args:
            unix_s: The present.
            valid_s: How long it is valid; as long as possible when left out.
        """
        ...

    def sign(self, request_pem: str, unix_s: float, /) -> IssuedCertificate:
        """A certificate for a signing request.

        Raises:
            ConfigurationError: The request cannot be read or is not acceptable.
        """
        ...


class DevelopmentAuthority:
    """Signs with a credential of `certs.authority`.

    Args:
        authority: The CA, which the broker's TLS must trust.
        new_key: Makes the keys.
    """

    def __init__(
        self, authority: Credential, new_key: Callable[[], PrivateKey] = new_private_key
    ) -> None:
        self._authority = authority
        self._new_key = new_key

    def create(self, unix_s: float, valid_s: float | None = None, /) -> IssuedCertificate:
        """A certificate with new keys."""
        key = self._new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
        certificate = self._issue(name, key.public_key(), unix_s, valid_s)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return IssuedCertificate(
            certificate_id(certificate),
            certificate_pem(certificate).decode(),
            private_key_pem(key).decode(),
            public.decode(),
        )

    def sign(self, request_pem: str, unix_s: float, /) -> IssuedCertificate:
        """A certificate for a signing request: its key, and its subject unless that is empty.

        Raises:
            ConfigurationError: The request cannot be read, is not signed by its own key, or has a
                key that AWS IoT does not accept.
        """
        request = load_request(request_pem.encode(errors="replace"), "the request")
        if not _proves_possession(request):
            raise ConfigurationError(
                "the request is not signed by the key it holds", "make it again on the device"
            )
        key = request.public_key()
        weakness = key_weakness(key)
        if weakness is not None:
            raise ConfigurationError(
                f"the key of the request {weakness}", "make an ECDSA P-256 or RSA 2048 key"
            )
        name = request.subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
        certificate = self._issue(name, key, unix_s, None)
        return IssuedCertificate(certificate_id(certificate), certificate_pem(certificate).decode())

    def _issue(
        self,
        subject: x509.Name,
        key: CertificatePublicKeyTypes,
        unix_s: float,
        valid_s: float | None,
    ) -> x509.Certificate:
        issuer = self._authority.certificate
        now = datetime.fromtimestamp(int(unix_s), UTC)
        end = NOT_AFTER if valid_s is None else now + timedelta(seconds=valid_s)
        issuer_identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - BACKDATING, issuer.not_valid_before_utc))
            .not_valid_after(min(end, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNATURES_ONLY, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    issuer_identifier.value
                ),
                critical=False,
            )
            .sign(self._authority.private_key, hashes.SHA256())
        )


_SIGNATURES_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _proves_possession(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
