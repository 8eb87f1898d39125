from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from agent.cloud.topics import CommandProtocol
from agent.commands.backlog import MAX_UNWRITTEN
from agent.commands.control_states import State
from agent.commands.executor import ExecutorSettings
from agent.commands.ledger import Begun, ExecutionKey, Ledger, Retention
from agent.commands.outputs import LAMPS, SCENARIO_LOAD
from agent.commands.protocol import decode_outcome
from agent.commands.safety import Limits
from agent.commands.service import MAX_WAITING, CommandService, Respond, Send, ServiceSettings
from agent.morai import CommandMode, Dialect, EgoControl, LampControl
from agent.vehicle.state import DriveMode
from certs.errors import ConfigurationError, StorageError
from tests.agent.commands.rig import FULL_BRAKE, Car, Drive, longitudinal, pushes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _with(ledger: Ledger, **settings: Any) -> Drive:
    return Drive(CommandService(ledger, Dialect(), ServiceSettings(**settings)), Car())


def _stops(drive: Drive) -> int:
    messages = [item.message for item in drive.sent if isinstance(item.message, EgoControl)]
    return sum(longitudinal(message) == FULL_BRAKE for message in messages)


# -- a drive from beginning to end --------------------------------------------------------------


def test_engage_drive_stop_release(drive: Drive) -> None:
    """A whole drive: each command reports progress and succeeds when the car shows it."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 5.0})
    drive.run(8.0)
    drive.deliver("halt", "stop")
    drive.run(3.0)
    drive.deliver("back", "set_control_mode", {"mode": "keyboard"})
    drive.run(0.5)

    assert drive.statuses("engage") == ["IN_PROGRESS", "SUCCEEDED"]
    assert drive.last("engage").result == {"control_mode": "external"}
    # +1 m/s^2 up to 4.7 m/s (0.3 m/s short of the target) takes just under 5 s.
    assert drive.statuses("go") == ["IN_PROGRESS"] * 5 + ["SUCCEEDED"]
    assert float(str(drive.last("go").result["speed_mps"])) == pytest.approx(4.7, abs=0.05)
    assert drive.statuses("halt") == ["IN_PROGRESS", "SUCCEEDED"]
    assert drive.last("halt").result == {"latched": False}
    assert drive.last("back").result == {"control_mode": "keyboard"}
    assert drive.car.mode is DriveMode.KEYBOARD
    assert drive.service.state is State.RELEASED


def test_progress_says_how_far_it_is_and_is_rate_limited(drive: Drive) -> None:
    """IN_PROGRESS comes at once, then once a second, with the speed in words."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30.0})
    drive.run(3.5)

    assert drive.statuses("go") == ["IN_PROGRESS"] * 4
    found = [
        re.fullmatch(r"speed (\d+\.\d) m/s of 30\.0 m/s", answer.description)
        for answer in drive.answers["go"]
    ]
    # +1 m/s each second; a report may be one simulator tick late.
    assert [float(match[1]) for match in found if match] == pytest.approx([0, 1, 2, 3], abs=0.15)
    assert {answer.reason for answer in drive.answers["go"]} == {"DRIVING"}


def test_a_target_that_is_not_reached_times_out_and_the_car_stops(drive: Drive) -> None:
    """30 m/s in 2 s is impossible: TIMED_OUT, and the car is brought to a stop."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30.0, "duration_s": 2.0})
    drive.run(4.0)

    assert (drive.last("go").status, drive.last("go").reason) == (
        "TIMED_OUT",
        "TARGET_NOT_REACHED",
    )
    assert drive.car.speed_mps == 0.0
    assert drive.service.state is State.HOLDING


def test_pedals_and_accelerations_succeed_when_they_were_held(drive: Drive) -> None:
    """Without a target the command is done when its time is over."""
    drive.engage()
    drive.deliver("go", "drive", {"pedals": {"accel_pedal": 0.5}, "duration_s": 1.5})
    drive.run(1.4)
    assert drive.last("go").status == "IN_PROGRESS"
    drive.run(0.2)

    assert drive.last("go").status == "SUCCEEDED"
    assert drive.last("go").result == {"duration_s": "1.5"}


def test_a_reached_target_is_held_for_the_rest_of_the_duration(drive: Drive) -> None:
    """After SUCCEEDED the car keeps its speed until duration_s is over, then it stops."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 2.0, "duration_s": 5.0})
    drive.run(4.5)
    assert drive.car.speed_mps == pytest.approx(2.0, abs=0.05)
    drive.run(2.0)

    assert drive.statuses("go").count("SUCCEEDED") == 1
    assert drive.car.speed_mps == 0.0


