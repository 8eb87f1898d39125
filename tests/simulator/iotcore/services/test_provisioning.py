from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from awsiot import iotidentity
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from certs.authority import Credential, create_authority, create_request, new_private_key
from certs.pem import certificate_id, load_certificate, load_private_key, request_pem
from simulator.iotcore.broker.message import Message
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Action, Permissions, Policy
from simulator.iotcore.registry import CertificateStatus, Registry, Thing
from simulator.iotcore.registry.records import ThingGroup
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.provisioning import Provisioning
from simulator.iotcore.services.provisioning_authority import (
    DevelopmentAuthority,
    IssuedCertificate,
)
from tests.simulator.iotcore.services.aws_models import (
    check_failure,
    check_request,
    check_result,
)

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Answer

ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
TEMPLATE_ARN = f"{ARN}provisioningtemplate/cars"
HOOK_ARN = "arn:aws:lambda:ap-northeast-2:123456789012:function:hook"
UNIX_S_AT_ZERO = 1_700_000_000.0
START = UNIX_S_AT_ZERO + 1000
CA = create_authority("test CA", datetime.fromtimestamp(START, UTC))
POLICY_DOCUMENT = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
}
BODY: dict[str, Any] = {
    "Parameters": {"SerialNumber": {"Type": "String"}, "Fleet": {"Type": "String", "Default": "x"}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["", ["car-", {"Ref": "SerialNumber"}]]},
                "AttributePayload": {"fleet": {"Ref": "Fleet"}},
                "ThingTypeName": "Car",
                "ThingGroups": ["all", {"Ref": "Fleet"}],
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                "Status": "Active",
            },
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "vehicle"}},
    },
    "DeviceConfiguration": {"Stage": {"Fn::Sub": "stage-${Fleet}"}},
}


class FakeAuthority:
    """An authority that needs no keys, for tests of everything but certificates."""

    def __init__(self) -> None:
        self.count = 0

    def create(self, _unix_s: float, _valid_s: float | None = None, /) -> IssuedCertificate:
        """A certificate of nothing."""
        self.count += 1
        return IssuedCertificate(f"{self.count:064x}", "PEM", "KEY", "PUBLIC")

    def sign(self, _request_pem: str, unix_s: float, /) -> IssuedCertificate:
        """The same, without keys."""
        return self.create(unix_s)._replace(private_key_pem=None, public_key_pem=None)


class Desk:
    """The service with a clock, checked against the service model at every call of the API."""

    def __init__(self, authority: Any = None) -> None:
        self.registry = Registry()
        for group in ("all", "seoul", "busan", "old", "new", "x", "3"):
            self.registry.groups.create(ThingGroup(group))
        self.registry.put_policy(Policy.parse("vehicle", POLICY_DOCUMENT))
        self.authority = authority or FakeAuthority()
        self.now_s = 1000.0
        self.ids = itertools.count(1)
        self.service = self.fresh()

    def fresh(self) -> Provisioning:
        """A service that remembers nothing."""
        return Provisioning(
            self.registry,
            self.authority,
            account=Account("ap-northeast-2", "123456789012"),
            new_id=lambda: f"id-{next(self.ids)}",
            unix_s_at_zero=UNIX_S_AT_ZERO,
            certificate_of=lambda client_id: f"claim of {client_id}",
        )

    def call(self, operation: str, **request: Any) -> Any:
        """Call an operation and give what an SDK makes of the result."""
        check_request("iot", operation, request)
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
        timed = operation.startswith(("Create", "Update"))
        try:
            result, answers = getattr(self.service, name)(
                *((request, self.now_s) if timed else (request,))
            )
        except ServiceFailure as failure:
            check_failure("iot", operation, failure.code, failure.http_status)
            raise
        assert answers == []
        return check_result("iot", operation, result)

    def template(self, body: Any = None, **more: Any) -> None:
        """The template `cars`, enabled."""
        self.call(
            "CreateProvisioningTemplate",
            templateName="cars",
            templateBody=json.dumps(BODY if body is None else body),
            provisioningRoleArn="arn:aws:iam::123456789012:role/provisioning",
            **{"enabled": True, **more},
        )

    def send(self, topic: str, document: Any) -> list[Answer]:
        """A device's request; the last level of the topic is its format."""
        assert self.service.claims(topic)
        payload = document
        if not isinstance(document, bytes):
            is_cbor = topic.endswith("/cbor")
            payload = cbor2.dumps(document) if is_cbor else json.dumps(document).encode()
        message = Message(topic, payload, 1, self.now_s)
        return list(self.service.handle(message, "factory", self.now_s))

    def ask(self, topic: str, document: Any) -> tuple[str, Any]:
        """A device's request: verdict and document of the answer."""
        return read(self.send(topic, document), topic)

    def own(self) -> tuple[str, str]:
        """A new certificate: its id and ownership token."""
        verdict, accepted = self.ask("$aws/certificates/create/json", {})
        assert verdict == "accepted"
        return accepted["certificateId"], accepted["certificateOwnershipToken"]

    def provision(self, token: str, **parameters: Any) -> tuple[str, Any]:
        """RegisterThing with the template `cars`."""
        request = {"certificateOwnershipToken": token, "parameters": parameters}
        return self.ask("$aws/provisioning-templates/cars/provision/json", request)


