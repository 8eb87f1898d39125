from __future__ import annotations

import math
import struct

import pytest

from agent.commands.motion import Longitudinal, Pedals, TargetAcceleration, TargetSpeed
from agent.commands.outputs import ControlEncoder, scenario_load
from agent.commands.requests import LoadScenario
from agent.morai import CommandMode, Dialect, EgoControl, EgoControlVariant, ScenarioLoad, encode
from certs.errors import ConfigurationError


def _bytes(longitudinal: Longitudinal, steer_rad: float, dialect: Dialect) -> bytes:
    output = ControlEncoder(dialect).control(longitudinal, steer_rad, CommandMode.EXTERNAL)
    assert output.channel == "ego_control"
    return encode(output.message, dialect=dialect)


# MORAI_UDP_NetworkModule 24.R2.0, EgoCtrlCmd: mode, gear, type, then velocity in km/h,
# acceleration, accelerator, brake, steer as little-endian floats from offset 33.
@pytest.mark.parametrize(
    ("longitudinal", "kind", "floats"),
    [
        (TargetSpeed(10.0), 2, (36.0, 0.0, 0.0, 0.0)),
        (TargetAcceleration(-1.5), 3, (0.0, -1.5, 0.0, 0.0)),
        (Pedals(0.25, 0.5), 1, (0.0, 0.0, 0.25, 0.5)),
    ],
)
def test_each_longitudinal_type_on_the_wire(
    longitudinal: Longitudinal, kind: int, floats: tuple[float, ...]
) -> None:
    """The type number and its own fields are set, all others are zero, the gear is D."""
    data = _bytes(longitudinal, 0.0, Dialect())

    assert len(data) == 55
    assert tuple(data[30:33]) == (2, 4, kind)
    assert struct.unpack_from("<4f", data, 33) == floats


@pytest.mark.parametrize(
    ("sign", "full_scale_deg", "wheel_deg", "steer_norm"),
    [
        (-1, 36.25, 36.25, -1.0),
        (-1, 36.25, -7.25, 0.2),
        (1, 40.0, 10.0, 0.25),
        (1, 20.0, 30.0, 1.0),
        (-1, 20.0, 30.0, -1.0),
    ],
)
def test_steering_follows_the_dialect(
    sign: int, full_scale_deg: float, wheel_deg: float, steer_norm: float
) -> None:
    """Left-positive wheel angles become the simulator's sign and scale, clipped at full lock."""
    dialect = Dialect(command_steer_sign=-1 if sign < 0 else 1, max_wheel_angle_deg=full_scale_deg)

    data = _bytes(TargetSpeed(1.0), math.radians(wheel_deg), dialect)

    assert struct.unpack_from("<f", data, 49)[0] == pytest.approx(steer_norm, abs=1e-6)


def test_the_26r1_command_keeps_the_rear_wheels_straight() -> None:
    """The 59-byte command carries a rear steering of zero."""
    data = _bytes(TargetSpeed(1.0), 0.1, Dialect(ego_control_variant=EgoControlVariant.C2))

    assert len(data) == 59
    assert struct.unpack_from("<f", data, 53)[0] == 0.0


def test_the_oldest_command_cannot_be_driven_with() -> None:
    """A dialect whose command has no speeds and no keep mode is refused at the start."""
    with pytest.raises(ConfigurationError, match="C0"):
        ControlEncoder(Dialect(ego_control_variant=EgoControlVariant.C0))


@pytest.mark.parametrize("mode", CommandMode)
def test_the_mode_is_passed_on(mode: CommandMode) -> None:
    """The control mode in the packet is the one asked for."""
    message = ControlEncoder(Dialect()).control(Pedals(0, 1), 0.0, mode).message

    assert isinstance(message, EgoControl)
    assert message.control_mode == mode


def test_a_scenario_names_its_file_and_its_parts() -> None:
    """Every switch of the command reaches its own field of the datagram."""
    command = LoadScenario(name="crossing", delete_all=False, load_npc=False, pause=True)

    output = scenario_load(command)

    assert output.channel == "scenario_load"
    assert output.message == ScenarioLoad(
        file_name="crossing",
        delete_all=False,
        load_network=False,
        load_ego=True,
        load_npc=False,
        load_pedestrian=True,
        load_object=True,
        pause=True,
    )
