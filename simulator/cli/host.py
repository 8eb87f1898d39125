"""`morai-sim host`: runs the MORAI SIM stand-in and shows what it does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import random
import re
import sys
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from agent.morai import Dialect, EgoStatusVariant, Gear, StatusMode
from agent.vehicle.frames import MapFrame
from certs.errors import ConfigurationError
from certs.terminal import console, parse_duration_s
from simulator.cli.attendance import attend, counts_text
from simulator.morai_host import keyboard
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.faults import FaultPlan
from simulator.morai_host.host import DEFAULT_RATES_HZ, Host
from simulator.morai_host.parameters import VehicleParameters
from simulator.morai_host.ports import DEFAULT_PORT_SET, PORT_SETS
from simulator.morai_host.recorded import RecordedDrive
from simulator.morai_host.scenarios import DEFAULT_SCENARIO, SCENARIOS
from simulator.morai_host.sensors import Noise
from simulator.morai_host.server import HostServer
from simulator.morai_host.simulation import Simulation
from simulator.replay.recording import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from simulator.morai_host.drive import Drive

_PANEL_HZ = 5.0
_LINE_EVERY_S = 5.0
_MAX_RATE_HZ = 200.0
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# A competition map of MORAI whose origin is public: K-City 2025, UTM zone 52N.
_CRS, _ORIGIN = "EPSG:32652", "302595,4124145,0"


class DriveKind(StrEnum):
    """Where the drive comes from."""

    MODEL = "model"
    RECORDING = "recording"


class Mode(StrEnum):
    """Who drives at the start."""

    KEYBOARD = "keyboard"
    BUILT_IN = "built-in"
    EXTERNAL = "external"


class PortSetName(StrEnum):
    """Which default ports."""

    UNPRIVILEGED = "unprivileged"
    OFFICIAL = "official"


class Variant(StrEnum):
    """Generation of the ego status."""

    E0 = "E0"
    E1 = "E1"
    E2 = "E2"
    E3 = "E3"
    E4 = "E4"
    E5 = "E5"


def host(
    recording: Annotated[
        Path | None, typer.Argument(help="Recording (.mcap) for --drive recording.")
    ] = None,
    drive: Annotated[
        DriveKind, typer.Option(help="Simulate the car, or play a recording.")
    ] = DriveKind.MODEL,
    destination: Annotated[str, typer.Option(help="Address the datagrams go to.")] = "127.0.0.1",
    bind: Annotated[str, typer.Option(help="Address to listen and send on.")] = "127.0.0.1",
    ports: Annotated[
        PortSetName,
        typer.Option(help="Default ports; official sends the ego status from 908 (privileged)."),
    ] = PortSetName(DEFAULT_PORT_SET),
    port: Annotated[
        list[str] | None,
        typer.Option(help="CHANNEL=PORT, or CHANNEL=HOST:DESTINATION if it is sent. Repeatable."),
    ] = None,
    rate: Annotated[
        list[str] | None, typer.Option(help="CHANNEL=HZ; 0 switches it off. Repeatable.")
    ] = None,
    variant: Annotated[
        Variant, typer.Option(help="Generation of the ego status: E3 is 23.R1 to 24.R2.")
    ] = Variant.E3,
    scenario: Annotated[
        str, typer.Option(help=f"Scenario to start with: {', '.join(SCENARIOS)}.")
    ] = DEFAULT_SCENARIO,
    mode: Annotated[Mode, typer.Option(help="Who drives at the start.")] = Mode.KEYBOARD,
    steer_sign: Annotated[
        int, typer.Option(help="Sign of a steer command that turns left: -1 or 1.")
    ] = -1,
    status_steer_sign: Annotated[
        int, typer.Option(help="Sign of the reported wheel angle when turned left: -1 or 1.")
    ] = 1,
    max_wheel_angle: Annotated[
        float, typer.Option(min=1, max=80, help="Wheel angle of a full steer, degrees.")
    ] = 36.25,
    crs: Annotated[str, typer.Option(help="Projection of the map, for the GPS.")] = _CRS,
    origin: Annotated[
        str, typer.Option(help="EAST,NORTH,UP of the map's origin in it, metres.")
    ] = _ORIGIN,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="loss=P, burst=P, burst_s=S, duplicate_stamp=P, stall=P, stall_s=S, blank,"
            " gps_blackout. Repeatable."
        ),
    ] = None,
    noise: Annotated[bool, typer.Option("--noise", help="Sensors with typical noise.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of faults and noise.")] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a recording again.")] = False,
    duration: Annotated[
        float | None,
        typer.Option("--for", parser=parse_duration_s, metavar="DURATION", help="30s, 500ms, 5m."),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keyboard", help="Drive with q, w, a, s, d, space, f, n, r, p.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    r"""Stand in for MORAI SIM: Drive: send its datagrams and obey its commands.

    The car obeys ego control commands as the simulator does: only in external mode, the last one
    for ever. It ends with Ctrl-C, after --for, or with the recording.

    Examples:

      morai-sim host

      morai-sim host --mode built-in --scenario busy-loop --for 60s

      morai-sim host --destination 192.168.1.20 --bind 0.0.0.0 --port ego_status=909

      morai-sim host --fault loss=0.02 --fault burst=0.01 --fault duplicate_stamp=0.14

      morai-sim host --drive recording scenarios/recordings/highway-minute.mcap
    """
    dialect = Dialect(
        command_steer_sign=_sign(steer_sign, "--steer-sign"),
        status_steer_sign=_sign(status_steer_sign, "--status-steer-sign"),
        max_wheel_angle_deg=max_wheel_angle,
    )
    if (drive is DriveKind.RECORDING) != (recording is not None):
        raise ConfigurationError(
            "--drive recording and a recording file belong together",
            "write: morai-sim host --drive recording FILE.mcap",
        )
    source: Drive
    if recording is not None:
        source = RecordedDrive(read(recording), dialect, loop=loop)
    else:
        source = _model(scenario, mode, dialect, MapFrame(crs, *_origin(origin)), noise, seed)
    core = Host(
        source,
        rates_hz=dict(map(_rate, rate or [])),
        variant=EgoStatusVariant[variant],
        dialect=dialect,
        faults=FaultPlan.parse(fault or []),
        seed=seed,
    )
    if keys and not sys.stdin.isatty():
        raise ConfigurationError("--keyboard needs a terminal on standard input")
    server = HostServer(
        core, PORT_SETS[ports].changed(port or []), bind=bind, destination=destination
    )
    asyncio.run(_run(server, limit_s=duration, as_json=as_json, keys=keys))


async def _run(server: HostServer, *, limit_s: float | None, as_json: bool, keys: bool) -> None:
    stop = asyncio.Event()
    out = console()
    live = out.is_terminal and not as_json
    with _keyboard(server.host, stop) if keys else contextlib.nullcontext():
        async with server:
            duties = (server.wait(), _show(server, out, live=live, as_json=as_json))
            await attend(stop, duties, limit_s)
            final = _report(server)
    if as_json:
        typer.echo(json.dumps({**final, "final": True}))
    else:
        out.print(_panel(final) if live else _line(final), soft_wrap=True)


async def _show(server: HostServer, out: Console, *, live: bool, as_json: bool) -> None:
    if live:
        with Live(_panel(_report(server)), console=out, transient=True) as panel:
            while True:
                await asyncio.sleep(1.0 / _PANEL_HZ)
                panel.update(_panel(_report(server)))
    while True:
        report = _report(server)
        if as_json:
            typer.echo(json.dumps(report))
        else:
            out.print(_line(report), soft_wrap=True)
        sys.stdout.flush()
        await asyncio.sleep(_LINE_EVERY_S)


def _report(server: HostServer) -> dict[str, Any]:
    core = server.host
    state, counters = core.present(), core.counters
    outside = {"no_listener": server.refused, "not_sent": server.not_sent}
    dropped = {
        **counters.dropped,
        **{name: number for name, number in outside.items() if number},
        **{f"unwritable_{channel}": number for channel, number in counters.unsent.items()},
    }
    return {
        "mode": None if state.drive_mode is None else state.drive_mode.name.lower(),
        "gear": None if state.gear is None else state.gear.name,
        "speed_mps": round(state.speed_mps, 3),
        "position_m": state.position_m and [round(value, 3) for value in state.position_m],
        "yaw_rad": state.yaw_rad and round(state.yaw_rad, 4),
        "sent": dict(counters.sent),
        "received": dict(counters.received),
        "commands": dict(counters.outcomes),
        "dropped": dropped,
        "faults": dict(core.faults.counts),
        "ports": server.bound_ports,
    }


def _panel(report: dict[str, Any]) -> Table:
    table = Table(title="MORAI SIM stand-in", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    x, y, _ = report["position_m"] or (0.0, 0.0, 0.0)
    speed = report["speed_mps"]
    table.add_row("speed", f"{speed * 3.6:6.1f} km/h   {speed:6.2f} m/s")
    table.add_row("position", f"east {x:9.2f} m   north {y:9.2f} m")
    table.add_row("mode, gear", f"{report['mode']}, {report['gear']}")
    for key in ("sent", "received", "commands", "dropped", "faults"):
        table.add_row(key, counts_text(report[key]))
    return table


def _line(report: dict[str, Any]) -> str:
    x, y, _ = report["position_m"] or (0.0, 0.0, 0.0)
    return (
        f"speed {report['speed_mps']:.2f} m/s, at {x:.1f} {y:.1f}, {report['mode']},"
        f" gear {report['gear']}; sent {sum(report['sent'].values())}"
        f" received {sum(report['received'].values())}"
        f" dropped {counts_text(report['dropped'])}"
    )


@contextlib.contextmanager
def _keyboard(core: Host, stop: asyncio.Event) -> Iterator[None]:
    """Read single keys from the terminal while the host runs."""
    try:
        import termios  # noqa: PLC0415 - exists on Unix only
        import tty  # noqa: PLC0415 - same
    except ImportError as error:
        raise ConfigurationError("--keyboard works on Linux and macOS only") from error
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def on_key() -> None:
        # Past Python's own buffer, which would keep back keys that arrive together.
        pressed = os.read(descriptor, 32).decode("ascii", "replace")
        if not pressed:
            stop.set()
        for key in pressed:
            keyboard.press(key.lower(), core.drive.control)

    try:
        tty.setcbreak(descriptor)
        loop.add_reader(descriptor, on_key)
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _model(
    scenario: str, mode: Mode, dialect: Dialect, frame: MapFrame, noise: bool, seed: int
) -> ModelDrive:
    if scenario not in SCENARIOS:
        raise ConfigurationError(
            f"there is no scenario {scenario!r}", f"choose among {', '.join(SCENARIOS)}"
        )
    lock_rad = math.radians(dialect.max_wheel_angle_deg)
    simulation = Simulation(
        scenario,
        parameters=VehicleParameters(max_wheel_angle_rad=lock_rad),
        mode=StatusMode[mode.name],
        # Whoever starts in gear P and is not at the keyboard could not change that.
        gear=Gear.P if mode is Mode.KEYBOARD else Gear.D,
    )
    typical = Noise(gnss_m=0.5, gyro_radps=0.002, accelerometer_mps2=0.03)
    return ModelDrive(
        simulation,
        frame,
        dialect,
        noise=typical if noise else None,
        chance=random.Random(seed),  # noqa: S311 - sensor noise, not a secret
    )


def _sign(value: int, option: str) -> Any:
    if value not in {-1, 1}:
        raise ConfigurationError(f"{option} is -1 or 1, not {value}")
    return value


def _origin(text: str) -> tuple[float, float, float]:
    try:
        east, north, up = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(
            f"--origin {text!r} is not three numbers", "write --origin EAST,NORTH,UP"
        ) from error
    return east, north, up


def _rate(item: str) -> tuple[str, float]:
    channel, _, text = item.strip().replace("-", "_").partition("=")
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    if channel not in DEFAULT_RATES_HZ or value > _MAX_RATE_HZ:
        raise ConfigurationError(
            f"--rate {item!r} is not CHANNEL=HZ with at most {_MAX_RATE_HZ:.0f} Hz",
            f"channels are {', '.join(DEFAULT_RATES_HZ)}",
        )
    return channel, value
