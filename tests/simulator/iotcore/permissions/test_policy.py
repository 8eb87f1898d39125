from __future__ import annotations

import json
from typing import Any

import pytest

from certs.errors import ConfigurationError
from simulator.iotcore.permissions.policy import Action, Permissions, Policy

ARN = "arn:aws:iot:us-east-1:1:"


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def statement(
    action: Any = "iot:Publish", resource: Any = "*", effect: str = "Allow", **more: Any
) -> dict[str, Any]:
    """One statement."""
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def permissions(
    *statements: dict[str, Any], connect: tuple[str, ...] = (), **values: tuple[str, ...]
) -> Permissions:
    """Permissions of a connection with these values, `__` for `:` and `_` for `.`."""
    named = {name.replace("__", ":").replace("_", "."): value for name, value in values.items()}
    return Permissions(
        [Policy.parse("p", document(*statements))], named, {"iot:connectattributes": connect}
    )


def test_what_no_statement_allows_is_denied() -> None:
    """Default deny, per action and per resource."""
    found = permissions(statement("iot:Publish", f"{ARN}topic/a"))
    assert found.allows(Action.PUBLISH, f"{ARN}topic/a")
    assert not found.allows(Action.PUBLISH, f"{ARN}topic/b")
    assert not found.allows(Action.RECEIVE, f"{ARN}topic/a")


def test_an_explicit_deny_wins_whatever_the_order() -> None:
    """Deny beats Allow before and after it."""
    allow, deny = statement(resource="*"), statement(resource="*/secret", effect="Deny")
    for order in ((allow, deny), (deny, allow)):
        found = permissions(*order)
        assert found.allows(Action.PUBLISH, f"{ARN}topic/open")
        assert not found.allows(Action.PUBLISH, f"{ARN}topic/secret")


@pytest.mark.parametrize(
    "action", ["*", "iot:*", "iot:Pub*", "IOT:PUBLISH", ["iot:Receive", "iot:Publish"]]
)
def test_actions_have_wildcards_and_no_case(action: Any) -> None:
    """`iot:*` and lists cover the action."""
    assert permissions(statement(action)).allows(Action.PUBLISH, f"{ARN}topic/x")


def test_plus_and_hash_are_plain_characters() -> None:
    """`topicfilter/a/+` allows exactly that filter, `topicfilter/a/*` also `a/#`."""
    exact = permissions(statement("iot:Subscribe", f"{ARN}topicfilter/a/+"))
    assert exact.allows(Action.SUBSCRIBE, f"{ARN}topicfilter/a/+")
    assert not exact.allows(Action.SUBSCRIBE, f"{ARN}topicfilter/a/b")
    star = permissions(statement("iot:Subscribe", f"{ARN}topicfilter/a/*"))
    assert star.allows(Action.SUBSCRIBE, f"{ARN}topicfilter/a/#")


def test_variables_are_filled_in() -> None:
    """Client id, thing and several values by index."""
    found = permissions(
        statement(
            resource=[
                f"{ARN}topic/${{iot:ClientId}}/*",
                f"{ARN}topic/unit/${{iot:Certificate.Subject.OrganizationalUnit.1}}",
            ]
        ),
        iot__clientid=("car",),
        iot__certificate_subject_organizationalunit=("first", "second"),
    )
    assert found.allows(Action.PUBLISH, f"{ARN}topic/car/x")
    assert not found.allows(Action.PUBLISH, f"{ARN}topic/bus/x")
    assert found.allows(Action.PUBLISH, f"{ARN}topic/unit/second")
    assert not found.allows(Action.PUBLISH, f"{ARN}topic/unit/first")


