"""What a certificate says, and whether that is good enough: facts and checks, one finding each.

Pure: certificates, keys and the time come in, facts and findings go out. Knows nothing about files
and folders (`certs.audit` brings those) or about how findings are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.authority import key_weakness, thing_of_certificate
from certs.pem import certificate_id, tolerated_oddities

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from certs.pem import PrivateKey

__all__ = [
    "CertificateFacts",
    "Finding",
    "Verdict",
    "certificate_facts",
    "certificate_id",
    "check_authority",
    "check_chain",
    "check_key",
    "check_purpose",
    "check_strength",
    "check_thing",
    "check_validity",
    "key_type",
]

WARNING_DAYS: Final = 30
_MAX_CHAIN: Final = 8
_ONE_DAY: Final = timedelta(days=1)
_SIGNATURE_HASHES: Final = {"sha256", "sha384", "sha512"}
_CURVE_TITLES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
# The issuer of certificates that AWS IoT Core makes is one single organizational unit with the
# text "Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US".
_AWS_ISSUER_UNIT: Final = "Amazon Web Services"
_PURPOSES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}
_KEY_USAGES: Final = {
    "digital_signature": "digitalSignature",
    "content_commitment": "contentCommitment",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing, or due soon; nothing fails because of it today."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    """What was checked, in a word: `validity`, `key`, `chain`."""
    verdict: Verdict
    what: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty when there is nothing to do."""
    cured_by_replacing: bool = False
    """Whether a new certificate (and key) would cure it, so that the command can be named."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says about itself."""

    subject: str
    """RFC 4514, most specific part first."""
    issuer: str
    issuer_name: str
    """The issuer in short: its common name, or what else it calls itself."""
    certificate_id: str
    """SHA-256 of the DER, 64 hex digits: the certificate id of AWS IoT Core."""
    serial_number: str
    """Hexadecimal."""
    not_before: datetime
    not_after: datetime
    days_left: int
    """Whole days until `not_after`, rounded down: negative from the moment of expiry."""
    key_type: str
    signature_hash: str
    thing: str | None
    """The thing it was issued for, when this project's CA issued it."""
    alternative_names: tuple[str, ...]
    """Such as `DNS:localhost`, `IP:127.0.0.1`, `URI:...`."""
    key_usages: tuple[str, ...]
    purposes: tuple[str, ...]
    """Extended key usages, such as `clientAuth`; empty when the certificate does not limit them."""
    is_authority: bool
    is_self_signed: bool


