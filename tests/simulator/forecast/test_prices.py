from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.forecast import prices, tables
from simulator.forecast.figures import Usage
from simulator.forecast.prices import CONNECTIVITY, MESSAGING, SHADOW, Price, Tier
from tests.simulator.forecast.scenarios import demand_of

LIST = tables.price_list("us-east-1")
AMOUNTS = st.floats(0, 2e10, allow_nan=False)


def test_connectivity_of_the_published_example() -> None:
    """AWS IoT Core pricing, example: 100,000 devices connected for 30 days cost $345.60."""
    minutes = 100_000 * 60 * 24 * 30

    assert LIST.prices[CONNECTIVITY].cost_usd(minutes) == pytest.approx(345.60)


def test_messaging_of_the_published_example() -> None:
    """AWS IoT Core pricing, same example: 325 messages a device and day cost $975."""
    messages = 100_000 * 325 * 30

    assert LIST.prices[MESSAGING].cost_usd(messages) == pytest.approx(975.00)


def test_shadow_updates_cost_what_the_page_says() -> None:
    """AWS IoT Core pricing: $1.25 per million operations, so 300 million cost $375."""
    assert LIST.prices[SHADOW].cost_usd(300_000_000) == pytest.approx(375.00)


def test_steps_of_the_messaging_price() -> None:
    """The first 10^9 at $1.00, the next 4 * 10^9 at $0.80, the rest at $0.70 per million."""
    price = LIST.prices[MESSAGING]

    assert price.cost_usd(1_000_000_000) == pytest.approx(1000)
    assert price.cost_usd(5_000_000_000) == pytest.approx(1000 + 3200)
    assert price.cost_usd(7_000_000_000) == pytest.approx(1000 + 3200 + 1400)


@given(AMOUNTS, AMOUNTS)
def test_more_never_costs_less(first: float, second: float) -> None:
    """The cost of an amount rises with the amount."""
    price = LIST.prices[MESSAGING]
    low, high = sorted((first, second))

    assert price.cost_usd(low) <= price.cost_usd(high)


@given(AMOUNTS, AMOUNTS)
def test_two_bills_cost_at_least_one_of_both(first: float, second: float) -> None:
    """Prices fall with the amount, so amounts billed together cost no more than apart."""
    price = LIST.prices[MESSAGING]

    together = price.cost_usd(first + second)
    apart = price.cost_usd(first) + price.cost_usd(second)
    assert together <= apart * (1 + 1e-12) + 1e-12


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 10)), min_size=1, max_size=5), AMOUNTS)
def test_steps_add_up(steps: list[tuple[float, float]], quantity: float) -> None:
    """Every unit costs the price of the step it lies in."""
    ends, end = [], 0.0
    for length, _ in steps:
        end += length
        ends.append(end)
    ends[-1] = math.inf
    tiers = tuple(Tier(up_to, usd) for up_to, (_, usd) in zip(ends, steps, strict=True))

    expected, start = 0.0, 0.0
    for up_to, (_, usd) in zip(ends, steps, strict=True):
        expected += max(0.0, min(quantity, up_to) - start) * usd / 1e6
        start = up_to
    assert Price("x", "x", "x", tiers).cost_usd(quantity) == pytest.approx(expected)


def test_bill_of_a_fleet_that_always_publishes() -> None:
    """100 cars at 1 Hz QoS 0 for 10 minutes: 1,000 minutes, 60,000 publishes, 100 CONNECTs."""
    demand = demand_of(
        vehicles=[{"name": "cars", "count": 100, "streams": {"state": {"rate_hz": 1}}}],
        phases=[{"name": "all", "duration": 600}],
    )
    cost = prices.estimate(demand, LIST)
    lines = {item.name: item for item in cost.items}

    assert lines["Connectivity"].quantity == 1000
    assert lines["Publishes in"].quantity == pytest.approx(60_000)
    assert lines["CONNECTs"].quantity == 100
    assert set(lines) == {"Connectivity", "Publishes in", "CONNECTs"}
    assert cost.run_usd == pytest.approx(0.00008 + 0.06 + 0.0001)
    # 30 days: 100 x 43,200 minutes, 100 x 2,592,000 publishes, still 100 CONNECTs.
    assert cost.month_usd == pytest.approx(0.3456 + 259.2 + 0.0001)


def test_items_add_up_to_the_sums_over_all_steps() -> None:
    """In a month of more than 10^9 messages the lines share the lower prices."""
    demand = demand_of(
        vehicles=[{"name": "cars", "count": 1000, "streams": {"state": {"rate_hz": 1, "qos": 1}}}],
        applications={"observers": [{"qos": 1}]},
    )
    cost = prices.estimate(demand, LIST)
    month = demand.month.messages

    assert month > 5e9
    assert sum(item.month_usd for item in cost.items) == pytest.approx(cost.month_usd)
    expected = 1000 + 3200 + (month - 5e9) * 0.7e-6
    connectivity = 1001 * 43_200 * 0.08e-6
    assert cost.month_usd == pytest.approx(expected + connectivity)


def test_nothing_is_free_of_charge_by_accident() -> None:
    """Every metered quantity is a line of the bill."""
    demand = demand_of(
        vehicles=[
            {
                "name": "cars",
                "count": 10,
                "streams": {"state": {"rate_hz": 1, "qos": 1}},
                "commands": {},
                "shadow": {"every": 10},
            }
        ],
        applications={"observers": [{"qos": 1}], "commanders": [{}]},
    )
    cost = prices.estimate(demand, LIST)

    assert len(cost.items) == len(Usage.__slots__)


@pytest.mark.parametrize(
    ("region", "factor"),
    [("us-east-1", 1.0), ("ap-northeast-1", 1.2), ("eu-central-1", 1.2), ("me-south-1", 1.1)],
)
def test_regions_with_known_prices(region: str, factor: float) -> None:
    """Tokyo and Frankfurt cost 1.2 times, Bahrain 1.1 times of N. Virginia."""
    found = tables.price_list(region)

    assert found.prices[CONNECTIVITY].cost_usd(1e6) == pytest.approx(0.08 * factor)
    assert (found.priced_region, found.note) == (region, "")


def test_region_without_known_prices_says_so() -> None:
    """Seoul has no confirmed price: those of us-east-1 are used, and the estimate says it."""
    demand = demand_of()
    cost = prices.estimate(demand, tables.price_list("ap-northeast-2"))

    assert cost.priced_region == "us-east-1"
    assert "no confirmed price for ap-northeast-2: us-east-1 prices used" in cost.notes
    assert cost.as_json()["region"] == "ap-northeast-2"


def test_confirmation_is_asked_above_the_limit_only() -> None:
    """A run at the limit goes on; one above it names both amounts."""
    demand = demand_of(
        vehicles=[{"name": "cars", "count": 1000, "streams": {"state": {"rate_hz": 100}}}]
    )
    cost = prices.estimate(demand, LIST)  # 6 million publishes: a little above $6

    assert prices.needs_confirmation(cost, cost.run_usd) is None
    question = prices.needs_confirmation(cost, 1.0)
    assert question is not None
    assert "$6.00" in question
    assert "$1.00" in question
