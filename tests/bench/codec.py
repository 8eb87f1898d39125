"""The MORAI codec: what decoding and encoding one datagram costs."""

from __future__ import annotations

import functools

from agent.morai import (
    CommandMode,
    EgoControl,
    EgoControlVariant,
    Gear,
    LongitudinalType,
    decode,
    encode,
)
from tests.bench.figure import Figure
from tests.bench.scene import busy_scene
from tests.bench.timing import cost_us

_BUDGETS_US = {"ego_status": 5.0, "objects": 40.0}
_NAMES = {
    "ego_status": "ego status E3",
    "objects": "object info, 20 objects",
    "ego_control": "ego control C1",
    "imu": "IMU",
    "gps": "GPS sentence",
}


def measure(*, quick: bool) -> list[Figure]:
    """Time `decode` and `encode` on datagrams of a busy scene."""
    datagrams: dict[str, bytes] = {}
    scene = busy_scene()
    while not {"ego_status", "objects", "imu", "gps"} <= datagrams.keys():
        datagrams.update(scene.tick())
    datagrams["ego_control"] = encode(
        EgoControl(
            variant=EgoControlVariant.C1,
            control_mode=CommandMode.EXTERNAL,
            gear=Gear.D,
            longitudinal_type=LongitudinalType.VELOCITY,
            velocity_kmh=36.0,
            steer_norm=-0.1,
        )
    )
    repetitions, seconds = (3, 0.02) if quick else (9, 0.2)
    figures = []
    for channel, name in _NAMES.items():
        data = datagrams[channel]
        message = decode(data)
        for verb, action in (("decode", decode), ("encode", encode)):
            subject = data if action is decode else message
            runs = cost_us(
                functools.partial(action, subject),  # type: ignore[arg-type] # bytes or message
                repetitions=repetitions,
                seconds=seconds,
            )
            how = f"timeit, {repetitions} times {seconds:g} s, {len(data)} bytes of a busy scene"
            budget_us = _BUDGETS_US.get(channel) if action is decode else None
            figures.append(Figure(f"{verb} {name}", "us", runs, how, budget_us))
    return figures
