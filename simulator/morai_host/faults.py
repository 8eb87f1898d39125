"""Faults of the simulator and of the network between, on request.

Owns what goes wrong and when. It must not know what the datagrams mean. All chance comes from one
seeded generator, so the same seed, plan and calls give the same faults. A plan can be replaced at
any time.

    loss             a datagram never arrives
    burst            for a while datagrams are held back, then all arrive together
    duplicate_stamp  a message repeats the previous time stamp (observed on real builds in about
                     one ego status in seven)
    stall            the simulator freezes and sends nothing, as it does when rendering stalls
    blank            position, vel_y, vel_z and acceleration of the ego are zero, as on competition
                     builds
    gps_blackout     GPS sends 0, 0 with status A, as in the simulator's blackout zones
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

T = TypeVar("T")

MAX_HELD = 4096
"""Datagrams a burst may hold back; beyond it the oldest are dropped and counted as `overflow`."""

_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """What goes wrong, with which probability.

    Attributes:
        loss: Probability that a datagram is lost.
        burst: Probability a tick that a burst begins.
        burst_s: How long a burst holds datagrams back.
        duplicate_stamp: Probability that a message repeats the previous stamp of its channel.
        stall: Probability a tick that the simulator stalls.
        stall_s: How long it stalls.
        blank: Send the ego status as competition builds do.
        gps_blackout: Send GPS without a place.
    """

    loss: float = 0.0
    burst: float = 0.0
    burst_s: float = 0.2
    duplicate_stamp: float = 0.0
    stall: float = 0.0
    stall_s: float = 1.0
    blank: bool = False
    gps_blackout: bool = False

    def __post_init__(self) -> None:
        for name in ("loss", "burst", "duplicate_stamp", "stall"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigurationError(
                    f"fault {name} is a probability from 0 to 1, not {getattr(self, name)}"
                )
        for name in ("burst_s", "stall_s"):
            if not 0.0 < getattr(self, name) <= _LIMIT_S:
                raise ConfigurationError(
                    f"fault {name} is a time above 0 and at most {_LIMIT_S:.0f} s,"
                    f" not {getattr(self, name)}"
                )

    @classmethod
    def parse(cls, items: Iterable[str]) -> FaultPlan:
        """Read a plan from texts such as `loss=0.05`, `stall_s=2` and `blank`.

        Raises:
            ConfigurationError: An unknown fault or a value out of range.
        """
        values: dict[str, Any] = {}
        for item in items:
            name, _, text = item.strip().replace("-", "_").partition("=")
            default = getattr(cls(), name, None) if name in cls.__slots__ else None
            if default is None:
                raise ConfigurationError(
                    f"there is no fault {name!r}", f"choose among {', '.join(cls.__slots__)}"
                )
            if isinstance(default, bool):
                values[name] = _switch(name, text)
            else:
                values[name] = _number(text)
        return cls(**values)


def _switch(name: str, text: str) -> bool:
    if text.lower() not in {"", "on", "off"}:
        raise ConfigurationError(f"fault {name} is on or off, not {text!r}")
    return text.lower() != "off"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # outside every range, so the plan refuses it by name


@dataclass(slots=True)
class FaultInjector:
    """Applies a plan.

    Attributes:
        plan: What goes wrong; may be replaced at any time.
        random: The seeded source of chance.
        counts: What was done, by fault.
    """

    plan: FaultPlan
    random: random.Random
    counts: dict[str, int] = field(default_factory=dict)
    _stalled_until_s: float = -math.inf
    _holding_until_s: float | None = None
    _last_stamp_s: dict[str, float] = field(default_factory=dict)

    def stalled(self, now_s: float) -> bool:
        """Say whether the simulator is frozen now; ask once a tick."""
        if now_s < self._stalled_until_s:
            return True
        if self._happens(self.plan.stall):
            self._count("stall")
            self._stalled_until_s = now_s + self.plan.stall_s
            return True
        return False

    def stamp(self, channel: str, stamp_s: float) -> float:
        """The stamp that a message of this channel carries instead of the right one."""
        last_s = self._last_stamp_s.get(channel)
        if last_s is not None and self._happens(self.plan.duplicate_stamp):
            self._count("duplicate_stamp")
            return last_s
        self._last_stamp_s[channel] = stamp_s
        return stamp_s

    def transmit(self, now_s: float, held: list[T], fresh: list[T]) -> list[T]:
        """Decide what leaves now.

        Args:
            now_s: The time.
            held: What earlier calls held back, oldest first; changed in place.
            fresh: What the simulator sends now.

        Returns:
            What really leaves, in order.
        """
        plan = self.plan
        survivors = fresh
        if plan.loss > 0.0:
            survivors = [item for item in fresh if not self._happens(plan.loss)]
            self._count("loss", len(fresh) - len(survivors))
        if self._holding_until_s is None and self._happens(plan.burst):
            self._count("burst")
            self._holding_until_s = now_s + plan.burst_s
        if self._holding_until_s is None:
            return survivors
        held.extend(survivors)
        if now_s < self._holding_until_s:
            excess = len(held) - MAX_HELD
            if excess > 0:
                del held[:excess]
                self._count("overflow", excess)
            return []
        self._holding_until_s = None
        flushed = held.copy()
        held.clear()
        return flushed

    def _happens(self, probability: float) -> bool:
        return probability > 0.0 and self.random.random() < probability

    def _count(self, fault: str, number: int = 1) -> None:
        if number:
            self.counts[fault] = self.counts.get(fault, 0) + number
