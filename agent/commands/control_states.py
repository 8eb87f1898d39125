"""Who controls the car, as data: states, what can happen, and what follows.

Everything about transitions stands in the two tables of this module, and this module knows no
time, no wire and no command payload. `REQUESTS` says what a wish of the cloud does in each state:
a state to go to, or the reason to refuse. It is complete. `OBSERVATIONS` says what the agent's own
observations and timers do; what is missing there changes nothing.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, TypeAlias

from agent.commands.protocol import ReasonCode


class State(Enum):
    """Who controls the car and to what end."""

    RELEASED = auto()
    """The agent does not control the car and sends nothing."""

    ENGAGING = auto()
    """Asking for external control, with the brake on, until the car reports it."""

    HOLDING = auto()
    """In control; the car stands. Nothing is sent: the simulator keeps the last command."""

    COMMAND = auto()
    """A drive command moves the car."""

    STREAM = auto()
    """The drive stream moves the car."""

    STOPPING = auto()
    """The agent stops the car: its controller went silent or its time is over."""

    STOPPING_ON_COMMAND = auto()
    """A `stop` command stops the car; the drive stream cannot undo it."""

    EMERGENCY = auto()
    """Stopping or standing after an emergency stop; latched until `resume`."""

    EMERGENCY_YIELDED = auto()
    """A person took the car over during an emergency stop; still latched, nothing is sent."""

    YIELDED = auto()
    """A person took the car over; nothing is sent until `resume` or a new engagement."""

    RELEASING = auto()
    """Handing the car to the keyboard, with the brake on, until the car reports it."""

    CLOSING = auto()
    """The agent ends: stopping the car for the last time."""

    CLOSED = auto()
    """The agent ends; nothing is sent any more."""


class Wish(Enum):
    """What the cloud asks for."""

    ENGAGE = auto()
    RELEASE = auto()
    DRIVE = auto()
    SET_POINT = auto()
    STOP = auto()
    EMERGENCY_STOP = auto()
    RESUME = auto()
    """Resume where the agent was in control before, or a person has taken over."""

    RESUME_RELEASED = auto()
    """Resume after an emergency stop that had seized the car from the keyboard."""


class Observation(Enum):
    """What the agent notices by itself."""

    MODE_EXTERNAL = auto()
    """The car reports external control."""

    MODE_KEYBOARD = auto()
    """The car reports keyboard control."""

    MODE_LOST = auto()
    """The car reports another mode after it had reported external control."""

    MODE_TIMEOUT = auto()
    """The car did not report the mode asked for in time."""

    STANDSTILL = auto()
    """The car stands, and enough stop datagrams were sent."""

    ROLLING = auto()
    """The car moves although nobody moves it."""

    STREAM_SILENT = auto()
    """No set point within the dead-man time."""

    DURATION_OVER = auto()
    """The drive command has had the car for as long as it asked."""

    LINK_LOST = auto()
    """The connection to the broker is gone."""

    SIMULATOR_SILENT = auto()
    """No ego status for too long."""

    SHUTDOWN = auto()
    """The agent was told to end."""


Answer: TypeAlias = State | ReasonCode

_S = State
_BRAKE = State.STOPPING_ON_COMMAND
_ALARM = State.EMERGENCY
_CONFLICT = ReasonCode.MODE_CONFLICT
_LATCHED = ReasonCode.EMERGENCY_LATCHED
_HUMAN = ReasonCode.HUMAN_TAKEOVER
_CLOSING = ReasonCode.SHUTTING_DOWN


def _row(*answers: Answer) -> dict[Wish, Answer]:
    return dict(zip(Wish, answers, strict=True))


# fmt: off
REQUESTS: Final[dict[State, dict[Wish, Answer]]] = {
    # state             ENGAGE        RELEASE       DRIVE       SET_POINT
    #                   STOP          EMERGENCY     RESUME      RESUME_RELEASED
    _S.RELEASED: _row(  _S.ENGAGING,  _S.RELEASING, _CONFLICT,  _CONFLICT,
                        _CONFLICT,    _ALARM,       _S.RELEASED, _S.RELEASED),
    _S.ENGAGING: _row(  _S.ENGAGING,  _S.RELEASING, _CONFLICT,  _CONFLICT,
                        _S.ENGAGING,  _ALARM,       _S.ENGAGING, _S.ENGAGING),
    _S.HOLDING: _row(   _S.HOLDING,   _S.RELEASING, _S.COMMAND, _S.STREAM,
                        _BRAKE,       _ALARM,       _S.HOLDING, _S.HOLDING),
    _S.COMMAND: _row(   _S.COMMAND,   _S.RELEASING, _S.COMMAND, _S.STREAM,
                        _BRAKE,       _ALARM,       _S.COMMAND, _S.COMMAND),
    # Whoever holds the stick wins: a drive command has to wait until the stream is silent.
    _S.STREAM: _row(    _S.STREAM,    _S.RELEASING, _CONFLICT,  _S.STREAM,
                        _BRAKE,       _ALARM,       _S.STREAM,  _S.STREAM),
    _S.STOPPING: _row(  _S.STOPPING,  _S.RELEASING, _S.COMMAND, _S.STREAM,
                        _BRAKE,       _ALARM,       _S.STOPPING, _S.STOPPING),
    _BRAKE: _row(       _BRAKE,       _S.RELEASING, _S.COMMAND, _CONFLICT,
                        _BRAKE,       _ALARM,       _BRAKE,     _BRAKE),
    # The latch dominates: only `resume` leads out of it.
    _ALARM: _row(       _LATCHED,     _LATCHED,     _LATCHED,   _LATCHED,
                        _ALARM,       _ALARM,       _S.ENGAGING, _S.RELEASING),
    _S.EMERGENCY_YIELDED:
                  _row( _LATCHED,     _LATCHED,     _LATCHED,   _LATCHED,
                        _LATCHED,     _ALARM,       _S.RELEASED, _S.RELEASED),
    _S.YIELDED: _row(   _S.ENGAGING,  _S.RELEASING, _HUMAN,     _HUMAN,
                        _HUMAN,       _ALARM,       _S.ENGAGING, _S.ENGAGING),
    _S.RELEASING: _row( _S.ENGAGING,  _S.RELEASING, _CONFLICT,  _CONFLICT,
                        _CONFLICT,    _ALARM,       _S.RELEASING, _S.RELEASING),
    _S.CLOSING: dict.fromkeys(Wish, _CLOSING),
    _S.CLOSED: dict.fromkeys(Wish, _CLOSING),
}

_O = Observation
_CLOSES_BRAKING: Final = {_O.SHUTDOWN: _S.CLOSING}
_CLOSES_QUIETLY: Final = {_O.SHUTDOWN: _S.CLOSED}
_YIELDS: Final = {_O.MODE_LOST: _S.YIELDED, **_CLOSES_BRAKING}
_ALONE: Final = {_O.LINK_LOST: _S.STOPPING, _O.SIMULATOR_SILENT: _S.STOPPING, **_YIELDS}

OBSERVATIONS: Final[dict[State, dict[Observation, State]]] = {
    _S.RELEASED:            _CLOSES_QUIETLY,
    _S.ENGAGING:            {_O.MODE_EXTERNAL: _S.STOPPING, _O.MODE_TIMEOUT: _S.RELEASED,
                             **_CLOSES_BRAKING},
    _S.HOLDING:             {_O.ROLLING: _S.STOPPING, **_YIELDS},
    _S.COMMAND:             {_O.DURATION_OVER: _S.STOPPING, **_ALONE},
    _S.STREAM:              {_O.STREAM_SILENT: _S.STOPPING, **_ALONE},
    _S.STOPPING:            {_O.STANDSTILL: _S.HOLDING, **_YIELDS},
    _S.STOPPING_ON_COMMAND: {_O.STANDSTILL: _S.HOLDING, **_YIELDS},
    _S.EMERGENCY:           {_O.MODE_LOST: _S.EMERGENCY_YIELDED, **_CLOSES_BRAKING},
    _S.EMERGENCY_YIELDED:   _CLOSES_QUIETLY,
    _S.YIELDED:             _CLOSES_QUIETLY,
    _S.RELEASING:           {_O.MODE_KEYBOARD: _S.RELEASED, _O.MODE_TIMEOUT: _S.RELEASED,
                             **_CLOSES_QUIETLY},
    _S.CLOSING:             {_O.STANDSTILL: _S.CLOSED, _O.MODE_LOST: _S.CLOSED},
    _S.CLOSED:              {},
}
# fmt: on

DRIVING: Final = frozenset({State.COMMAND, State.STREAM})
"""States in which somebody outside moves the car."""

BRAKING: Final = frozenset(
    {State.STOPPING, State.STOPPING_ON_COMMAND, State.EMERGENCY, State.CLOSING}
)
"""States in which stop datagrams are sent until the car stands."""

CHANGING_MODE: Final = frozenset({State.ENGAGING, State.RELEASING})
"""States that wait for the car to report a control mode."""

LATCHED: Final = frozenset({State.EMERGENCY, State.EMERGENCY_YIELDED})
"""States that only `resume` leaves."""

IN_CONTROL: Final = frozenset({State.HOLDING, State.STOPPING, State.STOPPING_ON_COMMAND} | DRIVING)
"""States in which the car has confirmed external control and the agent uses it."""
