"""Tests of `certs.authority`: certificates judged by OpenSSL through Python's `ssl` module."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.authority import (
    Credential,
    create_authority,
    create_request,
    issue_device,
    issue_server,
    key_weakness,
    mint_device,
    new_private_key,
    thing_of_certificate,
)
from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def context_of(side: int, own: Credential, trusted: Credential, folder: Path) -> ssl.SSLContext:
    """A TLS context that shows a certificate, trusts a CA and applies OpenSSL's strict rules."""
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_bytes(own.certificate_pem)
    (folder / "key.pem").write_bytes(own.private_key_pem)
    context = ssl.SSLContext(side)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(cadata=trusted.certificate_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> bytes | None:
    """Let the two talk TLS in memory; return the client's certificate as the server sees it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname=host)
    waiting = [client_side, server_side]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    assert not waiting
    return server_side.getpeercert(binary_form=True)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "broker.lab", "a.cars.example"])
def test_mutual_tls_is_accepted_by_openssl(
    host: str, authority: Credential, now: datetime, tmp_path: Path
) -> None:
    """Device and server authenticate each other under OpenSSL's strict rules, by name and by IP."""
    server = issue_server(["broker.lab", "*.cars.example"], authority, now)
    device = mint_device("car:1_a-b", authority, now)
    seen = handshake(
        context_of(ssl.PROTOCOL_TLS_SERVER, server, authority, tmp_path / "server"),
        context_of(ssl.PROTOCOL_TLS_CLIENT, device, authority, tmp_path / "client"),
        host,
    )

    assert seen == ssl.PEM_cert_to_DER_cert(device.certificate_pem.decode())


def test_a_server_is_refused_under_another_name(
    authority: Credential, now: datetime, tmp_path: Path
) -> None:
    """A client that asks for a host the certificate does not name breaks the handshake off."""
    server = issue_server([], authority, now)
    device = mint_device("car-1", authority, now)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|mismatch"):
        handshake(
            context_of(ssl.PROTOCOL_TLS_SERVER, server, authority, tmp_path / "server"),
            context_of(ssl.PROTOCOL_TLS_CLIENT, device, authority, tmp_path / "client"),
            "elsewhere.lab",
        )


@pytest.mark.parametrize("wrong_side", ["server", "client"])
def test_certificates_work_only_in_their_role(
    wrong_side: str, authority: Credential, now: datetime, tmp_path: Path
) -> None:
    """A device cannot pose as the server, nor a server certificate as a device."""
    server = issue_server([], authority, now)
    device = mint_device("car-1", authority, now)
    shown = (device, device) if wrong_side == "server" else (server, server)

    with pytest.raises(ssl.SSLError, match=r"(?i)purpose|unsuitable|mismatch|verify failed"):
        handshake(
            context_of(ssl.PROTOCOL_TLS_SERVER, shown[0], authority, tmp_path / "server"),
            context_of(ssl.PROTOCOL_TLS_CLIENT, shown[1], authority, tmp_path / "client"),
            "localhost",
        )


def test_a_device_of_another_ca_is_refused(
    authority: Credential, now: datetime, tmp_path: Path
) -> None:
    """A CA of the same name with another key vouches for nobody here."""
    impostor = create_authority("Test CA", now)
    server = issue_server([], authority, now)
    device = mint_device("car-1", impostor, now)

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(
            context_of(ssl.PROTOCOL_TLS_SERVER, server, authority, tmp_path / "server"),
            context_of(ssl.PROTOCOL_TLS_CLIENT, device, authority, tmp_path / "client"),
            "localhost",
        )


def test_time_and_serial_are_the_callers() -> None:
    """Given time, key and serial number, the certificate holds exactly these."""
    key = new_private_key()
    east = timezone(timedelta(hours=9))
    made = create_authority("CA", NOON.astimezone(east), 10, key=key, serial=77).certificate

    assert made.serial_number == 77
    assert made.public_key() == key.public_key()
    assert made.not_valid_before_utc == datetime(2026, 3, 1, 11, 0, 0, tzinfo=UTC)
    assert made.not_valid_after_utc == datetime(2026, 3, 11, 12, 0, 0, tzinfo=UTC)


def test_a_time_without_zone_is_a_defect() -> None:
    """A present without time zone is a programming error, not taken for UTC."""
    with pytest.raises(ValueError, match="time zone"):
        create_authority("CA", datetime(2026, 3, 1, 12, 0, 0))  # noqa: DTZ001 - the defect under test


def test_the_ca_signs_only_leaves() -> None:
    """The CA is marked as one and may not have CAs below it."""
    made = create_authority("CA", NOON).certificate
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)

    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


