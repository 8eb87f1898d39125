"""The loads of the fleet benchmarks carry what they claim to; nothing here depends on speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certs.store import Store
from tests.bench import core_long, fleet, fleet_long, mosquitto, send_floor
from tests.bench.figure import Figure, NotMeasurableError
from tests.bench.fleet_load import Broker, Load, Outcome, Window, run

if TYPE_CHECKING:
    from pathlib import Path

CARS = 10
RATE_HZ = 20.0
WINDOW_S = 1

needs_mosquitto = pytest.mark.skipif(mosquitto.installed() is None, reason="needs mosquitto")


def test_a_window_holds_every_message_of_its_seconds() -> None:
    """Ten cars at 20 Hz make 200 messages a second, half of them acknowledged and none lost."""
    outcome = run(
        Load(CARS, RATE_HZ, None, window_s=WINDOW_S, windows=2, connects_per_s=50, is_observed=True)
    )

    assert outcome.connected == outcome.connects == outcome.online == CARS
    assert outcome.lost == outcome.unacknowledged == 0
    # All windows, and what was written while the cars arrived.
    assert outcome.written > 2 * CARS * RATE_HZ
    for window in outcome.windows:
        assert window.published == pytest.approx(CARS * RATE_HZ, rel=0.2)
        assert window.lateness.get_total_count() == window.published
        assert window.us_per_message > 0
        assert window.target_share > 0
    assert outcome.resident_bytes > 0
    assert outcome.connect_cpu_s > 0


@needs_mosquitto
def test_a_mosquitto_is_a_target(tmp_path: Path) -> None:
    """Cars of a store reach a mosquitto that requires their certificates."""
    store = Store(tmp_path / "store")
    store.init_authority()
    list(store.issue_things(f"car-{number}" for number in range(CARS)))

    with mosquitto.mosquitto(store) as broker:
        outcome = run(
            Load(
                CARS,
                RATE_HZ,
                1,
                window_s=WINDOW_S,
                windows=1,
                connects_per_s=50,
                broker=Broker(broker, store.root),
            )
        )

    assert outcome.connected == CARS
    assert outcome.unacknowledged == 0
    assert outcome.windows[0].acknowledged.get_total_count() > 0


def test_without_mosquitto_its_absence_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without mosquitto is no failure: the table says what it lacks."""
    monkeypatch.setattr(mosquitto, "installed", lambda: None)

    with (
        pytest.raises(NotMeasurableError, match="not installed"),
        mosquitto.mosquitto(Store(tmp_path / "store")),
    ):
        pass


@pytest.mark.parametrize("tls", [False, True])
def test_the_floor_is_more_than_nothing(tls: bool) -> None:
    """A send costs something, in the clear and through TLS."""
    costs_us = send_floor.cost_us(5, 0.2, 2, tls=tls)

    assert len(costs_us) == 2
    assert all(cost_us > 0 for cost_us in costs_us)


def test_the_long_run_gives_its_figures() -> None:
    """Twenty cars for a second, instead of ten thousand for ten minutes, lose nothing."""
    figures = {figure.what: figure for figure in fleet_long.figures(20, 1, WINDOW_S)}

    assert figures["fleet: messages lost"].value == 0
    assert figures["fleet: cars not connected at the end"].value == 0
    assert figures["fleet: lateness p99"].budget == 5


def test_a_tiny_load_gives_every_figure_of_a_target() -> None:
    """Costs of both QoS, memory and connects stand beside their budgets."""
    tiny = fleet.Scale(20, 5.0, 1, 1, (5, 10), 0.2, 100.0)

    figures = fleet._messages(tiny, "stand-in", None)

    assert [(figure.unit, figure.budget) for figure in figures] == [
        ("us", 15.0),
        ("us", 25.0),
        ("kB", 60.0),
        ("ms", 1.2),
    ]
    costs = [figure for figure in figures if figure.unit != "kB"]
    assert all(figure.value > 0 for figure in costs)


def test_flatness_is_the_farthest_of_all_fleets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs of 10, 12 and 15 us: 15 is 1.25 times their median, and that is the figure."""
    costs_us = {100: 10.0, 1000: 12.0, 10_000: 15.0}

    def carry(load: Load) -> Outcome:
        thousand = Window(cpu_s=costs_us[load.cars] / 1000, published=1000)
        return Outcome(load, windows=[thousand])

    monkeypatch.setattr(fleet, "run", carry)

    last = fleet._flatness(fleet.FULL)[-1]

    assert isinstance(last, Figure)
    assert last.value == pytest.approx(1.25)
    assert last.budget == 1.2


def test_a_storm_of_connections_gives_its_figures() -> None:
    """Twenty connections instead of ten thousand: all come back, none is refused."""
    figures = {figure.what: figure for figure in core_long.figures(20, 2)}

    assert figures["storm: handshakes refused"].value == 0
    assert figures["storm: cars not connected at the end"].value == 0
    assert 0 < figures["storm: last car back after"].value <= 2.5
    assert figures["stand-in memory per held connection"].budget == 60


def test_the_generator_is_measured_without_quotas() -> None:
    """What the target counts does not belong to the cost of the generator."""
    target = Load(CARS).scenario().target

    assert getattr(target, "quotas", None) == "off"
