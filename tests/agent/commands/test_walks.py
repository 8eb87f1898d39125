"""Random walks through the whole command path, against the promises that must always hold."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.commands.arbiter import ArbiterSettings
from agent.commands.control_states import BRAKING, DRIVING, IN_CONTROL, LATCHED, State
from agent.commands.ledger import Ledger
from agent.commands.requests import COMMANDS
from agent.commands.service import CommandService, Effect, Respond, Send, ServiceSettings
from agent.morai import CommandMode, Dialect, EgoControl, ScenarioLoad
from agent.vehicle.state import DriveMode
from tests.agent.commands.rig import ego, pushes

DEAD_MAN_S = 0.5
SILENT_S = 1.0
QUIET = {State.RELEASED, State.YIELDED, State.EMERGENCY_YIELDED, State.HOLDING, State.CLOSED}

parameters = {
    "set_control_mode": st.fixed_dictionaries({"mode": st.sampled_from(["external", "keyboard"])}),
    "drive": st.one_of(
        st.fixed_dictionaries(
            {"target_speed_mps": st.floats(1, 30), "duration_s": st.floats(0.1, 5)}
        ),
        st.fixed_dictionaries(
            {
                "pedals": st.fixed_dictionaries({"accel_pedal": st.floats(0.1, 1)}),
                "duration_s": st.floats(0.1, 5),
            }
        ),
    ),
    "stop": st.sampled_from([{}, {"deceleration_mps2": 2.0}]),
    "emergency_stop": st.just({}),
    "resume": st.just({}),
    "lamps": st.just({"hazard": True}),
    "load_scenario": st.just({"name": "x"}),
}


class Walk(RuleBasedStateMachine):
    """Requests, set points, ego statuses, link changes, restarts and time, in any order.

    The walk keeps its own, much simpler account of when anybody had a right to move the car: until
    the end of the last drive command, and for the dead-man time after the last set point, both
    only while link and simulator were there and no stop came after them.
    """

    @initialize()
    def start(self) -> None:
        """Begin with a fresh ledger and an agent whose link is up."""
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")
        self.mono_s = 10.0
        self.heard_s = -1e9
        self.may_push_until_s = -1e9
        self.link_up = False
        # The mode reported last, if it was; whether a stop muted the stream and nobody spoke since.
        self.reported: DriveMode | None = None
        self.muted = False
        # A stop that came while keyboard control was asked for: it may still be reported.
        self.stopped_in_release = False
        self.fresh = 0
        self.seq = 1000
        self.loads: dict[str, int] = {}
        self.finals: dict[str, set[bytes]] = {}
        self._begin()
        self.link(up=True)

    def _begin(self) -> None:
        self.service = CommandService(
            self.ledger,
            Dialect(),
            ServiceSettings(
                arbiter=ArbiterSettings(dead_man_s=DEAD_MAN_S, simulator_silent_s=SILENT_S)
            ),
        )

    def _check(self, effects: list[Effect], owner: str | None = None) -> None:
        for effect in effects:
            if isinstance(effect, Respond):
                self._check_answer(effect)
                continue
            message = effect.output.message
            if isinstance(message, ScenarioLoad) and owner is not None:
                self.loads[owner] = self.loads.get(owner, 0) + 1
            if isinstance(message, EgoControl) and pushes(message):
                # An accelerating output needs a living right to move, and never asserts a mode.
                assert self.mono_s < self.may_push_until_s
                assert self.mono_s < self.heard_s + SILENT_S
                assert self.link_up
                assert self.service.state not in LATCHED
                assert message.control_mode == CommandMode.KEEP
        if not self.service.take_transitions() and self.service.state in QUIET:
            # Neither this call nor anything in it left the quiet state.
            assert not [
                item
                for item in effects
                if isinstance(item, Send) and isinstance(item.output.message, EgoControl)
            ]

    def _check_answer(self, effect: Respond) -> None:
        document = json.loads(effect.document)
        code = document.get("statusReason", {}).get("reasonCode")
        if document["status"] != "IN_PROGRESS" and code != "DUPLICATE_ID":
            finals = self.finals.setdefault(effect.execution_id, set())
            finals.add(effect.document)
            # Whatever is redelivered, an execution has one outcome.
            assert len(finals) == 1

    @rule(
        number=st.integers(0, 8),
        command=st.sampled_from(sorted(COMMANDS)),
        data=st.data(),
        expiry_s=st.sampled_from([None, 0, 1, 60]),
    )
    def request(
        self, number: int, command: str, data: st.DataObject, expiry_s: float | None
    ) -> None:
        """Deliver a request, often under an id that was used before."""
        self._deliver(f"{command}-{number}", command, data.draw(parameters[command]), expiry_s)

    @precondition(lambda self: self.service.state not in DRIVING)
    @rule()
    def take_over(self) -> None:
        """Do what is needed to drive: link, simulator, resume, external control."""
        self.link(up=True)
        self.status(DriveMode.KEYBOARD, 0.0, 1)
        self._deliver(self._fresh(), "resume", {}, None)
        self._deliver(self._fresh(), "set_control_mode", {"mode": "external"}, None)
        self.status(DriveMode.EXTERNAL, 0.0, 20)

    @precondition(lambda self: self.service.state in IN_CONTROL)
    @rule(data=st.data())
    def drive(self, data: st.DataObject) -> None:
        """Drive by command, under a new id."""
        self._deliver(self._fresh(), "drive", data.draw(parameters["drive"]), None)

    @precondition(lambda self: self.service.state in IN_CONTROL)
    @rule(count=st.integers(1, 20), gap_s=st.sampled_from([0.01, 0.05, 0.2]))
    def stream(self, count: int, gap_s: float) -> None:
        """Drive by set points for a while, with a simulator that reports."""
        for _ in range(count):
            self.seq += 1
            self.set_point(self.seq, 5.0)
            self.mono_s += gap_s
            self.heard_s = self.mono_s
            self._check(self.service.on_ego(ego(5.0), self.mono_s))

    def _fresh(self) -> str:
        self.fresh += 1
        return f"fresh-{self.fresh}"

    def _deliver(
        self, name: str, command: str, wanted: dict[str, Any], expiry_s: float | None
    ) -> None:
        body: dict[str, Any] = {"command": command, "parameters": wanted}
        started = dict(self.service.counters.started)
        state = self.service.state
        effects = self.service.on_request(
            name,
            json.dumps(body).encode(),
            message_expiry_s=expiry_s,
            now_s=self.mono_s,
            mono_s=self.mono_s,
        )
        if command in {"stop", "emergency_stop"} and self.service.counters.started != started:
            self.may_push_until_s = -1e9
            if command == "emergency_stop" or self.reported is DriveMode.EXTERNAL:
                # A stop is obeyed in every state.
                closing = {State.CLOSING, State.CLOSED}
                assert self.service.state in BRAKING | {State.ENGAGING, State.HOLDING} | closing
            # It mutes the stream unless it was refused.
            heard = self.service._stream.accepted > 0
            self.muted = self.muted or (heard and self.service.state in BRAKING)
            self.stopped_in_release = state is State.RELEASING
        elif command in {"drive", "set_control_mode", "resume"}:
            self.muted = False
        self._check(effects)
        before = self.service.state
        started = dict(self.service.counters.started)
        if command == "drive":
            # Granted in advance, because the datagram leaves in the same call.
            granted_s = self.mono_s + body["parameters"]["duration_s"]
            self.may_push_until_s = max(self.may_push_until_s, granted_s)
        effects = self.service.poll(self.mono_s)
        if command == "drive" and before in LATCHED:
            assert self.service.state in LATCHED
        if self.service.counters.started == started and command == "drive":
            # Not started (expired or known): it granted nothing, but an earlier grant may live.
            assert self.service.state is before
        self._check(effects, name if command == "load_scenario" else None)
        assert all(count == 1 for count in self.loads.values())

    @rule(seq=st.integers(0, 1000), speed_mps=st.floats(1, 30))
    def set_point(self, seq: int, speed_mps: float) -> None:
        """Deliver a set point; if it is taken, it grants the dead-man time."""
        taken = self.service.counters.set_points
        state = self.service.state
        granted = self.may_push_until_s
        self.may_push_until_s = max(granted, self.mono_s + DEAD_MAN_S)
        payload = json.dumps({"seq": seq, "speed_mps": speed_mps}).encode()
        effects = self.service.on_set_point(payload, self.mono_s)
        if self.muted:
            # Whatever time has passed since the stop.
            assert self.service.counters.set_points == taken
            assert self.service.state is not State.STREAM or state is State.STREAM
        if self.service.counters.set_points == taken:
            self.may_push_until_s = granted
        else:
            # The newest set point replaces a drive command and its longer grant.
            self.may_push_until_s = self.mono_s + DEAD_MAN_S
        self._check(effects)

    @rule(
        mode=st.sampled_from([DriveMode.EXTERNAL] * 12 + [DriveMode.KEYBOARD, DriveMode.BUILT_IN]),
        speed_mps=st.sampled_from([0.0, 0.0, 0.3, 5.0, 20.0, 40.0]),
        repeats=st.integers(1, 12),
    )
    def status(self, mode: DriveMode, speed_mps: float, repeats: int) -> None:
        """Hear the simulator for a while."""
        for _ in range(repeats):
            self.mono_s += 0.02
            self.heard_s = self.mono_s
            # Timers first: the car may have been given up in the time that passed.
            self._check(self.service.poll(self.mono_s))
            in_control = self.service.state in IN_CONTROL and not self.stopped_in_release
            given_up = self.service.state in {State.YIELDED, State.EMERGENCY_YIELDED}
            held = self.ledger.control_is_held
            effects = self.service.on_ego(ego(speed_mps, mode), self.mono_s)
            if in_control and mode is not DriveMode.EXTERNAL:
                assert self.service.state is State.YIELDED
            self.reported = mode
            if mode is DriveMode.EXTERNAL:
                self.stopped_in_release = False
                # What a person, or a killed agent, left in force does not move the car.
                rolls = speed_mps > ArbiterSettings().rolling_mps
                if given_up or (held and rolls):
                    assert self.service.state not in {State.RELEASED, State.YIELDED}
                    assert self.service.state is not State.EMERGENCY_YIELDED
            self._check(effects)

    @rule(elapsed_s=st.sampled_from([0.001, 0.01, 0.05, 0.05, 0.3, 0.3, 0.6, 1.2, 7.0]))
    def wait(self, elapsed_s: float) -> None:
        """Let time pass without a word from the simulator."""
        self.mono_s += elapsed_s
        self._check(self.service.poll(self.mono_s))

    @precondition(lambda self: self.service.state in DRIVING)
    @rule()
    def deafness(self) -> None:
        """The simulator falls silent while the car is driven and set points go on."""
        for _ in range(15):
            self.seq += 1
            if self.service.state is State.STREAM:
                self.set_point(self.seq, 5.0)
            self.wait(0.1)
        assert self.service.state not in DRIVING

    @rule(up=st.sampled_from([True, True, True, False]))
    def link(self, up: bool) -> None:
        """Change the broker connection."""
        self.link_up = up
        if not up:
            self.may_push_until_s = -1e9
        self._check(self.service.on_link(up, self.mono_s))

    @precondition(lambda self: self.service.state is not State.CLOSED)
    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        """End the agent, with or without notice, and begin again on the same ledger."""
        self.may_push_until_s = -1e9
        if orderly:
            self._check(self.service.shutdown(self.mono_s))
            self.ledger.close()
        else:
            self.ledger._db.close()
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite")
        self._begin()
        self.heard_s = -1e9
        self.reported = None
        self.muted = self.stopped_in_release = False
        self._check(self.service.on_link(self.link_up, self.mono_s))

    def teardown(self) -> None:
        """Release the file."""
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


Walk.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
