"""A stand-in put together from a configuration, over TLS."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from certs.errors import ConfigurationError, LinkError
from certs.store import Store
from simulator.iotcore.assembly import prepare_store, stand_in, trusts_strangers
from simulator.iotcore.configuration import CoreConfiguration
from simulator.iotcore.registry import CertificateStatus
from tests.simulator.iotcore.status.running import TIMEOUT_S, Running, running

if TYPE_CHECKING:
    from pathlib import Path

HOOK = "arn:aws:lambda:us-east-1:000000000000:function:allow-car"
AUTHORIZER = "arn:aws:lambda:us-east-1:000000000000:function:sign-in"
FUNCTIONS = """
import time

def allow_car(event, context):
    serial = event["parameters"]["Serial"]
    if serial == "slow":
        time.sleep(0.2)
    if serial == "broken":
        raise RuntimeError("no")
    return {"allowProvisioning": serial != "stolen", "parameterOverrides": {"Depot": "north"}}

def sign_in(event, context):
    is_open = event["token"] == "open"
    return {"isAuthenticated": is_open, "principalId": "app", "policyDocuments": []}
"""
TEMPLATE = {
    "Parameters": {
        "Serial": {"Type": "String"},
        "Depot": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    },
    "Resources": {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
        },
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Fn::Join": ["-", [{"Ref": "Depot"}, {"Ref": "Serial"}]]}},
        },
    },
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of a server and a claim."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority()
    found.issue_server()
    found.issue_thing("claim")
    return found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with functions and a template."""
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    (tmp_path / "cars.json").write_text(json.dumps(TEMPLATE))
    return tmp_path


def fleet(files: Path) -> dict[str, Any]:
    """The part of a configuration that provisions cars."""
    return {
        "lambdas": {HOOK: f"{files}/mine.py:allow_car"},
        "provisioning_templates": [{"name": "cars", "body": files / "cars.json", "hook": HOOK}],
    }


async def provision(core: Running, serial: str) -> tuple[str, Any]:
    """Provision a car by claim; gives the last level of the answer's topic and its document."""
    async with core.client("claim", f"claim-{serial}") as device:
        names = (
            "$aws/certificates/create/json/accepted",
            "$aws/provisioning-templates/cars/provision/json/accepted",
            "$aws/provisioning-templates/cars/provision/json/rejected",
        )
        device.writer.write(mqtt5.SubscribePacket(1, [_at_qos_1(name) for name in names]).write())
        device.writer.write(mqtt5.PublishPacket("$aws/certificates/create/json", b"{}").write())
        _, made = await _message(device.reader)
        request = {
            "certificateOwnershipToken": made["certificateOwnershipToken"],
            "parameters": {"Serial": serial},
        }
        topic = "$aws/provisioning-templates/cars/provision/json"
        device.writer.write(mqtt5.PublishPacket(topic, json.dumps(request).encode()).write())
        return await _message(device.reader)


def _at_qos_1(name: str) -> mqtt5.TopicFilter:
    return mqtt5.TopicFilter(name, max_qos=mqtt5.QoS.AT_LEAST_ONCE)


async def _message(reader: asyncio.StreamReader) -> tuple[str, Any]:
    """The next PUBLISH: last level of its topic, and its document."""
    data = b""
    while True:
        more = await reader.read(65_536)
        assert more, "the connection was closed"
        data += more
        while data:
            try:
                packet, size = mqtt5.read(memoryview(data))
            except IndexError:
                break
            data = data[size:]
            if isinstance(packet, mqtt5.PublishPacket):
                return packet.topic.rpartition("/")[2], json.loads(packet.payload)


async def test_a_hook_of_the_configuration_decides_who_is_provisioned(
    store: Store, files: Path
) -> None:
    """It allows with overrides, also when it takes its time; it refuses; one that fails refuses."""
    async with running(store, **fleet(files)) as core:
        allowed = await provision(core, "7")
        slow = await provision(core, "slow")
        refused = await provision(core, "stolen")
        failed = await provision(core, "broken")
        things = [thing.name for thing in core.server.registry.things()]
    assert (allowed[0], allowed[1]["thingName"]) == ("accepted", "north-7")
    assert (slow[0], slow[1]["thingName"]) == ("accepted", "north-slow")
    assert (refused[0], refused[1]["errorCode"]) == ("rejected", "AccessDenied")
    assert (failed[0], failed[1]["errorCode"]) == ("rejected", "InvocationError")
    assert things == ["claim", "north-7", "north-slow"]


