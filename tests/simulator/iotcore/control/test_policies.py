from __future__ import annotations

import json

import pytest

from simulator.iotcore.permissions.policy import Action, Permissions
from tests.simulator.iotcore.control.bench import ALLOW, ARN, START, Bench, id_of, names

DENY = ALLOW.replace("Allow", "Deny")


@pytest.fixture
def bench() -> Bench:
    """An account with the policy `p`, which allows everything."""
    found = Bench()
    found("CreatePolicy", policyName="p", policyDocument=ALLOW)
    return found


def may_publish(bench: Bench, certificate: str) -> bool:
    """Whether the broker would let a connection with this certificate publish."""
    policies = bench.registry.policies_of(id_of(certificate))
    return Permissions(policies, {}).allows(Action.PUBLISH, f"{ARN}topic/t")


def test_a_policy_is_shown_as_it_was_written(bench: Bench) -> None:
    """Its document, version 1 and dates."""
    spaced = json.dumps(json.loads(ALLOW), indent=4)
    made = bench("CreatePolicy", policyName="q", policyDocument=spaced)
    assert (made["policyArn"], made["policyVersionId"]) == (f"{ARN}policy/q", "1")
    shown = bench("GetPolicy", policyName="q")
    assert (shown["policyDocument"], shown["defaultVersionId"]) == (spaced, "1")
    assert shown["creationDate"].timestamp() == START
    code = bench.failure("CreatePolicy", policyName="q", policyDocument=spaced)
    assert code == "ResourceAlreadyExistsException"


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        '{"Version": "2012-10-17"}',
        ALLOW.replace("iot:*", "s3:GetObject"),
        ALLOW.replace('"Resource"', '"NotResource"'),
        ALLOW.replace("*", "x" * 2048),
    ],
)
def test_malformed_documents_are_refused(bench: Bench, document: str) -> None:
    """No JSON, no statement, foreign actions, unsupported elements, more than 2048 characters."""
    for operation, name in (("CreatePolicy", "q"), ("CreatePolicyVersion", "p")):
        code = bench.failure(operation, policyName=name, policyDocument=document)
        assert code == "MalformedPolicyException"


def test_blanks_do_not_count(bench: Bench) -> None:
    """The quota of 2048 characters leaves them out."""
    document = ALLOW + " " * 4000
    bench("CreatePolicy", policyName="q", policyDocument=document)
    assert bench("GetPolicy", policyName="q")["policyDocument"] == document


def test_the_default_version_is_in_force(bench: Bench) -> None:
    """A new version changes nothing until it is the default; then at once."""
    certificate = bench.certificate()
    bench("AttachPolicy", policyName="p", target=certificate)
    assert may_publish(bench, certificate)
    made = bench("CreatePolicyVersion", policyName="p", policyDocument=DENY)
    assert (made["policyVersionId"], made["isDefaultVersion"]) == ("2", False)
    assert may_publish(bench, certificate)
    revision = bench.registry.revision
    bench("SetDefaultPolicyVersion", policyName="p", policyVersionId="2")
    assert bench.registry.revision > revision
    assert not may_publish(bench, certificate)
    bench("CreatePolicyVersion", policyName="p", policyDocument=ALLOW, setAsDefault=True)
    assert may_publish(bench, certificate)
    versions = bench("ListPolicyVersions", policyName="p")["policyVersions"]
    assert [(one["versionId"], one["isDefaultVersion"]) for one in versions] == [
        ("1", False),
        ("2", False),
        ("3", True),
    ]


def test_a_policy_has_five_versions(bench: Bench) -> None:
    """The sixth needs room; ids are never used again."""
    request = {"policyName": "p", "policyDocument": ALLOW}
    for _ in range(4):
        bench("CreatePolicyVersion", **request)
    code = bench.failure("CreatePolicyVersion", **request)
    assert code == "VersionsLimitExceededException"
    bench("DeletePolicyVersion", policyName="p", policyVersionId="5")
    assert bench("CreatePolicyVersion", **request)["policyVersionId"] == "6"


def test_a_version_is_shown(bench: Bench) -> None:
    """With its own date; an unknown one is not found."""
    bench.now_s += 60
    bench("CreatePolicyVersion", policyName="p", policyDocument=DENY)
    shown = bench("GetPolicyVersion", policyName="p", policyVersionId="2")
    assert (shown["policyDocument"], shown["isDefaultVersion"]) == (DENY, False)
    assert shown["creationDate"].timestamp() == START + 60
    for operation in ("GetPolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion"):
        code = bench.failure(operation, policyName="p", policyVersionId="9")
        assert code == "ResourceNotFoundException"


def test_a_policy_in_use_is_not_deleted(bench: Bench) -> None:
    """Other versions and attachments must go first, and the default version stays to the end."""
    certificate = bench.certificate()
    bench("AttachPolicy", policyName="p", target=certificate)
    bench("CreatePolicyVersion", policyName="p", policyDocument=ALLOW)
    assert bench.failure("DeletePolicy", policyName="p") == "DeleteConflictException"
    code = bench.failure("DeletePolicyVersion", policyName="p", policyVersionId="1")
    assert code == "DeleteConflictException"
    bench("DeletePolicyVersion", policyName="p", policyVersionId="2")
    assert bench.failure("DeletePolicy", policyName="p") == "DeleteConflictException"
    bench("DetachPolicy", policyName="p", target=certificate)
    bench("DeletePolicy", policyName="p")
    for operation in ("GetPolicy", "ListPolicyVersions", "DeletePolicy"):
        assert bench.failure(operation, policyName="p") == "ResourceNotFoundException"


def test_policies_are_listed_by_date(bench: Bench) -> None:
    """Newest first unless the request says otherwise."""
    bench.now_s += 1
    bench("CreatePolicy", policyName="q", policyDocument=ALLOW)
    assert names(bench("ListPolicies")["policies"], "policyName") == ["q", "p"]
    oldest = bench("ListPolicies", ascendingOrder=True)["policies"]
    assert names(oldest, "policyName") == ["p", "q"]
    assert [len(page) for page in bench.pages("ListPolicies", "policies", 1)] == [1, 1]
