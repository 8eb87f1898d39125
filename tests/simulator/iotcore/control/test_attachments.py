from __future__ import annotations

import pytest

from tests.simulator.iotcore.control.bench import ALLOW, ARN, COGNITO, Bench, id_of, names

DENY = ALLOW.replace("Allow", "Deny")
GROUP = f"{ARN}thinggroup/fleet"


@pytest.fixture
def bench() -> Bench:
    """Policies p and q, a certificate attached to car, which is in seoul, which is in fleet."""
    found = Bench()
    for name in ("p", "q"):
        found("CreatePolicy", policyName=name, policyDocument=ALLOW)
    found("CreateThingGroup", thingGroupName="fleet")
    found("CreateThingGroup", thingGroupName="seoul", parentGroupName="fleet")
    found.things("car")
    found("AddThingToThingGroup", thingName="car", thingGroupName="seoul")
    return found


@pytest.fixture
def certificate(bench: Bench) -> str:
    """A certificate attached to car: its ARN."""
    arn = bench.certificate()
    bench("AttachThingPrincipal", thingName="car", principal=arn)
    return arn


def in_force(bench: Bench, certificate: str, client_id: str | None) -> list[str]:
    """Names of the policies a connection has."""
    return [policy.name for policy in bench.registry.policies_of(id_of(certificate), client_id)]


def test_policies_are_attached_to_three_kinds_of_targets(bench: Bench, certificate: str) -> None:
    """Certificates, Cognito identities and thing groups; attaching again changes nothing."""
    targets = [certificate, COGNITO, GROUP]
    for target in (*targets, *targets):
        bench("AttachPolicy", policyName="p", target=target)
        assert names(bench("ListAttachedPolicies", target=target)["policies"], "policyName") == [
            "p"
        ]
    listed = bench.pages("ListTargetsForPolicy", "targets", 2, policyName="p")
    assert [len(page) for page in listed] == [2, 1]
    assert {target for page in listed for target in page} == set(targets)
    for target in (*targets, *targets):
        bench("DetachPolicy", policyName="p", target=target)
        assert bench("ListAttachedPolicies", target=target)["policies"] == []


def test_the_policies_of_a_group_reach_its_things(bench: Bench, certificate: str) -> None:
    """Also from a group above, and only for the client id that is the thing's name."""
    bench("AttachPolicy", policyName="p", target=certificate)
    bench("AttachPolicy", policyName="q", target=GROUP)
    assert in_force(bench, certificate, "car") == ["p", "q"]
    assert in_force(bench, certificate, "other") == ["p"]
    assert in_force(bench, certificate, None) == ["p"]
    revision = bench.registry.revision
    bench("RemoveThingFromThingGroup", thingName="car", thingGroupName="seoul")
    assert bench.registry.revision > revision
    assert in_force(bench, certificate, "car") == ["p"]


def test_a_group_lists_what_it_inherits(bench: Bench) -> None:
    """When the request is recursive."""
    child = f"{ARN}thinggroup/seoul"
    bench("AttachPolicy", policyName="p", target=GROUP)
    bench("AttachPolicy", policyName="q", target=child)
    assert names(bench("ListAttachedPolicies", target=child)["policies"], "policyName") == ["q"]
    everything = bench("ListAttachedPolicies", target=child, recursive=True)["policies"]
    assert names(everything, "policyName") == ["p", "q"]


def test_a_target_has_ten_policies(bench: Bench, certificate: str) -> None:
    """The eleventh is a LimitExceededException."""
    for number in range(10):
        bench("CreatePolicy", policyName=f"p{number}", policyDocument=ALLOW)
        bench("AttachPolicy", policyName=f"p{number}", target=certificate)
    code = bench.failure("AttachPolicy", policyName="p", target=certificate)
    assert code == "LimitExceededException"


def test_the_operations_of_the_earlier_api_see_the_same(bench: Bench, certificate: str) -> None:
    """AttachPrincipalPolicy, ListPrincipalPolicies, ListPolicyPrincipals, DetachPrincipalPolicy."""
    bench("AttachPrincipalPolicy", policyName="p", principal=certificate)
    attached = bench("ListAttachedPolicies", target=certificate)["policies"]
    assert bench("ListPrincipalPolicies", principal=certificate)["policies"] == attached
    assert names(attached, "policyArn") == [f"{ARN}policy/p"]
    assert bench("ListPolicyPrincipals", policyName="p")["principals"] == [certificate]
    bench("DetachPrincipalPolicy", policyName="p", principal=certificate)
    assert bench("ListAttachedPolicies", target=certificate)["policies"] == []


