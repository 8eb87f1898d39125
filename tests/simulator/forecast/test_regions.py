from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.forecast.regions import region_of, region_of_target
from simulator.scenario.schema import AwsTarget, BrokerTarget, StandInTarget


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("a1b2c3d4e5f6g7-ats.iot.eu-central-1.amazonaws.com", "eu-central-1"),
        ("a1b2c3d4e5f6g7.iot.us-east-1.amazonaws.com", "us-east-1"),
        ("abc-ats.iot.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
        ("abc-ats.iot.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("data.iot-fips.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
        ("vpce-1-x.data.iot.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
        ("ABC-ats.iot.AP-northeast-2.amazonaws.com", "ap-northeast-2"),
        ("localhost", None),
        ("abc.iot.eu-central-1.amazonaws.com.example.org", None),
        ("s3.eu-central-1.amazonaws.com", None),
    ],
)
def test_region_stands_in_the_host_name(endpoint: str, region: str | None) -> None:
    """The label after `iot` is the Region; names outside AWS IoT have none."""
    assert region_of(endpoint) == region


@given(st.text(max_size=300))
def test_any_text_has_a_region_or_none(text: str) -> None:
    """Reading an endpoint is total."""
    region_of(text)


def test_targets_outside_aws_are_compared_with_us_east_1() -> None:
    """The stand-in and other brokers are held against what the load would meet at AWS."""
    assert region_of_target(StandInTarget()) == "us-east-1"
    assert region_of_target(BrokerTarget(kind="broker", host="10.0.0.1")) == "us-east-1"


def test_the_scenario_has_the_last_word_on_the_region() -> None:
    """A Region given with the target is used instead of that of its endpoint."""
    endpoint = "abc-ats.iot.eu-central-1.amazonaws.com"

    assert region_of_target(AwsTarget(kind="aws", endpoint=endpoint)) == "eu-central-1"
    given = AwsTarget(kind="aws", endpoint=endpoint, region="me-south-1")
    assert region_of_target(given) == "me-south-1"
