"""What a device may do over HTTPS with its client certificate, and the credentials it gets."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import aiomqtt
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from certs.store import Identity, Store
from simulator.iotcore.api.gateway import Gateway
from simulator.iotcore.clock import Clock
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import CertificateStatus, Registry, Thing
from simulator.iotcore.server import CoreServer
from simulator.iotcore.throttling.account import AccountQuotas
from simulator.iotcore.tls import ServerTls
from tests.client_tls import mutual_tls
from tests.simulator.iotcore.api.conftest import Aws, Callers, make_cloud
from tests.simulator.iotcore.conftest import ACCOUNT_ID, ARN, REGION
from tests.simulator.iotcore.throttling.conftest import table_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.iotcore.broker.joints import Quotas

TIMEOUT_S = 20.0
ROLE = "arn:aws:iam::123456789012:role/any-role"


class OnePort(Callers):
    """The stand-in behind one TLS port, as people run it."""

    def __init__(self, store: Store, quotas: Quotas | None = None) -> None:
        super().__init__()
        self.registry = Registry()
        self.clock = Clock.of_machine()
        account = Account(REGION, ACCOUNT_ID)
        self.cloud = make_cloud(self.registry, account, self.clock.unix_s_at_zero)
        identity = store.server_identity()
        tls = ServerTls(identity.certificate_path, identity.key_path, [store.ca_certificate_path])
        self.core = CoreServer(
            self.registry, tls, port=0, cloud=self.cloud, clock=self.clock, quotas=quotas
        )
        self.gateway = Gateway(self.core, keyring=self.core.keyring)
        self.core.serve("/", self.gateway.handle)
        self.ca_path = str(store.ca_certificate_path)

    def client(self, device: Identity, client_id: str) -> aiomqtt.Client:
        """An MQTT client with the device's certificate."""
        return aiomqtt.Client(
            "localhost",
            self.core.port,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=mutual_tls(device),
        )

    def device_aws(self, service: str, device: Identity) -> Aws:
        """A boto3 client that does not sign and shows the device's certificate."""
        files = (str(device.certificate_path), str(device.key_path))
        config = Config(signature_version=UNSIGNED, client_cert=files)
        return self.aws(service, verify=self.ca_path, config=config)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of the server and of `car-1`."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority()
    found.issue_server()
    found.issue_thing("car-1")
    return found


@pytest.fixture(scope="module")
def device(store: Store) -> Identity:
    """The files of the device `car-1`."""
    return store.identity("car-1")


@pytest.fixture
async def stand_in(
    store: Store, device: Identity, request: pytest.FixtureRequest
) -> AsyncIterator[OnePort]:
    """A stand-in that knows the device, whose thing is `car-1`; a parameter is its quotas."""
    found = OnePort(store, getattr(request, "param", None))
    found.registry.register_certificate(device.certificate_id())
    found.registry.put_thing(Thing("car-1"))
    found.registry.put_thing(Thing("car-2"))
    found.registry.attach_thing("car-1", device.certificate_id())
    async with found.core:
        found.url = f"https://localhost:{found.core.port}/"
        yield found
        found.close_callers()
        # The server hears of it a few turns of the loop later.
        async with asyncio.timeout(TIMEOUT_S):
            while found.core.transports()["http"]:  # noqa: ASYNC110 - aiohttp has no event for it
                await asyncio.sleep(0)


def allow(stand_in: OnePort, device: Identity, *statements: dict[str, Any]) -> None:
    """Give the device a policy."""
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", **s} for s in statements],
    }
    stand_in.registry.put_policy(Policy.parse("device", document))
    stand_in.registry.attach_policy("device", device.certificate_id())


UPDATE = {"thingName": "car-1", "payload": '{"state":{"reported":{"a":1}}}'}


async def test_a_device_reads_and_writes_its_own_shadow(
    stand_in: OnePort, device: Identity
) -> None:
    """The action, the thing and the shadow's name must fit."""
    allow(
        stand_in,
        device,
        {"Action": "iot:UpdateThingShadow", "Resource": f"{ARN}thing/car-1"},
        {
            "Action": "iot:GetThingShadow",
            "Resource": [f"{ARN}thing/${{iot:Certificate.Subject.CommonName}}/doors"],
        },
    )
    data = stand_in.device_aws("iot-data", device)
    await data.update_thing_shadow(**UPDATE)
    refused = [
        data.get_thing_shadow(thingName="car-1"),
        data.update_thing_shadow(**{**UPDATE, "thingName": "car-2"}),
        data.update_thing_shadow(**UPDATE, shadowName="doors"),
        data.delete_thing_shadow(thingName="car-1"),
    ]
    for call in refused:
        with pytest.raises(ClientError) as caught:
            await call
        assert caught.value.response["Error"] == {
            "Code": "ForbiddenException",
            "Message": "Forbidden",
        }
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.get_thing_shadow(thingName="car-1", shadowName="doors")