def test_a_comfortable_stop_takes_its_time(drive: Drive) -> None:
    """At 1 m/s^2 a car with 4 m/s stands after about 4 s, not at once."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 4.0})
    drive.run(6.0)
    drive.deliver("halt", "stop", {"deceleration_mps2": 1.0})
    drive.run(3.0)
    assert drive.car.speed_mps == pytest.approx(1.0, abs=0.1)
    drive.run(2.0)

    assert drive.last("halt").status == "SUCCEEDED"


def test_a_stop_that_does_not_work_times_out_and_goes_on(ledger: Ledger) -> None:
    """The sender hears that the car does not stand; the stops are still sent."""
    drive = _with(ledger, executor=ExecutorSettings(stop_timeout_s=2.0))
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 4.0})
    drive.run(5.0)
    drive.car.brakes_work = False
    drive.deliver("halt", "emergency_stop")
    drive.run(3.0)

    assert (drive.last("halt").status, drive.last("halt").reason) == (
        "TIMED_OUT",
        "STANDSTILL_NOT_REACHED",
    )
    before = len(drive.sent)
    drive.run(1.0)
    assert len(drive.sent) - before == 20


def test_a_mode_that_is_not_confirmed_times_out(drive: Drive) -> None:
    """A car that ignores the mode change makes the command end as MODE_NOT_CONFIRMED."""
    drive.link(up=True)
    drive.car.hears = False
    drive.run(0.1)
    drive.deliver("engage", "set_control_mode", {"mode": "external"})
    drive.run(6.0)

    assert (drive.last("engage").status, drive.last("engage").reason) == (
        "TIMED_OUT",
        "MODE_NOT_CONFIRMED",
    )


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "MALFORMED_JSON"),
        (b"x" * 9000, "TOO_LARGE"),
        (b"{}", "INVALID_REQUEST"),
        (b'{"command":"fly"}', "UNKNOWN_COMMAND"),
        (b'{"command":"drive","parameters":{"target_speed_mps":-1}}', "INVALID_PARAMETER"),
        (b'{"command":"drive","parameters":{"target_speed_mps":3},"issued_at":1}', "EXPIRED"),
        (b'{"command":"drive","parameters":{"target_speed_mps":99}}', "LIMIT_EXCEEDED"),
        (
            b'{"command":"drive","parameters":{"target_speed_mps":3,"steer_rad":1}}',
            "LIMIT_EXCEEDED",
        ),
    ],
)
def test_a_refused_request_is_answered_and_moves_nothing(
    drive: Drive, payload: bytes, reason: str
) -> None:
    """The sender gets REJECTED with the reason, it is counted, and the car still holds."""
    drive.engage()
    before = len(drive.sent)

    drive.deliver_bytes("bad", payload)
    drive.run(0.5)

    assert (drive.last("bad").status, drive.last("bad").reason) == ("REJECTED", reason)
    assert drive.service.counters.refused == {reason: 1}
    assert len(drive.sent) == before
    assert drive.service.state is State.HOLDING


@pytest.mark.parametrize(
    ("command", "parameters"),
    [("drive", {"target_speed_mps": 3}), ("stop", {})],
)
def test_an_agent_that_does_not_control_the_car_says_so(
    drive: Drive, command: str, parameters: dict[str, Any]
) -> None:
    """Driving and stopping are refused as MODE_CONFLICT before engagement."""
    drive.link(up=True)
    drive.run(0.1)

    drive.deliver("early", command, parameters)

    assert (drive.last("early").status, drive.last("early").reason) == ("REJECTED", "MODE_CONFLICT")


def test_an_agent_without_a_simulator_says_so(drive: Drive) -> None:
    """Engaging is refused as SIMULATOR_SILENT when no ego status was ever heard."""
    drive.link(up=True)

    drive.deliver("engage", "set_control_mode", {"mode": "external"})

    assert drive.last("engage").reason == "SIMULATOR_SILENT"


def test_a_request_that_waited_too_long_to_start_is_refused(drive: Drive) -> None:
    """Expiry is checked again before the command starts, against monotonic time."""
    drive.engage()
    payload = json.dumps({"command": "drive", "parameters": {"target_speed_mps": 3}}).encode()
    drive.carry_out(
        drive.service.on_request(
            "late", payload, message_expiry_s=2, now_s=drive.now_s, mono_s=drive.mono_s
        )
    )
    assert drive.service.next_deadline_s == -math.inf

    drive.mono_s += 2.5
    drive.carry_out(drive.service.poll(drive.mono_s))

    assert (drive.last("late").status, drive.last("late").reason) == ("REJECTED", "EXPIRED")
    assert drive.service.counters.started == {"set_control_mode": 1}


def test_commands_can_be_switched_off_but_stops_cannot(ledger: Ledger) -> None:
    """A command that is not allowed is NOT_ALLOWED; emergency_stop always works."""
    drive = _with(ledger, allowed=frozenset({"lamps"}))
    drive.link(up=True)
    drive.run(0.1)

    drive.deliver("load", "load_scenario", {"name": "a"})
    drive.deliver("halt", "emergency_stop")

    assert drive.last("load").reason == "NOT_ALLOWED"
    assert drive.last("halt").status == "IN_PROGRESS"
    with pytest.raises(ConfigurationError, match="fly"):
        ServiceSettings(allowed=frozenset({"fly"}))


def test_a_flood_of_requests_is_bounded(drive: Drive) -> None:
    """Beyond the bound of the waiting line requests are refused as BUSY, and a stop still acts."""
    drive.engage()
    payload = b'{"command":"lamps","parameters":{"hazard":true}}'
    effects = []
    for index in range(MAX_WAITING + 3):
        effects += drive.service.on_request(
            f"lamp-{index}",
            payload,
            message_expiry_s=None,
            now_s=drive.now_s,
            mono_s=drive.mono_s,
        )
    drive.carry_out(effects)
    drive.deliver("halt", "emergency_stop")

    assert drive.service.counters.refused == {"BUSY": 3}
    assert drive.last("halt").status == "IN_PROGRESS"


def test_running_executions_are_bounded(ledger: Ledger) -> None:
    """One execution too many is refused as BUSY."""
    drive = _with(ledger, executor=ExecutorSettings(max_running=1))
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 3})

    drive.deliver("lamp", "lamps", {"hazard": True})

    assert drive.last("lamp").reason == "BUSY"
    assert drive.last("go").status == "IN_PROGRESS"


def test_stops_are_bounded_but_never_refused(ledger: Ledger) -> None:
    """Of a flood of stops each brakes, the latest are followed, and each gets one outcome."""
    drive = _with(ledger, executor=ExecutorSettings(max_running=4))
    drive.engage()
    for index in range(20):
        drive.deliver(f"halt-{index}", "emergency_stop")
    drive.run(1.0)

    outcomes = [drive.last(f"halt-{index}") for index in range(20)]
    assert [outcome.reason for outcome in outcomes[:16]] == ["SUPERSEDED"] * 16
    assert [outcome.status for outcome in outcomes[16:]] == ["SUCCEEDED"] * 4
    assert drive.service.counters.started["emergency_stop"] == 20


def test_an_id_that_cannot_be_answered_is_counted(drive: Drive) -> None:
    """A request under an impossible id is dropped without an effect."""
    effects = drive.service.on_request(
        "a/b", b'{"command":"stop"}', message_expiry_s=None, now_s=0.0, mono_s=0.0
    )

    assert effects == []
    assert drive.service.counters.bad_execution_ids == 1


# -- at most once -------------------------------------------------------------------------------


def test_a_redelivered_request_gets_its_outcome_and_no_second_effect(drive: Drive) -> None:
    """The scenario is loaded once; the second delivery is answered from the ledger."""
    drive.link(up=True)
    drive.deliver("load", "load_scenario", {"name": "crossing"})
    first = drive.last("load")

    drive.deliver("load", "load_scenario", {"name": "crossing"})

    assert [output.channel for output in drive.sent] == [SCENARIO_LOAD]
    assert drive.answers["load"] == [first, first]
    assert first.status == "SUCCEEDED"
    assert drive.service.counters.replayed == 1


def test_a_redelivery_of_a_running_command_repeats_its_latest_status(drive: Drive) -> None:
    """While it runs, a second delivery starts nothing and repeats IN_PROGRESS."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30})
    count = len(drive.answers["go"])

    drive.deliver("go", "drive", {"target_speed_mps": 30})

    assert len(drive.answers["go"]) == count + 1
    assert drive.service.counters.started["drive"] == 1
    assert drive.service.counters.repeated_in_flight == 1


