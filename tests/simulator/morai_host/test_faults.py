"""Seeded faults."""

import random
from typing import Any

import pytest

from certs.errors import ConfigurationError
from simulator.morai_host.faults import MAX_HELD, FaultInjector, FaultPlan


def injector(seed: int = 1, **plan: Any) -> FaultInjector:
    """An injector with its own seed."""
    return FaultInjector(FaultPlan(**plan), random.Random(seed))


def run(faults: FaultInjector, ticks: int = 500) -> list[list[int]]:
    """What leaves when every tick sends its own number."""
    held: list[int] = []
    return [faults.transmit(i / 64, held, [i]) for i in range(ticks)]


def test_same_seed_same_faults() -> None:
    """Two injectors with one seed lose and hold the same datagrams; another seed others."""
    plan = {"loss": 0.1, "burst": 0.05}
    assert run(injector(7, **plan)) == run(injector(7, **plan))
    assert run(injector(7, **plan)) != run(injector(8, **plan))


def test_loss_rate() -> None:
    """One in five is lost, within four standard deviations of 5,000 draws (0.023)."""
    faults = injector(loss=0.2)
    sent = sum(map(len, run(faults, 5000)))
    assert sent / 5000 == pytest.approx(0.8, abs=0.023)
    assert faults.counts["loss"] == 5000 - sent


def test_burst_holds_and_then_sends_all_in_order() -> None:
    """Nothing is lost in a burst: it waits, and arrives together and in order."""
    faults = injector(burst=0.05, burst_s=5 / 64)
    ticks = run(faults)
    flat = [item for tick in ticks for item in tick]
    assert flat == list(range(len(flat)))
    assert len(flat) > 490
    assert max(map(len, ticks)) == 6  # the tick that began it and five after it
    assert faults.counts["burst"] > 5


def test_held_datagrams_are_bounded() -> None:
    """A burst drops the oldest beyond its bound and counts them."""
    faults = injector(burst=1.0, burst_s=3000.0)
    held: list[int] = []
    faults.transmit(0.0, held, list(range(MAX_HELD + 10)))
    assert held == list(range(10, MAX_HELD + 10))
    assert faults.counts["overflow"] == 10


def test_duplicate_stamps_repeat_the_previous_one() -> None:
    """A repeated stamp is the last one of the same channel; the first is never repeated."""
    faults = injector(duplicate_stamp=1.0)
    assert [faults.stamp("a", 1.0), faults.stamp("b", 2.0), faults.stamp("a", 3.0)] == [1, 2, 1]


def test_stall_lasts_its_time() -> None:
    """A stall freezes the simulator for its duration."""
    faults = injector(stall=1.0, stall_s=1.0)
    assert faults.stalled(10.0)
    faults.plan = FaultPlan()
    assert faults.stalled(10.99)
    assert not faults.stalled(11.0)


def test_plan_can_be_switched_while_running() -> None:
    """A new plan counts from the next call on."""
    faults = injector()
    held: list[int] = []
    assert faults.transmit(0.0, held, [1]) == [1]
    faults.plan = FaultPlan(loss=1.0)
    assert faults.transmit(0.1, held, [2]) == []
    faults.plan = FaultPlan()
    assert faults.transmit(0.2, held, [3]) == [3]


def test_plan_from_texts() -> None:
    """The command line's spelling of every kind of fault."""
    plan = FaultPlan.parse(["loss=0.05", "stall-s=2", "blank", "gps_blackout=on"])
    assert plan == FaultPlan(loss=0.05, stall_s=2.0, blank=True, gps_blackout=True)


@pytest.mark.parametrize(
    "text",
    ["lost=0.1", "loss", "loss=2", "loss=nan", "loss=x", "burst_s=0", "blank=maybe", "", "parse=1"],
)
def test_wrong_texts(text: str) -> None:
    """Unknown faults and values out of range are configuration errors."""
    with pytest.raises(ConfigurationError):
        FaultPlan.parse([text])