async def test_variables_of_things_have_no_value_over_https(
    stand_in: OnePort, device: Identity
) -> None:
    """A statement that needs one does not match: they exist for MQTT connections."""
    variable = "${iot:Connection.Thing.ThingName}"
    allow(stand_in, device, {"Action": "iot:*", "Resource": f"{ARN}thing/{variable}"})
    data = stand_in.device_aws("iot-data", device)
    with pytest.raises(ClientError) as caught:
        await data.update_thing_shadow(**UPDATE)
    assert caught.value.response["Error"]["Code"] == "ForbiddenException"


async def test_a_condition_on_the_topic_of_direct_messages(
    stand_in: OnePort, device: Identity
) -> None:
    """`iot:Topic` is known where a client sends to another."""
    allow(
        stand_in,
        device,
        {
            "Action": "iot:SendDirectMessage",
            "Resource": f"{ARN}client/*",
            "Condition": {"StringLike": {"iot:Topic": "chat/*"}},
        },
    )
    data = stand_in.device_aws("iot-data", device)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        await data.send_direct_message(clientId="car-2", topic="chat/1", payload=b"hi")
    with pytest.raises(data.exceptions.ForbiddenException):
        await data.send_direct_message(clientId="car-2", topic="orders/1", payload=b"hi")


async def test_a_certificate_that_is_not_active_is_refused(
    stand_in: OnePort, device: Identity
) -> None:
    """Whatever its policies say."""
    allow(stand_in, device, {"Action": "iot:*", "Resource": "*"})
    stand_in.registry.set_status(device.certificate_id(), CertificateStatus.INACTIVE)
    data = stand_in.device_aws("iot-data", device)
    with pytest.raises(ClientError) as caught:
        await data.update_thing_shadow(**UPDATE)
    assert caught.value.response["Error"]["Code"] == "ForbiddenException"


async def test_a_device_does_a_job_with_its_certificate(
    stand_in: OnePort, device: Identity
) -> None:
    """Paths that the control plane has too mean the data plane of Jobs, with its own actions."""
    actions = [
        "iotjobsdata:GetPendingJobExecutions",
        "iotjobsdata:StartNextPendingJobExecution",
    ]
    allow(stand_in, device, {"Action": actions, "Resource": f"{ARN}thing/car-1"})
    iot = stand_in.aws("iot", verify=stand_in.ca_path)
    await iot.create_job(jobId="j", targets=[f"{ARN}thing/car-1"], document="{}")
    jobs = stand_in.device_aws("iot-jobs-data", device)
    started = await jobs.start_next_pending_job_execution(thingName="car-1")
    assert started["execution"]["jobId"] == "j"
    pending = await jobs.get_pending_job_executions(thingName="car-1")
    assert [each["jobId"] for each in pending["inProgressJobs"]] == ["j"]
    with pytest.raises(ClientError) as caught:
        await jobs.describe_job_execution(thingName="car-1", jobId="j")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


async def test_a_device_has_no_control_plane(stand_in: OnePort, device: Identity) -> None:
    """A certificate opens the data planes only, and no commands."""
    allow(stand_in, device, {"Action": "iot:*", "Resource": "*"})
    with pytest.raises(ClientError) as caught:
        await stand_in.device_aws("iot", device).create_thing(thingName="mine")
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    with pytest.raises(ClientError) as caught:
        await stand_in.device_aws("iot-jobs-data", device).start_command_execution(
            targetArn=f"{ARN}thing/car-1", commandArn=f"{ARN}command/honk"
        )
    assert caught.value.response["Error"]["Code"] == "ForbiddenException"


async def test_a_confirmed_direct_message_beside_mqtt_on_one_port(
    stand_in: OnePort, device: Identity
) -> None:
    """The answer comes when a real client has acknowledged a message it did not subscribe to."""
    allow(stand_in, device, {"Action": "iot:*", "Resource": "*"})
    data = stand_in.aws("iot-data", verify=stand_in.ca_path)
    async with stand_in.client(device, "car-1") as car:
        sent = await data.send_direct_message(
            clientId="car-1", topic="orders/1", payload=b"stop", confirmation=True, timeout=15
        )
        assert sent["message"] == "OK"
        message = await anext(car.messages)
        assert (str(message.topic), message.payload, message.qos) == ("orders/1", b"stop", 1)
        found = await data.get_connection(clientId="car-1", includeSocketInformation=True)
        assert (found["connected"], found["thingName"]) == (True, "car-1")
        assert found["sourceIp"] == "127.0.0.1"
        assert found["sourcePort"] > 0