def test_a_device_certificate_names_its_thing() -> None:
    """The thing name stands in the common name and, as a URI, in the alternative name."""
    ca = create_authority("CA", NOON)
    made = mint_device("car:1", ca, NOON, 30).certificate
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert made.subject.rfc4514_string() == "CN=car:1"
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert list(names) == [x509.UniformResourceIdentifier("urn:morai-edge:thing:car:1")]
    assert thing_of_certificate(made) == "car:1"
    assert made.not_valid_after_utc == NOON + timedelta(days=30)
    assert thing_of_certificate(ca.certificate) is None


@pytest.mark.parametrize(
    ("length", "oid"),
    [(64, NameOID.COMMON_NAME), (65, NameOID.USER_ID), (128, NameOID.USER_ID)],
)
def test_long_thing_names_fit(length: int, oid: x509.ObjectIdentifier) -> None:
    """A name beyond the 64 characters of a common name is kept whole in another attribute."""
    name = "n" * length
    made = mint_device(name, create_authority("CA", NOON), NOON).certificate

    assert [attribute.value for attribute in made.subject.get_attributes_for_oid(oid)] == [name]
    assert thing_of_certificate(made) == name


def test_certificates_do_not_outlive_their_ca() -> None:
    """Validity is cut to the CA's at its end."""
    ca = create_authority("CA", NOON, 10)

    assert (
        mint_device("car-1", ca, NOON, 400).certificate.not_valid_after_utc
        == issue_server([], ca, NOON, 400).certificate.not_valid_after_utc
        == ca.certificate.not_valid_after_utc
    )


@pytest.mark.parametrize(
    ("moment", "what"),
    [
        (NOON + timedelta(days=10), "expired on 2026-03-11 12:00 UTC"),
        (NOON - timedelta(days=1), "valid only from 2026-03-01 11:00 UTC"),
    ],
)
def test_a_ca_signs_only_while_it_is_valid(moment: datetime, what: str) -> None:
    """An expired CA, and a clock before its time, refuse to issue."""
    ca = create_authority("CA", NOON, 10)

    with pytest.raises(ConfigurationError, match=what):
        mint_device("car-1", ca, moment)
    with pytest.raises(ConfigurationError, match=what):
        issue_server([], ca, moment)


def test_a_device_is_no_ca() -> None:
    """What a device's key would sign is refused before it is made."""
    device = mint_device("car-1", create_authority("CA", NOON), NOON)

    with pytest.raises(ConfigurationError, match="CN=car-1 is no certificate authority"):
        mint_device("car-2", device, NOON)


def test_a_request_for_another_thing_is_refused() -> None:
    """The CA certifies the thing it means, not the one a request claims."""
    request = create_request("car-2", new_private_key())

    with pytest.raises(ConfigurationError, match="names 'CN=car-2'"):
        issue_device(request, "car-1", create_authority("CA", NOON), NOON)


def test_a_request_without_its_key_is_refused() -> None:
    """A request whose signature was not made by the key inside it proves nothing."""
    der = bytearray(create_request("car-1", new_private_key()).public_bytes(Encoding.DER))
    der[-1] ^= 1

    with pytest.raises(ConfigurationError, match="not signed by the key"):
        issue_device(
            x509.load_der_x509_csr(bytes(der)), "car-1", create_authority("CA", NOON), NOON
        )


