from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.motion import Motion, Pedals, TargetAcceleration, TargetSpeed
from agent.commands.protocol import ReasonCode
from agent.commands.requests import (
    COMMANDS,
    Command,
    Drive,
    EmergencyStop,
    Lamps,
    LoadScenario,
    PedalPair,
    Refusal,
    Request,
    Resume,
    SetControlMode,
    Stop,
    parse_request,
)

NOW_S = 1_767_225_600.0


def _parse(document: Any, message_expiry_s: float | None = None) -> Request | Refusal:
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_request(payload, message_expiry_s=message_expiry_s, now_s=NOW_S)


def _reason(document: Any, message_expiry_s: float | None = None) -> str:
    answer = _parse(document, message_expiry_s)
    assert isinstance(answer, Refusal)
    return answer.reason.value


@pytest.mark.parametrize(
    ("document", "command"),
    [
        (
            {"command": "set_control_mode", "parameters": {"mode": "external"}},
            SetControlMode(mode="external"),
        ),
        (
            {"command": "drive", "parameters": {"target_speed_mps": 8, "steer_rad": 0.1}},
            Drive(target_speed_mps=8.0, steer_rad=0.1),
        ),
        (
            {"command": "drive", "parameters": {"acceleration_mps2": -2.5, "duration_s": 3}},
            Drive(acceleration_mps2=-2.5, duration_s=3.0),
        ),
        (
            {"command": "drive", "parameters": {"pedals": {"accel_pedal": 0.3}}},
            Drive(pedals=PedalPair(accel_pedal=0.3)),
        ),
        ({"command": "stop"}, Stop()),
        (
            {"command": "stop", "parameters": {"deceleration_mps2": 2}},
            Stop(deceleration_mps2=2.0),
        ),
        ({"command": "emergency_stop", "parameters": {}}, EmergencyStop()),
        ({"command": "resume"}, Resume()),
        ({"command": "lamps", "parameters": {"turn_signal": "left"}}, Lamps(turn_signal="left")),
        ({"command": "lamps", "parameters": {"hazard": False}}, Lamps(hazard=False)),
        (
            {"command": "load_scenario", "parameters": {"name": "R_KR_PG_K-City 01.v2"}},
            LoadScenario(name="R_KR_PG_K-City 01.v2"),
        ),
    ],
)
def test_commands_parse(document: dict[str, Any], command: Command) -> None:
    """Every command of the contract is read into its own type, with defaults filled in."""
    assert _parse(document) == Request(command)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("set_control_mode", {}),
        ("set_control_mode", {"mode": "auto"}),
        ("set_control_mode", {"mode": 2}),
        ("set_control_mode", {"mode": "external", "extra": 1}),
        ("drive", {}),
        ("drive", {"steer_rad": 0.1}),
        ("drive", {"target_speed_mps": 3, "acceleration_mps2": 1}),
        ("drive", {"target_speed_mps": 3, "pedals": {}}),
        ("drive", {"target_speed_mps": -1}),
        ("drive", {"target_speed_mps": 151}),
        ("drive", {"target_speed_mps": "3"}),
        ("drive", {"target_speed_mps": True}),
        ("drive", {"target_speed_mps": None}),
        ("drive", {"target_speed_mps": 10**300}),
        ("drive", {"acceleration_mps2": 16}),
        ("drive", {"pedals": {"accel_pedal": 1.01}}),
        ("drive", {"pedals": {"brake_pedal": -0.01}}),
        ("drive", {"pedals": [0, 0]}),
        ("drive", {"target_speed_mps": 3, "steer_rad": 1.6}),
        ("drive", {"target_speed_mps": 3, "duration_s": 0}),
        ("drive", {"target_speed_mps": 3, "duration_s": 601}),
        ("stop", {"deceleration_mps2": 0}),
        ("stop", {"now": True}),
        ("emergency_stop", {"reason": "x"}),
        ("lamps", {}),
        ("lamps", {"turn_signal": "both"}),
        ("lamps", {"hazard": 1}),
        ("load_scenario", {}),
        ("load_scenario", {"name": ""}),
        ("load_scenario", {"name": "x" * 31}),
        ("load_scenario", {"name": "../etc/passwd"}),
        ("load_scenario", {"name": "a\\b"}),
        ("load_scenario", {"name": " a"}),
        ("load_scenario", {"name": "a "}),
        ("load_scenario", {"name": "a\n"}),
        ("load_scenario", {"name": "서울"}),
        ("load_scenario", {"name": "a", "pause": "yes"}),
    ],
)
def test_parameters_are_checked(name: str, parameters: dict[str, Any]) -> None:
    """Missing, unknown, mistyped and out-of-range parameters are refused as such."""
    assert _reason({"command": name, "parameters": parameters}) == "INVALID_PARAMETER"


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "1" * 400])
def test_numbers_that_are_not_finite_never_get_in(number: str) -> None:
    """NaN, infinities and overflowing numbers are refused wherever JSON lets them through."""
    payload = f'{{"command":"drive","parameters":{{"target_speed_mps":{number}}}}}'.encode()

    assert _reason(payload) in {"MALFORMED_JSON", "INVALID_PARAMETER"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"", "MALFORMED_JSON"),
        (b"\xff\xfe", "MALFORMED_JSON"),
        (b'{"command":"stop"', "MALFORMED_JSON"),
        (b"[" * 5000, "MALFORMED_JSON"),
        (b'"' + b"x" * 9000 + b'"', "TOO_LARGE"),
        (b" " * 8193, "TOO_LARGE"),
        ([], "INVALID_REQUEST"),
        (None, "INVALID_REQUEST"),
        ({}, "INVALID_REQUEST"),
        ({"command": 1}, "INVALID_REQUEST"),
        ({"command": "stop", "parameters": []}, "INVALID_REQUEST"),
        ({"command": "stop", "params": {}}, "INVALID_REQUEST"),
        ({"command": "stop", "timeout_s": -1}, "INVALID_REQUEST"),
        ({"command": "stop", "timeout_s": 43_201}, "INVALID_REQUEST"),
        ({"command": "stop", "issued_at": "2026-01-01"}, "INVALID_REQUEST"),
        ({"command": "fly"}, "UNKNOWN_COMMAND"),
        ({"command": "DRIVE"}, "UNKNOWN_COMMAND"),
    ],
)
def test_hostile_payloads_are_refused_with_their_reason(document: Any, expected: str) -> None:
    """Size, syntax, envelope and name are each refused under their own code."""
    assert _reason(document) == expected


