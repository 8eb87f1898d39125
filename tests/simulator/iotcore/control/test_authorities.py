from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certs.pem import load_certificate
from simulator.iotcore.registry import CertificateStatus, Registry
from simulator.iotcore.services.provisioning_just_in_time import JustInTime
from tests.simulator.iotcore.control.bench import (
    ACCOUNT,
    ARN,
    START,
    UNIX_S_AT_ZERO,
    Bench,
    names,
)
from tests.simulator.iotcore.control.credentials import device, new_ca, pem_of, proof

TEMPLATE = json.dumps(
    {
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                    "Status": "ACTIVE",
                },
            }
        }
    }
)
ROLE = "arn:aws:iam::123456789012:role/provisioning"


class Told:
    """What just-in-time registration was told: CA certificates and their templates."""

    def __init__(self) -> None:
        self.known: dict[str, str | None] = {}

    def register_authority(
        self,
        certificate_pem: str,
        *,
        auto_registration: bool = True,
        template_body: str | None = None,
    ) -> str:
        """Remember a CA."""
        assert auto_registration
        self.known[certificate_pem] = template_body
        return ""

    def remove_authority(self, ca_certificate_id: str) -> None:
        """Forget every CA: tests have one."""
        assert len(ca_certificate_id) == 64
        self.known.clear()


@pytest.fixture
def told() -> Told:
    """What just-in-time registration knows."""
    return Told()


@pytest.fixture
def bench(told: Told) -> Bench:
    """An account with the provisioning template `cars`."""
    return Bench(just_in_time=told, template_body={"cars": TEMPLATE}.get)


def register(bench: Bench, pem: str, **more: Any) -> str:
    """A CA registered without a proof: its id."""
    request = {"caCertificate": pem, "certificateMode": "SNI_ONLY"} | more
    key: str = bench("RegisterCACertificate", **request)["certificateId"]
    return key


def test_the_registration_code_stays_until_it_is_deleted(bench: Bench) -> None:
    """The next one is another."""
    code = bench("GetRegistrationCode")["registrationCode"]
    assert bench("GetRegistrationCode")["registrationCode"] == code
    bench("DeleteRegistrationCode")
    assert bench.failure("DeleteRegistrationCode") == "ResourceNotFoundException"
    assert bench("GetRegistrationCode")["registrationCode"] != code


def test_a_ca_is_registered_with_proof_of_its_key(bench: Bench) -> None:
    """The verification certificate is signed by it and issued to the registration code."""
    authority = new_ca()
    code = bench("GetRegistrationCode")["registrationCode"]
    key = bench(
        "RegisterCACertificate",
        caCertificate=pem_of(authority),
        verificationCertificate=proof(authority, code),
        setAsActive=True,
        tags=[{"Key": "k", "Value": "v"}],
    )["certificateId"]
    shown = bench("DescribeCACertificate", certificateId=key)
    description = shown["certificateDescription"]
    assert description["certificateArn"] == f"{ARN}cacert/{key}"
    assert description["certificatePem"] == pem_of(authority)
    assert (description["status"], description["certificateMode"]) == ("ACTIVE", "DEFAULT")
    assert description["autoRegistrationStatus"] == "DISABLE"
    assert description["creationDate"].timestamp() == START
    assert "registrationConfig" not in shown
    tags = bench("ListTagsForResource", resourceArn=f"{ARN}cacert/{key}")["tags"]
    assert tags == [{"Key": "k", "Value": "v"}]


def test_a_ca_without_proof_is_refused(bench: Bench) -> None:
    """No code was asked for, another code, another signer, no proof, a proof too many, no CA."""
    authority, stranger = new_ca(), new_ca("stranger")
    pem, operation = pem_of(authority), "RegisterCACertificate"
    request = {"caCertificate": pem, "verificationCertificate": proof(authority, "none")}
    assert bench.failure(operation, **request) == "RegistrationCodeValidationException"
    code = bench("GetRegistrationCode")["registrationCode"]
    assert bench.failure(operation, **request) == "RegistrationCodeValidationException"
    request["verificationCertificate"] = proof(stranger, code)
    assert bench.failure(operation, **request) == "CertificateValidationException"
    assert bench.failure(operation, caCertificate=pem) == "InvalidRequestException"
    request |= {"verificationCertificate": proof(authority, code), "certificateMode": "SNI_ONLY"}
    assert bench.failure(operation, **request) == "InvalidRequestException"
    request = {"caCertificate": device(authority).pem, "certificateMode": "SNI_ONLY"}
    assert bench.failure(operation, **request) == "CertificateValidationException"
    request["caCertificate"] = "no certificate"
    assert bench.failure(operation, **request) == "CertificateValidationException"


def test_a_ca_is_registered_once_and_ten_have_a_subject(bench: Bench) -> None:
    """Beyond ten it is a LimitExceededException."""
    for _ in range(10):
        pem = pem_of(new_ca("same"))
        register(bench, pem)
    request = {"caCertificate": pem, "certificateMode": "SNI_ONLY"}
    assert bench.failure("RegisterCACertificate", **request) == "ResourceAlreadyExistsException"
    request["caCertificate"] = pem_of(new_ca("same"))
    assert bench.failure("RegisterCACertificate", **request) == "LimitExceededException"


