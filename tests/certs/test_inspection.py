"""Tests of `certs.inspection`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.authority import Credential, create_authority, issue_server, mint_device, new_private_key
from certs.inspection import (
    Verdict,
    certificate_facts,
    check_authority,
    check_chain,
    check_key,
    check_purpose,
    check_strength,
    check_thing,
    check_validity,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
# The issuer of every certificate AWS IoT Core makes, as `openssl x509 -issuer` prints it.
AWS_ISSUER = "Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US"

# RSA keys are slow to make, so the module shares them.
RSA_2048 = rsa.generate_private_key(65537, 2048)
RSA_1024 = rsa.generate_private_key(65537, 1024)


def certificate_by(
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    *,
    subject: str = "AWS IoT Certificate",
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
    is_ca: bool = False,
    days: int = 365,
) -> x509.Certificate:
    """A certificate with none of the extensions this project sets, but for a CA's."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key((key or new_private_key()).public_key())
        .serial_number(255)
        .not_valid_before(NOON)
        .not_valid_after(NOON + days * DAY)
    )
    if is_ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def ca() -> Credential:
    """A CA made at noon, valid for ten years."""
    return create_authority("CA", NOON, 3650)


@pytest.fixture(scope="module")
def aws() -> x509.Certificate:
    """A certificate like those of AWS IoT Core."""
    unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, AWS_ISSUER)
    return certificate_by(x509.Name([unit]), RSA_2048, key=RSA_2048)


def test_facts_of_a_device(ca: Credential) -> None:
    """Every fact of a device certificate is told."""
    facts = certificate_facts(mint_device("car-1", ca, NOON, 30).certificate, NOON)

    assert facts.subject == "CN=car-1"
    assert facts.issuer == "CN=CA"
    assert facts.issuer_name == "CA"
    assert facts.not_before == NOON - timedelta(hours=1)
    assert facts.not_after == NOON + 30 * DAY
    assert facts.days_left == 30
    assert facts.key_type == "ECDSA P-256"
    assert facts.signature_hash == "sha256"
    assert facts.thing == "car-1"
    assert facts.alternative_names == ("URI:urn:morai-edge:thing:car-1",)
    assert facts.key_usages == ("digitalSignature",)
    assert facts.purposes == ("clientAuth",)
    assert not facts.is_authority
    assert not facts.is_self_signed


def test_facts_of_a_server_and_a_ca(ca: Credential) -> None:
    """A server's names and a CA's marks are told."""
    server = certificate_facts(issue_server([], ca, NOON).certificate, NOON)
    root = certificate_facts(ca.certificate, NOON)

    assert server.alternative_names == ("DNS:localhost", "IP:127.0.0.1", "IP:::1")
    assert server.purposes == ("serverAuth",)
    assert root.is_authority
    assert root.is_self_signed
    assert root.key_usages == ("keyCertSign", "cRLSign")


def test_facts_of_an_aws_certificate(aws: x509.Certificate) -> None:
    """A certificate of AWS IoT Core is recognised by its issuer and has no limits of its own."""
    facts = certificate_facts(aws, NOON)

    assert facts.issuer_name == "AWS IoT Core"
    assert facts.serial_number == "ff"
    assert facts.key_type == "RSA 2048"
    assert (facts.thing, facts.alternative_names, facts.purposes) == (None, (), ())


@pytest.mark.parametrize(
    ("after", "days"),
    [
        (timedelta(0), 10),
        (timedelta(seconds=1), 9),
        (9 * DAY, 1),
        (10 * DAY, 0),
        (10 * DAY + timedelta(seconds=1), -1),
        (12 * DAY, -2),
    ],
)
def test_days_left_are_whole_days(ca: Credential, after: timedelta, days: int) -> None:
    """Days left are rounded down, so they are negative as soon as the certificate has expired."""
    certificate = mint_device("car-1", ca, NOON, 10).certificate

    assert certificate_facts(certificate, NOON + after).days_left == days


