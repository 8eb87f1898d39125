"""What the stage gives the agent: its configuration, its environment, and an end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent.configuration import load_configuration
from agent.morai import DEFAULT_DIALECT
from agent.vehicle.frames import MapFrame
from certs.errors import LinkError
from certs.store import Store
from simulator.demo import stage
from simulator.demo.performance import DEMO_FRAME
from simulator.demo.stage import AgentProcess, set_stage
from simulator.morai_host.drive import ModelDrive
from simulator.morai_host.host import Host
from simulator.morai_host.simulation import Simulation

FRAME = MapFrame(*DEMO_FRAME)


def host() -> Host:
    """A simulator with nobody at the wheel."""
    return Host(ModelDrive(Simulation(), FRAME, DEFAULT_DIALECT))


@pytest.mark.parametrize(
    "name", ["plain", "it's", 'double "quoted"', "with space", "größer", "a#b"]
)
def test_configuration_survives_any_folder(tmp_path: Path, name: str) -> None:
    """Quotes, blanks and accents in the folder's name reach the agent as they are."""
    folder = tmp_path / name
    store = Store(folder)
    store.init_authority()
    store.issue_thing(stage.THING)
    file = tmp_path / "agent.toml"
    ports = stage._free_ports()

    file.write_text(stage._agent_configuration(store, 8883, ports, FRAME), encoding="utf-8")

    read = load_configuration(file)
    assert read.broker.certificate == store.identity(stage.THING).certificate_path
    assert read.broker.ca == folder / "ca" / "ca.pem"
    assert read.vehicle.thing == "demo-car"
    assert read.simulator.receive.ego_status == ports.publish["ego_status"].destination
    assert read.simulator.send.ego_control == ports.listen["ego_control"]
    assert read.map.crs == "EPSG:32652"


def test_settings_for_another_agent_do_not_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own settings in the environment would send the demo's car to their real broker."""
    monkeypatch.setenv("MORAI_AGENT_BROKER__ENDPOINT", "production.example")
    monkeypatch.setenv("UNRELATED", "stays")

    environment = stage._agent_environment()

    assert not [name for name in environment if name.startswith("MORAI_AGENT_")]
    assert environment["UNRELATED"] == "stays"


def test_the_agent_is_found_wherever_this_process_found_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The child looks beside the agent of this process first, then where the user says."""
    monkeypatch.setenv("PYTHONPATH", "elsewhere")

    first, *rest = stage._agent_environment()["PYTHONPATH"].split(os.pathsep)

    assert (Path(first) / "agent" / "__main__.py").is_file()
    assert rest == ["elsewhere"]


async def test_an_agent_that_ends_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    """A configuration it cannot use ends it with exit code 2 and a reason in its log."""
    configuration = tmp_path / "agent.toml"
    configuration.write_text("[vehicle]\nthing = 7\n", encoding="utf-8")
    agent = AgentProcess(configuration, tmp_path / "agent.log")
    assert (agent.is_running, agent.pid, agent.last_words()) == (False, None, "")

    agent.start()

    assert await agent.ended() == 2
    assert not agent.is_running
    assert "agent.toml" in agent.last_words()
    assert await agent.stop() == 2


async def test_a_module_in_the_folder_of_the_user_is_not_taken_for_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file `agent.py` where the demo is started has no part in it."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "agent.py").write_text("raise SystemExit(99)", encoding="utf-8")
    monkeypatch.chdir(here)
    configuration = tmp_path / "agent.toml"
    configuration.write_text("", encoding="utf-8")
    agent = AgentProcess(configuration, tmp_path / "agent.log")

    agent.start()

    assert await agent.ended() == 2


@pytest.mark.skipif(sys.platform == "win32", reason="makes the interpreter a script")
async def test_an_agent_that_does_not_come_up_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error with the agent's own words, at once and not after the whole patience."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 7\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    monkeypatch.setattr(stage, "_AGENT_START_S", 1e6)
    folder = tmp_path / "run"
    folder.mkdir()

    with pytest.raises(LinkError, match="did not come online: out of order"):
        async with set_stage(folder, host(), FRAME):
            pass
