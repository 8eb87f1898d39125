"""A development CA: makes itself, device requests, device and server certificates.

Pure: no files, no clock. Time is an argument everywhere, and keys and serial numbers can be given;
left out, they come from the operating system's random source. Knows nothing about the store.

Certificates follow RFC 5280 and are accepted by the strict mode of Python's and OpenSSL's
verification: CA with path length 0, subject and authority key identifiers, key usages, and names in
the subject alternative name.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import ConfigurationError
from certs.naming import check_thing_name
from certs.pem import PrivateKey, certificate_id, certificate_pem, private_key_pem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

AUTHORITY_NAME: Final = "morai-edge development CA"
AUTHORITY_DAYS: Final = 3650
DEVICE_DAYS: Final = 365
SERVER_DAYS: Final = 365
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
"""Hosts every server certificate is valid for: the stand-in runs beside its clients."""

MAX_HOSTS: Final = 100
BACKDATING: Final = timedelta(hours=1)
"""Certificates start this much before now, for cars whose clock runs behind."""

THING_URI_PREFIX: Final = "urn:morai-edge:thing:"
"""The subject alternative name of a device is this and its thing name.

It is a URI because thing names may hold `:` and `_`, which a DNS name may not."""

MIN_RSA_BITS: Final = 2048
ACCEPTED_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_MAX_COMMON_NAME: Final = 64  # ub-common-name, RFC 5280 appendix A.1
_MAX_DNS_NAME: Final = 253
_DNS_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class Credential(NamedTuple):
    """A certificate and the private key that belongs to it."""

    certificate: x509.Certificate
    private_key: PrivateKey

    @property
    def certificate_id(self) -> str:
        """The id under which AWS IoT Core knows the certificate."""
        return certificate_id(self.certificate)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM text."""
        return certificate_pem(self.certificate)

    @property
    def private_key_pem(self) -> bytes:
        """The private key as unencrypted PKCS #8 PEM text."""
        return private_key_pem(self.private_key)

    def __repr__(self) -> str:
        return f"Credential({self.certificate.subject.rfc4514_string()!r})"


def new_private_key() -> ec.EllipticCurvePrivateKey:
    """A fresh ECDSA P-256 key from the operating system's random source."""
    return ec.generate_private_key(ec.SECP256R1())


def create_authority(
    common_name: str,
    now: datetime,
    days: int = AUTHORITY_DAYS,
    *,
    key: PrivateKey | None = None,
    serial: int | None = None,
) -> Credential:
    """Make a self-signed certificate authority that may sign devices and servers only.

    Args:
        common_name: 1 to 64 characters.
        now: The present, with a time zone.
        days: Validity.
        key: The key of the authority; a fresh one when left out.
        serial: The serial number; a random one when left out.

    Raises:
        ConfigurationError: The name or the number of days is out of range.
    """
    if not 1 <= len(common_name.encode()) <= _MAX_COMMON_NAME or not common_name.isprintable():
        raise ConfigurationError(
            f"the CA name {common_name[:80]!r} is empty, longer than {_MAX_COMMON_NAME} bytes "
            "or not printable",
            "choose a short name",
        )
    key = key or new_private_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(name, name, key.public_key(), serial)
        .not_valid_before(_utc_seconds(now) - BACKDATING)
        .not_valid_after(_end(now, days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Credential(certificate, key)


def create_request(thing: str, key: PrivateKey) -> x509.CertificateSigningRequest:
    """The request a device makes for itself: its thing name, proven to belong to its key.

    Raises:
        ConfigurationError: The thing name is invalid.
    """
    check_thing_name(thing)
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_thing_subject(thing))
        .add_extension(_thing_alternative_name(thing), critical=False)
        .sign(key, hashes.SHA256())
    )


def issue_device(
    request: x509.CertificateSigningRequest,
    thing: str,
    authority: Credential,
    now: datetime,
    days: int = DEVICE_DAYS,
    *,
    serial: int | None = None,
) -> x509.Certificate:
    """Sign a device's request: a certificate for TLS clients, for that thing only.

    Everything but the public key is set here; what else the request asks for is ignored.

    Args:
        request: Made by `create_request` or any other tool.
        thing: The thing the authority means to certify; the request must name it.
        authority: The certificate authority.
        now: The present, with a time zone.
        days: Validity; it ends with the authority's at the latest.
        serial: The serial number; a random one when left out.

    Raises:
        ConfigurationError: The request names another thing, is not signed by its own key, has a
            key AWS IoT Core does not accept, or the authority cannot sign now.
    """
    check_thing_name(thing)
    if request.subject != _thing_subject(thing):
        raise ConfigurationError(
            f"the request for {thing!r} names {request.subject.rfc4514_string()[:200]!r}",
            f"make the request for {thing!r}",
        )
    if not _proves_possession(request):
        raise ConfigurationError(
            f"the request for {thing!r} is not signed by the key it holds",
            "make the request again on the device",
        )
    public_key = request.public_key()
    weakness = key_weakness(public_key)
    if weakness is not None:
        raise ConfigurationError(
            f"the key of the request for {thing!r} {weakness}", "make an ECDSA P-256 key"
        )
    return _issue(
        _thing_subject(thing),
        public_key,
        _thing_alternative_name(thing),
        ExtendedKeyUsageOID.CLIENT_AUTH,
        authority,
        now=now,
        days=days,
        serial=serial,
    )


