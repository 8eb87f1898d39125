"""The services joined to the broker, seen by clients."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from certs.authority import create_authority
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry, Thing
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from simulator.iotcore.throttling.choosing import choose
from tests.simulator.iotcore.conftest import ACCOUNT_ID, ALLOW_ALL, ARN, REGION, Bench, Client

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import Quotas

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHADOW = "$aws/things/car-1/shadow"
JOBS = "$aws/things/car-1/jobs"


class CloudBench(Bench):
    """A broker with all services behind it and the thing `car-1`."""

    def __init__(self, quotas: Quotas | None = None) -> None:
        ids = itertools.count(1)
        registry = Registry()
        self.cloud = Cloud(
            registry,
            DevelopmentAuthority(create_authority("Test CA", NOW)),
            account=Account(REGION, ACCOUNT_ID),
            new_id=lambda: f"service-{next(ids)}",
            unix_s_at_zero=1_700_000_000.0,
        )
        super().__init__(quotas=quotas, reserved=self.cloud.desk, registry=registry)
        self.registry.put_policy(Policy.parse("test", ALLOW_ALL))
        self.registry.put_thing(Thing("car-1"))

    def ask(self, client: Client, topic: str, document: Any = None) -> list[tuple[str, Any]]:
        """Publish a request and give topic and document of every message that came of it."""
        payload = b"" if document is None else json.dumps(document).encode()
        client.publish(topic, payload, qos=1)
        return [(name, json.loads(body) if body else None) for name, body in client.messages()]


@pytest.fixture
def bench() -> CloudBench:
    """A broker with all services."""
    return CloudBench()


def test_a_shadow_request_is_seen_and_answered_to_everybody(bench: CloudBench) -> None:
    """Subscribers of the topics get the request, accepted, documents and delta."""
    car, app = bench.join("car-1"), bench.join("app")
    app.subscribe(f"{SHADOW}/#")
    app.messages()
    assert bench.ask(car, f"{SHADOW}/update", {"state": {"desired": {"gear": 1}}}) == []
    topics = {topic.removeprefix(f"{SHADOW}/") for topic, _ in app.messages()}
    assert topics == {"update", "update/accepted", "update/documents", "update/delta"}


def test_a_will_does_not_change_a_shadow(bench: CloudBench) -> None:
    """A will on a shadow topic reaches subscribers and not the service."""
    app = bench.join("app")
    app.subscribe(f"{SHADOW}/#")
    app.messages()
    will = mqtt5.Will(topic=f"{SHADOW}/update", payload=b'{"state":{"reported":{"on":false}}}')
    bench.join("car-1", will=will).lose()
    assert [topic for topic, _ in app.messages()] == [f"{SHADOW}/update"]
    assert bench.ask(app, f"{SHADOW}/get")[-1][1]["code"] == 404


def test_a_shadow_outlives_its_thing(bench: CloudBench) -> None:
    """Deleting a thing keeps its shadow, and a thing of that name finds it again."""
    app = bench.join("app")
    app.subscribe(f"{SHADOW}/+/accepted")
    bench.ask(app, f"{SHADOW}/update", {"state": {"reported": {"gear": 3}}})
    bench.cloud.control.operations()["DeleteThing"]({"thingName": "car-1"}, bench.now_s)
    ((_, left),) = bench.ask(app, f"{SHADOW}/get")
    bench.registry.put_thing(Thing("car-1"))
    ((_, found),) = bench.ask(app, f"{SHADOW}/get")
    assert left["state"] == found["state"] == {"reported": {"gear": 3}}


def test_a_job_reaches_a_device_that_did_not_subscribe(bench: CloudBench) -> None:
    """The answer to start-next is direct; the answers of the API go to who subscribed."""
    _, answers = bench.cloud.jobs.control.create_job(
        {"jobId": "update-1", "targets": [f"{ARN}thing/car-1"], "document": '{"to": "2.0"}'},
        bench.now_s,
    )
    car, other = bench.join("car-1"), bench.join("other")
    other.subscribe(f"{JOBS}/notify")
    other.messages()
    bench.broker.answer(answers, bench.now_s)
    bench.collect()
    assert [topic for topic, _ in other.messages()] == [f"{JOBS}/notify"]
    ((topic, document),) = bench.ask(car, f"{JOBS}/start-next", {})
    assert topic == f"{JOBS}/start-next/accepted"
    assert document["execution"]["jobDocument"] == {"to": "2.0"}


def test_a_command_times_out_by_itself(bench: CloudBench) -> None:
    """The broker's deadlines cover those of the services; the event says what happened."""
    _, _ = bench.cloud.commands.create_command(
        {"commandId": "honk", "payload": {"content": b"{}", "contentType": "application/json"}},
        bench.now_s,
    )
    app = bench.join("app")
    app.subscribe("$aws/events/commandExecution/#")
    app.messages()
    _, answers = bench.cloud.commands.start_command_execution(
        {
            "commandArn": f"{ARN}command/honk",
            "targetArn": f"{ARN}thing/car-1",
            "executionTimeoutSeconds": 10,
        },
        bench.now_s,
    )
    bench.broker.answer(answers, bench.now_s)
    deadline_s = bench.broker.next_deadline_s
    assert deadline_s is not None
    assert deadline_s <= bench.now_s + 10
    bench.collect()
    app.messages()
    bench.wait(11)
    assert [topic for topic, _ in app.messages()] == ["$aws/events/commandExecution/honk/TIMED_OUT"]