async def test_a_shadow_over_https_is_heard_over_mqtt(stand_in: OnePort, device: Identity) -> None:
    """What the API publishes leaves at once, over the socket of another protocol."""
    allow(stand_in, device, {"Action": "iot:*", "Resource": "*"})
    async with stand_in.client(device, "car-1") as car:
        await car.subscribe("$aws/things/car-1/shadow/update/delta", qos=1)
        wanted = json.dumps({"state": {"desired": {"lights": "on"}}})
        application = stand_in.aws("iot-data", verify=stand_in.ca_path)
        await application.update_thing_shadow(thingName="car-1", payload=wanted)
        message = await anext(car.messages)
        assert json.loads(message.payload)["state"] == {"lights": "on"}


# The credentials provider


async def ask(
    stand_in: OnePort, device: Identity, alias: str = "car", **headers: str
) -> tuple[int, dict[str, Any]]:
    """Status and document of a request for credentials."""
    url = f"{stand_in.url}role-aliases/{alias}/credentials"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=mutual_tls(device), headers=named) as response,
    ):
        return response.status, await response.json()


@pytest.fixture
def trusted(stand_in: OnePort, device: Identity) -> OnePort:
    """The stand-in, whose role alias `car` the device may use."""
    allow(
        stand_in,
        device,
        {"Action": "iot:AssumeRoleWithCertificate", "Resource": f"{ARN}rolealias/car"},
    )
    create = stand_in.cloud.control.operations()["CreateRoleAlias"]
    create({"roleAlias": "car", "roleArn": ROLE, "credentialDurationSeconds": 900}, 0.0)
    return stand_in


async def test_a_device_gets_credentials_that_work(trusted: OnePort, device: Identity) -> None:
    """For as long as the role alias says; what they sign is checked from then on."""
    status, document = await ask(trusted, device, x_amzn_iot_thingname="car-1")
    assert status == 200
    credentials = document["credentials"]
    expires = datetime.fromisoformat(credentials["expiration"]).timestamp()
    assert expires == pytest.approx(trusted.clock.unix_s() + 900, abs=60)
    keys = {
        "aws_access_key_id": credentials["accessKeyId"],
        "aws_secret_access_key": credentials["secretAccessKey"],
        "aws_session_token": credentials["sessionToken"],
        "verify": trusted.ca_path,
    }
    assert (await trusted.aws("iot", **keys).list_things(maxResults=1))["things"]
    for wrong in ({"aws_secret_access_key": "x"}, {"aws_session_token": "x"}):
        with pytest.raises(ClientError) as caught:
            await trusted.aws("iot", **{**keys, **wrong}).list_things()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    trusted.clock.travel(901)
    with pytest.raises(ClientError) as caught:
        await trusted.aws("iot", **keys).list_things()
    assert caught.value.response["Error"]["Code"] == "ExpiredTokenException"


async def test_the_thing_named_must_be_the_certificates(trusted: OnePort, device: Identity) -> None:
    """The header is optional, and not to be made up."""
    assert (await ask(trusted, device))[0] == 200
    status, document = await ask(trusted, device, x_amzn_iot_thingname="car-2")
    assert (status, document) == (403, {"message": "Invalid thing name passed"})


async def test_role_aliases_have_policies(trusted: OnePort, device: Identity) -> None:
    """403 for one the policies do not name, 404 for one that does not exist."""
    assert (await ask(trusted, device, "admin"))[0] == 403
    allow(trusted, device, {"Action": "iot:AssumeRoleWithCertificate", "Resource": "*"})
    assert (await ask(trusted, device, "admin"))[0] == 404
    trusted.registry.detach_policy("device", device.certificate_id())
    assert (await ask(trusted, device))[0] == 403


@pytest.mark.parametrize(
    "stand_in",
    # One at once, and the next one in a quarter of an hour.
    [AccountQuotas(table_with({"api-assume-role-with-certificate": 0.001}))],
    indirect=True,
)
async def test_credentials_have_a_rate(trusted: OnePort, device: Identity) -> None:
    """What is asked above it is throttled and counted for the device."""
    assert (await ask(trusted, device))[0] == 200
    assert (await ask(trusted, device))[0] == 429
    refused = trusted.core.quota_report()["api-assume-role-with-certificate"]
    assert refused["clients"][0]["client_id"] == device.certificate_id()


async def test_credentials_are_counted(trusted: OnePort, device: Identity) -> None:
    """Among the operations, since people look for them there."""
    await ask(trusted, device)
    await ask(trusted, device, "admin")
    counts = json.loads(json.dumps(trusted.gateway.counters.as_dict()))
    assert counts["operations"] == {"credentials.AssumeRoleWithCertificate": 2}
    assert counts["errors"] == {"ForbiddenException": 1}
