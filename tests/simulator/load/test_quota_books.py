"""Which quotas a stand-in gets, and what is said of its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from certs.errors import ConfigurationError
from simulator.load.records import ClientRefusals
from simulator.load.target.quota_books import QuotaBooks, in_force, named, table_of
from simulator.scenario.schema import BrokerTarget, StandInTarget

if TYPE_CHECKING:
    from pathlib import Path

REPORT: dict[str, dict[str, Any]] = {
    "publishes-per-connection": {
        "refused": 12,
        "clients": [
            {"client_id": "car-7", "refused": 10, "excess": 0},
            {"client_id": "car-1", "refused": 2, "excess": 1},
        ],
    },
    "payload-bytes": {
        "refused": 3,
        "clients": [{"client_id": "car-2", "refused": 3, "excess": 0}],
    },
}
CAUSES = {"publish_denied": 1, "quota:publishes-per-connection": 12, "quota:payload-bytes": 3}


def books(mode: str, quotas: str = "default") -> QuotaBooks:
    """Those of a stand-in."""
    return QuotaBooks(quotas, mode, in_force(quotas, mode))


def test_observed_rates_are_not_among_what_was_refused() -> None:
    """What was let through is told of as what would have been refused; sizes are refused always."""
    told = books("observe").told(REPORT, clients=1)
    rate, size = told.refused["publishes-per-connection"], told.refused["payload-bytes"]

    assert (told.table, told.mode) == ("default", "observe")
    assert rate.text.startswith("IoT Core would have refused 12 publishes and deliveries: quota ")
    assert (rate.refused, rate.is_enforced) == (12, False)
    assert rate.clients == [ClientRefusals("car-7", 10, 0)]
    assert size.text.startswith("IoT Core refused 3 messages: quota ")
    assert books("observe").really_refused(CAUSES) == {
        "publish_denied": 1,
        "quota:payload-bytes": 3,
    }


def test_enforced_rates_are_refused() -> None:
    """Everything that was counted was refused."""
    told = books("enforce").told(REPORT, clients=5)

    assert told.refused["publishes-per-connection"].text.startswith("IoT Core refused 12 ")
    assert told.refused["publishes-per-connection"].clients[1] == ClientRefusals("car-1", 2, 1)
    assert books("enforce").really_refused(CAUSES) == CAUSES


def test_without_quotas_the_protocol_has_limits() -> None:
    """They are told of, and no mode is."""
    told = books("observe", "off").told({"payload-bytes": REPORT["payload-bytes"]}, clients=0)

    assert (told.table, told.mode) == ("off", "")
    assert told.refused["payload-bytes"].is_enforced
    assert told.refused["payload-bytes"].clients == []


def test_a_target_has_the_quotas_it_names(tmp_path: Path) -> None:
    """Shipped tables by name, a file beside the scenario, none with off, and none elsewhere."""
    (tmp_path / "own.toml").write_text(
        'format = "morai-edge/quotas/1"\n[[quota]]\nid = "publishes-in-per-account"\nlimit = 7\n'
    )
    own = StandInTarget(quotas="own.toml")
    table = table_of(own, tmp_path)

    assert named(own, tmp_path) == str(tmp_path / "own.toml")
    assert named(StandInTarget(quotas="low"), tmp_path) == "low"
    assert table is not None
    assert table.limit("publishes-in-per-account") == 7
    assert table_of(StandInTarget(quotas="off"), tmp_path) is None
    assert table_of(BrokerTarget(kind="broker", host="b"), tmp_path) is None


def test_a_limit_that_cannot_be_kept_is_a_mistake(tmp_path: Path) -> None:
    """A table in which the least keep-alive is above the most is refused before a run."""
    (tmp_path / "own.toml").write_text(
        'format = "morai-edge/quotas/1"\n[[quota]]\nid = "keep-alive-least"\nlimit = 2000\n'
    )

    with pytest.raises(ConfigurationError, match="keep-alive"):
        table_of(StandInTarget(quotas="own.toml"), tmp_path)
