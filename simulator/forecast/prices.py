"""What a demand costs at AWS IoT Core.

Owns the metering arithmetic of the bill: prices in steps of the month, the items, and the rule of
when a person is asked first. Prices come as values (`simulator.forecast.tables` reads them from a
dated file). Free tier, taxes and discounts are left out. Pure.

Sources: AWS IoT Core pricing, and its "Additional metering details".
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from simulator.forecast.wording import dollars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.forecast.figures import Demand, Usage

CONNECTIVITY: Final = "connectivity"
MESSAGING: Final = "messaging"
SHADOW: Final = "shadow"

_MILLION: Final = 1_000_000
_MESSAGES: Final = (
    ("publishes_in", "Publishes in"),
    ("publishes_out", "Deliveries"),
    ("acknowledgements", "PUBACKs in"),
    ("connects", "CONNECTs"),
    ("subscribes", "SUBSCRIBEs"),
)
_MONTH: Final = (
    "per month: all cars connected for 30 days, the phases and faults repeated without pause"
)


@dataclass(frozen=True, slots=True)
class Tier:
    """A step of a price.

    Attributes:
        up_to: Amount of the month up to which the price holds; infinite for the last step.
        usd_per_million: Price.
    """

    up_to: float
    usd_per_million: float


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one thing.

    Attributes:
        id: `connectivity`, `messaging` or `shadow`.
        name: In words.
        unit: What is counted.
        tiers: Steps in rising order; the last has no end.
    """

    id: str
    name: str
    unit: str
    tiers: tuple[Tier, ...]

    def cost_usd(self, quantity: float) -> float:
        """Price of an amount within one month, from its first unit on."""
        cost_usd = below = 0.0
        for tier in self.tiers:
            if quantity <= below:
                break
            cost_usd += (min(quantity, tier.up_to) - below) * tier.usd_per_million / _MILLION
            below = tier.up_to
        return cost_usd


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one Region.

    Attributes:
        region: The Region asked for.
        priced_region: The Region whose prices they are.
        factor: What the prices of the file were multiplied with.
        date: When the sources were read, ISO 8601.
        sources: Addresses of the documents.
        prices: By id.
        note: In words, when `priced_region` is another than `region`.
    """

    region: str
    priced_region: str
    factor: float
    date: str
    sources: tuple[str, ...]
    prices: dict[str, Price]
    note: str = ""


@dataclass(frozen=True, slots=True)
class CostItem:
    """A line of the bill.

    Attributes:
        name: In words.
        quantity: Metered in the run.
        month_quantity: Metered in a month.
        unit: What is counted.
        unit_price_usd: Price of one at the first step.
        run_usd: Price of the run.
        month_usd: Price of the month, its share of the steps included.
    """

    name: str
    quantity: float
    month_quantity: float
    unit: str
    unit_price_usd: float
    run_usd: float
    month_usd: float


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a run costs, and what its load would cost in a month.

    Attributes:
        items: The lines.
        run_usd: Sum for the run.
        month_usd: Sum for a month.
        region: The Region asked for.
        priced_region: The Region whose prices are used.
        priced_on: When the prices were read.
        sources: Where.
        notes: What the figures assume and leave out.
    """

    items: tuple[CostItem, ...]
    run_usd: float
    month_usd: float
    region: str
    priced_region: str
    priced_on: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sums in one line."""
        return (
            f"about {dollars(self.run_usd)} for the run, {dollars(self.month_usd)} per month "
            f"({self.priced_region}, prices of {self.priced_on})"
        )

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def estimate(demand: Demand, prices: PriceList) -> CostEstimate:
    """Price a demand."""
    run, month = demand.run, demand.month
    items = [
        _item(
            prices.prices[CONNECTIVITY],
            "Connectivity",
            run.connection_minutes,
            month.connection_minutes,
        ),
        *_messages(prices.prices[MESSAGING], run, month),
        _item(
            prices.prices[SHADOW],
            "Shadow updates",
            run.shadow_operations,
            month.shadow_operations,
        ),
    ]
    notes = [
        *([prices.note] if prices.note else []),
        _MONTH,
        "without free tier, taxes, rules, storage and network traffic",
    ]
    return CostEstimate(
        items=tuple(item for item in items if item.quantity or item.month_quantity),
        run_usd=math.fsum(item.run_usd for item in items),
        month_usd=math.fsum(item.month_usd for item in items),
        region=prices.region,
        priced_region=prices.priced_region,
        priced_on=prices.date,
        sources=prices.sources,
        notes=tuple(notes),
    )


def needs_confirmation(cost: CostEstimate, max_cost_usd: float) -> str | None:
    """The question to ask before a run that costs more than a limit; None when it does not.

    Args:
        cost: The estimate.
        max_cost_usd: What may be spent unasked.
    """
    if cost.run_usd <= max_cost_usd:
        return None
    return (
        f"This run costs about {dollars(cost.run_usd)} at AWS ({cost.region}), more than "
        f"{dollars(max_cost_usd)}. Go on?"
    )


def _item(price: Price, name: str, quantity: float, month_quantity: float) -> CostItem:
    return CostItem(
        name,
        quantity,
        month_quantity,
        price.unit,
        price.tiers[0].usd_per_million / _MILLION,
        price.cost_usd(quantity),
        price.cost_usd(month_quantity),
    )


def _messages(price: Price, run: Usage, month: Usage) -> Sequence[CostItem]:
    """One line for each kind of message; the steps of the price apply to their sum."""
    run_usd, month_usd = price.cost_usd(run.messages), price.cost_usd(month.messages)
    items = []
    for field, name in _MESSAGES:
        quantity, month_quantity = getattr(run, field), getattr(month, field)
        items.append(
            CostItem(
                name,
                quantity,
                month_quantity,
                price.unit,
                price.tiers[0].usd_per_million / _MILLION,
                run_usd * quantity / run.messages if run.messages else 0.0,
                month_usd * month_quantity / month.messages if month.messages else 0.0,
            )
        )
    return items
