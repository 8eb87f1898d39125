"""The live panel of the demo: what the car does, what arrives, what the story is at.

Draws; measures and decides nothing. Everything shown about the car is what the application
received over MQTT, not what the simulator knows. Fits any terminal: what has least to say gives way
first, and of the story the latest steps stay.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from certs.terminal import printable
from simulator.demo.streambook import percentile_ms

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from simulator.demo.application import Application
    from simulator.demo.verdict import Check

_SPARK = "▁▂▃▄▅▆▇█"
_HISTORY = 60
_STEP_CELLS = 48  # the longest title fits, so that only details are cut
_STREAMS = ("state", "objects", "imu", "gnss", "traffic-light", "collision")
# Frame and padding take four cells; the rest holds the widest row.
_CAR_WIDTHS = (34, 48)
_STREAMS_WIDTHS = (45, 48)
_SIDE_BY_SIDE = _CAR_WIDTHS[0] + 1 + _STREAMS_WIDTHS[0]
_CAR_ROWS = 9
_STREAMS_ROWS = 11
_STORY_ROWS = 3  # the story is what a small terminal shows last


class DemoPanel:
    """Renders the state of the demo.

    Args:
        application: What the cloud sees.
        full_scale_kmh: Right end of the speed bar.
    """

    def __init__(self, application: Application, full_scale_kmh: float) -> None:
        self.step = ""
        self.elapsed_s = 0.0
        self._app = application
        self._full_scale_kmh = full_scale_kmh
        self._checks: list[Check] = []
        self._speeds_kmh: deque[float] = deque([0.0] * _HISTORY, maxlen=_HISTORY)
        self._last_samples: dict[str, tuple[float, int]] = {}
        self._rates: dict[str, float] = {}

    def decided(self, check: Check) -> None:
        """Add a finished step."""
        self._checks.append(check)

    def tick(self, elapsed_s: float) -> None:
        """Take a reading for the history and the rates; called a few times a second."""
        self.elapsed_s = elapsed_s
        self._speeds_kmh.append(self._app.book.number("Vehicle.Speed") or 0.0)
        for name in _STREAMS:
            record = self._app.book.stream(name)
            samples = record.samples if record else 0
            then_s, before = self._last_samples.get(name, (elapsed_s, samples))
            if elapsed_s - then_s >= 1.0:
                self._rates[name] = (samples - before) / (elapsed_s - then_s)
                self._last_samples[name] = (elapsed_s, samples)
            else:
                self._last_samples.setdefault(name, (then_s, before))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as much as the terminal has room for."""
        del console
        width, height = options.max_width, options.height or options.max_height
        boxes: list[RenderableType] = []
        rows = 0
        if width >= _SIDE_BY_SIDE and height >= _STREAMS_ROWS + _STORY_ROWS:
            car_cells = min(_CAR_WIDTHS[1], width - 1 - _STREAMS_WIDTHS[0])
            streams_cells = min(_STREAMS_WIDTHS[1], width - 1 - car_cells)
            beside = Table.grid(padding=(0, 1, 0, 0))
            beside.add_row(self._car_box(car_cells), self._streams_box(streams_cells))
            boxes.append(beside)
            rows = _STREAMS_ROWS
        elif width < _SIDE_BY_SIDE and width >= _CAR_WIDTHS[0]:
            if height >= _CAR_ROWS + _STORY_ROWS:
                boxes.append(self._car_box(min(width, _CAR_WIDTHS[1])))
                rows += _CAR_ROWS
            if width >= _STREAMS_WIDTHS[0] and height >= rows + _STREAMS_ROWS + _STORY_ROWS:
                boxes.append(self._streams_box(min(width, _STREAMS_WIDTHS[1])))
                rows += _STREAMS_ROWS
        # One row stays free: a terminal scrolls when its last row is filled.
        yield Group(*boxes, self._story(max(1, height - rows - 1)))

    def _car_box(self, cells: int) -> Panel:
        return Panel(
            self._car(cells - 4), title="car, as the cloud sees it", width=cells, height=_CAR_ROWS
        )

    def _streams_box(self, cells: int) -> Panel:
        return Panel(self._streams(), title="telemetry", width=cells, height=_STREAMS_ROWS)

    def _car(self, cells: int) -> RenderableType:
        value, number = self._app.book.value, self._app.book.number
        speed_kmh = number("Vehicle.Speed") or 0.0
        graph_cells = cells - len("heading ")
        table = Table.grid(padding=(0, 1))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_row("speed", _speed_bar(speed_kmh, self._full_scale_kmh, graph_cells))
        table.add_row("", _sparkline(self._speeds_kmh, self._full_scale_kmh, graph_cells))
        table.add_row("driver", _driver(value("Morai.DriveMode"), value("Morai.Gear")))
        table.add_row(
            "wheel", _number(number("Vehicle.Chassis.Axle.Row1.SteeringAngle"), "+.1f", "°")
        )
        table.add_row(
            "place",
            Text(
                f"{_number(number('Vehicle.CurrentLocation.Latitude'), '.6f')}"
                f" {_number(number('Vehicle.CurrentLocation.Longitude'), '.6f')}"
            ),
        )
        table.add_row("heading", _number(number("Vehicle.CurrentLocation.Heading"), ".1f", "°"))
        table.add_row("agent", Text(_word(self._app.health.get("state"), "not heard yet")))
        return table

    def _streams(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
        table.add_column("stream", no_wrap=True)
        for title in ("/s", "count", "lost", "p50", "p99"):
            table.add_column(title, justify="right")
        for name in _STREAMS:
            record = self._app.book.stream(name)
            if record is None:
                table.add_row(Text(name, "dim"), "", "", "", "", "")
                continue
            table.add_row(
                name,
                f"{self._rates.get(name, 0.0):.0f}",
                f"{record.samples:,}",
                Text(str(record.lost), "bold red" if record.lost else ""),
                _milliseconds(percentile_ms(record.newest_age, 50)),
                _milliseconds(percentile_ms(record.newest_age, 99)),
            )
        trips = sorted(self._app.round_trips_s)
        trip = (
            f"{trips[len(trips) // 2] * 1000:.1f} ms median of {len(trips)}"
            if trips
            else "none yet"
        )
        note = Text("p50, p99: datagram to application, ms", "dim")
        return Group(table, note, Text(f"command round trip: {trip}", "dim"))

    def _story(self, rows: int) -> RenderableType:
        room = rows - bool(self.step)
        lines = [
            _step_line(
                ("✓", "green") if check.held else ("✗", "bold red"),
                (check.name, ""),
                printable(check.detail),
            )
            for check in (self._checks[-room:] if room > 0 else ())
        ]
        if self.step:
            lines.append(_step_line(("▸", "cyan"), (self.step, "bold"), f"{self.elapsed_s:.0f} s"))
        return Group(*lines)


def _step_line(mark: tuple[str, str], title: tuple[str, str], detail: str) -> Text:
    name, style = title
    line = Text.assemble(mark, " ", (name.ljust(_STEP_CELLS), style), "  ", (detail, "dim"))
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - four digits do


def _speed_bar(speed_kmh: float, full_scale_kmh: float, cells: int) -> Text:
    number = f" {speed_kmh:5.1f} km/h"
    whole = max(1, cells - len(number))
    filled = min(whole, max(0, round(speed_kmh / full_scale_kmh * whole)))
    return Text.assemble(("█" * filled, "cyan"), ("░" * (whole - filled), "dim"), number)


def _sparkline(values: deque[float], full_scale: float, cells: int) -> Text:
    top = len(_SPARK) - 1
    shown = list(values)[-cells:]
    return Text(
        "".join(_SPARK[min(top, max(0, round(value / full_scale * top)))] for value in shown),
        "cyan",
    )


def _driver(mode: Any, gear: Any) -> Text:
    style = "bold green" if mode == "EXTERNAL" else "yellow"
    return Text.assemble((_word(mode, "unknown").lower(), style), f"   gear {_word(gear, '?')}")


def _word(value: Any, unknown: str) -> str:
    return printable(value) if value and isinstance(value, str) else unknown


def _number(value: float | None, spec: str, unit: str = "") -> str:
    return "unknown" if value is None else format(value, spec) + unit
