"""A whole stand-in behind a real HTTP socket, and boto3 clients that call it."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from aiohttp.test_utils import RawTestServer
from botocore.config import Config

from certs.authority import create_authority
from simulator.iotcore.api.gateway import Gateway
from simulator.iotcore.clock import Clock
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from tests.simulator.iotcore.conftest import ACCOUNT_ID, ALLOW_ALL, REGION, Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from simulator.iotcore.broker.joints import Quotas

UNIX_S_AT_ZERO = 1_700_000_000.0
ACCESS_KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AUTHORITY_BEGINS = datetime(2023, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1)
def _authority() -> Any:
    return create_authority("Test CA", AUTHORITY_BEGINS)


class Aws:
    """A boto3 client whose methods run beside the event loop."""

    def __init__(self, blocking: Any) -> None:
        self.blocking = blocking
        self.exceptions = blocking.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(asyncio.to_thread, getattr(self.blocking, name))


class Callers:
    """Makes boto3 clients for one address, and closes them."""

    def __init__(self) -> None:
        self.url = ""
        self._made: list[Aws] = []

    def aws(self, service: str, *, config: Config | None = None, **options: Any) -> Aws:
        """A client as a user would make it, but that does not retry and whose calls are awaited."""
        patience = Config(retries={"max_attempts": 0}, connect_timeout=20, read_timeout=20)
        merged = patience if config is None else patience.merge(config)
        blocking = _session().client(service, endpoint_url=self.url, config=merged, **options)
        made = Aws(blocking)
        self._made.append(made)
        return made

    def close_callers(self) -> None:
        """Close the connections of all clients."""
        for made in self._made:
            # botocore leaves the closing of idle connections to the garbage collector.
            pools = made.blocking._endpoint.http_session._manager.pools
            for key in pools.keys():  # noqa: SIM118 - iterating it is not allowed
                pools[key].close()
            made.blocking.close()


def make_cloud(registry: Registry, account: Account, unix_s_at_zero: float) -> Cloud:
    """All services of an account."""
    ids = itertools.count(1)
    return Cloud(
        registry,
        DevelopmentAuthority(_authority()),
        account=account,
        new_id=lambda: f"service-{next(ids):032}",
        unix_s_at_zero=unix_s_at_zero,
        endpoints={"iot:Data-ATS": "localhost:8883"},
    )


class StandIn(Bench, Callers):
    """A broker with all services, and what the gateway asks of a core."""

    def __init__(self, quotas: Quotas | None = None, **gateway: Any) -> None:
        registry = Registry()
        self.cloud = make_cloud(registry, Account(REGION, ACCOUNT_ID), UNIX_S_AT_ZERO)
        Callers.__init__(self)
        Bench.__init__(self, quotas=quotas, reserved=self.cloud.desk, registry=registry)
        self.registry.put_policy(Policy.parse("test", ALLOW_ALL))
        self.clock = Clock(lambda: self.now_s, lambda: UNIX_S_AT_ZERO + self.now_s)
        self.woken = asyncio.Event()
        self.gateway = Gateway(self, **gateway)

    def wake(self) -> None:
        """Give clients what the broker wrote."""
        self.collect()
        self.woken.set()


@lru_cache(maxsize=1)
def _session() -> Any:
    # botocore loads each model once per session.
    return boto3.session.Session(
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET, region_name=REGION
    )


@asynccontextmanager
async def served(stand_in: StandIn, **options: Any) -> AsyncIterator[StandIn]:
    """A stand-in behind HTTP."""
    server = RawTestServer(stand_in.gateway.handle)
    await server.start_server(max_field_size=16 * 1024, **options)
    stand_in.url = str(server.make_url("/"))
    try:
        yield stand_in
    finally:
        stand_in.close_callers()
        await server.close()


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    """A stand-in behind HTTP that allows everything."""
    async with served(StandIn()) as found:
        yield found
