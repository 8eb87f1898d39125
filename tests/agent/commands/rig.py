"""Parts that several tests of the command room share: ego statuses, a car that obeys, shorthand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent.commands.outputs import ControlEncoder, ControlOutput
from agent.commands.protocol import Outcome, decode_outcome
from agent.commands.service import CommandService, Effect, Respond, Send
from agent.morai import CommandMode, Dialect, EgoControl, LongitudinalType
from agent.vehicle.state import DriveMode, EgoState

if TYPE_CHECKING:
    from collections.abc import Iterable

PERIOD_S = 0.05
FULL_BRAKE = (LongitudinalType.THROTTLE, 0.0, 0.0, 0.0, 1.0)


def encoder() -> ControlEncoder:
    """An encoder for the default dialect."""
    return ControlEncoder(Dialect())


def ego(speed_mps: float = 0.0, mode: DriveMode | None = DriveMode.EXTERNAL) -> EgoState:
    """An ego status with what the command room looks at."""
    return EgoState(speed_mps=speed_mps, drive_mode=mode)


def controls(outputs: Iterable[ControlOutput]) -> list[EgoControl]:
    """The ego control messages among outputs."""
    return [item.message for item in outputs if isinstance(item.message, EgoControl)]


def longitudinal(message: EgoControl) -> tuple[int, float, float, float, float]:
    """Everything of a control command that moves the car along the road."""
    return (
        message.longitudinal_type,
        message.velocity_kmh,
        message.acceleration_mps2,
        message.accel_pedal,
        message.brake_pedal,
    )


def pushes(message: EgoControl) -> bool:
    """Whether the simulator, obeying this command, could make a standing car move."""
    match message.longitudinal_type:
        case LongitudinalType.VELOCITY:
            return message.velocity_kmh > 0
        case LongitudinalType.ACCELERATION:
            return message.acceleration_mps2 > 0
        case _:
            return message.accel_pedal > 0


class Car:
    """A car that obeys as MORAI SIM does: the last command stays in force, in external mode only.

    Along the road it is a point that follows target speeds with +1 and -2 m/s^2 (the simulator's
    documented ramp), holds accelerations, and has pedals of +3 and -8 m/s^2 at full travel.
    """

    def __init__(self, mode: DriveMode = DriveMode.KEYBOARD) -> None:
        self.mode = mode
        self.speed_mps = 0.0
        self.command: EgoControl | None = None
        self.hears = True
        self.brakes_work = True

    def receive(self, message: EgoControl) -> None:
        """Take a control command."""
        if not self.hears:
            return
        if message.control_mode == CommandMode.EXTERNAL:
            self.mode = DriveMode.EXTERNAL
        elif message.control_mode == CommandMode.KEYBOARD:
            self.mode = DriveMode.KEYBOARD
        self.command = message

    def advance(self, elapsed_s: float) -> EgoState:
        """Let time pass and report."""
        command = self.command
        if command is not None and self.mode is DriveMode.EXTERNAL:
            self.speed_mps = max(0.0, self.speed_mps + elapsed_s * self._acceleration(command))
        return ego(self.speed_mps, self.mode)

    def _acceleration(self, command: EgoControl) -> float:
        match command.longitudinal_type:
            case LongitudinalType.VELOCITY:
                gap_mps = command.velocity_kmh / 3.6 - self.speed_mps
                return max(-2.0, min(1.0, gap_mps * 20))
            case LongitudinalType.ACCELERATION:
                return command.acceleration_mps2
            case _:
                brake = 8.0 if self.brakes_work else 0.0
                return 3.0 * command.accel_pedal - brake * command.brake_pedal


class Drive:
    """A service, a car and a clock joined: the whole command path without sockets."""

    def __init__(self, service: CommandService, car: Car, now_s: float = 1_767_225_600.0) -> None:
        self.service = service
        self.car = car
        self.now_s = now_s
        self.mono_s = 100.0
        self.sent: list[ControlOutput] = []
        self.answers: dict[str, list[Outcome]] = {}

    def carry_out(self, effects: list[Effect]) -> list[Effect]:
        """Deliver effects to the car and to the senders."""
        for effect in effects:
            match effect:
                case Send(output=output):
                    self.sent.append(output)
                    if isinstance(output.message, EgoControl):
                        self.car.receive(output.message)
                case Respond(execution_id=execution_id, document=document):
                    self.answers.setdefault(execution_id, []).append(decode_outcome(document))
        return effects

    def link(self, up: bool) -> None:
        """Change the broker connection."""
        self.carry_out(self.service.on_link(up, self.mono_s))

    def deliver(
        self,
        execution_id: str,
        command: str,
        parameters: dict[str, Any] | None = None,
        expiry_s: float | None = None,
    ) -> None:
        """Deliver a request and poll once, as the shell does."""
        document = {"command": command, "parameters": parameters or {}}
        self.deliver_bytes(execution_id, json.dumps(document).encode(), expiry_s)

    def deliver_bytes(
        self, execution_id: str, payload: bytes, expiry_s: float | None = None
    ) -> None:
        """Deliver any payload as a request and poll once."""
        self.carry_out(
            self.service.on_request(
                execution_id,
                payload,
                message_expiry_s=expiry_s,
                now_s=self.now_s,
                mono_s=self.mono_s,
            )
        )
        self.carry_out(self.service.poll(self.mono_s))

    def set_point(self, **fields: Any) -> None:
        """Deliver one message of the drive stream."""
        self.carry_out(self.service.on_set_point(json.dumps(fields).encode(), self.mono_s))

    def run(self, duration_s: float, step_s: float = 0.02, *, simulator: bool = True) -> None:
        """Let time pass, with ego statuses at 50 Hz unless the simulator is silent."""
        for _ in range(round(duration_s / step_s)):
            self.mono_s += step_s
            self.now_s += step_s
            state = self.car.advance(step_s)
            if simulator:
                self.carry_out(self.service.on_ego(state, self.mono_s))
            self.carry_out(self.service.poll(self.mono_s))

    def engage(self) -> None:
        """Bring the link up and take the car over."""
        self.link(up=True)
        self.run(0.1)
        self.deliver("engage", "set_control_mode", {"mode": "external"})
        self.run(1.0)

    def last(self, execution_id: str) -> Outcome:
        """The latest answer for an execution."""
        return self.answers[execution_id][-1]

    def statuses(self, execution_id: str) -> list[str]:
        """All statuses reported for an execution."""
        return [outcome.status.value for outcome in self.answers.get(execution_id, [])]