def mint_device(
    thing: str, authority: Credential, now: datetime, days: int = DEVICE_DAYS
) -> Credential:
    """A whole device identity in memory: key, request and certificate in one step.

    Raises:
        ConfigurationError: The thing name is invalid or the authority cannot sign now.
    """
    key = new_private_key()
    request = create_request(thing, key)
    return Credential(issue_device(request, thing, authority, now, days), key)


def issue_server(
    hosts: Iterable[str],
    authority: Credential,
    now: datetime,
    days: int = SERVER_DAYS,
    *,
    key: PrivateKey | None = None,
    serial: int | None = None,
) -> Credential:
    """A certificate for a TLS server that is reached under the given hosts and locally.

    Args:
        hosts: DNS names, also `*.example.org`, and IP addresses, at most 100. `localhost`,
            `127.0.0.1` and `::1` are added.
        authority: The certificate authority.
        now: The present, with a time zone.
        days: Validity; it ends with the authority's at the latest.
        key: The key of the server; a fresh one when left out.
        serial: The serial number; a random one when left out.

    Raises:
        ConfigurationError: A host is invalid, there are too many, or the authority cannot sign now.
    """
    names = list(dict.fromkeys(_host(host) for host in (*hosts, *LOCAL_HOSTS)))
    if len(names) > MAX_HOSTS:
        raise ConfigurationError(
            f"a server certificate for {len(names)} hosts was asked for",
            f"name at most {MAX_HOSTS}, or use a wildcard such as *.example.org",
        )
    key = key or new_private_key()
    title = next(
        name.value
        for name in names
        if isinstance(name, x509.DNSName) and len(name.value) <= _MAX_COMMON_NAME
    )
    certificate = _issue(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)]),
        key.public_key(),
        x509.SubjectAlternativeName(names),
        ExtendedKeyUsageOID.SERVER_AUTH,
        authority,
        now=now,
        days=days,
        serial=serial,
    )
    return Credential(certificate, key)


def thing_of_certificate(certificate: x509.Certificate) -> str | None:
    """The thing a certificate of this authority was issued for, or None for any other."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(THING_URI_PREFIX):
            return uri.removeprefix(THING_URI_PREFIX)
    return None


def key_weakness(key: CertificatePublicKeyTypes) -> str | None:
    """Why AWS IoT Core would not accept a public key, or None.

    It takes RSA of at least 2048 bits and the curves P-256, P-384 and P-521 (AWS IoT Core developer
    guide: X.509 client certificates).
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in ACCEPTED_CURVES:
            return None
        return f"is on the curve {key.curve.name}, which AWS IoT Core does not accept"
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= MIN_RSA_BITS:
            return None
        return f"has {key.key_size} bits, less than {MIN_RSA_BITS}"
    return "is neither ECDSA nor RSA"


def _issue(
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    names: x509.SubjectAlternativeName,
    purpose: x509.ObjectIdentifier,
    authority: Credential,
    *,
    now: datetime,
    days: int,
    serial: int | None,
) -> x509.Certificate:
    issuer, issuer_key = authority
    _check_can_sign(issuer, now)
    issuer_identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, issuer.subject, public_key, serial)
        .not_valid_before(max(_utc_seconds(now) - BACKDATING, issuer.not_valid_before_utc))
        # A certificate that outlives its authority would look valid and be refused.
        .not_valid_after(min(_end(now, days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_identifier),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )


def _check_can_sign(issuer: x509.Certificate, now: datetime) -> None:
    title = issuer.subject.rfc4514_string()
    again = "make a new CA (morai-certs init --force), then issue every identity again"
    extensions = issuer.extensions
    try:
        may_sign = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        may_sign = False
    if not may_sign:
        raise ConfigurationError(f"{title} is no certificate authority", again)
    if now >= issuer.not_valid_after_utc:
        raise ConfigurationError(
            f"the CA {title} expired on {issuer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", again
        )
    if now < issuer.not_valid_before_utc:
        raise ConfigurationError(
            f"the CA {title} is valid only from {issuer.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "set this machine's clock",
        )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificatePublicKeyTypes,
    serial: int | None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number() if serial is None else serial)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _thing_subject(thing: str) -> x509.Name:
    # A common name holds 64 characters and a thing name 128; a user id has room for 256.
    short = len(thing) <= _MAX_COMMON_NAME
    oid = NameOID.COMMON_NAME if short else NameOID.USER_ID
    return x509.Name([x509.NameAttribute(oid, thing)])


def _thing_alternative_name(thing: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(THING_URI_PREFIX + thing)])


def _host(text: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    name = text.lower().removesuffix(".")
    labels = name.removeprefix("*.").split(".")
    valid = (
        len(name) <= _MAX_DNS_NAME
        and all(_DNS_LABEL.fullmatch(label) for label in labels)
        # A last label of digits would be read as a misspelt IP address.
        and not labels[-1].isdigit()
    )
    if not valid:
        raise ConfigurationError(
            f"{text[:80]!r} is neither a DNS name nor an IP address",
            "name hosts as clients address them, without scheme and port; "
            "names with other than ASCII letters in their xn-- form",
        )
    return x509.DNSName(name)


def _proves_possession(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False


def _utc_seconds(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the present must carry its time zone, for example datetime.now(UTC)")
    return moment.astimezone(UTC).replace(microsecond=0)


def _end(now: datetime, days: int) -> datetime:
    try:
        end = _utc_seconds(now) + timedelta(days=days)
    except OverflowError:
        end = None
    if end is None or days < 1:
        raise ConfigurationError(
            f"a validity of {days} days was asked for",
            "ask for 1 day or more, before the year 9999",
        )
    return end
