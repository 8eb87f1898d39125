"""Which AWS Region an endpoint lies in.

Owns the form of the host names of AWS IoT data endpoints (AWS IoT Core developer guide, "AWS IoT
device data and service endpoints"). Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulator.scenario.schema import Target

DEFAULT_REGION: Final = "us-east-1"
"""What a target outside AWS is compared with."""

_REGION: Final = re.compile(
    r"\.iot(?:-fips)?\.(?P<region>[a-z]{2,3}(?:-[a-z]+){1,3}-\d{1,2})\.(?:vpce\.)?amazonaws\.com(?:\.cn)?",
    re.ASCII,
)


def region_of(endpoint: str) -> str | None:
    """The Region in the host name of a data endpoint; None when it names none."""
    match = _REGION.search(endpoint.lower())
    return match["region"] if match and match.end() == len(endpoint) else None


def region_of_target(target: Target) -> str:
    """The Region whose quotas and prices a target is held against.

    That of AWS IoT Core is read from the endpoint unless the scenario names one. Everything else is
    compared with `DEFAULT_REGION`: what the same load would meet at AWS.
    """
    if target.kind != "aws":
        return DEFAULT_REGION
    return target.region or region_of(target.endpoint) or DEFAULT_REGION
