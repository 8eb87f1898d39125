"""What the tests of `certs` share: a fixed present, a CA in memory, a store in a fresh folder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certs.authority import create_authority
from certs.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from certs.authority import Credential


@pytest.fixture(scope="session")
def now() -> datetime:
    """The present of these tests: the moment the session began, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="session")
def authority(now: datetime) -> Credential:
    """A development CA, only in memory."""
    return create_authority("Test CA", now, 3650)


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> Store:
    """A store with a CA."""
    made = Store(tmp_path / "identities")
    made.init_authority("Store CA", now=now)
    return made
