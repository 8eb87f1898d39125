"""`IotIdentityClientV2` of the AWS SDK: a car is provisioned and comes back as itself."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from awsiot import iotidentity, iotshadow

from certs.authority import create_request, new_private_key
from certs.pem import private_key_pem, request_pem
from simulator.iotcore.hooks import HookPump
from simulator.iotcore.lambdas import Lambdas
from tests.simulator.iotcore.clients.device_sdk import (
    REQUEST_OPTIONS,
    KeyPair,
    Version,
    answer_of,
    connected,
    error_of,
)
from tests.simulator.iotcore.clients.estate import CLAIM, TEMPLATE, Estate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOOK_ARN = "arn:aws:lambda:ap-northeast-2:123456789012:function:may-provision"
BODY = {
    "Parameters": {"SerialNumber": {"Type": "String"}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Fn::Join": ["-", ["car", {"Ref": "SerialNumber"}]]}},
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
    "DeviceConfiguration": {"site": "Seoul"},
}


def create_template(estate: Estate, **more: Any) -> None:
    """The template of the account."""
    estate.call(
        estate.cloud.provisioning.create_provisioning_template,
        templateName=TEMPLATE,
        templateBody=json.dumps(BODY),
        provisioningRoleArn="arn:aws:iam::123456789012:role/provisioning",
        enabled=True,
        **more,
    )


@asynccontextmanager
async def identity_client(
    estate: Estate, version: Version
) -> AsyncIterator[iotidentity.IotIdentityClientV2]:
    """The service client of a car that has a claim certificate and nothing else."""
    claim = KeyPair.of(estate.store.identity(CLAIM))
    async with connected(estate, claim, "fresh-car", version) as client:
        yield iotidentity.IotIdentityClientV2(client, REQUEST_OPTIONS)


def registration(token: str, serial: str = "77") -> iotidentity.RegisterThingRequest:
    """RegisterThing for a serial number."""
    return iotidentity.RegisterThingRequest(
        template_name=TEMPLATE,
        certificate_ownership_token=token,
        parameters={"SerialNumber": serial},
    )


async def report_as(estate: Estate, thing: str, identity: KeyPair, version: Version) -> Any:
    """Connect as a thing and update its shadow, which the policy `vehicle` allows nobody else."""
    async with connected(estate, identity, thing, version) as client:
        shadows = iotshadow.IotShadowClientV2(client, REQUEST_OPTIONS)
        state = iotshadow.ShadowState(reported={"provisioned": True})
        return await answer_of(
            shadows.update_shadow(iotshadow.UpdateShadowRequest(thing_name=thing, state=state))
        )


async def test_provisioning_by_claim(estate: Estate, version: Version) -> None:
    """Keys and certificate of the service, a thing of the template, and back as that thing."""
    create_template(estate)
    async with identity_client(estate, version) as client:
        created = await answer_of(
            client.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest())
        )
        certificate = estate.registry.certificate(created.certificate_id)
        assert certificate is not None
        assert certificate.status.value == "PENDING_ACTIVATION"
        registered = await answer_of(
            client.register_thing(registration(created.certificate_ownership_token))
        )
    assert registered.thing_name == "car-77"
    assert registered.device_configuration == {"site": "Seoul"}
    identity = KeyPair(created.certificate_pem.encode(), created.private_key.encode())
    updated = await report_as(estate, "car-77", identity, version)
    assert updated.version == 1


async def test_provisioning_by_signing_request(estate: Estate, version: Version) -> None:
    """The key never leaves the car."""
    create_template(estate)
    key = new_private_key()
    async with identity_client(estate, version) as client:
        request = request_pem(create_request("fresh-car", key)).decode()
        signed = await answer_of(
            client.create_certificate_from_csr(
                iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=request)
            )
        )
        await answer_of(client.register_thing(registration(signed.certificate_ownership_token)))
    identity = KeyPair(signed.certificate_pem.encode(), private_key_pem(key))
    updated = await report_as(estate, "car-77", identity, version)
    assert updated.version == 1


async def test_refused_provisioning_says_why(estate: Estate, version: Version) -> None:
    """Codes as the service was seen to answer; statuses are those of HTTP."""
    create_template(estate, preProvisioningHook={"targetArn": HOOK_ARN})

    async def may_provision(event: dict[str, Any], _context: object) -> dict[str, bool]:
        return {"allowProvisioning": event["parameters"]["SerialNumber"] != "stolen"}

    hooks = HookPump(estate.cloud.provisioning, Lambdas({HOOK_ARN: may_provision}), estate.core)
    async with hooks, identity_client(estate, version) as client:
        error = await error_of(
            client.create_certificate_from_csr(
                iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request="none")
            )
        )
        assert (error.status_code, error.error_code) == (400, "InvalidCsr")
        error = await error_of(client.register_thing(registration("not a token")))
        assert (error.status_code, error.error_code) == (400, "InvalidCertificateOwnershipToken")
        created = await answer_of(
            client.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest())
        )
        token = created.certificate_ownership_token
        error = await error_of(client.register_thing(registration(token, "stolen")))
        assert (error.status_code, error.error_code) == (403, "AccessDenied")
        assert estate.registry.thing("car-stolen") is None
        registered = await answer_of(client.register_thing(registration(token, "bought")))
        assert registered.thing_name == "car-bought"


async def test_a_certificate_that_was_not_used_for_a_thing_cannot_connect(
    estate: Estate, version: Version
) -> None:
    """It is PENDING_ACTIVATION: the TLS handshake succeeds and the connection is closed."""
    async with identity_client(estate, version) as client:
        created = await answer_of(
            client.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest())
        )
    identity = KeyPair(created.certificate_pem.encode(), created.private_key.encode())
    with pytest.raises(Exception, match=r"AWS_ERROR_MQTT|AWS_IO"):
        async with connected(estate, identity, "car-77", version):
            pass