def test_an_expired_redelivery_of_an_executed_command_gets_the_recorded_outcome(
    drive: Drive,
) -> None:
    """What was executed is not called EXPIRED afterwards."""
    drive.link(up=True)
    drive.deliver("lamp", "lamps", {"hazard": True}, expiry_s=5)
    drive.run(1.0)

    drive.deliver("lamp", "lamps", {"hazard": True}, expiry_s=0)

    assert drive.last("lamp").status == "SUCCEEDED"


def test_a_refusal_stands_when_its_reason_has_passed(drive: Drive) -> None:
    """A request refused as from the future stays refused when that future has come."""
    drive.link(up=True)
    payload = json.dumps(
        {
            "command": "lamps",
            "parameters": {"hazard": True},
            "issued_at": drive.now_s + 20,
            "timeout_s": 600,
        }
    ).encode()
    drive.deliver_bytes("ahead", payload)
    drive.run(20.0, 0.5)

    drive.deliver_bytes("ahead", payload)

    assert [answer.reason for answer in drive.answers["ahead"]] == ["CLOCK_UNTRUSTED"] * 2
    assert drive.sent == []


def test_an_id_used_twice_for_different_commands_is_refused(drive: Drive) -> None:
    """The second command under a used id is not executed and is told so."""
    drive.link(up=True)
    drive.deliver("x", "load_scenario", {"name": "one"})

    drive.deliver("x", "load_scenario", {"name": "two"})

    assert drive.last("x").reason == "DUPLICATE_ID"
    assert len(drive.sent) == 1
    assert drive.service.counters.id_reused == 1