def certificate_facts(certificate: x509.Certificate, now: datetime) -> CertificateFacts:
    """Everything worth showing about a certificate.

    Args:
        certificate: As loaded by `certs.pem`.
        now: The present, with a time zone.
    """
    return CertificateFacts(
        subject=_title(certificate.subject),
        issuer=_title(certificate.issuer),
        issuer_name=_issuer_name(certificate),
        certificate_id=certificate_id(certificate),
        serial_number=_serial_number(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=(certificate.not_valid_after_utc - now) // _ONE_DAY,
        key_type=key_type(certificate.public_key()),
        signature_hash=_signature_hash(certificate),
        thing=thing_of_certificate(certificate),
        alternative_names=_alternative_names(certificate),
        key_usages=_key_usages(certificate),
        purposes=_purposes(certificate),
        is_authority=_is_authority(certificate),
        is_self_signed=_signed_by(certificate, certificate),
    )


def key_type(key: CertificatePublicKeyTypes) -> str:
    """A public key's kind and size in the words of the AWS documentation: `ECDSA P-256`."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVE_TITLES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def check_validity(
    certificate: x509.Certificate, now: datetime, warning_days: int = WARNING_DAYS
) -> Finding:
    """Whether the certificate is valid now and stays so for a while.

    Args:
        certificate: The certificate.
        now: The present, with a time zone.
        warning_days: How many days before its end a certificate is worth a note.
    """
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        return Finding(
            "validity",
            Verdict.FAILED,
            f"not valid before {_moment(start)}; this machine says {_moment(now)}",
            "set this machine's clock, or wait",
        )
    if now > end:
        return Finding(
            "validity",
            Verdict.FAILED,
            f"expired on {_moment(end)}; this machine says {_moment(now)}",
            "replace it",
            cured_by_replacing=True,
        )
    days = (end - now) // _ONE_DAY
    text = f"valid until {_moment(end)}, {_days(days)} left"
    if days < warning_days:
        return Finding(
            "validity", Verdict.NOTE, text, "replace it before then", cured_by_replacing=True
        )
    return Finding("validity", Verdict.OK, text)


def check_key(certificate: x509.Certificate, key: PrivateKey) -> Finding:
    """Whether the private key is the certificate's."""
    if certificate.public_key() == key.public_key():
        return Finding("key", Verdict.OK, "belongs to the certificate")
    return Finding(
        "key",
        Verdict.FAILED,
        "belongs to another certificate",
        "restore the key made with this certificate, or replace both",
        cured_by_replacing=True,
    )


def check_strength(certificate: x509.Certificate) -> Finding:
    """Whether AWS IoT Core accepts the certificate's key and signature.

    RSA of at least 2048 bits or a NIST curve, signed with SHA-256, 384 or 512 (AWS IoT Core
    developer guide: X.509 client certificates).
    """
    weakness = key_weakness(certificate.public_key())
    if weakness is None and _signature_hash(certificate) not in _SIGNATURE_HASHES:
        weakness = f"is certified with {_signature_hash(certificate)}, not SHA-256 or better"
    if weakness is None:
        kind = key_type(certificate.public_key())
        return Finding("strength", Verdict.OK, f"{kind}, {_signature_hash(certificate)}")
    return Finding(
        "strength",
        Verdict.FAILED,
        f"the key {weakness}",
        "replace both, with an ECDSA P-256 key",
        cured_by_replacing=True,
    )


def check_purpose(certificate: x509.Certificate, purpose: x509.ObjectIdentifier) -> Finding:
    """Whether the certificate may be used in a role of TLS.

    Args:
        certificate: The certificate.
        purpose: `ExtendedKeyUsageOID.CLIENT_AUTH` or `SERVER_AUTH`. A certificate without the
            extension is unlimited (RFC 5280, 4.2.1.12), as are those AWS IoT Core makes.
    """
    wanted = _PURPOSES[purpose]
    purposes = _purposes(certificate)
    if _is_authority(certificate):
        return Finding(
            "purpose",
            Verdict.FAILED,
            "is the certificate of a CA",
            "use one that the CA issued",
            cured_by_replacing=True,
        )
    if not purposes or wanted in purposes or "any" in purposes:
        return Finding("purpose", Verdict.OK, wanted if purposes else "not limited")
    return Finding(
        "purpose",
        Verdict.FAILED,
        f"is for {', '.join(purposes)}, not for {wanted}",
        "use a certificate made for this role",
        cured_by_replacing=True,
    )


def check_authority(certificate: x509.Certificate) -> Finding:
    """Whether the certificate is a CA's, so that what it signs can be trusted."""
    if _is_authority(certificate):
        return Finding("purpose", Verdict.OK, "may sign certificates")
    return Finding(
        "purpose",
        Verdict.FAILED,
        "is not the certificate of a CA",
        "restore the right one, or make a new CA",
        cured_by_replacing=True,
    )


def check_thing(certificate: x509.Certificate, thing: str) -> Finding:
    """Whether the certificate is the one of this thing, as far as it names one."""
    named = thing_of_certificate(certificate)
    if named is None:
        return Finding("thing", Verdict.OK, "the certificate names no thing")
    if named == thing:
        return Finding("thing", Verdict.OK, named)
    return Finding(
        "thing",
        Verdict.FAILED,
        f"the certificate was issued for {named!r}",
        "put it back where it belongs, or replace it",
        cured_by_replacing=True,
    )


def check_chain(
    chain: Sequence[x509.Certificate], anchors: Iterable[x509.Certificate], now: datetime
) -> Finding:
    """Whether a certificate leads to a trusted one, link by link, each signature verified.

    A certificate made by AWS IoT Core ends in a CA that Amazon does not publish; AWS IoT Core knows
    such a certificate by its id. That is a note, not a failure.

    Args:
        chain: The certificate, then the intermediates that came with it, in any order.
        anchors: The CAs that are trusted.
        now: The present, with a time zone.
    """
    trusted = list(anchors)
    current, path = chain[0], [chain[0]]
    while len(path) <= _MAX_CHAIN:
        anchor = next((each for each in trusted if _issued_by(current, each)), None)
        if anchor is not None:
            return _check_links([*path[1:], anchor], now)
        link = next(
            (each for each in chain if each not in path and _issued_by(current, each)), None
        )
        if link is None:
            break
        path.append(link)
        current = link
    return _untrusted(current, trusted)


def _check_links(issuers: list[x509.Certificate], now: datetime) -> Finding:
    for issuer in issuers:
        if not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc:
            when = check_validity(issuer, now)
            return Finding(
                "chain",
                Verdict.FAILED,
                f"issued by {_title(issuer.subject)}, a CA that is {when.what}",
                "make a new CA, then replace the certificate",
                cured_by_replacing=True,
            )
    return Finding("chain", Verdict.OK, f"issued by {_title(issuers[-1].subject)}")


def _untrusted(certificate: x509.Certificate, trusted: list[x509.Certificate]) -> Finding:
    issuer = _title(certificate.issuer)
    if any(certificate.issuer == anchor.subject for anchor in trusted):
        return Finding(
            "chain",
            Verdict.FAILED,
            f"names {issuer} as its issuer, but another CA of that name signed it",
            "restore the CA that signed it, or replace the certificate",
            cured_by_replacing=True,
        )
    if _issued_by_aws(certificate):
        return Finding(
            "chain",
            Verdict.NOTE,
            "issued by AWS IoT Core, whose CA is not public; AWS knows it by its id",
        )
    if certificate.issuer == certificate.subject:
        return Finding(
            "chain",
            Verdict.FAILED,
            "is self-signed and not among the trusted roots",
            "put it into roots/ if you trust it, or replace it",
            cured_by_replacing=True,
        )
    return Finding(
        "chain",
        Verdict.FAILED,
        f"issued by {issuer}, a CA that is not in the store",
        "put the certificate of that CA into roots/, or replace this one",
        cured_by_replacing=True,
    )


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    return certificate == issuer or (_is_authority(issuer) and _signed_by(certificate, issuer))


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _issued_by_aws(certificate: x509.Certificate) -> bool:
    units = certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return any(str(unit.value).startswith(_AWS_ISSUER_UNIT) for unit in units)


def _issuer_name(certificate: x509.Certificate) -> str:
    if _issued_by_aws(certificate):
        return "AWS IoT Core"
    attributes = [*certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)]
    attributes += certificate.issuer
    return str(attributes[0].value) if attributes else "(no name)"


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _purposes(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(_PURPOSES.get(usage, usage.dotted_string) for usage in usages)


def _key_usages(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(title for attribute, title in _KEY_USAGES.items() if getattr(usage, attribute))


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(_alternative_name(name) for name in names)


def _alternative_name(name: x509.GeneralName) -> str:
    match name:
        case x509.DNSName():
            return f"DNS:{name.value}"
        case x509.IPAddress():
            return f"IP:{name.value}"
        case x509.UniformResourceIdentifier():
            return f"URI:{name.value}"
        case x509.RFC822Name():
            return f"email:{name.value}"
        case x509.DirectoryName():
            return f"name:{_title(name.value)}"
        case _:
            return f"other:{type(name).__name__}"


def _serial_number(certificate: x509.Certificate) -> str:
    with tolerated_oddities():
        return f"{certificate.serial_number:x}"


def _signature_hash(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        algorithm = None
    return algorithm.name if algorithm else "none"


def _title(name: x509.Name) -> str:
    return name.rfc4514_string() or "(no name)"


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _days(count: int) -> str:
    if count == 0:
        return "less than a day"
    return "1 day" if count == 1 else f"{count:,} days"
