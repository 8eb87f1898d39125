from __future__ import annotations

import json

import pytest

from simulator.iotcore.services.provisioning_changes import apply
from simulator.iotcore.services.provisioning_template import (
    ProvisioningRefusal,
    ProvisioningTemplate,
)
from tests.simulator.iotcore.control.bench import ARN, START, Bench, id_of, names


@pytest.fixture
def bench() -> Bench:
    """Things a and b, and the groups korea > seoul > gangnam, beside test."""
    found = Bench()
    found.things("a", "b")
    found("CreateThingGroup", thingGroupName="korea")
    found("CreateThingGroup", thingGroupName="seoul", parentGroupName="korea")
    found("CreateThingGroup", thingGroupName="gangnam", parentGroupName="seoul")
    found("CreateThingGroup", thingGroupName="test")
    return found


def groups(bench: Bench, **request: object) -> list[str]:
    """Names of the groups a listing gives."""
    return names(bench("ListThingGroups", **request)["thingGroups"], "groupName")


def test_a_group_is_described_with_its_ancestors() -> None:
    """From the root to the parent, with attributes and dates."""
    bench = Bench()
    bench("CreateThingGroup", thingGroupName="top")
    bench("CreateThingGroup", thingGroupName="middle", parentGroupName="top")
    properties = {
        "thingGroupDescription": "here",
        "attributePayload": {"attributes": {"x": "1"}},
    }
    made = bench(
        "CreateThingGroup",
        thingGroupName="low",
        parentGroupName="middle",
        thingGroupProperties=properties,
    )
    shown = bench("DescribeThingGroup", thingGroupName="low")
    assert shown["thingGroupArn"] == made["thingGroupArn"] == f"{ARN}thinggroup/low"
    assert shown["thingGroupId"] == made["thingGroupId"]
    assert shown["thingGroupProperties"] == properties
    metadata = shown["thingGroupMetadata"]
    assert metadata["parentGroupName"] == "middle"
    assert names(metadata["rootToParentThingGroups"], "groupName") == ["top", "middle"]
    assert metadata["creationDate"].timestamp() == START


def test_creating_again_succeeds_only_for_the_same_group(bench: Bench) -> None:
    """Another parent under the name is an error."""
    bench("CreateThingGroup", thingGroupName="seoul", parentGroupName="korea")
    code = bench.failure("CreateThingGroup", thingGroupName="seoul")
    assert code == "ResourceAlreadyExistsException"


def test_a_hierarchy_has_seven_levels(bench: Bench) -> None:
    """The eighth is refused; so is an unknown parent."""
    parent = "gangnam"
    for level in range(4, 8):
        bench("CreateThingGroup", thingGroupName=f"level-{level}", parentGroupName=parent)
        parent = f"level-{level}"
    for wrong in (parent, "unknown"):
        code = bench.failure("CreateThingGroup", thingGroupName="deep", parentGroupName=wrong)
        assert code == "InvalidRequestException"


def test_groups_are_listed(bench: Bench) -> None:
    """All, the top ones, the children of one, all below one, or by the beginning of the name."""
    assert groups(bench) == ["gangnam", "korea", "seoul", "test"]
    assert groups(bench, recursive=False) == ["korea", "test"]
    assert groups(bench, parentGroup="korea") == ["seoul"]
    assert groups(bench, parentGroup="korea", recursive=True) == ["gangnam", "seoul"]
    assert groups(bench, namePrefixFilter="s") == ["seoul"]
    assert bench.failure("ListThingGroups", parentGroup="none") == "ResourceNotFoundException"


def test_a_group_is_updated(bench: Bench) -> None:
    """Attributes are replaced or merged, the version counts, an expected version must hold."""
    first = {"attributePayload": {"attributes": {"x": "1"}}}
    merged = {"attributePayload": {"attributes": {"y": "2"}, "merge": True}}
    update = "UpdateThingGroup"
    assert bench(update, thingGroupName="test", thingGroupProperties=first)["version"] == 2
    bench(update, thingGroupName="test", thingGroupProperties=merged, expectedVersion=2)
    shown = bench("DescribeThingGroup", thingGroupName="test")["thingGroupProperties"]
    assert shown["attributePayload"]["attributes"] == {"x": "1", "y": "2"}
    code = bench.failure(
        update, thingGroupName="test", thingGroupProperties=merged, expectedVersion=2
    )
    assert code == "VersionConflictException"
    many = {"attributePayload": {"attributes": {f"a{n}": "1" for n in range(51)}}}
    code = bench.failure(update, thingGroupName="test", thingGroupProperties=many)
    assert code == "InvalidRequestException"


