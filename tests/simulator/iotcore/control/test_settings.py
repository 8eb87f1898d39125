from __future__ import annotations

import pytest

from tests.simulator.iotcore.control.bench import ALLOW, ARN, START, Bench


@pytest.fixture
def bench() -> Bench:
    """An account with two endpoints, a policy, a thing and a group."""
    found = Bench(
        endpoints={"iot:Data-ATS": "core.test:8883", "iot:CredentialProvider": "core.test:443"}
    )
    found("CreatePolicy", policyName="p", policyDocument=ALLOW)
    found("CreateThingGroup", thingGroupName="g", tags=[{"Key": "a", "Value": "1"}])
    found.things("car")
    return found


def test_endpoints_are_described(bench: Bench) -> None:
    """The data endpoint also under its old name and none; others are refused."""
    for request in ({}, {"endpointType": "iot:Data"}, {"endpointType": "iot:Data-ATS"}):
        assert bench("DescribeEndpoint", **request)["endpointAddress"] == "core.test:8883"
    found = bench("DescribeEndpoint", endpointType="iot:CredentialProvider")
    assert found["endpointAddress"] == "core.test:443"
    code = bench.failure("DescribeEndpoint", endpointType="iot:Jobs")
    assert code == "InvalidRequestException"


def test_events_are_off_until_they_are_switched_on(bench: Bench) -> None:
    """The services hear of it, and those not named stay as they are."""
    shown = bench("DescribeEventConfigurations")
    assert set(shown) == {"eventConfigurations"}
    assert {one["Enabled"] for one in shown["eventConfigurations"].values()} == {False}
    update = "UpdateEventConfigurations"
    bench(update, eventConfigurations={"JOB": {"Enabled": True}})
    bench.now_s += 60
    bench(update, eventConfigurations={"JOB_EXECUTION": {"Enabled": True}})
    assert {kind for kind, on in bench.events.items() if on} == {"JOB", "JOB_EXECUTION"}
    shown = bench("DescribeEventConfigurations")
    assert shown["creationDate"].timestamp() == START
    assert shown["lastModifiedDate"].timestamp() == START + 60
    bench(update, eventConfigurations={"JOB": {"Enabled": False}})
    assert {kind for kind, on in bench.events.items() if on} == {"JOB_EXECUTION"}
    code = bench.failure(update, eventConfigurations={"WEATHER": {"Enabled": True}})
    assert code == "InvalidRequestException"


def test_tags_are_added_replaced_and_removed(bench: Bench) -> None:
    """Of a group here; they go with it."""
    arn = f"{ARN}thinggroup/g"
    bench("TagResource", resourceArn=arn, tags=[{"Key": "a", "Value": "2"}, {"Key": "b"}])
    assert bench("ListTagsForResource", resourceArn=arn)["tags"] == [
        {"Key": "a", "Value": "2"},
        {"Key": "b", "Value": ""},
    ]
    bench("UntagResource", resourceArn=arn, tagKeys=["a", "none"])
    assert bench("ListTagsForResource", resourceArn=arn)["tags"] == [{"Key": "b", "Value": ""}]
    bench("DeleteThingGroup", thingGroupName="g")
    code = bench.failure("ListTagsForResource", resourceArn=arn)
    assert code == "ResourceNotFoundException"
    bench("CreateThingGroup", thingGroupName="g")
    assert bench("ListTagsForResource", resourceArn=arn)["tags"] == []


def test_resources_of_other_services_are_tagged(bench: Bench) -> None:
    """Such as jobs."""
    arn = f"{ARN}job/update"
    bench("TagResource", resourceArn=arn, tags=[{"Key": "a", "Value": "1"}])
    assert bench("ListTagsForResource", resourceArn=arn)["tags"] == [{"Key": "a", "Value": "1"}]


def test_bad_tags_are_refused(bench: Bench) -> None:
    """Things, other accounts, reserved keys, unknown resources, and the 51st tag."""
    one = [{"Key": "a", "Value": "1"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    for arn, tags, code in (
        (f"{ARN}thing/car", one, "InvalidRequestException"),
        ("arn:aws:iot:us-east-1:1:policy/p", one, "InvalidRequestException"),
        (f"{ARN}policy/none", one, "ResourceNotFoundException"),
        (f"{ARN}policy/p", [{"Key": "aws:a", "Value": ""}], "InvalidRequestException"),
        (f"{ARN}thinggroup/g", many, "LimitExceededException"),
    ):
        assert bench.failure("TagResource", resourceArn=arn, tags=tags) == code