def test_a_resource_whose_variable_has_no_value_matches_nothing() -> None:
    """Without a thing, statements about the thing neither allow nor deny."""
    found = permissions(
        statement(resource=f"{ARN}topic/${{iot:Connection.Thing.ThingName}}"),
        statement(resource=f"{ARN}topic/${{iot:Connection.Thing.ThingName}}*", effect="Deny"),
        statement(resource=f"{ARN}topic/open"),
    )
    assert found.allows(Action.PUBLISH, f"{ARN}topic/open")
    assert not found.allows(Action.PUBLISH, f"{ARN}topic/${{iot:Connection.Thing.ThingName}}")


def test_wildcards_inside_a_value_are_plain_characters() -> None:
    """A client called `*` may not publish for everybody."""
    found = permissions(statement(resource=f"{ARN}topic/${{iot:ClientId}}/x"), iot__clientid=("*",))
    assert found.allows(Action.PUBLISH, f"{ARN}topic/*/x")
    assert not found.allows(Action.PUBLISH, f"{ARN}topic/car/x")


def test_escapes_stand_for_the_character() -> None:
    """`${*}`, `${?}` and `${$}` are no wildcards."""
    found = permissions(statement(resource=f"{ARN}topic/${{*}}${{?}}${{$}}"))
    assert found.allows(Action.PUBLISH, f"{ARN}topic/*?$")
    assert not found.allows(Action.PUBLISH, f"{ARN}topic/abc")


IS_ATTACHED = "iot:Connection.Thing.IsAttached"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Bool": {IS_ATTACHED: "true"}}, True),
        ({"Bool": {IS_ATTACHED: True}}, True),
        ({"Bool": {IS_ATTACHED: ["true"]}}, True),
        ({"Bool": {IS_ATTACHED: "false"}}, False),
        ({"StringEquals": {"iot:ClientId": ["bus", "car-1"]}}, True),
        ({"StringEquals": {"iot:ClientId": "car-*"}}, False),
        ({"StringEquals": {"iot:ClientId": "${iot:ClientId}"}}, True),
        ({"StringNotEquals": {"iot:ClientId": "car-1"}}, False),
        ({"StringEqualsIgnoreCase": {"iot:ClientId": "CAR-1"}}, True),
        ({"StringLike": {"iot:ClientId": "car-?"}}, True),
        ({"StringNotLike": {"iot:ClientId": "car-?"}}, False),
        ({"StringLike": {"iot:Connection.Thing.ThingName": "*"}}, False),
        ({"StringLikeIfExists": {"iot:Connection.Thing.ThingName": "x"}}, True),
        ({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.7"}}, False),
        ({"Bool": {IS_ATTACHED: "true"}, "StringLike": {"iot:ClientId": "bus"}}, False),
    ],
)
def test_conditions(condition: dict[str, Any], expected: bool) -> None:
    """Each operator on a client `car-1` of a thing, from 192.0.2.7; all conditions must hold."""
    found = permissions(
        statement(Condition=condition),
        iot__clientid=("car-1",),
        iot__connection_thing_isattached=("true",),
        aws__sourceip=("192.0.2.7",),
    )
    assert found.allows(Action.PUBLISH, f"{ARN}topic/x") is expected


CONNECT_ATTRIBUTES = "iot:ConnectAttributes"


@pytest.mark.parametrize(
    ("condition", "attributes", "expected"),
    [
        ({"ForAllValues:StringEquals": {CONNECT_ATTRIBUTES: ["PersistentConnect"]}}, (), True),
        (
            {"ForAllValues:StringEquals": {CONNECT_ATTRIBUTES: ["PersistentConnect"]}},
            ("PersistentConnect",),
            True,
        ),
        (
            {"ForAllValues:StringEquals": {CONNECT_ATTRIBUTES: ["PersistentConnect"]}},
            ("PersistentConnect", "LastWill"),
            False,
        ),
        ({"ForAllValues:StringEquals": {CONNECT_ATTRIBUTES: []}}, (), True),
        ({"ForAllValues:StringEquals": {CONNECT_ATTRIBUTES: []}}, ("LastWill",), False),
        ({"ForAnyValue:StringEquals": {CONNECT_ATTRIBUTES: ["LastWill"]}}, ("LastWill",), True),
        ({"ForAnyValue:StringEquals": {CONNECT_ATTRIBUTES: ["LastWill"]}}, (), False),
        (
            {"ForAllValues:StringNotEquals": {CONNECT_ATTRIBUTES: ["LastWill"]}},
            ("LastWill",),
            False,
        ),
    ],
)
def test_connect_attributes(
    condition: dict[str, Any], attributes: tuple[str, ...], expected: bool
) -> None:
    """Policies can allow or refuse persistent sessions and wills."""
    found = permissions(statement("iot:Connect", Condition=condition), connect=attributes)
    assert found.allows(Action.CONNECT, f"{ARN}client/c") is expected