def test_unknown_policies_and_targets_are_refused(bench: Bench, certificate: str) -> None:
    """Detaching them is no error, as nothing is attached."""
    unknown = f"{ARN}cert/{'ab' * 32}"
    for request, code in (
        ({"policyName": "none", "target": certificate}, "ResourceNotFoundException"),
        ({"policyName": "p", "target": unknown}, "ResourceNotFoundException"),
        ({"policyName": "p", "target": f"{ARN}thinggroup/none"}, "ResourceNotFoundException"),
        ({"policyName": "p", "target": f"{ARN}thing/car"}, "InvalidRequestException"),
        ({"policyName": "p", "target": "nobody"}, "InvalidRequestException"),
    ):
        assert bench.failure("AttachPolicy", **request) == code
    bench("DetachPolicy", policyName="none", target=certificate)
    bench("DetachPolicy", policyName="p", target=unknown)
    assert bench.failure("ListTargetsForPolicy", policyName="none") == "ResourceNotFoundException"
    assert bench.failure("ListAttachedPolicies", target=unknown) == "ResourceNotFoundException"


def test_effective_policies_are_those_of_principal_and_thing(
    bench: Bench, certificate: str
) -> None:
    """Each once, with its document; a group gives its own and those above it."""
    bench("AttachPolicy", policyName="p", target=certificate)
    bench("AttachPolicy", policyName="q", target=GROUP)
    found = bench("GetEffectivePolicies", principal=certificate, thingName="car")
    assert names(found["effectivePolicies"], "policyName") == ["p", "q"]
    assert found["effectivePolicies"][0]["policyDocument"] == ALLOW
    group = f"{ARN}thinggroup/seoul"
    found = bench("GetEffectivePolicies", principal=group)["effectivePolicies"]
    assert names(found, "policyName") == ["q"]
    code = bench.failure("GetEffectivePolicies", thingName="none")
    assert code == "ResourceNotFoundException"


def decide(bench: Bench, action: str, resource: str, **more: object) -> str:
    """The decision of TestAuthorization for one action."""
    infos = [{"actionType": action, "resources": [resource]}]
    result = bench("TestAuthorization", authInfos=infos, **more)["authResults"][0]
    assert result["authInfo"] == infos[0]
    decision: str = result["authDecision"]
    return decision


def test_authorization_is_tested_as_for_a_connection(bench: Bench, certificate: str) -> None:
    """Variables of client id and thing have values; policies are added and skipped."""
    own = ALLOW.replace('"*"', f'"{ARN}topic/${{iot:Connection.Thing.ThingName}}"')
    bench("CreatePolicy", policyName="own", policyDocument=own)
    bench("CreatePolicy", policyName="deny", policyDocument=DENY)
    bench("AttachPolicy", policyName="own", target=certificate)
    topic = f"{ARN}topic/car"
    asked = {"principal": certificate, "clientId": "car"}
    assert decide(bench, "PUBLISH", topic, **asked) == "ALLOWED"
    assert decide(bench, "PUBLISH", topic, principal=certificate) == "IMPLICIT_DENY"
    assert decide(bench, "PUBLISH", f"{topic}-2", **asked) == "IMPLICIT_DENY"
    added = {"policyNamesToAdd": ["deny"]}
    assert decide(bench, "PUBLISH", topic, **asked, **added) == "EXPLICIT_DENY"
    skipped = {"policyNamesToSkip": ["own"]}
    assert decide(bench, "PUBLISH", topic, **asked, **skipped) == "IMPLICIT_DENY"
    assert decide(bench, "CONNECT", f"{ARN}client/x", policyNamesToAdd=["p"]) == "ALLOWED"


def test_authorization_names_its_reasons(bench: Bench, certificate: str) -> None:
    """The policies that allowed, that denied, or that were looked at in vain."""
    bench("CreatePolicy", policyName="deny", policyDocument=DENY)
    infos = [{"actionType": "SUBSCRIBE", "resources": [f"{ARN}topicfilter/t"]}]
    request = {"principal": certificate, "authInfos": infos}
    both = bench("TestAuthorization", policyNamesToAdd=["p", "deny"], **request)
    result = both["authResults"][0]
    assert names(result["allowed"]["policies"], "policyName") == ["p"]
    assert names(result["denied"]["explicitDeny"]["policies"], "policyName") == ["deny"]
    none = bench("TestAuthorization", **request)["authResults"][0]
    assert none["denied"] == {"implicitDeny": {"policies": []}, "explicitDeny": {"policies": []}}


def test_bad_authorization_tests_are_refused(bench: Bench) -> None:
    """Nothing to test, an unknown policy, an unknown principal."""
    infos = [{"actionType": "CONNECT", "resources": [f"{ARN}client/x"]}]
    for request, code in (
        ({"authInfos": []}, "InvalidRequestException"),
        ({"authInfos": [{"actionType": "CONNECT", "resources": []}]}, "InvalidRequestException"),
        ({"authInfos": infos, "policyNamesToAdd": ["none"]}, "ResourceNotFoundException"),
        (
            {"authInfos": infos, "principal": f"{ARN}cert/{'ab' * 32}"},
            "ResourceNotFoundException",
        ),
    ):
        assert bench.failure("TestAuthorization", **request) == code