def test_the_two_transports_answer_on_their_own_side(drive: Drive) -> None:
    """An answer names the transport its request came through."""
    drive.link(up=True)
    payload = b'{"command":"load_scenario","parameters":{"name":"a"}}'
    for protocol in CommandProtocol:
        drive.service.on_request(
            "same",
            payload,
            message_expiry_s=None,
            now_s=0.0,
            mono_s=drive.mono_s,
            protocol=protocol,
        )

        effects = drive.service.poll(drive.mono_s)

        answered = {item.protocol for item in effects if isinstance(item, Respond)}
        assert answered == {protocol}


def test_a_killed_agent_reports_the_interruption_and_does_not_repeat(tmp_path: Path) -> None:
    """A new process answers FAILED INTERRUPTED when the link is up, and again on redelivery."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    drive = Drive(CommandService(ledger, Dialect()), Car())
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30})
    ledger._db.close()

    ledger = Ledger(path)
    second = Drive(CommandService(ledger, Dialect()), drive.car)
    second.link(up=True)
    second.run(0.1)
    second.deliver("go", "drive", {"target_speed_mps": 30})

    assert [(item.status, item.reason) for item in second.answers["go"]] == [
        ("FAILED", "INTERRUPTED")
    ] * 2
    assert second.sent == []
    ledger.close()


def test_a_restarted_agent_brakes_the_car_its_killed_predecessor_left_driving(
    tmp_path: Path,
) -> None:
    """The simulator obeys the last command for ever; the next agent ends that, once and for all."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    first = Drive(CommandService(ledger, Dialect()), Car())
    first.engage()
    first.deliver("go", "drive", {"target_speed_mps": 5})
    first.run(8.0)
    ledger._db.close()

    ledger = Ledger(path)
    second = Drive(CommandService(ledger, Dialect()), first.car)
    second.run(3.0)

    assert first.car.speed_mps == 0.0
    assert second.service.state is State.HOLDING
    second.link(up=True)
    second.deliver("back", "set_control_mode", {"mode": "keyboard"})
    second.run(2.0)
    assert second.last("back").status == "SUCCEEDED"
    assert not ledger.control_is_held
    ledger.close()


@pytest.mark.parametrize("command", ["stop", "emergency_stop"])
def test_a_car_of_another_controller_is_left_alone_and_can_be_stopped(
    drive: Drive, command: str
) -> None:
    """An agent that was never in control stops a car in external mode only when it is told to."""
    drive.car.mode = DriveMode.EXTERNAL
    drive.car.speed_mps = 5.0
    drive.link(up=True)
    drive.run(1.0)
    before = len(drive.sent)
    drive.deliver("halt", command)
    drive.run(2.0)

    assert before == 0
    assert drive.last("halt").status == "SUCCEEDED"
    assert drive.car.speed_mps == 0.0


def test_three_key_presses_do_not_revive_a_drive(drive: Drive) -> None:
    """Keyboard, built-in, external again: the car is braked, and `stop` is not refused."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 5, "duration_s": 60})
    drive.run(6.0)
    for mode in (DriveMode.KEYBOARD, DriveMode.BUILT_IN, DriveMode.EXTERNAL):
        drive.car.mode = mode
        drive.run(0.2)
    drive.deliver("halt", "stop")
    drive.run(2.0)

    assert drive.last("halt").status == "SUCCEEDED"
    assert drive.car.speed_mps == 0.0


def test_a_released_car_has_a_brake_in_force(drive: Drive) -> None:
    """Released while it drove and put back into external mode, the car stands and stays."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 5, "duration_s": 60})
    drive.run(6.0)
    drive.deliver("back", "set_control_mode", {"mode": "keyboard"})
    drive.run(3.0)
    drive.car.mode = DriveMode.EXTERNAL
    drive.run(3.0)

    assert drive.last("back").status == "SUCCEEDED"
    assert drive.service.state is State.RELEASED
    assert drive.car.speed_mps == 0.0


