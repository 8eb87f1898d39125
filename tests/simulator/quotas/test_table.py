from __future__ import annotations

import pytest

from simulator.quotas.files import quota_table
from simulator.quotas.wording import refusals_text

QUOTAS = quota_table("us-east-1").quotas


@pytest.mark.parametrize(
    ("quota", "is_of_protocol"),
    [
        ("payload-bytes", True),
        ("topic-slashes", True),
        ("subscriptions-per-connection", True),
        ("filters-per-subscribe", True),
        ("unacknowledged-in-per-client", True),
        ("session-expiry", True),
        ("publishes-per-connection", False),
        ("throughput-per-connection", False),
        ("connects-per-client-id", False),
        ("connections-per-account", False),
        ("retained-messages", False),
        ("queued-per-shared-group", False),
        ("shared-subscriptions-per-group", False),
        ("replayed-per-session", False),
    ],
)
def test_sizes_and_counts_of_a_client_are_of_the_protocol(quota: str, is_of_protocol: bool) -> None:
    """Rates, and counts that several clients add to, are what may be observed only."""
    assert QUOTAS[quota].is_of_protocol is is_of_protocol


def test_what_is_enforced_was_refused() -> None:
    """A sentence in the past about what happened, not about what would have."""
    text = refusals_text(QUOTAS["publishes-in-per-account"], 7, is_enforced=True)
    delay = refusals_text(QUOTAS["throughput-per-connection"], 1, is_enforced=True)

    assert text.startswith("IoT Core refused 7 publishes: quota ")
    assert delay.startswith("IoT Core delayed packets once: quota ")