@pytest.mark.parametrize(
    ("after", "verdict", "text"),
    [
        (-DAY, Verdict.FAILED, "not valid before 2026-03-01 11:00 UTC; this machine says 2026-02"),
        (timedelta(0), Verdict.OK, "valid until 2026-04-30 12:00 UTC, 60 days left"),
        (30 * DAY, Verdict.OK, "valid until 2026-04-30 12:00 UTC, 30 days left"),
        (31 * DAY, Verdict.NOTE, "29 days left"),
        (59 * DAY, Verdict.NOTE, "1 day left"),
        (60 * DAY, Verdict.NOTE, "less than a day left"),
        (61 * DAY, Verdict.FAILED, "expired on 2026-04-30 12:00 UTC"),
    ],
)
def test_validity(ca: Credential, after: timedelta, verdict: Verdict, text: str) -> None:
    """Too early and too late fail; the last thirty days are a note; every finding has a remedy."""
    finding = check_validity(mint_device("car-1", ca, NOON, 60).certificate, NOON + after)

    assert finding.verdict is verdict
    assert text in finding.what
    assert bool(finding.remedy) == (verdict is not Verdict.OK)


def test_key_belongs_or_not(ca: Credential) -> None:
    """The certificate's own key passes, the key of a second certificate of that thing fails."""
    first, second = mint_device("car-1", ca, NOON), mint_device("car-1", ca, NOON)

    assert check_key(first.certificate, first.private_key).verdict is Verdict.OK
    assert check_key(first.certificate, second.private_key).verdict is Verdict.FAILED
    assert check_key(first.certificate, RSA_2048).verdict is Verdict.FAILED


def test_strength(ca: Credential, aws: x509.Certificate) -> None:
    """Keys that AWS IoT Core refuses fail, with what is wrong about them."""
    short = certificate_by(ca.certificate.subject, RSA_2048, key=RSA_1024)
    edwards = certificate_by(
        ca.certificate.subject, RSA_2048, key=ed25519.Ed25519PrivateKey.generate()
    )

    assert check_strength(ca.certificate).what == "ECDSA P-256, sha256"
    assert check_strength(aws).verdict is Verdict.OK
    assert "has 1024 bits" in check_strength(short).what
    assert "neither ECDSA nor RSA" in check_strength(edwards).what


def test_purpose(ca: Credential, aws: x509.Certificate) -> None:
    """Each certificate passes in its role only; one without limits passes in both."""
    device = mint_device("car-1", ca, NOON).certificate
    server = issue_server([], ca, NOON).certificate
    verdicts = {
        (name, purpose): check_purpose(certificate, purpose).verdict
        for name, certificate in (("device", device), ("server", server), ("aws", aws))
        for purpose in (CLIENT, SERVER)
    }

    assert {key for key, verdict in verdicts.items() if verdict is Verdict.FAILED} == {
        ("device", SERVER),
        ("server", CLIENT),
    }
    assert check_purpose(ca.certificate, CLIENT).verdict is Verdict.FAILED
    assert check_authority(ca.certificate).verdict is Verdict.OK
    assert check_authority(device).verdict is Verdict.FAILED


def test_thing(ca: Credential, aws: x509.Certificate) -> None:
    """A certificate issued for another thing fails; one that names no thing passes."""
    device = mint_device("car-1", ca, NOON).certificate

    assert check_thing(device, "car-1").verdict is Verdict.OK
    assert check_thing(aws, "car-1").verdict is Verdict.OK
    assert check_thing(device, "car-2").what == "the certificate was issued for 'car-1'"


def test_a_chain_to_the_ca(ca: Credential) -> None:
    """A certificate of a trusted CA passes, also among other roots."""
    other = create_authority("Other", NOON).certificate
    device = mint_device("car-1", ca, NOON).certificate

    finding = check_chain([device], [other, ca.certificate], NOON)
    assert (finding.verdict, finding.what) == (Verdict.OK, "issued by CN=CA")


