"""Who drives the car, and what the last obeyed command said.

Owns the rules by which control modes change and external commands are obeyed. It must not know
physics or bytes. The command's mode numbers and the status's mode numbers are different
enumerations (MORAI SIM: Drive manual 24.R2, UDP messages, Ego Ctrl Cmd and Ego Vehicle Status).

    command ctrl_mode  mode afterwards   the command's fields are
    0 keep             as before         obeyed if that mode is external
    1 keyboard         keyboard          not obeyed
    2 external         external          obeyed
    anything else      as before         not obeyed, counted

    key Q              keyboard -> built-in -> external -> keyboard

The last obeyed command stays in force for ever: the simulator has no watchdog. It also survives a
takeover, so a car that is handed back to external driving resumes what it was last told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agent.morai import CommandMode, Gear, StatusMode
from simulator.morai_host.longitudinal import RELEASED, Demand


class Obedience(StrEnum):
    """What became of an external command. The value is the name of a counter."""

    OBEYED = "obeyed"
    HANDED_TO_KEYBOARD = "handed_to_keyboard"
    NOT_EXTERNAL = "not_in_external_mode"
    UNKNOWN_MODE = "unknown_control_mode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a driver wants at one moment.

    Attributes:
        gear: Gear to select.
        demand: What to do along the axis.
        wheel_target_rad: Front road-wheel angle wanted, positive to the left.
    """

    gear: Gear = Gear.P
    demand: Demand = RELEASED
    wheel_target_rad: float = 0.0


_AFTER_COMMAND: dict[int, StatusMode | None] = {
    CommandMode.KEEP: None,
    CommandMode.KEYBOARD: StatusMode.KEYBOARD,
    CommandMode.EXTERNAL: StatusMode.EXTERNAL,
}
_AFTER_TAKEOVER = {
    StatusMode.KEYBOARD: StatusMode.BUILT_IN,
    StatusMode.BUILT_IN: StatusMode.EXTERNAL,
    StatusMode.EXTERNAL: StatusMode.KEYBOARD,
}


@dataclass(slots=True)
class Control:
    """Mode of one car and the commands of its possible drivers.

    Attributes:
        mode: Who drives now.
        external: The last obeyed external command.
        keyboard: What the keyboard says; its gear is the gear a person selected.
        built_in: What the built-in driver says.
    """

    mode: StatusMode = StatusMode.KEYBOARD
    external: Command = field(default_factory=Command)
    keyboard: Command = field(default_factory=Command)
    built_in: Command = field(default_factory=lambda: Command(gear=Gear.D))

    def receive(self, ctrl_mode: int, command: Command) -> Obedience:
        """Take an external command by the rules of the table above.

        Args:
            ctrl_mode: The mode number of the command as it came over the wire.
            command: The rest of it.
        """
        if ctrl_mode not in _AFTER_COMMAND:
            return Obedience.UNKNOWN_MODE
        after = _AFTER_COMMAND[ctrl_mode]
        if after is not None:
            self._enter(after)
        if after is StatusMode.KEYBOARD:
            return Obedience.HANDED_TO_KEYBOARD
        if self.mode is not StatusMode.EXTERNAL:
            return Obedience.NOT_EXTERNAL
        self.external = command
        return Obedience.OBEYED

    def take_over(self) -> StatusMode:
        """Press `Q`: hand the car to the next driver and return the new mode."""
        self._enter(_AFTER_TAKEOVER[self.mode])
        return self.mode

    @property
    def command(self) -> Command:
        """The command of whoever drives now."""
        if self.mode is StatusMode.EXTERNAL:
            return self.external
        return self.built_in if self.mode is StatusMode.BUILT_IN else self.keyboard

    def _enter(self, mode: StatusMode) -> None:
        if mode is StatusMode.KEYBOARD and self.mode is not StatusMode.KEYBOARD:
            # A person takes over with pedals up and hands straight, in the gear the car is in.
            self.keyboard = Command(gear=self.command.gear)
        self.mode = mode
