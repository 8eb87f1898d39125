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

    STOPPING_TO_RELEASE = auto()
    """Stopping the car before it is handed over: what it is left with is a brake."""

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
    """Stop a car that nobody but the agent can be moving."""

    STOP_EXTERNAL = auto()
    """Stop a car that reports external control, or may be in it, whoever commands it."""

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

    RUNAWAY = auto()
    """The car moves in external control, and the last to move it was this agent or the one before.
    """

    RELEASE_TIMEOUT = auto()
    """The car that is to be handed over did not come to a standstill in time."""

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

    SHUTDOWN_EXTERNAL = auto()
    """The same while the car may be obeying a drive command of the agent that nobody took back."""


Answer: TypeAlias = State | ReasonCode

_S = State
_BRAKE = State.STOPPING_ON_COMMAND
_PARK = State.STOPPING_TO_RELEASE
_ALARM = State.EMERGENCY
_CONFLICT = ReasonCode.MODE_CONFLICT
_LATCHED = ReasonCode.EMERGENCY_LATCHED
_HUMAN = ReasonCode.HUMAN_TAKEOVER
_CLOSING = ReasonCode.SHUTTING_DOWN


def _row(*answers: Answer) -> dict[Wish, Answer]:
    return dict(zip(Wish, answers, strict=True))


# fmt: off
REQUESTS: Final[dict[State, dict[Wish, Answer]]] = {
    # state             ENGAGE        RELEASE       DRIVE         SET_POINT
    #                   STOP          STOP_EXTERNAL EMERGENCY     RESUME        RESUME_RELEASED
    _S.RELEASED: _row(  _S.ENGAGING,  _S.RELEASING, _CONFLICT,    _CONFLICT,
                        _CONFLICT,    _BRAKE,       _ALARM,       _S.RELEASED,  _S.RELEASED),
    _S.ENGAGING: _row(  _S.ENGAGING,  _S.RELEASING, _CONFLICT,    _CONFLICT,
                        _S.ENGAGING,  _S.ENGAGING,  _ALARM,       _S.ENGAGING,  _S.ENGAGING),
    _S.HOLDING: _row(   _S.HOLDING,   _PARK,        _S.COMMAND,   _S.STREAM,
                        _BRAKE,       _BRAKE,       _ALARM,       _S.HOLDING,   _S.HOLDING),
    _S.COMMAND: _row(   _S.COMMAND,   _PARK,        _S.COMMAND,   _S.STREAM,
                        _BRAKE,       _BRAKE,       _ALARM,       _S.COMMAND,   _S.COMMAND),
    # Whoever holds the stick wins: a drive command has to wait until the stream is silent.
    _S.STREAM: _row(    _S.STREAM,    _PARK,        _CONFLICT,    _S.STREAM,
                        _BRAKE,       _BRAKE,       _ALARM,       _S.STREAM,    _S.STREAM),
    _S.STOPPING: _row(  _S.STOPPING,  _PARK,        _S.COMMAND,   _S.STREAM,
                        _BRAKE,       _BRAKE,       _ALARM,       _S.STOPPING,  _S.STOPPING),
    _BRAKE: _row(       _BRAKE,       _PARK,        _S.COMMAND,   _CONFLICT,
                        _BRAKE,       _BRAKE,       _ALARM,       _BRAKE,       _BRAKE),
    # The latch dominates: only `resume` leads out of it.
    _ALARM: _row(       _LATCHED,     _LATCHED,     _LATCHED,     _LATCHED,
                        _ALARM,       _ALARM,       _ALARM,       _S.ENGAGING,  _PARK),
    _S.EMERGENCY_YIELDED:
                  _row( _LATCHED,     _LATCHED,     _LATCHED,     _LATCHED,
                        _LATCHED,     _ALARM,       _ALARM,       _S.RELEASED,  _S.RELEASED),
    _S.YIELDED: _row(   _S.ENGAGING,  _S.RELEASING, _HUMAN,       _HUMAN,
                        _HUMAN,       _BRAKE,       _ALARM,       _S.ENGAGING,  _S.ENGAGING),
    _PARK: _row(        _S.STOPPING,  _PARK,        _CONFLICT,    _CONFLICT,
                        _BRAKE,       _BRAKE,       _ALARM,       _PARK,        _PARK),
    _S.RELEASING: _row( _S.ENGAGING,  _S.RELEASING, _CONFLICT,    _CONFLICT,
                        _CONFLICT,    _BRAKE,       _ALARM,       _S.RELEASING, _S.RELEASING),
    _S.CLOSING: dict.fromkeys(Wish, _CLOSING),
    _S.CLOSED: dict.fromkeys(Wish, _CLOSING),
}

