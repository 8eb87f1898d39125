"""Real CAs and certificates for tests of their registration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certs.authority import Credential, create_authority
from certs.pem import certificate_id, certificate_pem
from tests.simulator.iotcore.control.bench import START

NOW = datetime.fromtimestamp(START, UTC)


class Device(NamedTuple):
    """A device's certificate."""

    certificate_id: str
    pem: str


def new_ca(name: str = "fleet CA") -> Credential:
    """A CA of one's own."""
    return create_authority(name, NOW)


def pem_of(authority: Credential) -> str:
    """A CA's certificate."""
    return certificate_pem(authority.certificate).decode()


def device(authority: Credential, name: str = "car-1") -> Device:
    """A device's certificate of a CA."""
    pem = _signed(authority, name, ec.SECP256R1())
    return Device(certificate_id(pem), pem)


def proof(authority: Credential, code: str) -> str:
    """A verification certificate: the registration code is its common name."""
    return _signed(authority, code, ec.SECP256R1())


def weak(authority: Credential) -> str:
    """A certificate with a key on a curve that AWS IoT does not accept."""
    return _signed(authority, "weak", ec.SECP192R1())


def _signed(authority: Credential, name: str, curve: ec.EllipticCurve) -> str:
    key = ec.generate_private_key(curve)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(minutes=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(authority.private_key, hashes.SHA256())
    )
    return certificate_pem(certificate).decode()
