"""Times and thresholds of the arbiter, with the ranges in which they keep the car safe.

Owns the settings' meaning, defaults and validation; knows nothing of how they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from certs.errors import ConfigurationError

# MORAI SIM polls its command ports about every 16.7 ms; more often is wasted.
MAX_CONTROL_RATE_HZ: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbiterSettings:
    """Times and thresholds of the arbiter.

    Attributes:
        control_rate_hz: How often a command is repeated, 1 to 60.
        dead_man_s: The car is stopped when no set point came for this long, at most 5.
        simulator_silent_s: The simulator counts as silent after this long without an ego status.
        mode_timeout_s: How long the car may take to report the mode asked for.
        release_timeout_s: How long the car may take to stop before it is handed over rolling.
        link_silent_s: The broker counts as lost to a drive command when it did not acknowledge a
            message for this long, at most 60. The drive stream has its own dead-man.
        min_stop_datagrams: Stop datagrams sent at least, however early the car stands; 1 or more.
        standstill_mps: At or below this speed the car stands.
        rolling_mps: Above this speed a car that should stand is stopped again; more than
            `standstill_mps`.
        assert_mode_every_packet: Send `EXTERNAL` in every driving packet instead of `KEEP`.

    Raises:
        ConfigurationError: A value is out of range.
    """

    control_rate_hz: float = 20.0
    dead_man_s: float = 0.5
    simulator_silent_s: float = 1.0
    mode_timeout_s: float = 5.0
    release_timeout_s: float = 30.0
    link_silent_s: float = 3.0
    min_stop_datagrams: int = 5
    standstill_mps: float = 0.1
    rolling_mps: float = 0.5
    assert_mode_every_packet: bool = False

    def __post_init__(self) -> None:
        in_range = {
            "control_rate_hz": 1 <= self.control_rate_hz <= MAX_CONTROL_RATE_HZ,
            "dead_man_s": 0 < self.dead_man_s <= 5,  # noqa: PLR2004 - longer is no dead-man
            "simulator_silent_s": 0 < self.simulator_silent_s < math.inf,
            "mode_timeout_s": 0 < self.mode_timeout_s < math.inf,
            "release_timeout_s": 0 < self.release_timeout_s < math.inf,
            "link_silent_s": 0 < self.link_silent_s <= 60,  # noqa: PLR2004 - keep-alive ends sooner
            "min_stop_datagrams": self.min_stop_datagrams >= 1,
            "standstill_mps": 0 < self.standstill_mps < math.inf,
            "rolling_mps": self.standstill_mps < self.rolling_mps < math.inf,
        }
        for name, good in in_range.items():
            if not good:
                raise ConfigurationError(
                    f"commands.{name} is {getattr(self, name)!r}, which is out of range",
                    "give a value in the range that ArbiterSettings documents",
                )
