"""Conversations about fleet provisioning in JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.second_opinion.script import (
    CERTIFICATE,
    CERTIFICATE_ID,
    OPEN,
    PRIVATE_KEY,
    TOKEN,
    WORDS,
    Conversation,
    Recall,
    arn,
    call,
    publish,
)

CREATE: Final = "$aws/certificates/create/json"
FROM_CSR: Final = "$aws/certificates/create-from-csr/json"
PROVISION: Final = "$aws/provisioning-templates/cars/provision/json"
PROVISIONING_TOPICS: Final = [
    f"{topic}/{ending}"
    for topic in (CREATE, FROM_CSR, PROVISION)
    for ending in ("accepted", "rejected")
]
_TEMPLATE: Final = """{
  "Parameters": {
    "SerialNumber": {"Type": "String"},
    "Site": {"Type": "String", "Default": "Seoul"}
  },
  "Resources": {
    "thing": {
      "Type": "AWS::IoT::Thing",
      "Properties": {
        "ThingName": {"Fn::Join": ["-", ["car", {"Ref": "SerialNumber"}]]},
        "AttributePayload": {"site": {"Ref": "Site"}}
      }
    },
    "certificate": {
      "Type": "AWS::IoT::Certificate",
      "Properties": {
        "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
        "Status": "Active"
      }
    },
    "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "vehicle"}}
  },
  "DeviceConfiguration": {"site": {"Ref": "Site"}, "speed": "slow"}
}"""

# The guide names the three members and no code.
PROVISIONING_REJECTED: Final = {"statusCode": OPEN, "errorCode": WORDS, "errorMessage": WORDS}


def _create_template(body: str = _TEMPLATE) -> Any:
    return call(
        "iot.CreateProvisioningTemplate",
        {
            "templateName": "cars",
            "templateBody": body,
            "provisioningRoleArn": "arn:aws:iam::123456789012:role/provisioning",
            "enabled": True,
        },
        {
            "templateArn": arn("provisioningtemplate/cars"),
            "templateName": "cars",
            "defaultVersionId": 1,
        },
    )


def _create_keys(name: str) -> Any:
    return publish(
        CREATE,
        {},
        {
            f"{CREATE}/accepted": {
                "certificateId": CERTIFICATE_ID,
                "certificatePem": CERTIFICATE,
                "privateKey": PRIVATE_KEY,
                "certificateOwnershipToken": TOKEN,
            }
        },
        keep={name: (f"{CREATE}/accepted", "certificateOwnershipToken")},
    )


def _register(token: Any, hear: dict[str, Any], **parameters: Any) -> Any:
    payload = {"certificateOwnershipToken": token, "parameters": parameters}
    return publish(PROVISION, payload, hear)


BY_CLAIM = Conversation(
    "provisioning by claim, in JSON",
    'Developer guide: "Device provisioning MQTT API", "Provisioning templates"; API reference: '
    "CreateProvisioningTemplate, UpdateProvisioningTemplate",
    PROVISIONING_TOPICS,
    [
        _create_keys("early"),
        _register(
            Recall("early"), {f"{PROVISION}/rejected": PROVISIONING_REJECTED}, SerialNumber="77"
        ),
        _create_template(),
        publish(PROVISION, b"{", {f"{PROVISION}/rejected": PROVISIONING_REJECTED}),
        publish(
            PROVISION,
            {"parameters": {"SerialNumber": "77"}},
            {f"{PROVISION}/rejected": PROVISIONING_REJECTED},
        ),
        _register(
            "not a token", {f"{PROVISION}/rejected": PROVISIONING_REJECTED}, SerialNumber="77"
        ),
        _create_keys("first"),
        _register(Recall("first"), {f"{PROVISION}/rejected": PROVISIONING_REJECTED}),
        _register(
            Recall("first"),
            {
                f"{PROVISION}/accepted": {
                    "deviceConfiguration": {"site": "Seoul", "speed": "slow"},
                    "thingName": "car-77",
                }
            },
            SerialNumber="77",
        ),
        call(
            "iot.DescribeThing",
            {"thingName": "car-77"},
            {"thingName": "car-77", "attributes": {"site": "Seoul"}},
            pick=("thingName", "attributes"),
        ),
        # A second car of the same name: its attributes are the same, so it is the same thing.
        _create_keys("second"),
        _register(
            Recall("second"),
            {
                f"{PROVISION}/accepted": {
                    "deviceConfiguration": {"site": "Seoul", "speed": "slow"},
                    "thingName": "car-77",
                }
            },
            SerialNumber="77",
        ),
        # Its attributes differ and nothing overrides them: OverrideSettings default to FAIL.
        _create_keys("third"),
        _register(
            Recall("third"),
            {f"{PROVISION}/rejected": PROVISIONING_REJECTED},
            SerialNumber="77",
            Site="Busan",
        ),
        call("iot.UpdateProvisioningTemplate", {"templateName": "cars", "enabled": False}, {}),
        _register(
            Recall("third"), {f"{PROVISION}/rejected": PROVISIONING_REJECTED}, SerialNumber="78"
        ),
    ],
)

_CSR: Final = """-----BEGIN CERTIFICATE REQUEST-----
MIIBCzCBsgIBADAUMRIwEAYDVQQDDAlmcmVzaC1jYXIwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAAQqNAfHn9r+KXpw5fNGK+9mdUCGUHF2+6FjQLj8a6pub4ZfcmG6
s6WvPpK6FB+aYxLOLo1VhLbv265YC0ThdEoJoDwwOgYJKoZIhvcNAQkOMS0wKzAp
BgNVHREEIjAghh51cm46bW9yYWktZWRnZTp0aGluZzpmcmVzaC1jYXIwCgYIKoZI
zj0EAwIDSAAwRQIgdkTxTSdeZfSlnrV1PHXVj828+6KHmjF/hing0sfZiooCIQCo
h6BsgYDCQzSw8gWmeo9/gsK+KRZ2gE6GLQoJKy0yPw==
-----END CERTIFICATE REQUEST-----
"""

BY_SIGNING_REQUEST = Conversation(
    "provisioning with a signing request, in JSON",
    'Developer guide: "Device provisioning MQTT API: CreateCertificateFromCsr"',
    PROVISIONING_TOPICS,
    [
        _create_template(),
        publish(
            FROM_CSR,
            {"certificateSigningRequest": _CSR},
            {
                f"{FROM_CSR}/accepted": {
                    "certificateId": CERTIFICATE_ID,
                    "certificatePem": CERTIFICATE,
                    "certificateOwnershipToken": TOKEN,
                }
            },
            keep={"signed": (f"{FROM_CSR}/accepted", "certificateOwnershipToken")},
        ),
        publish(
            FROM_CSR,
            {"certificateSigningRequest": "nothing"},
            {f"{FROM_CSR}/rejected": PROVISIONING_REJECTED},
        ),
        _register(
            Recall("signed"),
            {
                f"{PROVISION}/accepted": {
                    "deviceConfiguration": {"site": "Busan", "speed": "slow"},
                    "thingName": "car-9",
                }
            },
            SerialNumber="9",
            Site="Busan",
        ),
    ],
)


def _overridden(setting: str | None) -> str:
    """The template, with what becomes of attributes that exist."""
    body = json.loads(_TEMPLATE)
    if setting is not None:
        body["Resources"]["thing"]["OverrideSettings"] = {"AttributePayload": setting}
    return json.dumps(body)


def _thing(**attributes: str) -> Any:
    return call(
        "iot.DescribeThing",
        {"thingName": "car-1"},
        {"thingName": "car-1", "attributes": attributes},
        pick=("thingName", "attributes"),
    )


def _again(setting: str, attributes: dict[str, str]) -> list[Any]:
    """The template with another setting, a fresh certificate, and the thing after it."""
    return [
        call("iot.DeleteProvisioningTemplate", {"templateName": "cars"}, {}),
        _create_template(_overridden(setting)),
        _create_keys(setting),
        _register(
            Recall(setting),
            {
                f"{PROVISION}/accepted": {
                    "deviceConfiguration": {"site": "Busan", "speed": "slow"},
                    "thingName": "car-1",
                }
            },
            SerialNumber="1",
            Site="Busan",
        ),
        _thing(**attributes),
    ]


OVERRIDES = Conversation(
    "provisioning a thing that exists",
    'Developer guide: "Provisioning templates", section on OverrideSettings: DO_NOTHING, REPLACE, '
    "MERGE for attributes, FAIL by default",
    PROVISIONING_TOPICS,
    [
        call(
            "iot.UpdateThing",
            {
                "thingName": "car-1",
                "attributePayload": {"attributes": {"site": "Seoul", "colour": "red"}},
            },
            {},
        ),
        _create_template(_overridden(None)),
        _create_keys("plain"),
        _register(
            Recall("plain"),
            {f"{PROVISION}/rejected": PROVISIONING_REJECTED},
            SerialNumber="1",
            Site="Busan",
        ),
        *_again("DO_NOTHING", {"site": "Seoul", "colour": "red"}),
        *_again("MERGE", {"site": "Busan", "colour": "red"}),
        *_again("REPLACE", {"site": "Busan"}),
    ],
)

PROVISIONING: Final = (BY_CLAIM, BY_SIGNING_REQUEST, OVERRIDES)
