"""The dated tables of prices that are shipped, beside those of quotas from `simulator.quotas`.

Owns the form of the price files in `simulator/forecast/data` and picks the newest one. The only
module of the room that reads files.
"""

from __future__ import annotations

import math
import tomllib
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import msgspec

from simulator.forecast.prices import Price, PriceList, Tier
from simulator.quotas.files import quota_files, quota_table

__all__ = ["PriceFile", "price_file", "price_list", "quota_files", "quota_table"]

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class TierEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of a price; without `up_to` it is the last."""

    usd_per_million: Annotated[float, msgspec.Meta(ge=0)]
    up_to: float | None = None


class PriceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An `[[item]]` of a price file.

    Attributes:
        metered_bytes: Size of the unit that messages or documents are metered in; 0 for time.
    """

    id: _Name
    name: _Name
    unit: _Name
    metered_bytes: Annotated[int, msgspec.Meta(ge=0)]
    tiers: Annotated[list[TierEntry], msgspec.Meta(min_length=1)]


class PriceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price file.

    Attributes:
        region: The Region whose prices stand in it.
        factors: Region to the factor on them that is known for it.
    """

    format: Literal["morai-edge/prices/1"]
    date: date
    currency: Literal["USD"]
    region: str
    sources: list[str]
    item: list[PriceEntry]
    factors: dict[str, float]

    def of_region(self, region: str) -> PriceList:
        """The prices of a Region; those of the file, with a note, when none are known for it."""
        factor = self.factors.get(region)
        note = ""
        if factor is None:
            note = f"no confirmed price for {region}: {self.region} prices used"
        times = 1.0 if factor is None else factor
        prices = {
            entry.id: Price(
                entry.id,
                entry.name,
                entry.unit,
                tuple(
                    Tier(
                        math.inf if tier.up_to is None else tier.up_to,
                        tier.usd_per_million * times,
                    )
                    for tier in entry.tiers
                ),
            )
            for entry in self.item
        }
        return PriceList(
            region,
            self.region if factor is None else region,
            times,
            self.date.isoformat(),
            tuple(self.sources),
            prices,
            note,
        )


@cache
def price_file() -> PriceFile:
    """The newest price file."""
    files = [msgspec.convert(tomllib.loads(text), PriceFile) for text in _texts("prices-")]
    return max(files, key=lambda file: file.date)


def price_list(region: str) -> PriceList:
    """The prices of a Region."""
    return price_file().of_region(region)


def _texts(prefix: str) -> list[str]:
    folder = resources.files("simulator.forecast") / "data"
    return [
        entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.startswith(prefix) and entry.name.endswith(".toml")
    ]
