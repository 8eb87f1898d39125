"""What the host needs from whatever moves the car, and the drive that is a simulated scene.

Owns the contract between the host and its drives, and the meaning of every command for the
simulated scene. It must not know channels, rates, bytes or faults.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Protocol

from agent.morai import (
    EgoControl,
    EgoGhost,
    Gear,
    LampControl,
    LongitudinalType,
    MultiEgoSetting,
    NpcGhost,
    ScenarioLoad,
    SetIntersection,
    SetTrafficLight,
    TurnSignal,
)
from agent.vehicle.morai_view import MPS_PER_KMH
from agent.vehicle.state import TrafficLamp
from simulator.morai_host import sensors
from simulator.morai_host.control import Command, Control
from simulator.morai_host.longitudinal import Demand
from simulator.morai_host.simulation import Outcome, Simulation

if TYPE_CHECKING:
    from agent.morai import Dialect, Message
    from agent.vehicle.frames import MapFrame
    from agent.vehicle.state import EgoState, GnssFix, ImuSample, TrackedObject, TrafficLight
    from simulator.morai_host.sensors import Noise

# After a gap in the calls (a stall, a suspended laptop) the scene goes on where it was.
_LONGEST_GAP_S = 0.25


class Drive(Protocol):
    """Something that moves an ego car and can be asked what it looks like now."""

    @property
    def control(self) -> Control:
        """Who drives the reported ego."""

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""

    def advance(self, now_s: float) -> None:
        """Bring everything to a time, Unix seconds."""

    def command(self, message: Message) -> str:
        """Carry out a command and name what became of it."""

    def present(self) -> EgoState:
        """The reported ego now."""

    def ego_states(self) -> list[EgoState]:
        """What the ego status shall report now, oldest first."""

    def imu_samples(self) -> list[ImuSample]:
        """What the inertial unit shall report now."""

    def fixes(self) -> list[GnssFix]:
        """What the satellite receiver shall report now."""

    def objects(self) -> list[TrackedObject]:
        """What is around the ego, nearest first."""

    def collisions(self) -> list[TrackedObject]:
        """What the ego touches."""

    def traffic_light(self) -> TrafficLight | None:
        """The light that matters to the ego."""

    def intersection(self) -> tuple[int, int, float] | None:
        """Number, phase and time in the phase of the intersection ahead."""


class ModelDrive:
    """A drive through a simulated scene.

    Args:
        simulation: The scene.
        frame: Where its map lies, for the satellite receiver.
        dialect: How a normalised steer is read.
        noise: Of the sensors.
        chance: Seeded source of the noise.
        map_data_id: Number of the map in the ego status.
    """

    def __init__(
        self,
        simulation: Simulation,
        frame: MapFrame,
        dialect: Dialect,
        *,
        noise: Noise | None = None,
        chance: random.Random | None = None,
        map_data_id: int = 10_000,
    ) -> None:
        self.simulation = simulation
        self._frame = frame
        self._dialect = dialect
        self._noise = noise or sensors.Noise()
        self._chance = chance or random.Random(0)  # noqa: S311 - sensor noise, not a secret
        self._map_data_id = map_data_id
        self._now_s: float | None = None
        self._present: EgoState | None = None

    @property
    def control(self) -> Control:
        """See `Drive`."""
        return self.simulation.ego.control

    @property
    def finished(self) -> bool:
        """A simulated scene never ends."""
        return False

    def advance(self, now_s: float) -> None:
        """See `Drive`. A clock that jumps moves the scene by at most a quarter of a second."""
        if self._now_s is not None:
            self.simulation.step(min(max(now_s - self._now_s, 0.0), _LONGEST_GAP_S))
        self._now_s = now_s
        self._present = None

    def command(self, message: Message) -> str:
        """See `Drive`; commands the scene has no use for are named `no_effect_here`."""
        scene = self.simulation
        self._present = None
        match message:
            case EgoControl():
                outcome = obey(scene.ego.control, message, self._dialect)
                if outcome == "obeyed":
                    scene.ego.ghost = False
                return outcome
            case LampControl():
                if message.turn_signal not in set(TurnSignal):
                    return Outcome.BAD_VALUE
                scene.ego.turn_signal = message.turn_signal
                scene.ego.hazard_lamps = message.emergency
                return Outcome.APPLIED
            case ScenarioLoad():
                return scene.load(message)
            case MultiEgoSetting():
                return scene.place_egos(message.camera_index, message.egos)
            case EgoGhost():
                return scene.show_ghost(message)
            case NpcGhost():
                return scene.show_npc_ghosts(message.vehicles)
            case SetTrafficLight():
                lamps = TrafficLamp(max(0, message.status))
                held = scene.world.hold_light(message.light_index, lamps)
                return Outcome.APPLIED if held else Outcome.UNKNOWN_LIGHT
            case SetIntersection():
                known = scene.world.set_intersection(
                    message.index, message.status, message.elapsed_s
                )
                return Outcome.APPLIED if known else Outcome.UNKNOWN_INTERSECTION
            case _:
                return Outcome.NO_EFFECT

    def present(self) -> EgoState:
        """See `Drive`."""
        if self._present is None:
            # The simulator stamps in whole milliseconds.
            stamp_s = math.floor((self._now_s or 0.0) * 1000.0 + 1e-6) / 1000.0
            scene = self.simulation
            self._present = scene.ego.state(scene.world.road, stamp_s, self._map_data_id)
        return self._present

    def ego_states(self) -> list[EgoState]:
        """See `Drive`."""
        return [self.present()]

    def imu_samples(self) -> list[ImuSample]:
        """See `Drive`."""
        return [sensors.imu_sample(self.present(), self._noise, self._chance)]

    def fixes(self) -> list[GnssFix]:
        """See `Drive`."""
        fix = sensors.gnss_fix(self.present(), self._frame, self._noise, self._chance)
        return [fix] if fix else []

    def objects(self) -> list[TrackedObject]:
        """See `Drive`."""
        return self.simulation.objects()

    def collisions(self) -> list[TrackedObject]:
        """See `Drive`."""
        return self.simulation.collisions()

    def traffic_light(self) -> TrafficLight | None:
        """See `Drive`."""
        return self.simulation.world.shown(self.simulation.light_ahead())

    def intersection(self) -> tuple[int, int, float] | None:
        """See `Drive`."""
        light = self.simulation.light_ahead()
        return light.intersection, *light.phase(self.simulation.world.time_s)


def obey(control: Control, message: EgoControl, dialect: Dialect) -> str:
    """Hand an ego control command to a car's control and name what became of it.

    The steer is read as a share of the dialect's largest wheel angle. A rear steer is accepted and
    not modelled.
    """
    if message.gear not in set(Gear) or message.longitudinal_type not in set(LongitudinalType):
        return Outcome.BAD_VALUE
    steer = min(max(message.steer_norm, -1.0), 1.0) * dialect.command_steer_sign
    command = Command(
        gear=Gear(message.gear),
        demand=Demand(
            kind=LongitudinalType(message.longitudinal_type),
            accel_pedal=message.accel_pedal,
            brake_pedal=message.brake_pedal,
            velocity_mps=message.velocity_kmh * MPS_PER_KMH,
            acceleration_mps2=message.acceleration_mps2,
        ),
        wheel_target_rad=steer * math.radians(dialect.max_wheel_angle_deg),
    )
    return control.receive(message.control_mode, command)
