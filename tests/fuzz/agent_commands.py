"""Throws hostile JSON at everything that reads commands: requests, set points, answers.

The invariant: any bytes give a value inside its documented range or a named refusal. What is
accepted becomes a datagram that the codec writes; what is refused becomes an answer that the
sender can read.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from agent.commands.drive_stream import MAX_SEQUENCE, DriveStream
from agent.commands.motion import MAX_STEER_RAD
from agent.commands.outputs import ControlEncoder, scenario_load
from agent.commands.protocol import (
    MAX_RESPONSE_BYTES,
    ExecutionStatus,
    Outcome,
    ReasonCode,
    ResponseError,
    decode_outcome,
    encode_outcome,
)
from agent.commands.requests import Drive, LoadScenario, Refusal, parse_request
from agent.commands.safety import Limits
from agent.morai import DEFAULT_DIALECT, CommandMode, decode, encode
from tests.fuzz.hostile_json import hostile_documents

if TYPE_CHECKING:
    from agent.commands.motion import Motion

_NOW_S = 1_790_000_000.0
_STEP_S = 0.01
_LIMITS = Limits()
_ENCODER = ControlEncoder(DEFAULT_DIALECT)
_REQUESTS = [
    b'{"command":"set_control_mode","parameters":{"mode":"external"}}',
    b'{"command":"drive","parameters":{"target_speed_mps":8.0,"steer_rad":0.05,"duration_s":20}}',
    b'{"command":"drive","parameters":{"acceleration_mps2":1},"issued_at":1.79e9,"timeout_s":9}',
    b'{"command":"drive","parameters":{"pedals":{"accel_pedal":0.3,"brake_pedal":0.0}}}',
    b'{"command":"stop","parameters":{"deceleration_mps2":2.0}}',
    b'{"command":"emergency_stop"}',
    b'{"command":"resume","parameters":{},"timeout_s":0.5}',
    b'{"command":"lamps","parameters":{"turn_signal":"left","hazard":false}}',
    b'{"command":"load_scenario","parameters":{"name":"crossing 2","delete_all":true}}',
]
_SEQUENCE = b'"seq":17'
_SET_POINTS = [
    b'{"seq":17,"speed_mps":8.0,"steer_rad":0.05,"t":1790000000.25,"valid_for_s":0.3}',
    b'{"seq":17,"acceleration_mps2":-1.5,"steer_rad":-0.05}',
    b'{"seq":17,"accel_pedal":0.5,"brake_pedal":0.0,"steer_rad":0}',
]
_ANSWERS = [
    b'{"status":"REJECTED","statusReason":{"reasonCode":"EXPIRED","reasonDescription":"late"}}',
    b'{"status":"SUCCEEDED","result":{"speed":{"s":"8.0"},"held":{"b":true},"x":{"bin":"AA=="}}}',
]
_EXPIRIES_S = (None, None, 0.0, 0.5, 30.0)


def _check_request(data: bytes, message_expiry_s: float | None) -> None:
    request = parse_request(data, message_expiry_s=message_expiry_s, now_s=_NOW_S)
    if isinstance(request, Refusal):
        outcome = Outcome(ExecutionStatus.REJECTED, request.reason, request.description)
        answer = encode_outcome(outcome)
        assert len(answer) <= MAX_RESPONSE_BYTES
        assert decode_outcome(answer).reason is request.reason
        return
    assert request.remaining_s is None or 0 < request.remaining_s < math.inf
    if isinstance(request.command, Drive):
        _check_motion(request.command.motion())
    elif isinstance(request.command, LoadScenario):
        message = scenario_load(request.command).message
        assert decode(encode(message)) == message


def _check_motion(motion: Motion) -> None:
    assert abs(motion.steer_rad) <= MAX_STEER_RAD
    inside, _ = _LIMITS.clamp(motion)
    assert _LIMITS.refusal(inside) is None
    for each in (motion, inside):
        output = _ENCODER.control(each.longitudinal, each.steer_rad, CommandMode.KEEP)
        decode(encode(output.message))


class _Stream:
    """A drive stream and what must hold for it."""

    def __init__(self) -> None:
        self._stream = DriveStream()
        self._mono_s = 0.0
        self._last_seq = -1
        self._last_mono_s = -math.inf
        self._inputs = 0

    def check(self, data: bytes, pause_s: float) -> None:
        self._mono_s += pause_s
        self._inputs += 1
        stream = self._stream
        point = stream.receive(data, self._mono_s)
        assert stream.accepted + sum(stream.dropped.values()) == self._inputs
        if point is None:
            return
        assert 0 <= point.seq <= MAX_SEQUENCE
        silent_s = self._mono_s - self._last_mono_s
        assert point.seq > self._last_seq or silent_s >= stream.restart_after_s
        assert point.valid_for_s is None or 0 < point.valid_for_s < math.inf
        self._last_seq, self._last_mono_s = point.seq, self._mono_s
        _check_motion(point.motion)


def _check_answer(data: bytes) -> None:
    try:
        outcome = decode_outcome(data)
    except ResponseError:
        return
    assert outcome.reason is None or outcome.reason in ReasonCode
    if all(sign.isprintable() for sign in outcome.description):
        assert decode_outcome(encode_outcome(outcome)).result == outcome.result


def fuzz(inputs: int, seed: int) -> None:
    """Try hostile documents: six in ten are requests, three set points, one an answer.

    Args:
        inputs: How many.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the bytes.
    """
    rng = random.Random(seed)
    requests = hostile_documents(_REQUESTS, inputs, rng)
    set_points = hostile_documents(_SET_POINTS, inputs, rng)
    answers = hostile_documents(_ANSWERS, inputs, rng)
    stream = _Stream()
    data = b""
    for number in range(inputs):
        try:
            match number % 10:
                case 0:
                    data = next(answers)
                    _check_answer(data)
                case 1 | 2 | 3:
                    data = next(set_points).replace(_SEQUENCE, b'"seq":%d' % number)
                    stream.check(data, _STEP_S if rng.randrange(20) else 1.0)
                case _:
                    data = next(requests)
                    _check_request(data, rng.choice(_EXPIRIES_S))
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} on {data.hex()}") from error