def test_things_join_and_leave(bench: Bench) -> None:
    """By name or ARN; the jobs hear of each change."""
    bench("AddThingToThingGroup", thingName="a", thingGroupName="gangnam")
    bench(
        "AddThingToThingGroup",
        thingArn=f"{ARN}thing/a",
        thingGroupArn=f"{ARN}thinggroup/test",
    )
    assert bench.topics() == ["groups", "groups"]
    listed = bench("ListThingGroupsForThing", thingName="a")["thingGroups"]
    assert names(listed, "groupName") == ["gangnam", "test"]
    assert bench("ListThingsInThingGroup", thingGroupName="korea")["things"] == []
    below = bench("ListThingsInThingGroup", thingGroupName="korea", recursive=True)
    assert below["things"] == ["a"]
    bench("RemoveThingFromThingGroup", thingName="a", thingGroupName="gangnam")
    bench("RemoveThingFromThingGroup", thingName="a", thingGroupName="gangnam")
    below = bench("ListThingsInThingGroup", thingGroupName="korea", recursive=True)
    assert below["things"] == []


def test_a_thing_is_in_one_group_of_a_hierarchy(bench: Bench) -> None:
    """Joining another one is refused, unless the first one is left at the same time."""
    join = "AddThingToThingGroup"
    bench(join, thingName="a", thingGroupName="gangnam")
    bench(join, thingName="a", thingGroupName="gangnam")
    assert bench.failure(join, thingName="a", thingGroupName="korea") == "InvalidRequestException"
    move = {"thingGroupsToAdd": ["korea"], "thingGroupsToRemove": ["gangnam"]}
    bench("UpdateThingGroupsForThing", thingName="a", **move)
    listed = bench("ListThingGroupsForThing", thingName="a")["thingGroups"]
    assert names(listed, "groupName") == ["korea"]


def test_a_thing_is_in_ten_groups(bench: Bench) -> None:
    """The eleventh is refused, and then nothing of the request is done."""
    created = [f"g{number}" for number in range(11)]
    for name in created:
        bench("CreateThingGroup", thingGroupName=name)
    change = "UpdateThingGroupsForThing"
    code = bench.failure(change, thingName="a", thingGroupsToAdd=created)
    assert code == "InvalidRequestException"
    bench(change, thingName="a", thingGroupsToAdd=created[:10])
    code = bench.failure(
        change, thingName="a", thingGroupsToAdd=["test"], thingGroupsToRemove=["korea"]
    )
    assert code == "InvalidRequestException"
    assert len(bench("ListThingGroupsForThing", thingName="a")["thingGroups"]) == 10


def test_bad_memberships_are_refused(bench: Bench) -> None:
    """Unknown things or groups, no name at all, an ARN of another kind, both ways at once."""
    join = "AddThingToThingGroup"
    for request, code in (
        ({"thingName": "none", "thingGroupName": "test"}, "ResourceNotFoundException"),
        ({"thingName": "a", "thingGroupName": "none"}, "ResourceNotFoundException"),
        ({"thingName": "a"}, "InvalidRequestException"),
        ({"thingName": "a", "thingGroupArn": f"{ARN}thing/a"}, "InvalidRequestException"),
    ):
        assert bench.failure(join, **request) == code
    both = {"thingGroupsToAdd": ["test"], "thingGroupsToRemove": ["test"]}
    code = bench.failure("UpdateThingGroupsForThing", thingName="a", **both)
    assert code == "InvalidRequestException"


def test_a_group_with_children_is_not_deleted(bench: Bench) -> None:
    """One without children goes with its memberships, and an unknown one in silence."""
    bench("AddThingToThingGroup", thingName="a", thingGroupName="gangnam")
    bench.topics()
    assert bench.failure("DeleteThingGroup", thingGroupName="seoul") == "InvalidRequestException"
    code = bench.failure("DeleteThingGroup", thingGroupName="gangnam", expectedVersion=7)
    assert code == "VersionConflictException"
    bench("DeleteThingGroup", thingGroupName="gangnam")
    assert bench.topics() == ["groups"]
    assert bench("ListThingGroupsForThing", thingName="a")["thingGroups"] == []
    bench("DeleteThingGroup", thingGroupName="seoul")
    bench("DeleteThingGroup", thingGroupName="never-was")
    assert bench.topics() == ["groups"]
    assert groups(bench) == ["korea", "test"]


def test_provisioning_joins_the_groups_of_the_registry(bench: Bench) -> None:
    """A template's groups must exist; what it joined is listed, and its thing as well."""
    key = id_of(bench.certificate())

    def provision(*wanted: str) -> str | None:
        properties = {"ThingName": "car", "ThingGroups": list(wanted)}
        resources = {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": properties},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
            },
        }
        template = ProvisioningTemplate(json.dumps({"Resources": resources}))
        return apply(template.resolve({}, key), key, bench.registry)

    with pytest.raises(ProvisioningRefusal, match="unknown"):
        provision("gangnam", "unknown")
    assert bench.registry.thing("car") is None
    assert provision("gangnam", "test") == "car"
    listed = bench("ListThingGroupsForThing", thingName="car")["thingGroups"]
    assert names(listed, "groupName") == ["gangnam", "test"]
    assert bench("ListPrincipalThings", principal=f"{ARN}cert/{key}")["things"] == ["car"]
