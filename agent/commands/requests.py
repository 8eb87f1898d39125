"""Discrete commands as they come in: JSON to one typed request, or one refusal with a reason.

Owns the schema of every command and the rules of expiry on receipt. It knows neither the state of
the car nor its limits: a request that parses can still be refused later. The parser is total: any
bytes give a `Request` or a `Refusal`.

Expiry says until when a command may *start*. It comes from the MQTT 5 Message Expiry Interval,
whose remaining seconds the broker announces with the message and which needs no synchronised clock
(MQTT 5.0 section 3.3.2.3.3; AWS IoT Commands sets it to the rest of the execution timeout), and
from `issued_at` + `timeout_s` in the payload. The earlier of the two counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from agent.commands.motion import (
    MAX_ACCELERATION_MPS2,
    MAX_SPEED_MPS,
    MAX_STEER_RAD,
    Longitudinal,
    Motion,
    Pedals,
    TargetAcceleration,
    TargetSpeed,
)
from agent.commands.protocol import ReasonCode

MAX_REQUEST_BYTES: Final = 8 * 1024
# AWS IoT Commands: default and largest execution timeout.
DEFAULT_TIMEOUT_S: Final = 10.0
MAX_TIMEOUT_S: Final = 43_200.0
# How far in our future `issued_at` may lie before one of the two clocks must be wrong.
MAX_CLOCK_SKEW_S: Final = 5.0
# A sender gets the first few mistakes, not a report.
_MAX_MISTAKES: Final = 3

Unit: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Parameters(_Model):
    """What all commands have in common.

    Attributes:
        NAME: The value of `command` in the request.
        STOPS: Whether the command only ever makes the car safer. Such a command is not refused
            because clocks disagree.
    """

    NAME: ClassVar[str]
    STOPS: ClassVar[bool] = False


class SetControlMode(Parameters):
    """Take the car over from the keyboard, or give it back.

    Attributes:
        mode: `external` lets the agent drive, `keyboard` hands the car to the person at the
            simulator.
    """

    NAME: ClassVar[str] = "set_control_mode"

    mode: Literal["keyboard", "external"]


class PedalPair(_Model):
    """Pedal positions, 0 released to 1 floored.

    Attributes:
        accel_pedal: Accelerator.
        brake_pedal: Brake.
    """

    accel_pedal: Unit = 0.0
    brake_pedal: Unit = 0.0


class Drive(Parameters):
    """Drive for a while: exactly one of target speed, acceleration or pedals, and a wheel angle.

    Attributes:
        target_speed_mps: Forward speed to reach and hold.
        acceleration_mps2: Acceleration to hold.
        pedals: Pedal positions to hold.
        steer_rad: Front road-wheel angle, positive to the left.
        duration_s: How long the command keeps the car; then the agent brings it to a stop.
    """

    NAME: ClassVar[str] = "drive"

    target_speed_mps: Annotated[float, Field(ge=0, le=MAX_SPEED_MPS)] | None = None
    acceleration_mps2: (
        Annotated[float, Field(ge=-MAX_ACCELERATION_MPS2, le=MAX_ACCELERATION_MPS2)] | None
    ) = None
    pedals: PedalPair | None = None
    steer_rad: Annotated[float, Field(ge=-MAX_STEER_RAD, le=MAX_STEER_RAD)] = 0.0
    duration_s: Annotated[float, Field(gt=0, le=600)] = 30.0

    @model_validator(mode="after")
    def _one_longitudinal(self) -> Drive:
        given = (self.target_speed_mps, self.acceleration_mps2, self.pedals)
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of target_speed_mps, acceleration_mps2, pedals")
        return self

    def motion(self) -> Motion:
        """The same wish in the agent's own terms."""
        longitudinal: Longitudinal
        if self.target_speed_mps is not None:
            longitudinal = TargetSpeed(self.target_speed_mps)
        elif self.acceleration_mps2 is not None:
            longitudinal = TargetAcceleration(self.acceleration_mps2)
        else:
            pair = self.pedals or PedalPair()
            longitudinal = Pedals(pair.accel_pedal, pair.brake_pedal)
        return Motion(longitudinal, self.steer_rad)


class Stop(Parameters):
    """Bring the car to a standstill and hold it there.

    Attributes:
        deceleration_mps2: Comfortable deceleration; without it the brake is applied fully.
    """

    NAME: ClassVar[str] = "stop"
    STOPS: ClassVar[bool] = True

    deceleration_mps2: Annotated[float, Field(ge=0.5, le=10)] | None = None


class EmergencyStop(Parameters):
    """Full brake at once, in any control mode, and no driving until `resume`."""

    NAME: ClassVar[str] = "emergency_stop"
    STOPS: ClassVar[bool] = True


class Resume(Parameters):
    """Clear the emergency latch, or take the car back after a person took it over."""

    NAME: ClassVar[str] = "resume"


class Lamps(Parameters):
    """Turn signal and hazard lamps. What is left out stays as it was last commanded.

    Attributes:
        turn_signal: Which turn signal blinks.
        hazard: Whether the hazard lamps blink.
    """

    NAME: ClassVar[str] = "lamps"

    turn_signal: Literal["none", "left", "right"] | None = None
    hazard: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> Lamps:
        if self.turn_signal is None and self.hazard is None:
            raise ValueError("give turn_signal, hazard or both")
        return self


