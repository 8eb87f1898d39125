from __future__ import annotations

import pytest

from simulator.iotcore.registry import Thing
from tests.simulator.iotcore.control.bench import ARN, COGNITO, Bench, id_of, names


@pytest.fixture
def bench() -> Bench:
    """An empty account."""
    return Bench()


def test_a_thing_is_created_and_described(bench: Bench) -> None:
    """What the API created is what the broker sees."""
    bench("CreateThingType", thingTypeName="Car")
    made = bench(
        "CreateThing",
        thingName="car-1",
        thingTypeName="Car",
        attributePayload={"attributes": {"fleet": "seoul"}},
    )
    assert made["thingArn"] == f"{ARN}thing/car-1"
    assert bench("DescribeThing", thingName="car-1") == {
        "defaultClientId": "car-1",
        "thingName": "car-1",
        "thingId": made["thingId"],
        "thingArn": f"{ARN}thing/car-1",
        "thingTypeName": "Car",
        "attributes": {"fleet": "seoul"},
        "version": 1,
    }
    assert bench.registry.thing("car-1") == Thing("car-1", "Car", {"fleet": "seoul"})


def test_what_others_made_is_shown(bench: Bench) -> None:
    """A thing of fleet provisioning or of a registry file is listed with its type."""
    bench.registry.put_thing(Thing("car-1", "Car"))
    assert names(bench("ListThings")["things"], "thingName") == ["car-1"]
    assert names(bench("ListThingTypes")["thingTypes"], "thingTypeName") == ["Car"]


def test_creating_again_succeeds_only_for_the_same_thing(bench: Bench) -> None:
    """The API reference calls CreateThing idempotent for the same configuration."""
    first = bench("CreateThing", thingName="car-1")
    assert bench("CreateThing", thingName="car-1") == first
    changed = {"attributes": {"color": "red"}}
    code = bench.failure("CreateThing", thingName="car-1", attributePayload=changed)
    assert code == "ResourceAlreadyExistsException"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"thingName": ""}, "InvalidRequestException"),
        ({"thingName": "a b"}, "InvalidRequestException"),
        ({"thingName": "x" * 129}, "InvalidRequestException"),
        ({"thingName": "x", "thingTypeName": "None"}, "ResourceNotFoundException"),
        ({"thingName": "x", "billingGroupName": "b"}, "ResourceNotFoundException"),
        (
            {"thingName": "x", "attributePayload": {"attributes": {"a b": "c"}}},
            "InvalidRequestException",
        ),
        (
            {"thingName": "x", "attributePayload": {"attributes": {"a": "c d"}}},
            "InvalidRequestException",
        ),
        (
            {"thingName": "x", "attributePayload": {"attributes": {"a": 7}}},
            "InvalidRequestException",
        ),
        (
            {"thingName": "x", "attributePayload": {"attributes": dict.fromkeys("abcd", "1")}},
            "InvalidRequestException",
        ),
    ],
)
def test_bad_things_are_refused(bench: Bench, request_: dict[str, object], code: str) -> None:
    """Names, attributes, more than three attributes without a type, unknown types."""
    assert bench.failure("CreateThing", **request_) == code


def test_a_typed_thing_has_fifty_attributes(bench: Bench) -> None:
    """With a type 50 attributes fit and the 51st does not; without its type they do not either."""
    bench("CreateThingType", thingTypeName="Car")
    fifty = {f"a{number}": "1" for number in range(50)}
    bench(
        "CreateThing",
        thingName="car",
        thingTypeName="Car",
        attributePayload={"attributes": fifty},
    )
    more = {"attributes": {"one": "more"}, "merge": True}
    assert (
        bench.failure("UpdateThing", thingName="car", attributePayload=more)
        == "InvalidRequestException"
    )
    assert (
        bench.failure("UpdateThing", thingName="car", removeThingType=True)
        == "InvalidRequestException"
    )