@given(st.binary(max_size=400))
def test_parsing_is_total(payload: bytes) -> None:
    """Any bytes give a request or a refusal."""
    assert isinstance(_parse(payload), (Request, Refusal))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(
    st.sampled_from(sorted(COMMANDS)),
    st.dictionaries(
        st.sampled_from(["mode", "target_speed_mps", "steer_rad", "pedals", "name", "hazard", "x"]),
        json_values,
    ),
)
def test_any_parameters_give_a_checked_command_or_a_refusal(
    name: str, parameters: dict[str, Any]
) -> None:
    """No value of any JSON type gets past its range, and every number that does is finite."""
    answer = _parse({"command": name, "parameters": parameters})

    if isinstance(answer, Request) and isinstance(answer.command, Drive):
        assert -1.57 <= answer.command.steer_rad <= 1.57
        assert math.isfinite(answer.command.duration_s)


@pytest.mark.parametrize(
    ("extra", "message_expiry_s", "remaining_s"),
    [
        ({}, None, None),
        ({}, 10, 10.0),
        ({"timeout_s": 4}, None, 4.0),
        ({"issued_at": NOW_S - 3}, None, 7.0),
        ({"issued_at": NOW_S - 3, "timeout_s": 60}, None, 57.0),
        ({"issued_at": NOW_S - 3, "timeout_s": 60}, 20, 20.0),
        ({"issued_at": NOW_S - 55, "timeout_s": 60}, 20, 5.0),
        ({"issued_at": NOW_S + 4, "timeout_s": 60}, None, 64.0),
    ],
)
def test_the_earlier_expiry_counts(
    extra: dict[str, Any], message_expiry_s: float | None, remaining_s: float | None
) -> None:
    """Message expiry and issued_at + timeout_s give one remaining time; the default is 10 s."""
    answer = _parse({"command": "resume", **extra}, message_expiry_s)

    assert isinstance(answer, Request)
    assert answer.remaining_s == remaining_s


@pytest.mark.parametrize(
    ("extra", "message_expiry_s"),
    [
        ({}, 0),
        ({"issued_at": NOW_S - 10}, None),
        ({"issued_at": NOW_S - 60, "timeout_s": 60}, 100),
        ({"issued_at": 0}, None),
    ],
)
def test_expired_requests_are_refused(
    extra: dict[str, Any], message_expiry_s: float | None
) -> None:
    """A request whose time has run out is refused on arrival, also a stop."""
    assert _reason({"command": "resume", **extra}, message_expiry_s) == "EXPIRED"
    assert _reason({"command": "stop", **extra}, message_expiry_s) == "EXPIRED"


def test_a_request_from_the_future_shows_that_clocks_disagree() -> None:
    """Driving is refused when issued_at lies ahead of this clock; stopping is not."""
    ahead = {"issued_at": NOW_S + 6}

    assert _reason({"command": "resume", **ahead}) == "CLOCK_UNTRUSTED"
    assert _parse({"command": "emergency_stop", **ahead}) == Request(EmergencyStop(), 10.0)


def test_a_refusal_names_the_first_mistakes_only() -> None:
    """A sender with many mistakes gets three of them and a bounded text."""
    answer = _parse(
        {"command": "lamps", "parameters": {f"{index}{'k' * 500}": 1 for index in range(12)}}
    )

    assert isinstance(answer, Refusal)
    assert "and 9 more" in answer.description
    assert len(answer.description) < 600


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Drive(target_speed_mps=8.0, steer_rad=0.1), Motion(TargetSpeed(8.0), 0.1)),
        (Drive(acceleration_mps2=-2.0), Motion(TargetAcceleration(-2.0))),
        (Drive(pedals=PedalPair(brake_pedal=0.5)), Motion(Pedals(0.0, 0.5))),
    ],
)
def test_a_drive_command_is_one_motion(command: Drive, expected: Motion) -> None:
    """Each of the three ways to drive becomes the matching longitudinal wish."""
    assert command.motion() == expected


def test_reason_codes_fit_the_service() -> None:
    """Every reason code matches AWS's pattern and says its own name."""
    import re  # noqa: PLC0415 - only this test needs it

    assert all(re.fullmatch(r"[A-Z0-9_-]{1,64}", code.value) for code in ReasonCode)
    assert all(code.name == code.value for code in ReasonCode)