def test_requests_above_a_quota_are_refused_by_their_service() -> None:
    """21 requests in a second to one shadow: one is rejected with 429 and counted."""
    quotas = choose("default", REGION).quotas
    bench = CloudBench(quotas)
    app = bench.join("app")
    app.subscribe(f"{SHADOW}/get/+")
    codes = [
        document["code"] for _ in range(21) for _, document in bench.ask(app, f"{SHADOW}/get", {})
    ]
    assert codes == [404] * 20 + [429]
    refused = bench.broker.quota_report()["shadow-requests-per-shadow"]
    assert (refused["refused"], refused["clients"][0]["client_id"]) == (1, "app")


def test_events_of_the_registry_are_published_while_they_are_on(bench: CloudBench) -> None:
    """Topics and members of the developer guide's "Registry events"; silence until switched on."""
    operations = bench.cloud.control.operations()

    def call(name: str, **request: Any) -> dict[str, Any]:
        result, answers = operations[name](request, bench.now_s)
        bench.broker.answer(answers, bench.now_s)
        bench.wait(1)
        return result

    app = bench.join("app")
    app.subscribe("$aws/events/thing/#", "$aws/events/thingGroupMembership/#")
    call("CreateThing", thingName="silent")
    enabled = {kind: {"Enabled": True} for kind in ("THING", "THING_GROUP_MEMBERSHIP")}
    call("UpdateEventConfigurations", eventConfigurations=enabled)
    thing_id = call("CreateThing", thingName="bus-1")["thingId"]
    call("UpdateThing", thingName="bus-1", attributePayload={"attributes": {"fleet": "a"}})
    group_id = call("CreateThingGroup", thingGroupName="yard")["thingGroupId"]
    call("AddThingToThingGroup", thingGroupName="yard", thingName="bus-1")
    call("DeleteThing", thingName="bus-1")
    events = bench.events(app)
    membership = "$aws/events/thingGroupMembership/thingGroup/yard/thing/bus-1"
    assert [topic for topic, _ in events] == [
        "$aws/events/thing/bus-1/created",
        "$aws/events/thing/bus-1/updated",
        f"{membership}/added",
        f"{membership}/removed",
        "$aws/events/thing/bus-1/deleted",
    ]
    ids = {document.pop("eventId") for _, document in events}
    assert len(ids) == 5
    updated, added, removed = events[1][1], events[2][1], events[3][1]
    assert updated.pop("timestamp") > 1_700_000_000_000
    assert updated == {
        "eventType": "THING_EVENT",
        "operation": "UPDATED",
        "accountId": ACCOUNT_ID,
        "thingId": thing_id,
        "thingName": "bus-1",
        "versionNumber": 2,
        "thingTypeName": None,
        "attributes": {"fleet": "a"},
    }
    assert added["membershipId"] == removed["membershipId"]
    assert {key: added[key] for key in added if key not in {"timestamp", "membershipId"}} == {
        "eventType": "THING_GROUP_MEMBERSHIP_EVENT",
        "operation": "ADDED",
        "accountId": ACCOUNT_ID,
        "groupArn": f"{ARN}thinggroup/yard",
        "groupId": group_id,
        "thingArn": f"{ARN}thing/bus-1",
        "thingId": thing_id,
    }


def test_events_that_wait_are_bounded(bench: CloudBench) -> None:
    """What a burst makes beyond ten thousand is dropped and counted."""
    bench.registry.set_events({"THING": True}, 0.0)
    for _ in range(10_002):
        bench.registry.put_thing(Thing("car-1"))
    bench.wait(1)
    assert bench.cloud.registry_events.status() == {"published": 10_000, "dropped": 2}


def test_a_job_for_a_group_reaches_things_that_join_later(bench: CloudBench) -> None:
    """A continuous job follows the registry's groups, whichever operation changed them."""
    operations = bench.cloud.control.operations()
    operations["CreateThingGroup"]({"thingGroupName": "fleet"}, bench.now_s)
    bench.cloud.jobs.control.create_job(
        {
            "jobId": "update-1",
            "targets": [f"{ARN}thinggroup/fleet"],
            "document": "{}",
            "targetSelection": "CONTINUOUS",
        },
        bench.now_s,
    )
    car = bench.join("car-1")
    assert bench.ask(car, f"{JOBS}/get")[0][1]["queuedJobs"] == []
    _, answers = operations["AddThingToThingGroup"](
        {"thingGroupName": "fleet", "thingName": "car-1"}, bench.now_s
    )
    bench.broker.answer(answers, bench.now_s)
    ((_, pending),) = bench.ask(car, f"{JOBS}/get")
    assert [job["jobId"] for job in pending["queuedJobs"]] == ["update-1"]


def test_a_shadow_that_is_too_large_counts_as_a_refusal_of_its_quota(bench: CloudBench) -> None:
    """413 over MQTT, and the quota report names the client."""
    app = bench.join("app")
    app.subscribe(f"{SHADOW}/update/+")
    ((_, refusal),) = bench.ask(
        app, f"{SHADOW}/update", {"state": {"reported": {"text": "x" * 8_200}}}
    )
    assert refusal["code"] == 413
    refused = bench.broker.quota_report()["shadow-document-bytes"]
    assert (refused["refused"], refused["clients"][0]["client_id"]) == (1, "app")
