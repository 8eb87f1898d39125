from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.services.provisioning_template import (
    PolicyPlan,
    ProvisioningRefusal,
    ProvisioningTemplate,
    TemplateError,
)

CERTIFICATE = {
    "Type": "AWS::IoT::Certificate",
    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
}


def template(device_configuration: Any = None, **sections: Any) -> ProvisioningTemplate:
    """A template with a certificate and more."""
    body = {"Resources": {"certificate": CERTIFICATE}, **sections}
    if device_configuration is not None:
        body["DeviceConfiguration"] = device_configuration
    return ProvisioningTemplate(json.dumps(body))


def resolved(value: Any, given_values: dict[str, str] | None = None, **sections: Any) -> Any:
    """What a value of the device configuration becomes."""
    plan = template({"it": value}, **sections).resolve(given_values or {}, "c" * 64)
    return plan.device_configuration["it"]


def test_the_example_of_the_developer_guide() -> None:
    """Parameters, a mapping, all three resources, and a device configuration."""
    document = {"Version": "2012-10-17", "Statement": []}
    body = {
        "Parameters": {
            "SerialNumber": {"Type": "String"},
            "DeviceLocation": {"Type": "String", "Default": "Seattle"},
        },
        "Mappings": {"LocationTable": {"Seattle": {"LocationUrl": "https://example.aws"}}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "AttributePayload": {"version": "v1", "serialNumber": {"Ref": "SerialNumber"}},
                    "ThingName": {"Fn::Join": ["", ["ThingPrefix_", {"Ref": "SerialNumber"}]]},
                    "ThingGroups": ["v1-lightbulbs", "WA"],
                    "BillingGroup": "LightBulbBillingGroup",
                },
                "OverrideSettings": {"AttributePayload": "MERGE"},
            },
            "certificate": CERTIFICATE,
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": document}},
            "other": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "cars"}},
        },
        "DeviceConfiguration": {
            "FallbackUrl": "https://www.example.com/test-site",
            "LocationUrl": {
                "Fn::FindInMap": ["LocationTable", {"Ref": "DeviceLocation"}, "LocationUrl"]
            },
        },
    }
    plan = ProvisioningTemplate(json.dumps(body)).resolve({"SerialNumber": "7"}, "c" * 64)
    assert plan.is_active
    assert plan.thing is not None
    assert plan.thing.name == "ThingPrefix_7"
    assert plan.thing.attributes == {"version": "v1", "serialNumber": "7"}
    assert plan.thing.groups == ["v1-lightbulbs", "WA"]
    assert plan.thing.type_name is None
    assert plan.thing.overrides == {"AttributePayload": "MERGE"}
    text = '{"Version": "2012-10-17", "Statement": []}'
    assert plan.policies == (
        PolicyPlan(hashlib.sha256(text.encode()).hexdigest(), text),
        PolicyPlan("cars", None),
    )
    assert plan.device_configuration == {
        "FallbackUrl": "https://www.example.com/test-site",
        "LocationUrl": "https://example.aws",
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ({"Ref": "A"}, "a"),
        ({"Fn::Join": ["-", [{"Ref": "A"}, {"Ref": "B"}]]}, "a-b,c"),
        ({"Fn::Split": [",", {"Ref": "B"}]}, ["b", "c"]),
        ({"Fn::Select": ["1", {"Fn::Split": [",", {"Ref": "B"}]}]}, "c"),
        ({"Fn::Select": [0, ["x", "y"]]}, "x"),
        ({"Fn::FindInMap": ["M", {"Ref": "A"}, "k"]}, "v"),
        ({"Fn::Sub": "${A}/${B}/${!A}"}, "a/b,c/${A}"),
        ({"Fn::Sub": ["${A}/${X}", {"X": {"Ref": "B"}}]}, "a/b,c"),
        ({"Fn::Sub": ["${A}", {"A": "own"}]}, "own"),
        ({"Fn::Sub": "${AWS::IoT::Certificate::Id}"}, "c" * 64),
        ({"two": {"Ref": "A"}, "keys": 1}, {"two": "a", "keys": 1}),
        ({"Ref2": "A"}, {"Ref2": "A"}),
    ],
)
def test_references_and_functions(value: Any, expected: Any) -> None:
    """Each function, nested ones and documents that only look like one."""
    mappings = {"M": {"a": {"k": "v"}}}
    assert resolved(value, {"A": "a", "B": "b,c"}, Mappings=mappings) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "missing"},
        {"Ref": 3},
        {"Fn::Sub": "${missing}"},
        {"Fn::Join": ["-", "no list"]},
        {"Fn::Join": ["-", [1]]},
        {"Fn::Select": [2, ["x", "y"]]},
        {"Fn::Select": ["-1", ["x"]]},
        {"Fn::Select": [0, [None]]},
        {"Fn::Split": ["", "x"]},
        {"Fn::FindInMap": ["M", "a", "unknown"]},
        {"Fn::FindInMap": ["M", "a"]},
        {"Fn::Sub": ["${A}", {"X": 1}]},
        {"Fn::GetAtt": ["a", "b"]},
    ],
)
def test_what_cannot_be_resolved_is_refused(value: Any) -> None:
    """Missing values and functions with wrong arguments."""
    with pytest.raises(ProvisioningRefusal) as caught:
        resolved(value, {"A": "a"}, Mappings={"M": {"a": {"k": "v"}}})
    assert caught.value.code in {"InvalidParameters", "InvalidTemplate"}
    assert caught.value.status == 400


