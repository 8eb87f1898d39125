"""Reading the members of an AWS API request, with the failure a wrong one gets.

A request is one object with every member by its AWS name, wherever HTTP carries it (path, query or
body); blobs are base64 text. Members that HTTP carries in the query may be text. Limits and
patterns at the call sites are those of the service models AWS publishes with its SDKs. Knows
nothing about any one service.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from typing import TYPE_CHECKING, Any, TypeAlias

from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Request: TypeAlias = "Mapping[str, Any]"
Result: TypeAlias = dict[str, Any]

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_FLAGS = {"true": True, "false": False}


class Members:
    """The members of one request.

    Args:
        request: The members by name. Null counts as absent.
        invalid: Name of the exception for a member that is missing or wrong.
    """

    def __init__(self, request: Request, invalid: str) -> None:
        self._request = request
        self._invalid = invalid

    def failure(self, message: str) -> ServiceFailure:
        """The failure of an invalid request."""
        return ServiceFailure(self._invalid, message)

    def __contains__(self, name: str) -> bool:
        return self._request.get(name) is not None

    def text(
        self,
        name: str,
        *,
        pattern: str | None = None,
        longest: int | None = None,
        printable: bool = False,
    ) -> str | None:
        """A text member, or None when it is absent.

        Args:
            name: Its name.
            pattern: What all of it must match.
            longest: The most characters.
            printable: Whether control characters and the like (categories C*) are refused.

        Raises:
            ServiceFailure: It is no text or breaks a limit.
        """
        value = self._request.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.failure(f"{name} must be a string")
        if longest is not None and len(value) > longest:
            raise self.failure(f"{name} must have at most {longest} characters")
        if pattern is not None and re.fullmatch(pattern, value) is None:
            raise self.failure(f"{name} must match the pattern {pattern}")
        if printable and not is_printable(value):
            raise self.failure(f"{name} must not contain control characters")
        return value

    def required_text(
        self, name: str, *, pattern: str | None = None, longest: int | None = None
    ) -> str:
        """A text member that must be there and not be empty.

        Raises:
            ServiceFailure: It is absent, empty, or as `text` says.
        """
        value = self.text(name, pattern=pattern, longest=longest)
        if not value:
            raise self.failure(f"{name} is required")
        return value

    def choice(self, name: str, options: Sequence[str], default: str | None = None) -> str | None:
        """A text member with a fixed set of values.

        Raises:
            ServiceFailure: It has another value.
        """
        value = self.text(name)
        if value is None:
            return default
        if value not in options:
            raise self.failure(f"{name} must be one of {', '.join(options)}")
        return value

    def integer(self, name: str, lowest: int, highest: int) -> int | None:
        """An integer member, or None when it is absent.

        Raises:
            ServiceFailure: It is no integer or out of range.
        """
        value = self._request.get(name)
        if value is None:
            return None
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.failure(f"{name} must be an integer")
        if not lowest <= value <= highest:
            raise self.failure(f"{name} must be from {lowest} to {highest}")
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean member, or None when it is absent.

        Raises:
            ServiceFailure: It is no boolean.
        """
        value = self._request.get(name)
        if isinstance(value, str):
            value = _FLAGS.get(value, value)
        if value is not None and not isinstance(value, bool):
            raise self.failure(f"{name} must be true or false")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """A member that is an object, or None when it is absent.

        Raises:
            ServiceFailure: It is no object with text keys.
        """
        value = self._request.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.failure(f"{name} must be an object")
        return value

    def mappings(self, name: str) -> list[dict[str, Any]]:
        """A member that is a list of objects; empty when it is absent.

        Raises:
            ServiceFailure: It is something else.
        """
        value = self._request.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.failure(f"{name} must be a list of objects")
        return value

    def within(self, name: str) -> Members:
        """The members of an object member; of an absent one, none."""
        return Members(self.mapping(name) or {}, self._invalid)

    def blob(self, name: str) -> bytes | None:
        """A blob member, bytes or base64 text, or None when it is absent.

        Raises:
            ServiceFailure: It is neither.
        """
        raw = self._request.get(name)
        if isinstance(raw, bytes):
            return raw
        value = self.text(name)
        if value is None:
            return None
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.failure(f"{name} must be base64") from error

    def page(
        self, entries: Sequence[tuple[str, Result]], most: int, default: int | None = None
    ) -> tuple[list[Result], str | None]:
        """The part of a listing that `maxResults` and `nextToken` ask for.

        Args:
            entries: Everything in order, as (id, entry). The token of the next page is the id of
                the last entry of this one, so entries that come or go do not shift the pages.
            most: The largest `maxResults`.
            default: `maxResults` when absent; `most` when left out.

        Returns:
            The entries and the token of the next page, None when nothing follows.

        Raises:
            ServiceFailure: `maxResults` is out of range, or the token's entry is gone.
        """
        size = self.integer("maxResults", 1, most) or default or most
        start = 0
        token = self.text("nextToken")
        if token:
            positions = (i for i, (key, _) in enumerate(entries, start=1) if key == token)
            found = next(positions, None)
            if found is None:
                raise self.failure("nextToken is not valid")
            start = found
        chosen = entries[start : start + size]
        more = start + size < len(entries)
        return [entry for _, entry in chosen], chosen[-1][0] if more else None


def is_printable(text: str) -> bool:
    r"""Whether text matches `[^\p{C}]*`, the pattern of descriptions in the service models."""
    return not any(unicodedata.category(sign).startswith("C") for sign in text)


def without_nulls(document: Result) -> Result:
    """The members that have a value."""
    return {name: value for name, value in document.items() if value is not None}
