"""The numbers of the protocol that have names.

Messages keep the number they carried as a plain `int`, so a number this module does not know
passes through unharmed. Comparing works without conversion because all of these are `IntEnum`s;
`meaning` turns a number into words for a table.

Sources: MORAI SIM: Drive user manual 24.R2, "UDP communication message"; MORAI_UDP_NetworkModule
branch 24.R2.0, `lib/define`; morai_msgs message comments.
"""

from __future__ import annotations

import enum


class Direction(enum.Enum):
    """Which way a datagram travels. Port pairs have exactly one direction."""

    FROM_SIMULATOR = "from_simulator"
    TO_SIMULATOR = "to_simulator"


class CommandMode(enum.IntEnum):
    """`control_mode` in a control command: who shall drive.

    Sending `EXTERNAL` in every command re-selects external driving each time and thereby cancels
    the takeover of a person at the simulator's keyboard; `KEEP` leaves the present mode alone.
    """

    KEEP = 0
    KEYBOARD = 1
    EXTERNAL = 2


class StatusMode(enum.IntEnum):
    """`control_mode` in an ego status: who drives now."""

    BUILT_IN = 0
    KEYBOARD = 1
    EXTERNAL = 2


class Gear(enum.IntEnum):
    """Gear selector, the same numbers in commands and in the status."""

    M = 0
    P = 1
    R = 2
    N = 3
    D = 4
    L = 5


class LongitudinalType(enum.IntEnum):
    """Which fields of a control command move the car; the others are ignored."""

    THROTTLE = 1
    VELOCITY = 2
    ACCELERATION = 3


class TurnSignal(enum.IntEnum):
    """Turn signal of the lamp control."""

    NONE = 0
    LEFT = 1
    RIGHT = 2


class ObjectType(enum.IntEnum):
    """What an object or a collision partner is. In collision data -1 means "no collision"."""

    EGO = -1
    PEDESTRIAN = 0
    VEHICLE = 1
    OBSTACLE = 2


class TrafficLightType(enum.IntEnum):
    """Which lamps a traffic light has."""

    RED_YELLOW_GREEN = 0
    RED_YELLOW_GREEN_LEFT = 1
    RED_YELLOW_GREEN_LEFT_GREEN = 2
    YELLOW_ONLY = 100


class TrafficLightState(enum.IntEnum):
    """What a traffic light shows: a bit field with one value for "nothing lit"."""

    UNLIT = -1
    RED = 1
    YELLOW = 4
    RED_YELLOW = 5
    GREEN = 16
    YELLOW_GREEN = 20
    LEFT = 32
    RED_LEFT = 33
    YELLOW_LEFT = 36
    GREEN_LEFT = 48


class EgoStatusVariant(enum.IntEnum):
    """Generations of the ego status. The datagram's size tells them apart.

    Sizes: 61, 123, 161, 181, 229 and 245 bytes.
    """

    E0 = 0
    """Before 2021-12. The meaning of its eight trailing floats is not public."""
    E1 = 1
    """2021-12, also the 22.R1 and 22.R2 manuals: no time stamp, no link id."""
    E2 = 2
    """2022: adds the link id."""
    E3 = 3
    """23.R1 to 24.R2 and the 25.S4 competition builds: adds time stamp and angular velocity."""
    E4 = 4
    """24.R2 extended: adds twelve tyre values."""
    E5 = 5
    """26.R1: adds the rear steering angle and three lane distances."""


class EgoControlVariant(enum.IntEnum):
    """Generations of the ego control command: 44, 55 and 59 bytes."""

    C0 = 0
    """2021 and older: pedals and steering only."""
    C1 = 1
    """22.R1 to 24.R2 and 25.S4."""
    C2 = 2
    """26.R1: adds rear steering."""


class ObjectInfoVariant(enum.IntEnum):
    """Generations of the object list: 1392, 1400, 2152 and 2160 bytes."""

    O0 = 0
    """2021-12 to 2022: no time stamp, no link ids."""
    O1 = 1
    """A deviating form of third-party senders: time stamp, no link ids."""
    O2 = 2
    """2022: link ids, no time stamp."""
    O3 = 3
    """23.R1 to 24.R2: time stamp and link ids."""


def meaning(kind: type[enum.IntEnum], number: int) -> str:
    """The name of a number in words, or an empty string when it has none."""
    try:
        name = kind(number).name
    except ValueError:
        return ""
    return name if len(name) == 1 else name.replace("_", " ").lower()