def read(answers: list[Answer], topic: str) -> tuple[str, Any]:
    """Verdict and document of the one direct answer to a request."""
    (answer,) = answers
    assert answer.client_id == "factory"
    base, verdict = answer.message.topic.rsplit("/", 1)
    assert base == topic
    payload = answer.message.payload
    return verdict, cbor2.loads(payload) if topic.endswith("/cbor") else json.loads(payload)


@pytest.fixture
def desk() -> Desk:
    """A service with an authority that needs no keys."""
    return Desk()


def test_a_device_gets_keys_a_certificate_and_a_thing() -> None:
    """The whole conversation by claim, with real certificates, as the AWS SDK reads it."""
    desk = Desk(DevelopmentAuthority(CA))
    desk.template()
    verdict, document = desk.ask("$aws/certificates/create/json", b"")
    created = iotidentity.CreateKeysAndCertificateResponse.from_payload(document)
    assert verdict == "accepted"
    certificate = load_certificate(created.certificate_pem.encode(), "answer")
    key = load_private_key(created.private_key.encode(), "answer")
    assert certificate.public_key() == key.public_key()
    assert created.certificate_id == certificate_id(certificate)
    certificate.verify_directly_issued_by(CA.certificate)
    registered = desk.registry.certificate(created.certificate_id)
    assert registered is not None
    assert registered.status is CertificateStatus.PENDING_ACTIVATION
    verdict, document = desk.provision(
        created.certificate_ownership_token, SerialNumber="7", Fleet="seoul"
    )
    accepted = iotidentity.RegisterThingResponse.from_payload(document)
    assert verdict == "accepted"
    assert accepted.thing_name == "car-7"
    assert accepted.device_configuration == {"Stage": "stage-seoul"}
    assert desk.registry.is_active(created.certificate_id)
    assert registered.policies == ["vehicle"]
    assert registered.things == {"car-7": False}
    assert desk.registry.thing("car-7") == Thing("car-7", "Car", {"fleet": "seoul"})


def test_a_device_can_keep_its_key_and_speak_cbor() -> None:
    """A signing request over CBOR: the certificate has the device's key and subject."""
    desk = Desk(DevelopmentAuthority(CA))
    desk.template()
    key = new_private_key()
    csr = request_pem(create_request("car-9", key)).decode()
    topic = "$aws/certificates/create-from-csr/cbor"
    verdict, accepted = desk.ask(topic, {"certificateSigningRequest": csr})
    assert verdict == "accepted"
    assert set(accepted) == {"certificateId", "certificatePem", "certificateOwnershipToken"}
    certificate = load_certificate(accepted["certificatePem"].encode(), "answer")
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=car-9"
    assert certificate.not_valid_after_utc <= datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    verdict, accepted = desk.ask(
        "$aws/provisioning-templates/cars/provision/cbor",
        {
            "certificateOwnershipToken": accepted["certificateOwnershipToken"],
            "parameters": {"SerialNumber": "9"},
        },
    )
    assert (verdict, accepted["thingName"]) == ("accepted", "car-9")


