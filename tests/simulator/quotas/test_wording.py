from __future__ import annotations

import pytest

from simulator.quotas.files import quota_table
from simulator.quotas.wording import refusals_text, refused_text


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
                "IoT Core would have delayed packets 5 times: quota throughput per connection "
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


@pytest.mark.parametrize(
    ("quota", "count", "clients", "text"),
    [
        (
            "publishes-per-connection",
            120,
            [("car-7", 120)],
            (
                "IoT Core refused 120 publishes and deliveries of car-7: more than 100 a second on "
                "one connection"
            ),
        ),
        (
            "connects-per-client-id",
            1,
            [("car-7", 1)],
            "IoT Core refused 1 CONNECT of car-7: more than 1 a second with one client id",
        ),
        (
            "publishes-in-per-account",
            1234,
            [("car-1", 1200), ("car-2", 34)],
            (
                "IoT Core refused 1,234 publishes of 2 clients, most often of car-1 (1,200): more "
                "than 20,000 a second in the account"
            ),
        ),
        (
            "payload-bytes",
            3,
            [("car-7", 3)],
            "IoT Core refused 3 messages of car-7: size of a payload above 131,072 bytes",
        ),
        (
            "topic-slashes",
            2,
            [],
            "IoT Core refused 2 messages: more than 7 slashes in one message",
        ),
        (
            "throughput-per-connection",
            2,
            [("car-7", 2)],
            (
                "IoT Core delayed packets of car-7 2 times: more than 512 KB a second on one "
                "connection"
            ),
        ),
        (
            "client-packet-bytes-least",
            1,
            [("car-7", 1)],
            (
                "IoT Core refused 1 CONNECT of car-7: the smallest Maximum Packet Size a client "
                "may announce is 512 bytes"
            ),
        ),
        (
            "csr-certificates-per-account",
            5,
            [("claim", 5)],
            (
                "IoT Core refused 5 CreateCertificateFromCsr of claim: more than 20 a second in "
                "the account"
            ),
        ),
    ],
)
def test_a_refusal_is_told_in_plain_words(
    quota: str, count: int, clients: list[tuple[str, int]], text: str
) -> None:
    """How often, to whom, and what was too much, with the limits AWS publishes."""
    assert refused_text(quota_table("ap-northeast-2").quotas[quota], count, clients) == text


def test_what_is_only_counted_would_have_been_refused() -> None:
    """Observing, nothing was refused, and the sentence says so."""
    quota = quota_table("ap-northeast-2").quotas["shadow-requests-per-shadow"]
    assert refused_text(quota, 2, [("car-1", 2)], is_enforced=False) == (
        "IoT Core would have refused 2 shadow requests of car-1: more than 20 a second on one "
        "shadow"
    )


def test_every_quota_has_its_sentence() -> None:
    """Whatever breaks, there is a subject, and what was too much ends the sentence."""
    for quota in quota_table("ap-northeast-2").quotas.values():
        text = refused_text(quota, 3, [("car-1", 3)])
        assert text.startswith("IoT Core ")
        assert ": more than " in text or " above " in text or " is " in text, text