def test_a_link_dead_in_silence_ends_a_drive_command(drive: Drive) -> None:
    """Three seconds without an acknowledgement end the command as LINK_LOST."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 5, "duration_s": 60})
    drive.run(1.0)
    drive.carry_out(drive.service.on_unanswered(drive.mono_s, drive.mono_s))
    drive.run(2.9)
    assert drive.service.state is State.COMMAND
    drive.run(2.0)

    assert drive.last("go").reason == "LINK_LOST"
    assert drive.car.speed_mps == 0.0


# -- a disk that is full --------------------------------------------------------------------------


class FullDisk(Ledger):
    """A ledger whose file takes no more while `is_full` is set."""

    is_full = False

    def begin(self, *args: Any, **kwargs: Any) -> Begun:
        """Begin, or fail as a full disk does."""
        self._fail()
        return super().begin(*args, **kwargs)

    def finish(self, *args: Any, **kwargs: Any) -> None:
        """Finish, or fail as a full disk does."""
        self._fail()
        super().finish(*args, **kwargs)

    def _fail(self) -> None:
        if self.is_full:
            raise StorageError("database or disk is full", "make room")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[tuple[FullDisk, Drive]]:
    """A service on a ledger that can be filled up."""
    ledger = FullDisk(tmp_path / "full.sqlite")
    yield ledger, Drive(CommandService(ledger, Dialect()), Car())
    ledger.close()


def test_an_outcome_that_could_not_be_written_is_kept_and_written_later(
    full: tuple[FullDisk, Drive],
) -> None:
    """Redeliveries hear it while the disk is full, and a restart after that agrees."""
    ledger, drive = full
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 2})
    ledger.is_full = True
    drive.run(5.0)
    drive.deliver("go", "drive", {"target_speed_mps": 2})
    told = drive.last("go")
    ledger.is_full = False
    drive.run(10.0)
    ledger._db.close()

    reopened = Ledger(ledger._path)

    assert told.status == "SUCCEEDED"
    assert drive.statuses("go")[-2:] == ["SUCCEEDED", "SUCCEEDED"]
    assert reopened.interrupted == []
    reopened.close()


def test_a_refusal_for_want_of_room_is_final(full: tuple[FullDisk, Drive]) -> None:
    """The same request is not executed when the disk has room again."""
    ledger, drive = full
    drive.engage()
    ledger.is_full = True
    drive.deliver("go", "drive", {"target_speed_mps": 2})
    ledger.is_full = False
    drive.deliver("go", "drive", {"target_speed_mps": 2})
    drive.run(5.0)
    drive.deliver("go", "drive", {"target_speed_mps": 2})

    assert [answer.reason for answer in drive.answers["go"]] == ["STORAGE_FAILED"] * 3
    assert drive.car.speed_mps == 0.0


def test_a_stop_that_could_not_be_written_acts_once(full: tuple[FullDisk, Drive]) -> None:
    """Redelivered after its end, with or without room, it gets its outcome and brakes nobody."""
    ledger, drive = full
    drive.engage()
    ledger.is_full = True
    drive.deliver("halt", "stop")
    drive.run(3.0)
    drive.deliver("halt", "stop")
    ledger.is_full = False
    drive.run(10.0)
    drive.deliver("halt", "stop")

    assert drive.service.counters.started["stop"] == 1
    assert [answer.status for answer in drive.answers["halt"][-3:]] == ["SUCCEEDED"] * 3


def test_the_memory_for_a_full_disk_is_bounded(full: tuple[FullDisk, Drive]) -> None:
    """Beyond its bound the oldest refusal goes, an unwritten outcome stays."""
    ledger, drive = full
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 2})
    ledger.is_full = True
    drive.run(5.0)
    for number in range(MAX_UNWRITTEN + 10):
        drive.deliver(f"x-{number}", "lamps", {"hazard": True})
    assert len(drive.service._backlog) == MAX_UNWRITTEN

    drive.deliver("go", "drive", {"target_speed_mps": 2})

    assert drive.last("go").status == "SUCCEEDED"


def test_junk_does_not_fill_the_ledger(tmp_path: Path) -> None:
    """What is wrong for ever is answered and not kept."""
    ledger = Ledger(tmp_path / "ledger.sqlite", Retention(max_rows=3, keep_newest=0))
    drive = Drive(CommandService(ledger, Dialect()), Car())
    drive.link(up=True)
    for number in range(50):
        drive.deliver_bytes(f"junk-{number}", b"{")
        drive.deliver(f"odd-{number}", "fly")
        drive.deliver(f"early-{number}", "drive", {"target_speed_mps": 1})
    drive.deliver("lamp", "lamps", {"hazard": True})
    drive.run(1.0)

    assert ledger.look_up(ExecutionKey("aws", "junk-0"), b"") is None
    assert drive.last("early-49").reason == "MODE_CONFLICT"
    assert drive.last("lamp").status == "SUCCEEDED"
    ledger.close()


# -- stops --------------------------------------------------------------------------------------


def test_an_emergency_stop_does_not_wait_for_the_disk(drive: Drive, ledger: Ledger) -> None:
    """The brake is the first effect; the record follows with the next call."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 10})
    drive.run(3.0)

    effects = drive.service.on_request(
        "halt",
        b'{"command":"emergency_stop"}',
        message_expiry_s=None,
        now_s=drive.now_s,
        mono_s=drive.mono_s,
    )

    assert ledger.look_up(ExecutionKey("aws", "halt"), b"") is None
    assert isinstance(effects[0], Send)
    message = effects[0].output.message
    assert isinstance(message, EgoControl)
    assert longitudinal(message) == FULL_BRAKE
    assert message.control_mode == CommandMode.EXTERNAL
    drive.carry_out(effects)
    assert drive.service.next_deadline_s == -math.inf
    drive.run(3.0)
    assert (drive.last("go").status, drive.last("go").reason) == ("FAILED", "SUPERSEDED")
    assert drive.last("halt").result == {"latched": True}
    assert ledger.look_up(ExecutionKey("aws", "halt"), b"") is not None


