"""What the arbiter tells of itself: a change of state with its cause, and a wish it refuses.

Value types only, shared by whoever drives the arbiter and whoever judges what came of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from agent.commands.control_states import Observation, State, Wish

if TYPE_CHECKING:
    from agent.commands.protocol import ReasonCode

Cause: TypeAlias = Wish | Observation


class Transition(msgspec.Struct, frozen=True):
    """One change of state.

    Attributes:
        mono_s: When.
        before: State left.
        cause: What led out of it.
        after: State entered.
    """

    mono_s: float
    before: State
    cause: Cause
    after: State


@dataclass(frozen=True, slots=True)
class Denied:
    """A wish that the present state refuses.

    Attributes:
        reason: Stable code.
        description: The same for a person.
    """

    reason: ReasonCode
    description: str
