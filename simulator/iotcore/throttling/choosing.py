"""From the name of a quota table to what a broker is made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.iotcore.broker.counters import Effect
from simulator.iotcore.throttling.account import AccountQuotas, Mode
from simulator.iotcore.throttling.bounds import limits_in
from simulator.quotas.files import DEFAULT, LOW, named_table, own_table

if TYPE_CHECKING:
    from simulator.iotcore.broker.limits import Limits
    from simulator.quotas.table import QuotaTable

OFF: Final = "off"


@dataclass(frozen=True, slots=True)
class Choice:
    """Quotas of a broker; every member is None when they are off.

    Attributes:
        table: The limits, for showing them.
        quotas: Rates and counts of the account.
        limits: Sizes and counts of a client.
    """

    table: QuotaTable | None = None
    quotas: AccountQuotas | None = None
    limits: Limits | None = None


def choose(
    name: str,
    region: str,
    mode: Mode = Mode.ENFORCE,
    publish_effect: Effect = Effect.DISCARD,
) -> Choice:
    """The quotas of a name.

    Args:
        name: `default`, `low`, `off`, or the path of a quota file.
        region: Whose exceptions apply.
        mode: Whether what breaks a quota is refused or only counted. Sizes and counts of a client
            are enforced in every mode, as they are with `off`: they are limits of the protocol.
        publish_effect: What becomes of an inbound publish above a rate.

    Raises:
        ConfigurationError: A quota file cannot be read or has an error.
    """
    if name == OFF:
        return Choice()
    is_shipped = name in {DEFAULT, LOW}
    table = named_table(name, region) if is_shipped else own_table(Path(name), region)
    quotas = AccountQuotas(table, mode, publish_effect=publish_effect)
    return Choice(table, quotas, limits_in(table))