async def test_the_account_has_what_the_configuration_names(store: Store, files: Path) -> None:
    """Authorizers, templates, CAs and events, as DescribeX of the API shows them."""
    store_of_plant = Store(files / "plant")
    store_of_plant.init_authority()
    options = {
        "lambdas": {HOOK: f"{files}/mine.py:allow_car", AUTHORIZER: f"{files}/mine.py:sign_in"},
        "authorizers": [
            {"name": "sign-in", "function": AUTHORIZER, "token_key": "token", "is_default": True}
        ],
        "provisioning_templates": [
            {"name": "cars", "body": files / "cars.json", "hook": HOOK},
            {"name": "plant", "body": files / "cars.json", "type": "JITP"},
        ],
        "certificate_authorities": [
            {"certificate": store_of_plant.ca_certificate_path, "template": "plant"}
        ],
        "events": ["THING", "JOB"],
        "data_dir": files / "data",
    }
    async with running(store, **options):
        pass
    # The second time all of it is there already, and is brought to what the configuration says.
    async with running(store, **options) as core:
        cloud = core.server.cloud
        assert cloud is not None

        def call(operation: str, **members: Any) -> Any:
            return cloud.control.operations()[operation](members, 0.0)[0]

        authorizer = call("DescribeDefaultAuthorizer")["authorizerDescription"]
        template = cloud.provisioning.describe_provisioning_template({"templateName": "cars"})[0]
        (authority,) = call("ListCACertificates")["certificates"]
        events = call("DescribeEventConfigurations")["eventConfigurations"]
        endpoint = call("DescribeEndpoint", endpointType="iot:Data-ATS")["endpointAddress"]
    assert authorizer["authorizerName"] == "sign-in"
    assert (authorizer["status"], authorizer["signingDisabled"]) == ("ACTIVE", True)
    assert template["preProvisioningHook"]["targetArn"] == HOOK
    assert authority["status"] == "ACTIVE"
    assert {kind for kind, on in events.items() if on["Enabled"]} == {"THING", "JOB"}
    assert endpoint == f"127.0.0.1:{core.server.port}"


async def test_what_was_kept_is_there_again_and_the_configuration_wins(
    store: Store, files: Path
) -> None:
    """A restart with a data directory has the things of before and the template of now."""
    options = {**fleet(files), "data_dir": files / "data"}
    async with running(store, **options) as core:
        assert (await provision(core, "7"))[0] == "accepted"
    changed = json.loads((files / "cars.json").read_text())
    changed["Resources"]["thing"]["Properties"]["ThingName"] = {"Ref": "Serial"}
    (files / "cars.json").write_text(json.dumps(changed))
    async with running(store, **options) as core:
        again = await provision(core, "8")
        things = {thing.name for thing in core.server.registry.things()}
        found = await core.status()
    assert again[1]["thingName"] == "8"
    assert things == {"claim", "north-7", "8"}
    assert found["persistence"]["directory"] == str(files / "data")


async def test_a_certificate_that_was_deactivated_stays_so(store: Store, tmp_path: Path) -> None:
    """The store registers what is new, and does not undo what was done to what is there."""
    options = {"data_dir": tmp_path / "data"}
    key = store.identity("claim").certificate_id()
    async with running(store, **options) as core:
        assert core.server.cloud is not None
        update = core.server.cloud.control.operations()["UpdateCertificate"]
        update({"certificateId": key, "newStatus": "INACTIVE"}, 0.0)
    async with running(store, **options) as core:
        assert not core.server.registry.is_active(key)


async def test_a_registry_file_adds_to_what_was_kept(store: Store, tmp_path: Path) -> None:
    """What it names new is there after a restart; what happened to the rest meanwhile holds."""
    key = store.identity("claim").certificate_id()
    file = tmp_path / "registry.toml"
    file.write_text(f'[[certificates]]\nid = "{key}"\n')
    options: dict[str, Any] = {"data_dir": tmp_path / "data", "registry": file}
    async with running(store, **options) as core:
        assert core.server.registry.is_active(key)
        core.server.registry.set_status(key, CertificateStatus.INACTIVE)
    file.write_text(file.read_text() + "[things.van-9]\n")
    async with running(store, **options) as core:
        assert core.server.registry.thing("van-9") is not None
        assert not core.server.registry.is_active(key)


async def test_a_journey_at_the_start_is_seen_by_everybody(store: Store) -> None:
    """The clock is a week ahead from the first moment."""
    async with running(store, clock_ahead=604_800.0) as core:
        found = await core.status()
    assert found["clock"]["ahead_s"] == 604_800.0


