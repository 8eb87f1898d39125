"""What every operation on the account's resources works with: the registry, ARNs, tags, the date.

One value, so that a new kind of resource needs nothing else. Knows no kind of resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.iotcore.control.names import Names
    from simulator.iotcore.control.tags import Tags
    from simulator.iotcore.registry import Registry


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of one account.

    Attributes:
        registry: What is shown and changed.
        names: Makes and reads ARNs.
        tags: Keeps the tags.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
    """

    registry: Registry
    names: Names
    tags: Tags
    unix_s_at_zero: float

    def unix_s(self, now_s: float) -> float:
        """Unix time when the broker's clock shows `now_s`."""
        return self.unix_s_at_zero + now_s
