"""The drive stream: set points that arrive many times a second, of which only the newest counts.

Owns the format of a set point, the rule which of two is newer, and the rule when one came too late.
It knows neither who may drive nor when silence becomes dangerous; it only says until when a set
point may be acted on. The parser is total: any bytes give a `SetPoint` or the name of a cause, and
every cause is counted.

A set point is one JSON object of at most 1 KiB:

    {"seq": 17, "speed_mps": 8.0, "steer_rad": 0.05, "t": 1767225600.25, "valid_for_s": 0.3}

`seq` grows with every message of one sender. A message whose `seq` is not above the last one was
overtaken on its way and is dropped. After a silence the sequence may start anew, because a sender
that was restarted counts from the beginning; if set points carry the sender's time `t`, one that is
not later than the last is still recognised as overtaken, until the silence has lasted so long that
no message can be under way any more.

`t` also shows delay, without synchronised clocks: the smallest difference between receipt and `t`
belongs to the message that travelled fastest, and one that exceeds it by more than its time of
validity was held up (TCP keeps what QoS 0 sent into a stalled connection) and is dropped as stale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import msgspec

from agent.commands.motion import (
    MAX_ACCELERATION_MPS2,
    MAX_SPEED_MPS,
    MAX_STEER_RAD,
    Longitudinal,
    Motion,
    Pedals,
    TargetAcceleration,
    TargetSpeed,
)

MAX_SET_POINT_BYTES: Final = 1024
MAX_SEQUENCE: Final = 2**53 - 1

TOO_LARGE: Final = "too_large"
MALFORMED: Final = "malformed"
OUT_OF_RANGE: Final = "out_of_range"
OVERTAKEN: Final = "overtaken"
STALE: Final = "stale"

# Later than any connection keeps a message: the sender's clock was set, or it has another one now.
_ANOTHER_CLOCK_S: Final = 600.0
# The fastest message counts for one to two of these, so that drifting clocks do no harm.
_MEMORY_S: Final = 30.0


class SetPoint(msgspec.Struct, frozen=True, gc=False):
    """One set point.

    Attributes:
        seq: The sender's count.
        motion: What the car shall do.
        sent_s: The sender's clock, or `None`. Compared with the same sender's other stamps only.
        valid_for_s: How long it may be acted on, or `None` for as long as the dead-man timer says.
    """

    seq: int
    motion: Motion
    sent_s: float | None = None
    valid_for_s: float | None = None


class _Wire(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    seq: int
    speed_mps: float | None = None
    acceleration_mps2: float | None = None
    accel_pedal: float | None = None
    brake_pedal: float | None = None
    steer_rad: float = 0.0
    t: float | None = None
    valid_for_s: float | None = None


_DECODER = msgspec.json.Decoder(_Wire)


def parse_set_point(payload: bytes) -> SetPoint | str:
    """Read one set point.

    Returns:
        The set point, or the cause to drop it: `too_large`, `malformed` (not this JSON object) or
        `out_of_range` (not finite, outside what any car could mean, or not exactly one of speed,
        acceleration and pedals).
    """
    if len(payload) > MAX_SET_POINT_BYTES:
        return TOO_LARGE
    try:
        wire = _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return MALFORMED
    longitudinal = _longitudinal(wire)
    if (
        longitudinal is None
        or not 0 <= wire.seq <= MAX_SEQUENCE
        or not abs(wire.steer_rad) <= MAX_STEER_RAD
        or not (wire.valid_for_s is None or 0 < wire.valid_for_s < math.inf)
        or not (wire.t is None or math.isfinite(wire.t))
    ):
        return OUT_OF_RANGE
    return SetPoint(wire.seq, Motion(longitudinal, wire.steer_rad), wire.t, wire.valid_for_s)


def _longitudinal(wire: _Wire) -> Longitudinal | None:
    pedals = wire.accel_pedal is not None or wire.brake_pedal is not None
    if (wire.speed_mps is not None) + (wire.acceleration_mps2 is not None) + pedals != 1:
        return None
    if wire.speed_mps is not None:
        wanted = wire.speed_mps
        return TargetSpeed(wanted) if 0 <= wanted <= MAX_SPEED_MPS else None
    if wire.acceleration_mps2 is not None:
        wanted = wire.acceleration_mps2
        return TargetAcceleration(wanted) if abs(wanted) <= MAX_ACCELERATION_MPS2 else None
    accel, brake = wire.accel_pedal or 0.0, wire.brake_pedal or 0.0
    return Pedals(accel, brake) if 0 <= accel <= 1 and 0 <= brake <= 1 else None


@dataclass(slots=True)
class _Lateness:
    """How late messages are, compared with the fastest of the last 30 to 60 s of the stream.

    The memory shrinks with each arrival after its time, not with time alone: after a stall of any
    length the first messages are still compared with those from before it.
    """

    _since_mono_s: float = -math.inf
    _fastest_s: float = math.inf
    _fastest_before_s: float = math.inf

    def restart(self) -> None:
        """Forget: from now on it is another clock."""
        self._since_mono_s = -math.inf
        self._fastest_s = self._fastest_before_s = math.inf

    def of(self, sent_s: float, mono_s: float) -> float:
        """Seconds by which a message came later than the fastest."""
        offset_s = mono_s - sent_s
        if offset_s - min(self._fastest_s, self._fastest_before_s) > _ANOTHER_CLOCK_S:
            self.restart()
        if mono_s - self._since_mono_s >= _MEMORY_S:
            self._fastest_before_s, self._fastest_s = self._fastest_s, offset_s
            self._since_mono_s = mono_s
        self._fastest_s = min(self._fastest_s, offset_s)
        return offset_s - min(self._fastest_s, self._fastest_before_s)


@dataclass(slots=True)
class DriveStream:
    """Keeps the order of set points and drops late ones.

    Invariant: between two silences, `seq` of accepted set points strictly grows.

    Attributes:
        restart_after_s: After this long without an accepted set point, `seq` may start anew.
        forget_after_s: After this long, whatever `t` says.
        stale_after_s: A set point that is later than the fastest by more than this, or by more than
            its own `valid_for_s`, is dropped.
        accepted: Set points accepted.
        dropped: Set points dropped, by cause.
    """

    restart_after_s: float = 0.5
    forget_after_s: float = 5.0
    stale_after_s: float = 0.5
    accepted: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    _last: SetPoint | None = None
    _last_mono_s: float = -math.inf
    _lateness: _Lateness = field(default_factory=_Lateness)

    def receive(self, payload: bytes, mono_s: float) -> SetPoint | None:
        """Take one message of the stream.

        Args:
            payload: Its body.
            mono_s: Monotonic time of receipt, seconds.

        Returns:
            The set point if it is the newest and not late, else `None`; the cause is counted.
        """
        found = parse_set_point(payload)
        if isinstance(found, str):
            self.drop(found)
            return None
        if self._last is not None and found.seq <= self._last.seq:
            if self._is_overtaken(found, self._last, mono_s):
                self.drop(OVERTAKEN)
                return None
            self._lateness.restart()
        if self._is_stale(found, mono_s):
            self.drop(STALE)
            return None
        self._last, self._last_mono_s = found, mono_s
        self.accepted += 1
        return found

    def drop(self, cause: str) -> None:
        """Count a set point that was not acted on, for a cause found here or elsewhere."""
        self.dropped[cause] = self.dropped.get(cause, 0) + 1

    def _is_overtaken(self, new: SetPoint, last: SetPoint, mono_s: float) -> bool:
        silence_s = mono_s - self._last_mono_s
        if silence_s < self.restart_after_s:
            return True
        if silence_s >= self.forget_after_s or new.sent_s is None or last.sent_s is None:
            return False
        return new.sent_s <= last.sent_s

    def _is_stale(self, new: SetPoint, mono_s: float) -> bool:
        if new.sent_s is None:
            return False
        limit_s = self.stale_after_s
        if new.valid_for_s is not None:
            limit_s = min(limit_s, new.valid_for_s)
        return self._lateness.of(new.sent_s, mono_s) > limit_s