_O = Observation
_CLOSES_BRAKING: Final = {_O.SHUTDOWN: _S.CLOSING}
_CLOSES_QUIETLY: Final = {_O.SHUTDOWN: _S.CLOSED, _O.SHUTDOWN_EXTERNAL: _S.CLOSING}
_YIELDS: Final = {_O.MODE_LOST: _S.YIELDED, **_CLOSES_BRAKING}
_ALONE: Final = {_O.LINK_LOST: _S.STOPPING, _O.SIMULATOR_SILENT: _S.STOPPING, **_YIELDS}

OBSERVATIONS: Final[dict[State, dict[Observation, State]]] = {
    _S.RELEASED:            {_O.RUNAWAY: _S.STOPPING, **_CLOSES_QUIETLY},
    _S.ENGAGING:            {_O.MODE_EXTERNAL: _S.STOPPING, _O.MODE_TIMEOUT: _S.RELEASED,
                             **_CLOSES_BRAKING},
    _S.HOLDING:             {_O.ROLLING: _S.STOPPING, **_YIELDS},
    _S.COMMAND:             {_O.DURATION_OVER: _S.STOPPING, **_ALONE},
    _S.STREAM:              {_O.STREAM_SILENT: _S.STOPPING, **_ALONE},
    _S.STOPPING:            {_O.STANDSTILL: _S.HOLDING, **_YIELDS},
    _S.STOPPING_ON_COMMAND: {_O.STANDSTILL: _S.HOLDING, **_YIELDS},
    _S.EMERGENCY:           {_O.MODE_LOST: _S.EMERGENCY_YIELDED, **_CLOSES_BRAKING},
    # With external control the simulator takes up again what it was told last: to drive, maybe.
    _S.EMERGENCY_YIELDED:   {_O.MODE_EXTERNAL: _S.EMERGENCY, **_CLOSES_QUIETLY},
    _S.YIELDED:             {_O.MODE_EXTERNAL: _S.STOPPING, **_CLOSES_QUIETLY},
    _S.STOPPING_TO_RELEASE: {_O.STANDSTILL: _S.RELEASING, _O.MODE_LOST: _S.RELEASING,
                             _O.RELEASE_TIMEOUT: _S.RELEASING, **_CLOSES_BRAKING},
    _S.RELEASING:           {_O.MODE_KEYBOARD: _S.RELEASED, _O.MODE_TIMEOUT: _S.RELEASED,
                             **_CLOSES_QUIETLY},
    _S.CLOSING:             {_O.STANDSTILL: _S.CLOSED, _O.MODE_LOST: _S.CLOSED},
    _S.CLOSED:              {},
}
# fmt: on

DRIVING: Final = frozenset({State.COMMAND, State.STREAM})
"""States in which somebody outside moves the car."""

BRAKING: Final = frozenset(
    {
        State.STOPPING,
        State.STOPPING_ON_COMMAND,
        State.STOPPING_TO_RELEASE,
        State.EMERGENCY,
        State.CLOSING,
    }
)
"""States in which stop datagrams are sent until the car stands."""

CHANGING_MODE: Final = frozenset({State.ENGAGING, State.RELEASING})
"""States that wait for the car to report a control mode."""

LATCHED: Final = frozenset({State.EMERGENCY, State.EMERGENCY_YIELDED})
"""States that only `resume` leaves."""

IN_CONTROL: Final = frozenset({State.HOLDING, State.STOPPING, State.STOPPING_ON_COMMAND} | DRIVING)
"""States in which the car has confirmed external control and the agent uses it."""

HANDS_OFF: Final = frozenset({State.RELEASED, State.YIELDED, State.EMERGENCY_YIELDED, State.CLOSED})
"""States in which nothing is sent, because somebody else has the car."""

REFUSED_IN: Final = {
    State.RELEASED: "the agent does not control the car: send set_control_mode external first",
    State.ENGAGING: "external control is not confirmed yet",
    State.STREAM: "the drive stream has the car",
    State.STOPPING_ON_COMMAND: "the car is being stopped by a command",
    State.EMERGENCY: "an emergency stop is latched: send resume first",
    State.EMERGENCY_YIELDED: "an emergency stop is latched and a person has the car",
    State.YIELDED: "a person took the car over: send resume to take it back",
    State.STOPPING_TO_RELEASE: "the car is being handed to the keyboard",
    State.RELEASING: "the car is being handed to the keyboard",
    State.CLOSING: "the agent is shutting down",
    State.CLOSED: "the agent has shut down",
}
"""Why a wish is refused, in words, for every state that refuses one."""
