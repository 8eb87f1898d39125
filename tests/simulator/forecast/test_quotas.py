from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from simulator.forecast import quotas, tables
from simulator.forecast.figures import Need
from tests.simulator.forecast.scenarios import demand_of

if TYPE_CHECKING:
    from simulator.forecast.quotas import QuotaFinding


def finding(need: Need, region: str = "us-east-1", **changes: Any) -> QuotaFinding:
    """How a small scenario stands to one quota."""
    report = quotas.check(demand_of(**changes), tables.quota_table(region))
    return next(item for item in report.findings if item.quota == need)


def fleet(count: int, rate_hz: float, **group: Any) -> dict[str, Any]:
    """A scenario of one group with one stream."""
    stream = {"state": {"rate_hz": rate_hz}}
    return {"vehicles": [{"name": "cars", "count": count, "streams": stream} | group]}


@pytest.mark.parametrize(
    ("quota", "default", "low", "adjustable"),
    [
        ("connects-per-account", 3000, 100, True),
        ("connections-per-account", 500_000, 100_000, True),
        ("publishes-in-per-account", 20_000, 2000, True),
        ("publishes-per-connection", 100, 100, False),
        ("subscribes-per-account", 3000, 200, True),
        ("retained-publishes-per-account", 500, 50, True),
        ("shadow-requests-per-account", 4000, 400, True),
        ("topic-slashes", 7, 7, False),
        ("api-create-thing", 100, 50, True),
        ("api-update-thing", 100, 50, True),
        ("api-attach-thing-principal", 100, 50, True),
        ("api-describe-thing", 350, 350, True),
        ("api-create-keys-and-certificate", 10, 10, True),
        ("api-attach-policy", 15, 15, True),
    ],
)
def test_tables_say_what_aws_says(quota: str, default: int, low: int, adjustable: bool) -> None:
    """AWS General Reference, "AWS IoT Core endpoints and quotas": default and low Regions."""
    common = tables.quota_table("us-east-1").quotas[quota]

    assert (common.limit, common.adjustable) == (default, adjustable)
    assert tables.quota_table("eu-north-1").quotas[quota].limit == low


@pytest.mark.parametrize(("region", "limit"), [("us-west-2", 100), ("ap-northeast-2", 50)])
def test_the_credentials_provider_is_faster_in_three_regions(region: str, limit: float) -> None:
    """AssumeRoleWithCertificate: 100 a second in us-east-1, us-west-2, eu-west-1, else 50."""
    table = tables.quota_table(region)
    assert table.limit("api-assume-role-with-certificate") == limit


def test_both_tables_have_the_same_quotas() -> None:
    """The tables differ in limits only."""
    common, low = tables.quota_table("us-east-1"), tables.quota_table("eu-north-1")

    assert {key: (q.name, q.unit, q.per, q.bound) for key, q in common.quotas.items()} == {
        key: (q.name, q.unit, q.per, q.bound) for key, q in low.quotas.items()
    }
    assert all(q.limit <= common.quotas[key].limit for key, q in low.quotas.items())


def test_every_need_has_a_quota() -> None:
    """No figure of a demand is left without a limit to hold it against."""
    assert {str(need) for need in Need} <= set(tables.quota_table("us-east-1").quotas)


def test_one_region_may_differ_in_one_quota() -> None:
    """Sao Paulo has the default quotas but for shadow requests."""
    table = tables.quota_table("sa-east-1")

    assert table.quotas["shadow-requests-per-account"].limit == 400
    assert table.quotas["connects-per-account"].limit == 3000


def test_finding_that_fits_says_so() -> None:
    """12,000 publishes a second stay below 20,000."""
    found = finding(Need.PUBLISHES_IN, **fleet(1200, 10))

    assert found.fits
    assert found.share == pytest.approx(0.6)
    assert found.remedy == ""
    assert found.text == (
        "inbound publishes per account: needs 12,000 publishes/s (phase all), "
        "quota 20,000 publishes/s: fits"
    )


def test_arrivals_that_are_too_fast_get_a_rate_that_fits() -> None:
    """340 cars at once break a quota of 100 CONNECTs per second by 3.4 times."""
    found = finding(Need.CONNECTS, "eu-north-1", **fleet(340, 1))

    assert not found.fits
    assert "breaks it by 3.4x" in found.text
    assert found.remedy == (
        "raise it in Service Quotas (adjustable), or let cars arrive at 100/s or fewer, "
        "which takes 4 s"
    )


