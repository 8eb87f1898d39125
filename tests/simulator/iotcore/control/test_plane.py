from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.pem import certificate_id
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.jobs import JobsService
from tests.simulator.iotcore.control.bench import (
    ACCOUNT,
    ALLOW,
    ARN,
    COGNITO,
    UNIX_S_AT_ZERO,
    Bench,
)
from tests.simulator.iotcore.control.credentials import device, new_ca, pem_of
from tests.simulator.iotcore.services.aws_models import (
    check_failure,
    check_result,
    check_shape,
    model,
)

CA = new_ca()
OPERATIONS = sorted(Bench().plane.operations())
CERTIFICATE = f"{1:064x}"
ROLE = "arn:aws:iam::123456789012:role/car"
PLAUSIBLE = [
    "a",
    "b",
    "1",
    CERTIFICATE,
    certificate_id(CA.certificate),
    COGNITO,
    ALLOW,
    f"{ARN}thing/a",
    f"{ARN}thinggroup/a",
    f"{ARN}policy/a",
    f"{ARN}cert/{CERTIFICATE}",
    ROLE,
    pem_of(CA),
    device(CA).pem,
]
TEXTS = st.sampled_from([*PLAUSIBLE, "", "x" * 200]) | st.text(max_size=8)
BY_SHAPE = {
    "Principal": (5, 10),
    "PolicyTarget": (5, 8, 10),
    "ResourceArn": (7, 8, 9),
    "PolicyDocument": (6,),
    "CertificatePem": (12, 13),
}
"""Shapes whose pattern says little -> which of the plausible texts fit."""

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def fitting(shape: Any) -> list[str]:
    """The plausible texts that a shape allows."""
    if shape.metadata.get("enum"):
        return list(shape.metadata["enum"])
    if shape.name in BY_SHAPE:
        return [PLAUSIBLE[index] for index in BY_SHAPE[shape.name]]
    found = []
    for text in PLAUSIBLE:
        with contextlib.suppress(AssertionError):
            check_shape(shape, text)
            found.append(text)
    return found


def values_of(shape: Any) -> st.SearchStrategy[Any]:
    """Values of a shape, mostly within its limits, and sometimes of none."""
    if shape.type_name == "structure":
        members = {name: values_of(member) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        shaped: st.SearchStrategy[Any] = st.fixed_dictionaries(required, optional=members)
    elif shape.type_name == "list":
        shaped = st.lists(values_of(shape.member), max_size=2)
    elif shape.type_name == "map":
        shaped = st.dictionaries(values_of(shape.key).filter(is_text), values_of(shape.value))
    elif shape.type_name == "boolean":
        shaped = st.booleans()
    elif shape.type_name in {"integer", "long"}:
        shaped = st.sampled_from([1, 2, 250, 900, 0, -1])
    else:
        shaped = st.sampled_from(fitting(shape) or [""])
    return st.integers(0, 40).flatmap(lambda dice: VALUES if dice == 40 else shaped)


def is_text(value: Any) -> bool:
    """Whether a value can be a key."""
    return isinstance(value, str)


def requests_of(operation: str) -> st.SearchStrategy[Any]:
    """Requests of an operation, right and wrong ones."""
    shape = model("iot").operation_model(operation).input_shape
    members = {name: values_of(member) for name, member in shape.members.items()}
    required = {name: members.pop(name) for name in shape.required_members}
    whole = st.fixed_dictionaries(required, optional=members)
    return st.integers(0, 20).flatmap(
        lambda dice: st.fixed_dictionaries({}, optional=members) if dice == 20 else whole
    )


REQUESTS = {operation: requests_of(operation) for operation in OPERATIONS}
CALLS = st.lists(
    st.sampled_from(OPERATIONS).flatmap(
        lambda operation: st.tuples(st.just(operation), REQUESTS[operation])
    ),
    max_size=15,
)


@settings(max_examples=300, deadline=None)
@given(CALLS)
def test_any_request_gets_a_result_or_a_failure_of_the_model(
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    """Never another exception, and a registry that can be dumped and loaded."""
    bench = Bench()
    bench.things("a", "b")
    bench("CreateThingGroup", thingGroupName="a")
    bench("CreatePolicy", policyName="a", policyDocument=ALLOW)
    bench("CreateThingType", thingTypeName="a")
    bench("CreateRoleAlias", roleAlias="a", roleArn=ROLE)
    bench.certificate()
    for operation, request in calls:
        try:
            result, _ = bench.plane.operations()[operation](request, bench.now_s)
        except ServiceFailure as failure:
            check_failure("iot", operation, failure.code, failure.http_status)
        else:
            check_result("iot", operation, result)
    bench.registry.load(bench.registry.dump())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_is_one_of_the_model(operation: str) -> None:
    """By its name in the AWS SDKs."""
    assert operation in model("iot").operation_names


def test_jobs_follow_things_and_groups() -> None:
    """A CONTINUOUS job reaches who joins its group; a deleted thing loses what it had pending."""
    bench = Bench()

    def resolve(arn: str) -> list[str] | None:
        name = arn.removeprefix(f"{ARN}thinggroup/")
        groups = bench.registry.groups
        return groups.things_in(name, recursive=True) if groups.exists(name) else None

    jobs = JobsService(resolve, new_id=lambda: "id", unix_s_at_zero=UNIX_S_AT_ZERO, account=ACCOUNT)
    bench = Bench(thing_deleted=jobs.thing_deleted, groups_changed=jobs.groups_changed)
    bench.things("car-1", "car-2")
    for name, parent in (("fleet", {}), ("seoul", {"parentGroupName": "fleet"})):
        bench("CreateThingGroup", thingGroupName=name, **parent)
    bench("AddThingToThingGroup", thingName="car-1", thingGroupName="seoul")
    target = {"targets": [f"{ARN}thinggroup/fleet"], "targetSelection": "CONTINUOUS"}
    jobs.control.create_job({"jobId": "job", "document": "{}", **target}, bench.now_s)

    def statuses() -> dict[str, str]:
        rows, _ = jobs.control.list_job_executions_for_job({"jobId": "job"}, bench.now_s)
        return {
            row["thingArn"].removeprefix(f"{ARN}thing/"): row["jobExecutionSummary"]["status"]
            for row in rows["executionSummaries"]
        }

    assert statuses() == {"car-1": "QUEUED"}
    bench.topics()
    bench("AddThingToThingGroup", thingName="car-2", thingGroupName="seoul")
    assert bench.topics() == ["$aws/things/car-2/jobs/notify", "$aws/things/car-2/jobs/notify-next"]
    bench("DeleteThing", thingName="car-1")
    assert statuses() == {"car-1": "REMOVED", "car-2": "QUEUED"}
    bench("DeleteThingGroup", thingGroupName="seoul")
    assert statuses() == {"car-1": "REMOVED", "car-2": "REMOVED"}
