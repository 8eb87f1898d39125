"""The whole forecast of a scenario in one value: demand, quotas and cost for its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.forecast import demand, prices, quotas, tables
from simulator.forecast.regions import region_of_target

if TYPE_CHECKING:
    from simulator.forecast.figures import Demand
    from simulator.forecast.prices import CostEstimate
    from simulator.forecast.quotas import QuotaReport
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


def of(scenario: Scenario, roster: Roster) -> Outlook:
    """The forecast of a scenario, with the newest tables for the Region of its target.

    Raises:
        ConfigurationError: A name leaves no room for the topics of the contract.
    """
    asked = demand.of(scenario, roster)
    region = region_of_target(scenario.target)
    return Outlook(
        asked,
        quotas.check(asked, tables.quota_table(region)),
        prices.estimate(asked, tables.price_list(region)),
        scenario.target.kind == "aws",
    )
