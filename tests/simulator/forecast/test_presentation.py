from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from simulator.forecast import outlook, presentation
from simulator.forecast.wording import dollars, figure
from simulator.quotas.files import quota_table
from simulator.scenario.roster import Roster
from tests.simulator.forecast.scenarios import scenario

if TYPE_CHECKING:
    from simulator.forecast.outlook import Outlook


def made_outlook(**changes: object) -> Outlook:
    """The forecast of a scenario whose observer is too busy."""
    made = scenario(
        vehicles=[{"name": "cars", "count": 300, "streams": {"state": {"rate_hz": 1}}}],
        applications={"observers": [{"name": "dashboard"}]},
        **changes,
    )
    return outlook.of(made, Roster(made))


def printed(found: Outlook, width: int = 80) -> str:
    """What a terminal without colours shows."""
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(presentation.outlook_view(found))
    return out.getvalue()


def test_marks_are_words() -> None:
    """Without colours it can still be read what fits and what breaks, and what to do."""
    text = printed(made_outlook())

    assert "BREAKS  publishes in + out per connection" in text
    assert "fits    CONNECT requests per account" in text
    assert "do: deal the cars to 3 or more observers" in text


def test_everything_is_readable_in_80_columns() -> None:
    """No number and no name is cut on a terminal of the usual width."""
    assert "\N{HORIZONTAL ELLIPSIS}" not in printed(made_outlook())


def test_other_targets_are_compared_with_aws_in_words() -> None:
    """For the stand-in the verdict and the cost say that they are about AWS."""
    assert "If this target were AWS IoT Core: about $0." in printed(made_outlook(), width=200)


def test_aws_target_uses_the_tables_of_its_region() -> None:
    """An endpoint in Stockholm is held against the low quotas, with prices of N. Virginia."""
    found = made_outlook(
        target={"kind": "aws", "endpoint": "abc-ats.iot.eu-north-1.amazonaws.com"},
        identities={"kind": "store", "path": "identities"},
    )

    assert found.is_aws
    assert found.quotas.region == "eu-north-1"
    assert "connects-per-account" in {item.quota for item in found.quotas.broken}
    assert "no confirmed price for eu-north-1" in printed(found)


def test_outlook_is_json() -> None:
    """Machines get demand, quotas and cost in one document."""
    document = json.loads(json.dumps(made_outlook().as_json()))

    assert set(document) == {"demand", "quotas", "cost", "is_aws"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(12000, "12,000"), (9.346, "9.35"), (0, "0"), (0.0333, "0.0333"), (340, "340"), (2.0, "2")],
)
def test_figures(value: float, text: str) -> None:
    """Numbers have thousands separators and about three digits."""
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "$0.00"), (1234.5, "$1,234.50"), (0.0123, "$0.0123"), (0.000001, "< $0.0001")],
)
def test_dollars(value: float, text: str) -> None:
    """Small amounts keep their digits and never look free."""
    assert dollars(value) == text


def test_quotas_of_ones_own_are_called_so() -> None:
    """The verdict names the file, and its limits are those that count."""
    made = scenario(vehicles=[{"name": "cars", "count": 10, "streams": {"state": {"rate_hz": 2}}}])
    table = quota_table("us-east-1")
    limits = {**table.quotas}
    limits["publishes-in-per-account"] = replace(limits["publishes-in-per-account"], limit=5)
    own = replace(table, name="own.toml", quotas=limits)

    report = outlook.of(made, Roster(made), own).quotas

    assert report.text.startswith("breaks 1 of the quotas of own.toml (")
    assert outlook.of(made, Roster(made), table).quotas.text.startswith(
        "fits the default quotas of us-east-1 ("
    )
