from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from certs.authority import Credential, create_authority, new_private_key
from certs.errors import ConfigurationError
from certs.pem import certificate_id
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import CertificateStatus, Registry, Thing
from simulator.iotcore.services.provisioning_just_in_time import JustInTime

UNIX_S_AT_ZERO = 1_700_000_000.0
NOW_S = 1000.0
NOW = datetime.fromtimestamp(UNIX_S_AT_ZERO + NOW_S, UTC)
CA = create_authority("factory CA", NOW)
CA_PEM = CA.certificate_pem.decode()
BODY = json.dumps(
    {
        "Parameters": {
            "AWS::IoT::Certificate::CommonName": {"Type": "String"},
            "AWS::IoT::Certificate::Country": {"Type": "String"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"},
                    "AttributePayload": {"country": {"Ref": "AWS::IoT::Certificate::Country"}},
                },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                    "Status": "ACTIVE",
                },
                "OverrideSettings": {"Status": "DO_NOTHING"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "vehicle"}},
        },
    }
)


def device(
    ca: Credential = CA,
    start: datetime = NOW - timedelta(days=1),
    **names: str,
) -> x509.Certificate:
    """A certificate of a device, signed by a CA."""
    name = x509.Name(
        [x509.NameAttribute(getattr(NameOID, key.upper()), value) for key, value in names.items()]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ca.certificate.subject)
        .public_key(new_private_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=2))
        .sign(ca.private_key, hashes.SHA256())
    )


