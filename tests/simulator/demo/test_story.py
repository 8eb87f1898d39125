"""Each step of the story fails when its promise is broken. The car here does what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent.telemetry.batch import Batcher, BatchLimits
from agent.telemetry.streams import state_stream
from agent.vehicle.state import DriveMode, EgoState
from simulator.demo import story as story_module
from simulator.demo.application import Answer
from simulator.demo.story import Story
from simulator.demo.streambook import StreamBook

if TYPE_CHECKING:
    from collections.abc import Callable

CRUISE_MPS = 5.0
TITLES = [
    "telemetry arrives at the application",
    "external control is engaged",
    "the car drives to 18 km/h",
    "the car steers left",
    "the left turn signal goes on",
    "a redelivered command has no second effect",
    "bad, unknown and expired commands are refused",
    "the car stops",
    "the drive stream moves the car",
    "the dead-man stops it when set points cease",
]


@dataclass
class ScriptedCar:
    """Application and truth in one: an obedient car, with the defects a test gives it.

    Attributes:
        defects: What it does wrong, from the list in `DEFECTS`.
    """

    defects: frozenset[str] = frozenset()
    book: StreamBook = field(default_factory=StreamBook)
    health: dict[str, Any] = field(default_factory=lambda: {"state": "online"})
    mode: DriveMode = DriveMode.KEYBOARD
    speed_mps: float = 0.0
    yaw_rad: float = 0.0
    wheel_rad: float = 0.0
    lamp: int = 0
    done: dict[str, Answer] = field(default_factory=dict)
    last_set_point_s: float | None = None

    def __post_init__(self) -> None:
        self._batcher = Batcher(state_stream(), "boot-1", BatchLimits(max_samples=1))
        if "silent" not in self.defects:
            self._report()

    # -- what the simulator knows -----------------------------------------------------------

    def present(self) -> EgoState:
        """The car as it is."""
        since_s = time.monotonic() - (self.last_set_point_s or 0.0)
        if self.last_set_point_s is not None and since_s > 0.1 and "runaway" not in self.defects:
            self.speed_mps = 0.0
        return EgoState(
            speed_mps=self.speed_mps,
            yaw_rad=self.yaw_rad,
            drive_mode=self.mode,
            wheel_angle_rad=self.wheel_rad,
        )

    def turn_signal(self) -> int:
        """0 none, 1 left, 2 right."""
        return self.lamp

    # -- what the application does ------------------------------------------------------------

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Nothing comes by itself here but the end of the dead-man's time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(timeout_s, 0.3)):
                while not condition():  # noqa: ASYNC110 - the condition is the clock itself
                    await asyncio.sleep(0.01)
        return condition()

    async def command(
        self,
        name: str,
        parameters: dict[str, Any] | None = None,
        *,
        timeout_s: float = 15,
        execution_id: str | None = None,
    ) -> Answer:
        """Obey a command."""
        del timeout_s
        identity = execution_id or f"id-{len(self.done)}"
        request = {"command": name, "parameters": parameters or {}}
        return await self.request(identity, json.dumps(request).encode(), 1.0)

    async def request(self, execution_id: str, payload: bytes, timeout_s: float) -> Answer:
        """Obey or refuse whatever comes."""
        del timeout_s
        repeated = execution_id in self.done
        if repeated and "forgets its ledger" not in self.defects:
            return self.done[execution_id]
        answer = Answer(execution_id, self._obey(payload), "", (), 0.001, 0.001)
        self.done[execution_id] = answer
        self._report()
        return answer

    async def set_point(self, **values: float) -> None:
        """Follow a set point."""
        if "ignores the stream" not in self.defects:
            self.speed_mps = values["speed_mps"]
        self.last_set_point_s = time.monotonic()

    def _obey(self, payload: bytes) -> str:
        try:
            request = json.loads(payload)
        except ValueError:
            return "REJECTED"
        name, parameters = request["command"], request["parameters"]
        if f"refuses {name}" in self.defects:
            return "REJECTED"
        if request.get("issued_at", time.time()) < time.time() - 30:
            return "SUCCEEDED" if "obeys the expired" in self.defects else "REJECTED"
        if parameters.get("target_speed_mps", 0) > 50:
            return "SUCCEEDED" if "obeys the impossible" in self.defects else "REJECTED"
        if f"only says it did {name}" in self.defects:
            return "SUCCEEDED"
        if name == "set_control_mode":
            self.mode = DriveMode.EXTERNAL
        elif name == "drive":
            short = 0.95 if "stops short of the speed" in self.defects else 1.0
            self.speed_mps = short * parameters["target_speed_mps"]
            self.wheel_rad = parameters.get("steer_rad", 0.0)
            if "steers to the wrong side" in self.defects:
                self.wheel_rad = -self.wheel_rad
            self.yaw_rad += 2 * self.wheel_rad
        elif name == "lamps":
            self.lamp = {"none": 0, "left": 1, "right": 2}[parameters["turn_signal"]]
        elif name == "stop":
            self.speed_mps = 0.0
        else:
            return "SUCCEEDED" if "obeys the unknown" in self.defects else "REJECTED"
        return "SUCCEEDED"

    def _report(self) -> None:
        for payload in self._batcher.add(self.present(), time.time()):
            self.book.add("dt/morai/demo/car-1/state", payload, time.time())


async def outcome(*defects: str) -> dict[str, bool]:
    """Every check of a story with such a car, by title."""
    car = ScriptedCar(frozenset(defects))
    begun: list[str] = []
    story = Story(cast("Any", car), cast("Any", car), cruise_mps=CRUISE_MPS, on_step=begun.append)
    checks = [check async for check in story.play()]
    assert begun == TITLES
    assert [check.name for check in checks] == TITLES
    return {check.name: check.held for check in checks}


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted car needs no run-up."""
    monkeypatch.setattr(story_module, "_STREAM_S", 0.1)