def test_a_stop_delivered_twice_before_it_is_written_acts_once(drive: Drive) -> None:
    """The second copy of a stop that is not on disk yet starts nothing."""
    drive.engage()
    for _ in range(2):
        drive.carry_out(
            drive.service.on_request(
                "halt",
                b'{"command":"emergency_stop"}',
                message_expiry_s=None,
                now_s=drive.now_s,
                mono_s=drive.mono_s,
            )
        )
    drive.run(1.0)

    assert drive.service.counters.started["emergency_stop"] == 1
    assert drive.statuses("halt") == ["IN_PROGRESS", "SUCCEEDED"]


def test_a_stop_works_when_the_disk_does_not(drive: Drive, ledger: Ledger) -> None:
    """With a broken ledger nothing starts but stops, and the sender of the rest is told."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 10})
    drive.run(3.0)
    ledger._db.close()

    drive.deliver("more", "drive", {"target_speed_mps": 20})
    drive.deliver("halt", "emergency_stop")
    drive.run(3.0)

    assert drive.last("more").reason == "STORAGE_FAILED"
    assert drive.last("halt").status == "SUCCEEDED"
    assert drive.car.speed_mps == 0.0
    assert drive.service.counters.storage_failures > 0


def test_a_full_ledger_refuses_and_does_not_forget(tmp_path: Path) -> None:
    """When no id may be forgotten a new command is refused as STORAGE_FAILED."""
    ledger = Ledger(tmp_path / "ledger.sqlite", Retention(max_rows=1, keep_newest=0))
    drive = Drive(CommandService(ledger, Dialect()), Car())
    drive.link(up=True)
    drive.deliver("one", "load_scenario", {"name": "a"})

    drive.deliver("two", "load_scenario", {"name": "b"})

    assert drive.last("two").reason == "STORAGE_FAILED"
    assert len(drive.sent) == 1
    ledger.close()


def test_a_stop_overtakes_what_has_not_started(drive: Drive) -> None:
    """A drive that waits when a stop arrives is never started."""
    drive.engage()
    for name, payload in (
        ("go", b'{"command":"drive","parameters":{"target_speed_mps":5}}'),
        ("halt", b'{"command":"stop"}'),
    ):
        drive.carry_out(
            drive.service.on_request(
                name, payload, message_expiry_s=None, now_s=drive.now_s, mono_s=drive.mono_s
            )
        )
    drive.run(2.0)

    assert (drive.last("go").status, drive.last("go").reason) == ("REJECTED", "SUPERSEDED")
    assert drive.last("halt").status == "SUCCEEDED"
    assert drive.car.speed_mps == 0.0


def test_the_latch_refuses_everything_but_resume(drive: Drive) -> None:
    """After an emergency stop driving is refused until resume, then works again."""
    drive.engage()
    drive.deliver("halt", "emergency_stop")
    drive.run(1.0)
    drive.deliver("go-1", "drive", {"target_speed_mps": 2})
    drive.deliver("on", "resume")
    drive.run(1.0)
    drive.deliver("go-2", "drive", {"target_speed_mps": 2})
    drive.run(3.0)

    assert drive.last("go-1").reason == "EMERGENCY_LATCHED"
    assert drive.last("on").result == {"control_mode": "external"}
    assert drive.last("go-2").status == "SUCCEEDED"


def test_a_newer_drive_replaces_the_older(drive: Drive) -> None:
    """The first drive ends as SUPERSEDED, the second goes on."""
    drive.engage()
    drive.deliver("go-1", "drive", {"target_speed_mps": 30})
    drive.run(1.0)
    drive.deliver("go-2", "drive", {"target_speed_mps": 3})
    drive.run(3.0)

    assert (drive.last("go-1").status, drive.last("go-1").reason) == ("FAILED", "SUPERSEDED")
    assert drive.last("go-2").status == "SUCCEEDED"


# -- the drive stream and the dead-man ----------------------------------------------------------


def test_the_drive_stream_moves_the_car_and_its_silence_stops_it(drive: Drive) -> None:
    """Set points at 20 Hz drive; when they cease the car brakes to a standstill."""
    drive.engage()
    for seq in range(60):
        drive.set_point(seq=seq, speed_mps=5.0, steer_rad=0.05)
        drive.run(0.06)
    speed_mps = drive.car.speed_mps
    stops = _stops(drive)
    drive.run(3.0)

    assert speed_mps == pytest.approx(3.6, abs=0.2)
    assert drive.car.speed_mps == 0.0
    assert _stops(drive) - stops >= 5
    assert drive.service.state is State.HOLDING
    assert drive.service.counters.set_points == 60


def test_a_set_point_reaches_the_wire_within_the_same_call(drive: Drive) -> None:
    """Latest wins: the datagram for a set point does not wait for the control period."""
    drive.engage()

    effects = drive.service.on_set_point(b'{"seq":1,"speed_mps":2}', drive.mono_s)

    assert len(effects) == 1
    assert isinstance(effects[0], Send)
    message = effects[0].output.message
    assert isinstance(message, EgoControl)
    assert message.velocity_kmh == pytest.approx(7.2)


def test_set_points_that_are_not_acted_on_are_counted_by_cause(drive: Drive) -> None:
    """Malformed, overtaken and refused set points each have their own count."""
    drive.link(up=True)
    drive.run(0.1)
    drive.set_point(seq=5, speed_mps=1)
    drive.set_point(seq=4, speed_mps=1)
    drive.service.on_set_point(b"\xff", drive.mono_s)

    assert drive.service.counters.set_points_dropped == {
        "mode_conflict": 1,
        "overtaken": 1,
        "malformed": 1,
    }


def test_set_points_beyond_the_limits_are_clamped(ledger: Ledger) -> None:
    """The count of clamped set points is visible."""
    drive = _with(ledger, limits=Limits(max_speed_mps=3.0))
    drive.engage()
    drive.set_point(seq=0, speed_mps=50.0)

    assert drive.service.counters.set_points_clamped == 1


@pytest.mark.parametrize("what", ["link", "simulator"])
def test_a_drive_command_ends_when_nobody_watches(drive: Drive, what: str) -> None:
    """Losing broker or simulator stops the car and ends the command with the cause."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30})
    drive.run(2.0)
    if what == "link":
        drive.link(up=False)
    drive.run(3.0, simulator=what == "link")
    drive.link(up=True)
    drive.run(1.0)

    reason = "LINK_LOST" if what == "link" else "SIMULATOR_SILENT"
    assert (drive.last("go").status, drive.last("go").reason) == ("FAILED", reason)
    assert drive.car.speed_mps == 0.0


