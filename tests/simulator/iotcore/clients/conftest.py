"""Fixtures: a running stand-in with all services, and both protocols of the AWS SDK."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from certs.store import Store
from tests.simulator.iotcore.clients.device_sdk import Version
from tests.simulator.iotcore.clients.estate import TIMEOUT_S, Estate, issue_identities

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of two cars, an application and a claim."""
    store = Store(tmp_path_factory.mktemp("identities"))
    issue_identities(store)
    return store


@pytest.fixture
async def estate(identities: Store) -> AsyncIterator[Estate]:
    """A stand-in with all services, in reach for 20 seconds."""
    async with asyncio.timeout(TIMEOUT_S), Estate(identities) as running:
        yield running


@pytest.fixture(params=list(Version), ids=lambda version: version.value)
def version(request: pytest.FixtureRequest) -> Version:
    """MQTT 5 and 3.1.1."""
    found: Version = request.param
    return found
