"""The signal table against the published VSS 6.0 catalogue and the published documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.telemetry import streams
from agent.vehicle.frames import MapFrame
from agent.vehicle.vss import SIGNALS, VSS_VERSION, Signal, signal

PUBLISHED = json.loads(Path(__file__).with_name("vss_6_0_subset.json").read_text(encoding="utf-8"))[
    "signals"
]
DOCS = Path(__file__).parents[3] / "docs" / "signals.md"
# Units of the standard's units.yaml that overlay signals use.
VSS_UNITS = {"km/h", "degrees", "degrees/s", "m", "mm", "m/s^2", "ms", "percent", "N", "iso8601"}

STANDARD = [item for item in SIGNALS.values() if not item.is_overlay]
OVERLAY = [item for item in SIGNALS.values() if item.is_overlay]


@pytest.mark.parametrize("item", STANDARD, ids=lambda item: item.path)
def test_standard_signal_is_as_vss_6_0_has_it(item: Signal) -> None:
    """Every `Vehicle.*` signal has the node type, data type, unit and range of VSS 6.0."""
    published = PUBLISHED[item.path]
    assert {
        "kind": item.kind,
        "datatype": item.datatype,
        "unit": item.unit,
        "minimum": item.minimum,
        "maximum": item.maximum,
        "allowed": list(item.allowed),
        "deprecated": False,
    } == published


def test_every_published_signal_of_the_subset_is_in_use() -> None:
    """The reference data holds exactly the standard signals of the table."""
    assert set(PUBLISHED) == {item.path for item in STANDARD}
    assert VSS_VERSION == "6.0"


@pytest.mark.parametrize("item", OVERLAY, ids=lambda item: item.path)
def test_overlay_signal_keeps_to_the_manner_of_vss(item: Signal) -> None:
    """Overlay paths are dotted CamelCase, their units are VSS units, and all have a meaning."""
    assert re.fullmatch(r"Morai(\.[A-Z][A-Za-z0-9]*){1,3}", item.path)
    assert item.unit is None or item.unit in VSS_UNITS
    assert item.meaning.endswith(".")
    assert item.is_number == (not item.datatype.startswith("string"))


@pytest.mark.parametrize(
    ("path", "decimals"),
    [
        ("Vehicle.Speed", 2),
        ("Vehicle.CurrentLocation.Latitude", 7),
        ("Vehicle.Chassis.Brake.PedalPosition", 0),
        ("Morai.Imu.Orientation.W", 5),
        ("Morai.Objects.Yaw", 1),
    ],
)
def test_decimals_follow_from_the_resolution(path: str, decimals: int) -> None:
    """A resolution of 0.01 needs two decimals, of 1 none."""
    assert signal(path).decimals == decimals


def test_latitude_resolution_is_about_a_centimetre() -> None:
    """1e-7 degrees of a 40,000 km meridian are 1.1 cm."""
    resolution = signal("Vehicle.CurrentLocation.Latitude").resolution
    assert resolution is not None
    assert resolution / 360 * 40_000_000 < 0.012


def test_documentation_lists_exactly_the_table() -> None:
    """`docs/signals.md` has one row a signal, with the table's type, unit, range and step."""
    rows = {
        cells[0].strip("`"): [cell.strip("`") for cell in cells[1:]]
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| `Vehicle.", "| `Morai."))
        and len(cells := [cell.strip() for cell in line.strip().strip("|").split(" | ")]) == 6
    }
    expected = {
        item.path: [
            item.datatype,
            item.unit or "",
            _range(item),
            "" if item.resolution is None else f"{item.resolution:g}",
            item.meaning.replace("`", ""),
        ]
        for item in SIGNALS.values()
    }
    assert {path: [cell.replace("`", "") for cell in cells] for path, cells in rows.items()} == (
        expected
    )


def _range(item: Signal) -> str:
    if item.allowed:
        return ", ".join(item.allowed) if len(item.allowed) < 7 else "see VSS"
    if item.minimum is None or item.maximum is None:
        return ""
    return f"{item.minimum:g} to {item.maximum:g}"


def test_every_signal_is_carried_by_a_stream() -> None:
    """The table holds nothing that no stream publishes."""
    frame = MapFrame("EPSG:32652", 302_595, 4_124_145)
    carried = {
        item.path
        for stream in (
            streams.state_stream(frame, "full"),
            streams.objects_stream("full"),
            streams.gnss_stream(),
            streams.imu_stream(),
            streams.collision_stream(),
            streams.traffic_light_stream(),
        )
        for item in stream.signals
    }
    assert carried == set(SIGNALS)
