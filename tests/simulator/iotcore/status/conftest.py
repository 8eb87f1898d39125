"""Certificates for the tests of a whole stand-in."""

from __future__ import annotations

import pytest

from certs.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of a server, two cars and an operator."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority()
    found.issue_server()
    list(found.issue_things(["car-1", "car-2", "operator"]))
    return found
