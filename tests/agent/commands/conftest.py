from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.commands.ledger import Ledger
from agent.commands.service import CommandService
from agent.morai import Dialect
from tests.agent.commands.rig import Car, Drive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An open, empty ledger."""
    with_file = Ledger(tmp_path / "ledger.sqlite")
    yield with_file
    with_file.close()


@pytest.fixture
def drive(ledger: Ledger) -> Drive:
    """A service, a car in keyboard mode and a clock, joined."""
    return Drive(CommandService(ledger, Dialect()), Car())
