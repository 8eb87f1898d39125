"""Identities that the tests of the agent's shells share: made once, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.store import Store

if TYPE_CHECKING:
    from pathlib import Path

CAR = "car-1"
APPLICATION = "app"


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A CA, a car, an application, a thing that no broker knows, and a server certificate."""
    store = Store(tmp_path_factory.mktemp("agent") / "identities")
    store.init_authority()
    for thing in (CAR, APPLICATION, "unknown-car"):
        store.issue_thing(thing)
    store.issue_server(["127.0.0.1"])
    return store


@pytest.fixture(scope="session")
def foreign_identities(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Identities of another CA, with the same names."""
    folder: Path = tmp_path_factory.mktemp("foreign")
    store = Store(folder / "identities")
    store.init_authority("Another CA")
    store.issue_thing(CAR)
    return store
