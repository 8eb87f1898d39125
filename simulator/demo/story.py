"""What the demo's application does with the car, step by step, and what must come of it.

Owns the order of events and the promises each step checks. It commands only through MQTT, as any
application would; what the car really did is asked of the simulator itself.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import TYPE_CHECKING, Protocol

from simulator.demo.verdict import Check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent.vehicle.state import EgoState
    from simulator.demo.application import Answer, Application

CONTROL_RATE_HZ = 20.0
# The agent calls a target speed reached a little before it is; the car then goes on to it.
_SPEED_TOLERANCE_MPS = 0.1
_SETTLING_S = 3.0
_STANDSTILL_MPS = 0.1
_STEER_RAD = 0.05
_STREAM_SPEED_MPS = 3.0
_STREAM_S = 3.5
_DEAD_MAN_S = 0.5  # default of commands.dead_man_s
_STOP_WITHIN_S = 4.0
_PATIENCE_S = 20.0


class Truth(Protocol):
    """What the simulator knows, which the application can only be told."""

    def present(self) -> EgoState:
        """The car as it is."""

    def turn_signal(self) -> int:
        """0 none, 1 left, 2 right."""


class Story:
    """The steps of the demo.

    Args:
        application: Where commands go out and telemetry comes in.
        truth: What the car really does.
        cruise_mps: Speed to drive at; set by how much time there is.
        on_step: Told the title of each step as it begins.
    """

    def __init__(
        self,
        application: Application,
        truth: Truth,
        *,
        cruise_mps: float,
        on_step: Callable[[str], None],
    ) -> None:
        self._app = application
        self._truth = truth
        self._cruise_mps = cruise_mps
        self._on_step = on_step

    async def play(self) -> AsyncIterator[Check]:
        """Go through all steps; yield each check as soon as it is decided."""
        steps: list[tuple[str, Callable[[], Awaitable[Check]]]] = [
            ("telemetry arrives at the application", self._telemetry),
            ("external control is engaged", self._engage),
            (f"the car drives to {self._cruise_mps * 3.6:.0f} km/h", self._drive),
            ("the car steers left", self._steer),
            ("the left turn signal goes on", self._lamps),
            ("a redelivered command has no second effect", self._redeliver),
            ("bad, unknown and expired commands are refused", self._refuse),
            ("the car stops", self._stop),
            ("the drive stream moves the car", self._stream),
            ("the dead-man stops it when set points cease", self._dead_man),
        ]
        for title, step in steps:
            self._on_step(title)
            try:
                yield await step()
            except TimeoutError:
                yield Check(title, held=False, detail="no answer in time")

    async def _telemetry(self) -> Check:
        arrived = await self._app.wait_until(
            lambda: (
                self._app.health.get("state") == "online"
                and (record := self._app.book.stream("state")) is not None
                and record.samples > 0
            ),
            _PATIENCE_S,
        )
        streams = sorted({stream for stream, _ in self._app.book.records})
        return Check("telemetry arrives at the application", arrived, ", ".join(streams))

    async def _engage(self) -> Check:
        answer = await self._app.command("set_control_mode", {"mode": "external"})
        mode = self._truth.present().drive_mode
        name = mode.name if mode is not None else "unknown"
        held = answer.status == "SUCCEEDED" and name == "EXTERNAL"
        return Check("external control is engaged", held, _said(answer))

    async def _drive(self) -> Check:
        answer = await self._app.command(
            "drive",
            {"target_speed_mps": self._cruise_mps, "duration_s": 120},
            timeout_s=_PATIENCE_S,
        )
        reached = await self._app.wait_until(
            lambda: abs(self._truth.present().speed_mps - self._cruise_mps) < _SPEED_TOLERANCE_MPS,
            _SETTLING_S,
        )
        speed = self._truth.present().speed_mps
        held = answer.status == "SUCCEEDED" and reached
        detail = f"{speed * 3.6:.1f} km/h, {_said(answer)}"
        return Check(f"the car drives to {self._cruise_mps * 3.6:.0f} km/h", held, detail)

    async def _steer(self) -> Check:
        before_rad = self._truth.present().yaw_rad or 0.0
        answer = await self._app.command(
            "drive",
            {
                "target_speed_mps": self._cruise_mps,
                "steer_rad": _STEER_RAD,
                "duration_s": 120,
            },
            timeout_s=_PATIENCE_S,
        )
        path = "Vehicle.Chassis.Axle.Row1.SteeringAngle"
        number = self._app.book.number
        turned = await self._app.wait_until(
            lambda: (number(path) or 0.0) > math.degrees(_STEER_RAD) / 2, 5.0
        )
        await self._app.wait_until(lambda: self._turned_rad(before_rad) > _STEER_RAD, 5.0)
        moved_deg = math.degrees(self._turned_rad(before_rad))
        wheel = number(path) or 0.0
        held = answer.status == "SUCCEEDED" and turned and moved_deg > 0
        detail = f"wheels {wheel:.1f}° left, heading {moved_deg:+.1f}°, {_said(answer)}"
        return Check("the car steers left", held, detail)

    def _turned_rad(self, before_rad: float) -> float:
        return math.remainder((self._truth.present().yaw_rad or 0.0) - before_rad, math.tau)

    async def _lamps(self) -> Check:
        answer = await self._app.command("lamps", {"turn_signal": "left"}, execution_id="lamps-1")
        held = answer.status == "SUCCEEDED" and self._truth.turn_signal() == 1
        return Check("the left turn signal goes on", held, _said(answer))

    async def _redeliver(self) -> Check:
        right = _request("lamps", {"turn_signal": "right"})
        first = await self._app.request("lamps-2", right, _PATIENCE_S)
        await self._app.command("lamps", {"turn_signal": "none"}, execution_id="lamps-3")
        again = await self._app.request("lamps-2", right, _PATIENCE_S)
        lamp = self._truth.turn_signal()
        held = first.status == again.status == "SUCCEEDED" and lamp == 0
        detail = f"answered {again.status} again, lamps {'off' if lamp == 0 else 'on'}"
        return Check("a redelivered command has no second effect", held, detail)

    async def _refuse(self) -> Check:
        payloads = {
            "malformed-1": b"{not json",
            "unknown-1": _request("fly", {}),
            "expired-1": json.dumps(
                {
                    "command": "drive",
                    "parameters": {"target_speed_mps": 30},
                    "issued_at": time.time() - 60,
                    "timeout_s": 1,
                }
            ).encode(),
            "range-1": _request("drive", {"target_speed_mps": 1e9}),
        }
        answers = [
            await self._app.request(identity, payload, _PATIENCE_S)
            for identity, payload in payloads.items()
        ]
        held = all(answer.status == "REJECTED" for answer in answers)
        return Check(
            "bad, unknown and expired commands are refused",
            held,
            ", ".join(answer.reason or answer.status for answer in answers),
        )

    async def _stop(self) -> Check:
        answer = await self._app.command("stop", timeout_s=_PATIENCE_S)
        speed = self._truth.present().speed_mps
        held = answer.status == "SUCCEEDED" and abs(speed) <= _STANDSTILL_MPS
        return Check("the car stops", held, _said(answer))

    async def _stream(self) -> Check:
        speed = await self.drive_by_stream(_STREAM_SPEED_MPS, _STREAM_S)
        return Check(
            "the drive stream moves the car",
            speed > _STREAM_SPEED_MPS / 2,
            f"{speed * 3.6:.1f} km/h",
        )

    async def drive_by_stream(self, speed_mps: float, duration_s: float) -> float:
        """Send set points for a while; return the speed the car then has, in m/s."""
        # After a stop the stream is deaf until it has asked for a standstill itself.
        await self._app.set_point(speed_mps=0.0, steer_rad=0.0)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for count in range(math.ceil(duration_s * CONTROL_RATE_HZ)):
            await self._app.set_point(speed_mps=speed_mps, steer_rad=0.0)
            due_s = start_s + (count + 1) / CONTROL_RATE_HZ
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        return self._truth.present().speed_mps

    async def wait_until_standing(self) -> bool:
        """Wait until the dead-man has brought the car to a stop; `False` when it did not."""
        return await self._app.wait_until(
            lambda: abs(self._truth.present().speed_mps) <= _STANDSTILL_MPS,
            _DEAD_MAN_S + _STOP_WITHIN_S,
        )

    async def _dead_man(self) -> Check:
        silent_s = time.monotonic()
        moved = abs(self._truth.present().speed_mps) > _STANDSTILL_MPS
        stood = await self.wait_until_standing()
        took_s = time.monotonic() - silent_s
        detail = f"standing {took_s:.1f} s after the last set point" if stood else "still moving"
        return Check(
            "the dead-man stops it when set points cease",
            moved and stood,
            detail if moved else "it did not move in the first place",
        )


def _request(name: str, parameters: dict[str, object]) -> bytes:
    return json.dumps({"command": name, "parameters": parameters}).encode()


def _said(answer: Answer) -> str:
    if answer.first_answer_s is None:
        return "no answer"
    reason = f" ({answer.reason})" if answer.reason else ""
    return f"{answer.status}{reason}, first answer after {answer.first_answer_s * 1000:.0f} ms"