async def test_without_the_api_its_paths_are_nobodys(store: Store) -> None:
    """Only the pages are left, and the status says so."""
    async with running(store, api={"enabled": False}) as core:
        things = await core.ask("/things")
        found = await core.status()
    assert things.status == 404
    assert found["api"] is None


async def test_only_known_access_keys_are_taken_when_some_are_named(store: Store) -> None:
    """With a configured key, a request signed with another one is refused."""
    signed = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=OTHERACCESSKEY00/20261121/us-east-1/iot/"
        "aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "0" * 64,
        "X-Amz-Date": "20261121T000000Z",
    }
    keys = {"access_keys": {"EXAMPLEACCESSKEY": "its-secret-its-secret"}}
    async with running(store, api=keys) as core:
        refused = await core.ask("/things", headers=signed)
    async with running(store) as core:
        taken = await core.ask("/things", headers=signed)
    assert refused.status == 403
    assert taken.status == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": ["nowhere.json"]}, "nowhere.json"),
        ({"registry": "nowhere.toml"}, "nowhere.toml"),
        ({"quotas": "nowhere.toml"}, "nowhere.toml"),
        ({"lambdas": {HOOK: "nowhere.py:f"}}, "nowhere.py"),
        ({"provisioning_templates": [{"name": "t", "body": "nowhere.json"}]}, "nowhere.json"),
        ({"certificate_authorities": [{"certificate": "nowhere.pem"}]}, "nowhere.pem"),
        ({"trust": ["nowhere.pem"]}, "nowhere.pem"),
    ],
)
async def test_a_file_that_is_missing_is_named(
    store: Store, options: dict[str, Any], words: str
) -> None:
    """A configuration error, before anything listens."""
    with pytest.raises(ConfigurationError, match=words):
        async with running(store, **options):
            pass


async def test_a_template_that_the_account_refuses_is_named(store: Store, tmp_path: Path) -> None:
    """What the API would refuse is refused, with the name of the template."""
    (tmp_path / "t.json").write_text('{"Resources": 3}')
    with pytest.raises(ConfigurationError, match="provisioning_templates: t"):
        async with running(
            store, provisioning_templates=[{"name": "t", "body": tmp_path / "t.json"}]
        ):
            pass


async def test_a_failed_start_lets_the_data_directory_go(store: Store, tmp_path: Path) -> None:
    """With the port taken it ends, and the next start finds the directory free."""
    data = tmp_path / "data"
    async with running(store) as first:
        taken = CoreConfiguration(store=store.root, port=first.server.port, data_dir=data)
        with pytest.raises(LinkError, match=str(first.server.port)):
            async with stand_in(taken, "1"):
                pass
        async with running(store, data_dir=data) as second:
            assert second.server.port != first.server.port


async def test_it_stops_in_an_instant_with_clients_connected(store: Store) -> None:
    """Everybody is told 0x8B, "server shutting down", and nothing is waited for."""
    async with asyncio.timeout(TIMEOUT_S):
        async with running(store) as core:
            manager = core.client("claim")
            device = await manager.__aenter__()
        data = await device.reader.read(100)
        await manager.__aexit__(None, None, None)
    packet, _ = mqtt5.read(memoryview(data))
    assert isinstance(packet, mqtt5.DisconnectPacket)
    assert int(packet.reason_code) == 0x8B


def test_a_store_is_made_when_asked_for(tmp_path: Path) -> None:
    """Once; without being asked a missing one is an error that says how."""
    root = tmp_path / "ids"
    with pytest.raises(ConfigurationError, match="ids") as caught:
        prepare_store(CoreConfiguration(store=root))
    assert "--init" in caught.value.remedy
    wanted = CoreConfiguration(store=root, init=True)
    assert len(prepare_store(wanted)) == 2
    assert prepare_store(wanted) == []


@pytest.mark.parametrize(
    ("host", "access_keys", "expected"),
    [
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        ("localhost", {}, False),
        ("0.0.0.0", {}, True),
        ("::", {}, True),
        ("192.0.2.1", {}, True),
        ("0.0.0.0", {"AKIAIOSFODNN7EXAMPLE": "secret"}, False),
    ],
)
def test_who_trusts_strangers(host: str, access_keys: dict[str, str], expected: bool) -> None:
    """Who can be reached from elsewhere and has no access keys to check."""
    configuration = CoreConfiguration(host=host, api={"access_keys": access_keys})
    assert trusts_strangers(configuration) is expected
