"""The quotas of the stand-in of a run: which are in force, and what they refused in words.

Owns the way from a scenario's target to what a broker is made with, and from the broker's counts to
what a report says of them. Knows nothing about processes or pipes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.iotcore.broker.counters import QUOTA_PREFIX
from simulator.iotcore.throttling.account import Mode
from simulator.iotcore.throttling.choosing import OFF, Choice, choose
from simulator.load.records import ClientRefusals, QuotaRefusals, TargetQuotas
from simulator.quotas.files import DEFAULT, named_table
from simulator.quotas.wording import refusals_text
from simulator.scenario.schema import REGION_OF_STAND_IN, StandInTarget

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simulator.quotas.table import Quota, QuotaTable
    from simulator.scenario.schema import Target

CLIENTS_SHOWN: Final = 5
"""Clients of a quota in each report of a run but the last."""


def named(part: StandInTarget, base: Path) -> str:
    """The name of the shipped table, the path of the quota file, or `off`.

    Args:
        part: The target.
        base: Folder of the scenario file, which the path of a quota file is relative to.
    """
    return part.quotas if part.quota_file is None else str(base / part.quota_file)


def in_force(name: str, mode: str) -> Choice:
    """The quotas of a name, for a broker.

    Raises:
        ConfigurationError: A quota file cannot be read, or has an error.
    """
    return choose(name, REGION_OF_STAND_IN, Mode(mode))


def table_of(target: Target, base: Path) -> QuotaTable | None:
    """The quotas of a scenario's target; None when it has none of its own.

    Raises:
        ConfigurationError: A quota file cannot be read, or has an error.
    """
    if not isinstance(target, StandInTarget):
        return None
    return in_force(named(target, base), target.quota_mode).table


def is_enforced(quota: Quota, mode: str) -> bool:
    """Whether the stand-in refuses what breaks a quota in this mode, and does not only count it."""
    return mode == Mode.ENFORCE or quota.is_of_protocol


class QuotaBooks:
    """What the quotas of one broker refused, in words.

    Args:
        name: Name of the table, path of the quota file, or `off`.
        mode: Whether quotas are enforced or only observed.
        choice: The quotas.
    """

    def __init__(self, name: str, mode: str, choice: Choice) -> None:
        self._name = name
        self._mode = mode
        # Sizes and counts of one client are limits of the protocol without any table.
        table = choice.table or named_table(DEFAULT, REGION_OF_STAND_IN)
        self._quotas = table.quotas

    def told(self, report: Mapping[str, dict[str, Any]], clients: int) -> TargetQuotas:
        """What was refused so far.

        Args:
            report: That of the broker (`Counters.quota_report`).
            clients: How many of those refused most often to name for each quota.
        """
        refused = {}
        for quota_id, entry in report.items():
            quota, number = self._quotas[quota_id], entry["refused"]
            enforced = is_enforced(quota, self._mode)
            text = refusals_text(quota, number, is_enforced=enforced)
            named_most = [
                ClientRefusals(each["client_id"], each["refused"], each["excess"])
                for each in entry["clients"][:clients]
            ]
            refused[quota_id] = QuotaRefusals(number, enforced, text, named_most)
        return TargetQuotas(self._name, "" if self._name == OFF else self._mode, refused)

    def really_refused(self, causes: Mapping[str, int]) -> dict[str, int]:
        """The causes without those that were only counted."""
        return {
            cause: total
            for cause, total in causes.items()
            if not cause.startswith(QUOTA_PREFIX)
            or is_enforced(self._quotas[cause.removeprefix(QUOTA_PREFIX)], self._mode)
        }
