"""The catalogue of edges against the quota tables it speaks of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simulator.quotas.files import named_table, own_table, quota_table
from simulator.scenario.edges import EDGES, PROBED, Amount, Edge, chosen

ROOT = Path(__file__).parents[3]
TABLES = {
    "default": quota_table("us-east-1"),
    "low": named_table("low", "eu-north-1"),
    "quota-edge": own_table(ROOT / "scenarios" / "quota-edge.toml", "us-east-1"),
}


def test_every_quota_of_the_broker_has_an_edge() -> None:
    """Those of the guide's table, but for the retry of sixteen minutes."""
    guide = (ROOT / "docs" / "iotcore-quotas.md").read_text(encoding="utf-8")
    table = re.split(r"^## Every quota of the broker$", guide, flags=re.MULTILINE)[1]
    table = table.split("Asked for by the services")[0]
    named = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([a-z0-9-]+)`", line.split("|")[1])
    }

    assert set(PROBED) == named - {"qos1-retry"}


def test_names_are_unique() -> None:
    """A quota with several edges has a name for each."""
    assert len({edge.name for edge in EDGES}) == len(EDGES)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_the_sides_are_on_both_sides(edge: Edge, table: str) -> None:
    """Below is allowed by the limit and above is not, whatever the table says."""
    quota = TABLES[table].quotas[edge.quota]
    below, above = edge.below.of(quota.limit), edge.above.of(quota.limit)

    if quota.bound == "least":
        assert above < quota.limit <= below
    elif edge.effect == "announced":
        assert below < quota.limit == above
    else:
        assert below <= quota.limit < above


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_the_shipped_table_is_within_reach(edge: Edge) -> None:
    """The scenario quota-edge passes none over."""
    assert 1 <= TABLES["quota-edge"].limit(edge.quota) <= edge.reach


def test_amounts_follow_the_limit() -> None:
    """Times the limit and so much more, a whole number and never nothing."""
    assert Amount().of(128) == 128
    assert Amount(plus=1).of(8) == 9
    assert Amount(0.9).of(100) == 90
    assert Amount(plus=-1).of(1) == 1


def test_edges_can_be_chosen() -> None:
    """By whether they concern one client or the account, and by quota, in their order."""
    clients, account = chosen("clients", None), chosen("account", None)

    assert clients + account == chosen("all", None) == EDGES
    assert {edge.quota for edge in account} >= {"connects-per-account", "publishes-in-per-account"}
    assert [edge.name for edge in chosen("all", ["publishes-per-connection"])] == [
        "publishes-per-connection-in",
        "publishes-per-connection-out",
    ]
    assert chosen("account", ["payload-bytes"]) == ()
