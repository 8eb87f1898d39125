"""Throws damaged datagrams at the command ports of the MORAI stand-in.

The invariant: any bytes change the scene or are counted, and what the simulator sends afterwards is
readable and free of NaN and infinity.
"""

from __future__ import annotations

import random

from agent.morai import DEFAULT_DIALECT, DecodeError, Direction, Gear, StatusMode, decode
from agent.vehicle.frames import MapFrame
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.host import COMMAND_CHANNELS, Host
from simulator.morai_host.simulation import Simulation
from tests.fuzz.morai_codec import damaged_datagrams

_INPUTS_A_TICK = 32
_TICK_S = 0.02
_START_S = 1_790_000_000.0


_CHANNELS = list(COMMAND_CHANNELS)


def _host() -> Host:
    frame = MapFrame("EPSG:32652", 302_595.0, 4_124_145.0)
    simulation = Simulation(mode=StatusMode.EXTERNAL, gear=Gear.D)
    return Host(ModelDrive(simulation, frame, DEFAULT_DIALECT, chance=random.Random(0)))


def _channel(choice: int, data: bytes) -> str:
    """The channel that understands the datagram, or any."""
    try:
        kind = type(decode(data, direction=Direction.TO_SIMULATOR))
    except DecodeError:
        return _CHANNELS[choice % len(_CHANNELS)]
    return next((name for name, known in COMMAND_CHANNELS.items() if known is kind), "nowhere")


def fuzz(inputs: int, seed: int) -> None:
    """Try damaged datagrams on every command channel.

    Args:
        inputs: How many.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the datagrams since the last tick that
            was right.
    """
    host = _host()
    now_s = _START_S
    recent: list[bytes] = []
    for number, (choice, data) in enumerate(damaged_datagrams(inputs, seed), 1):
        recent.append(data)
        try:
            host.receive(_channel(choice, data), data, now_s)
            if number % _INPUTS_A_TICK == 0:
                now_s += _TICK_S
                for item in host.tick(now_s):
                    decode(item.data)
                assert not host.counters.unsent
                recent.clear()
        except Exception as error:
            shown = ", ".join(item.hex() for item in recent)
            raise AssertionError(f"{type(error).__name__}: {error} on [{shown}]") from error
    counters = host.counters
    known = sum(counters.dropped.values()) + sum(counters.outcomes.values())
    assert known == inputs, "a datagram was not counted"
