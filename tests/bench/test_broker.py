"""The loads of the stand-in's benchmarks carry what they claim to; nothing depends on speed."""

from __future__ import annotations

import sys

import pytest

from tests.bench import broker, broker_load, fan_out

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the load generator needs Unix")


def test_quotas_are_on_and_not_reached() -> None:
    """Ten clients at 20 Hz for a second at either QoS, and the budget of each."""
    loads = tuple(broker._Load(10, 20.0, qos, "default") for qos in (0, 1))

    qos_0, qos_1, *others = broker.figures(loads, 1, 1.0)
    floors = [figure for figure in others if figure.what.startswith("bare TLS server")]
    others = [figure for figure in others if figure not in floors]

    assert (qos_0.budget, qos_1.budget) == (20, 30)
    assert "quotas default" in qos_0.how
    assert "QoS 1" in qos_1.how
    assert [figure.budget for figure in floors] == [None, None]
    assert all(figure.value > 0 for figure in floors)
    for figure in (qos_0, qos_1):
        assert figure.value > 0
        assert figure.how.endswith("0 over a quota")
    assert {figure.unit for figure in others} == {"ms", "kB"}


def test_quotas_would_be_noticed() -> None:
    """One client at 300 Hz is two thirds above its quota, and the server says so."""
    result = broker_load.run(1, 300.0, 1.0, quotas="default")

    assert result.over_quota > 100


def test_every_subscriber_gets_every_message() -> None:
    """One publisher at 80 Hz for a second to five subscribers: 400 deliveries and none refused."""
    result = broker_load.run(1, 80.0, 1.0, subscribers=5, quotas=broker_load.FAN_OUT)
    [figure] = fan_out.figures(5, 1, 1.0)

    assert result.delivered == pytest.approx(400, rel=0.1)
    assert result.delivered == 5 * result.publishes
    assert result.over_quota == 0
    assert figure.budget == 25
    assert figure.value > 0
