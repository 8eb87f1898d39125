"""The live panel: it fits every terminal, shows what arrived, and is not led astray."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.morai import Gear
from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.payload import decode_batch
from agent.telemetry.streams import state_stream
from agent.vehicle.state import DriveMode, EgoState
from simulator.demo.panel import DemoPanel
from simulator.demo.streambook import StreamBook
from simulator.demo.verdict import Check

SIZES = [(80, 24), (100, 30), (200, 50), (79, 24), (60, 40), (40, 12), (20, 6), (120, 12)]
LONGEST = "SIGTERM to the agent stops the car and signs off"


@dataclass
class Heard:
    """What an application knows; the panel reads nothing else of it."""

    book: StreamBook = field(default_factory=StreamBook)
    health: dict[str, Any] = field(default_factory=dict)
    round_trips_s: list[float] = field(default_factory=list)


def panel_on(heard: Heard) -> DemoPanel:
    """A panel on it."""
    return DemoPanel(cast("Any", heard), full_scale_kmh=40.0)


def drawn(panel: DemoPanel, size: tuple[int, int]) -> list[str]:
    """The lines on a terminal of this size."""
    width, height = size
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(panel)
    return console.export_text().splitlines()


def drive(heard: Heard, speed_mps: float = 10.0, samples: int = 12_345) -> None:
    """Let so many samples of the state stream arrive 50 ms late, without the second batch."""
    limits = BatchLimits(max_samples=4096, max_bytes=128 * 1024)
    batcher = Batcher(state_stream(), "boot-1", limits)
    state = EgoState(
        speed_mps=speed_mps,
        wheel_angle_rad=0.05,
        drive_mode=DriveMode.EXTERNAL,
        gear=Gear.D,
    )
    payloads = [p for n in range(samples) for p in batcher.add(state, 1000 + n / 50)]
    payloads += batcher.flush()
    del payloads[1:2]
    for payload in payloads:
        arrived_s = decode_batch(payload).times_s[-1] + 0.05
        heard.book.add("dt/morai/demo/car-1/state", payload, arrived_s)


FULL = Heard(health={"state": "online"}, round_trips_s=[0.0023, 0.0021, 0.2])
drive(FULL)


def busy() -> DemoPanel:
    """A panel with as much on it as the demo can bring."""
    panel = panel_on(FULL)
    for number in range(13):
        panel.decided(Check(f"step {number:02}", number != 11, "SUCCEEDED, and more " * 20))
    panel.step = LONGEST
    panel.tick(0.0)
    panel.tick(12.0)
    return panel


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [busy, lambda: panel_on(Heard())], ids=["busy", "no data"])
def test_it_fits_the_terminal(size: tuple[int, int], make: Any) -> None:
    """Neither too wide nor too high, whether everything has arrived or nothing."""
    lines = drawn(make(), size)

    assert len(lines) < size[1]
    assert max(map(len, lines), default=0) <= size[0]


@pytest.mark.parametrize("size", SIZES)
def test_the_story_stays_visible(size: tuple[int, int]) -> None:
    """On the smallest terminal one still sees the step under way and what was decided last."""
    lines = drawn(busy(), size)

    assert lines[-1].startswith(f"▸ {LONGEST[: size[0] - 4]}")
    assert lines[-2].startswith("✓ step 12")


def test_all_steps_are_shown_when_there_is_room() -> None:
    """Steps are left out only where the terminal is too low for them."""
    lines = drawn(busy(), (100, 30))

    assert [line[2:9] for line in lines if "step " in line] == [f"step {n:02}" for n in range(13)]
    assert "✗ step 11" in "\n".join(lines)


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (200, 50)])
def test_what_arrived_is_shown_whole(size: tuple[int, int]) -> None:
    """Speed, driver, counts, loss and latencies are all there, and no number is cut."""
    text = "\n".join(drawn(busy(), size)[:11])

    assert "36.0 km/h" in text
    assert "+2.9°" in text
    assert "external   gear D" in text
    assert "online" in text
    state = next(line for line in text.splitlines() if "│ state" in line)
    counts = state.split("│ state")[1].split()
    lost = FULL.book.records["state", "boot-1"].lost
    assert lost > 0
    assert counts[1:] == [f"{12_345 - lost:,}", str(lost), "50.0", "50.0", "│"]
    assert "median of 3" in text
    assert "…" not in text


def test_rates_are_counted_between_readings() -> None:
    """The rate is what arrived since the reading before, by the time between."""
    heard = Heard()
    panel = panel_on(heard)
    panel.tick(0.0)
    batcher = Batcher(state_stream(), "boot-1", BatchLimits(max_samples=1))
    for number in range(100):
        for payload in batcher.add(EgoState(speed_mps=1.0), 1000 + number / 50):
            heard.book.add("dt/morai/demo/car-1/state", payload, 1000.0)
    panel.tick(2.0)

    state = next(line for line in drawn(panel, (100, 30)) if "│ state" in line)

    assert state.split("│ state")[1].split()[:2] == ["50", "100"]


value = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.just("\x1b[2J[bold]\u202e")
)


@given(st.lists(value, min_size=4, max_size=4), value)
def test_any_values_from_the_network_can_be_drawn(values: list[Any], state: Any) -> None:
    """Whatever a sender writes into the signals, the panel stands and the terminal is safe."""
    names = (
        "Vehicle.Speed",
        "Morai.DriveMode",
        "Morai.Gear",
        "Vehicle.CurrentLocation.Latitude",
    )
    heard = Heard(health={"state": state})
    drive(heard, samples=5)
    record = heard.book.records["state", "boot-1"]
    assert record.last is not None
    record.last.columns.update(zip(names, values, strict=True))
    panel = panel_on(heard)
    panel.tick(1.0)

    for size in ((80, 24), (200, 50)):
        lines = drawn(panel, size)
        assert "\x1b" not in "".join(lines)
        assert len(lines) < size[1]