def test_signing_requests_that_cannot_be_signed() -> None:
    """No request, a damaged one, and one with a key AWS does not take."""
    desk = Desk(DevelopmentAuthority(CA))
    good = request_pem(create_request("car", new_private_key())).decode()
    topic = "$aws/certificates/create-from-csr/json"
    for csr in (None, "", 3, "x", good[:200], good.replace("M", "N", 5), "\udcff"):
        verdict, refusal = desk.ask(topic, json.dumps({"certificateSigningRequest": csr}).encode())
        assert verdict == "rejected"
        assert refusal["statusCode"] == 400
        assert refusal["errorCode"] in {"InvalidCsr", "InvalidPayload"}
        assert refusal["errorMessage"]
    assert desk.registry.certificate_ids == ()


def test_a_token_works_for_an_hour_and_its_unused_certificate_goes_with_it(desk: Desk) -> None:
    """A second before the hour it is good; at the hour certificate and token are gone."""
    desk.template()
    used, used_token = desk.own()
    unused, unused_token = desk.own()
    desk.now_s += 3599
    assert desk.provision(used_token, SerialNumber="1")[0] == "accepted"
    assert desk.service.next_deadline_s == 1000 + 3600
    desk.now_s += 1
    verdict, refusal = desk.provision(unused_token, SerialNumber="2")
    assert (verdict, refusal["errorCode"]) == ("rejected", "InvalidCertificateOwnershipToken")
    assert desk.service.advance(desk.now_s) == []
    assert desk.registry.certificate(unused) is None
    assert desk.registry.is_active(used)
    assert desk.service.next_deadline_s is None


def test_what_register_thing_refuses(desk: Desk) -> None:
    """Payload, template, token and parameters, in the form of the API, with nothing changed."""
    desk.template()
    desk.call(
        "CreateProvisioningTemplate",
        templateName="off",
        templateBody=json.dumps(BODY),
        provisioningRoleArn="arn:aws:iam::123456789012:role/provisioning",
    )
    _, token = desk.own()
    good = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "1"}}
    for template, document, code in (
        ("cars", b"{", "InvalidPayload"),
        ("cars", b"[]", "InvalidPayload"),
        ("unknown", good, "InvalidTemplate"),
        ("off", good, "InvalidTemplate"),
        ("cars", {}, "InvalidCertificateOwnershipToken"),
        ("cars", good | {"certificateOwnershipToken": "?"}, "InvalidCertificateOwnershipToken"),
        ("cars", good | {"certificateOwnershipToken": [1]}, "InvalidCertificateOwnershipToken"),
        ("cars", good | {"parameters": {}}, "InvalidParameters"),
        ("cars", good | {"parameters": {"SerialNumber": 1}}, "InvalidParameters"),
        ("cars", good | {"parameters": [1]}, "InvalidParameters"),
        ("cars", good | {"parameters": {"SerialNumber": "a/b"}}, "ProvisioningFailed"),
        ("cars", good | {"parameters": {"SerialNumber": "x" * 4097}}, "InvalidParameters"),
    ):
        topic = f"$aws/provisioning-templates/{template}/provision/json"
        verdict, refusal = desk.ask(topic, document)
        assert verdict == "rejected"
        assert set(refusal) == {"statusCode", "errorCode", "errorMessage"}
        assert (refusal["statusCode"], refusal["errorCode"]) == (400, code)
    assert desk.registry.thing("car-1") is None
    assert desk.provision(token, SerialNumber="1")[0] == "accepted"


