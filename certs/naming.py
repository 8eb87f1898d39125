"""Thing names: which are valid, what folder holds them, how a numbered series is spelt.

Owns the rule of AWS IoT Core for thing names and the mapping between a name and a folder that every
operating system accepts. Knows nothing about certificates and never touches a file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from certs.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_THING_NAME_LENGTH: Final = 128
MAX_SERIES_LENGTH: Final = 100_000
_SERIES_DIGITS: Final = 4

_THING_NAME: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_DIGITS: Final = re.compile(r"(\d+)", re.ASCII)
# Device names that Windows resolves in every folder ("Naming Files, Paths, and Namespaces").
_WINDOWS_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)
# Both characters are outside the alphabet of thing names, so the mapping can be undone.
_COLON_IN_FOLDER: Final = "+"
_DEVICE_SUFFIX: Final = "="


def check_thing_name(name: str) -> str:
    """Return `name` unchanged if AWS IoT Core accepts it as a thing name.

    The rule is `[a-zA-Z0-9:_-]{1,128}` (AWS IoT API reference: CreateThing, thingName). It leaves
    no room for dots or slashes, so a valid name can never lead out of the store.

    Raises:
        ConfigurationError: The name is empty, too long or has another character in it.
    """
    if _THING_NAME.fullmatch(name):
        return name
    remedy = (
        f"use 1 to {MAX_THING_NAME_LENGTH} of the letters A-Z a-z, the digits, "
        "and : _ - as AWS IoT Core does"
    )
    if not name:
        raise ConfigurationError("a thing name is empty", remedy)
    if len(name) > MAX_THING_NAME_LENGTH:
        raise ConfigurationError(
            f"the thing name {name[:16]!r}... has {len(name)} characters", remedy
        )
    wrong = next(character for character in name if not _THING_NAME.fullmatch(character))
    raise ConfigurationError(f"the thing name {name!r} contains {wrong!r}", remedy)


def check_distinct(names: Iterable[str]) -> list[str]:
    """Return the names as a list if each is valid and none occurs twice.

    Raises:
        ConfigurationError: A name is invalid or given more than once.
    """
    seen: dict[str, None] = {}
    for name in names:
        check_thing_name(name)
        if name in seen:
            raise ConfigurationError(
                f"the thing name {name!r} is given more than once", "name each thing once"
            )
        seen[name] = None
    return list(seen)


def folder_of_thing(name: str) -> str:
    """The folder name of a valid thing name: the same, except where Windows forbids it.

    A colon becomes `+`, and a reserved device name (`con`, `nul`, `com1`) gets a trailing `=`.
    """
    folder = name.replace(":", _COLON_IN_FOLDER)
    return folder + _DEVICE_SUFFIX if _WINDOWS_DEVICE.fullmatch(folder) else folder


def thing_of_folder(folder: str) -> str | None:
    """The thing whose folder this is, or None for a folder that belongs to no thing."""
    name = folder.removesuffix(_DEVICE_SUFFIX).replace(_COLON_IN_FOLDER, ":")
    if _THING_NAME.fullmatch(name) and folder_of_thing(name) == folder:
        return name
    return None


def numbered_names(prefix: str, count: int, start: int = 1) -> list[str]:
    """`count` names such as `car-0001`, counted from `start`.

    Numbers have at least four digits and grow beyond that, so the name of a number does not depend
    on how many names are asked for.

    Raises:
        ConfigurationError: The series is empty, longer than 100,000, or makes an invalid name.
    """
    if not 1 <= count <= MAX_SERIES_LENGTH:
        raise ConfigurationError(
            f"a series of {count} things was asked for", f"ask for 1 to {MAX_SERIES_LENGTH:,}"
        )
    if start < 0:
        raise ConfigurationError(f"the series starts at {start}", "start at 0 or above")
    names = [f"{prefix}{number:0{_SERIES_DIGITS}d}" for number in range(start, start + count)]
    # The last is the longest, and they share their alphabet.
    check_thing_name(names[-1])
    return names


def natural_order(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts `car-9999` before `car-10000`."""
    return tuple(
        (int(part), part) if part[:1].isdigit() else (-1, part)
        for part in _DIGITS.split(name)
        if part
    )
