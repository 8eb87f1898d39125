"""What goes out to the simulator: wire messages made from the agent's own terms.

Owns the step from SI to `EgoControl`, with the two conventions that belong to the simulator and not
to the car: the sign and the normalisation of steering, both from the dialect. It decides nothing:
who drives and how far is settled before.

Source: MORAI_UDP_NetworkModule branch 24.R2.0 (`EgoCtrlCmd`); MORAI SIM: Drive user manual 24.R2,
"UDP communication message" (longitudinal types, normalised steering).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from agent.commands.motion import Longitudinal, Pedals, TargetAcceleration, TargetSpeed
from agent.morai import (
    CommandMode,
    Dialect,
    EgoControl,
    EgoControlVariant,
    Gear,
    LampControl,
    LongitudinalType,
    ScenarioLoad,
)
from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.commands.requests import LoadScenario

KMH_PER_MPS: Final = 3.6

EGO_CONTROL: Final = "ego_control"
LAMPS: Final = "lamps"
SCENARIO_LOAD: Final = "scenario_load"

Wire: TypeAlias = EgoControl | LampControl | ScenarioLoad


class ControlOutput(msgspec.Struct, frozen=True, gc=False):
    """One datagram to send.

    Attributes:
        channel: Name of the simulator channel: `ego_control`, `lamps` or `scenario_load`.
        message: The wire message, to be encoded with the dialect it was made for.
        delay_s: How long after now to send it; 0 but for the closing burst.
    """

    channel: str
    message: Wire
    delay_s: float = 0.0


class ControlEncoder:
    """Makes `EgoControl` messages.

    Args:
        dialect: The simulator's conventions.

    Raises:
        ConfigurationError: The dialect's control command is C0, which carries no speeds and cannot
            leave the control mode alone.
    """

    def __init__(self, dialect: Dialect) -> None:
        if dialect.ego_control_variant is EgoControlVariant.C0:
            raise ConfigurationError(
                "the 44-byte ego control command C0 can be decoded but not driven with",
                "set dialect.ego_control to C1 or C2 and the simulator to 22.R1 or newer",
            )
        self._variant = dialect.ego_control_variant
        self._rear = 0.0 if self._variant is EgoControlVariant.C2 else None
        # Wheel angle to wire: sign and full scale in one factor.
        self._norm_per_rad = dialect.command_steer_sign / math.radians(dialect.max_wheel_angle_deg)

    def control(
        self, longitudinal: Longitudinal, steer_rad: float, mode: CommandMode
    ) -> ControlOutput:
        """One control command, in forward gear.

        Args:
            longitudinal: What to do along the road.
            steer_rad: Front road-wheel angle, positive to the left; clipped at full lock.
            mode: Who shall drive.
        """
        # Adding zero keeps a negative zero off the wire.
        steer_norm = max(-1.0, min(1.0, steer_rad * self._norm_per_rad)) + 0.0
        kind, velocity_kmh, acceleration_mps2, accel, brake = _fields(longitudinal)
        message = EgoControl(
            variant=self._variant,
            control_mode=mode,
            gear=Gear.D,
            longitudinal_type=kind,
            velocity_kmh=velocity_kmh,
            acceleration_mps2=acceleration_mps2,
            accel_pedal=accel,
            brake_pedal=brake,
            steer_norm=steer_norm,
            rear_steer_norm=self._rear,
        )
        return ControlOutput(EGO_CONTROL, message)


def scenario_load(command: LoadScenario) -> ControlOutput:
    """The datagram that makes the simulator load a scenario."""
    message = ScenarioLoad(
        file_name=command.name,
        delete_all=command.delete_all,
        load_network=command.load_network,
        load_ego=command.load_ego,
        load_npc=command.load_npc,
        load_pedestrian=command.load_pedestrian,
        load_object=command.load_object,
        pause=command.pause,
    )
    return ControlOutput(SCENARIO_LOAD, message)


def _fields(longitudinal: Longitudinal) -> tuple[LongitudinalType, float, float, float, float]:
    match longitudinal:
        case TargetSpeed(speed_mps=speed_mps):
            return LongitudinalType.VELOCITY, speed_mps * KMH_PER_MPS, 0.0, 0.0, 0.0
        case TargetAcceleration(acceleration_mps2=acceleration_mps2):
            return LongitudinalType.ACCELERATION, 0.0, acceleration_mps2, 0.0, 0.0
        case Pedals(accel_pedal=accel, brake_pedal=brake):
            return LongitudinalType.THROTTLE, 0.0, 0.0, accel, brake
