from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.errors import ConfigurationError
from simulator.iotcore.throttling.account import Mode
from simulator.iotcore.throttling.choosing import Choice, choose

if TYPE_CHECKING:
    from pathlib import Path


def test_off_leaves_the_broker_as_it_is() -> None:
    """No rates, and the broker's own limits."""
    assert choose("off", "us-east-1") == Choice(None, None, None)


@pytest.mark.parametrize(("name", "connects"), [("default", 3000), ("low", 100)])
def test_shipped_tables(name: str, connects: float) -> None:
    """By name, in the mode asked for."""
    choice = choose(name, "us-east-1", Mode.OBSERVE)
    assert choice.table is not None
    assert choice.quotas is not None
    assert choice.table.limit("connects-per-account") == connects
    assert choice.quotas.mode is Mode.OBSERVE
    assert choice.limits is not None


def test_ones_own_file(tmp_path: Path) -> None:
    """A file of what differs: its rates, its sizes, and the default for the rest."""
    path = tmp_path / "raised.toml"
    path.write_text(
        """
        format = "morai-edge/quotas/1"
        [[quota]]
        id = "subscriptions-per-connection"
        limit = 200
        [[quota]]
        id = "publishes-in-per-account"
        limit = inf
        """
    )
    choice = choose(str(path), "us-east-1")
    assert choice.limits is not None
    assert choice.table is not None
    assert choice.limits.subscriptions_per_connection == 200
    assert choice.table.limit("connects-per-account") == 3000


def test_a_file_that_is_not_there() -> None:
    """A misspelt name is told what the names are."""
    with pytest.raises(ConfigurationError, match="defualt") as caught:
        choose("defualt", "us-east-1")
    assert "default, low or off" in caught.value.remedy
