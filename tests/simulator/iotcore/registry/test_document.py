from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import ConfigurationError
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import (
    CertificateMode,
    CertificateStatus,
    CustomAuthorizer,
    RegisteredAuthority,
    Registry,
    RoleAlias,
    Thing,
    ThingGroup,
)

IDS = ["ab" * 32, "cd" * 32]
COGNITO = "eu-west-1:0000"
NAMES = st.sampled_from(["a", "b", "c"])
POLICIES = st.sampled_from(["p", "q"])
PRINCIPALS = st.sampled_from([*IDS, COGNITO])
EFFECTS = st.sampled_from(["Allow", "Deny"])
CHANGES = st.one_of(
    st.tuples(st.just("thing"), NAMES, st.none() | st.just("Car")),
    st.tuples(st.just("delete thing"), NAMES),
    st.tuples(st.just("certificate"), st.sampled_from(IDS), st.sampled_from(CertificateStatus)),
    st.tuples(st.just("delete certificate"), st.sampled_from(IDS)),
    st.tuples(st.just("policy"), POLICIES, EFFECTS),
    st.tuples(st.just("attach policy"), POLICIES, PRINCIPALS),
    st.tuples(st.just("detach policy"), POLICIES, PRINCIPALS),
    st.tuples(st.just("attach thing"), NAMES, PRINCIPALS, st.booleans()),
    st.tuples(st.just("detach thing"), NAMES, PRINCIPALS),
    st.tuples(st.just("group"), NAMES, st.none() | NAMES),
    st.tuples(st.just("join"), NAMES, NAMES),
    st.tuples(st.just("group policy"), POLICIES, NAMES),
)


def policy(name: str, effect: str) -> Policy:
    """A policy that allows or denies everything."""
    statement = {"Effect": effect, "Action": "iot:*", "Resource": "*"}
    return Policy.parse(name, {"Version": "2012-10-17", "Statement": statement})


def change(registry: Registry, kind: str, *given_: Any) -> None:
    """Make a change; one that does not fit changes nothing."""
    calls: dict[str, Any] = {
        "thing": lambda name, type_name: registry.put_thing(Thing(name, type_name)),
        "delete thing": registry.delete_thing,
        "certificate": registry.register_certificate,
        "delete certificate": registry.delete_certificate,
        "policy": lambda name, effect: registry.put_policy(policy(name, effect)),
        "attach policy": registry.attach_policy,
        "detach policy": registry.detach_policy,
        "attach thing": lambda name, key, exclusive: registry.attach_thing(
            name, key, exclusive=exclusive
        ),
        "detach thing": registry.detach_thing,
        "group": lambda name, parent: registry.groups.create(ThingGroup(name, parent=parent)),
        "join": registry.groups.add,
        "group policy": registry.attach_group_policy,
    }
    try:
        if kind != "join" or registry.thing(given_[0]) is not None:
            calls[kind](*given_)
    except ConfigurationError:
        pass


def seen(registry: Registry) -> dict[str, Any]:
    """What the broker and the API see, asked from every side."""
    clients = ("a", "b", "c", "other")
    return {
        "things": registry.things(),
        "in order": [one.name for one in registry.things_after("")],
        "versions": [(one.name, one.version, one.thing_id) for one in registry.things()],
        "active": [registry.is_active(key) for key in IDS],
        "policies": {
            (key, client): [(one.name, one.document) for one in registry.policies_of(key, client)]
            for key in (*IDS, COGNITO)
            for client in clients
        },
        "stands for": {
            (key, client): registry.thing_of(key, client)
            for key in (*IDS, COGNITO)
            for client in clients
        },
        "principals": {name: registry.principals_of(name) for name in clients},
        "targets": {name: set(registry.principals_with(name)) for name in ("p", "q")},
        "groups": {name: registry.groups.of(name) for name in clients},
        "types": registry.types.names(),
    }


@given(st.lists(CHANGES, max_size=30))
def test_a_loaded_registry_is_the_one_that_was_dumped(
    changes: list[tuple[str, ...]],
) -> None:
    """Through JSON, after any history; it goes on in the same way, and sees both as equal."""
    registry = Registry()
    for kind, *rest in changes:
        change(registry, kind, *rest)
    document = json.loads(json.dumps(registry.dump()))
    fresh = Registry()
    change(fresh, "thing", "left over", None)
    revision = fresh.revision
    fresh.load(document)
    assert fresh.revision > revision
    assert seen(fresh) == seen(registry)
    assert fresh.dump() == document
    for one in (registry, fresh):
        for kind, *rest in changes:
            change(one, kind, *rest)
    assert seen(fresh) == seen(registry)


