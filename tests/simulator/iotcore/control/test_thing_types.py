from __future__ import annotations

import pytest

from tests.simulator.iotcore.control.bench import ARN, START, Bench, names


@pytest.fixture
def bench() -> Bench:
    """An account with the type Car."""
    found = Bench()
    found(
        "CreateThingType",
        thingTypeName="Car",
        thingTypeProperties={
            "thingTypeDescription": "drives",
            "searchableAttributes": ["fleet"],
            "mqtt5Configuration": {
                "propagatingAttributes": [
                    {"userPropertyKey": "fleet", "thingAttribute": "fleet"},
                    {"userPropertyKey": "id", "connectionAttribute": "iot:ClientId"},
                ]
            },
        },
        tags=[{"Key": "k", "Value": "v"}],
    )
    return found


def test_a_type_is_described(bench: Bench) -> None:
    """With all properties as they were given."""
    shown = bench("DescribeThingType", thingTypeName="Car")
    assert shown["thingTypeArn"] == f"{ARN}thingtype/Car"
    properties = shown["thingTypeProperties"]
    assert properties["thingTypeDescription"] == "drives"
    assert properties["searchableAttributes"] == ["fleet"]
    assert len(properties["mqtt5Configuration"]["propagatingAttributes"]) == 2
    metadata = shown["thingTypeMetadata"]
    assert metadata["deprecated"] is False
    assert metadata["creationDate"].timestamp() == START
    tags = bench("ListTagsForResource", resourceArn=f"{ARN}thingtype/Car")["tags"]
    assert tags == [{"Key": "k", "Value": "v"}]


def test_creating_again_succeeds_only_for_the_same_type(bench: Bench) -> None:
    """Another configuration under the name is an error."""
    bench("CreateThingType", thingTypeName="Bus")
    bench("CreateThingType", thingTypeName="Bus")
    code = bench.failure("CreateThingType", thingTypeName="Car")
    assert code == "ResourceAlreadyExistsException"


def test_a_type_is_updated(bench: Bench) -> None:
    """Properties that are not named stay."""
    properties = {"thingTypeDescription": "parks"}
    bench("UpdateThingType", thingTypeName="Car", thingTypeProperties=properties)
    shown = bench("DescribeThingType", thingTypeName="Car")["thingTypeProperties"]
    assert (shown["thingTypeDescription"], shown["searchableAttributes"]) == ("parks", ["fleet"])


def test_bad_properties_are_refused(bench: Bench) -> None:
    """More than three searchable attributes, or a propagating attribute without a source."""
    for properties in (
        {"searchableAttributes": ["a", "b", "c", "d"]},
        {"mqtt5Configuration": {"propagatingAttributes": [{"userPropertyKey": "k"}]}},
        {"mqtt5Configuration": {"propagatingAttributes": [{"thingAttribute": "k"}]}},
        {"thingTypeDescription": "x" * 2029},
    ):
        code = bench.failure("UpdateThingType", thingTypeName="Car", thingTypeProperties=properties)
        assert code == "InvalidRequestException"


def test_a_deprecated_type_takes_no_more_things(bench: Bench) -> None:
    """Until that is undone."""
    bench("CreateThing", thingName="old", thingTypeName="Car")
    bench("DeprecateThingType", thingTypeName="Car")
    request = {"thingName": "new", "thingTypeName": "Car"}
    assert bench.failure("CreateThing", **request) == "InvalidRequestException"
    metadata = bench("DescribeThingType", thingTypeName="Car")["thingTypeMetadata"]
    assert metadata["deprecationDate"].timestamp() == START
    bench("DeprecateThingType", thingTypeName="Car", undoDeprecate=True)
    bench("CreateThing", **request)


def test_a_type_is_deleted_five_minutes_after_its_deprecation(bench: Bench) -> None:
    """Not before, not while it is in force, and not while a thing has it."""
    bench("CreateThing", thingName="a", thingTypeName="Car")
    assert bench.failure("DeleteThingType", thingTypeName="Car") == "InvalidRequestException"
    bench("DeprecateThingType", thingTypeName="Car")
    bench.now_s += 299
    assert bench.failure("DeleteThingType", thingTypeName="Car") == "InvalidRequestException"
    bench.now_s += 1
    assert bench.failure("DeleteThingType", thingTypeName="Car") == "InvalidRequestException"
    bench("DeleteThing", thingName="a")
    bench("DeleteThingType", thingTypeName="Car")
    assert bench("ListThingTypes")["thingTypes"] == []
    tags = bench.failure("ListTagsForResource", resourceArn=f"{ARN}thingtype/Car")
    assert tags == "ResourceNotFoundException"


def test_types_are_listed(bench: Bench) -> None:
    """All, or one by its name."""
    bench("CreateThingType", thingTypeName="Bus")
    assert names(bench("ListThingTypes")["thingTypes"], "thingTypeName") == ["Bus", "Car"]
    one = bench("ListThingTypes", thingTypeName="Car")["thingTypes"]
    assert names(one, "thingTypeName") == ["Car"]


def test_unknown_types_are_not_found(bench: Bench) -> None:
    """By every operation that names one."""
    for operation in (
        "DescribeThingType",
        "UpdateThingType",
        "DeprecateThingType",
        "DeleteThingType",
    ):
        assert bench.failure(operation, thingTypeName="None") == "ResourceNotFoundException"
