"""PEM and DER in and out: certificates, requests, private keys, and the certificate id.

Owns the parsing of bytes that others wrote: sizes are bounded, and every input gives a value or one
`ConfigurationError` that names its source. Knows nothing about files, the store or trust.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs.errors import ConfigurationError
from certs.permissions import MAX_PEM_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""The two kinds of key AWS IoT Core accepts for a device."""

_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_CERTIFICATE_LABELS: Final = {"CERTIFICATE", "X509 CERTIFICATE"}
# What `cryptography` raises for bytes it cannot read, found in its documentation and by fuzzing.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)


def block_labels(data: bytes) -> list[str]:
    """The labels of the PEM blocks in the data, such as `CERTIFICATE`, in their order."""
    return [label.decode("ascii") for label in _LABEL.findall(data[:MAX_PEM_BYTES])]


def load_certificates(data: bytes, source: str) -> list[x509.Certificate]:
    """Every certificate of a PEM text, or the one of a DER file.

    Args:
        data: The bytes of the file.
        source: What the bytes are called in an error, usually the path.

    Returns:
        At least one certificate, in the order of the file. Their public key and extensions have
        been parsed once and will not fail later.

    Raises:
        ConfigurationError: There is no certificate in it, or one of them is damaged.
    """
    _check_size(data, source)
    labels = block_labels(data)
    if labels and _CERTIFICATE_LABELS.isdisjoint(labels):
        raise _wrong_content(source, labels, "certificate")
    try:
        return _parse_certificates(data, pem=bool(labels))
    except _UNREADABLE as error:
        raise _damaged(source, "certificate", labels) from error


def load_certificate(data: bytes, source: str) -> x509.Certificate:
    """The first certificate of a PEM or DER file: in a chain, the one of the device itself.

    Raises:
        ConfigurationError: There is no certificate in it, or one of them is damaged.
    """
    return load_certificates(data, source)[0]


def load_request(data: bytes, source: str) -> x509.CertificateSigningRequest:
    """The certificate signing request of a PEM text.

    Raises:
        ConfigurationError: There is no request in it, or it is damaged.
    """
    _check_size(data, source)
    labels = block_labels(data)
    if not {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}.intersection(labels):
        raise _wrong_content(source, labels, "certificate request")
    try:
        request = x509.load_pem_x509_csr(data)
        _ = request.subject, request.extensions, request.public_key()
    except _UNREADABLE as error:
        raise _damaged(source, "certificate request", labels) from error
    return request


def load_private_key(data: bytes, source: str) -> PrivateKey:
    """The unencrypted private key of a PEM text (PKCS #8, SEC 1 or PKCS #1).

    Raises:
        ConfigurationError: There is no key in it, it is damaged, encrypted, or of a kind that AWS
            IoT Core does not accept. The text of the error never holds any part of the key.
    """
    _check_size(data, source)
    labels = block_labels(data)
    if not any(label.endswith("PRIVATE KEY") for label in labels):
        raise _wrong_content(source, labels, "private key")
    if "ENCRYPTED PRIVATE KEY" in labels or b"Proc-Type: 4,ENCRYPTED" in data:
        raise ConfigurationError(
            f"the private key in {source} is encrypted",
            "store it without a passphrase (openssl pkey -in OLD -out NEW) "
            "and protect it by its file permissions",
        )
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except _UNREADABLE as error:
        # The library's text is withheld: it could quote what it could not parse.
        raise ConfigurationError(
            f"the private key in {source} is damaged",
            "restore it from a backup",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigurationError(
            f"the private key in {source} is neither ECDSA nor RSA",
            "make an ECDSA P-256 or RSA key: AWS IoT Core accepts no other kind",
        )
    return key


def certificate_id(certificate: x509.Certificate | bytes | str) -> str:
    """The id under which AWS IoT Core knows a certificate: SHA-256 of its DER, 64 hex digits.

    AWS IoT API reference: Certificate, certificateId.

    Args:
        certificate: A certificate, or the first one of a PEM text or DER bytes.

    Raises:
        ConfigurationError: The text or bytes are no certificate.
    """
    if isinstance(certificate, str):
        certificate = certificate.encode()
    if isinstance(certificate, bytes):
        certificate = load_certificate(certificate, "the given data")
    return certificate.fingerprint(hashes.SHA256()).hex()


def certificate_pem(certificates: x509.Certificate | Iterable[x509.Certificate]) -> bytes:
    """One certificate or a chain as PEM text."""
    if isinstance(certificates, x509.Certificate):
        certificates = [certificates]
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def request_pem(request: x509.CertificateSigningRequest) -> bytes:
    """A certificate signing request as PEM text."""
    return request.public_bytes(serialization.Encoding.PEM)


def private_key_pem(key: PrivateKey) -> bytes:
    """A private key as unencrypted PKCS #8 PEM, the form every MQTT client loads."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@contextmanager
def tolerated_oddities() -> Iterator[None]:
    """Keep the library from warning of what old roots do against the standard.

    A serial number of zero or a name that is too long is no concern of who runs a command.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _parse_certificates(data: bytes, *, pem: bool) -> list[x509.Certificate]:
    with tolerated_oddities():
        certificates = (
            x509.load_pem_x509_certificates(data) if pem else [x509.load_der_x509_certificate(data)]
        )
        for certificate in certificates:
            # These are parsed on first use, and would fail there instead of here.
            _ = certificate.extensions, certificate.public_key(), certificate.serial_number
            _ = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificates


def _check_size(data: bytes, source: str) -> None:
    if not data:
        raise ConfigurationError(f"{source} is empty", "restore it from a backup")
    if len(data) > MAX_PEM_BYTES:
        raise ConfigurationError(
            f"{source} has more than {MAX_PEM_BYTES:,} bytes, unlike any certificate or key",
            "name a PEM file",
        )


def _wrong_content(source: str, labels: list[str], wanted: str) -> ConfigurationError:
    held = f"holds {labels[0]}" if labels else "is not PEM"
    return ConfigurationError(f"{source} {held}, no {wanted}", f"name the file of the {wanted}")


def _damaged(source: str, kind: str, labels: list[str]) -> ConfigurationError:
    if not labels:
        return ConfigurationError(
            f"{source} holds no {kind}, neither as PEM nor as DER", f"name the file of a {kind}"
        )
    return ConfigurationError(f"the {kind} in {source} is damaged", "restore it from a backup")