def test_what_a_request_asks_for_is_ignored() -> None:
    """A request that asks to become a CA becomes a device."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "car-1")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(new_private_key(), hashes.SHA256())
    )
    made = issue_device(request, "car-1", create_authority("CA", NOON), NOON)

    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_an_rsa_device_is_issued_and_a_foreign_curve_is_not() -> None:
    """Keys that AWS IoT Core accepts are certified, others refused with the reason."""
    ca = create_authority("CA", NOON)
    rsa_request = create_request("car-1", rsa.generate_private_key(65537, 2048))
    odd_request = create_request("car-1", ec.generate_private_key(ec.SECP256K1()))

    assert isinstance(issue_device(rsa_request, "car-1", ca, NOON).public_key(), rsa.RSAPublicKey)
    with pytest.raises(ConfigurationError, match="secp256k1"):
        issue_device(odd_request, "car-1", ca, NOON)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (ec.generate_private_key(ec.SECP256R1()).public_key(), None),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), None),
        (ec.generate_private_key(ec.SECP521R1()).public_key(), None),
        (rsa.generate_private_key(65537, 2048).public_key(), None),
        (rsa.generate_private_key(65537, 1024).public_key(), "has 1024 bits, less than 2048"),
        (ed25519.Ed25519PrivateKey.generate().public_key(), "is neither ECDSA nor RSA"),
    ],
    ids=["P-256", "P-384", "P-521", "RSA 2048", "RSA 1024", "Ed25519"],
)
def test_key_weakness(key: CertificatePublicKeyTypes, reason: str | None) -> None:
    """The kinds and sizes of key are those AWS IoT Core documents."""
    assert key_weakness(key) == reason


def test_server_names_are_kept_once_and_in_order() -> None:
    """Hosts are lower-cased, repeated ones dropped, and the local ones added."""
    ca = create_authority("CA", NOON)
    made = issue_server(["Broker.LAB.", "10.0.0.7", "broker.lab", "::1"], ca, NOON).certificate
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert [str(name.value) for name in names] == [
        "broker.lab",
        "10.0.0.7",
        "::1",
        "localhost",
        "127.0.0.1",
    ]
    assert made.subject.rfc4514_string() == "CN=broker.lab"


@pytest.mark.parametrize(
    "host",
    ["", "http://x", "x:8883", "a b", "1.2.3", "256.1.1.1", "a..b", "*.", "x*.y", "é.lab", "-a"],
)
def test_hosts_that_are_none_are_refused(host: str) -> None:
    """Addresses with scheme or port, misspelt IPs and empty labels are refused."""
    with pytest.raises(ConfigurationError, match="neither a DNS name nor an IP address"):
        issue_server([host], create_authority("CA", NOON), NOON)


def test_a_server_has_at_most_a_hundred_names() -> None:
    """The size of a server certificate is bounded."""
    with pytest.raises(ConfigurationError, match="104 hosts"):
        issue_server((f"h{n}.lab" for n in range(101)), create_authority("CA", NOON), NOON)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "é" * 33])
def test_ca_names_out_of_range_are_refused(name: str) -> None:
    """The name of a CA fits a common name and a line."""
    with pytest.raises(ConfigurationError, match="CA name"):
        create_authority(name, NOON)


@pytest.mark.parametrize("days", [0, -1, 10**7, 10**12])
def test_validity_out_of_range_is_refused(days: int) -> None:
    """A certificate is valid for a day or more, and not beyond the calendar."""
    with pytest.raises(ConfigurationError, match="validity"):
        create_authority("CA", NOON, days)


def test_a_credential_does_not_show_its_key() -> None:
    """Printing a credential, as a log line might, names the certificate and nothing else."""
    assert repr(create_authority("CA", NOON)) == "Credential('CN=CA')"