def changed(**thing: Any) -> dict[str, Any]:
    """The body with other properties or override settings of the thing."""
    body: dict[str, Any] = json.loads(json.dumps(BODY))
    body["Resources"]["thing"] |= thing
    return body


@pytest.mark.parametrize(
    ("setting", "attributes", "groups", "type_name"),
    [
        ("REPLACE", {"fleet": "new"}, {"all", "new"}, "Car"),
        ("MERGE", {"fleet": "new", "color": "red"}, {"old", "all", "new"}, None),
        ("DO_NOTHING", {"fleet": "old", "color": "red"}, {"old"}, "Bus"),
        ("FAIL", None, None, None),
        (None, None, None, None),
    ],
)
def test_override_settings_decide_about_a_thing_that_exists(
    desk: Desk,
    setting: str | None,
    attributes: dict[str, str] | None,
    groups: set[str] | None,
    type_name: str | None,
) -> None:
    """REPLACE, MERGE and DO_NOTHING change as much as they say; FAIL is the default."""
    settings = {"AttributePayload": setting, "ThingGroups": setting}
    settings["ThingTypeName"] = "REPLACE" if setting == "MERGE" else setting
    desk.template(changed(OverrideSettings={k: v for k, v in settings.items() if v}))
    desk.registry.put_thing(Thing("car-1", "Bus", {"fleet": "old", "color": "red"}))
    desk.registry.groups.add("car-1", "old")
    key, token = desk.own()
    verdict, answer = desk.provision(token, SerialNumber="1", Fleet="new")
    thing = desk.registry.thing("car-1")
    assert thing is not None
    if attributes is None:
        assert (verdict, answer["errorCode"]) == ("rejected", "ProvisioningFailed")
        assert "conflicts" in answer["errorMessage"]
        assert thing.attributes == {"fleet": "old", "color": "red"}
        assert not desk.registry.is_active(key)
    else:
        assert verdict == "accepted"
        assert thing.attributes == attributes
        assert set(desk.registry.groups.of("car-1")) == groups
        assert thing.type_name == (type_name or "Car")


def joining(desk: Desk, *groups: str, setting: str | None = None) -> dict[str, Any]:
    """The body with these groups; beside those of the desk there are two with one parent."""
    desk.registry.groups.create(ThingGroup("korea"))
    for child in ("jeju", "ulsan"):
        desk.registry.groups.create(ThingGroup(child, parent="korea"))
    overrides = {"AttributePayload": "REPLACE"} | ({"ThingGroups": setting} if setting else {})
    body = changed(OverrideSettings=overrides)
    body["Resources"]["thing"]["Properties"]["ThingGroups"] = list(groups)
    return body


def test_a_template_cannot_name_two_groups_of_one_hierarchy(desk: Desk) -> None:
    """A thing is in one group of a hierarchy, whatever a template asks for; nothing changes."""
    desk.template(joining(desk, "jeju", "ulsan"))
    key, token = desk.own()
    verdict, answer = desk.provision(token, SerialNumber="1")
    assert (verdict, answer["errorCode"]) == ("rejected", "ProvisioningFailed")
    assert desk.registry.thing("car-1") is None
    assert not desk.registry.is_active(key)


@pytest.mark.parametrize(
    ("setting", "verdict", "group"),
    [("MERGE", "rejected", "jeju"), ("REPLACE", "accepted", "ulsan")],
)
def test_a_thing_moves_within_a_hierarchy(
    desk: Desk, setting: str, verdict: str, group: str
) -> None:
    """With REPLACE it leaves one group for another of the same root; with MERGE it cannot."""
    desk.template(joining(desk, "ulsan", setting=setting))
    desk.registry.put_thing(Thing("car-1", "Car"))
    desk.registry.groups.add("car-1", "jeju")
    _, token = desk.own()
    assert desk.provision(token, SerialNumber="1")[0] == verdict
    assert desk.registry.groups.of("car-1") == (group,)