@pytest.mark.parametrize(
    ("resources", "prefixes"),
    [
        (["*"], {""}),
        (["arn:aws:iot:*"], {""}),
        ([f"{ARN}topic/dt/*", f"{ARN}topic/cmd*"], {"dt/", "cmd"}),
        ([f"{ARN}topic/dt/*/x", f"{ARN}topic/a", f"{ARN}client/*"], set()),
    ],
)
def test_tells_prefixes_that_are_certainly_allowed(
    resources: list[str], prefixes: set[str]
) -> None:
    """Only patterns that are nothing but a prefix count, and only without any Deny."""
    allow = statement("iot:Receive", resources)
    arn_prefix = f"{ARN}topic/"
    assert set(permissions(allow).allowed_prefixes(Action.RECEIVE, arn_prefix)) == prefixes
    deny = statement("iot:Receive", f"{ARN}topic/x", "Deny")
    assert permissions(allow, deny).allowed_prefixes(Action.RECEIVE, arn_prefix) == ()


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("{", "not JSON"),
        (b"\xff", "not UTF-8"),
        ("[]", "object"),
        ("[" * 100_000, "characters"),
        ({"Version": "2012-10-17"}, "no Statement"),
        ({"Version": "2013-01-01", "Statement": []}, "Version"),
        ({"Version": "2012-10-17", "Statement": [], "Sid": "x"}, "'Sid'"),
        (document(statement(effect="allow")), "Effect"),
        (document(statement(), statement(effect="Maybe")), "statement 2"),
        (document(statement(effect="Maybe", Sid="Second")), "Second"),
        (document(statement(action="s3:Get")), "s3:Get"),
        (document(statement(action=[])), "Action"),
        (document(statement(resource="topic/a")), "topic/a"),
        (document(statement(resource=7)), "Resource"),
        (document(statement(resource="*${iot:ClientId")), "not closed"),
        (document({**statement(), "NotAction": "iot:*"}), "NotAction"),
        (document(statement(Condition={"StringIs": {"k": "v"}})), "StringIs"),
        (document(statement(Condition={"ForSome:Bool": {"k": "v"}})), "ForSome:Bool"),
        (document(statement(Condition={"Bool": "v"})), "Bool"),
        (document(statement(Condition={"IpAddress": {"aws:SourceIp": "300.1"}})), "300.1"),
        (document(statement(Condition=[])), "Condition"),
        (json.dumps(document(*[statement(resource="*" * 60)] * 30)), "2048"),
    ],
)
def test_broken_documents_name_the_place(broken: Any, says: str) -> None:
    """A policy that breaks the grammar is a configuration error about one element."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        Policy.parse("vehicle", broken)
    assert "vehicle" in caught.value.what


def test_a_policy_knows_whose_resources_it_names() -> None:
    """Region and account come from ARNs that spell them out."""
    policy = Policy.parse(
        "p",
        document(
            statement(resource="arn:aws:iot:eu-west-1:42:topic/a"),
            statement(resource=["arn:aws:iot:*:42:topic/b", "*"]),
        ),
    )
    assert policy.arn_owners == {("eu-west-1", "42")}
