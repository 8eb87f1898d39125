"""The quota tables that are shipped, and a user's own file laid over one of them.

Owns the form of the data files in `simulator/quotas/data`, picks the newest one of each name, and
checks a user's file: every error names the file and the key. The only module of the room that reads
files.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import replace
from datetime import date
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from certs.errors import ConfigurationError
from simulator.quotas.table import Quota, QuotaTable

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT: Final = "default"
LOW: Final = "low"

_FILE_BYTES_MAX: Final = 1024 * 1024

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Limit = Annotated[float, msgspec.Meta(ge=0)]


class QuotaEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[quota]]` of a shipped file; see `simulator.quotas.table.Quota`.

    Attributes:
        exceptions: Region to another limit there.
    """

    id: _Name
    name: _Name
    limit: _Limit
    unit: _Name
    per: _Name
    adjustable: bool
    bound: Literal["most", "least"] = "most"
    exceptions: dict[str, _Limit] = {}


class QuotaFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A shipped file.

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


class OwnEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[quota]]` of a user's file: an id and its limit, and nothing that contradicts the table.

    The other keys may stand there, as in a copy of a shipped file. `unit` must be that of the
    table, since the limit would mean something else; the rest only describes.
    """

    id: _Name
    limit: _Limit
    name: _Name | None = None
    unit: _Name | None = None
    per: _Name | None = None
    adjustable: bool | None = None
    bound: Literal["most", "least"] | None = None
    exceptions: dict[str, _Limit] = {}


class OwnFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's file.

    Attributes:
        base: The shipped table whose limits hold where the file says nothing.
    """

    format: Literal["morai-edge/quotas/1"]
    base: Literal["default", "low"] = "default"
    name: _Name | None = None
    date: date | None = None
    sources: list[str] = []
    regions: list[str] = []
    quota: list[OwnEntry] = []


@cache
def quota_files() -> dict[str, QuotaFile]:
    """The newest shipped file of each name."""
    newest: dict[str, QuotaFile] = {}
    folder = resources.files("simulator.quotas") / "data"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith("quotas-") and entry.name.endswith(".toml"):
            document = tomllib.loads(entry.read_text(encoding="utf-8"))
            file = msgspec.convert(document, QuotaFile)
            if file.name not in newest or newest[file.name].date < file.date:
                newest[file.name] = file
    return newest


def quota_table(region: str) -> QuotaTable:
    """The quotas of a Region: of the table that names it, else the default one."""
    files = quota_files()
    for file in files.values():
        if region in file.regions:
            return file.of_region(region)
    return files[DEFAULT].of_region(region)


def named_table(name: str, region: str) -> QuotaTable:
    """A shipped table whatever the Region, with the exceptions of the Region if it has any.

    Raises:
        KeyError: There is no table of this name.
    """
    return quota_files()[name].of_region(region)


def own_table(path: Path, region: str) -> QuotaTable:
    """A user's file laid over the shipped table it is based on.

    Args:
        path: A TOML file; see `OwnFile`. `limit = inf` takes a limit away.
        region: Whose exceptions apply.

    Raises:
        ConfigurationError: It cannot be read, is no TOML, or a key of it is wrong.
    """
    file = _read(path)
    base = named_table(file.base, region)
    quotas = dict(base.quotas)
    given: set[str] = set()
    for number, entry in enumerate(file.quota):
        known = base.quotas.get(entry.id)
        key = f"{path}: quota[{number}]"
        if known is None:
            near = difflib.get_close_matches(entry.id, base.quotas, n=3)
            raise ConfigurationError(
                f"{key}.id: there is no quota {entry.id!r}",
                f"did you mean {' or '.join(near)}?" if near else _all_ids(base),
            )
        if entry.id in given:
            raise ConfigurationError(
                f"{key}.id: {entry.id!r} is given twice", "keep one of the two"
            )
        if entry.unit not in {None, known.unit}:
            raise ConfigurationError(
                f"{key}.unit: {entry.id} is counted in {known.unit!r}, not in {entry.unit!r}",
                f"give the limit in {known.unit} and leave unit away",
            )
        limit = entry.exceptions.get(region, entry.limit)
        if math.isnan(limit):
            raise ConfigurationError(f"{key}.limit: nan is no limit", "give a number, or inf")
        given.add(entry.id)
        quotas[entry.id] = replace(known, limit=limit)
    return replace(base, name=str(path), quotas=quotas)


def _all_ids(table: QuotaTable) -> str:
    return f"the quotas are {', '.join(table.quotas)}"


def _read(path: Path) -> OwnFile:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the quota file {path}: {error.strerror or error}",
            "name an existing TOML file, or use default, low or off",
        ) from error
    if len(raw) > _FILE_BYTES_MAX:
        raise ConfigurationError(
            f"the quota file {path} is longer than {_FILE_BYTES_MAX:,} bytes",
            "name a quota file; only limits that differ need to stand in it",
        )
    try:
        return msgspec.convert(tomllib.loads(raw.decode("utf-8")), OwnFile)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}", "correct that line") from error
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{path}: {str(error).replace('$.', '')}",
            'a quota file starts with format = "morai-edge/quotas/1" and has [[quota]] tables with '
            "id and limit",
        ) from error
