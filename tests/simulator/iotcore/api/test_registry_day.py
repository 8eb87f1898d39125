"""A day at the registry with boto3: things, types, groups, certificates, policies, templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import mqtt5
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import create_request, new_private_key
from certs.pem import request_pem
from simulator.iotcore.permissions.identity import ClientCertificate
from tests.simulator.iotcore.conftest import ALLOW_ALL, ARN

if TYPE_CHECKING:
    from tests.simulator.iotcore.api.conftest import StandIn


async def test_a_fleet_is_registered_and_taken_down(stand_in: StandIn) -> None:
    """Type, group, things with attributes, certificate and policy: all there, then all gone."""
    iot = stand_in.aws("iot")
    await iot.create_thing_type(thingTypeName="truck")
    await iot.create_thing_group(thingGroupName="yard")
    for number in range(3):
        name = f"truck-{number}"
        made = await iot.create_thing(
            thingName=name,
            thingTypeName="truck",
            attributePayload={"attributes": {"lane": str(number)}},
        )
        assert made["thingArn"] == f"{ARN}thing/{name}"
        await iot.add_thing_to_thing_group(thingGroupName="yard", thingName=name)
    thing = await iot.describe_thing(thingName="truck-2")
    assert (thing["thingTypeName"], thing["attributes"]) == ("truck", {"lane": "2"})
    listed = await iot.list_things_in_thing_group(thingGroupName="yard")
    assert sorted(listed["things"]) == ["truck-0", "truck-1", "truck-2"]

    first = await iot.list_things(maxResults=2)
    rest = await iot.list_things(maxResults=2, nextToken=first["nextToken"])
    names = [each["thingName"] for page in (first, rest) for each in page["things"]]
    assert sorted(names) == ["truck-0", "truck-1", "truck-2"]

    keys = await iot.create_keys_and_certificate(setAsActive=True)
    assert keys["keyPair"]["PrivateKey"].startswith("-----BEGIN")
    await iot.create_policy(policyName="drive", policyDocument=json.dumps(ALLOW_ALL))
    await iot.attach_policy(policyName="drive", target=keys["certificateArn"])
    await iot.attach_thing_principal(thingName="truck-1", principal=keys["certificateArn"])
    principals = await iot.list_thing_principals(thingName="truck-1")
    assert principals["principals"] == [keys["certificateArn"]]
    things = await iot.list_principal_things(principal=keys["certificateArn"])
    assert things["things"] == ["truck-1"]
    attached = await iot.list_attached_policies(target=keys["certificateArn"])
    assert [policy["policyName"] for policy in attached["policies"]] == ["drive"]

    described = await iot.describe_certificate(certificateId=keys["certificateId"])
    assert described["certificateDescription"]["status"] == "ACTIVE"
    assert described["certificateDescription"]["certificatePem"] == keys["certificatePem"]

    with pytest.raises(iot.exceptions.DeleteConflictException):
        await iot.delete_policy(policyName="drive")
    await iot.detach_thing_principal(thingName="truck-1", principal=keys["certificateArn"])
    await iot.detach_policy(policyName="drive", target=keys["certificateArn"])
    await iot.delete_policy(policyName="drive")
    await iot.update_certificate(certificateId=keys["certificateId"], newStatus="INACTIVE")
    await iot.delete_certificate(certificateId=keys["certificateId"])
    for number in range(3):
        await iot.delete_thing(thingName=f"truck-{number}")
    assert (await iot.list_things())["things"] == []


async def test_a_certificate_of_ones_own_key_connects(stand_in: StandIn) -> None:
    """A signing request becomes a certificate whose holder the broker admits."""
    iot = stand_in.aws("iot")
    request = request_pem(create_request("car-9", new_private_key()))
    made = await iot.create_certificate_from_csr(
        certificateSigningRequest=request.decode(), setAsActive=True
    )
    await iot.attach_policy(policyName="test", target=made["certificateArn"])
    der = x509.load_pem_x509_certificate(made["certificatePem"].encode()).public_bytes(Encoding.DER)
    certificate = ClientCertificate(der)
    assert certificate.certificate_id == made["certificateId"]
    car = stand_in.open(certificate)
    car.send(mqtt5.ConnectPacket("car-9", clean_start=True))
    assert car.codes(mqtt5.ConnAckPacket) == [0]


async def test_what_exists_is_named_in_the_refusal(stand_in: StandIn) -> None:
    """ResourceAlreadyExistsException has members of its own, which boto3 shows."""
    iot = stand_in.aws("iot")
    await iot.create_thing(thingName="car-1")
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as caught:
        await iot.create_thing(thingName="car-1", attributePayload={"attributes": {"a": "b"}})
    response = caught.value.response
    assert response["resourceId"]
    assert response["resourceArn"] == f"{ARN}thing/car-1"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 409


async def test_the_endpoint_is_the_one_configured(stand_in: StandIn) -> None:
    """DescribeEndpoint, which provisioning scripts begin with."""
    found = await stand_in.aws("iot").describe_endpoint(endpointType="iot:Data-ATS")
    assert found["endpointAddress"] == "localhost:8883"


async def test_a_template_and_a_claim(stand_in: StandIn) -> None:
    """A provisioning template, its versions, and a claim for it that ends in five minutes."""
    iot = stand_in.aws("iot")
    certificate = {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}
    body = {
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {"certificate": {"Type": "AWS::IoT::Certificate", "Properties": certificate}},
    }
    made = await iot.create_provisioning_template(
        templateName="fleet",
        templateBody=json.dumps(body),
        enabled=True,
        provisioningRoleArn="arn:aws:iam::123456789012:role/provision",
    )
    assert made["defaultVersionId"] == 1
    version = await iot.create_provisioning_template_version(
        templateName="fleet", templateBody=json.dumps(body), setAsDefault=True
    )
    assert version["versionId"] == 2
    found = await iot.describe_provisioning_template(templateName="fleet")
    assert (found["defaultVersionId"], found["enabled"]) == (2, True)
    claim = await iot.create_provisioning_claim(templateName="fleet")
    assert claim["certificatePem"].startswith("-----BEGIN CERTIFICATE")
    # 1,700,000,000 is when the stand-in's clock shows 0, and it shows 1,000.
    assert claim["expiration"].timestamp() == 1_700_001_300
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        await iot.create_provisioning_claim(templateName="other")


async def test_a_role_alias_and_tags(stand_in: StandIn) -> None:
    """Names of roles, with a duration in bounds."""
    iot = stand_in.aws("iot")
    role = "arn:aws:iam::123456789012:role/car"
    await iot.create_role_alias(roleAlias="car", roleArn=role, credentialDurationSeconds=900)
    found = await iot.describe_role_alias(roleAlias="car")
    assert found["roleAliasDescription"]["credentialDurationSeconds"] == 900
    with pytest.raises(iot.exceptions.InvalidRequestException):
        await iot.create_role_alias(roleAlias="b", roleArn=role, credentialDurationSeconds=43_201)