def test_attributes_are_replaced_or_merged(bench: Bench) -> None:
    """With merge, unnamed attributes stay and empty values remove theirs; else all are replaced."""
    bench("CreateThing", thingName="a", attributePayload={"attributes": {"x": "1", "y": "2"}})
    bench(
        "UpdateThing",
        thingName="a",
        attributePayload={"attributes": {"y": "", "z": "3"}, "merge": True},
    )
    shown = bench("DescribeThing", thingName="a")
    assert (shown["attributes"], shown["version"]) == ({"x": "1", "z": "3"}, 2)
    bench("UpdateThing", thingName="a", attributePayload={"attributes": {"w": "4"}})
    assert bench("DescribeThing", thingName="a")["attributes"] == {"w": "4"}
    bench("UpdateThing", thingName="a")
    shown = bench("DescribeThing", thingName="a")
    assert (shown["attributes"], shown["version"]) == ({"w": "4"}, 4)


def test_the_type_of_a_thing_changes(bench: Bench) -> None:
    """It is set, removed, and not both at once."""
    bench.things("a")
    bench("CreateThingType", thingTypeName="Car")
    bench("UpdateThing", thingName="a", thingTypeName="Car")
    assert bench("DescribeThing", thingName="a")["thingTypeName"] == "Car"
    both = {"thingTypeName": "Car", "removeThingType": True}
    assert bench.failure("UpdateThing", thingName="a", **both) == "InvalidRequestException"
    bench("UpdateThing", thingName="a", removeThingType=True)
    assert "thingTypeName" not in bench("DescribeThing", thingName="a")


@pytest.mark.parametrize("operation", ["UpdateThing", "DeleteThing"])
def test_an_expected_version_must_hold(bench: Bench, operation: str) -> None:
    """Another one is a VersionConflictException."""
    bench.things("a")
    request = {"thingName": "a", "expectedVersion": 7}
    assert bench.failure(operation, **request) == "VersionConflictException"
    bench(operation, thingName="a", expectedVersion=1)


def test_a_deleted_thing_is_gone_and_jobs_hear_of_it(bench: Bench) -> None:
    """Deleting it again succeeds in silence; a new thing of the name has another id."""
    first = bench("CreateThing", thingName="a")["thingId"]
    bench("CreateThingGroup", thingGroupName="g")
    bench("AddThingToThingGroup", thingName="a", thingGroupName="g")
    bench.topics()
    bench("DeleteThing", thingName="a")
    assert bench.topics() == ["deleted/a"]
    bench("DeleteThing", thingName="a")
    assert bench.topics() == []
    assert bench.failure("DescribeThing", thingName="a") == "ResourceNotFoundException"
    assert bench("ListThingsInThingGroup", thingGroupName="g")["things"] == []
    assert bench("CreateThing", thingName="a")["thingId"] != first


def test_a_thing_with_principals_is_not_deleted(bench: Bench) -> None:
    """They must be detached first."""
    bench.things("a")
    arn = bench.certificate()
    bench("AttachThingPrincipal", thingName="a", principal=arn)
    assert bench.failure("DeleteThing", thingName="a") == "InvalidRequestException"
    bench("DetachThingPrincipal", thingName="a", principal=arn)
    bench("DetachThingPrincipal", thingName="a", principal=arn)
    bench("DeleteThing", thingName="a")


def test_things_are_listed_by_attribute_and_type(bench: Bench) -> None:
    """By the whole value or its beginning."""
    bench("CreateThingType", thingTypeName="Car")
    for name, fleet in (("a", "seoul"), ("b", "seoul-2"), ("c", "busan")):
        payload = {"attributes": {"fleet": fleet}}
        bench("CreateThing", thingName=name, thingTypeName="Car", attributePayload=payload)
    bench.things("d")

    def listed(**request: object) -> list[str]:
        return names(bench("ListThings", **request)["things"], "thingName")

    assert listed() == ["a", "b", "c", "d"]
    assert listed(thingTypeName="Car") == ["a", "b", "c"]
    assert listed(attributeName="fleet") == ["a", "b", "c"]
    assert listed(attributeName="fleet", attributeValue="seoul") == ["a"]
    prefix = {"attributeValue": "seoul", "usePrefixAttributeValue": True}
    assert listed(attributeName="fleet", **prefix) == ["a", "b"]
    assert bench.failure("ListThings", attributeValue="seoul") == "InvalidRequestException"