def test_a_person_who_takes_over_ends_the_command(drive: Drive) -> None:
    """The sender hears HUMAN_TAKEOVER and the agent sends nothing more."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30})
    drive.run(2.0)
    drive.car.mode = DriveMode.KEYBOARD
    drive.run(0.1)
    count = len(drive.sent)
    drive.run(2.0)

    assert (drive.last("go").status, drive.last("go").reason) == ("FAILED", "HUMAN_TAKEOVER")
    assert len(drive.sent) == count


def test_answers_wait_for_the_link(drive: Drive) -> None:
    """An outcome reached while the link is down is sent once when it is up again."""
    drive.engage()
    drive.deliver("halt", "emergency_stop")
    drive.link(up=False)
    drive.run(2.0)
    assert drive.last("halt").status == "IN_PROGRESS"

    drive.link(up=True)
    drive.link(up=True)

    assert drive.statuses("halt")[-2:] == ["IN_PROGRESS", "SUCCEEDED"]


def test_an_answer_that_was_sent_is_not_sent_again(drive: Drive) -> None:
    """A reconnection repeats only what never left."""
    drive.engage()

    drive.link(up=False)
    drive.link(up=True)

    assert drive.statuses("engage") == ["IN_PROGRESS", "SUCCEEDED"]


# -- lamps and scenarios ------------------------------------------------------------------------


def test_lamps_are_sent_three_times_and_remember_each_other(drive: Drive) -> None:
    """Three equal datagrams a command; what a command leaves out stays as it was."""
    drive.link(up=True)
    drive.deliver("left", "lamps", {"turn_signal": "left"})
    drive.run(1.0)
    drive.deliver("hazard", "lamps", {"hazard": True})
    drive.run(1.0)

    assert [output.channel for output in drive.sent] == [LAMPS] * 6
    assert [output.message for output in drive.sent] == [
        LampControl(turn_signal=1, emergency=False)
    ] * 3 + [LampControl(turn_signal=1, emergency=True)] * 3
    assert drive.last("hazard").result == {"datagrams_sent": "3"}


def test_a_newer_lamp_command_replaces_the_older(drive: Drive) -> None:
    """The older one stops repeating and ends as SUPERSEDED."""
    drive.link(up=True)
    drive.deliver("left", "lamps", {"turn_signal": "left"})
    drive.deliver("right", "lamps", {"turn_signal": "right"})
    drive.run(1.0)

    assert drive.last("left").reason == "SUPERSEDED"
    signals = [
        output.message.turn_signal
        for output in drive.sent
        if isinstance(output.message, LampControl)
    ]
    assert signals == [1, 2, 2, 2]


def test_a_scenario_is_not_loaded_under_a_driving_car(drive: Drive) -> None:
    """Loading is refused as MODE_CONFLICT while somebody drives."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30})

    drive.deliver("load", "load_scenario", {"name": "a"})

    assert drive.last("load").reason == "MODE_CONFLICT"
    assert all(output.channel != SCENARIO_LOAD for output in drive.sent)


