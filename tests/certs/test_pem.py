"""Tests of `certs.pem`."""

from __future__ import annotations

import base64
import hashlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from certs.authority import create_request, mint_device, new_private_key
from certs.errors import ConfigurationError
from certs.inspection import certificate_facts, check_chain, check_strength, check_validity
from certs.pem import (
    block_labels,
    certificate_id,
    certificate_pem,
    load_certificate,
    load_certificates,
    load_private_key,
    load_request,
    private_key_pem,
    request_pem,
)
from certs.permissions import MAX_PEM_BYTES

if TYPE_CHECKING:
    from datetime import datetime

    from certs.authority import Credential

# Amazon Trust Services repository: SHA-256 fingerprint of the certificate of Amazon Root CA 1.
AMAZON_ROOT_CA_1 = "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e"


@pytest.fixture(scope="module")
def device(authority: Credential, now: datetime) -> Credential:
    """A device certificate and its key."""
    return mint_device("car-1", authority, now)


def test_certificate_id_of_a_published_certificate() -> None:
    """The id of Amazon Root CA 1 is the fingerprint Amazon publishes."""
    bundle = load_certificates(Path(certifi.where()).read_bytes(), "certifi")
    ids = {
        certificate.subject.rfc4514_string(): certificate_id(certificate) for certificate in bundle
    }

    assert ids["CN=Amazon Root CA 1,O=Amazon,C=US"] == AMAZON_ROOT_CA_1


def test_certificate_id_from_every_form(device: Credential) -> None:
    """PEM text, PEM bytes, DER and a parsed certificate have one id: SHA-256 of the DER."""
    pem = device.certificate_pem
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    expected = hashlib.sha256(der).hexdigest()

    assert certificate_id(pem) == expected
    assert certificate_id(pem.decode()) == expected
    assert certificate_id(der) == expected
    assert certificate_id(load_certificate(der, "der")) == expected
    assert device.certificate_id == expected


def test_a_chain_keeps_its_order(device: Credential, authority: Credential) -> None:
    """Several certificates in a file come out in their order, past text between them."""
    data = b"# device\n" + device.certificate_pem + b"# CA\n" + authority.certificate_pem

    assert load_certificates(data, "chain") == [device.certificate, authority.certificate]


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b"Bag Attributes\n  friendlyName: x\n"])
def test_what_editors_and_tools_add_is_tolerated(device: Credential, prefix: bytes) -> None:
    """A byte order mark, explanatory text and Windows line ends do no harm."""
    data = prefix + device.certificate_pem.replace(b"\n", b"\r\n")

    assert load_certificates(data, "x") == [device.certificate]


def test_key_is_unencrypted_pkcs8(device: Credential) -> None:
    """Keys are written as PKCS #8 and come back equal."""
    data = private_key_pem(device.private_key)

    assert block_labels(data) == ["PRIVATE KEY"]
    assert load_private_key(data, "x").public_key() == device.private_key.public_key()


def _key_pem(
    key: serialization.PrivateFormat | str, encryption: serialization.KeySerializationEncryption
) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    if isinstance(key, serialization.PrivateFormat):
        form = key
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, form, encryption
    )


def test_traditional_keys_are_read() -> None:
    """The older SEC 1 and PKCS #1 texts are read too."""
    sec1 = _key_pem("sec1", serialization.NoEncryption())
    pkcs1 = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )

    assert block_labels(sec1 + pkcs1) == ["EC PRIVATE KEY", "RSA PRIVATE KEY"]
    assert isinstance(load_private_key(sec1, "x"), ec.EllipticCurvePrivateKey)
    assert isinstance(load_private_key(pkcs1, "x"), rsa.RSAPrivateKey)


@pytest.mark.parametrize(
    "form",
    [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL],
)
def test_encrypted_keys_are_refused(form: serialization.PrivateFormat) -> None:
    """A key with a passphrase is refused with the way to remove it."""
    data = _key_pem(form, serialization.BestAvailableEncryption(b"secret"))

    with pytest.raises(ConfigurationError, match="is encrypted") as caught:
        load_private_key(data, "x")
    assert "openssl pkey" in caught.value.remedy


