"""Reading back what a service saved with `dump`."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

Saved = TypeVar("Saved")


def restored(document: Any, form: type[Saved], owner: str) -> Saved:
    """A saved document in the form it had.

    Args:
        document: JSON values, from a file that may be damaged.
        form: The type it must fit.
        owner: Whose it is, for the error.

    Raises:
        ValueError: It does not fit.
    """
    try:
        return msgspec.convert(document, form, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"{owner}: {error}") from error
