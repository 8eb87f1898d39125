"""The dated tables of quotas and prices that are shipped with the product.

Owns the form of the data files in `simulator/forecast/data` and picks the newest one for a Region.
The only module of the room that reads files.
"""

from __future__ import annotations

import math
import tomllib
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal

import msgspec

from simulator.forecast.prices import Price, PriceList, Tier
from simulator.forecast.quotas import Quota, QuotaTable

DEFAULT: Final = "default"

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class QuotaEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[quota]]` of a quota file; see `simulator.forecast.quotas.Quota`.

    Attributes:
        exceptions: Region to another limit there.
    """

    id: _Name
    name: _Name
    limit: Annotated[float, msgspec.Meta(ge=0)]
    unit: _Name
    per: _Name
    adjustable: bool
    bound: Literal["most", "least"] = "most"
    exceptions: dict[str, float] = {}


class QuotaFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quota file.

    Attributes:
        regions: The Regions it is for; none for the default table.
    """

    format: Literal["morai-edge/quotas/1"]
    name: _Name
    date: date
    sources: list[str]
    regions: list[str]
    quota: list[QuotaEntry]

    def of_region(self, region: str) -> QuotaTable:
        """The quotas with the exceptions of a Region applied."""
        quotas = {
            entry.id: Quota(
                entry.id,
                entry.name,
                entry.exceptions.get(region, entry.limit),
                entry.unit,
                entry.per,
                entry.adjustable,
                entry.bound,
            )
            for entry in self.quota
        }
        return QuotaTable(self.name, region, self.date.isoformat(), tuple(self.sources), quotas)


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
def quota_files() -> dict[str, QuotaFile]:
    """The newest quota file of each name."""
    newest: dict[str, QuotaFile] = {}
    for text in _texts("quotas-"):
        file = msgspec.convert(tomllib.loads(text), QuotaFile)
        if file.name not in newest or newest[file.name].date < file.date:
            newest[file.name] = file
    return newest


@cache
def price_file() -> PriceFile:
    """The newest price file."""
    files = [msgspec.convert(tomllib.loads(text), PriceFile) for text in _texts("prices-")]
    return max(files, key=lambda file: file.date)


def quota_table(region: str) -> QuotaTable:
    """The quotas of a Region: of the table that names it, else the default one."""
    files = quota_files()
    for file in files.values():
        if region in file.regions:
            return file.of_region(region)
    return files[DEFAULT].of_region(region)


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