def test_kinds_of_key_that_aws_does_not_know_are_refused() -> None:
    """An Ed25519 key is refused, since AWS IoT Core accepts ECDSA and RSA only."""
    data = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

    with pytest.raises(ConfigurationError, match="neither ECDSA nor RSA"):
        load_private_key(data, "x")


def test_damaged_keys_are_not_quoted(device: Credential) -> None:
    """The error about a damaged key holds nothing of the key."""
    lines = private_key_pem(device.private_key).splitlines(keepends=True)
    damaged = lines[0] + lines[1][:-20] + b"\n" + b"".join(lines[2:])

    with pytest.raises(ConfigurationError) as caught:
        load_private_key(damaged, "x")
    assert str(caught.value) == "the private key in x is damaged. restore it from a backup"


def test_files_in_each_others_place_are_named(device: Credential) -> None:
    """A key where a certificate belongs, and the reverse, is said to be just that."""
    with pytest.raises(ConfigurationError, match="x holds PRIVATE KEY, no certificate"):
        load_certificates(device.private_key_pem, "x")
    with pytest.raises(ConfigurationError, match="x holds CERTIFICATE, no private key"):
        load_private_key(device.certificate_pem, "x")
    with pytest.raises(ConfigurationError, match="x holds CERTIFICATE, no certificate request"):
        load_request(device.certificate_pem, "x")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b"hello", "neither as PEM nor as DER"),
        (b"-----BEGIN CERTIFICATE-----\n", "is damaged"),
        (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", "is damaged"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is damaged"),
        (b"\x00" * (MAX_PEM_BYTES + 1), "more than 262,144 bytes"),
    ],
)
def test_what_is_no_certificate_is_refused(data: bytes, what: str) -> None:
    """Empty, foreign, cut, garbled and huge input is refused in words."""
    with pytest.raises(ConfigurationError, match=what):
        load_certificates(data, "x")


def test_requests_round_trip() -> None:
    """A request written as PEM comes back with its subject."""
    request = create_request("car-1", new_private_key())

    assert load_request(request_pem(request), "x").subject.rfc4514_string() == "CN=car-1"


@given(data=st.data())
def test_damaged_certificates_give_facts_or_one_error(
    data: st.DataObject, device: Credential, authority: Credential, now: datetime
) -> None:
    """A certificate with any bytes changed or cut is either refused, or every fact can be read."""
    der = bytearray(ssl.PEM_cert_to_DER_cert(device.certificate_pem.decode()))
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(der) - 1), st.integers(0, 255)), max_size=4)
    ):
        der[position] = value
    cut = data.draw(st.integers(0, 8))
    damaged = bytes(der[: len(der) - cut])
    if data.draw(st.booleans()):
        body = base64.encodebytes(damaged)
        damaged = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    try:
        certificate = load_certificate(damaged, "x")
    except ConfigurationError:
        return
    facts = certificate_facts(certificate, now)

    assert len(facts.certificate_id) == 64
    assert check_strength(certificate).check == "strength"
    assert check_validity(certificate, now).check == "validity"
    assert check_chain([certificate], [authority.certificate], now).check == "chain"


@given(st.binary(max_size=300))
def test_any_bytes_give_a_key_or_one_error(noise: bytes) -> None:
    """Nothing between the lines of a private key can crash the reader."""
    data = b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(noise)
    with pytest.raises(ConfigurationError):
        load_private_key(data + b"-----END PRIVATE KEY-----\n", "x")


def test_a_chain_is_written_in_order(device: Credential, authority: Credential) -> None:
    """A chain as PEM is the certificates one after the other."""
    data = certificate_pem([device.certificate, authority.certificate])

    assert data == device.certificate_pem + authority.certificate_pem