def connect(service: JustInTime, certificate: x509.Certificate, now_s: float = NOW_S) -> list[Any]:
    """The events a CONNECT causes: (topic, document)."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    answers = service.first_connect(der, "192.0.2.7", now_s)
    assert all(answer.client_id is None for answer in answers)
    return [(answer.message.topic, json.loads(answer.message.payload)) for answer in answers]


@pytest.fixture
def registry() -> Registry:
    """A registry with one policy."""
    registry = Registry()
    registry.put_policy(Policy.parse("vehicle", {"Version": "2012-10-17", "Statement": ALLOW}))
    return registry


ALLOW = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}


@pytest.fixture
def service(registry: Registry) -> JustInTime:
    """A service without CAs."""
    return fresh(registry)


def fresh(registry: Registry) -> JustInTime:
    """A service that remembers nothing."""
    return JustInTime(
        registry, account=Account("eu-west-1", "123456789012"), unix_s_at_zero=UNIX_S_AT_ZERO
    )


def test_a_first_connect_registers_and_tells(service: JustInTime, registry: Registry) -> None:
    """PENDING_ACTIVATION and an event; the next one carries the time of the registration."""
    ca_id = service.register_authority(CA_PEM)
    assert ca_id == CA.certificate_id
    certificate = device(common_name="car-1")
    key = certificate_id(certificate)
    event = {
        "certificateId": key,
        "caCertificateId": ca_id,
        "timestamp": 1_700_001_000_000,
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": "123456789012",
        "certificateRegistrationTimestamp": None,
        "sourceIp": "192.0.2.7",
    }
    topic = f"$aws/events/certificates/registered/{ca_id}"
    assert connect(service, certificate) == [(topic, event)]
    registered = registry.certificate(key)
    assert registered is not None
    assert registered.status is CertificateStatus.PENDING_ACTIVATION
    again = event | {
        "timestamp": 1_700_001_005_000,
        "certificateRegistrationTimestamp": "1700001000000",
    }
    assert connect(service, certificate, NOW_S + 5) == [(topic, again)]
    registry.set_status(key, CertificateStatus.ACTIVE)
    assert connect(service, certificate) == []
    registry.delete_certificate(key)
    assert connect(service, certificate) == [(topic, event)]


def test_a_template_provisions_at_once(service: JustInTime, registry: Registry) -> None:
    """Thing, attributes, policy and activation come from the subject of the certificate."""
    service.register_authority(CA_PEM, template_body=BODY)
    certificate = device(common_name="car-1", country_name="KR")
    key = certificate_id(certificate)
    assert len(connect(service, certificate)) == 1
    assert registry.is_active(key)
    assert registry.thing("car-1") == Thing("car-1", None, {"country": "KR"})
    registered = registry.certificate(key)
    assert registered is not None
    assert (registered.policies, list(registered.things)) == (["vehicle"], ["car-1"])
    assert (service.provisioned, service.failed) == (1, 0)


def test_a_device_that_cannot_be_provisioned_waits(service: JustInTime, registry: Registry) -> None:
    """A subject without a declared parameter; the next CONNECT tries again."""
    service.register_authority(CA_PEM, template_body=BODY)
    certificate = device(common_name="car-1")
    for count in (1, 2):
        assert len(connect(service, certificate)) == 1
        assert service.failed == count
    assert service.last_failure is not None
    assert "Country" in service.last_failure
    assert not registry.is_active(certificate_id(certificate))
    assert registry.thing("car-1") is None


def test_who_is_not_let_in(service: JustInTime, registry: Registry) -> None:
    """Another CA of the same name, an expired certificate, no automatic registration, no CA."""
    good = device(common_name="car-1")
    assert connect(service, good) == []
    ca_id = service.register_authority(CA_PEM, auto_registration=False)
    assert connect(service, good) == []
    service.register_authority(CA_PEM)
    assert service.authorities == (ca_id,)
    impostor = create_authority("factory CA", NOW)
    assert connect(service, device(impostor, common_name="car-1")) == []
    assert connect(service, device(start=NOW - timedelta(days=9), common_name="car-1")) == []
    assert connect(service, device(start=NOW + timedelta(days=9), common_name="car-1")) == []
    revoked = device(common_name="car-2")
    registry.register_certificate(certificate_id(revoked), CertificateStatus.REVOKED)
    assert connect(service, revoked) == []
    elsewhere = device(common_name="car-3")
    registry.register_certificate(certificate_id(elsewhere), CertificateStatus.PENDING_ACTIVATION)
    assert connect(service, elsewhere) == []
    service.remove_authority(ca_id)
    assert connect(service, good) == []
    assert service.authority_pems() == []


def test_what_cannot_be_registered(service: JustInTime) -> None:
    """A certificate that is no CA, no certificate, and a template that is none."""
    leaf = device(common_name="car").public_bytes(serialization.Encoding.PEM).decode()
    for pem, body in ((leaf, None), ("", None), ("\udcff", None), (CA_PEM, "{}")):
        with pytest.raises(ConfigurationError):
            service.register_authority(pem, template_body=body)
    assert service.authorities == ()


def test_a_restart_keeps_cas_and_registrations(service: JustInTime, registry: Registry) -> None:
    """The dump is JSON and tells everything; damage is a ValueError."""
    service.register_authority(CA_PEM, template_body=BODY)
    certificate = device(common_name="car-1")
    connect(service, certificate)
    dump = json.loads(json.dumps(service.dump()))
    service = fresh(registry)
    service.load(dump)
    assert service.dump() == dump
    ((_, event),) = connect(service, certificate, NOW_S + 1)
    assert event["certificateRegistrationTimestamp"] == "1700001000000"
    damages: tuple[dict[str, Any], ...] = (
        {},
        dump | {"registered": [1]},
        dump | {"authorities": [{"certificate_pem": "x"}]},
    )
    for damage in damages:
        with pytest.raises(ValueError, match=r"registration|certificate|PEM"):
            fresh(registry).load(damage)


@given(st.binary(max_size=200))
def test_any_bytes_are_no_certificate_of_ours(der: bytes) -> None:
    """Total: TLS libraries accept more than X.509 allows."""
    service = fresh(Registry())
    service.register_authority(CA_PEM)
    assert service.first_connect(der, "192.0.2.7", NOW_S) == ()
