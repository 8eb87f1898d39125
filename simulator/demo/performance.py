"""Plays a demo from curtain to verdict.

Owns the order: set the stage, let the simulator speak, play the story, close the books, stop the
agent while the car drives, judge. Knows no terminal; who watches is told through `Audience`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from agent.morai import DEFAULT_DIALECT
from agent.vehicle.frames import MapFrame
from simulator.demo.comparison import compare_with_recording
from simulator.demo.stage import set_stage, simulator_speaks
from simulator.demo.story import Story
from simulator.demo.verdict import Check, Verdict, stream_verdict
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.host import Host
from simulator.morai_host.recorded import RecordedDrive
from simulator.morai_host.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping
    from pathlib import Path

    from agent.telemetry.payload import Batch
    from agent.vehicle.state import EgoState
    from simulator.demo.application import Application
    from simulator.demo.stage import Stage
    from simulator.demo.streambook import StreamBook
    from simulator.demo.verdict import StreamVerdict
    from simulator.replay.recording import Recording

# K-City 2025 of MORAI: UTM zone 52 north, origin as published with the map.
DEMO_FRAME = ("EPSG:32652", 302_595.0, 4_124_145.0, 0.0)
# Steps beside driving take about this long; what is left decides how fast the car gets, because
# the simulator's speed ramp is 1 m/s² (MORAI SIM: Drive manual 24.R2, Ego Ctrl Cmd).
_OTHER_STEPS_S = 14.0
_SLOWEST_MPS, _FASTEST_MPS = 3.0, 10.0
# What follows the last step: closing the books, then stopping the agent while the car drives.
_ENDING_S = 4.0
_DELIVERY_S = 10.0
_LEFTOVERS_S = 1.0
_SIGN_OFF_S = 5.0
_FAREWELL_MPS = 2.0
_STANDSTILL_MPS = 0.1
_RUNS_ON = "the agent runs until it is told to stop"
_SIGN_OFF = "SIGTERM to the agent stops the car and signs off"
# Counters of the agent that stay at zero on a machine's own loopback interface.
_DROPS = ("dropped.", "link.dropped.", "mqtt.dropped.", "mqtt.failed", "mqtt.refused")
# Channels whose datagrams become exactly one sample each.
_ONE_SAMPLE_A_DATAGRAM = {
    "state": "ego_status",
    "objects": "objects",
    "imu": "imu",
    "traffic-light": "traffic_light",
}


class Audience(Protocol):
    """Whoever watches."""

    def opened(self, application: Application, stage: Stage) -> None:
        """The stage is set."""

    def began(self, title: str) -> None:
        """A step begins."""

    def decided(self, check: Check) -> None:
        """A step ended."""


class ModelTruth:
    """What the simulated scene knows about its car."""

    def __init__(self, simulation: Simulation, host: Host) -> None:
        self._simulation = simulation
        self._host = host

    def present(self) -> EgoState:
        """The car as it is."""
        return self._host.present()

    def turn_signal(self) -> int:
        """0 none, 1 left, 2 right."""
        return self._simulation.ego.turn_signal


async def perform_story(folder: Path, duration_s: float, audience: Audience) -> Verdict:
    """Drive the simulated car by command and judge everything.

    Args:
        folder: An empty folder for this run.
        duration_s: How long it should take; the story needs about 20 s and more is spent cruising.
        audience: Told what happens.
    """
    started_s = time.monotonic()
    frame = MapFrame(*DEMO_FRAME)
    simulation = Simulation()
    drive = ModelDrive(simulation, frame, DEFAULT_DIALECT, chance=random.Random(0))  # noqa: S311 - sensor noise
    host = Host(drive)
    truth = ModelTruth(simulation, host)
    verdict = Verdict()
    async with set_stage(folder, host, frame) as stage:
        audience.opened(stage.application, stage)
        cruise_mps = min(max(duration_s - _OTHER_STEPS_S, _SLOWEST_MPS), _FASTEST_MPS)
        story = Story(stage.application, truth, cruise_mps=cruise_mps, on_step=audience.began)

        async def tell() -> None:
            async with simulator_speaks(stage):
                async for check in story.play():
                    _note(verdict, audience, check)
                await _cruise(story, started_s + duration_s - _ENDING_S, audience)

        ended_early = await _while_agent_runs(stage, tell())
        await _close_books(stage, verdict, audience)
        if ended_early is None:
            async with simulator_speaks(stage):
                _note(verdict, audience, await _stop_agent_while_driving(stage, truth, audience))
        else:
            _note(verdict, audience, ended_early)
        _note(verdict, audience, _nothing_dropped(stage.application))
        verdict.round_trips_ms = [1000 * trip for trip in stage.application.round_trips_s]
    verdict.duration_s = time.monotonic() - started_s
    return verdict


async def perform_recording(
    folder: Path, duration_s: float | None, recording: Recording, audience: Audience
) -> Verdict:
    """Play a recorded drive through the whole chain and compare what arrived with the recording.

    Args:
        folder: An empty folder for this run.
        duration_s: How much of it to play; all of it by default.
        recording: The drive.
        audience: Told what happens.
    """
    started_s = time.monotonic()
    drive = RecordedDrive(recording, DEFAULT_DIALECT)
    host = Host(drive)
    verdict = Verdict()
    origin = recording.map_origin
    frame = MapFrame(origin.crs, origin.origin_east_m, origin.origin_north_m, origin.origin_up_m)
    async with set_stage(folder, host, frame) as stage:
        received: list[Batch] = []
        stage.application.book.on_batch = received.append
        audience.opened(stage.application, stage)
        audience.began(f"the recorded drive plays: {recording.name}")

        async def play() -> None:
            async with simulator_speaks(stage) as simulator:
                try:
                    async with asyncio.timeout(duration_s):
                        await simulator.wait()
                except TimeoutError:
                    verdict.notes.append(f"Stopped after {duration_s:g} s as asked.")

        ended_early = await _while_agent_runs(stage, play())
        await _close_books(stage, verdict, audience)
        states = [batch for batch in received if batch.stream == "state"]
        for check in compare_with_recording(drive, states, host.counters.sent.get("ego_status", 0)):
            _note(verdict, audience, check)
        _note(verdict, audience, ended_early or await _stop_agent(stage, audience))
        _note(verdict, audience, _nothing_dropped(stage.application))
    verdict.duration_s = time.monotonic() - started_s
    return verdict


async def _while_agent_runs(stage: Stage, telling: Coroutine[Any, Any, None]) -> Check | None:
    """Tell it to the end, or until the agent is gone; then the check that failed by it."""
    told = asyncio.create_task(telling)
    gone = asyncio.create_task(stage.agent.ended())
    try:
        await asyncio.wait({told, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (told, gone):
            if not task.done():
                task.cancel()
                # What it was doing has no listener any more.
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    if told.done() and not told.cancelled():
        told.result()
    if not gone.done() or gone.cancelled():
        return None
    return Check(_RUNS_ON, held=False, detail=f"it ended early with exit code {gone.result()}")


def _note(verdict: Verdict, audience: Audience, check: Check) -> None:
    verdict.checks.append(check)
    audience.decided(check)


async def _cruise(story: Story, until_s: float, audience: Audience) -> None:
    left_s = until_s - time.monotonic()
    if left_s > 1.0:
        audience.began("the application cruises on the drive stream")
        await story.drive_by_stream(_SLOWEST_MPS, left_s)
        await story.wait_until_standing()


async def _close_books(stage: Stage, verdict: Verdict, audience: Audience) -> None:
    """With the simulator silent, wait until everything it sent has arrived, then count."""
    title = "every sample arrived once and in order"
    audience.began(title)
    sent = stage.host.counters.sent
    book = stage.application.book

    def all_here() -> bool:
        return all(
            (record := book.stream(stream)) is not None and record.samples >= sent.get(channel, 0)
            for stream, channel in _ONE_SAMPLE_A_DATAGRAM.items()
            if sent.get(channel, 0)
        )

    # From an agent that is gone, only what is on its way can still arrive.
    patience_s = _DELIVERY_S if stage.agent.is_running else _LEFTOVERS_S
    await stage.application.wait_until(all_here, patience_s)
    verdict.streams = list(judge_streams(book, sent))
    total = sum(item.received for item in verdict.streams)
    wrong = sum(item.wrong for item in verdict.streams)
    runs = len({boot for _, boot in book.records})
    detail = f"{total:,} samples, {wrong:,} wrong" + (f", {runs} runs" if runs > 1 else "")
    held = bool(total) and wrong == 0 and runs == 1
    _note(verdict, audience, Check(title, held, detail))


def judge_streams(book: StreamBook, sent: Mapping[str, int]) -> Iterator[StreamVerdict]:
    """Set what the application noted against what the simulator sent.

    Args:
        book: The application's books.
        sent: Datagrams sent, by channel.

    Yields:
        The books of every stream that was heard, and of every one that should have been.
    """
    heard = {name for name, _ in book.records}
    due = {stream for stream, channel in _ONE_SAMPLE_A_DATAGRAM.items() if sent.get(channel, 0)}
    for stream in sorted(heard | due):
        channel = _ONE_SAMPLE_A_DATAGRAM.get(stream)
        count = None if channel is None else sent.get(channel, 0)
        yield stream_verdict(stream, count, book.stream(stream))


async def _stop_agent_while_driving(stage: Stage, truth: ModelTruth, audience: Audience) -> Check:
    audience.began(_SIGN_OFF)
    app = stage.application
    await app.command("set_control_mode", {"mode": "external"})
    moving = await app.command("drive", {"target_speed_mps": _FAREWELL_MPS, "duration_s": 60})
    code, said = await _sign_off(stage)
    speed = truth.present().speed_mps
    held = (
        moving.status == "SUCCEEDED"
        and code == 0
        and said == "offline"
        and abs(speed) <= _STANDSTILL_MPS
    )
    return Check(_SIGN_OFF, held, f"exit code {code}, {speed:.2f} m/s, health says {said}")


async def _stop_agent(stage: Stage, audience: Audience) -> Check:
    title = "SIGTERM to the agent signs off"
    audience.began(title)
    code, said = await _sign_off(stage)
    held = code == 0 and said == "offline"
    return Check(title, held, f"exit code {code}, health says {said}")


async def _sign_off(stage: Stage) -> tuple[int | None, str]:
    """Stop the agent; its exit code and the state its last health document gives."""
    app = stage.application
    code = await stage.agent.stop()
    await app.wait_until(lambda: app.health.get("state") == "offline", _SIGN_OFF_S)
    return code, str(app.health.get("state"))


def _nothing_dropped(app: Application) -> Check:
    title = "nothing was dropped or unreadable on the way"
    counters = app.health.get("counters")
    if not isinstance(counters, dict) or not counters:
        return Check(title, held=False, detail="the agent's own counters did not arrive")
    drops = {name: count for name, count in counters.items() if name.startswith(_DROPS)}
    unreadable = app.book.undecodable + app.undecodable
    if unreadable:
        drops["unreadable at the application"] = unreadable
    said = ", ".join(f"{name} {count}" for name, count in drops.items())
    return Check(title, not drops, said or "0 drops")