def test_the_same_device_may_come_again(desk: Desk) -> None:
    """A thing that already is what the template says is no conflict; it gets a second key."""
    desk.template()
    keys = []
    for _ in range(2):
        key, token = desk.own()
        keys.append(key)
        assert desk.provision(token, SerialNumber="1")[0] == "accepted"
    assert all(desk.registry.is_active(key) for key in keys)


def test_policies_by_name_and_by_document(desk: Desk) -> None:
    """A document is stored under the hash of its text; a name must exist, or nothing changes."""
    body = json.loads(json.dumps(BODY))
    resources = body["Resources"]
    resources["inline"] = {
        "Type": "AWS::IoT::Policy",
        "Properties": {"PolicyDocument": POLICY_DOCUMENT},
    }
    resources["certificate"]["Properties"]["Status"] = "INACTIVE"
    desk.template(body)
    key, token = desk.own()
    assert desk.provision(token, SerialNumber="1")[0] == "accepted"
    certificate = desk.registry.certificate(key)
    assert certificate is not None
    assert certificate.status is CertificateStatus.INACTIVE
    names = certificate.policies
    assert len(names) == 2
    assert "vehicle" in names
    assert len(next(name for name in names if name != "vehicle")) == 64
    for change, reason in (
        ({"PolicyName": "unknown"}, "unknown"),
        ({"PolicyDocument": {"Version": "2012-10-17"}}, "Policy document is invalid"),
    ):
        resources["other"] = {"Type": "AWS::IoT::Policy", "Properties": change}
        desk.call("DeleteProvisioningTemplate", templateName="cars")
        desk.template(body)
        key, token = desk.own()
        verdict, refusal = desk.provision(token, SerialNumber="2")
        assert (verdict, refusal["errorCode"]) == ("rejected", "ProvisioningFailed")
        assert reason in refusal["errorMessage"]
        certificate = desk.registry.certificate(key)
        assert certificate is not None
        assert certificate.policies == []
        assert certificate.status is CertificateStatus.PENDING_ACTIVATION
        assert desk.registry.thing("car-2") is None


HOOK = {"targetArn": HOOK_ARN}


def test_a_hook_sees_the_device_and_may_change_its_parameters(desk: Desk) -> None:
    """The event has AWS's members; overrides come before what the device said."""
    desk.template(preProvisioningHook=HOOK)
    key, token = desk.own()
    parameters = {"SerialNumber": "1", "Fleet": "seoul"}
    topic = "$aws/provisioning-templates/cars/provision/json"
    request = {"certificateOwnershipToken": token, "parameters": parameters}
    assert desk.send(topic, request) == []
    (call,) = desk.service.take_hook_calls()
    assert call.target_arn == HOOK_ARN
    assert call.event == {
        "claimCertificateId": "claim of factory",
        "certificateId": key,
        "certificatePem": "PEM",
        "templateArn": TEMPLATE_ARN,
        "clientId": "factory",
        "parameters": parameters,
    }
    said = {"allowProvisioning": True, "parameterOverrides": {"Fleet": "busan"}}
    answers = desk.service.finish_hook(call.call_id, said, desk.now_s)
    verdict, accepted = read(list(answers), topic)
    assert (verdict, accepted["deviceConfiguration"]) == ("accepted", {"Stage": "stage-busan"})


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"allowProvisioning": False}, 403, "AccessDenied"),
        ({}, 400, "InvalidResult"),
        (None, 400, "InvalidResult"),
        ("yes", 400, "InvalidResult"),
        ({"allowProvisioning": "perhaps"}, 400, "InvalidResult"),
        ({"allowProvisioning": True, "parameterOverrides": []}, 200, "accepted"),
        ({"allowProvisioning": True, "parameterOverrides": [1]}, 400, "InvalidResult"),
        ({"allowProvisioning": True, "parameterOverrides": {"a": [1]}}, 400, "InvalidResult"),
        ({"allowProvisioning": True, "parameterOverrides": {"a": 10**5000}}, 400, "InvalidResult"),
        ({"allowProvisioning": True, "parameterOverrides": {"Fleet": 3}}, 200, "accepted"),
        (RuntimeError("hook"), 400, "InvocationError"),
    ],
)
def test_what_a_hook_says_decides(desk: Desk, answer: Any, status: int, code: str) -> None:
    """Only a well-formed permission provisions; everything else is refused with AWS's code."""
    desk.template(preProvisioningHook=HOOK)
    _, token = desk.own()
    topic = "$aws/provisioning-templates/cars/provision/json"
    request = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "1"}}
    assert desk.send(topic, request) == []
    (call,) = desk.service.take_hook_calls()
    assert desk.service.take_hook_calls() == []
    answers = desk.service.finish_hook(call.call_id, answer, desk.now_s)
    verdict, document = read(list(answers), topic)
    assert desk.service.finish_hook(call.call_id, answer, desk.now_s) == ()
    if status == 200:
        assert verdict == "accepted"
    else:
        assert verdict == "rejected"
        assert (document["statusCode"], document["errorCode"]) == (status, code)
        assert desk.registry.thing("car-1") is None


