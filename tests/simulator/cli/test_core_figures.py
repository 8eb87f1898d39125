"""The status of a stand-in on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from simulator.cli.core_figures import line, panel, refusals
from simulator.iotcore.status.document import (
    ClockReading,
    QuotaReading,
    Refusal,
    RefusedClient,
    Status,
    Talker,
)

HOSTILE = "car\x1b[2J\u202e7"


def status(**changes: Any) -> Status:
    """A status with something in every part."""
    totals = {
        "connects": 3,
        "disconnects": 1,
        "publishes_in": 12_345,
        "publishes_out": 67,
        "bytes_in": 1_000,
        "bytes_out": 0,
        "subscribes": 2,
        "messages_queued": 0,
        "tls_failed": 1,
        "http_requests": 4,
        "refused": 9,
    }
    values: dict[str, Any] = {
        "version": "1.2.3",
        "host": "127.0.0.1",
        "port": 8883,
        "region": "eu-central-1",
        "account": "123456789012",
        "uptime_s": 75.0,
        "clock": ClockReading(unix_s=1_700_000_000.0, ahead_s=3_600.0, may_travel=True),
        "connections": 2,
        "http_connections": 0,
        "tls_pending": 0,
        "sessions": 5,
        "retained_messages": 0,
        "registered": {"certificates": 3, "things": 4},
        "totals": totals,
        "per_s": dict.fromkeys(totals, 1.5),
        "causes": {"publish_denied": 2, "quota:publishes-per-connection": 9},
        "quotas": QuotaReading(
            table="default",
            date="2026-11-20",
            mode="observe",
            refusals=[
                Refusal(
                    quota="publishes-per-connection",
                    refused=9,
                    clients=[RefusedClient(HOSTILE, 9, 0)],
                    text=f"IoT Core would have refused 9 publishes of {HOSTILE}",
                )
            ],
        ),
        "talkers": [
            Talker(
                client_id=HOSTILE,
                address="192.0.2.7",
                in_per_s=97.5,
                out_per_s=0.0,
                publishes_in=975,
                publishes_out=0,
                subscriptions=3,
                queued=1,
            )
        ],
        "services": {"shadows": {"requests": 12}, "jobs": {"requests": 0}},
        "api": {"requests": 7, "errors": {"ThrottlingException": 2}},
        "persistence": {"directory": "data", "saves": 3, "failed_saves": 1},
    }
    return Status(**{**values, **changes})


def shown(found: Status) -> str:
    """The panel as text, with single blanks."""
    out = Console(width=120, no_color=True)
    with out.capture() as captured:
        out.print(panel(found, hint="Ctrl-C ends it."))
    return " ".join(captured.get().split())


def test_the_panel_says_it_all() -> None:
    """Account, clock, rates, reasons, quotas, services, API, data and talkers, in words."""
    text = shown(status())
    for words in (
        "stand-in on 127.0.0.1 port 8883",
        "123456789012 in eu-central-1; 3 certificates, 4 things",
        "up 1:15; clock 2023-11-14 22:13:20 UTC, 1 h ahead",
        "messages in 1.5/s, 12,345 in all",
        "other reasons publish denied 2",
        "quotas default, only counted",
        "services shadows (12), jobs",
        'AWS API boto3: endpoint_url="https://127.0.0.1:8883"; 7 requests, 2 refused',
        "data kept in data, 3 saves, 1 FAILED",
        "192.0.2.7 98 0 3 1",
        "Ctrl-C ends it.",
    ):
        assert words in text, words


def test_names_from_the_network_cannot_command_a_terminal() -> None:
    """Escapes and characters that reorder a line are shown as what they are."""
    text = shown(status())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "car\\x1b[2J\\u202e7" in text
    assert "\x1b" not in "".join(refusals(status()))


def test_a_hostile_document_is_shown_too() -> None:
    """Numbers beyond the calendar, services without figures, an API that says nothing."""
    clock = ClockReading(unix_s=1e300, ahead_s=0.0, may_travel=False)
    text = shown(
        status(clock=clock, services={"x": {"requests": "many"}}, api={"errors": 3}, talkers=[])
    )
    assert "1e+300" in text
    assert "services x" in text


def test_what_is_off_is_left_out() -> None:
    """No API, no data directory, no quotas: no lines about them."""
    off = QuotaReading(table="off", date="", mode="off", refusals=[])
    text = shown(status(api=None, persistence=None, quotas=off, services={}))
    assert "AWS API" not in text
    assert "data kept" not in text
    assert "quotas off" in text
    assert "services none" in text


def test_the_line_has_everything_for_a_log() -> None:
    """One line without a line break."""
    assert line(status()) == (
        "port 8883: connections 2, in 12,345 (1.5/s), out 67 (1.5/s), refused and dropped: "
        "publish_denied 2, quota:publishes-per-connection 9"
    )


def test_many_broken_quotas_are_not_all_told() -> None:
    """Five, and how many more."""
    many = [Refusal(quota=str(n), refused=n, clients=[], text=f"text {n}") for n in range(8)]
    found = status(quotas=QuotaReading(table="default", date="", mode="enforce", refusals=many))
    assert refusals(found) == [*(f"text {n}" for n in range(5)), "and 3 more quotas"]
