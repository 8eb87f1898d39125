from __future__ import annotations

from datetime import UTC, datetime

import pytest

from certs.authority import create_authority, create_request, new_private_key
from certs.pem import certificate_id, request_pem
from simulator.iotcore.registry import CertificateMode, CertificateStatus
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from tests.simulator.iotcore.control.bench import ALLOW, ARN, START, Bench, id_of, names
from tests.simulator.iotcore.control.credentials import NOW, device, new_ca, pem_of, weak


@pytest.fixture
def bench() -> Bench:
    """An empty account."""
    return Bench()


def sni_only(bench: Bench, pem: str, **more: object) -> str:
    """A registered CA: its id."""
    request = {"caCertificate": pem, "certificateMode": "SNI_ONLY", "setAsActive": True}
    key: str = bench("RegisterCACertificate", **(request | more))["certificateId"]
    return key


def test_a_new_certificate_is_described() -> None:
    """Keys are given once; the rest is what the certificate itself says."""
    bench = Bench(DevelopmentAuthority(create_authority("test CA", NOW)))
    made = bench("CreateKeysAndCertificate", setAsActive=True)
    assert "PRIVATE KEY" in made["keyPair"]["PrivateKey"]
    assert "PUBLIC KEY" in made["keyPair"]["PublicKey"]
    key = certificate_id(made["certificatePem"])
    assert (made["certificateId"], made["certificateArn"]) == (key, f"{ARN}cert/{key}")
    shown = bench("DescribeCertificate", certificateId=key)["certificateDescription"]
    assert shown["certificatePem"] == made["certificatePem"]
    assert (shown["status"], shown["certificateMode"]) == ("ACTIVE", "DEFAULT")
    assert (shown["ownedBy"], shown["customerVersion"]) == ("123456789012", 1)
    assert shown["creationDate"].timestamp() == START
    assert shown["validity"]["notBefore"] <= datetime.fromtimestamp(START, UTC)
    assert shown["validity"]["notAfter"] > datetime.fromtimestamp(START, UTC)
    assert bench.registry.is_active(key)


def test_a_certificate_is_made_for_a_request() -> None:
    """The key stays with the device; what is no request is refused."""
    bench = Bench(DevelopmentAuthority(create_authority("test CA", NOW)))
    csr = request_pem(create_request("car-1", new_private_key())).decode()
    made = bench("CreateCertificateFromCsr", certificateSigningRequest=csr)
    assert not bench.registry.is_active(made["certificateId"])
    assert "keyPair" not in made
    for wrong in ("no request", "x" * 4097):
        code = bench.failure("CreateCertificateFromCsr", certificateSigningRequest=wrong)
        assert code == "InvalidRequestException"


def test_a_certificate_of_a_registered_ca_is_registered(bench: Bench) -> None:
    """With its CA named or found by its issuer, in the mode of that CA."""
    authority = new_ca()
    ca_id = sni_only(bench, pem_of(authority))
    first, second = device(authority, "car-1"), device(authority, "car-2")
    named = {"caCertificatePem": pem_of(authority), "setAsActive": True}
    bench("RegisterCertificate", certificatePem=first.pem, **named)
    bench("RegisterCertificate", certificatePem=second.pem, status="INACTIVE")
    kept = bench.registry.certificate(first.certificate_id)
    assert kept is not None
    assert (kept.ca_id, kept.mode) == (ca_id, CertificateMode.SNI_ONLY)
    assert bench.registry.is_active(first.certificate_id)
    listed = bench("ListCertificatesByCA", caCertificateId=ca_id)["certificates"]
    assert set(names(listed, "certificateId")) == {first.certificate_id, second.certificate_id}
    again = {"certificatePem": first.pem}
    assert bench.failure("RegisterCertificate", **again) == "ResourceAlreadyExistsException"


def test_certificates_of_unknown_cas_are_refused(bench: Bench) -> None:
    """Not registered, not the signer, or not active."""
    authority, stranger = new_ca(), new_ca("stranger")
    pem = device(authority).pem
    assert bench.failure("RegisterCertificate", certificatePem=pem) == (
        "CertificateValidationException"
    )
    request = {"certificatePem": pem, "caCertificatePem": pem_of(stranger)}
    assert bench.failure("RegisterCertificate", **request) == "CertificateValidationException"
    sni_only(bench, pem_of(stranger))
    assert bench.failure("RegisterCertificate", **request) == "CertificateValidationException"
    sni_only(bench, pem_of(authority), setAsActive=False)
    assert bench.failure("RegisterCertificate", certificatePem=pem) == "CertificateStateException"
    assert bench.failure("RegisterCertificate", certificatePem="x") == (
        "CertificateValidationException"
    )