def test_a_hook_that_is_late_is_no_hook(desk: Desk) -> None:
    """After five seconds the device is refused, and the late answer changes nothing."""
    desk.template(preProvisioningHook=HOOK)
    _, token = desk.own()
    topic = "$aws/provisioning-templates/cars/provision/json"
    request = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "1"}}
    assert desk.send(topic, request) == []
    (call,) = desk.service.take_hook_calls()
    assert (call.target_arn, call.deadline_s) == (HOOK_ARN, 1005)
    assert desk.service.next_deadline_s == 1005
    assert desk.service.advance(1004.9) == []
    verdict, refusal = read(list(desk.service.advance(1005)), topic)
    assert (verdict, refusal["errorCode"]) == ("rejected", "InvocationError")
    assert desk.service.finish_hook(call.call_id, {"allowProvisioning": True}, 1006) == ()
    assert desk.registry.thing("car-1") is None
    assert desk.send(topic, request) == []
    desk.service.advance(1005)
    desk.service.advance(2000)
    assert desk.service.take_hook_calls() == []


def test_a_template_that_went_while_its_hook_ran(desk: Desk) -> None:
    """The device is refused, whatever the hook says."""
    desk.template(preProvisioningHook=HOOK)
    _, token = desk.own()
    topic = "$aws/provisioning-templates/cars/provision/json"
    desk.send(topic, {"certificateOwnershipToken": token})
    desk.call("DeleteProvisioningTemplate", templateName="cars")
    (call,) = desk.service.take_hook_calls()
    answers = desk.service.finish_hook(call.call_id, {"allowProvisioning": True}, desk.now_s)
    assert read(list(answers), topic)[1]["errorCode"] == "InvalidTemplate"


def test_a_claim_may_provision_and_nothing_else_for_five_minutes() -> None:
    """CreateProvisioningClaim: a certificate, its keys, its permissions, its end."""
    desk = Desk(DevelopmentAuthority(CA))
    desk.template()
    claim = desk.call("CreateProvisioningClaim", templateName="cars")
    certificate = load_certificate(claim["certificatePem"].encode(), "claim")
    public = serialization.load_pem_public_key(claim["keyPair"]["PublicKey"].encode())
    private = load_private_key(claim["keyPair"]["PrivateKey"].encode(), "claim")
    assert certificate.public_key() == public == private.public_key()
    assert claim["expiration"] == certificate.not_valid_after_utc
    assert claim["expiration"].timestamp() == START + 300
    key = claim["certificateId"]
    assert desk.registry.is_active(key)
    may = Permissions(desk.registry.policies_of(key), {})
    assert may.allows(Action.CONNECT, f"{ARN}client/factory")
    for topic in (
        "$aws/certificates/create/json",
        "$aws/certificates/create-from-csr/cbor",
        "$aws/provisioning-templates/cars/provision/json",
    ):
        assert may.allows(Action.PUBLISH, f"{ARN}topic/{topic}")
        assert may.allows(Action.SUBSCRIBE, f"{ARN}topicfilter/{topic}/accepted")
        assert may.allows(Action.RECEIVE, f"{ARN}topic/{topic}/accepted")
    for topic in ("dt/x", "$aws/provisioning-templates/other/provision/json"):
        assert not may.allows(Action.PUBLISH, f"{ARN}topic/{topic}")
    desk.service.load(json.loads(json.dumps(desk.service.dump())))
    assert desk.service.next_deadline_s == 1300
    desk.service.advance(1300)
    assert desk.registry.certificate(key) is None