# -- the end ------------------------------------------------------------------------------------


def test_shutdown_stops_the_car_and_ends_everything(drive: Drive, ledger: Ledger) -> None:
    """Executions end INTERRUPTED, five stops go out, and the car stands before it is closed."""
    drive.engage()
    drive.deliver("go", "drive", {"target_speed_mps": 30})
    drive.run(2.0)
    effects = drive.carry_out(drive.service.shutdown(drive.mono_s))
    drive.deliver("late", "drive", {"target_speed_mps": 3})
    drive.run(2.0)

    stops = [item.output.delay_s for item in effects if isinstance(item, Send)]
    assert stops == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert (drive.last("go").status, drive.last("go").reason) == ("FAILED", "INTERRUPTED")
    assert drive.last("late").reason == "SHUTTING_DOWN"
    assert drive.car.speed_mps == 0.0
    assert drive.service.is_closed
    assert drive.service.next_deadline_s == math.inf
    ledger.close()


def test_shutdown_of_an_idle_agent_sends_nothing(drive: Drive) -> None:
    """An agent that controls no car ends silently."""
    drive.link(up=True)

    assert drive.service.shutdown(drive.mono_s) == []
    assert drive.service.is_closed


def test_the_deadline_is_when_something_happens(drive: Drive) -> None:
    """Calling poll at the deadlines alone keeps the dead-man's promise to the millisecond."""
    drive.engage()
    drive.set_point(seq=0, speed_mps=5.0)
    started_s = drive.mono_s
    braked_s = None
    for _ in range(100):
        drive.mono_s = drive.service.next_deadline_s
        effects = drive.carry_out(drive.service.poll(drive.mono_s))
        sent = [item.output.message for item in effects if isinstance(item, Send)]
        if any(isinstance(item, EgoControl) and not pushes(item) for item in sent):
            braked_s = drive.mono_s
            break

    assert braked_s is not None
    assert braked_s - started_s == pytest.approx(0.5, abs=1e-6)


def test_documents_are_valid_json_of_the_service(drive: Drive) -> None:
    """Every response decodes, names a known status and stays small."""
    drive.engage()
    drive.deliver("bad", "drive", {"x" * 3000: 1})
    effects = drive.service.on_request(
        "bad2", b"{" * 100, message_expiry_s=None, now_s=0.0, mono_s=drive.mono_s
    )

    documents = [item.document for item in effects if isinstance(item, Respond)]
    assert [decode_outcome(item).status for item in documents] == ["REJECTED"]
    assert all(len(item) < 2048 for item in documents)


def test_changes_of_control_are_there_for_the_log(drive: Drive) -> None:
    """Each change is handed out once with its cause."""
    drive.engage()

    taken = drive.service.take_transitions()

    assert [item.after for item in taken] == [State.ENGAGING, State.STOPPING, State.HOLDING]
    assert drive.service.take_transitions() == []