async def test_an_obedient_car_keeps_every_promise() -> None:
    """All steps hold, in their order."""
    assert all((await outcome()).values())


@pytest.mark.parametrize(
    ("defect", "broken"),
    [
        ("silent", {"telemetry arrives at the application"}),
        ("refuses set_control_mode", {"external control is engaged"}),
        ("only says it did set_control_mode", {"external control is engaged"}),
        ("refuses drive", {"the car drives to 18 km/h", "the car steers left"}),
        ("only says it did drive", {"the car drives to 18 km/h", "the car steers left"}),
        ("stops short of the speed", {"the car drives to 18 km/h"}),
        ("steers to the wrong side", {"the car steers left"}),
        (
            "refuses lamps",
            {"the left turn signal goes on", "a redelivered command has no second effect"},
        ),
        ("only says it did lamps", {"the left turn signal goes on"}),
        ("forgets its ledger", {"a redelivered command has no second effect"}),
        ("obeys the unknown", {"bad, unknown and expired commands are refused"}),
        ("obeys the expired", {"bad, unknown and expired commands are refused"}),
        ("obeys the impossible", {"bad, unknown and expired commands are refused"}),
        ("refuses stop", {"the car stops"}),
        ("only says it did stop", {"the car stops"}),
        ("runaway", {"the dead-man stops it when set points cease"}),
    ],
)
async def test_a_broken_promise_fails_its_step(defect: str, broken: set[str]) -> None:
    """Each defect of the car is found by the step that promises the opposite, and by no other."""
    found = {title for title, held in (await outcome(defect)).items() if not held}

    assert found == broken


async def test_a_car_that_never_moves_has_not_been_stopped_by_the_dead_man() -> None:
    """Standing still proves nothing about a dead-man: both steps fail."""
    found = {title for title, held in (await outcome("ignores the stream")).items() if not held}

    assert found == {
        "the drive stream moves the car",
        "the dead-man stops it when set points cease",
    }


async def test_no_answer_fails_the_step_and_the_story_goes_on() -> None:
    """A step that runs into a time-out is a failed check, not the end of the demo."""
    car = ScriptedCar()

    async def never(*_: object, **__: object) -> Answer:
        raise TimeoutError

    car.command = never  # type: ignore[method-assign] # one defect that no answer can express
    story = Story(cast("Any", car), cast("Any", car), cruise_mps=5.0, on_step=lambda _: None)

    checks = [check async for check in story.play()]

    assert [check.name for check in checks] == TITLES
    assert [check.detail for check in checks if check.name == "the car stops"] == [
        "no answer in time"
    ]