def test_the_life_of_a_template(desk: Desk) -> None:
    """Create, describe, update, versions, list, delete: the result shapes of the model."""
    desk.template(description="cars of Seoul", preProvisioningHook=HOOK)
    described = desk.call("DescribeProvisioningTemplate", templateName="cars")
    assert described["templateArn"] == TEMPLATE_ARN
    assert json.loads(described["templateBody"]) == BODY
    assert described["preProvisioningHook"] == {
        "payloadVersion": "2020-04-01",
        "targetArn": HOOK_ARN,
    }
    assert (described["enabled"], described["type"]) == (True, "FLEET_PROVISIONING")
    assert described["creationDate"].timestamp() == START
    desk.now_s += 1
    desk.call(
        "UpdateProvisioningTemplate",
        templateName="cars",
        enabled=False,
        removePreProvisioningHook=True,
    )
    described = desk.call("DescribeProvisioningTemplate", templateName="cars")
    assert described["enabled"] is False
    assert "preProvisioningHook" not in described
    assert described["lastModifiedDate"].timestamp() == START + 1
    body = json.dumps(BODY | {"DeviceConfiguration": {}})
    for number in range(2, 6):
        created = desk.call(
            "CreateProvisioningTemplateVersion", templateName="cars", templateBody=body
        )
        assert (created["versionId"], created["isDefaultVersion"]) == (number, False)
    with pytest.raises(ServiceFailure) as caught:
        desk.call("CreateProvisioningTemplateVersion", templateName="cars", templateBody=body)
    assert caught.value.code == "VersionsLimitExceededException"
    desk.call("UpdateProvisioningTemplate", templateName="cars", defaultVersionId=3)
    described = desk.call("DescribeProvisioningTemplate", templateName="cars")
    assert json.loads(described["templateBody"])["DeviceConfiguration"] == {}
    with pytest.raises(ServiceFailure) as caught:
        desk.call("DeleteProvisioningTemplateVersion", templateName="cars", versionId=3)
    assert caught.value.code == "DeleteConflictException"
    desk.call("DeleteProvisioningTemplateVersion", templateName="cars", versionId=1)
    versions = desk.call("ListProvisioningTemplateVersions", templateName="cars")["versions"]
    assert [(v["versionId"], v["isDefaultVersion"]) for v in versions] == [
        (2, False),
        (3, True),
        (4, False),
        (5, False),
    ]
    assert (
        desk.call("DescribeProvisioningTemplateVersion", templateName="cars", versionId=2)[
            "templateBody"
        ]
        == body
    )
    (listed,) = desk.call("ListProvisioningTemplates")["templates"]
    assert (listed["templateName"], listed["description"]) == ("cars", "cars of Seoul")
    desk.call("DeleteProvisioningTemplate", templateName="cars")
    for operation, more in (
        ("DescribeProvisioningTemplate", {}),
        ("DeleteProvisioningTemplate", {}),
        ("CreateProvisioningClaim", {}),
        ("DescribeProvisioningTemplateVersion", {"versionId": 1}),
    ):
        with pytest.raises(ServiceFailure) as caught:
            desk.call(operation, templateName="cars", **more)
        assert caught.value.code == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "ResourceAlreadyExistsException"),
        ({"templateName": "a/b"}, "InvalidRequestException"),
        ({"templateBody": "{}"}, "InvalidRequestException"),
        ({"provisioningRoleArn": None}, "InvalidRequestException"),
        ({"type": "OTHER"}, "InvalidRequestException"),
        ({"type": "JITP", "preProvisioningHook": HOOK}, "InvalidRequestException"),
        (
            {"preProvisioningHook": HOOK | {"payloadVersion": "2019-01-01"}},
            "InvalidRequestException",
        ),
        ({"preProvisioningHook": {}}, "InvalidRequestException"),
    ],
)
def test_a_template_that_cannot_be_created(desk: Desk, change: dict[str, Any], code: str) -> None:
    """With the exception of the model."""
    request = {
        "templateName": "cars",
        "templateBody": json.dumps(BODY),
        "provisioningRoleArn": "arn:aws:iam::123456789012:role/provisioning",
    }
    desk.service.create_provisioning_template(request, 0.0)
    with pytest.raises(ServiceFailure) as caught:
        desk.service.create_provisioning_template(
            {"templateName": "new" if change else "cars", **request, **change}
            | ({"templateName": "new"} if change and "templateName" not in change else {}),
            0.0,
        )
    assert caught.value.code == code