def test_just_in_time_registration_hears_of_cas(bench: Bench, told: Told) -> None:
    """While a CA is active and has automatic registration, with its template."""
    pem = pem_of(new_ca())
    key = register(bench, pem, allowAutoRegistration=True)
    assert told.known == {}
    update = "UpdateCACertificate"
    bench(update, certificateId=key, newStatus="ACTIVE")
    assert told.known == {pem: None}
    bench(update, certificateId=key, registrationConfig={"templateBody": TEMPLATE})
    assert told.known == {pem: TEMPLATE}
    shown = bench("DescribeCACertificate", certificateId=key)
    assert shown["registrationConfig"] == {"templateBody": TEMPLATE}
    assert shown["certificateDescription"]["customerVersion"] == 3
    bench(update, certificateId=key, newAutoRegistrationStatus="DISABLE")
    assert told.known == {}
    named = {"templateName": "cars", "roleArn": ROLE}
    bench(
        update,
        certificateId=key,
        newAutoRegistrationStatus="ENABLE",
        registrationConfig=named,
    )
    assert told.known == {pem: TEMPLATE}
    listed = bench("ListCACertificates", templateName="cars")["certificates"]
    assert names(listed, "certificateId") == [key]
    bench(update, certificateId=key, removeAutoRegistration=True)
    assert told.known == {}
    assert "registrationConfig" not in bench("DescribeCACertificate", certificateId=key)


def test_bad_templates_are_refused(bench: Bench) -> None:
    """Unknown names, bodies that are no template, and both at once."""
    key = register(bench, pem_of(new_ca()))
    for configuration, code in (
        ({"templateName": "none"}, "ResourceNotFoundException"),
        ({"templateBody": "{}"}, "InvalidRequestException"),
        ({"templateBody": TEMPLATE, "templateName": "cars"}, "InvalidRequestException"),
    ):
        found = bench.failure(
            "UpdateCACertificate", certificateId=key, registrationConfig=configuration
        )
        assert found == code


def test_an_active_ca_is_not_deleted(bench: Bench, told: Told) -> None:
    """An inactive one is forgotten everywhere; its certificates stay."""
    authority = new_ca()
    key = register(bench, pem_of(authority), setAsActive=True, allowAutoRegistration=True)
    one = device(authority)
    bench("RegisterCertificate", certificatePem=one.pem, setAsActive=True)
    assert bench.failure("DeleteCACertificate", certificateId=key) == "CertificateStateException"
    bench("UpdateCACertificate", certificateId=key, newStatus="INACTIVE")
    bench("DeleteCACertificate", certificateId=key)
    assert told.known == {}
    assert bench.registry.is_active(one.certificate_id)
    for operation in ("DescribeCACertificate", "UpdateCACertificate", "DeleteCACertificate"):
        assert bench.failure(operation, certificateId=key) == "ResourceNotFoundException"


def test_cas_are_listed_by_date(bench: Bench) -> None:
    """Newest first unless the request says otherwise."""
    first = register(bench, pem_of(new_ca("first")))
    bench.now_s += 1
    second = register(bench, pem_of(new_ca("second")))
    assert names(bench("ListCACertificates")["certificates"], "certificateId") == [second, first]
    oldest = bench("ListCACertificates", ascendingOrder=True)["certificates"]
    assert names(oldest, "certificateId") == [first, second]


def test_trust_anchors_follow_the_cas(bench: Bench) -> None:
    """Active CAs, certificates without a CA, and those whose CA is not active any more."""
    authority, registry = new_ca(), bench.registry
    alone, ours = device(new_ca("elsewhere")), device(authority)
    seen = [registry.trust_revision]

    def changed() -> bool:
        seen.append(registry.trust_revision)
        return seen[-1] != seen[-2]

    assert registry.trust_anchors() == []
    bench("RegisterCertificateWithoutCA", certificatePem=alone.pem)
    assert changed()
    key = register(bench, pem_of(authority), setAsActive=True)
    assert changed()
    bench("RegisterCertificate", certificatePem=ours.pem)
    assert registry.trust_anchors() == [pem_of(authority), alone.pem]
    assert changed()
    bench("UpdateCACertificate", certificateId=key, newStatus="INACTIVE")
    assert registry.trust_anchors() == [alone.pem, ours.pem]
    assert changed()
    bench("CreateKeysAndCertificate")
    assert not changed()
    bench("DeleteCertificate", certificateId=alone.certificate_id)
    assert registry.trust_anchors() == [ours.pem]
    assert changed()


def test_a_certificate_that_came_just_in_time_belongs_to_its_ca() -> None:
    """JITR registers it with its PEM under the CA the API registered."""
    registry = Registry()
    just_in_time = JustInTime(registry, account=ACCOUNT, unix_s_at_zero=UNIX_S_AT_ZERO)
    bench = Bench(just_in_time=just_in_time, registry=registry)
    authority = new_ca()
    key = register(bench, pem_of(authority), setAsActive=True, allowAutoRegistration=True)
    one = device(authority)
    der = load_certificate(one.pem.encode(), "device").public_bytes(Encoding.DER)
    assert len(just_in_time.first_connect(der, "127.0.0.1", bench.now_s)) == 1
    listed = bench("ListCertificatesByCA", caCertificateId=key)["certificates"]
    assert names(listed, "certificateId") == [one.certificate_id]
    shown = bench("DescribeCertificate", certificateId=one.certificate_id)
    assert shown["certificateDescription"]["status"] == CertificateStatus.PENDING_ACTIVATION
    assert shown["certificateDescription"]["caCertificateId"] == key