class LoadScenario(Parameters):
    """Load a scenario file that the simulator host has.

    Attributes:
        name: File name without its extension; the datagram has room for 30 ASCII characters.
        delete_all: Remove everything that is in the scene first.
        load_network: Restore network settings from the file. Off by default, because it can cut
            the agent's own connection to the simulator.
        load_ego: Place the ego car.
        load_npc: Place other vehicles.
        load_pedestrian: Place pedestrians.
        load_object: Place obstacles.
        pause: Leave the simulation paused.
    """

    NAME: ClassVar[str] = "load_scenario"

    # Printable ASCII without / and \, and no space at either end: the field is padded with spaces.
    name: Annotated[str, Field(pattern=r"^[!-.0-\[\]-~]([ -.0-\[\]-~]{0,28}[!-.0-\[\]-~])?$")]
    delete_all: bool = True
    load_network: bool = False
    load_ego: bool = True
    load_npc: bool = True
    load_pedestrian: bool = True
    load_object: bool = True
    pause: bool = False


Command: TypeAlias = SetControlMode | Drive | Stop | EmergencyStop | Resume | Lamps | LoadScenario

COMMANDS: Final[dict[str, type[Command]]] = {
    model.NAME: model
    for model in (SetControlMode, Drive, Stop, EmergencyStop, Resume, Lamps, LoadScenario)
}


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed, unexpired command.

    Attributes:
        command: What is asked for.
        remaining_s: For how long from the moment of parsing it may still start; `None` is for
            ever.
    """

    command: Command
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a payload is not a command that may start.

    Attributes:
        reason: Stable code.
        description: The same for a person.
    """

    reason: ReasonCode
    description: str


class _Envelope(_Model):
    command: Annotated[str, Field(min_length=1, max_length=64)]
    parameters: dict[str, Any] = {}
    issued_at: Annotated[float, Field(ge=0, le=1e11)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S)] | None = None


def parse_request(
    payload: bytes, *, message_expiry_s: float | None, now_s: float
) -> Request | Refusal:
    """Read one request.

    Args:
        payload: Body of the message.
        message_expiry_s: Remaining lifetime the broker announced with the message, or `None`.
        now_s: Wall clock, Unix seconds; compared with `issued_at` only.

    Returns:
        The request, or the first reason to refuse it: `TOO_LARGE`, `MALFORMED_JSON`,
        `INVALID_REQUEST`, `UNKNOWN_COMMAND`, `INVALID_PARAMETER`, `CLOCK_UNTRUSTED`, `EXPIRED`.
    """
    if len(payload) > MAX_REQUEST_BYTES:
        return Refusal(
            ReasonCode.TOO_LARGE, f"{len(payload)} bytes; at most {MAX_REQUEST_BYTES} are read"
        )
    try:
        document = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        return Refusal(ReasonCode.MALFORMED_JSON, str(error))
    try:
        envelope = _Envelope.model_validate(document)
    except ValidationError as error:
        return Refusal(ReasonCode.INVALID_REQUEST, _mistakes(error))
    model = COMMANDS.get(envelope.command)
    if model is None:
        return Refusal(ReasonCode.UNKNOWN_COMMAND, f"the commands are {', '.join(COMMANDS)}")
    try:
        command = model.model_validate(envelope.parameters)
    except ValidationError as error:
        return Refusal(ReasonCode.INVALID_PARAMETER, _mistakes(error))
    return _within_time(command, envelope, message_expiry_s, now_s)


def _within_time(
    command: Command, envelope: _Envelope, message_expiry_s: float | None, now_s: float
) -> Request | Refusal:
    remaining = [] if message_expiry_s is None else [float(message_expiry_s)]
    if envelope.issued_at is not None:
        age_s = now_s - envelope.issued_at
        if age_s < -MAX_CLOCK_SKEW_S:
            if not command.STOPS:
                return Refusal(
                    ReasonCode.CLOCK_UNTRUSTED,
                    f"issued_at lies {-age_s:.0f} s ahead of this car's clock",
                )
            age_s = 0.0
        remaining.append((envelope.timeout_s or DEFAULT_TIMEOUT_S) - age_s)
    elif envelope.timeout_s is not None:
        remaining.append(envelope.timeout_s)
    if not remaining:
        return Request(command)
    if min(remaining) <= 0:
        return Refusal(
            ReasonCode.EXPIRED, f"it arrived {-min(remaining):.1f} s after its time had run out"
        )
    return Request(command, min(remaining))


def _mistakes(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    texts = []
    for item in found[:_MAX_MISTAKES]:
        # Keys of the sender end up in `loc`; they are data and may be long.
        where = ".".join(str(part)[:64] for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        texts.append(f"{where}: {message}" if where else message)
    if len(found) > _MAX_MISTAKES:
        texts.append(f"and {len(found) - _MAX_MISTAKES} more")
    return "; ".join(texts)