@given(st.lists(CHANGES, max_size=30))
def test_every_change_is_noticed(changes: list[tuple[str, ...]]) -> None:
    """What a connection may do changes only with `revision`, and the document with `changes`."""
    registry = Registry()
    for kind, *rest in changes:
        sight, revision, counted = seen(registry), registry.revision, registry.changes
        document = registry.dump()
        change(registry, kind, *rest)
        after = seen(registry)
        for what in ("active", "policies", "stands for"):
            assert registry.revision > revision or after[what] == sight[what]
        changed = {**registry.dump(), "serial": 0} != {**document, "serial": 0}
        assert registry.changes > counted or not changed


def full() -> Registry:
    """A registry with one of everything."""
    registry = Registry(1_700_000_000.0)
    registry.register_certificate(IDS[0], pem="PEM", ca_id=IDS[1], mode=CertificateMode.SNI_ONLY)
    registry.put_policy(policy("p", "Allow"))
    registry.attach_policy("p", IDS[0])
    registry.put_thing(Thing("a", "Car", {"x": "1"}))
    registry.attach_thing("a", COGNITO)
    registry.groups.create(ThingGroup("g", "id"))
    registry.groups.add("a", "g")
    registry.attach_group_policy("p", "g")
    registry.authorities.put(IDS[1], RegisteredAuthority(IDS[1], "CA PEM", is_active=False))
    registry.role_aliases.put("r", RoleAlias("r", "arn"))
    registry.authorizers.put("z", CustomAuthorizer("z", "arn"))
    registry.set_default_authorizer("z")
    registry.set_registration_code("code")
    registry.tags.put("arn", {"k": "v"})
    registry.set_events({"JOB": True}, 7.0)
    return registry


def test_everything_survives() -> None:
    """Also what the broker never asks for, and what services hold on to stays the same object."""
    registry, fresh = full(), Registry()
    groups = fresh.groups
    fresh.load(registry.dump())
    assert fresh.dump() == registry.dump()
    assert fresh.groups is groups
    assert groups.of("a") == ("g",)
    assert fresh.trust_anchors() == ["PEM"]
    assert fresh.default_authorizer == "z"
    assert fresh.events.enabled == {"JOB": True}


def test_a_long_policy_of_a_program_survives() -> None:
    """Only documents that come as text are held to the quota of AWS."""
    registry = Registry()
    statement = {"Effect": "Allow", "Action": "iot:*", "Resource": ["arn:" + "x" * 3000]}
    registry.put_policy(Policy.parse("long", {"Version": "2012-10-17", "Statement": statement}))
    fresh = Registry()
    fresh.load(registry.dump())
    assert "x" * 3000 in fresh.policies.in_force("long").document


DAMAGE: list[tuple[str, Any]] = [
    ("things", 7),
    ("things", [{"name": "a", "type_name": "Gone"}]),
    ("certificates", [{"certificate_id": "short", "status": "ACTIVE"}]),
    ("certificates", [{"certificate_id": IDS[0], "status": "SLEEPY"}]),
    ("certificates", [{"certificate_id": IDS[0], "status": "ACTIVE", "policies": ["gone"]}]),
    ("certificates", [{"certificate_id": IDS[0], "status": "ACTIVE", "things": {"gone": True}}]),
    ("identities", {COGNITO: {"policies": ["gone"]}}),
    ("members", {"gone": ["a"]}),
    ("members", {"g": ["gone"]}),
    ("groups", [{"name": "g", "parent": "gone"}]),
    ("groups", [{"name": "g", "policies": ["gone"]}]),
    ("policies", []),
    ("default_authorizer", "gone"),
    ("unknown", 1),
]


@pytest.mark.parametrize(("member", "value"), DAMAGE)
def test_a_damaged_document_is_refused_whole(member: str, value: Any) -> None:
    """With a ValueError, and the registry stays as it was."""
    registry = full()
    before = registry.dump()
    with pytest.raises(ValueError, match=r"."):
        registry.load({**before, member: value})
    assert registry.dump() == before


@pytest.mark.parametrize(
    "damage",
    [
        {"default_version": 9},
        {"last_version": 0},
        {"versions": {"1": {"document": "{}", "created_s": 0}}},
        {"versions": {"1": {"document": "{", "created_s": 0}}},
    ],
)
def test_a_damaged_policy_is_refused(damage: dict[str, Any]) -> None:
    """No default version, ids beyond the last one, documents that are none."""
    document = full().dump()
    document["policies"][0] |= damage
    with pytest.raises(ValueError, match=r"."):
        Registry().load(document)