def test_a_restart_in_the_middle_of_provisioning(desk: Desk) -> None:
    """Templates and tokens survive in JSON; the token keeps its hour."""
    desk.template()
    key, token = desk.own()
    dump = json.loads(json.dumps(desk.service.dump()))
    desk.service = desk.fresh()
    desk.service.load(dump)
    assert desk.service.dump() == dump
    assert desk.service.next_deadline_s == 1000 + 3600
    assert desk.provision(token, SerialNumber="1")[0] == "accepted"
    assert desk.registry.is_active(key)
    damages: tuple[dict[str, Any], ...] = (
        {},
        dump | {"tokens": [{}]},
        dump | {"templates": [{}]},
        dump | {"templates": [dump["templates"][0] | {"default_version": 9}]},
        dump
        | {
            "templates": [
                dump["templates"][0] | {"versions": {"1": {"body": "{}", "created_unix_s": 0}}}
            ]
        },
        dump | {"claims": 3},
    )
    for damage in damages:
        with pytest.raises(ValueError, match=r"provisioning|certificate"):
            desk.fresh().load(damage)


LEVELS = st.sampled_from(["json", "cbor"])
TOPICS = st.sampled_from(
    [
        "$aws/certificates/create",
        "$aws/certificates/create-from-csr",
        "$aws/provisioning-templates/cars/provision",
        "$aws/provisioning-templates//provision",
    ]
)


@given(TOPICS, LEVELS, st.binary(max_size=200))
def test_any_bytes_get_one_answer(topic: str, level: str, payload: bytes) -> None:
    """The handler is total."""
    desk = Desk(FakeAuthority())
    desk.template()
    verdict, _ = desk.ask(f"{topic}/{level}", payload)
    assert verdict in {"accepted", "rejected"}


@given(st.text(max_size=60))
def test_any_topic_is_served_or_left(topic: str) -> None:
    """What the service does not claim it does not answer."""
    service = Desk(FakeAuthority()).service
    for name in (topic, f"$aws/certificates/{topic}", f"$aws/provisioning-templates/{topic}"):
        answers = service.handle(Message(name, b"{}", 0, 0.0), "c", 0.0)
        assert bool(answers) == service.claims(name)


def test_an_issued_certificate_does_not_show_its_key() -> None:
    """Neither in logs nor in tracebacks."""
    issued = DevelopmentAuthority(CA).create(START)
    assert issued.private_key_pem is not None
    assert "PRIVATE" not in repr(issued)
    assert isinstance(load_certificate(issued.certificate_pem.encode(), ""), x509.Certificate)
    assert isinstance(CA, Credential)
