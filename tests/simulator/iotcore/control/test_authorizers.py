from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.iotcore.control.bench import ARN, START, Bench, names

FUNCTION = "arn:aws:lambda:ap-northeast-2:123456789012:function:authorize"
SIGNED = {"tokenKeyName": "token", "tokenSigningPublicKeys": {"first": "PEM"}}


@pytest.fixture
def bench() -> Bench:
    """An account with the authorizer `app`, whose tokens are signed."""
    found = Bench()
    create(found, "app", status="ACTIVE", **SIGNED)
    return found


def create(bench: Bench, name: str, **more: Any) -> None:
    """A new authorizer."""
    bench("CreateAuthorizer", authorizerName=name, authorizerFunctionArn=FUNCTION, **more)


def test_an_authorizer_is_described(bench: Bench) -> None:
    """With its function, its keys and its state."""
    shown = bench("DescribeAuthorizer", authorizerName="app")["authorizerDescription"]
    assert shown["authorizerArn"] == f"{ARN}authorizer/app"
    assert (shown["authorizerFunctionArn"], shown["status"]) == (FUNCTION, "ACTIVE")
    assert shown["tokenSigningPublicKeys"] == {"first": "PEM"}
    assert (shown["signingDisabled"], shown["enableCachingForHttp"]) == (False, False)
    assert shown["creationDate"].timestamp() == START
    kept = bench.registry.authorizers.get("app")
    assert kept is not None
    assert kept.is_active


def test_signed_tokens_need_a_name_and_a_key(bench: Bench) -> None:
    """Unless signing is disabled."""
    request = {"authorizerName": "x", "authorizerFunctionArn": FUNCTION}
    assert bench.failure("CreateAuthorizer", **request) == "InvalidRequestException"
    create(bench, "x", signingDisabled=True)
    shown = bench("DescribeAuthorizer", authorizerName="x")["authorizerDescription"]
    assert shown["status"] == "INACTIVE"


def test_an_authorizer_is_updated(bench: Bench) -> None:
    """What is not named stays."""
    bench("UpdateAuthorizer", authorizerName="app", status="INACTIVE")
    shown = bench("DescribeAuthorizer", authorizerName="app")["authorizerDescription"]
    assert (shown["status"], shown["tokenKeyName"]) == ("INACTIVE", "token")


def test_the_default_authorizer_is_chosen_and_cleared(bench: Bench) -> None:
    """It cannot be deleted; there is none at first."""
    describe, clear = "DescribeDefaultAuthorizer", "ClearDefaultAuthorizer"
    for operation in (describe, clear):
        assert bench.failure(operation) == "ResourceNotFoundException"
    bench("SetDefaultAuthorizer", authorizerName="app")
    assert bench.registry.default_authorizer == "app"
    assert bench(describe)["authorizerDescription"]["authorizerName"] == "app"
    code = bench.failure("DeleteAuthorizer", authorizerName="app")
    assert code == "DeleteConflictException"
    bench(clear)
    bench("DeleteAuthorizer", authorizerName="app")
    assert bench("ListAuthorizers")["authorizers"] == []


def test_authorizers_are_listed_by_state(bench: Bench) -> None:
    """All, or those with one."""
    bench.now_s += 1
    create(bench, "old", signingDisabled=True)
    assert names(bench("ListAuthorizers")["authorizers"], "authorizerName") == ["old", "app"]
    active = bench("ListAuthorizers", status="ACTIVE")["authorizers"]
    assert names(active, "authorizerName") == ["app"]


def test_bad_authorizers_are_refused(bench: Bench) -> None:
    """A name that is taken, unknown names, a third key, and the eleventh authorizer."""
    taken = {"authorizerName": "app", "authorizerFunctionArn": FUNCTION, **SIGNED}
    assert bench.failure("CreateAuthorizer", **taken) == "ResourceAlreadyExistsException"
    for operation in (
        "DescribeAuthorizer",
        "UpdateAuthorizer",
        "DeleteAuthorizer",
        "SetDefaultAuthorizer",
    ):
        assert bench.failure(operation, authorizerName="x") == "ResourceNotFoundException"
    keys = {"tokenSigningPublicKeys": dict.fromkeys("abc", "PEM")}
    code = bench.failure("UpdateAuthorizer", authorizerName="app", **keys)
    assert code == "InvalidRequestException"
    for number in range(9):
        create(bench, f"a{number}", signingDisabled=True)
    request = {"authorizerName": "x", "authorizerFunctionArn": FUNCTION, "signingDisabled": True}
    assert bench.failure("CreateAuthorizer", **request) == "LimitExceededException"
