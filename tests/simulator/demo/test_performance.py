"""Whole performances with the real agent, and with something broken on purpose."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulator.demo import performance
from simulator.demo.performance import judge_streams, perform_recording, perform_story
from simulator.demo.streambook import StreamBook
from simulator.morai_host.faults import FaultPlan
from simulator.replay.recording import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.demo.application import Application
    from simulator.demo.stage import Stage
    from simulator.demo.verdict import Check

SHIPPED = Path(__file__).parents[3] / "scenarios" / "recordings" / "highway-minute.mcap"
ALL_HERE = "every sample arrived once and in order"
IDENTITY = "each received sample is one recorded sample"
SIGN_OFF = "SIGTERM to the agent signs off"
NOTHING_DROPPED = "nothing was dropped or unreadable on the way"
CUT_SHORT = "the agent runs until it is told to stop"


@dataclass
class Saboteur:
    """An audience that meddles as soon as the stage is set.

    Attributes:
        meddle: What it does.
        told: The checks it was told of.
    """

    meddle: Callable[[Stage], None]
    told: list[Check] = field(default_factory=list)

    def opened(self, application: Application, stage: Stage) -> None:
        """Meddle."""
        del application
        self.meddle(stage)

    def began(self, title: str) -> None:
        """Nothing to do."""

    def decided(self, check: Check) -> None:
        """Remember."""
        self.told.append(check)


async def recorded(
    folder: Path, meddle: Callable[[Stage], None]
) -> tuple[bool, set[str], set[str]]:
    """Play a second of the recording; whether the verdict held, and what held and failed."""
    audience = Saboteur(meddle)
    verdict = await perform_recording(folder, 1.0, read(SHIPPED), audience)
    assert audience.told == verdict.checks
    kept = {check.name for check in verdict.checks if check.held}
    failed = {check.name for check in verdict.checks if not check.held}
    return verdict.held, kept, failed


async def test_an_undisturbed_recording_keeps_every_promise(tmp_path: Path) -> None:
    """A second of the real drive arrives whole and equal."""
    held, kept, failed = await recorded(tmp_path, lambda _: None)

    assert (held, failed) == (True, set())
    assert kept >= {ALL_HERE, IDENTITY, SIGN_OFF, NOTHING_DROPPED}
    assert len(kept) == 4 + 7


@pytest.mark.parametrize("fault", [{"loss": 0.2}, {"duplicate_stamp": 0.5}], ids=str)
async def test_faults_of_the_simulator_break_the_identity(
    tmp_path: Path, fault: dict[str, float]
) -> None:
    """Datagrams lost on the way and stamps used twice are found by comparing with the recording."""

    def meddle(stage: Stage) -> None:
        stage.host.faults.plan = FaultPlan(**fault)  # type: ignore[arg-type] # names of numbers

    held, _, failed = await recorded(tmp_path, meddle)

    assert not held
    assert IDENTITY in failed


async def test_a_datagram_the_agent_does_not_get_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datagrams that were sent and never became samples are counted against the agent."""
    monkeypatch.setattr(performance, "_DELIVERY_S", 2.0)

    def meddle(stage: Stage) -> None:
        # The simulator counts these datagrams as sent, but they go to where nobody listens.
        pairs = stage.ports.publish
        pairs["imu"] = type(pairs["imu"])(pairs["imu"].host, 9)

    held, _, failed = await recorded(tmp_path, meddle)

    assert (held, failed) == (False, {ALL_HERE})


@pytest.mark.skipif(sys.platform == "win32", reason="kills with a Unix signal")
async def test_a_killed_agent_fails_the_story_soon(tmp_path: Path) -> None:
    """Without the agent no step can be played: the run ends at once, and its verdict is failed."""

    def meddle(stage: Stage) -> None:
        assert stage.agent.pid is not None
        os.kill(stage.agent.pid, signal.SIGKILL)

    audience = Saboteur(meddle)
    verdict = await perform_story(tmp_path, 15.0, audience)

    failed = {check.name: check.detail for check in verdict.checks if not check.held}
    assert not verdict.held
    assert failed[CUT_SHORT] == f"it ended early with exit code {-signal.SIGKILL}"
    assert NOTHING_DROPPED in failed
    assert verdict.duration_s < 10


@pytest.mark.skipif(sys.platform == "win32", reason="sends a Unix signal")
async def test_an_agent_that_stops_by_itself_has_broken_its_promise(tmp_path: Path) -> None:
    """Even an orderly end is a failure while the demo still needs the agent."""

    def meddle(stage: Stage) -> None:
        assert stage.agent.pid is not None
        os.kill(stage.agent.pid, signal.SIGTERM)

    held, _, failed = await recorded(tmp_path, meddle)

    assert not held
    assert CUT_SHORT in failed


def test_a_stream_that_was_sent_and_never_heard_is_in_the_books() -> None:
    """Streams are judged by what was sent, so a silent one cannot be forgotten."""
    judged = {
        item.stream: item for item in judge_streams(StreamBook(), {"ego_status": 50, "gps": 9})
    }

    assert set(judged) == {"state"}
    assert (judged["state"].sent, judged["state"].lost, judged["state"].wrong) == (50, 50, 50)