def test_pages_hold_while_things_come_and_go(bench: Bench) -> None:
    """A script may delete what it has listed and go on with the next page."""
    bench.things(*"abcdefg")
    assert [len(page) for page in bench.pages("ListThings", "things", 3)] == [3, 3, 1]
    page = bench("ListThings", maxResults=3)
    for row in page["things"]:
        bench("DeleteThing", thingName=row["thingName"])
    following = bench("ListThings", maxResults=3, nextToken=page["nextToken"])
    assert names(following["things"], "thingName") == ["d", "e", "f"]
    for wrong in ({"nextToken": "?"}, {"maxResults": 0}, {"maxResults": 251}):
        assert bench.failure("ListThings", **wrong) == "InvalidRequestException"


def test_principals_are_attached_and_listed_from_both_sides(bench: Bench) -> None:
    """Certificates by ARN and Cognito identities by id."""
    bench.things("a", "b")
    arn = bench.certificate()
    for principal in (arn, COGNITO):
        bench("AttachThingPrincipal", thingName="a", principal=principal)
    bench("AttachThingPrincipal", thingName="b", principal=arn)
    assert set(bench("ListThingPrincipals", thingName="a")["principals"]) == {arn, COGNITO}
    assert bench("ListPrincipalThings", principal=arn)["things"] == ["a", "b"]
    thing = bench.registry.thing_of(id_of(arn), "b")
    assert thing is not None
    assert thing.name == "b"
    bench("DetachThingPrincipal", thingName="a", principal=COGNITO)
    assert bench("ListPrincipalThings", principal=COGNITO)["things"] == []


def test_an_exclusive_attachment_is_the_only_one(bench: Bench) -> None:
    """It shows in the second version of the lists, and no other attachment fits beside it."""
    bench.things("a", "b")
    arn = bench.certificate()
    bench(
        "AttachThingPrincipal",
        thingName="a",
        principal=arn,
        thingPrincipalType="EXCLUSIVE_THING",
    )
    listed = bench("ListThingPrincipalsV2", thingName="a")["thingPrincipalObjects"]
    assert listed == [{"principal": arn, "thingPrincipalType": "EXCLUSIVE_THING"}]
    things = bench("ListPrincipalThingsV2", principal=arn)["principalThingObjects"]
    assert things == [{"thingName": "a", "thingPrincipalType": "EXCLUSIVE_THING"}]
    other = bench("ListThingPrincipalsV2", thingName="a", thingPrincipalType="NON_EXCLUSIVE_THING")
    assert other["thingPrincipalObjects"] == []
    attempt = {"thingName": "b", "principal": arn}
    assert bench.failure("AttachThingPrincipal", **attempt) == "InvalidRequestException"
    exclusive = bench.registry.exclusive_thing_of(id_of(arn))
    assert exclusive is not None
    assert exclusive.name == "a"


@pytest.mark.parametrize(
    ("principal", "code"),
    [
        (f"{ARN}cert/{'ab' * 32}", "ResourceNotFoundException"),
        (f"{ARN}cert/short", "InvalidRequestException"),
        (f"{ARN}thinggroup/g", "InvalidRequestException"),
        ("arn:aws:iot:us-east-1:1:cert/" + "ab" * 32, "InvalidRequestException"),
        ("nobody", "InvalidRequestException"),
    ],
)
def test_unknown_principals_are_refused(bench: Bench, principal: str, code: str) -> None:
    """Of another kind, another account, or not registered."""
    bench.things("a")
    request = {"thingName": "a", "principal": principal}
    assert bench.failure("AttachThingPrincipal", **request) == code
    assert bench.failure("ListPrincipalThings", principal=principal) == code


def test_principals_of_unknown_things_are_refused(bench: Bench) -> None:
    """Every operation on attachments asks for the thing first."""
    arn = bench.certificate()
    for operation in ("AttachThingPrincipal", "DetachThingPrincipal"):
        code = bench.failure(operation, thingName="gone", principal=arn)
        assert code == "ResourceNotFoundException"
    code = bench.failure("ListThingPrincipals", thingName="gone")
    assert code == "ResourceNotFoundException"
