from __future__ import annotations

import pytest

from tests.simulator.iotcore.control.bench import ARN, START, Bench

ROLE = "arn:aws:iam::123456789012:role/car"


@pytest.fixture
def bench() -> Bench:
    """An account with the alias `car`."""
    found = Bench()
    found("CreateRoleAlias", roleAlias="car", roleArn=ROLE, tags=[{"Key": "k", "Value": "v"}])
    return found


def test_an_alias_is_described(bench: Bench) -> None:
    """Credentials are valid for an hour unless the request says otherwise."""
    shown = bench("DescribeRoleAlias", roleAlias="car")["roleAliasDescription"]
    assert shown["roleAliasArn"] == f"{ARN}rolealias/car"
    assert (shown["roleArn"], shown["credentialDurationSeconds"]) == (ROLE, 3600)
    assert (shown["owner"], shown["creationDate"].timestamp()) == ("123456789012", START)
    kept = bench.registry.role_aliases.get("car")
    assert kept is not None
    assert (kept.role_arn, kept.duration_s) == (ROLE, 3600)


def test_an_alias_is_updated(bench: Bench) -> None:
    """What is not named stays."""
    bench.now_s += 60
    bench("UpdateRoleAlias", roleAlias="car", credentialDurationSeconds=900)
    shown = bench("DescribeRoleAlias", roleAlias="car")["roleAliasDescription"]
    assert (shown["roleArn"], shown["credentialDurationSeconds"]) == (ROLE, 900)
    assert shown["lastModifiedDate"].timestamp() == START + 60


def test_aliases_are_listed_and_deleted(bench: Bench) -> None:
    """Newest first."""
    bench.now_s += 1
    bench("CreateRoleAlias", roleAlias="bus", roleArn=ROLE, credentialDurationSeconds=43200)
    assert bench("ListRoleAliases")["roleAliases"] == ["bus", "car"]
    bench("DeleteRoleAlias", roleAlias="car")
    assert bench("ListRoleAliases")["roleAliases"] == ["bus"]
    for operation in ("DescribeRoleAlias", "UpdateRoleAlias", "DeleteRoleAlias"):
        assert bench.failure(operation, roleAlias="car") == "ResourceNotFoundException"


def test_bad_aliases_are_refused(bench: Bench) -> None:
    """A name that is taken, durations out of range, short ARNs, and the 101st alias."""
    create = "CreateRoleAlias"
    for request, code in (
        ({"roleAlias": "car", "roleArn": ROLE}, "ResourceAlreadyExistsException"),
        ({"roleAlias": "x", "roleArn": "short"}, "InvalidRequestException"),
        ({"roleAlias": "a b", "roleArn": ROLE}, "InvalidRequestException"),
        (
            {"roleAlias": "x", "roleArn": ROLE, "credentialDurationSeconds": 899},
            "InvalidRequestException",
        ),
    ):
        assert bench.failure(create, **request) == code
    for number in range(99):
        bench(create, roleAlias=f"alias-{number}", roleArn=ROLE)
    assert bench.failure(create, roleAlias="x", roleArn=ROLE) == "LimitExceededException"