def test_one_of_several_cas_of_a_subject_must_be_named(bench: Bench) -> None:
    """Otherwise it is a CertificateConflictException."""
    first, second = new_ca("same"), new_ca("same")
    for authority in (first, second):
        sni_only(bench, pem_of(authority))
    pem = device(second).pem
    assert bench.failure("RegisterCertificate", certificatePem=pem) == (
        "CertificateConflictException"
    )
    bench("RegisterCertificate", certificatePem=pem, caCertificatePem=pem_of(second))


def test_a_certificate_is_registered_without_a_ca(bench: Bench) -> None:
    """In the mode SNI_ONLY; weak keys and states of the service are refused."""
    authority = new_ca()
    one = device(authority)
    register = "RegisterCertificateWithoutCA"
    made = bench(register, certificatePem=one.pem, status="ACTIVE")
    assert made == {
        "certificateArn": f"{ARN}cert/{one.certificate_id}",
        "certificateId": one.certificate_id,
    }
    shown = bench("DescribeCertificate", certificateId=one.certificate_id)
    assert shown["certificateDescription"]["certificateMode"] == "SNI_ONLY"
    assert "caCertificateId" not in shown["certificateDescription"]
    pem = weak(authority)
    assert bench.failure(register, certificatePem=pem) == "CertificateValidationException"
    request = {"certificatePem": device(authority).pem, "status": "PENDING_ACTIVATION"}
    assert bench.failure(register, **request) == "InvalidRequestException"


def test_the_state_of_a_certificate_changes(bench: Bench) -> None:
    """Versions and dates follow; the states of the service cannot be set; REVOKED is final."""
    key = id_of(bench.certificate())
    bench.now_s += 60
    bench("UpdateCertificate", certificateId=key, newStatus="INACTIVE")
    bench("UpdateCertificate", certificateId=key, newStatus="INACTIVE")
    assert not bench.registry.is_active(key)
    shown = bench("DescribeCertificate", certificateId=key)["certificateDescription"]
    assert (shown["status"], shown["customerVersion"]) == ("INACTIVE", 2)
    assert shown["lastModifiedDate"].timestamp() == START + 60
    for status in ("PENDING_ACTIVATION", "PENDING_TRANSFER", "REGISTER_INACTIVE"):
        code = bench.failure("UpdateCertificate", certificateId=key, newStatus=status)
        assert code == "InvalidRequestException"
    bench("UpdateCertificate", certificateId=key, newStatus="REVOKED")
    code = bench.failure("UpdateCertificate", certificateId=key, newStatus="ACTIVE")
    assert code == "CertificateStateException"


def test_a_certificate_in_use_is_not_deleted(bench: Bench) -> None:
    """It must be inactive and detached; forceDelete disregards policies only."""
    arn = bench.certificate()
    key = id_of(arn)
    bench.things("car")
    bench("CreatePolicy", policyName="p", policyDocument=ALLOW)
    bench("AttachPolicy", policyName="p", target=arn)
    bench("AttachThingPrincipal", thingName="car", principal=arn)
    delete = "DeleteCertificate"
    assert bench.failure(delete, certificateId=key) == "CertificateStateException"
    bench("UpdateCertificate", certificateId=key, newStatus="INACTIVE")
    forced = {"certificateId": key, "forceDelete": True}
    assert bench.failure(delete, **forced) == "DeleteConflictException"
    bench("DetachThingPrincipal", thingName="car", principal=arn)
    assert bench.failure(delete, certificateId=key) == "DeleteConflictException"
    bench(delete, **forced)
    assert bench("ListTargetsForPolicy", policyName="p")["targets"] == []
    for operation in (delete, "DescribeCertificate"):
        assert bench.failure(operation, certificateId=key) == "ResourceNotFoundException"


def test_certificates_are_listed_by_date(bench: Bench) -> None:
    """Newest first unless the request says otherwise, in pages."""
    keys = []
    for _ in range(5):
        keys.append(id_of(bench.certificate()))
        bench.now_s += 1
    newest = bench.pages("ListCertificates", "certificates", 2)
    assert [names(page, "certificateId") for page in newest] == [
        [keys[4], keys[3]],
        [keys[2], keys[1]],
        [keys[0]],
    ]
    oldest = bench("ListCertificates", ascendingOrder=True)["certificates"]
    assert names(oldest, "certificateId") == keys


def test_certificates_of_others_are_listed(bench: Bench) -> None:
    """One of a registry file, of which only the id is known, has no PEM and no validity."""
    bench.registry.register_certificate("ab" * 32, CertificateStatus.INACTIVE)
    listed = bench("ListCertificates")["certificates"]
    assert names(listed, "certificateId") == ["ab" * 32]
    shown = bench("DescribeCertificate", certificateId="AB" * 32)["certificateDescription"]
    assert "certificatePem" not in shown
    assert "validity" not in shown