def test_storm_that_is_too_large_is_named() -> None:
    """When a storm breaks the quota the advice is about the storm."""
    found = finding(
        Need.CONNECTS,
        "eu-north-1",
        **fleet(200, 1),
        arrival={"kind": "rate", "per_s": 20},
        faults=[{"kind": "storm", "at": 40}],
    )

    assert (found.needed, found.where) == (200, "storm at 40 s")
    assert "storm at 40 s" in found.remedy


def test_wildcard_observer_is_the_connection_that_breaks() -> None:
    """An observer of 300 messages a second needs two more connections beside it."""
    found = finding(
        Need.PUBLISHES_OF_CONNECTION,
        **fleet(300, 1),
        applications={"observers": [{"name": "dashboard"}]},
    )

    assert (found.needed, found.fits, found.adjustable) == (300, False, False)
    assert found.where == "an observer of dashboard"
    assert found.remedy.startswith("deal the cars to 3 or more observers")
    assert "Service Quotas" not in found.remedy


def test_a_need_at_its_limit_fits() -> None:
    """Ten streams of 0.1 Hz in each second are not more than 100 cars at 1 Hz."""
    found = finding(
        Need.PUBLISHES_OF_CONNECTION,
        **fleet(1000, 0.1),
        applications={"observers": [{"filters": "wildcard"}]},
    )

    assert found.fits


@pytest.mark.parametrize(("keep_alive", "fits"), [(0, False), (29, False), (30, True), (60, True)])
def test_keep_alive_may_be_too_short(keep_alive: int, fits: bool) -> None:
    """AWS raises a keep-alive below 30 s and replaces 0."""
    found = finding(Need.KEEP_ALIVE_LEAST_S, **fleet(1, 1, keep_alive=keep_alive))

    assert found.fits is fits


@pytest.mark.parametrize(("keep_alive", "fits"), [(1200, True), (1201, False)])
def test_keep_alive_may_be_too_long(keep_alive: int, fits: bool) -> None:
    """AWS lowers a keep-alive above 1,200 s."""
    assert finding(Need.KEEP_ALIVE_MOST_S, **fleet(1, 1, keep_alive=keep_alive)).fits is fits


def test_window_of_unacknowledged_publishes() -> None:
    """More than 100 QoS 1 publishes in flight are not read; QoS 0 has no window."""
    reliable = {"state": {"rate_hz": 1, "qos": 1}}

    found = finding(Need.IN_FLIGHT, **fleet(1, 1, in_flight=200, streams=reliable))
    assert (found.fits, found.needed) == (False, 200)
    assert finding(Need.IN_FLIGHT, **fleet(1, 1, in_flight=200)).needed == 0


def test_observer_with_a_filter_for_each_of_many_cars() -> None:
    """120 filters need three connections of 50, or a raised quota."""
    found = finding(
        Need.SUBSCRIPTIONS_OF_CONNECTION,
        **fleet(120, 0.1),
        applications={"observers": [{"filters": "each"}]},
    )

    assert (found.needed, found.fits, found.adjustable) == (120, False, True)
    assert "3 or more observers" in found.remedy


def test_report_puts_what_breaks_first() -> None:
    """The verdict counts and names the broken quotas, with Region and date."""
    report = quotas.check(demand_of(**fleet(3000, 1)), tables.quota_table("eu-north-1"))

    assert not report.fits
    assert [item.fits for item in report.findings] == sorted(item.fits for item in report.findings)
    assert {item.quota for item in report.broken} == {
        "connects-per-account",
        "publishes-in-per-account",
    }
    assert report.text.startswith("breaks 2 default quotas of eu-north-1 (2026-11-21): ")


def test_report_is_json() -> None:
    """The report survives a way through JSON."""
    report = quotas.check(demand_of(**fleet(10, 1)), tables.quota_table("us-east-1"))
    document = json.loads(json.dumps(report.as_json()))

    assert document["fits"] is True
    assert {item["quota"] for item in document["findings"]} == {
        str(n.quota) for n in report.findings
    }
