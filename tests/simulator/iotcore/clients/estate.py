"""A stand-in with all of its services behind TLS, and the identities that connect to it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Self

from simulator.iotcore.clock import Clock
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from simulator.iotcore.tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from certs.store import Store
    from simulator.iotcore.broker.joints import Answer

TIMEOUT_S = 20.0
REGION, ACCOUNT_ID = "ap-northeast-2", "123456789012"
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT_ID}:"
TEMPLATE = "cars"

CARS = ("car-1", "car-2")
APPLICATIONS = ("app",)
CLAIM = "claim"

_THING = "${iot:Connection.Thing.ThingName}"


def _allow(action: str | list[str], *resources: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": [f"{ARN}{resource}" for resource in resources],
    }


def _policy(name: str, *statements: dict[str, Any]) -> Policy:
    return Policy.parse(name, {"Version": "2012-10-17", "Statement": list(statements)})


# AWS IoT Core developer guide, "Thing policy variables": a device reaches its own topics only.
_OWN = (f"$aws/things/{_THING}/*", f"$aws/commands/things/{_THING}/executions/*", "dt/*")
VEHICLE = _policy(
    "vehicle",
    _allow("iot:Connect", f"client/{_THING}"),
    _allow(["iot:Publish", "iot:Receive"], *(f"topic/{topic}" for topic in _OWN)),
    _allow("iot:Subscribe", *(f"topicfilter/{topic}" for topic in _OWN)),
    _allow("iot:RetainPublish", "topic/dt/*"),
)
APPLICATION = _policy("application", _allow("iot:*", "*"))

# Developer guide, "Provisioning by claim": what the policy of a claim certificate must allow.
_PROVISIONING = ("$aws/certificates/create*", f"$aws/provisioning-templates/{TEMPLATE}/provision/*")
CLAIMING = _policy(
    "claiming",
    _allow("iot:Connect", "client/*"),
    _allow(["iot:Publish", "iot:Receive"], *(f"topic/{topic}" for topic in _PROVISIONING)),
    _allow("iot:Subscribe", *(f"topicfilter/{topic}" for topic in _PROVISIONING)),
)


def issue_identities(store: Store) -> None:
    """Fill a store with the certificates of everybody in the tests."""
    store.init_authority()
    store.issue_server()
    list(store.issue_things([*CARS, *APPLICATIONS, CLAIM]))


class Estate:
    """Use it as `async with Estate(store) as estate`.

    Attributes:
        store: Certificates.
        registry: What the account has registered.
        cloud: Its services.
        core: The server.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock.of_machine()
        self.registry = registry = Registry()
        for policy in (VEHICLE, APPLICATION, CLAIMING):
            registry.put_policy(policy)
        for name in CARS:
            register(registry, store.identity(name).certificate_id(), [name], ["vehicle"])
        for name in APPLICATIONS:
            register(registry, store.identity(name).certificate_id(), [], ["application"])
        register(registry, store.identity(CLAIM).certificate_id(), [], ["claiming"])
        account = Account(REGION, ACCOUNT_ID)
        self.cloud = Cloud(
            registry,
            DevelopmentAuthority(store.authority()),
            account=account,
            new_id=secrets.token_urlsafe,
            unix_s_at_zero=self.clock.unix_s_at_zero,
        )
        server = store.server_identity()
        # The CA that signs what provisioning issues is the one TLS trusts, as at AWS.
        tls = ServerTls(server.certificate_path, server.key_path, [store.ca_certificate_path])
        self.core = CoreServer(registry, tls, port=0, cloud=self.cloud, clock=self.clock)

    async def __aenter__(self) -> Self:
        await self.core.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.core.__aexit__(kind, error, trace)

    def call(
        self,
        operation: Callable[[dict[str, Any], float], tuple[dict[str, Any], list[Answer]]],
        **request: Any,
    ) -> dict[str, Any]:
        """Call an operation of the API and publish what comes of it."""
        now_s = self.clock.now_s()
        result, answers = operation(request, now_s)
        self.core.broker.answer(answers, now_s)
        self.core.wake()
        return result
