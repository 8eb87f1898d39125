"""The whole forecast of a scenario in one value: demand, quotas and cost for its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.forecast import demand, prices, quotas, tables
from simulator.forecast.regions import region_of_target
from simulator.quotas.files import DEFAULT, LOW

if TYPE_CHECKING:
    from simulator.forecast.figures import Demand
    from simulator.forecast.prices import CostEstimate
    from simulator.forecast.quotas import QuotaReport
    from simulator.quotas.table import QuotaTable
    from simulator.scenario.roster import Roster
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known about a run before it.

    Attributes:
        demand: What the scenario asks for.
        quotas: How that stands to the quotas of the Region.
        cost: What it costs there.
        is_aws: Whether the target is AWS; otherwise it says what the same load would meet there.
    """

    demand: Demand
    quotas: QuotaReport
    cost: CostEstimate
    is_aws: bool

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "demand": self.demand.as_json(),
            "quotas": self.quotas.as_json(),
            "cost": self.cost.as_json(),
            "is_aws": self.is_aws,
        }


def of(scenario: Scenario, roster: Roster, quota_table: QuotaTable | None = None) -> Outlook:
    """The forecast of a scenario, with the newest tables for the Region of its target.

    Args:
        scenario: The scenario.
        roster: Its cars.
        quota_table: Quotas to hold it against instead, such as those a stand-in has in force.

    Raises:
        ConfigurationError: A name leaves no room for the topics of the contract.
    """
    asked = demand.of(scenario, roster)
    called = "" if quota_table is None else _name_of(quota_table)
    region = region_of_target(scenario.target)
    return Outlook(
        asked,
        quotas.check(asked, quota_table or tables.quota_table(region), called),
        prices.estimate(asked, tables.price_list(region)),
        scenario.target.kind == "aws",
    )


def _name_of(table: QuotaTable) -> str:
    """What a table is called that was chosen; empty for the default one."""
    if table.name == DEFAULT:
        return ""
    return "quotas of the smaller Regions" if table.name == LOW else f"quotas of {table.name}"
