"""Certificates for the transports' tests."""

from __future__ import annotations

import pytest

from certs.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Certificates of two registered things and a stranger."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority()
    found.issue_server()
    list(found.issue_things(["car", "app", "stranger"]))
    return found