def test_functions_do_not_blow_a_short_template_up() -> None:
    """A text of more than 65,536 characters is refused before it is made."""
    inner = {"Fn::Sub": "${A}" * 1000}
    with pytest.raises(ProvisioningRefusal):
        resolved({"Fn::Sub": ["${X}" * 1000, {"X": inner}]}, {"A": "a" * 4096})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "JSON"),
        ("[]", "object"),
        ("{}", "must have certificate"),
        ('{"Resources": []}', "must have certificate"),
        ('{"Resources": 3}', "Resources must be"),
        ('{"Resources": {"c": null}}', "must be an object"),
        ('{"Resources": {"c": {"Type": "AWS::IoT::Thing"}}}', "cannot be null"),
        (json.dumps({"Resources": {"c": {"Type": "AWS::EC2", "Properties": {}}}}), "not supported"),
        (json.dumps({"Resources": {"a": CERTIFICATE, "b": CERTIFICATE}}), "Only one certificate"),
        (
            json.dumps(
                {"Resources": {"c": CERTIFICATE | {"Properties": {"CertificateId": "fixed"}}}}
            ),
            "reference to AWS::IoT::Certificate::Id",
        ),
        (
            json.dumps(
                {
                    "Resources": {
                        "c": CERTIFICATE
                        | {"Properties": CERTIFICATE["Properties"] | {"Status": "REVOKED"}}  # type: ignore[operator] # a dict of dicts
                    }
                }
            ),
            "Active",
        ),
        (
            json.dumps(
                {
                    "Resources": {
                        "c": CERTIFICATE,
                        "p": {"Type": "AWS::IoT::Policy", "Properties": {}},
                    }
                }
            ),
            "PolicyName or PolicyDocument",
        ),
        (json.dumps({"Resources": {"c": CERTIFICATE}, "x": "y" * 10_240}), "10240 bytes"),
    ],
)
def test_a_document_the_service_would_not_take(body: str, reason: str) -> None:
    """One error with the reason."""
    with pytest.raises(TemplateError, match=reason):
        ProvisioningTemplate(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["A", "M"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Ref", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::FindInMap", "Fn::Sub", "k"]
            ),
            children,
            max_size=2,
        )
    ),
    max_leaves=10,
)


@given(JSON, st.dictionaries(st.sampled_from(["A", "B"]), st.text(max_size=5)))
def test_any_value_is_resolved_or_refused(value: Any, parameters: dict[str, str]) -> None:
    """Resolving is total."""
    with contextlib.suppress(ProvisioningRefusal):
        resolved(value, parameters)
