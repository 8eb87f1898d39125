"""The health document, gathered from counters."""

from __future__ import annotations

from agent.bridge.vitals import Vitals
from agent.telemetry.health import Health, decode_health, encode_health
from agent.telemetry.payload import Clock


def vitals() -> Vitals:
    """Vitals of an agent that started at 100 s."""
    return Vitals("car-1", "b007", "1.0", Clock("receive", "unknown"), started_mono_s=100.0)


def document(owner: Vitals, mono_s: float, received: int) -> Health:
    """The document at a time, as a reader gets it."""
    owner.heard_mono_s["imu"] = mono_s - 0.25
    made = owner.document(
        "online",
        now_s=1_700_000_000.0 + mono_s,
        mono_s=mono_s,
        received={"imu": received},
        counters={"dropped.empty": 3},
    )
    return decode_health(encode_health(made))


def test_the_first_document_knows_no_rate() -> None:
    """A rate needs two counts; the rest is there at once."""
    first = document(vitals(), 110.0, 500)

    assert (first.thing, first.boot, first.agent, first.uptime_s) == ("car-1", "b007", "1.0", 10.0)
    assert first.channels["imu"].rate_hz is None
    assert (first.channels["imu"].received, first.channels["imu"].silent_s) == (500, 0.25)
    assert first.counters == {"dropped.empty": 3}


def test_the_rate_is_that_of_the_last_interval() -> None:
    """500 datagrams in ten seconds are 50 Hz, whatever was before."""
    owner = vitals()
    document(owner, 110.0, 10_000)

    assert document(owner, 120.0, 10_500).channels["imu"].rate_hz == 50.0


def test_documents_close_together_keep_the_rate() -> None:
    """`stopping` right after a periodic document does not report the rate of a millisecond."""
    owner = vitals()
    document(owner, 110.0, 0)
    document(owner, 120.0, 500)

    assert document(owner, 120.001, 500).channels["imu"].rate_hz == 50.0
    assert document(owner, 130.0, 500).channels["imu"].rate_hz == 0.0