def test_a_chain_over_an_intermediate(ca: Credential) -> None:
    """Intermediates that come with a certificate are followed up to the root, in any order."""
    root = create_authority("Root", NOON)
    key = new_private_key()
    middle = certificate_by(
        root.certificate.subject, root.private_key, subject="Middle", key=key, is_ca=True
    )
    leaf = certificate_by(middle.subject, key, subject="leaf")

    assert check_chain([leaf, middle], [root.certificate], NOON).verdict is Verdict.OK
    assert check_chain([leaf, root.certificate, middle], [root.certificate], NOON).what == (
        "issued by CN=Root"
    )
    assert check_chain([leaf], [root.certificate], NOON).verdict is Verdict.FAILED
    assert check_chain([leaf, middle], [ca.certificate], NOON).verdict is Verdict.FAILED


def test_an_expired_issuer_fails(ca: Credential) -> None:
    """A chain over an intermediate that has expired fails although the leaf is valid."""
    key = new_private_key()
    middle = certificate_by(
        ca.certificate.subject, ca.private_key, subject="Middle", key=key, is_ca=True, days=1
    )
    leaf = certificate_by(middle.subject, key, subject="leaf")

    finding = check_chain([leaf, middle], [ca.certificate], NOON + 2 * DAY)
    assert finding.verdict is Verdict.FAILED
    assert "CN=Middle" in finding.what
    assert "expired on 2026-03-02 12:00 UTC" in finding.what


def test_a_leaf_signs_nothing(ca: Credential) -> None:
    """A device's certificate in a chain does not count as an issuer."""
    device = mint_device("car-1", ca, NOON)
    forged = certificate_by(device.certificate.subject, device.private_key, subject="car-2")

    finding = check_chain([forged, device.certificate], [ca.certificate], NOON)
    assert finding.verdict is Verdict.FAILED


def test_a_foreign_ca_fails(ca: Credential) -> None:
    """A certificate of an unknown CA fails, and the remedy names the roots folder."""
    device = mint_device("car-1", create_authority("Foreign", NOON), NOON).certificate
    finding = check_chain([device], [ca.certificate], NOON)

    assert finding.verdict is Verdict.FAILED
    assert finding.what == "issued by CN=Foreign, a CA that is not in the store"
    assert "roots/" in finding.remedy


def test_a_ca_of_the_same_name_fails(ca: Credential) -> None:
    """A certificate of the former CA, which had the same name, is told apart by its signature."""
    device = mint_device("car-1", create_authority("CA", NOON), NOON).certificate
    finding = check_chain([device], [ca.certificate], NOON)

    assert finding.verdict is Verdict.FAILED
    assert "another CA of that name signed it" in finding.what


def test_an_aws_certificate_is_a_note(ca: Credential, aws: x509.Certificate) -> None:
    """The CA of AWS IoT Core is not public, which is worth a note but no failure."""
    assert check_chain([aws], [ca.certificate], NOON).verdict is Verdict.NOTE


def test_a_self_signed_certificate_needs_to_be_trusted(ca: Credential) -> None:
    """A self-signed certificate fails unless it is itself among the roots."""
    own = create_authority("Own", NOON).certificate

    assert check_chain([own], [ca.certificate], NOON).verdict is Verdict.FAILED
    assert check_chain([own], [own], NOON).verdict is Verdict.OK


def test_a_ring_of_certificates_ends() -> None:
    """Two certificates that vouch for each other lead nowhere, and the search ends."""
    one, two = new_private_key(), new_private_key()
    name_one = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one")])
    name_two = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "two")])
    first = certificate_by(name_two, two, subject="one", key=one, is_ca=True)
    second = certificate_by(name_one, one, subject="two", key=two, is_ca=True)

    assert check_chain([first, second], [], NOON).verdict is Verdict.FAILED
