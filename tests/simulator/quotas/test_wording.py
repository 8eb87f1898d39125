from __future__ import annotations

import pytest

from simulator.quotas.files import quota_table
from simulator.quotas.wording import refusals_text


@pytest.mark.parametrize(
    ("quota", "count", "text"),
    [
        (
            "publishes-per-connection",
            1234,
            (
                "IoT Core would have refused 1,234 publishes and deliveries: quota publishes in "
                "+ out per connection (100 publishes/s)"
            ),
        ),
        (
            "publishes-in-per-account",
            7,
            (
                "IoT Core would have refused 7 publishes: quota inbound publishes per account "
                "(20,000 publishes/s)"
            ),
        ),
        (
            "connects-per-client-id",
            2,
            (
                "IoT Core would have refused 2 CONNECTs: quota CONNECT requests per client id "
                "(1 requests/s)"
            ),
        ),
        (
            "payload-bytes",
            3,
            "IoT Core would have refused 3 messages: quota size of a payload (131,072 bytes)",
        ),
        (
            "throughput-per-connection",
            5,
            (
                "IoT Core would have delayed a connection 5 times: quota throughput per connection "
                "(512 KB/s)"
            ),
        ),
    ],
)
def test_a_refusal_is_a_sentence(quota: str, count: int, text: str) -> None:
    """How much of what, and which quota."""
    assert refusals_text(quota_table("us-east-1").quotas[quota], count) == text


def test_every_quota_has_a_sentence() -> None:
    """Whatever it is counted in."""
    for quota in quota_table("us-east-1").quotas.values():
        assert quota.name in refusals_text(quota, 1)
